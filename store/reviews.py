"""Reviews and what the model said of them: how they are stored, listed and shown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import TypeVarTuple

from sqlalchemy import ColumnElement, Select, and_, func, insert, select, update
from sqlalchemy.orm import Session, aliased

from store.database import now
from store.errors import RepeatedExternalIdError
from store.paging import MAX_LIMIT, Page, decode_cursor, encode_cursor
from store.schema import JobReview, Prediction, Review, ReviewRevision

Columns = TypeVarTuple("Columns")

MAX_TEXT = 50_000  # characters
MAX_TITLE = 500
EXTERNAL_IDS_LOCK = 0x68656D  # an arbitrary key, ours alone


@dataclass(frozen=True)
class NewReview:
    """A review as it was handed in. `rating` (1 to 5) and `age` (years) are what the shopper said: labels."""

    text: str
    title: str | None = None
    external_id: str | None = None
    product_id: str | None = None
    department: str | None = None
    class_name: str | None = None
    rating: int | None = None
    age: float | None = None
    reviewed_at: datetime | None = None


@dataclass(frozen=True)
class NewPrediction:
    """What the model says of one review. Probabilities sum to 1; ages are in years, low to high a 90 % interval."""

    rating: int
    rating_probabilities: tuple[float, ...]
    expected_stars: float
    age: float
    age_low: float
    age_high: float
    truncated: bool


@dataclass(frozen=True)
class PredictionView(NewPrediction):
    """A stored prediction, with the model version that made it."""

    model_version: str
    created_at: datetime


@dataclass(frozen=True)
class ReviewView:
    """A stored review and its newest prediction, if it has one."""

    id: int
    external_id: str | None
    product_id: str | None
    department: str | None
    class_name: str | None
    title: str | None
    text: str
    rating: int | None
    age: float | None
    reviewed_at: datetime | None
    created_at: datetime
    prediction: PredictionView | None


@dataclass(frozen=True)
class ReviewFilters:
    """What a list of reviews may be narrowed by; None means any."""

    product_id: str | None = None
    department: str | None = None
    class_name: str | None = None
    rating: int | None = None
    predicted_rating: int | None = None
    model_version: str | None = None
    q: str | None = None


def store_reviews(session: Session, reviews: Sequence[NewReview]) -> list[int]:
    """Store reviews and return their ids in order.

    A review whose `external_id` is known keeps its id, and fields that are not given keep their values. Another title
    or text replaces the old one (kept in `review_revisions`) and takes the prediction away until it is read anew; with
    another text the shopper's own stars and age are replaced as well, given or not: they belong to the words.

    Raises:
        RepeatedExternalIdError: two of the reviews carry the same `external_id`.
    """
    positions: dict[str, int] = {}
    for position, review in enumerate(reviews):
        if review.external_id is not None and positions.setdefault(review.external_id, position) != position:
            raise RepeatedExternalIdError(position, review.external_id)
    known = _lock_known(session, positions)
    at = now(session)
    fresh = [position for position, review in enumerate(reviews) if review.external_id not in known]
    ids: dict[int, int] = dict(zip(fresh, _insert(session, [reviews[p] for p in fresh], at), strict=True))
    for external_id, row in known.items():
        _replace(session, row, reviews[positions[external_id]], at)
        ids[positions[external_id]] = row.id
    return [ids[position] for position in range(len(reviews))]


def _lock_known(session: Session, external_ids: Iterable[str]) -> dict[str, Review]:
    wanted = list(external_ids)
    if not wanted:
        return {}
    if session.get_bind().dialect.name == "postgresql":
        # One writer of external ids at a time, as SQLite has it: two requests must not both insert the same one.
        session.execute(select(func.pg_advisory_xact_lock(EXTERNAL_IDS_LOCK)))
    rows = session.scalars(_locked(select(Review).where(Review.external_id.in_(wanted)))).all()
    return {row.external_id: row for row in rows if row.external_id is not None}


def _locked(wanted: Select[*Columns]) -> Select[*Columns]:
    # Whoever changes several reviews locks them first and in the same order, so that nobody waits in a circle; the
    # weaker lock lets others refer to them meanwhile. SQLite has one writer at a time and needs none of it.
    return wanted.order_by(Review.id).with_for_update(key_share=True, of=Review)


def lock_reviews_of(session: Session, job_ids: Iterable[str]) -> set[tuple[str, int]]:
    """Keep the reviews of these jobs as they are until the transaction ends.

    Returns:
        (job id, review id) for each review that still exists.
    """
    wanted = select(JobReview.job_id, Review.id).join(Review, Review.id == JobReview.review_id)
    return {(row[0], row[1]) for row in session.execute(_locked(wanted.where(JobReview.job_id.in_(job_ids))))}


def _insert(session: Session, reviews: Sequence[NewReview], at: datetime) -> list[int]:
    if not reviews:
        return []
    rows = [{**_columns(review), "revision": 1, "created_at": at, "updated_at": at} for review in reviews]
    statement = insert(Review).returning(Review.id, sort_by_parameter_order=True)
    return list(session.scalars(statement, rows))


def _columns(review: NewReview) -> dict[str, object]:
    return {field.name: getattr(review, field.name) for field in fields(review)}


def _replace(session: Session, row: Review, review: NewReview, at: datetime) -> None:
    values = {name: value for name, value in _columns(review).items() if value is not None}
    has_other_text = row.text != review.text
    if has_other_text or values.get("title", row.title) != row.title:
        session.execute(
            insert(ReviewRevision).values(
                review_id=row.id, revision=row.revision, title=row.title, text=row.text, replaced_at=at
            )
        )
        values |= {"revision": row.revision + 1, "prediction_id": None}
    if has_other_text:
        values |= {"title": review.title, "rating": review.rating, "age": review.age}
    session.execute(update(Review).where(Review.id == row.id).values(**values, updated_at=at))


def store_predictions(
    session: Session,
    *,
    job_id: str,
    model_version: str,
    predictions: Sequence[tuple[int, int, NewPrediction]],
) -> None:
    """Store what a job's model said; a review whose text was replaced meanwhile keeps waiting for its own reading.

    A job that was asked for earlier and ends later does not hide what the later one said.

    Args:
        session: the transaction that also ends the job; it has locked the reviews.
        job_id: the job that asked.
        model_version: the model that answered.
        predictions: (review id, the revision that was read, what was said) for each review that still exists.
    """
    if not predictions:
        return
    at = now(session)
    rows = [
        {
            "review_id": review_id,
            "revision": revision,
            "job_id": job_id,
            "model_version": model_version,
            "rating": said.rating,
            **{f"p{stars}": p for stars, p in enumerate(said.rating_probabilities, start=1)},
            "expected_stars": said.expected_stars,
            "age": said.age,
            "age_low": said.age_low,
            "age_high": said.age_high,
            "truncated": said.truncated,
            "created_at": at,
        }
        for review_id, revision, said in predictions
    ]
    session.execute(insert(Prediction), rows)
    standing = aliased(Prediction)
    has_a_later = select(standing.id).where(standing.id == Review.prediction_id, standing.job_id > job_id).exists()
    session.execute(
        update(Review)
        .where(Prediction.job_id == job_id, Prediction.review_id == Review.id, Prediction.revision == Review.revision)
        .where(~has_a_later)  # job ids sort by time
        .values(prediction_id=Prediction.id)
        .execution_options(synchronize_session=False)
    )


def standing_prediction(session: Session, review_id: int, *, revision: int, model_version: str) -> int | None:
    """The id of a review's newest prediction, if this model version made it of this revision."""
    return session.scalar(
        select(Prediction.id)
        .join(Review, Review.prediction_id == Prediction.id)
        .where(Review.id == review_id, Prediction.revision == revision, Prediction.model_version == model_version)
    )


