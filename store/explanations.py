"""Which words of a review moved what the model said of it: one explanation for each prediction."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Select, delete, insert, select
from sqlalchemy.orm import Session

from store.database import now
from store.errors import QueueFullError
from store.jobs import Actor, JobKind, JobState, JobView, QueueName, new_job_id, record, view
from store.schema import Explanation, Job, JobReview, Prediction, Review


@dataclass(frozen=True)
class WordWeight:
    """How much one word moved each head; `start` and `end` are characters of the title or of the text."""

    part: Literal["title", "text"]
    start: int
    end: int
    stars: float
    years: float


@dataclass(frozen=True)
class HeadAmounts:
    """One number for each head."""

    stars: float
    years: float


@dataclass(frozen=True)
class NewExplanation:
    """The weights of a review's words. `baseline`, all words' weights and `unexplained` add up to the prediction."""

    words: tuple[WordWeight, ...]
    baseline: HeadAmounts
    unexplained: HeadAmounts


@dataclass(frozen=True)
class ExplanationView(NewExplanation):
    """A stored explanation, with the model version whose prediction it explains."""

    model_version: str
    created_at: datetime


@dataclass(frozen=True)
class Requested:
    """The job that explains a review, and whether this request made it."""

    job: JobView
    is_new: bool


def save(session: Session, explained: NewExplanation, *, prediction_id: int) -> None:
    """Keep the explanation of a prediction, in the place of an earlier one."""
    session.execute(delete(Explanation).where(Explanation.prediction_id == prediction_id))
    weights = asdict(explained)
    session.execute(insert(Explanation).values(prediction_id=prediction_id, weights=weights, created_at=now(session)))


def of_review(session: Session, review_id: int) -> ExplanationView | None:
    """The explanation of a review's newest prediction, or None where it was not computed yet."""
    wanted = (
        select(Explanation, Prediction.model_version)
        .join(Prediction, Prediction.id == Explanation.prediction_id)
        .join(Review, Review.prediction_id == Prediction.id)
        .where(Review.id == review_id)
    )
    found = session.execute(wanted).one_or_none()
    return None if found is None else _view(found[0], model_version=found[1])


def request(session: Session, review_id: int, *, actor: Actor, queue_limit: int, depth: int) -> Requested | None:
    """Ask for the explanation of a review. Ring the bell after the commit, if a job was made.

    Args:
        session: a write transaction.
        review_id: what to explain.
        actor: who asks.
        queue_limit: jobs that may wait.
        depth: how many do, about.

    Returns:
        A new job, or the one that waits or runs already; None when there is no such review.

    Raises:
        QueueFullError: `queue_limit` jobs or more are queued.
    """
    # Two requests side by side must not both find no job.
    locked = select(Review.id).where(Review.id == review_id).with_for_update(key_share=True)
    if session.scalar(locked) is None:
        return None
    if (pending := pending_job(session, review_id)) is not None:
        return Requested(pending, is_new=False)
    if depth >= queue_limit:
        raise QueueFullError(f"{queue_limit} jobs are queued already")
    at = now(session)
    row = Job(
        id=new_job_id(),
        kind=JobKind.EXPLAIN,
        state=JobState.QUEUED,
        queue=QueueName.INTERACTIVE,
        params={"review_id": review_id},
        done=0,
        total=1,
        attempts=0,
        created_by=actor.name,
        user_id=actor.user_id,
        created_at=at,
    )
    session.add(row)
    session.flush()
    session.execute(insert(JobReview).values(job_id=row.id, position=0, review_id=review_id))
    record(session, [row.id], "queued", {"by": actor.name}, at=at)
    return Requested(view(row), is_new=True)


def pending_job(session: Session, review_id: int) -> JobView | None:
    """The explain job of a review that waits or runs, the oldest where there are several."""
    states = [JobState.QUEUED, JobState.RUNNING]
    row = session.scalars(_jobs_of(review_id).where(Job.state.in_(states)).order_by(Job.id).limit(1)).one_or_none()
    return None if row is None else view(row)


def latest_job(session: Session, review_id: int) -> JobView | None:
    """The explain job of a review that was asked for last, whatever became of it."""
    row = session.scalars(_jobs_of(review_id).order_by(Job.id.desc()).limit(1)).one_or_none()
    return None if row is None else view(row)


def _jobs_of(review_id: int) -> Select[Job]:
    return (
        select(Job)
        .join(JobReview, JobReview.job_id == Job.id)
        .where(JobReview.review_id == review_id, Job.kind == JobKind.EXPLAIN)
    )


def _view(row: Explanation, *, model_version: str) -> ExplanationView:
    kept: dict[str, Any] = row.weights
    return ExplanationView(
        words=_words(kept["words"]),
        baseline=HeadAmounts(**kept["baseline"]),
        unexplained=HeadAmounts(**kept["unexplained"]),
        model_version=model_version,
        created_at=row.created_at,
    )


def _words(rows: Sequence[dict[str, Any]]) -> tuple[WordWeight, ...]:
    return tuple(WordWeight(**row) for row in rows)
