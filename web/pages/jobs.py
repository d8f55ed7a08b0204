"""Jobs: the list, and one job with its history, live until it ends."""

from collections.abc import Callable
from http import HTTPStatus

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from store import jobs, queues
from store.jobs import JobKind, JobState, JobView, QueueName
from web.context import identity, site
from web.errors import ProblemError
from web.formats import wants_fragment
from web.gate import READING, needs
from web.inputs import JobListIn
from web.pages.progress import progress_of
from web.pages.query import query

POLL_BUSY_S = 2
POLL_IDLE_S = 15

blueprint = Blueprint("jobs", __name__, url_prefix="/jobs")


@blueprint.get("")
@needs(*READING)
def index() -> ResponseReturnValue:
    """Show one page of jobs, newest first; for htmx the part of it that changes."""
    asked = query(JobListIn)
    with site().database.read() as db:
        page = jobs.list_jobs(db, **dict(asked))
        counts = jobs.counts(db)
        unserved = [view for view in queues.list_queues(db) if view.depth and not view.workers]
    is_busy = counts[JobState.QUEUED] + counts[JobState.RUNNING] > 0
    return render_template(
        "jobs/_list.html" if wants_fragment() else "jobs/page.html",
        page=page,
        counts=counts,
        n_all=sum(counts.values()),
        asked=asked,
        kinds=JobKind,
        queues=QueueName,
        unserved=unserved,
        poll_s=None if asked.cursor else POLL_BUSY_S if is_busy else POLL_IDLE_S,
        here=request.full_path.rstrip("?"),
    )


@blueprint.get("/<job_id:job_id>")
@needs(*READING)
def show(job_id: str) -> ResponseReturnValue:
    """Show one job; for htmx the part of it that changes."""
    with site().database.read() as db:
        job = jobs.get(db, job_id)
        if job is None:
            abort(HTTPStatus.NOT_FOUND)
        progress, events = progress_of(db, job), jobs.events(db, job_id)
    template = "jobs/_job.html" if wants_fragment() else "jobs/job.html"
    return render_template(template, progress=progress, job=job, events=events)


@blueprint.post("/<job_id:job_id>/cancel")
@needs("jobs")
def cancel(job_id: str) -> ResponseReturnValue:
    """Cancel a job and show it (303)."""
    return _change(job_id, jobs.cancel)[1]


@blueprint.post("/<job_id:job_id>/retry")
@needs("jobs")
def retry(job_id: str) -> ResponseReturnValue:
    """Queue a failed or cancelled job again and show it (303)."""
    job, response = _change(job_id, jobs.retry)
    site().doorbell.ring(job.id, job.queue)
    return response


def _change(job_id: str, transition: Callable[..., JobView | None]) -> tuple[JobView, ResponseReturnValue]:
    with site().database.begin() as db:
        job = transition(db, job_id, by=identity().user.email)
        if job is None:
            raise _refused(db, job_id)
    return job, redirect(url_for("jobs.show", job_id=job_id), HTTPStatus.SEE_OTHER)


def _refused(db: Session, job_id: str) -> ProblemError:
    standing = jobs.get(db, job_id)
    if standing is None:
        return ProblemError(HTTPStatus.NOT_FOUND, "There is no such job.")
    return ProblemError(HTTPStatus.CONFLICT, f"The job is {standing.state} by now, so this can no longer be done.")
