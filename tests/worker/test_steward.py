"""Long jobs in real processes of their own: what they make, how they are stopped, and what is left when they die."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import psutil
import pytest

from store import claims, jobs
from store.database import Database
from store.jobs import Actor, JobKind, JobState, JobView, QueueName
from store.settings import Settings
from worker.steward import Steward
from worker.work import scratch_folder

ACTOR = Actor(user_id=None, token_id=None, name="ann")

CHILD = """
import sys
from store.jobs import JobKind
from worker import child
from tests.worker import long_job

child.HANDLERS[JobKind.IMPORT] = child.HANDLERS[JobKind.TRAIN] = "tests.worker.long_job"
sys.exit(child.main(sys.argv[1], int(sys.argv[2])))
"""

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(autouse=True)
def _children_find_this_installation(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEMLINE_HOME", str(settings.home))
    monkeypatch.setenv("HEMLINE_DATABASE_URL", settings.database)


def ask(database: Database, does: str, *, total: int = 3, kind: JobKind = JobKind.IMPORT) -> JobView:
    with database.begin() as session:
        return jobs.submit_job(
            session,
            kind=kind,
            queue=QueueName.DATA,
            params={"does": does},
            total=total,
            actor=ACTOR,
            queue_limit=100,
        ).job


def look(database: Database, job: JobView) -> JobView:
    with database.read() as session:
        found = jobs.get(session, job.id)
    assert found is not None
    return found


def log_of(database: Database, job: JobView) -> str:
    with database.read() as session:
        return jobs.whole_log(session, job.id)


def names(database: Database, job: JobView) -> list[str]:
    with database.read() as session:
        return [event.name for event in jobs.events(session, job.id)]


def until(condition: Callable[[], object], *, within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def draining() -> list[bool]:
    return []


@pytest.fixture
def steward(settings: Settings, database: Database, draining: list[bool]) -> Steward:
    return Steward(
        settings,
        database,
        queue=QueueName.DATA,
        worker_id="w-data",
        is_draining=lambda: bool(draining),
        command=(sys.executable, "-c", CHILD),
    )


def process_of(job: JobView) -> psutil.Process | None:
    """The job's own process, once it runs our code."""
    for process in psutil.Process().children(recursive=True):
        if job.id in process.cmdline() and "tether" not in " ".join(process.cmdline()):
            return process
    return None


def test_what_a_job_makes_and_its_end_are_one(database: Database, steward: Steward) -> None:
    job = ask(database, "make")
    steward.answer()
    ended = look(database, job)
    assert (ended.state, ended.done, ended.total, ended.result) == (JobState.SUCCEEDED, 3, 3, {"made": "something"})
    assert "made by the job" in log_of(database, job)
    with database.read() as session:
        assert "row of the result" in jobs.whole_log(session, job.id)
    assert not scratch_folder(steward._settings, job.id).exists()


def test_a_job_that_its_asker_has_to_mend_says_what_to_do(database: Database, steward: Steward) -> None:
    job = ask(database, "refuse")
    steward.answer()
    ended = look(database, job)
    assert ended.state is JobState.FAILED
    assert ended.error is not None
    assert (ended.error.kind, ended.error.message, ended.error.hint) == ("input", "row 3 is empty", "Fill it.")


def test_a_defect_fails_with_its_traceback_and_what_passes_is_tried_later(database: Database, steward: Steward) -> None:
    broken, passing = ask(database, "break"), ask(database, "pass_later")
    steward.answer()
    failed, waiting = look(database, broken), look(database, passing)
    assert failed.error is not None
    assert failed.error.kind == "defect"
    assert "ZeroDivisionError" in (failed.error.traceback or "")
    assert (waiting.state, waiting.attempts) == (JobState.QUEUED, 1)


def test_a_cancelled_job_ends_soon_even_when_it_does_not_listen(database: Database, steward: Steward) -> None:
    for does in ("listen", "ignore"):
        job = ask(database, does)
        thread = Thread(target=steward.answer)
        thread.start()
        until(lambda job=job: look(database, job).phase == "working")  # type: ignore[misc]
        with database.begin() as session:
            jobs.cancel(session, job.id, by="ann")
        thread.join(30)
        assert look(database, job).state is JobState.CANCELLED
        assert process_of(job) is None


def test_a_stopped_job_keeps_what_it_has(database: Database, steward: Steward) -> None:
    job = ask(database, "listen", kind=JobKind.TRAIN)
    thread = Thread(target=steward.answer)
    thread.start()
    until(lambda: look(database, job).phase == "working")
    with database.begin() as session:
        assert jobs.stop(session, job.id, by="ann") is not None
    thread.join(30)
    ended = look(database, job)
    assert (ended.state, ended.result) == (JobState.SUCCEEDED, {"made": "as much as there was"})


def test_a_drained_job_waits_for_the_next_worker_with_its_files(
    database: Database, steward: Steward, draining: list[bool]
) -> None:
    job = ask(database, "listen")
    thread = Thread(target=steward.answer)
    thread.start()
    until(lambda: look(database, job).phase == "working")
    draining.append(True)
    thread.join(30)
    assert look(database, job).state is JobState.QUEUED
    assert (scratch_folder(steward._settings, job.id) / "checkpoint").exists()


def test_a_job_whose_process_is_killed_goes_on_and_one_that_always_dies_is_given_up(
    database: Database, steward: Steward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.steward.CRASH_BACK_OFF_S", 0.0)
    poison = ask(database, "die")
    steady = ask(database, "die_further", total=9)
    steward.answer()
    given_up, ended = look(database, poison), look(database, steady)
    assert given_up.state is JobState.FAILED
    assert given_up.attempts == claims.MAX_CRASHES_ALONE
    assert given_up.error is not None
    assert "SIGKILL" in given_up.error.message
    assert names(database, poison)[-1] == "quarantined"
    # It died more often than that, but came further each time.
    assert (ended.state, ended.attempts) == (JobState.SUCCEEDED, 8)


def test_a_stale_attempt_writes_nothing(database: Database, steward: Steward) -> None:
    job = ask(database, "listen")
    thread = Thread(target=steward.answer)
    thread.start()
    until(lambda: look(database, job).phase == "working")
    with database.begin() as session:  # as the sweep does when a lease lapsed
        stale = claims.Claim(job.id, QueueName.DATA, 1, ())
        assert claims.release(session, stale)
        newer = claims.claim_work(session, queue=QueueName.DATA, worker_id="w-2", lease_s=60)
    assert newer is not None
    thread.join(30)
    assert scratch_folder(steward._settings, job.id).exists()  # the second goes on from what lies there
    with database.begin() as session:
        assert not claims.finish(session, stale, {})
        assert not claims.advance(session, stale, done=1, total=1, phase=None)
        assert claims.finish(session, newer, {"made": "by the second"})
    assert look(database, job).result == {"made": "by the second"}


def test_the_job_dies_with_its_worker(database: Database, settings: Settings, tmp_path: Path) -> None:
    job = ask(database, "ignore")
    code = (
        "import sys; from store.settings import load; from store.database import open_database; "
        "from store.jobs import QueueName; from worker.steward import Steward; s = load(); "
        f"Steward(s, open_database(s), queue=QueueName.DATA, worker_id='w', is_draining=lambda: False, "
        f"command=(sys.executable, '-c', {CHILD!r})).answer()"
    )
    worker = psutil.Popen([sys.executable, "-c", code], cwd=Path(__file__).resolve().parents[2])
    until(lambda: look(database, job).phase == "working")
    child = next(p for p in worker.children(recursive=True) if job.id in p.cmdline())
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait(10)
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
