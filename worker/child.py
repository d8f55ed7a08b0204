"""The process of one long job: `python -m worker.child JOB_ID FENCE`. It ends the job itself; its parent watches."""

import shutil
import sys
import traceback
from collections.abc import Callable
from importlib import import_module

import structlog
from sqlalchemy.exc import SQLAlchemyError

from store import claims, jobs
from store.claims import Claim
from store.database import Database, open_database
from store.jobs import JobError, JobKind, QueueName
from store.logs import configure_logs
from store.outages import outage_of
from store.settings import load
from worker.errors import AbandonedError, DrainedError, InputError, TransientError, summary
from worker.work import Outcome, Work

HANDLERS: dict[JobKind, str] = {JobKind.IMPORT: "worker.imports", JobKind.TRAIN: "worker.trainings"}
"""The module whose `run` does a kind of work; imported in the process that needs it."""

BACK_OFF_S = 5.0
MAX_BACK_OFF_S = 300.0
MAX_ATTEMPTS = 8

log = structlog.get_logger()


def main(job_id: str, fence: int) -> int:
    """Run one claimed job to its end. The exit status is 0 unless the process itself broke."""
    settings = load()
    configure_logs(settings)
    database = open_database(settings)
    try:
        with database.read() as session:
            job = jobs.get(session, job_id)
        if job is None:
            return 0
        work = Work(settings, database, job, Claim(job.id, QueueName(job.queue), fence, ()))
        work.drain_on_sigterm()
        run(work, _handle)
    finally:
        database.dispose()
    return 0


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
        return
    except InputError as error:
        said = JobError(kind="input", message=str(error), hint=error.hint)
        _leave(database, lambda session: claims.fail(session, claimed, said))
        log.warning("job_refused", job_id=claimed.job_id, reason=str(error))
    except Exception as error:
        if isinstance(error, TransientError) or (isinstance(error, SQLAlchemyError) and outage_of(error)):
            _try_later(work, error)
            return
        log.exception("job_failed", job_id=claimed.job_id)
        said = _defect(error)
        _leave(database, lambda session: claims.fail(session, claimed, said))
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


def _defect(error: Exception) -> JobError:
    return JobError(
        kind="defect",
        message=summary(error),
        hint="The job's log has the circumstances. Retry the job; if it fails again, report it with its traceback.",
        traceback="".join(traceback.format_exception(error)),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
