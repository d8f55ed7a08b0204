"""Accepting reviews, for the page and the API alike: store, commit, ring."""

from collections.abc import Sequence

from store import explanations, jobs
from store.jobs import Idempotency, JobView, Submitted
from store.reviews import NewReview
from web.context import identity, site


def submit(reviews: Sequence[NewReview], *, idempotency: Idempotency | None = None) -> Submitted:
    """Store the reviews with the job that reads them, then wake a worker.

    A bell that could not be rung is no error: the job is in the database, and the sweep rings again.
    """
    depth = site().depth.read()  # before the transaction: counting a long queue would hold the write lock
    with site().database.begin() as db:
        submitted = jobs.submit_reviews(
            db,
            reviews,
            actor=identity().actor,
            queue_limit=site().settings.queue_limit,
            depth=depth,
            idempotency=idempotency,
        )
    if not submitted.replayed:
        site().depth.add_one()
        site().doorbell.ring(submitted.job.id, submitted.job.queue)
    return submitted


def ask_for_explanation(review_id: int) -> JobView | None:
    """Make the job that explains a review, or find the one that is under way; None when there is no such review."""
    depth = site().depth.read()
    with site().database.begin() as db:
        requested = explanations.request(
            db, review_id, actor=identity().actor, queue_limit=site().settings.queue_limit, depth=depth
        )
    if requested is None:
        return None
    if requested.is_new:
        site().depth.add_one()
        site().doorbell.ring(requested.job.id, requested.job.queue)
    return requested.job
