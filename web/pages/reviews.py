"""Reviews: search and filter what is stored, and open one."""

from http import HTTPStatus

from flask import Blueprint, abort, render_template, request
from flask.typing import ResponseReturnValue

from store import reviews as review_store
from store.errors import UnknownCursorError
from store.paging import Page
from store.reviews import ReviewFilters, ReviewView
from web.context import site
from web.gate import needs
from web.inputs import ReviewListIn
from web.pages.query import STALE_CURSOR, query
from web.pages.readings import reading_of

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
