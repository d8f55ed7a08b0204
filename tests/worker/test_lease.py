"""Leases that are kept while a batch is read."""

import time

from store import claims, jobs
from store.claims import Claim
from store.database import Database
from store.jobs import Actor, QueueName
from store.reviews import NewReview
from worker.lease import LeaseKeeper

LEASE_S = 0.6


def hold(database: Database, *texts: str) -> list[Claim]:
    with database.begin() as session:
        for text in texts:
            actor = Actor(user_id=None, token_id=1, name="ann")
            jobs.submit_reviews(session, [NewReview(text=text)], actor=actor, queue_limit=99)
        return claims.claim(session, queue=QueueName.INTERACTIVE, max_reviews=9, worker_id="w-1", lease_s=LEASE_S)


def test_a_lease_outlives_its_time_while_the_keeper_runs(database: Database) -> None:
    held = hold(database, "a", "b")
    with LeaseKeeper(database, held, lease_s=LEASE_S) as keeper:
        time.sleep(2 * LEASE_S)
        with database.begin() as session:
            assert claims.sweep(session).requeued == ()
    assert keeper.standing == {claim.job_id for claim in held}


def test_the_keeper_learns_which_jobs_were_lost_and_which_are_unwanted(database: Database) -> None:
    lost, unwanted, kept = hold(database, "lost", "unwanted", "kept")
    with LeaseKeeper(database, [lost, unwanted, kept], lease_s=LEASE_S) as keeper:
        with database.begin() as session:
            claims.release(session, lost)
            jobs.cancel(session, unwanted.job_id, by="ann")
        time.sleep(LEASE_S)
        assert keeper.standing == {kept.job_id}
        assert keeper.cancelled == {unwanted.job_id}


def test_a_single_job_shows_its_progress(database: Database) -> None:
    with database.begin() as session:
        texts = [NewReview(text=text) for text in ("a", "b", "c")]
        actor = Actor(user_id=None, token_id=1, name="ann")
        job = jobs.submit_reviews(session, texts, actor=actor, queue_limit=99).job
        held = claims.claim(session, queue=QueueName.INTERACTIVE, max_reviews=9, worker_id="w-1", lease_s=LEASE_S)
    with LeaseKeeper(database, held, lease_s=LEASE_S) as keeper:
        keeper.n_done = 2
        time.sleep(LEASE_S)
    with database.read() as session:
        seen = jobs.get(session, job.id)
    assert seen is not None
    assert seen.done == 2
