"""Data sets: named, versioned, immutable files of labelled reviews, and the jobs that make them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Row, Select, func, insert, null, select, update
from sqlalchemy.orm import Session

from store.database import now
from store.jobs import Actor, Idempotency, JobKind, JobState, QueueName, Submitted, submit_job
from store.paging import MAX_LIMIT, Page, decode_cursor, encode_cursor
from store.schema import Dataset, Job

DatasetState = Literal["importing", "ready", "failed"]

MAX_NAME = 200  # characters
MAPPABLE = ("text", "title", "rating", "age", "department", "class_name", "product_id")
"""Our names for the columns of a data file."""


@dataclass(frozen=True)
class DatasetView:
    """One version of a data set.

    Attributes:
        state: `importing` while its job waits or runs, `ready` for ever after, `failed` when the job ended without it.
        artifact: the uploaded file until it is ready, then its Parquet file, relative to the artifact store.
        job_id: the job that imports it; None once that has been pruned.
        report: what its rows look like; None in lists.
    """

    id: int
    name: str
    version: int
    state: DatasetState
    source: Literal["upload", "corrections"]
    parent_id: int | None
    job_id: str | None
    n_rows: int
    n_rejected: int
    sha256: str | None
    artifact: str | None
    rejects_artifact: str | None
    report: dict[str, Any] | None
    created_by: str
    created_at: datetime


@dataclass(frozen=True)
class Stored:
    """The files of a finished import and what is known of them."""

    sha256: str
    artifact: str
    rejects_artifact: str
    n_rows: int
    n_rejected: int
    report: dict[str, Any]


def submit_import(
    session: Session,
    *,
    name: str,
    upload: str,
    n_bytes: int,
    mapping: Mapping[str, str],
    actor: Actor,
    queue_limit: int,
    idempotency: Idempotency | None = None,
) -> Submitted:
    """Make the next version of a data set, and the job that fills it from an upload. Ring the bell after the commit.

    A repeat under the same idempotency key makes neither; the caller then has an upload too many.

    Args:
        session: a write transaction.
        name: of the data set; one that is there already gets its next version.
        upload: the artifact that was uploaded.
        n_bytes: its size, which the job's progress counts.
        mapping: our column names to the file's, where they are not the public data set's.
        actor: who asks.
        queue_limit: jobs that may wait.
        idempotency: the caller's promise about repeats.

    Raises:
        QueueFullError: `queue_limit` jobs or more are queued.
        IdempotencyConflictError: the key was used with another body in the last 24 hours.
    """
    with session.begin_nested() as made:
        dataset_id = _next_version(session, name=name, artifact=upload, created_by=actor.name)
        submitted = submit_job(
            session,
            kind=JobKind.IMPORT,
            queue=QueueName.DATA,
            params={"dataset_id": dataset_id, "mapping": dict(mapping)},
            total=n_bytes,
            actor=actor,
            queue_limit=queue_limit,
            idempotency=idempotency,
        )
        if submitted.replayed:
            made.rollback()
            return submitted
        session.execute(update(Dataset).where(Dataset.id == dataset_id).values(job_id=submitted.job.id))
    return submitted


def _next_version(session: Session, *, name: str, artifact: str, created_by: str) -> int:
    if session.get_bind().dialect.name == "postgresql":
        # Two uploads of one name that run side by side take their turns: SQLite's write lock does the same.
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"dataset:{name}", 0))))
    newest = session.scalar(select(func.max(Dataset.version)).where(Dataset.name == name)) or 0
    new = insert(Dataset).values(
        name=name,
        version=newest + 1,
        state="importing",
        source="upload",
        artifact=artifact,
        created_by=created_by,
        created_at=now(session),
    )
    return session.execute(new.returning(Dataset.id)).scalar_one()


def make_ready(session: Session, dataset_id: int, stored: Stored) -> bool:
    """Give a version its files, once and for all; False when it has them already."""
    done = (
        update(Dataset)
        .where(Dataset.id == dataset_id, Dataset.state != "ready")
        .values(state="ready", **vars(stored))
        .returning(Dataset.id)
        .execution_options(synchronize_session=False)
    )
    return session.scalar(done) is not None


def get(session: Session, dataset_id: int) -> DatasetView | None:
    """One version with its report, or None."""
    row = session.execute(_versions(Dataset.report).where(Dataset.id == dataset_id)).one_or_none()
    return None if row is None else _view(row)


def list_datasets(
    session: Session, *, name: str | None = None, limit: int = 50, cursor: str | None = None
) -> Page[DatasetView]:
    """One page of the versions of all data sets, or of one, newest first and without their reports.

    Raises:
        UnknownCursorError: `cursor` is not one of this list.
    """
    limit = min(limit, MAX_LIMIT)
    statement = _versions(null().label("report")).order_by(Dataset.id.desc()).limit(limit + 1)
    if name is not None:
        statement = statement.where(Dataset.name == name)
    if cursor is not None:
        statement = statement.where(Dataset.id < decode_cursor(cursor, int))
    views = [_view(row) for row in session.execute(statement)]
    return Page(tuple(views[:limit]), encode_cursor(views[limit - 1].id) if len(views) > limit else None)


def _versions(report: Any) -> Select[*tuple[Any, ...]]:
    columns = [getattr(Dataset, field.name) for field in fields(DatasetView) if field.name != "report"]
    return select(*columns, report, Job.state.label("job_state")).outerjoin(Job, Job.id == Dataset.job_id)


def _view(row: Row[*tuple[Any, ...]]) -> DatasetView:
    values = dict(row._mapping)
    job_state = values.pop("job_state")
    return DatasetView(**values | {"state": _state(values["state"], job_state)})


def _state(stored: str, job_state: str | None) -> str:
    """A version is importing while its job may end well: nobody has to tell it of a cancel, a loss or a retry."""
    if stored == "importing" and (job_state is None or job_state in {JobState.FAILED, JobState.CANCELLED}):
        return "failed"
    return stored
