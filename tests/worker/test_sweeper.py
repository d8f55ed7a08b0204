"""The sweep against real databases and a real Redis."""

from datetime import UTC, datetime, timedelta

import pytest
import redis
from sqlalchemy import update

from store import claims, jobs, workers
from store.database import Database
from store.jobs import Actor, JobState, QueueName
from store.reviews import NewReview
from store.schema import Job
from store.settings import Settings
from store.workers import WorkerReport
from worker import sweeper
from worker.queue import Doorbell


@pytest.fixture
def doorbell(settings: Settings, redis_url: str) -> Doorbell:
    redis.Redis.from_url(redis_url).delete(*QueueName)
    return Doorbell(settings.model_copy(update={"redis_url": redis_url}))


@pytest.fixture(autouse=True)
def _bells_are_lost_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "LOST_BELL_AFTER_S", 0.0)


def submit(database: Database, text: str) -> str:
    with database.begin() as session:
        actor = Actor(user_id=None, token_id=1, name="ann")
        return jobs.submit_reviews(session, [NewReview(text=text)], actor=actor, queue_limit=99).job.id


def enrol(database: Database, worker_id: str, said: WorkerReport) -> None:
    with database.begin() as session:
        workers.enrol(session, worker_id=worker_id, hostname="here", pid=1, queues=["interactive", "bulk"])
        workers.report(session, worker_id, said)


def test_a_lost_bell_is_rung_once_for_each_idle_worker(database: Database, doorbell: Doorbell) -> None:
    for n in range(20):
        submit(database, f"text {n}")
    enrol(database, "w-1", WorkerReport("ready", model_version="m"))
    enrol(database, "w-2", WorkerReport("ready", model_version="m"))
    enrol(database, "w-3", WorkerReport("busy", model_version="m"))
    for _ in range(3):
        sweeper.sweep_once(database, doorbell)
    assert doorbell.bells(QueueName.INTERACTIVE) == 2


def test_nobody_is_rung_for_when_nobody_listens_or_nothing_waits(database: Database, doorbell: Doorbell) -> None:
    enrol(database, "w-1", WorkerReport("ready", model_version="m"))
    sweeper.sweep_once(database, doorbell)
    assert doorbell.bells(QueueName.INTERACTIVE) == 0
    enrol(database, "w-2", WorkerReport("failed", error="model.safetensors is damaged"))
    with database.begin() as session:
        workers.report(session, "w-1", WorkerReport("stopped"))
    submit(database, "text")
    sweeper.sweep_once(database, doorbell)
    assert doorbell.bells(QueueName.INTERACTIVE) == 0


def test_a_job_whose_worker_died_is_queued_again(database: Database, doorbell: Doorbell) -> None:
    job_id = submit(database, "text")
    with database.begin() as session:
        claims.claim(session, queue=QueueName.INTERACTIVE, max_reviews=9, worker_id="w-1", lease_s=60)
    assert sweeper.sweep_once(database, doorbell).requeued == ()
    with database.begin() as session:
        session.execute(update(Job).values(lease_expires_at=datetime.now(UTC) - timedelta(hours=1)))
    assert sweeper.sweep_once(database, doorbell).requeued == (job_id,)
    with database.read() as session:
        job = jobs.get(session, job_id)
    assert job is not None
    assert job.state is JobState.QUEUED
