"""Bringing a database to the newest revision, and telling whether it is there."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from sqlite3 import Connection as SqliteConnection

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from store.database import Database
from store.errors import MigrationError

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
        _commit(connection)
        return _current(connection) or "base"


def downgrade(database: Database, revision: str) -> None:
    """Take the database back to `revision`."""
    with _migrating(database) as connection:
        made = config()
        made.attributes["connection"] = connection
        command.downgrade(made, revision)
        _commit(connection)


def _commit(connection: Connection) -> None:
    """Commit a migration, unless it left a reference to nothing.

    Raises:
        MigrationError: it did; the database stays as it was.
    """
    if connection.dialect.name == "sqlite":
        dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if dangling is not None:
            raise MigrationError(f"row {dangling[1]} of {dangling[0]} would refer to a missing row of {dangling[2]}")
    connection.commit()


def _driver(connection: Connection) -> SqliteConnection:
    driver: SqliteConnection = connection.connection.dbapi_connection  # type: ignore[assignment]  # by the dialect
    return driver


@contextmanager
def _migrating(database: Database) -> Iterator[Connection]:
    """A connection whose holder is the only one that migrates, with all the time that this takes."""
    with database.writer.connect() as connection:
        connection.detach()  # closed at the end instead of pooled, and lock and setting with it
        if database.is_sqlite:  # its write lock is taken before the revision is looked at
            # A table is altered by copying and dropping it, which must not delete what refers to it. Only outside of a
            # transaction does the switch work; whether all references still hold is looked at before the commit.
            _driver(connection).execute("PRAGMA foreign_keys=OFF")
        else:
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
