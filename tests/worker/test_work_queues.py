"""The worker of long jobs as a process: a real Celery, a real Redis, two queues that do not wait for each other."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from store import jobs, workers
from store.database import Database
from store.jobs import JobKind, JobState, JobView, QueueName
from store.settings import Settings
from tests.worker.test_steward import ACTOR, CHILD, look, until
from worker.queue import Doorbell

ROOT = Path(__file__).resolve().parents[2]

SERVE = f"""
import functools, sys
from store.settings import load
from worker import main

main.Steward = functools.partial(main.Steward, command=(sys.executable, "-c", {CHILD!r}))
sys.exit(main.run_work(load()))
"""

pytestmark = [pytest.mark.timeout(120), pytest.mark.parametrize("settings", ["sqlite"], indirect=True)]


@contextmanager
def serving(settings: Settings, redis_url: str) -> Iterator[subprocess.Popen[bytes]]:
    own = {"HEMLINE_HOME": str(settings.home), "HEMLINE_REDIS_URL": redis_url}
    with subprocess.Popen([sys.executable, "-c", SERVE], cwd=ROOT, env=os.environ | own) as worker:
        try:
            yield worker
        finally:
            worker.kill()
            worker.wait(20)


def ask(database: Database, doorbell: Doorbell, queue: QueueName, does: str) -> JobView:
    with database.begin() as session:
        job = jobs.submit_job(
            session, kind=JobKind.IMPORT, queue=queue, params={"does": does}, total=3, actor=ACTOR, queue_limit=100
        ).job
    assert doorbell.ring(job.id, queue)
    return job


def listening(database: Database) -> dict[str, str]:
    with database.read() as session:
        return {worker.queues[0]: worker.state for worker in workers.list_workers(session)}


def test_an_import_does_not_wait_for_a_training_and_a_sigterm_drains(
    settings: Settings, database: Database, redis_url: str
) -> None:
    own_redis = f"{redis_url.rsplit('/', 1)[0]}/7"
    doorbell = Doorbell(settings.model_copy(update={"redis_url": own_redis}))
    with serving(settings, own_redis) as worker:
        until(lambda: listening(database) == {"data": "ready", "train": "ready"})
        training = ask(database, doorbell, QueueName.TRAIN, "listen")
        until(lambda: look(database, training).phase == "working")
        until(lambda: listening(database) == {"data": "ready", "train": "busy"})
        later = ask(database, doorbell, QueueName.TRAIN, "make")
        imported = [ask(database, doorbell, QueueName.DATA, "make") for _ in range(2)]
        until(lambda: all(look(database, job).state is JobState.SUCCEEDED for job in imported))
        assert look(database, later).state is JobState.QUEUED  # one training at a time
        worker.terminate()
        assert worker.wait(30) == 0
    assert look(database, training).state is JobState.QUEUED
    assert listening(database) == {}
