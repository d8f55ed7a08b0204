"""`/api/v1/jobs`: look at work, stop it, try it again."""

from hashlib import sha256
from http import HTTPStatus
from typing import Any

from apiflask import APIBlueprint
from flask import Response, request, url_for

from store import jobs
from store import reviews as review_store
from store.jobs import JobView
from web.api.idempotency import idempotency
from web.api.views import job_out, page_of
from web.context import identity, site
from web.errors import ProblemError
from web.gate import READING, needs
from web.inputs import JobListIn, PageIn
from web.outputs import JobEventList, JobList, JobOut, JobReviewList
from web.training import TrainJobIn, submit_training

blueprint = APIBlueprint("api_jobs", __name__, url_prefix="/api/v1/jobs", tag="Jobs")

_EXAMPLES = {
    "train": {
        "summary": "A small model, quickly",
        "value": {"kind": "train", "params": {"dataset_id": 1, "backbone": "tiny", "epochs": 1}},
    }
}
_PLAIN_TEXT: dict[int | str, dict[str, str | dict[str, dict[str, Any]]]] = {
    200: {"description": "Plain text", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


@blueprint.get("")
@blueprint.input(JobListIn, location="query")
@blueprint.output(JobList)
@blueprint.doc(summary="List jobs, newest first", security="token")
@needs(*READING)
def index(query_data: JobListIn) -> JobList:
    """List the jobs that match the filters."""
    with site().database.read() as db:
        page = jobs.list_jobs(db, **dict(query_data))
    return JobList(items=tuple(map(job_out, page.items)), next=page.next)


@blueprint.post("")
@blueprint.input(TrainJobIn, examples=_EXAMPLES)
@blueprint.output(JobOut, HTTPStatus.ACCEPTED, description="Accepted; `Location` names the job")
@blueprint.doc(
    summary="Ask for a training",
    description="Trains a model on a data set that is ready. Parameters that are left out are the measured recipe's.",
    security="token",
    responses={400: "Not acceptable JSON", 413: "Larger than 8 MB", 415: "Not application/json"},
)
@needs("train")
def create(json_data: TrainJobIn) -> tuple[JobOut, int, dict[str, str]]:
    """Queue the work and answer with its job."""
    submitted = submit_training(
        json_data.params, idempotency=idempotency(lambda: sha256(request.get_data()).hexdigest())
    )
    headers = {"Location": url_for("api_jobs.show", job_id=submitted.job.id)}
    if submitted.replayed:
        headers["Idempotency-Replayed"] = "true"
    return job_out(submitted.job), HTTPStatus.ACCEPTED, headers


@blueprint.get("/<job_id:job_id>")
@blueprint.output(JobOut)
@blueprint.doc(summary="Look at one job", security="token")
@needs(*READING)
def show(job_id: str) -> JobOut:
    """Show one job as it stands."""
    with site().database.read() as db:
        job = _found(jobs.get(db, job_id), job_id)
        return job_out(job, queue_position=jobs.queue_position(db, job))


@blueprint.get("/<job_id:job_id>/events")
@blueprint.input(PageIn, location="query")
@blueprint.output(JobEventList)
@blueprint.doc(summary="The history of one job", security="token")
@needs(*READING)
def history(job_id: str, query_data: PageIn) -> JobEventList:
    """List everything that happened to a job, oldest first."""
    with site().database.read() as db:
        _found(jobs.get(db, job_id), job_id)
        page = page_of(jobs.events(db, job_id), query_data, key=lambda event: event.id)
    return JobEventList.model_validate(page)


@blueprint.get("/<job_id:job_id>/reviews")
@blueprint.input(PageIn, location="query")
@blueprint.output(JobReviewList)
@blueprint.doc(summary="The reviews of one job, with what it said of them", security="token")
@needs("reviews:read", "reviews:write")
def results(job_id: str, query_data: PageIn) -> JobReviewList:
    """List the reviews of a job in the order of its request; `prediction` is null until the job has succeeded."""
    with site().database.read() as db:
        _found(jobs.get(db, job_id), job_id)
        page = review_store.list_reviews_of_job(db, job_id, limit=query_data.limit, cursor=query_data.cursor)
    return JobReviewList.model_validate(page)


@blueprint.post("/<job_id:job_id>/cancel")
@blueprint.output(JobOut)
@blueprint.doc(summary="Cancel a job", security="token", responses={409: "The job has ended already"})
@needs("jobs")
def cancel(job_id: str) -> JobOut:
    """Cancel a job: at once while it waits, at the worker's next look while it runs."""
    with site().database.begin() as db:
        job = jobs.cancel(db, job_id, by=identity().user.email)
        if job is None:
            standing = _found(jobs.get(db, job_id), job_id)
            raise ProblemError(HTTPStatus.CONFLICT, f"Nothing to stop: the job has ended, {standing.state}.")
    return job_out(job)


@blueprint.post("/<job_id:job_id>/stop")
@blueprint.output(JobOut)
@blueprint.doc(
    summary="Stop a training early and keep its best",
    security="token",
    responses={409: "The job does not run, or is of a kind that has nothing to keep"},
)
@needs("train", "jobs")
def stop(job_id: str) -> JobOut:
    """Ask a running training to end with the best that it has so far."""
    with site().database.begin() as db:
        standing = _found(jobs.get(db, job_id), job_id)
        if not standing.can_stop:
            raise ProblemError(
                HTTPStatus.CONFLICT,
                f"Only a running training can be stopped and kept; this {standing.title} is {standing.state}.",
            )
        job = _found(jobs.stop(db, job_id, by=identity().user.email), job_id)
    return job_out(job)


@blueprint.get("/<job_id:job_id>/log")
@blueprint.doc(
    summary="What a job's process printed",
    security="token",
    responses=_PLAIN_TEXT,
)
@needs("train", "jobs")
def read_log(job_id: str) -> Response:
    """Give the whole log of a long job; empty for one without a process of its own."""
    with site().database.read() as db:
        _found(jobs.get(db, job_id), job_id)
        text = jobs.whole_log(db, job_id)
    return Response(text, mimetype="text/plain")


@blueprint.post("/<job_id:job_id>/retry")
@blueprint.output(JobOut, HTTPStatus.ACCEPTED)
@blueprint.doc(summary="Try a failed or cancelled job again", security="token", responses={409: "The job did not fail"})
@needs("jobs")
def retry(job_id: str) -> JobOut:
    """Queue a failed or cancelled job again, with all its attempts."""
    with site().database.begin() as db:
        job = jobs.retry(db, job_id, by=identity().user.email)
        if job is None:
            standing = _found(jobs.get(db, job_id), job_id)
            raise ProblemError(
                HTTPStatus.CONFLICT, f"The job is {standing.state}; only a failed or cancelled one can be retried."
            )
        position = jobs.queue_position(db, job)
    site().doorbell.ring(job.id, job.queue)
    return job_out(job, queue_position=position)


def _found(job: JobView | None, job_id: str) -> JobView:
    if job is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"There is no job {job_id}.")
    return job
