"""The heartbeat outlives whatever happens to the database."""

import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy.exc import OperationalError

from store import workers
from store.database import Database
from store.settings import Settings
from store.workers import WorkerView
from tests.worker.conftest import Bench
from tests.worker.test_reader import refusing
from worker import presence
from worker.heartbeat import Heartbeat
from worker.slot import ModelSlot


@pytest.fixture
def slot(settings: Settings, database: Database, installed: object) -> ModelSlot:
    return ModelSlot(settings, database, threads=1)


@pytest.fixture
def heartbeat(
    make_bench: Callable[[], Bench], database: Database, slot: ModelSlot, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Heartbeat]:
    monkeypatch.setattr(presence, "HEARTBEAT_S", 0.05)
    made = Heartbeat(database, "w-1", slot, make_bench().reader)
    yield made
    made.stop()


def seen(database: Database) -> list[WorkerView]:
    with database.read() as session:
        return workers.list_workers(session)


def until_ready(database: Database) -> None:
    ends_at = time.monotonic() + 60  # the first load imports the model code
    while [worker.state for worker in seen(database)] != ["ready"]:
        assert time.monotonic() < ends_at, seen(database)
        time.sleep(0.05)


@pytest.mark.parametrize(
    "error", [OperationalError("", {}, Exception("disk I/O error")), LookupError("nobody expected this")], ids=repr
)
@pytest.mark.parametrize("statement", ["SELECT", "INSERT INTO workers", "UPDATE workers"])
def test_a_failure_while_it_starts_ends_no_heartbeat(
    heartbeat: Heartbeat, database: Database, statement: str, error: Exception
) -> None:
    with refusing(database, statement, error):
        heartbeat.start()
        time.sleep(0.3)
    until_ready(database)
