"""The process of one long job: `python -m worker.child JOB_ID FENCE`. It ends the job itself; its parent watches."""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from threading import Event

import structlog
from sqlalchemy.exc import SQLAlchemyError

from store import claims, jobs
from store.claims import Claim
from store.database import Database, open_database
from store.jobs import JobError, JobKind, QueueName
from store.logs import configure_logs
from store.outages import outage_of
from store.settings import load
from worker.errors import AbandonedError, DrainedError, InputError, TransientError, defect, summary
from worker.work import Outcome, Work

HANDLERS: dict[JobKind, str] = {JobKind.IMPORT: "worker.imports", JobKind.TRAIN: "worker.trainings"}
"""The module whose `run` does a kind of work; imported in the process that needs it."""

BACK_OFF_S = 5.0
MAX_BACK_OFF_S = 300.0
MAX_ATTEMPTS = 8

log = structlog.get_logger()


def main(job_id: str, fence: int) -> int:
    """Run one claimed job to its end.

    Returns:
        0; or 75 when it could not begin, for a reason that is not the job's.
    """
    draining = drain_on_sigterm()
    settings = load()
    configure_logs(settings)
    database = open_database(settings)
    try:
        with database.read() as session:
            job = jobs.get(session, job_id)
        if job is None:
            return 0
        claimed = Claim(job.id, QueueName(job.queue), fence, (), job.kind)
        work = Work(settings, database, job, claimed, draining=draining)
    except (SQLAlchemyError, OSError) as error:
        log.warning("job_not_begun", job_id=job_id, reason=summary(error))
        return os.EX_TEMPFAIL
    try:
        run(work, _handle)
    finally:
        database.dispose()
    return 0


def drain_on_sigterm() -> Event:
    """From now on a SIGTERM sets the event that is returned: save what is needed to go on elsewhere.

    One that comes after the parent died ends this process at once: checkpoints are whole or not there, and the job's
    next attempt may have begun.
    """
    draining, parent = Event(), os.getppid()

    def on_sigterm(*_: object) -> None:
        if os.getppid() != parent:
            os._exit(1)
        draining.set()

    signal.signal(signal.SIGTERM, on_sigterm)
    return draining


def _handle(work: Work) -> Outcome:
    outcome: Outcome = import_module(HANDLERS[work.job.kind]).run(work)
    return outcome


def run(work: Work, handler: Callable[[Work], Outcome]) -> None:
    """Do the work and end the job as it deserves: succeeded, failed with a reason, queued again or cancelled."""
    database, claimed = work.database, work.claimed
    try:
        outcome = handler(work)
        _finish(work, outcome)
    except AbandonedError:
        _leave(database, lambda session: claims.release(session, claimed))
        log.info("job_abandoned", job_id=claimed.job_id)
    except DrainedError:
        _leave(database, lambda session: claims.release(session, claimed))
        log.info("job_drained", job_id=claimed.job_id)
    except InputError as error:
        said = JobError(kind="input", message=str(error), hint=error.hint)
        _leave(database, lambda session: claims.fail(session, claimed, said))
        log.warning("job_refused", job_id=claimed.job_id, reason=str(error))
    except Exception as error:
        if isinstance(error, TransientError) or (isinstance(error, SQLAlchemyError) and outage_of(error)):
            _try_later(work, error)
        else:
            log.exception("job_failed", job_id=claimed.job_id)
            said = defect(error, log="the job's log")
            _leave(database, lambda session: claims.fail(session, claimed, said))
    _tidy(work)


def _tidy(work: Work) -> None:
    """Remove the job's files once it has ended; a claim that was lost leaves them to the next attempt."""
    try:
        with work.database.read() as session:
            job = jobs.get(session, work.claimed.job_id)
    except SQLAlchemyError:
        return  # the worker removes what ended jobs left behind when it starts
    if job is None or job.state.is_final:
        shutil.rmtree(work.scratch, ignore_errors=True)


def _finish(work: Work, outcome: Outcome) -> None:
    with work.database.begin() as session:
        if not claims.finish(session, work.claimed, outcome.result):
            raise AbandonedError
        if outcome.write is not None:
            outcome.write(session)
    log.info("job_succeeded", job_id=work.claimed.job_id, **outcome.result)


def _try_later(work: Work, error: Exception) -> None:
    reason = summary(error)
    log.warning("job_tried_later", job_id=work.claimed.job_id, attempt=work.job.attempts, reason=reason)
    if work.job.attempts >= MAX_ATTEMPTS:
        said = JobError(kind="transient", message=reason, hint="Retry the job when the cause has passed.")
        _leave(work.database, lambda session: claims.fail(session, work.claimed, said))
        return
    pause_s = min(BACK_OFF_S * 2 ** (work.job.attempts - 1), MAX_BACK_OFF_S)
    _leave(work.database, lambda session: claims.release(session, work.claimed, run_after_s=pause_s))


def _leave(database: Database, leave: Callable[..., bool]) -> None:
    """End or release the claim. What cannot be written the sweep repairs once the lease has lapsed."""
    try:
        with database.begin() as session:
            leave(session)
    except SQLAlchemyError as error:
        log.warning("claim_not_handed_back", reason=summary(error))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
