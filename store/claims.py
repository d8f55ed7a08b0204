"""What workers and the sweep do to jobs: claim, renew, succeed, fail, hand back, recover.

A claim raises the job's fence; every later write of that worker names it, so that a worker which lost its lease
(paused, cut off, presumed dead) is refused. The result of a job and its final state are one transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

from sqlalchemy import Row, Select, case, func, literal, or_, select, tuple_, update
from sqlalchemy.orm import Session

from store import explanations
from store import reviews as review_store
from store.database import now
from store.explanations import NewExplanation
from store.jobs import JobError, JobKind, JobState, QueueName, record
from store.reviews import NewPrediction
from store.schema import Job, JobReview, Review, UtcDateTime, Worker

MAX_CRASHES_ALONE = 5
POISON = JobError(
    kind="defect",
    message=f"The worker died {MAX_CRASHES_ALONE} times while it read this job and nothing else.",
    hint="Look at the worker's log around these times; retry the job once the cause is mended.",
)


@dataclass(frozen=True)
class ClaimedReview:
    """The text that a claimed job wants read, as it stood at the claim."""

    review_id: int
    revision: int
    title: str | None
    text: str


@dataclass(frozen=True)
class Claim:
    """A job that this worker holds while the fence stands."""

    job_id: str
    queue: QueueName
    fence: int
    reviews: tuple[ClaimedReview, ...]
    kind: JobKind = JobKind.PREDICT


@dataclass(frozen=True)
class Wishes:
    """What the database says to a worker of a job that it believes it holds."""

    is_held: bool
    is_cancelled: bool
    is_stopped: bool


@dataclass(frozen=True)
class Swept:
    """What one sweep repaired."""

    requeued: tuple[str, ...]
    quarantined: tuple[str, ...]
    cancelled: tuple[str, ...]


def claim(session: Session, *, queue: QueueName, max_reviews: int, worker_id: str, lease_s: float) -> list[Claim]:
    """Take the oldest ready job of a queue and as many after it as fill `max_reviews`; none when nothing waits.

    A job that explains is taken alone; so is one that crashed a worker before, for the next crash to be laid to it.
    """
    at = now(session)
    ready = list(session.execute(_ready(queue, at)))
    chosen = _first_that_fit(ready, max_reviews)
    if not chosen:
        return []
    taken = session.execute(
        update(Job)
        .where(Job.id.in_(chosen), Job.state == JobState.QUEUED)
        .values(
            state=JobState.RUNNING,
            fence=Job.fence + 1,
            attempts=Job.attempts + 1,
            claimed_with=len(chosen),
            done=0,
            worker_id=worker_id,
            lease_expires_at=at + timedelta(seconds=lease_s),
            started_at=at,
        )
        .returning(Job.id, Job.fence)
    )
    fences = {row.id: row.fence for row in taken}
    record(session, sorted(fences), "claimed", {"worker": worker_id}, at=at)
    texts = _texts(session, fences)
    kinds = {job_id: JobKind(kind) for job_id, _, _, kind in ready}
    return [
        Claim(job_id, queue, fences[job_id], tuple(texts[job_id]), kinds[job_id])
        for job_id in chosen
        if job_id in fences
    ]


def claim_work(session: Session, *, queue: QueueName, worker_id: str, lease_s: float) -> Claim | None:
    """Take the oldest ready job of a queue whose jobs run alone, in a process of their own; None when nothing waits.

    How far an earlier attempt came stays: it goes on from there.
    """
    at = now(session)
    oldest = (
        select(Job.id)
        .where(
            Job.queue == queue,
            Job.state == JobState.QUEUED,
            Job.kind != JobKind.PREDICT,
            or_(Job.run_after.is_(None), Job.run_after <= at),
        )
        .order_by(Job.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    job_id = session.scalar(oldest)
    if job_id is None:
        return None
    fence = session.scalar(
        update(Job)
        .where(Job.id == job_id, Job.state == JobState.QUEUED)
        .values(
            state=JobState.RUNNING,
            fence=Job.fence + 1,
            attempts=Job.attempts + 1,
            claimed_with=1,
            worker_id=worker_id,
            lease_expires_at=at + timedelta(seconds=lease_s),
            started_at=func.coalesce(Job.started_at, literal(at, UtcDateTime())),
        )
        .returning(Job.fence)
    )
    if fence is None:
        return None
    record(session, [job_id], "claimed", {"worker": worker_id}, at=at)
    return Claim(job_id, queue, fence, ())


def wishes(session: Session, claimed: Claim) -> Wishes:
    """Whether a claim still stands, and what people want of its job. Costs no lock."""
    row = session.execute(
        select(Job.state, Job.fence, Job.cancel_requested_at, Job.stop_requested_at).where(Job.id == claimed.job_id)
    ).one_or_none()
    is_held = row is not None and row.state == JobState.RUNNING and row.fence == claimed.fence
    return Wishes(
        is_held=is_held,
        is_cancelled=row is not None and row.cancel_requested_at is not None,
        is_stopped=row is not None and row.stop_requested_at is not None,
    )


def advance(session: Session, claimed: Claim, *, done: int, total: int, phase: str | None) -> bool:
    """Record how far a job has come; False when its claim had lapsed. What is written beside it is guarded by that."""
    statement = update(Job).where(_held([claimed])).values(done=min(done, total), total=total, phase=phase)
    statement = statement.returning(Job.id).execution_options(synchronize_session=False)
    return session.scalar(statement) is not None


def hold(session: Session, claimed: Claim) -> bool:
    """Make sure that a claim stands until this transaction ends; False when it had lapsed."""
    return session.scalar(select(Job.id).where(_held([claimed])).with_for_update()) is not None


def finish(session: Session, claimed: Claim, result: dict[str, Any]) -> bool:
    """End a job that made something; False when its claim had lapsed. Write what it made in the same transaction."""
    at = now(session)
    values = {
        "state": JobState.SUCCEEDED,
        "done": Job.total,
        "phase": None,
        "result": result,
        "lease_expires_at": None,
        "finished_at": at,
        "error": None,
    }
    left = _leave(session, claimed, values)
    if left is not None:
        record(session, [claimed.job_id], "succeeded", result, at=at)
    return left is not None


def crashed(session: Session, claimed: Claim, *, reason: str, back_off_s: float) -> JobState | None:
    """Queue a job again whose process died, or give up on it once that happened often at the same place.

    A crash counts only against an attempt that came no further than the one before: a training that is killed again
    and again, and goes on from its checkpoint each time, is not to blame.

    Returns:
        The state that the job is in now, None when its claim had lapsed.
    """
    at = now(session)
    row = session.execute(
        select(Job).where(_held([claimed])).with_for_update().execution_options(populate_existing=True)
    ).scalar_one_or_none()
    if row is None:
        return None
    crash = {"worker": f"{claimed.job_id}#{claimed.fence}", "at": at.isoformat(), "done": str(row.done)}
    lapses = [*_at_the_same_place(row), crash]
    values: dict[str, Any] = {"lapses_alone": lapses, "lease_expires_at": None}
    if row.cancel_requested_at is not None:
        values |= {"state": JobState.CANCELLED, "finished_at": at}
    elif len(lapses) >= MAX_CRASHES_ALONE:
        poison = JobError(
            kind="defect",
            message=f"Its process died {MAX_CRASHES_ALONE} times at the same place: {reason}.",
            hint="Look at the job's log; retry the job once the cause is mended.",
        )
        values |= {"state": JobState.FAILED, "finished_at": at, "error": asdict(poison)}
    else:
        pause = timedelta(seconds=back_off_s * 2 ** (len(lapses) - 1))
        values |= {"state": JobState.QUEUED, "worker_id": None, "run_after": at + pause}
    left = _leave(session, claimed, values)
    if left is not None:
        event = {JobState.CANCELLED: "cancelled", JobState.FAILED: "quarantined"}.get(left, "crashed")
        record(session, [claimed.job_id], event, {"reason": reason}, at=at)
    return left


def _ready(queue: QueueName, at: datetime, *, at_most: int = 256) -> Select[str, int, bool, str]:
    return (
        select(Job.id, Job.total, Job.run_alone, Job.kind)
        .where(
            Job.queue == queue,
            Job.state == JobState.QUEUED,
            Job.kind.in_([JobKind.PREDICT, JobKind.EXPLAIN]),
            or_(Job.run_after.is_(None), Job.run_after <= at),
        )
        .order_by(Job.id)
        .limit(at_most)
        .with_for_update(skip_locked=True)
    )


def _first_that_fit(ready: Sequence[Row[str, int, bool, str]], max_reviews: int) -> list[str]:
    if not ready:
        return []
    if ready[0][2] or ready[0][3] == JobKind.EXPLAIN:
        return [ready[0][0]]
    together = [
        (job_id, total) for job_id, total, run_alone, kind in ready if not run_alone and kind != JobKind.EXPLAIN
    ]
    sums = accumulate(total for _, total in together)
    fitting = [job_id for (job_id, _), upto in zip(together, sums, strict=True) if upto <= max_reviews]
    return fitting or [together[0][0]]  # a job larger than the batch is a batch of its own


def _texts(session: Session, job_ids: Mapping[str, int]) -> dict[str, list[ClaimedReview]]:
    texts: dict[str, list[ClaimedReview]] = {job_id: [] for job_id in job_ids}
    rows = session.execute(
        select(JobReview.job_id, Review.id, Review.revision, Review.title, Review.text)
        .join(Review, Review.id == JobReview.review_id)
        .where(JobReview.job_id.in_(job_ids))
        .order_by(JobReview.job_id, JobReview.position)
    )
    for job_id, review_id, revision, title, text in rows:
        texts[job_id].append(ClaimedReview(review_id, revision, title, text))
    return texts


@dataclass(frozen=True)
class Renewed:
    """Which claims still stand, and which of those a person wants cancelled."""

    held: frozenset[str]
    cancel: frozenset[str]


def renew(session: Session, claims: Sequence[Claim], *, lease_s: float, done: Mapping[str, int]) -> Renewed:
    """Prolong the leases of these claims and say how far each has come.

    Args:
        session: a write transaction.
        claims: what this worker believes it holds.
        lease_s: seconds from now until the claims lapse.
        done: reviews read so far, by job id; jobs that are missing keep their figure.
    """
    values: dict[str, Any] = {"lease_expires_at": now(session) + timedelta(seconds=lease_s)}
    if done:
        values["done"] = case(done, value=Job.id, else_=Job.done)
    rows = session.execute(
        update(Job)
        .where(_held(claims))
        .values(**values)
        .returning(Job.id, Job.cancel_requested_at)
        .execution_options(synchronize_session=False)
    ).all()
    return Renewed(frozenset(row.id for row in rows), frozenset(row.id for row in rows if row.cancel_requested_at))


def _held(claims: Sequence[Claim]) -> Any:
    return (Job.state == JobState.RUNNING) & tuple_(Job.id, Job.fence).in_([(c.job_id, c.fence) for c in claims])


def succeed(
    session: Session, claims: Sequence[Claim], predictions: Sequence[Sequence[NewPrediction]], *, model_version: str
) -> frozenset[str]:
    """End these claims with their predictions. A claim that lapsed is refused: its predictions are dropped.

    Args:
        session: a write transaction, which must hold nothing else.
        claims: what this worker believes it holds.
        predictions: for each claim, one prediction for each of its reviews.
        model_version: the model that made them.

    Returns:
        The ids of the jobs that this call ended.
    """
    at = now(session)
    ended = frozenset(
        session.scalars(
            update(Job)
            .where(_held(claims))
            .values(state=JobState.SUCCEEDED, done=Job.total, lease_expires_at=None, finished_at=at, error=None)
            .returning(Job.id)
            .execution_options(synchronize_session=False)
        )
    )
    existing = review_store.lock_reviews_of(session, ended)  # somebody may have deleted one since the claim
    for claimed, said in zip(claims, predictions, strict=True):
        if claimed.job_id in ended:
            review_store.store_predictions(
                session,
                job_id=claimed.job_id,
                model_version=model_version,
                predictions=[
                    (review.review_id, review.revision, prediction)
                    for review, prediction in zip(claimed.reviews, said, strict=True)
                    if (claimed.job_id, review.review_id) in existing
                ],
            )
    record(session, sorted(ended), "succeeded", {"model": model_version}, at=at)
    return ended


def succeed_explained(
    session: Session, claimed: Claim, said: NewPrediction, explained: NewExplanation, *, model_version: str
) -> bool:
    """End an explain claim with the weights of its one review; False when the claim had lapsed.

    They belong to the review's newest prediction if this model made it of this text; else this one is stored as well.

    Args:
        session: a write transaction, which must hold nothing else.
        claimed: what this worker believes it holds.
        said: what the model says of the review.
        explained: why.
        model_version: the model.
    """
    at = now(session)
    values = {
        "state": JobState.SUCCEEDED,
        "done": Job.total,
        "lease_expires_at": None,
        "finished_at": at,
        "error": None,
    }
    if _leave(session, claimed, values) is None:
        return False
    record(session, [claimed.job_id], "succeeded", {"model": model_version}, at=at)
    [review] = claimed.reviews
    if (claimed.job_id, review.review_id) not in review_store.lock_reviews_of(session, [claimed.job_id]):
        return True  # somebody deleted it since the claim
    standing = review_store.standing_prediction(
        session, review.review_id, revision=review.revision, model_version=model_version
    )
    if standing is None:
        review_store.store_predictions(
            session,
            job_id=claimed.job_id,
            model_version=model_version,
            predictions=[(review.review_id, review.revision, said)],
        )
        standing = review_store.prediction_of_job(session, review.review_id, job_id=claimed.job_id)
    explanations.save(session, explained, prediction_id=standing)
    return True


def fail(session: Session, claimed: Claim, error: JobError) -> bool:
    """End a claim with its reason; False when the claim had lapsed."""
    at = now(session)
    values = {"state": JobState.FAILED, "lease_expires_at": None, "finished_at": at, "error": asdict(error)}
    left = _leave(session, claimed, values)
    if left is not None:
        record(session, [claimed.job_id], "failed", {"message": error.message}, at=at)
    return left is not None


def confirm_cancel(session: Session, claimed: Claim) -> bool:
    """End a claim that a person asked to cancel; False when the claim had lapsed."""
    at = now(session)
    left = _leave(session, claimed, {"state": JobState.CANCELLED, "lease_expires_at": None, "finished_at": at})
    if left is not None:
        record(session, [claimed.job_id], "cancelled", {}, at=at)
    return left is not None


def release(session: Session, claimed: Claim, *, run_alone: bool = False, run_after_s: float = 0.0) -> bool:
    """Hand a claim back unfinished; False when it had lapsed. A job that a person wants cancelled ends instead.

    Args:
        session: a write transaction.
        claimed: what this worker believes it holds.
        run_alone: the batch that it was in failed, and it may be the cause.
        run_after_s: seconds that must pass before it is claimed again.
    """
    at = now(session)
    is_unwanted = Job.cancel_requested_at.is_not(None)
    values: dict[str, Any] = {
        "state": case((is_unwanted, JobState.CANCELLED), else_=JobState.QUEUED),
        "finished_at": case((is_unwanted, literal(at, UtcDateTime())), else_=None),
        "worker_id": case((is_unwanted, Job.worker_id), else_=None),
        "lease_expires_at": None,
        "run_after": at + timedelta(seconds=run_after_s) if run_after_s else None,
    }
    if run_alone:
        values["run_alone"] = True
    left = _leave(session, claimed, values)
    if left is JobState.CANCELLED:
        record(session, [claimed.job_id], "cancelled", {}, at=at)
    elif left is not None:
        record(session, [claimed.job_id], "released", {"run_alone": run_alone}, at=at)
    return left is not None


def _leave(session: Session, claimed: Claim, values: dict[str, Any]) -> JobState | None:
    statement = update(Job).where(_held([claimed])).values(**values).returning(Job.state)
    left = session.scalar(statement.execution_options(synchronize_session=False))
    return None if left is None else JobState(left)


def sweep(session: Session) -> Swept:
    """Recover the jobs whose lease lapsed: queue them again, alone; give up on one that keeps crashing alone.

    A lapse is laid to the job when it ran alone and its worker was never heard of again. A worker that wrote a
    heartbeat after the lease ran out was alive: it was suspended, or could not reach the database. Whether it lives is
    not yet known when the sweep comes first, so each lapse is kept with its worker and all are judged again at the
    next one. A heartbeat's age would not tell them apart: it is as old in a worker that was suspended as in a dead one,
    and still fresh in one that died with a short lease. A process that is restarted is another worker, with an id of
    its own.
    """
    at = now(session)
    swept: dict[str, list[str]] = {"cancelled": [], "quarantined": [], "lease_lapsed": []}
    lapsed = (Job.state == JobState.RUNNING) & (Job.lease_expires_at < at)
    # A job that is locked is being ended or renewed at this moment.
    for job in session.scalars(select(Job).where(lapsed).order_by(Job.id).with_for_update(skip_locked=True)).all():
        suspected = _unheard_of(session, _at_the_same_place(job) + _lapse(job))
        if job.cancel_requested_at is not None:
            event, values = "cancelled", {"state": JobState.CANCELLED, "finished_at": at}
        elif len(suspected) >= MAX_CRASHES_ALONE:
            event, values = "quarantined", {"state": JobState.FAILED, "finished_at": at, "error": asdict(POISON)}
        else:
            event, values = "lease_lapsed", {"state": JobState.QUEUED, "worker_id": None, "run_alone": True}
        session.execute(
            update(Job).where(Job.id == job.id).values(**values, lease_expires_at=None, lapses_alone=suspected)
        )
        swept[event].append(job.id)
    record(session, swept["cancelled"], "cancelled", {}, at=at)
    record(session, swept["quarantined"], "quarantined", {"message": POISON.message}, at=at)
    record(session, swept["lease_lapsed"], "lease_lapsed", {}, at=at)
    return Swept(tuple(swept["lease_lapsed"]), tuple(swept["quarantined"]), tuple(swept["cancelled"]))


def _lapse(job: Job) -> list[dict[str, str]]:
    if job.claimed_with != 1 or job.worker_id is None or job.lease_expires_at is None:
        return []
    return [{"worker": job.worker_id, "at": job.lease_expires_at.isoformat(), "done": str(job.done)}]


def _at_the_same_place(job: Job) -> list[dict[str, str]]:
    """Earlier lapses that count: a long job goes on where it was, and one that came further is not to blame."""
    if job.kind in {JobKind.PREDICT, JobKind.EXPLAIN}:
        return job.lapses_alone
    furthest = max((int(lapse.get("done", 0)) for lapse in job.lapses_alone), default=-1)
    return job.lapses_alone if job.done <= furthest else []


def _unheard_of(session: Session, lapses: list[dict[str, str]]) -> list[dict[str, str]]:
    wanted = select(Worker.id, Worker.heartbeat_at).where(Worker.id.in_([lapse["worker"] for lapse in lapses]))
    heard = {row.id: row.heartbeat_at for row in session.execute(wanted)}
    return [
        lapse
        for lapse in lapses
        if lapse["worker"] not in heard or heard[lapse["worker"]] <= datetime.fromisoformat(lapse["at"])
    ]


def anything_ready(session: Session, queue: QueueName) -> bool:
    """Whether a claim would find something: asked of a reader, so that an idle worker takes no write lock."""
    ready = (Job.run_after.is_(None)) | (Job.run_after <= now(session))
    waiting = select(Job.id).where(Job.queue == queue, Job.state == JobState.QUEUED, ready).limit(1)
    return session.scalar(waiting) is not None


def anything_lapsed(session: Session) -> bool:
    """Whether a sweep would find something: asked of a reader, so that an idle sweeper takes no write lock."""
    lapsed = select(Job.id).where(Job.state == JobState.RUNNING, Job.lease_expires_at < now(session)).limit(1)
    return session.scalar(lapsed) is not None


def waiting_queues(session: Session, *, longer_than_s: float) -> dict[QueueName, str]:
    """The queues in which a ready job has waited at least so long, with such a job: their bell may have been lost."""
    since = func.coalesce(Job.run_after, Job.created_at)
    rows = session.execute(
        select(Job.queue, func.min(Job.id).label("job_id"))
        .where(Job.state == JobState.QUEUED, since <= now(session) - timedelta(seconds=longer_than_s))
        .group_by(Job.queue)
    )
    return {QueueName(row.queue): row.job_id for row in rows}
