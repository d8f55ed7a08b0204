"""The worker's own process: a real Celery, a real Redis, a small model, and faults in its reading process."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from store import workers
from store.database import Database
from store.jobs import JobState, QueueName
from store.settings import Settings
from store.workers import WorkerView
from tests.worker.test_reader import look, submit
from worker.queue import Doorbell

ROOT = Path(__file__).resolve().parents[2]

SERVE = """
from store.settings import load
from worker import main
{fault}
main.run(load())
"""

LOSES_ITS_DEVICE = """
from ml.inference import Predictor
read, lost = Predictor.predict, []

def predict(self, reviews, between_batches=None):
    lost.extend(review for review in reviews if "poison" in review.text)
    if lost:
        raise RuntimeError("CUDA error: device-side assert triggered")
    return read(self, reviews, between_batches)

Predictor.predict = predict
"""

CANNOT_START_AT_FIRST = """
from pathlib import Path
start, mark = main.start_reading_process, Path({mark!r})

def start_later(*arguments):
    if not mark.exists():
        mark.touch()
        raise OSError("too many open files")
    return start(*arguments)

main.start_reading_process = start_later
"""

pytestmark = [pytest.mark.timeout(120), pytest.mark.parametrize("settings", ["sqlite"], indirect=True)]


@contextmanager
def serving(settings: Settings, fault: str) -> Iterator[subprocess.Popen[bytes]]:
    assert settings.redis_url is not None
    own = {"HEMLINE_HOME": str(settings.home), "HEMLINE_REDIS_URL": settings.redis_url, "HEMLINE_WORKER_THREADS": "1"}
    command = [sys.executable, "-c", SERVE.format(fault=fault)]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **own, "HEMLINE_LEASE_S": "2"}) as worker:
        try:
            yield worker
            assert worker.poll() is None  # the reading process was replaced; Celery itself went on
        finally:
            worker.terminate()
            worker.wait(20)


@pytest.fixture
def with_redis(settings: Settings, redis_url: str) -> Settings:
    return settings.model_copy(update={"redis_url": redis_url})


def until(happened: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < ends_at
        time.sleep(0.1)


def ready(database: Database) -> list[WorkerView]:
    with database.read() as session:
        return [worker for worker in workers.list_workers(session) if worker.state == "ready"]


def test_a_worker_that_lost_its_device_is_replaced_by_one_that_reads_on(
    with_redis: Settings, database: Database, installed: Path
) -> None:
    bell = Doorbell(with_redis)
    with serving(with_redis, LOSES_ITS_DEVICE):
        until(lambda: len(ready(database)) == 1)
        first = ready(database)[0].pid
        poison = submit(database, "poison")
        bell.ring(poison, QueueName.INTERACTIVE)
        until(lambda: any(worker.pid != first for worker in ready(database)))
        innocent = submit(database, "innocent")
        bell.ring(innocent, QueueName.INTERACTIVE)
        until(lambda: look(database, innocent).state is JobState.SUCCEEDED)
        assert look(database, poison).state is JobState.RUNNING
    bell.close()


def test_a_reading_process_that_cannot_start_is_started_again(
    with_redis: Settings, database: Database, installed: Path, tmp_path: Path
) -> None:
    bell = Doorbell(with_redis)
    with serving(with_redis, CANNOT_START_AT_FIRST.format(mark=str(tmp_path / "mark"))):
        until(lambda: len(ready(database)) == 1)
        job = submit(database, "text")
        bell.ring(job, QueueName.INTERACTIVE)
        until(lambda: look(database, job).state is JobState.SUCCEEDED)
    bell.close()