def prediction_of_job(session: Session, review_id: int, *, job_id: str) -> int:
    """The id of what a job said of a review."""
    wanted = select(Prediction.id).where(Prediction.review_id == review_id, Prediction.job_id == job_id)
    return session.scalars(wanted).one()


def list_reviews(
    session: Session,
    *,
    limit: int = 50,
    cursor: str | None = None,
    filters: ReviewFilters | None = None,
) -> Page[ReviewView]:
    """One page of reviews, newest first.

    Raises:
        UnknownCursorError: `cursor` is not one of this list.
    """
    limit = min(limit, MAX_LIMIT)
    statement = _with_prediction().where(*_conditions(filters or ReviewFilters())).order_by(Review.id.desc())
    if cursor is not None:
        statement = statement.where(Review.id < decode_cursor(cursor, int))
    views = [_view(row, said) for row, said in session.execute(statement.limit(limit + 1))]
    return Page(tuple(views[:limit]), encode_cursor(views[limit - 1].id) if len(views) > limit else None)


def _conditions(filters: ReviewFilters) -> list[ColumnElement[bool]]:
    equal = {
        Review.product_id: filters.product_id,
        Review.department: filters.department,
        Review.class_name: filters.class_name,
        Review.rating: filters.rating,
        Prediction.rating: filters.predicted_rating,
        Prediction.model_version: filters.model_version,
    }
    conditions: list[ColumnElement[bool]] = [column == value for column, value in equal.items() if value is not None]
    if filters.q:
        conditions.append(
            Review.text.icontains(filters.q, autoescape=True) | Review.title.icontains(filters.q, autoescape=True)
        )
    return conditions


