"""From the store's dataclasses to what the API gives."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from flask import url_for
from sqlalchemy.orm import Session

from store import jobs
from store.errors import UnknownCursorError
from store.jobs import JobKind, JobState, JobView
from store.paging import Page, decode_cursor, encode_cursor
from web.estimates import eta_s
from web.inputs import PageIn
from web.outputs import JobErrorOut, JobOut

Item = TypeVar("Item")
Key = TypeVar("Key", int, str)


def job_out(db: Session, job: JobView) -> JobOut:
    """A job with its place in the queue, its expected end and its links."""
    return JobOut(
        id=job.id,
        kind=job.kind,
        state=job.state,
        queue=job.queue,
        queue_position=jobs.queue_position(db, job) if job.state is JobState.QUEUED else None,
        params=job.params,
        done=job.done,
        total=job.total,
        eta_s=eta_s(job),
        attempts=job.attempts,
        error=JobErrorOut.model_validate(job.error) if job.error else None,
        created_by=job.created_by,
        worker_id=job.worker_id,
        parent_id=job.parent_id,
        cancel_requested=job.cancel_requested,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        links=_links(job),
    )


def page_of(items: Sequence[Item], asked: PageIn, *, key: Callable[[Item], Key]) -> Page[Item]:
    """One page of a short list that is already in order; the cursor is the key of the last item given.

    Raises:
        UnknownCursorError: the cursor is not one of this list, or its item has left it.
    """
    start = 0
    if asked.cursor is not None:
        keys = [key(item) for item in items]
        last = decode_cursor(asked.cursor, type(keys[0]) if keys else str)
        if last not in keys:
            raise UnknownCursorError("cursor: its item is no longer in the list")
        start = keys.index(last) + 1
    shown = tuple(items[start : start + asked.limit])
    has_more = len(items) > start + asked.limit
    return Page(shown, encode_cursor(key(shown[-1])) if has_more else None)


def _links(job: JobView) -> dict[str, str]:
    links = {
        "self": url_for("api_jobs.show", job_id=job.id),
        "events": url_for("api_jobs.history", job_id=job.id),
    }
    if job.kind is JobKind.PREDICT:
        links["reviews"] = url_for("api_jobs.results", job_id=job.id)
    return links
