"""Jobs: the list, and one job with its history, live until it ends."""

from collections.abc import Callable
from http import HTTPStatus

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from store import jobs, queues
from store import reviews as review_store
from store.errors import UnknownCursorError
from store.jobs import JobKind, JobState, JobView, QueueName
from store.paging import Page
from store.reviews import ReviewView
from web.context import identity, site
from web.errors import ProblemError
from web.formats import wants_fragment
from web.gate import READING, needs
from web.inputs import JobListIn, PageIn
from web.pages.curves import drawn_curves
from web.pages.progress import progress_of
from web.pages.query import STALE_CURSOR, query
from web.pages.readings import reading_of

POLL_BUSY_S = 2
POLL_IDLE_S = 15
LOG_PIECES = 50
LOG_LINES = 40

blueprint = Blueprint("jobs", __name__, url_prefix="/jobs")


@blueprint.get("")
@needs(*READING)
def index() -> ResponseReturnValue:
    """Show one page of jobs, newest first; for htmx the part of it that changes."""
    asked, errors = query(JobListIn)
    with site().database.read() as db:
        try:
            page = Page((), None) if errors else jobs.list_jobs(db, **dict(asked))
        except UnknownCursorError:
            page, errors = Page[JobView]((), None), (STALE_CURSOR,)
        counts = jobs.counts(db)
        unserved = [view for view in queues.list_queues(db) if view.depth and not view.workers]
    is_busy = counts[JobState.QUEUED] + counts[JobState.RUNNING] > 0
    rendered = render_template(
        "jobs/_list.html" if wants_fragment() else "jobs/page.html",
        page=page,
        counts=counts,
        n_all=sum(counts.values()),
        asked=asked,
        kinds=JobKind,
        queues=QueueName,
        unserved=unserved,
        errors=errors,
        poll_s=None if asked.cursor or errors else POLL_BUSY_S if is_busy else POLL_IDLE_S,
        here=request.full_path.rstrip("?"),
    )
    return rendered, HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK


@blueprint.get("/<job_id:job_id>")
@needs(*READING)
def show(job_id: str) -> ResponseReturnValue:
    """Show one job, and its reviews once it has ended; for htmx the part of it that changes."""
    asked, errors = query(PageIn)
    with site().database.read() as db:
        job = jobs.get(db, job_id)
        if job is None:
            abort(HTTPStatus.NOT_FOUND)
        progress, events = progress_of(db, job), jobs.events(db, job_id)
        log, curves = jobs.whole_log(db, job_id, last=LOG_PIECES), drawn_curves(db, job)
        reviews = _reviews(db, job, asked)
    page = render_template(
        "jobs/_job.html" if wants_fragment() else "jobs/job.html",
        progress=progress,
        job=job,
        events=events,
        log="".join(log.splitlines(keepends=True)[-LOG_LINES:]),
        curves=curves,
        reviews=reviews,
        readings=[reading_of(review) for review in reviews.items],
        asked=asked,
    )
    return page, HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK


def _reviews(db: Session, job: JobView, asked: PageIn) -> Page[ReviewView]:
    if job.kind is not JobKind.PREDICT or not job.state.is_final:
        return Page((), None)
    return review_store.list_reviews_of_job(db, job.id, limit=asked.limit, cursor=asked.cursor)


@blueprint.post("/<job_id:job_id>/cancel")
@needs("jobs")
def cancel(job_id: str) -> ResponseReturnValue:
    """Cancel a job and show it (303)."""
    return _change(job_id, jobs.cancel)[1]


@blueprint.post("/<job_id:job_id>/stop")
@needs("train", "jobs")
def stop(job_id: str) -> ResponseReturnValue:
    """Ask a training to end early and keep its best, and show it (303)."""
    return _change(job_id, jobs.stop)[1]


@blueprint.get("/<job_id:job_id>/log")
@needs("train", "jobs")
def download_log(job_id: str) -> ResponseReturnValue:
    """Hand over what a job's process printed, whole."""
    with site().database.read() as db:
        if jobs.get(db, job_id) is None:
            abort(HTTPStatus.NOT_FOUND)
        text = jobs.whole_log(db, job_id)
    named = {"Content-Disposition": f"attachment; filename=job-{job_id}.log"}
    return Response(text, mimetype="text/plain", headers=named)


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