def get_review(session: Session, review_id: int) -> ReviewView | None:
    """One review, or None."""
    found = session.execute(_with_prediction().where(Review.id == review_id)).one_or_none()
    return None if found is None else _view(*found)


def reviews_of_job(session: Session, job_id: str) -> list[ReviewView]:
    """The reviews of a job in the order of its request, each with what this job said of it and the text that it read.

    Before the job has spoken a review stands without a prediction: an older one would pass for its answer.
    """
    return [_as_read(row, said, replaced) for row, said, replaced, _ in session.execute(_of_job(job_id))]


def list_reviews_of_job(
    session: Session, job_id: str, *, limit: int = 50, cursor: str | None = None
) -> Page[ReviewView]:
    """One page of what `reviews_of_job` gives.

    Raises:
        UnknownCursorError: `cursor` is not one of this list.
    """
    limit = min(limit, MAX_LIMIT)
    statement = _of_job(job_id).limit(limit + 1)
    if cursor is not None:
        statement = statement.where(JobReview.position > decode_cursor(cursor, int))
    found = session.execute(statement).all()
    views = tuple(_as_read(row, said, replaced) for row, said, replaced, _ in found[:limit])
    return Page(views, encode_cursor(found[limit - 1].position) if len(found) > limit else None)


def _of_job(job_id: str) -> Select[Review, Prediction, ReviewRevision, int]:
    return (
        select(Review, Prediction, ReviewRevision, JobReview.position)
        .join(JobReview, JobReview.review_id == Review.id)
        .outerjoin(Prediction, and_(Prediction.review_id == Review.id, Prediction.job_id == job_id))
        .outerjoin(
            ReviewRevision,  # there is none for the text that stands
            and_(ReviewRevision.review_id == Review.id, ReviewRevision.revision == Prediction.revision),
        )
        .where(JobReview.job_id == job_id)
        .order_by(JobReview.position)
    )


def _as_read(row: Review, said: Prediction | None, replaced: ReviewRevision | None) -> ReviewView:
    view = _view(row, said)
    return view if replaced is None else replace(view, title=replaced.title, text=replaced.text)


def _with_prediction() -> Select[Review, Prediction]:
    return select(Review, Prediction).outerjoin(Prediction, Prediction.id == Review.prediction_id)


def _view(row: Review, said: Prediction | None) -> ReviewView:
    return ReviewView(
        id=row.id,
        external_id=row.external_id,
        product_id=row.product_id,
        department=row.department,
        class_name=row.class_name,
        title=row.title,
        text=row.text,
        rating=row.rating,
        age=row.age,
        reviewed_at=row.reviewed_at,
        created_at=row.created_at,
        prediction=None if said is None else _prediction_view(said),
    )


def _prediction_view(said: Prediction) -> PredictionView:
    return PredictionView(
        rating=said.rating,
        rating_probabilities=(said.p1, said.p2, said.p3, said.p4, said.p5),
        expected_stars=said.expected_stars,
        age=said.age,
        age_low=said.age_low,
        age_high=said.age_high,
        truncated=said.truncated,
        model_version=said.model_version,
        created_at=said.created_at,
    )
