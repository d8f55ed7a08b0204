"""Jobs as people and programs see them: asked for, looked at, cancelled, tried again.

The transitions that workers and the sweep make are in `store.claims`; together the two modules are the only writers
of `jobs.state`. Each transition is a compare-and-set: no row back means that somebody else won, and is an answer.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from store import reviews as review_store
from store.database import now
from store.errors import IdempotencyConflictError, QueueFullError
from store.paging import MAX_LIMIT, Page, decode_cursor, encode_cursor
from store.reviews import NewReview
from store.schema import JOB_ID_LENGTH, IdempotencyKey, Job, JobEvent, JobLog, JobReview

IDEMPOTENCY_KEPT = timedelta(hours=24)
INTERACTIVE_MAX_REVIEWS = 32  # a larger request is bulk work and yields to people who wait


class JobKind(StrEnum):
    """What a job asks for."""

    PREDICT = "predict"
    TRAIN = "train"
    RESCORE = "rescore"
    EVALUATE = "evaluate"
    EXPORT = "export"
    IMPORT = "import"
    EXPLAIN = "explain"


TITLES = {
    JobKind.PREDICT: "reading",
    JobKind.TRAIN: "training",
    JobKind.RESCORE: "rescoring",
    JobKind.EVALUATE: "evaluation",
    JobKind.EXPORT: "export",
    JobKind.IMPORT: "import",
    JobKind.EXPLAIN: "explanation",
}
UNITS = {JobKind.TRAIN: "step", JobKind.IMPORT: "row"}


class JobState(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether only a person's retry leaves this state."""
        return self in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}


class QueueName(StrEnum):
    """Where a job waits. Workers serve their queues in this order."""

    INTERACTIVE = "interactive"
    BULK = "bulk"
    DATA = "data"
    TRAIN = "train"


@dataclass(frozen=True)
class Actor:
    """Who asks: `name` is shown and recorded, `key` separates the idempotency keys of different callers."""

    user_id: int | None
    token_id: int | None
    name: str

    @property
    def key(self) -> str:
        """Whose idempotency keys these are."""
        return f"token:{self.token_id}" if self.token_id is not None else f"user:{self.user_id}"


@dataclass(frozen=True)
class Idempotency:
    """A caller's promise that the same key means the same request."""

    key: str
    body_sha256: str


@dataclass(frozen=True)
class JobError:
    """Why a job failed. Input is the asker's to mend, transient passes, a defect is ours."""

    kind: Literal["input", "transient", "defect"]
    message: str
    hint: str | None = None
    traceback: str | None = None


@dataclass(frozen=True)
class JobView:
    """A job as it stands."""

    id: str
    kind: JobKind
    state: JobState
    queue: QueueName
    params: dict[str, Any]
    done: int
    total: int
    phase: str | None
    attempts: int
    result: dict[str, Any] | None
    error: JobError | None
    created_by: str
    worker_id: str | None
    parent_id: str | None
    is_parent: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested: bool
    stop_requested: bool

    @property
    def title(self) -> str:
        """What kind of work this is, as a noun."""
        return TITLES[self.kind]

    @property
    def unit(self) -> str:
        """What `done` and `total` count, one of them."""
        return UNITS.get(self.kind, "review")

    @property
    def can_stop(self) -> bool:
        """Whether it can end early and keep what it has."""
        return self.kind is JobKind.TRAIN and self.state is JobState.RUNNING


@dataclass(frozen=True)
class JobEventView:
    """One line of a job's history."""

    id: int
    at: datetime
    name: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Submitted:
    """An accepted request: its job, its reviews in order, and whether an earlier request had made it already."""

    job: JobView
    review_ids: tuple[int, ...]
    replayed: bool


def submit_reviews(
    session: Session,
    reviews: Sequence[NewReview],
    *,
    actor: Actor,
    queue_limit: int,
    depth: int | None = None,
    idempotency: Idempotency | None = None,
) -> Submitted:
    """Store reviews and the job that reads them. Ring the bell after the commit.

    Args:
        session: a write transaction.
        reviews: what to read, in order.
        actor: who asks.
        queue_limit: jobs that may wait.
        depth: how many do, where the caller knows it about; else they are counted here, under the write lock.
        idempotency: the caller's promise about repeats.

    Raises:
        QueueFullError: `queue_limit` jobs or more are queued.
        IdempotencyConflictError: the key was used with another body in the last 24 hours.
        RepeatedExternalIdError: two of the reviews carry the same `external_id`.
    """
    if idempotency is not None and (earlier := _earlier_job(session, actor, idempotency)) is not None:
        return Submitted(earlier, _review_ids(session, earlier.id), replayed=True)
    _refuse_over(queue_limit, n_queued(session, at_most=queue_limit) if depth is None else depth)
    review_ids = review_store.store_reviews(session, reviews)
    row = _queue_row(
        session,
        kind=JobKind.PREDICT,
        queue=QueueName.INTERACTIVE if len(reviews) <= INTERACTIVE_MAX_REVIEWS else QueueName.BULK,
        params={"n_reviews": len(reviews)},
        total=len(reviews),
        actor=actor,
        idempotency=idempotency,
    )
    session.execute(
        insert(JobReview),
        [{"job_id": row.id, "position": p, "review_id": review_id} for p, review_id in enumerate(review_ids)],
    )
    return Submitted(view(row), tuple(review_ids), replayed=False)


