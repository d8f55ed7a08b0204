"""From the store's dataclasses to what the API gives."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from flask import url_for

from store.errors import UnknownCursorError
from store.jobs import JobKind, JobView
from store.paging import Page, encode_cursor
from web.estimates import eta_s
from web.inputs import PageIn
from web.outputs import JobErrorOut, JobOut

Item = TypeVar("Item")


def job_out(job: JobView, *, queue_position: int | None = None) -> JobOut:
    """A job with its place in the queue where that was looked up, its expected end and its links."""
    return JobOut(
        id=job.id,
        kind=job.kind,
        state=job.state,
        queue=job.queue,
        queue_position=queue_position,
        params=job.params,
        done=job.done,
        total=job.total,
        phase=job.phase,
        eta_s=eta_s(job),
        attempts=job.attempts,
        result=job.result,
        error=JobErrorOut.model_validate(job.error) if job.error else None,
        created_by=job.created_by,
        worker_id=job.worker_id,
        parent_id=job.parent_id,
        cancel_requested=job.cancel_requested,
        stop_requested=job.stop_requested,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        links=_links(job),
    )


def page_of(items: Sequence[Item], asked: PageIn, *, key: Callable[[Item], int | str]) -> Page[Item]:
    """One page of a short list that is already in order; the cursor is the key of the last item given.

    Raises:
        UnknownCursorError: the cursor is not one of this list, or its item has left it.
    """
    cursors = [encode_cursor(key(item)) for item in items]
    if asked.cursor is not None and asked.cursor not in cursors:
        raise UnknownCursorError("cursor: its item is no longer in the list")
    start = cursors.index(asked.cursor) + 1 if asked.cursor is not None else 0
    end = start + asked.limit
    return Page(tuple(items[start:end]), cursors[end - 1] if len(items) > end else None)


def _links(job: JobView) -> dict[str, str]:
    links = {
        "self": url_for("api_jobs.show", job_id=job.id),
        "events": url_for("api_jobs.history", job_id=job.id),
    }
    if job.kind is JobKind.PREDICT:
        links["reviews"] = url_for("api_jobs.results", job_id=job.id)
    if isinstance(dataset_id := job.params.get("dataset_id"), int):
        links["dataset"] = url_for("api_datasets.show", dataset_id=dataset_id)
    if job.kind is JobKind.EXPLAIN:
        links["review"] = url_for("api_reviews.show", review_id=job.params["review_id"], explain=1)
    return links
