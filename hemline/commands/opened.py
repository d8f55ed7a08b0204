"""What commands work on: the settings of this installation and its database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from hemline.errors import HemlineError

if TYPE_CHECKING:
    from store.database import Database
    from store.settings import Settings


def settings() -> "Settings":
    """The environment's settings, with what `hemline up` made for this HOME."""
    from hemline.home import with_own_secrets
    from store.settings import load

    return with_own_secrets(load())


def warn_of_misspelt_settings() -> None:
    """Say on standard error which variables look like settings and are none."""
    from store.settings import misspelt

    for name, meant in misspelt().items():
        typer.echo(f"warning: {name} is no setting" + (f"; {meant} is" if meant else ""), err=True)


@contextmanager
def migrated_database() -> Iterator["Database"]:
    """The installation's database, at the newest revision, closed afterwards.

    Raises:
        HemlineError: it is older or absent.
    """
    from store.database import is_absent, open_database
    from store.upgrade import is_at_head

    current = settings()
    database = open_database(current)
    try:
        if is_absent(current) or not is_at_head(database):  # a look must not leave an empty file behind
            raise HemlineError("the database is not at the newest revision", hint="Run `hemline migrate` first.")
        yield database
    finally:
        database.dispose()
