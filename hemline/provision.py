"""What an installation needs before its processes start: schema, administrator, and whether a model is there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hemline.home import Home
from hemline.starter import needs_starter
from store import accounts
from store.accounts import Credentials
from store.database import Database, open_database
from store.settings import Settings
from store.upgrade import upgrade


@dataclass(frozen=True)
class Prepared:
    """What preparing found."""

    revision: str
    needs_starter: bool


def prepare(settings: Settings) -> Prepared:
    """Bring the database to the newest revision and apply the configured administrator. Harmless when repeated."""
    Home.of(settings).create()
    with _opened(settings) as database:
        revision = upgrade(database)
        apply_admin(database, settings)
        return Prepared(revision, needs_starter(settings, database))


def apply_admin(database: Database, settings: Settings) -> None:
    """Make sure that the administrator of the settings exists, if they name one."""
    if settings.admin_email or settings.admin_password or settings.admin_token:
        with database.begin() as session:
            accounts.provision_admin(
                session,
                email=settings.admin_email,
                password=settings.admin_password.get_secret_value() if settings.admin_password else None,
                token=settings.admin_token.get_secret_value() if settings.admin_token else None,
            )


def make_first_admin(settings: Settings) -> Credentials | None:
    """Create an administrator where there is no user yet; nobody else knows the password: show it at once."""
    with _opened(settings) as database, database.begin() as session:
        return accounts.first_admin(session)


@contextmanager
def _opened(settings: Settings) -> Iterator[Database]:
    database = open_database(settings)
    try:
        yield database
    finally:
        database.dispose()
