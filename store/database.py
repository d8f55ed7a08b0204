"""Engines and transactions: one writer's way and one reader's way into the same database."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, func, make_url, select
from sqlalchemy.orm import Session

from store.settings import Settings

STATEMENT_TIMEOUT_MS = 30_000


class Database:
    """A writing and a reading engine over one URL.

    Safe to share between threads. After a fork call `dispose` in the child: sockets must not be shared.
    """

    def __init__(self, writer: Engine, reader: Engine) -> None:
        self.writer = writer
        self.reader = reader

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a SQLite file."""
        return self.writer.dialect.name == "sqlite"

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """A write transaction: commits at the end, rolls back on an exception."""
        with Session(self.writer, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A read-only transaction over one snapshot; it never waits for a writer."""
        with Session(self.reader, expire_on_commit=False) as session:
            yield session

    def dispose(self) -> None:
        """Close every pooled connection of this process."""
        self.writer.dispose(close=True)
        self.reader.dispose(close=True)


def open_database(settings: Settings, *, busy_timeout_s: float = 30.0) -> Database:
    """Open the database that the settings name; nothing is connected yet.

    Args:
        settings: the URL and the durability come from here.
        busy_timeout_s: how long SQLite waits for another writer (workers 30, web 5).
    """
    url = make_url(settings.database)
    if url.get_backend_name() == "sqlite":
        return _open_sqlite(settings, busy_timeout_s)
    writer = create_engine(
        url.set(drivername="postgresql+psycopg"),
        hide_parameters=True,  # they hold review text, and errors end up in logs
        pool_pre_ping=True,
        pool_size=10,
        max_overflow=10,
        pool_timeout=5,
        connect_args={
            "connect_timeout": 5,
            # A time of the first or the last year of the calendar cannot be read in another zone.
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c timezone=UTC",
        },
    )
    event.listen(writer, "handle_error", _withhold_details)
    return Database(writer, writer.execution_options(postgresql_readonly=True, isolation_level="REPEATABLE READ"))


def _withhold_details(context: ExceptionContext) -> None:
    # The lines after PostgreSQL's first one quote the whole row that breaks a constraint, so review text too.
    if getattr(getattr(context.original_exception, "diag", None), "message_detail", None):
        for error in (context.original_exception, context.sqlalchemy_exception):
            if error is not None and error.args:
                error.args = (str(error.args[0]).partition("\n")[0], *error.args[1:])


def _open_sqlite(settings: Settings, busy_timeout_s: float) -> Database:
    url = make_url(settings.database)
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)

    def engine(begin: str, *, query_only: bool) -> Engine:
        made = create_engine(
            url,
            hide_parameters=True,  # they hold review text, and errors end up in logs
            connect_args={"timeout": busy_timeout_s, "check_same_thread": False},
            pool_size=20,
        )

        def on_connect(connection: SqliteConnection, _record: Any) -> None:
            connection.isolation_level = None  # the driver must not open transactions of its own
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={settings.sqlite_synchronous}")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute(f"PRAGMA query_only={'ON' if query_only else 'OFF'}")

        def on_begin(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        event.listen(made, "connect", on_connect)
        event.listen(made, "begin", on_begin)
        return made

    # A write transaction takes the lock when it begins: one that reads first and upgrades later loses updates.
    return Database(engine("BEGIN IMMEDIATE", query_only=False), engine("BEGIN", query_only=True))


def now(session: Session) -> datetime:
    """The database's own clock, so that leases agree between hosts whose clocks do not."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    clock: datetime = session.scalars(select(func.clock_timestamp())).one()
    return clock.astimezone(UTC)
