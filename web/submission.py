"""Accepting reviews, for the page and the API alike: store, commit, ring."""

from collections.abc import Sequence

from store import jobs
from store.jobs import Idempotency, Submitted
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
