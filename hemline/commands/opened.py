"""What commands work on: the settings of this installation and its database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hemline.errors import HemlineError

if TYPE_CHECKING:
    from store.database import Database
    from store.settings import Settings


def settings() -> "Settings":
    """The environment's settings, with what `hemline up` made for this HOME."""
    from hemline.home import with_own_secrets
    from store.settings import load

    return with_own_secrets(load())


@contextmanager
def migrated_database() -> Iterator["Database"]:
    """The installation's database, at the newest revision, closed afterwards.

    Raises:
        HemlineError: it is older or absent.
    """
    from store.database import open_database
    from store.upgrade import is_at_head

    database = open_database(settings())
    try:
        if not is_at_head(database):
            raise HemlineError("the database is not at the newest revision", hint="Run `hemline migrate` first.")
        yield database
    finally:
        database.dispose()
