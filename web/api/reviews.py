"""`/api/v1/reviews`: hand reviews in, and look at them."""

import hashlib
from http import HTTPStatus

import structlog
from apiflask import APIBlueprint
from flask import request, url_for
from sqlalchemy.exc import SQLAlchemyError

from store import jobs
from store import reviews as review_store
from store.jobs import JobState, JobView
from store.reviews import ReviewFilters
from web.api.idempotency import idempotency
from web.api.views import job_out
from web.context import site
from web.errors import ProblemError
from web.gate import needs
from web.inputs import ReviewListIn, ReviewsIn
from web.outputs import JobOut, ReviewList, ReviewOut, Submission
from web.submission import submit
from web.waiting import preferred_wait_s, wait_for_end

log = structlog.get_logger()

blueprint = APIBlueprint("api_reviews", __name__, url_prefix="/api/v1/reviews", tag="Reviews")

_EXAMPLES = {
    "one": {"summary": "One review", "value": {"title": "Love it", "text": "Soft, warm, and true to size."}},
    "several": {
        "summary": "Several reviews, one job",
        "value": {"reviews": [{"text": "Perfect."}, {"text": "It came apart in the wash.", "rating": 1}]},
    },
}


@blueprint.post("")
@blueprint.input(ReviewsIn, examples=_EXAMPLES)
@blueprint.output(JobOut, HTTPStatus.ACCEPTED, description="Accepted; `Location` names the job")
@blueprint.doc(
    summary="Hand in reviews to be read",
    description="Send `Prefer: wait=N` to wait up to N seconds (30 at most) for the predictions, and "
    "`Idempotency-Key` to make a repeat harmless: for 24 hours the same key answers with the same job.",
    security="token",
    responses={
        200: "Read within the wait: the job and the reviews with their predictions",
        400: "Not acceptable JSON",
        413: "Larger than 8 MB",
        415: "Not application/json",
    },
)
@needs("reviews:write")
def create(json_data: ReviewsIn) -> tuple[JobOut | Submission, int, dict[str, str]]:
    """Store the reviews and the job that reads them; with `Prefer: wait` answer with the predictions if they come."""
    submitted = submit(json_data.to_new(), idempotency=idempotency(_body_sha256))
    headers = {"Location": url_for("api_jobs.show", job_id=submitted.job.id)}
    if submitted.replayed:
        headers["Idempotency-Replayed"] = "true"
    try:
        body, status, applied = _outcome(submitted.job)
    except SQLAlchemyError as error:
        # The request is stored. An error now would make the client send it, and a worker read it, once more.
        log.warning("accepted_without_a_look", job_id=submitted.job.id, error=type(error).__name__)
        return job_out(submitted.job), HTTPStatus.ACCEPTED, headers
    return body, status, headers | applied


def _body_sha256() -> str:
    return hashlib.sha256(request.get_data()).hexdigest()


def _outcome(job: JobView) -> tuple[JobOut | Submission, int, dict[str, str]]:
    wait_s = preferred_wait_s()
    waited = wait_for_end(job, timeout_s=wait_s)
    applied = {"Preference-Applied": f"wait={wait_s}"} if waited.is_whole else {}
    with site().database.read() as db:
        if not wait_s or waited.job.state is not JobState.SUCCEEDED:
            position = jobs.queue_position(db, waited.job)
            return job_out(waited.job, queue_position=position), HTTPStatus.ACCEPTED, applied
        views = review_store.reviews_of_job(db, job.id)
    reviews = tuple(map(ReviewOut.model_validate, views))
    return Submission(job=job_out(waited.job), reviews=reviews), HTTPStatus.OK, applied


@blueprint.get("")
@blueprint.input(ReviewListIn, location="query")
@blueprint.output(ReviewList)
@blueprint.doc(summary="List reviews, newest first", security="token")
@needs("reviews:read")
def index(query_data: ReviewListIn) -> ReviewList:
    """List the stored reviews that match the filters."""
    filters = ReviewFilters(**query_data.model_dump(exclude={"limit", "cursor"}))
    with site().database.read() as db:
        page = review_store.list_reviews(db, limit=query_data.limit, cursor=query_data.cursor, filters=filters)
    return ReviewList.model_validate(page)


@blueprint.get("/<row_id:review_id>")
@blueprint.output(ReviewOut)
@blueprint.doc(summary="Look at one review", security="token")
@needs("reviews:read")
def show(review_id: int) -> ReviewOut:
    """Show one review with its newest prediction."""
    with site().database.read() as db:
        review = review_store.get_review(db, review_id)
    if review is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"There is no review {review_id}.")
    return ReviewOut.model_validate(review)
