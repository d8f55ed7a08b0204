"""The checks behind `hemline doctor`. Each one looks and changes nothing."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from redis import Redis, RedisError
from sqlalchemy.exc import SQLAlchemyError

from hemline import redis_server
from hemline.errors import HemlineError
from hemline.home import Home
from hemline.one_machine import refuse_taken_port
from hemline.readiness import is_answering
from hemline.starter import missing_files
from store import models
from store.database import Database, open_database
from store.settings import Settings
from store.upgrade import is_at_head

NEEDED_FREE_MB = 500  # a model version with its temporary copy, and room for the database to grow


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    name: str
    ok: bool
    detail: str


def examine(settings: Settings) -> list[Finding]:
    """Look at everything that an installation needs."""
    return [_python(), _redis(settings), *_database_and_model(settings), _disk(settings), _port(settings)]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", sys.version_info >= (3, 11), f"{version} at {sys.executable}")


def _redis(settings: Settings) -> Finding:
    home = Home.of(settings)
    is_embedded = settings.redis_url is None or settings.redis_url.startswith("unix://:")
    if is_embedded and not home.redis_socket.exists():
        try:
            return Finding("redis", True, f"not running; `hemline up` starts {redis_server.find_program()}")
        except HemlineError as error:
            return Finding("redis", False, f"{error.message}. {error.hint}")
    try:
        with Redis.from_url(settings.redis_url or home.redis_url, socket_timeout=2, socket_connect_timeout=2) as redis:
            redis.ping()
    except (RedisError, OSError, ValueError) as error:
        return Finding("redis", False, f"does not answer: {error}. Is HEMLINE_REDIS_URL right?")
    return Finding("redis", True, "answers")


def _database_and_model(settings: Settings) -> Iterator[Finding]:
    home = Home.of(settings)
    if settings.database_url is None and not (home.root / "hemline.db").exists():
        yield Finding("database", True, f"not made yet; `hemline up` makes it in {home.root}")
        return
    database = open_database(settings)
    try:
        if not is_at_head(database):
            yield Finding("database", False, "not at the newest revision: run `hemline migrate`")
            return
        yield Finding("database", True, f"at the newest revision ({'SQLite' if database.is_sqlite else 'PostgreSQL'})")
        yield _model(settings, database)
    except SQLAlchemyError as error:
        yield Finding("database", False, f"does not answer: {getattr(error, 'orig', None) or error}")
    finally:
        database.dispose()


def _model(settings: Settings, database: Database) -> Finding:
    with database.read() as session:
        active = models.active(session)
    if active is None:
        return Finding("model", False, "none is in service: run `hemline models install-starter`")
    missing = missing_files(settings, active)
    if missing:
        lacking = ", ".join(missing)
        return Finding("model", False, f"{active.version} lacks {lacking}: run `hemline models install-starter`")
    return Finding("model", True, f"{active.version}, all files are there")


def _disk(settings: Settings) -> Finding:
    folder = Home.of(settings).root
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free_mb = shutil.disk_usage(existing).free // 1_000_000
    return Finding("disk", free_mb >= NEEDED_FREE_MB, f"{free_mb:,} MB free under {Path(existing)}")


def _port(settings: Settings) -> Finding:
    where = f"{settings.host}:{settings.port}"
    try:
        refuse_taken_port(settings.host, settings.port)
    except HemlineError as error:
        if is_answering(settings):
            return Finding("port", True, f"Hemline answers on {where}")
        return Finding("port", False, f"{error.message}. {error.hint}")
    return Finding("port", True, f"{where} is free")
