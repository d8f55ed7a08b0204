"""`/api/v1/reviews`: hand reviews in, and look at them."""

import hashlib
from http import HTTPStatus

import structlog
from apiflask import APIBlueprint
from flask import request, url_for
from sqlalchemy.exc import SQLAlchemyError

from store import explanations, jobs
from store import reviews as review_store
from store.jobs import JobState, JobView
from store.reviews import ReviewFilters
from web.api.idempotency import idempotency
from web.api.views import job_out
from web.context import identity, site
from web.errors import ProblemError
from web.gate import needs
from web.inputs import ExplainIn, ReviewListIn, ReviewsIn
from web.outputs import ExplainedReviewOut, ExplanationOut, JobOut, ReviewList, ReviewOut, Submission
from web.submission import ask_for_explanation, submit
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
@blueprint.input(ExplainIn, location="query")
@blueprint.output(ExplainedReviewOut)
@blueprint.doc(
    summary="Look at one review",
    description="With `explain=1` also the weight of each word for each head. Where they were not computed yet the "
    "answer is 202 and the job that computes them; asking for it takes the scope `reviews:write`.",
    security="token",
    responses={202: "The explanation is being computed; `Location` names the job"},
)
@needs("reviews:read")
def show(review_id: int, query_data: ExplainIn) -> tuple[ReviewOut | JobOut, int, dict[str, str]]:
    """Show one review with its newest prediction, and on request why the model says so."""
    with site().database.read() as db:
        review = review_store.get_review(db, review_id)
        explanation = explanations.of_review(db, review_id) if query_data.explain else None
    if review is None:
        raise _no_review(review_id)
    if not query_data.explain:
        return ReviewOut.model_validate(review), HTTPStatus.OK, {}
    if explanation is None:
        return _being_explained(review_id)
    shown = ExplainedReviewOut.model_validate(review)
    return shown.model_copy(update={"explanation": ExplanationOut.model_validate(explanation)}), HTTPStatus.OK, {}


def _being_explained(review_id: int) -> tuple[JobOut, int, dict[str, str]]:
    if "reviews:write" not in identity().scopes:
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            "This review is not explained yet, and asking for its explanation needs the scope reviews:write.",
        )
    job = ask_for_explanation(review_id)
    if job is None:  # deleted a moment ago
        raise _no_review(review_id)
    return job_out(job), HTTPStatus.ACCEPTED, {"Location": url_for("api_jobs.show", job_id=job.id)}


def _no_review(review_id: int) -> ProblemError:
    return ProblemError(HTTPStatus.NOT_FOUND, f"There is no review {review_id}.")
