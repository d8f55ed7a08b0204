"""The life cycle of a job, on each kind of database."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from store import claims, jobs, models, reviews, workers
from store.claims import Claim
from store.database import Database, now
from store.errors import IdempotencyConflictError, QueueFullError, RepeatedExternalIdError, UnknownCursorError
from store.jobs import Actor, Idempotency, JobError, JobKind, JobState, JobView, QueueName
from store.models import NewModelVersion
from store.queues import DepthGauge
from store.reviews import NewPrediction, NewReview, ReviewView
from store.schema import Job, JobReview, Prediction, Review
from store.workers import WorkerReport

ANN = Actor(user_id=None, token_id=7, name="ann@example.org")
SAID = NewPrediction(
    rating=5,
    rating_probabilities=(0.01, 0.02, 0.07, 0.2, 0.7),
    expected_stars=4.56,
    age=41.0,
    age_low=23.0,
    age_high=62.0,
    truncated=False,
)


@pytest.fixture(autouse=True)
def _model(database: Database) -> None:
    with database.begin() as session:
        models.ensure_active(session, NewModelVersion("m-1", "tiny", "models/m-1", "0" * 64, None))


def submit(database: Database, *texts: str, idempotency: Idempotency | None = None, limit: int = 1000) -> JobView:
    with database.begin() as session:
        asked = [NewReview(text=text) for text in texts]
        return jobs.submit_reviews(session, asked, actor=ANN, queue_limit=limit, idempotency=idempotency).job


def claim(database: Database, *, max_reviews: int = 64, lease_s: float = 60, by: str = "w-1") -> list[Claim]:
    with database.begin() as session:
        return claims.claim(
            session, queue=QueueName.INTERACTIVE, max_reviews=max_reviews, worker_id=by, lease_s=lease_s
        )


def succeed(database: Database, held: list[Claim]) -> frozenset[str]:
    said = [[SAID] * len(claimed.reviews) for claimed in held]
    with database.begin() as session:
        return claims.succeed(session, held, said, model_version="m-1")


def look(database: Database, job_id: str) -> JobView:
    with database.read() as session:
        found = jobs.get(session, job_id)
    assert found is not None
    return found


def let_leases_lapse(session: Session) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    session.execute(update(Job).where(Job.state == "running").values(lease_expires_at=yesterday))


def crash(database: Database) -> claims.Swept:
    with database.begin() as session:
        let_leases_lapse(session)
    with database.begin() as session:
        return claims.sweep(session)


def test_a_job_is_claimed_read_and_ended_with_its_predictions(database: Database) -> None:
    job = submit(database, "Lovely dress", "Awful seams")
    assert (job.state, job.total, job.queue) == (JobState.QUEUED, 2, QueueName.INTERACTIVE)
    held = claim(database)
    assert [review.text for review in held[0].reviews] == ["Lovely dress", "Awful seams"]
    assert look(database, job.id).state is JobState.RUNNING
    assert succeed(database, held) == {job.id}
    ended = look(database, job.id)
    assert (ended.state, ended.done, ended.attempts) == (JobState.SUCCEEDED, 2, 1)
    with database.read() as session:
        read = reviews.reviews_of_job(session, job.id)
        assert [(r.text, r.prediction and r.prediction.rating) for r in read] == [
            ("Lovely dress", 5),
            ("Awful seams", 5),
        ]
        assert [event.name for event in jobs.events(session, job.id)] == ["queued", "claimed", "succeeded"]


def test_a_second_claim_of_the_same_job_gets_nothing(database: Database) -> None:
    submit(database, "Lovely dress")
    assert len(claim(database)) == 1
    assert claim(database, by="w-2") == []


def test_parallel_claims_share_the_jobs_without_overlap(database: Database) -> None:
    wanted = {submit(database, f"Dress {n}").id for n in range(30)}
    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(lambda n: claim(database, max_reviews=5, by=f"w-{n}"), range(12)))
    ids = [claimed.job_id for held in taken for claimed in held]
    assert len(ids) == len(set(ids))
    assert set(ids) <= wanted


def test_a_claim_fills_a_batch_and_a_larger_job_is_a_batch_of_its_own(database: Database) -> None:
    for texts in (["a", "b"], ["c"], ["d", "e", "f"], ["g"]):
        submit(database, *texts)
    assert [len(c.reviews) for c in claim(database, max_reviews=3)] == [2, 1]
    assert [len(c.reviews) for c in claim(database, max_reviews=2)] == [3]


def test_a_worker_whose_lease_lapsed_is_refused(database: Database) -> None:
    job = submit(database, "Lovely dress")
    stale = claim(database)
    assert crash(database).requeued == (job.id,)
    fresh = claim(database, by="w-2")
    assert succeed(database, stale) == frozenset()
    with database.begin() as session:
        assert not claims.fail(session, stale[0], JobError("defect", "late"))
        assert not claims.release(session, stale[0])
        assert claims.renew(session, stale, lease_s=60, done={}).held == frozenset()
    assert succeed(database, fresh) == {job.id}
    with database.read() as session:
        assert len(session.scalars(select(Prediction)).all()) == 1


def test_a_lease_that_is_renewed_does_not_lapse_and_reports_progress(database: Database) -> None:
    job = submit(database, "a", "b", "c")
    held = claim(database, lease_s=60)
    with database.begin() as session:
        renewed = claims.renew(session, held, lease_s=60, done={job.id: 2})
    assert renewed.held == {job.id}
    assert look(database, job.id).done == 2
    with database.begin() as session:
        assert claims.sweep(session).requeued == ()


def test_members_of_a_crashed_batch_run_alone_and_only_the_poison_is_quarantined(database: Database) -> None:
    innocent, poison = submit(database, "innocent"), submit(database, "poison")
    assert len(claim(database)) == 2
    crash(database)
    assert succeed(database, claim(database)) == {innocent.id}
    for _ in range(claims.MAX_CRASHES_ALONE):
        assert [c.job_id for c in claim(database)] == [poison.id]
        last = crash(database)
    assert last.quarantined == (poison.id,)
    ended = look(database, poison.id)
    assert ended.state is JobState.FAILED
    assert ended.error is not None
    assert "died 5 times" in ended.error.message
    assert ended.error.hint


def enrol(database: Database, worker_id: str) -> None:
    with database.begin() as session:
        workers.enrol(session, worker_id=worker_id, hostname="here", pid=1, queues=["interactive"])


def lapse(database: Database) -> claims.Swept:
    """Let the leases end between the last heartbeat and now."""
    with database.begin() as session:
        session.execute(update(Job).where(Job.state == "running").values(lease_expires_at=now(session)))
    time.sleep(0.002)
    with database.begin() as session:
        return claims.sweep(session)


def heartbeat(database: Database, worker_id: str) -> None:
    with database.begin() as session:
        workers.report(session, worker_id, WorkerReport("ready"))


def test_lapses_of_a_worker_that_lives_on_are_never_counted(database: Database) -> None:
    job = submit(database, "long")
    enrol(database, "w-1")
    for _ in range(2 * claims.MAX_CRASHES_ALONE):
        assert [claimed.job_id for claimed in claim(database)] == [job.id]
        assert lapse(database).requeued == (job.id,)  # the sweep may come before the heartbeat
        heartbeat(database, "w-1")
    assert succeed(database, claim(database)) == {job.id}


def test_five_workers_that_died_over_a_job_quarantine_it_whatever_a_living_one_did(database: Database) -> None:
    job = submit(database, "poison")
    enrol(database, "alive")
    claim(database, by="alive")
    assert lapse(database).requeued == (job.id,)
    heartbeat(database, "alive")
    for n in range(claims.MAX_CRASHES_ALONE):
        assert look(database, job.id).state is JobState.QUEUED
        enrol(database, f"dead-{n}")  # its last heartbeat is fresh, as with a short lease
        claim(database, by=f"dead-{n}")
        last = lapse(database)
    assert last.quarantined == (job.id,)


def test_a_retried_job_has_its_whole_allowance_again(database: Database) -> None:
    job = submit(database, "poison")
    for _ in range(claims.MAX_CRASHES_ALONE):
        claim(database)
        last = crash(database)
    assert last.quarantined == (job.id,)
    with database.begin() as session:
        assert jobs.retry(session, job.id, by="ann") is not None
    claim(database)
    assert crash(database).requeued == (job.id,)


def test_a_leaf_cannot_run_without_a_lease_and_a_parent_can(database: Database) -> None:
    job = submit(database, "text")
    claim(database)
    without_lease = update(Job).where(Job.id == job.id).values(lease_expires_at=None)
    with pytest.raises(IntegrityError, match="running_leaf_is_leased"), database.begin() as session:
        session.execute(without_lease)
    with database.begin() as session:
        session.execute(without_lease.values(is_parent=True))


def test_a_waiting_job_is_cancelled_at_once_and_tried_again_on_request(database: Database) -> None:
    job = submit(database, "Lovely dress")
    with database.begin() as session:
        cancelled = jobs.cancel(session, job.id, by="ann")
    assert cancelled is not None
    assert cancelled.state is JobState.CANCELLED
    assert claim(database) == []
    with database.begin() as session:
        assert jobs.cancel(session, job.id, by="ann") is None
        again = jobs.retry(session, job.id, by="ann")
        assert jobs.retry(session, job.id, by="ann") is None
    assert again is not None
    assert (again.state, again.attempts) == (JobState.QUEUED, 0)
    assert succeed(database, claim(database)) == {job.id}


def test_a_running_job_is_told_of_its_cancellation_when_it_renews(database: Database) -> None:
    job = submit(database, "Lovely dress")
    held = claim(database)
    with database.begin() as session:
        asked = jobs.cancel(session, job.id, by="ann")
    assert asked is not None
    assert asked.cancel_requested
    with database.begin() as session:
        assert claims.renew(session, held, lease_s=60, done={}).cancel == {job.id}
        assert claims.confirm_cancel(session, held[0])
    assert look(database, job.id).state is JobState.CANCELLED


def test_a_job_cancelled_while_its_worker_is_dead_ends_cancelled(database: Database) -> None:
    job = submit(database, "Lovely dress")
    claim(database)
    with database.begin() as session:
        jobs.cancel(session, job.id, by="ann")
    assert crash(database).cancelled == (job.id,)


def test_a_job_that_is_unwanted_ends_when_its_worker_hands_it_back(database: Database) -> None:
    unwanted, wanted = submit(database, "a"), submit(database, "b")
    held = claim(database)
    with database.begin() as session:
        jobs.cancel(session, unwanted.id, by="ann")
        assert all(claims.release(session, claimed) for claimed in held)
    ended = look(database, unwanted.id)
    assert (ended.state, ended.finished_at is not None) == (JobState.CANCELLED, True)
    assert [claimed.job_id for claimed in claim(database)] == [wanted.id]
    with database.read() as session:
        assert [event.name for event in jobs.events(session, unwanted.id)][-1] == "cancelled"
        assert [event.name for event in jobs.events(session, wanted.id)][-2:] == ["released", "claimed"]


def test_a_failed_job_says_why_and_a_released_one_waits_its_time(database: Database) -> None:
    failing, waiting = submit(database, "a"), submit(database, "b")
    held = {c.job_id: c for c in claim(database)}
    with database.begin() as session:
        assert claims.fail(session, held[failing.id], JobError("input", "text: too strange", hint="Shorten it."))
        assert claims.release(session, held[waiting.id], run_after_s=60)
    assert look(database, failing.id).error == JobError("input", "text: too strange", hint="Shorten it.")
    assert claim(database) == []
    with database.read() as session:
        assert not claims.anything_ready(session, QueueName.INTERACTIVE)
        assert claims.waiting_queues(session, longer_than_s=0) == {}


def test_the_same_idempotency_key_makes_one_job_and_another_body_is_refused(database: Database) -> None:
    key = Idempotency("k-1", "a" * 64)
    first = submit(database, "Lovely dress", idempotency=key)
    assert submit(database, "Lovely dress", idempotency=key).id == first.id
    with pytest.raises(IdempotencyConflictError):
        submit(database, "Another", idempotency=Idempotency("k-1", "b" * 64))


def test_equal_requests_side_by_side_make_one_job(database: Database) -> None:
    key = Idempotency("k-1", "a" * 64)
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: submit(database, "Lovely dress", idempotency=key).id, range(16)))
    assert len(ids) == 1


def test_the_depth_counts_what_was_accepted_here_and_looks_again_after_a_second(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(database, "a")
    gauge = DepthGauge(database, at_most=3)
    assert gauge.read() == 1
    submit(database, "b")
    assert gauge.read() == 1, "looks once a second at most"
    gauge.add_one()
    assert gauge.read() == 2
    for text in ("c", "d"):
        submit(database, text)
    monkeypatch.setattr("store.queues.DEPTH_KEPT_S", 0.0)
    later = DepthGauge(database, at_most=3)
    assert later.read() == 3, "counts no further than it must"
    claim(database)
    assert later.read() == 0


def test_a_full_queue_refuses_and_stores_nothing(database: Database) -> None:
    submit(database, "a", limit=2)
    submit(database, "b", limit=2)
    with pytest.raises(QueueFullError):
        submit(database, "c", limit=2)
    with database.read() as session:
        assert len(reviews.list_reviews(session).items) == 2


def test_an_external_id_keeps_its_review_and_new_text_is_read_anew(database: Database) -> None:
    def hand_in(text: str, **given: Any) -> int:
        with database.begin() as session:
            review = NewReview(text=text, external_id="shop-1", **given)
            return jobs.submit_reviews(session, [review], actor=ANN, queue_limit=99).review_ids[0]

    def stored(review_id: int) -> ReviewView:
        with database.read() as session:
            found = reviews.get_review(session, review_id)
        assert found is not None
        return found

    first = hand_in("Lovely dress", title="Wow", rating=5, age=30.0)
    succeed(database, claim(database))
    assert hand_in("Lovely dress", product_id="1080") == first
    same = stored(first)
    assert (same.title, same.product_id, same.rating, same.age) == ("Wow", "1080", 5, 30.0)
    assert same.prediction is not None
    assert hand_in("Lovely dress", title="Wow!") == first
    assert (stored(first).rating, stored(first).prediction) == (5, None)
    assert hand_in("It fell apart") == first
    replaced = stored(first)
    assert (replaced.text, replaced.title, replaced.product_id) == ("It fell apart", None, "1080")
    assert (replaced.rating, replaced.age, replaced.prediction) == (None, None, None)


def test_one_external_id_twice_in_a_request_is_refused(database: Database) -> None:
    twice = [NewReview(text="a", external_id="x"), NewReview(text="b", external_id="x")]
    with pytest.raises(RepeatedExternalIdError, match=r"reviews\[1\].external_id"), database.begin() as session:
        jobs.submit_reviews(session, twice, actor=ANN, queue_limit=99)


def test_equal_external_ids_side_by_side_make_one_review(database: Database) -> None:
    def hand_in(n: int) -> int:
        with database.begin() as session:
            review = NewReview(text=f"text {n}", external_id="x")
            return jobs.submit_reviews(session, [review], actor=ANN, queue_limit=99).review_ids[0]

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(hand_in, range(16)))) == 1


def test_a_review_that_changed_while_it_was_read_waits_for_its_own_reading(database: Database) -> None:
    with database.begin() as session:
        old = NewReview(text="old", external_id="x")
        review_id = jobs.submit_reviews(session, [old], actor=ANN, queue_limit=99).review_ids[0]
    held = claim(database)
    with database.begin() as session:
        jobs.submit_reviews(session, [NewReview(text="new", external_id="x")], actor=ANN, queue_limit=99)
    succeed(database, held)
    with database.read() as session:
        review = reviews.get_review(session, review_id)
    assert review is not None
    assert review.prediction is None


def test_a_job_shows_the_text_that_it_read_and_not_the_one_that_came_later(database: Database) -> None:
    def hand_in(text: str, title: str | None) -> str:
        with database.begin() as session:
            review = NewReview(text=text, title=title, external_id="x")
            return jobs.submit_reviews(session, [review], actor=ANN, queue_limit=99).job.id

    def shown(job_id: str) -> list[tuple[str | None, str, bool]]:
        with database.read() as session:
            return [(r.title, r.text, r.prediction is not None) for r in reviews.reviews_of_job(session, job_id)]

    first = hand_in("old", "Wow")
    succeed(database, claim(database))
    second = hand_in("new", None)
    assert shown(first) == [("Wow", "old", True)]
    assert shown(second) == [(None, "new", False)]
    succeed(database, claim(database))
    assert shown(second) == [(None, "new", True)]


def test_an_earlier_job_that_ends_later_does_not_hide_the_later_one(database: Database) -> None:
    def hand_in() -> int:
        with database.begin() as session:
            review = NewReview(text="same", external_id="x")
            return jobs.submit_reviews(session, [review], actor=ANN, queue_limit=99).review_ids[0]

    def predicted(review_id: int) -> int | None:
        with database.read() as session:
            review = reviews.get_review(session, review_id)
        return review.prediction.rating if review and review.prediction else None

    def end(held: list[Claim], rating: int) -> None:
        with database.begin() as session:
            said = [[replace(SAID, rating=rating)]]
            assert claims.succeed(session, held, said, model_version="m-1")

    review_id = hand_in()
    earlier = claim(database)
    time.sleep(0.002)  # ids sort by the millisecond
    hand_in()
    end(claim(database), 4)
    end(earlier, 2)
    assert predicted(review_id) == 4
    time.sleep(0.002)
    hand_in()
    end(claim(database), 3)
    assert predicted(review_id) == 3


def test_handing_in_and_reading_the_same_reviews_side_by_side_never_deadlocks(database: Database) -> None:
    def hand_in(n: int) -> None:
        order = random.Random(n)
        for _ in range(8):
            asked = [NewReview(text="t", external_id=f"x-{i}") for i in range(80)]
            order.shuffle(asked)
            with database.begin() as session:
                jobs.submit_reviews(session, asked, actor=ANN, queue_limit=999)

    def read(n: int) -> None:
        while not all(done.done() for done in handing_in):
            with database.begin() as session:
                held = claims.claim(session, queue=QueueName.BULK, max_reviews=160, worker_id=f"w-{n}", lease_s=60)
            succeed(database, held)

    hand_in(0)
    with ThreadPoolExecutor(5) as pool:
        handing_in = [pool.submit(hand_in, n) for n in range(2)]
        for done in [*handing_in, *(pool.submit(read, n) for n in range(3))]:
            done.result()


def test_a_review_that_was_deleted_while_it_was_read_leaves_no_trace(database: Database) -> None:
    job = submit(database, "a", "b")
    held = claim(database)
    with database.begin() as session:
        session.execute(delete(Review).where(Review.id == held[0].reviews[0].review_id))
    assert succeed(database, held) == {job.id}
    with database.read() as session:
        assert [review.text for review in reviews.reviews_of_job(session, job.id)] == ["b"]
        assert len(session.scalars(select(Prediction)).all()) == 1
        assert len(session.scalars(select(JobReview)).all()) == 1


def test_lists_page_by_cursor_newest_first(database: Database) -> None:
    ids = [submit(database, f"text {n}").id for n in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        with database.read() as session:
            page = jobs.list_jobs(session, limit=2, cursor=cursor)
        seen += [job.id for job in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert sorted(seen, reverse=True) == seen
    assert set(seen) == set(ids)
    with database.read() as session, pytest.raises(UnknownCursorError):
        jobs.list_jobs(session, cursor="bm9wZQ")


def test_reviews_are_searched_without_wildcards(database: Database) -> None:
    submit(database, "100% cotton", "cotton blend", "Silk")
    with database.read() as session:
        found = reviews.list_reviews(session, filters=reviews.ReviewFilters(q="0% COT"))
    assert [review.text for review in found.items] == ["100% cotton"]


def test_counts_positions_and_waiting_queues_agree(database: Database) -> None:
    first, second = submit(database, "a"), submit(database, "b")
    with database.read() as session:
        assert jobs.counts(session)[JobState.QUEUED] == 2
        positions = {jobs.queue_position(session, first), jobs.queue_position(session, second)}
        assert positions == {0, 1}
        assert set(claims.waiting_queues(session, longer_than_s=0)) == {QueueName.INTERACTIVE}
        assert claims.waiting_queues(session, longer_than_s=60) == {}


def test_readers_cannot_write(database: Database) -> None:
    submit(database, "a")
    with pytest.raises(Exception, match=r"(?i)read.?only"), database.read() as session:  # noqa: PT012
        session.execute(delete(JobReview))
        session.commit()


def ask_for_import(database: Database, *, key: Idempotency | None = None, limit: int = 1000) -> jobs.Submitted:
    with database.begin() as session:
        return jobs.submit_job(
            session,
            kind=JobKind.IMPORT,
            queue=QueueName.DATA,
            params={"dataset_id": 3},
            total=7,
            actor=ANN,
            queue_limit=limit,
            idempotency=key,
        )


def test_a_job_without_reviews_is_queued_as_it_was_asked_for(database: Database) -> None:
    job = look(database, ask_for_import(database).job.id)
    assert (job.kind, job.state, job.queue) == (JobKind.IMPORT, JobState.QUEUED, QueueName.DATA)
    assert (job.params, job.done, job.total, job.created_by) == ({"dataset_id": 3}, 0, 7, ANN.name)
    with database.read() as session:
        assert [event.name for event in jobs.events(session, job.id)] == ["queued"]


def test_a_job_without_reviews_keeps_to_the_queue_limit_and_to_its_key(database: Database) -> None:
    key = Idempotency("k", "a" * 64)
    first = ask_for_import(database, key=key)
    again = ask_for_import(database, key=key, limit=1)
    assert (again.job.id, again.replayed, first.replayed) == (first.job.id, True, False)
    with pytest.raises(QueueFullError):
        ask_for_import(database, limit=1)
    with pytest.raises(IdempotencyConflictError):
        ask_for_import(database, key=Idempotency("k", "b" * 64))