def submit_job(
    session: Session,
    *,
    kind: JobKind,
    queue: QueueName,
    params: dict[str, Any],
    total: int = 1,
    actor: Actor,
    queue_limit: int,
    idempotency: Idempotency | None = None,
) -> Submitted:
    """Store a job that reads no reviews of its own, such as an import or a training. Ring the bell after the commit.

    Args:
        session: a write transaction.
        kind: what is asked for.
        queue: where it waits.
        params: what its code is told.
        total: how many steps its progress counts, as far as is known.
        actor: who asks.
        queue_limit: jobs that may wait.
        idempotency: the caller's promise about repeats.

    Raises:
        QueueFullError: `queue_limit` jobs or more are queued.
        IdempotencyConflictError: the key was used with another body in the last 24 hours.
    """
    if idempotency is not None and (earlier := _earlier_job(session, actor, idempotency)) is not None:
        return Submitted(earlier, (), replayed=True)
    _refuse_over(queue_limit, n_queued(session, at_most=queue_limit))
    row = _queue_row(session, kind=kind, queue=queue, params=params, total=total, actor=actor, idempotency=idempotency)
    return Submitted(view(row), (), replayed=False)


def _refuse_over(queue_limit: int, depth: int) -> None:
    if depth >= queue_limit:
        raise QueueFullError(f"{queue_limit} jobs are queued already")


def _queue_row(
    session: Session,
    *,
    kind: JobKind,
    queue: QueueName,
    params: dict[str, Any],
    total: int,
    actor: Actor,
    idempotency: Idempotency | None,
) -> Job:
    at = now(session)
    row = Job(
        id=new_job_id(),
        kind=kind,
        state=JobState.QUEUED,
        queue=queue,
        params=params,
        done=0,
        total=total,
        attempts=0,
        created_by=actor.name,
        user_id=actor.user_id,
        created_at=at,
    )
    session.add(row)
    session.flush()
    record(session, [row.id], "queued", {"by": actor.name}, at=at)
    if idempotency is not None:
        session.add(
            IdempotencyKey(
                owner=actor.key,
                key=idempotency.key,
                body_sha256=idempotency.body_sha256,
                job_id=row.id,
                created_at=at,
            )
        )
    return row


