"""Bringing a database to the newest revision, and telling whether it is there."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from store.database import Database

MIGRATION_LOCK = 0x68656E  # an arbitrary key, ours alone
MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


def config() -> Config:
    """Alembic's configuration for this checkout."""
    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS))
    return made


def upgrade(database: Database, revision: str = "head") -> str:
    """Bring the database to `revision` and return the revision that it is at.

    Harmless when several processes do it at once: the first one works and the others find it done.
    """
    with _migrating(database) as connection:
        made = config()
        made.attributes["connection"] = connection
        command.upgrade(made, revision)
        connection.commit()
        return _current(connection) or "base"


def downgrade(database: Database, revision: str) -> None:
    """Take the database back to `revision`."""
    with _migrating(database) as connection:
        made = config()
        made.attributes["connection"] = connection
        command.downgrade(made, revision)
        connection.commit()


@contextmanager
def _migrating(database: Database) -> Iterator[Connection]:
    """A connection whose holder is the only one that migrates, with all the time that this takes."""
    with database.writer.connect() as connection:
        connection.detach()  # closed at the end instead of pooled, and lock and setting with it
        if not database.is_sqlite:  # there the write lock is taken before the revision is looked at
            connection.exec_driver_sql("SET statement_timeout = 0")
            connection.exec_driver_sql(f"SELECT pg_advisory_lock({MIGRATION_LOCK})")
            connection.commit()
        yield connection


def is_at_head(database: Database) -> bool:
    """Whether the database is at the newest revision of this release."""
    with database.reader.connect() as connection:
        return _current(connection) == _head()


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


@cache
def _head() -> str | None:
    return ScriptDirectory.from_config(config()).get_current_head()
