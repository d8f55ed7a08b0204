"""Bringing a database to the newest revision, and telling whether it is there."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from store.database import Database

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


def config() -> Config:
    """Alembic's configuration for this checkout."""
    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS))
    return made


def upgrade(database: Database, revision: str = "head") -> str:
    """Bring the database to `revision` and return the revision that it is at."""
    with database.writer.connect() as connection:
        made = config()
        made.attributes["connection"] = connection
        command.upgrade(made, revision)
        connection.commit()
        return _current(connection) or "base"


def downgrade(database: Database, revision: str) -> None:
    """Take the database back to `revision`."""
    with database.writer.connect() as connection:
        made = config()
        made.attributes["connection"] = connection
        command.downgrade(made, revision)
        connection.commit()


def is_at_head(database: Database) -> bool:
    """Whether the database is at the newest revision of this release."""
    with database.reader.connect() as connection:
        return _current(connection) == _head()


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


@cache
def _head() -> str | None:
    return ScriptDirectory.from_config(config()).get_current_head()