def new_job_id() -> str:
    """An id that sorts by the millisecond of its making: 12 hex digits of time, 20 of chance."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex((JOB_ID_LENGTH - 12) // 2)}"


def _earlier_job(session: Session, actor: Actor, idempotency: Idempotency) -> JobView | None:
    if session.get_bind().dialect.name == "postgresql":
        # Equal requests that run side by side wait for the first: SQLite's write lock does the same.
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(actor.key + idempotency.key, 0))))
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < now(session) - IDEMPOTENCY_KEPT))
    row = session.get(IdempotencyKey, (actor.key, idempotency.key))
    if row is None:
        return None
    if row.body_sha256 != idempotency.body_sha256:
        raise IdempotencyConflictError("Idempotency-Key: this key was used with another body in the last 24 hours")
    return get(session, row.job_id)


def n_queued(session: Session, *, at_most: int) -> int:
    """How many jobs wait in all queues; the count stops at `at_most`."""
    waiting = select(Job.id).where(Job.state == JobState.QUEUED).limit(at_most).subquery()
    return session.scalar(select(func.count()).select_from(waiting)) or 0


def _review_ids(session: Session, job_id: str) -> tuple[int, ...]:
    return tuple(
        session.scalars(select(JobReview.review_id).where(JobReview.job_id == job_id).order_by(JobReview.position))
    )


def get(session: Session, job_id: str) -> JobView | None:
    """One job, or None."""
    row = session.get(Job, job_id, populate_existing=True)
    return None if row is None else view(row)


def list_jobs(
    session: Session,
    *,
    state: JobState | None = None,
    kind: JobKind | None = None,
    queue: QueueName | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[JobView]:
    """One page of jobs, newest first.

    Raises:
        UnknownCursorError: `cursor` is not one of this list.
    """
    limit = min(limit, MAX_LIMIT)
    statement = select(Job).order_by(Job.id.desc()).limit(limit + 1)
    for column, wanted in ((Job.state, state), (Job.kind, kind), (Job.queue, queue)):
        if wanted is not None:
            statement = statement.where(column == wanted)
    if cursor is not None:
        statement = statement.where(Job.id < decode_cursor(cursor, str))
    views = [view(row) for row in session.scalars(statement)]
    return Page(tuple(views[:limit]), encode_cursor(views[limit - 1].id) if len(views) > limit else None)


def counts(session: Session) -> dict[JobState, int]:
    """How many jobs are in each state."""
    rows = session.execute(select(Job.state, func.count().label("n_jobs")).group_by(Job.state)).all()
    found = {row.state: row.n_jobs for row in rows}
    return {state: found.get(state, 0) for state in JobState}


def events(session: Session, job_id: str) -> list[JobEventView]:
    """The history of a job, oldest first."""
    rows = session.scalars(select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.id))
    return [JobEventView(row.id, row.at, row.name, row.data) for row in rows]


def queue_position(session: Session, job: JobView) -> int | None:
    """How many jobs of its queue are before this one; None unless it waits."""
    if job.state is not JobState.QUEUED:
        return None
    ahead = select(func.count()).where(Job.queue == job.queue, Job.state == JobState.QUEUED, Job.id < job.id)
    return session.scalar(ahead) or 0


def cancel(session: Session, job_id: str, *, by: str) -> JobView | None:
    """Cancel a job: at once while it waits, at the worker's next look while it runs.

    Returns:
        The job as it now stands, or None when there is none or it was final already.
    """
    at = now(session)
    waiting = (
        update(Job)
        .where(Job.id == job_id, Job.state == JobState.QUEUED)
        .values(state=JobState.CANCELLED, finished_at=at, cancel_requested_at=at)
        .returning(Job.id)
    )
    running = (
        update(Job)
        .where(Job.id == job_id, Job.state == JobState.RUNNING, Job.cancel_requested_at.is_(None))
        .values(cancel_requested_at=at)
        .returning(Job.id)
    )
    if session.scalar(waiting) is not None:
        record(session, [job_id], "cancelled", {"by": by}, at=at)
    elif session.scalar(running) is not None:
        record(session, [job_id], "cancel_requested", {"by": by}, at=at)
    else:
        standing = get(session, job_id)
        return standing if standing is not None and not standing.state.is_final else None
    return get(session, job_id)


def stop(session: Session, job_id: str, *, by: str) -> JobView | None:
    """Ask a running training to end early and keep what it has; None when there is none that runs."""
    at = now(session)
    asked = (
        update(Job)
        .where(
            Job.id == job_id,
            Job.kind == JobKind.TRAIN,
            Job.state == JobState.RUNNING,
            Job.stop_requested_at.is_(None),
        )
        .values(stop_requested_at=at)
        .returning(Job.id)
    )
    if session.scalar(asked) is not None:
        record(session, [job_id], "stop_requested", {"by": by}, at=at)
    standing = get(session, job_id)
    return standing if standing is not None and standing.can_stop else None


def add_log(session: Session, job_id: str, text: str) -> None:
    """Append to what a job's process printed."""
    session.execute(insert(JobLog).values(job_id=job_id, at=now(session), text=text.replace("\x00", "\ufffd")))


def whole_log(session: Session, job_id: str, *, last: int | None = None) -> str:
    """What a job's process printed, oldest first; with `last`, the last so many pieces of a second or two each."""
    newest_first = select(JobLog.text).where(JobLog.job_id == job_id).order_by(JobLog.id.desc()).limit(last)
    return "".join(reversed(session.scalars(newest_first).all()))


def retry(session: Session, job_id: str, *, by: str) -> JobView | None:
    """Queue a failed or cancelled job again, with its whole allowance of attempts.

    Returns:
        The job as it now stands, or None when there is none in a state that allows it.
    """
    again = (
        update(Job)
        .where(Job.id == job_id, Job.state.in_([JobState.FAILED, JobState.CANCELLED]))
        .values(
            state=JobState.QUEUED,
            done=0,
            attempts=0,
            lapses_alone=[],
            run_alone=False,
            run_after=None,
            error=None,
            worker_id=None,
            cancel_requested_at=None,
            stop_requested_at=None,
            phase=None,
            result=None,
            started_at=None,
            finished_at=None,
        )
        .returning(Job.id)
    )
    if session.scalar(again) is None:
        return None
    record(session, [job_id], "retried", {"by": by})
    return get(session, job_id)


def record(
    session: Session, job_ids: Sequence[str], name: str, data: dict[str, Any], *, at: datetime | None = None
) -> None:
    """Append the same line to the history of each of these jobs."""
    if job_ids:
        at = at or now(session)
        session.execute(insert(JobEvent), [{"job_id": i, "at": at, "name": name, "data": data} for i in job_ids])


def view(row: Job) -> JobView:
    """The frozen view of a row."""
    return JobView(
        id=row.id,
        kind=JobKind(row.kind),
        state=JobState(row.state),
        queue=QueueName(row.queue),
        params=row.params,
        done=row.done,
        total=row.total,
        phase=row.phase,
        attempts=row.attempts,
        result=row.result,
        error=JobError(**row.error) if row.error else None,
        created_by=row.created_by,
        worker_id=row.worker_id,
        parent_id=row.parent_id,
        is_parent=row.is_parent,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        cancel_requested=row.cancel_requested_at is not None,
        stop_requested=row.stop_requested_at is not None,
    )
