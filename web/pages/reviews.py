"""Reviews: search and filter what is stored, and open one."""

from http import HTTPStatus

from flask import Blueprint, abort, render_template, request
from flask.typing import ResponseReturnValue

from store import explanations
from store import reviews as review_store
from store.errors import UnknownCursorError
from store.jobs import JobState
from store.paging import Page
from store.reviews import ReviewFilters, ReviewView
from web.context import identity, site
from web.formats import wants_fragment
from web.gate import needs
from web.inputs import ReviewListIn
from web.pages.explanations import explained
from web.pages.progress import progress_of
from web.pages.query import STALE_CURSOR, query
from web.pages.readings import reading_of
from web.submission import ask_for_explanation

blueprint = Blueprint("reviews", __name__, url_prefix="/reviews")


@blueprint.get("")
@needs("reviews:read")
def index() -> ResponseReturnValue:
    """Show one page of the reviews that match the filters, newest first."""
    asked, errors = query(ReviewListIn)
    filters = ReviewFilters(**asked.model_dump(exclude={"limit", "cursor"}))
    with site().database.read() as db:
        try:
            page = review_store.list_reviews(db, limit=asked.limit, cursor=asked.cursor, filters=filters)
        except UnknownCursorError:
            page, errors = Page[ReviewView]((), None), (*errors, STALE_CURSOR)
    rendered = render_template(
        "reviews/page.html",
        readings=() if errors else [reading_of(review) for review in page.items],
        next_cursor=None if errors else page.next,
        asked=asked,
        typed=request.args,
        errors=errors,
        is_filtered=bool(errors) or filters != ReviewFilters(),
        args=asked.model_dump(exclude={"cursor"}, exclude_none=True, exclude_unset=True),
    )
    return rendered, HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK


@blueprint.get("/<row_id:review_id>")
@needs("reviews:read")
def show(review_id: int) -> ResponseReturnValue:
    """Show one review with its newest prediction."""
    with site().database.read() as db:
        review = review_store.get_review(db, review_id)
    if review is None:
        abort(HTTPStatus.NOT_FOUND)
    return render_template("reviews/review.html", reading=reading_of(review))


@blueprint.get("/<row_id:review_id>/explanation")
@needs("reviews:read")
def explanation(review_id: int) -> ResponseReturnValue:
    """Show which words moved the newest prediction, computing it first; for htmx the part that changes."""
    with site().database.read() as db:
        review = review_store.get_review(db, review_id)
        found = explanations.of_review(db, review_id)
        job = None if found else explanations.latest_job(db, review_id)
    if review is None:
        abort(HTTPStatus.NOT_FOUND)
    # What failed is tried again from its job, not by looking at it.
    if not found and (job is None or job.state is JobState.SUCCEEDED) and "reviews:write" in identity().scopes:
        job = ask_for_explanation(review_id) or abort(HTTPStatus.NOT_FOUND)
    with site().database.read() as db:
        progress = progress_of(db, job) if job else None
    return render_template(
        "reviews/_explanation.html" if wants_fragment() else "reviews/explanation.html",
        review=review,
        heads=explained(review, found) if found else (),
        is_truncated=review.prediction is not None and review.prediction.truncated,
        progress=progress,
    )
