"""A bell's answer, with a real model and real databases."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, event, select
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from ml.explanation import Explanation
from ml.inference import Prediction, Predictor, ReviewText
from store import claims, explanations, jobs, reviews
from store.database import Database
from store.jobs import Actor, JobKind, JobState, JobView, QueueName
from store.reviews import NewReview
from store.schema import Explanation as ExplanationRow
from store.schema import Job, Review
from store.schema import Prediction as PredictionRow
from store.settings import Settings
from tests.worker.conftest import VERSION, Bench
from worker.errors import BrokenModelError
from worker.slot import ModelSlot

MakeBench = Callable[[], Bench]
Between = Callable[[int], None]


def submit(database: Database, *texts: str) -> str:
    with database.begin() as session:
        actor = Actor(user_id=None, token_id=1, name="ann")
        asked = [NewReview(text=text, title="A title") for text in texts]
        return jobs.submit_reviews(session, asked, actor=actor, queue_limit=999).job.id


def look(database: Database, job_id: str) -> JobView:
    with database.read() as session:
        found = jobs.get(session, job_id)
    assert found is not None
    return found


def event_names(database: Database, job_id: str) -> list[str]:
    with database.read() as session:
        return [event.name for event in jobs.events(session, job_id)]


class Interrupted:
    """The real predictor, with something that happens after its first batch, or a defect for certain texts."""

    def __init__(self, predictor: Predictor, *, happens: Callable[[], None] | None = None, chokes_on: str = "") -> None:
        self._predictor, self._happens, self._chokes_on = predictor, happens, chokes_on

    def predict(self, asked: Sequence[ReviewText], between_batches: Between | None = None) -> list[Prediction]:
        if self._chokes_on and any(self._chokes_on in review.text for review in asked):
            raise RuntimeError(f"cannot read {self._chokes_on}")
        said = self._predictor.predict(asked)
        happens, self._happens = self._happens, None
        if happens is not None:
            happens()
            assert between_batches is not None
            between_batches(len(asked) - 1)
        return said


def test_one_bell_answers_everything_that_waits(make_bench: MakeBench, database: Database) -> None:
    ids = [submit(database, f"Review number {n}") for n in range(40)]
    bench = make_bench()
    bench.reader.answer()
    assert {look(database, job_id).state for job_id in ids} == {JobState.SUCCEEDED}
    assert bench.reader.reviews_done == 40
    bench.reader.answer()  # a second bell finds nothing and harms nothing
    with database.read() as session:
        assert len(session.scalars(select(PredictionRow)).all()) == 40


def test_answers_belong_to_their_reviews(make_bench: MakeBench, database: Database, predictor: Predictor) -> None:
    texts = ["short", "a much longer review " * 30, "of middling length, more or less, all told"]
    job_id = submit(database, *texts)
    make_bench().reader.answer()
    alone = [predictor.predict([ReviewText("A title", text)])[0] for text in texts]
    with database.read() as session:
        stored = [review.prediction for review in reviews.reviews_of_job(session, job_id)]
    for expected, said in zip(alone, stored, strict=True):
        assert said is not None
        assert said.expected_stars == pytest.approx(expected.expected_stars, abs=1e-4)
        assert said.age == pytest.approx(expected.age, abs=1e-3)
        assert sum(said.rating_probabilities) == pytest.approx(1)
        assert said.age_low < said.age < said.age_high


def test_people_are_served_before_and_within_bulk_work(make_bench: MakeBench, database: Database) -> None:
    bulk = submit(database, *(f"bulk {n}" for n in range(40)))
    bench = make_bench()
    late: list[str] = []
    predictor = bench.predictor
    bench.predictor = Interrupted(  # type: ignore[assignment]  # same method, real answers
        predictor, happens=lambda: late.append(submit(database, "urgent"))
    )
    bench.reader.answer()
    urgent, slow = look(database, late[0]), look(database, bulk)
    assert (slow.queue, urgent.queue) == (QueueName.BULK, QueueName.INTERACTIVE)
    assert urgent.finished_at is not None
    assert slow.finished_at is not None
    assert urgent.finished_at < slow.finished_at


def test_without_a_model_nothing_is_claimed_and_the_reason_is_told(
    make_bench: MakeBench, database: Database, settings: Settings
) -> None:
    job_id = submit(database, "text")
    bench = make_bench()
    bench.reader.slot = ModelSlot(settings, database, threads=1)
    bench.reader.answer()
    assert look(database, job_id).state is JobState.QUEUED
    assert bench.reader.slot.error is not None
    assert "small-1" in bench.reader.slot.error


def test_a_draining_worker_hands_back_what_it_has_not_finished(make_bench: MakeBench, database: Database) -> None:
    job_id = submit(database, "a", "b")
    bench = make_bench()
    predictor = bench.predictor
    bench.predictor = Interrupted(  # type: ignore[assignment]
        predictor, happens=lambda: bench.draining.append(True)
    )
    bench.reader.answer()
    assert look(database, job_id).state is JobState.QUEUED
    assert event_names(database, job_id) == ["queued", "claimed", "released"]
    bench.draining.clear()
    bench.reader.answer()
    assert look(database, job_id).state is JobState.SUCCEEDED


def test_a_defect_fails_its_own_job_and_no_innocent_one(make_bench: MakeBench, database: Database) -> None:
    innocent, poison = submit(database, "innocent"), submit(database, "poison")
    bench = make_bench()
    predictor = bench.predictor
    bench.predictor = Interrupted(predictor, chokes_on="poison")  # type: ignore[assignment]
    bench.reader.answer()
    assert look(database, innocent).state is JobState.SUCCEEDED
    failed = look(database, poison)
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert (failed.error.kind, failed.error.message) == ("defect", "RuntimeError: cannot read poison")
    assert "Traceback" in (failed.error.traceback or "")


def test_a_worker_that_lost_its_lease_drops_what_it_read(make_bench: MakeBench, database: Database) -> None:
    job_id = submit(database, "a", "b")
    bench = make_bench()

    def presume_dead() -> None:
        with database.begin() as session:
            stolen = claims.Claim(job_id, QueueName.INTERACTIVE, 1, ())
            assert claims.release(session, stolen)
            assert claims.claim(session, queue=QueueName.INTERACTIVE, max_reviews=9, worker_id="w-2", lease_s=60)

    predictor = bench.predictor
    bench.predictor = Interrupted(predictor, happens=presume_dead)  # type: ignore[assignment]
    bench.reader.answer()
    assert look(database, job_id).worker_id == "w-2"
    with database.read() as session:
        assert session.scalars(select(PredictionRow)).all() == []


class Broken:
    """A predictor whose device is lost once it has met a certain text, as a CUDA fault stays until the process ends."""

    def __init__(self, predictor: Predictor, *, by: str) -> None:
        self._predictor, self._by, self._is_broken = predictor, by, False

    def predict(self, asked: Sequence[ReviewText], between_batches: Between | None = None) -> list[Prediction]:
        self._is_broken = self._is_broken or any(self._by in review.text for review in asked)
        if self._is_broken:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return self._predictor.predict(asked)


def break_model(bench: Bench, *, by: str) -> None:
    predictor = bench.predictor
    bench.predictor = Broken(predictor, by=by)  # type: ignore[assignment]  # same method


def test_a_lost_device_ends_the_process_and_is_no_jobs_fault(make_bench: MakeBench, database: Database) -> None:
    ids = [submit(database, f"Review {n}") for n in range(8)]
    bench = make_bench()
    break_model(bench, by="Review 3")
    with pytest.raises(BrokenModelError, match="illegal memory access"):
        bench.reader.answer()
    assert {look(database, job_id).state for job_id in ids} == {JobState.QUEUED}
    with database.read() as session:
        rows = session.scalars(select(Job)).all()
    assert all(row.run_alone and row.run_after is not None for row in rows)
    assert bench.reader.slot.error is not None


def test_a_job_that_was_alone_with_a_lost_device_is_left_for_the_sweep_to_count(
    make_bench: MakeBench, database: Database
) -> None:
    job_id = submit(database, "poison")
    bench = make_bench()
    break_model(bench, by="poison")
    with pytest.raises(BrokenModelError):
        bench.reader.answer()
    assert look(database, job_id).state is JobState.RUNNING


def test_an_urgent_job_that_meets_a_lost_device_takes_no_bulk_job_along(
    make_bench: MakeBench, database: Database, predictor: Predictor
) -> None:
    bulk = submit(database, *(f"bulk {n}" for n in range(40)))
    bench = make_bench()
    lost = Broken(predictor, by="urgent")
    bench.predictor = Interrupted(  # type: ignore[assignment]
        lost,  # type: ignore[arg-type]
        happens=lambda: submit(database, "urgent") and None,
    )
    with pytest.raises(BrokenModelError):
        bench.reader.answer()
    assert look(database, bulk).state is JobState.QUEUED


def test_an_answer_that_is_no_number_is_refused_with_the_true_reason(
    make_bench: MakeBench, database: Database, predictor: Predictor
) -> None:
    class Nonsense:
        def predict(self, asked: Sequence[ReviewText], between_batches: Between | None = None) -> list[Prediction]:
            said = predictor.predict(asked)
            return [
                replace(one, age=float("nan")) if "strange" in review.text else one
                for one, review in zip(said, asked, strict=True)
            ]

    strange, plain = submit(database, "strange"), submit(database, "plain")
    bench = make_bench()
    bench.predictor = Nonsense()  # type: ignore[assignment]
    bench.reader.answer()
    error = look(database, strange).error
    assert error is not None
    assert "not finite" in error.message
    assert look(database, plain).state is JobState.SUCCEEDED


@contextmanager
def refusing(database: Database, start: str, error: Exception) -> Iterator[None]:
    """Every statement that starts so is answered with this error."""

    def refuse(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(start):
            raise error

    for engine in {database.writer, database.reader}:
        event.listen(engine, "before_cursor_execute", refuse)
    try:
        yield
    finally:
        for engine in {database.writer, database.reader}:
            event.remove(engine, "before_cursor_execute", refuse)


CAUSE = Exception("server closed the connection")


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("INSERT", {}, CAUSE),
        InterfaceError("INSERT", {}, CAUSE),
        PoolTimeoutError("QueuePool limit of size 10 reached"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_database_that_is_away_gets_the_job_back_later(
    make_bench: MakeBench, database: Database, error: Exception
) -> None:
    job_id = submit(database, "text")
    with refusing(database, "INSERT INTO predictions", error):
        make_bench().reader.answer()
    assert look(database, job_id).state is JobState.QUEUED
    with database.read() as session:
        assert session.scalars(select(Job.run_after)).one() is not None


@pytest.mark.parametrize("kind", [IntegrityError, DataError])
def test_a_database_that_refuses_the_answer_fails_the_job_with_its_words(
    make_bench: MakeBench, database: Database, kind: type[IntegrityError] | type[DataError]
) -> None:
    refused, fine = submit(database, "refused"), submit(database, "fine")
    with refusing(database, "INSERT INTO predictions", kind("INSERT", {}, Exception("value out of range"))):
        make_bench().reader.answer()
    for job_id in (refused, fine):  # released once, then each alone
        error = look(database, job_id).error
        assert error is not None
        assert error.message == f"{kind.__name__}: value out of range"


def test_a_bell_survives_a_database_that_refuses_the_hand_back_too(make_bench: MakeBench, database: Database) -> None:
    job_id = submit(database, "text")
    bench = make_bench()
    refusal = OperationalError("", {}, CAUSE)

    def go_away() -> None:
        broken.__enter__()

    broken = refusing(database, "UPDATE jobs", refusal)
    predictor = bench.predictor
    bench.predictor = Interrupted(predictor, happens=go_away)  # type: ignore[assignment]
    bench.reader.answer()
    broken.__exit__(None, None, None)
    assert look(database, job_id).state is JobState.RUNNING  # until its lease lapses


def test_a_bell_survives_a_database_that_refuses_to_claim(make_bench: MakeBench, database: Database) -> None:
    job_id = submit(database, "text")
    bench = make_bench()
    with refusing(database, "SELECT jobs", OperationalError("", {}, CAUSE)):
        bench.reader.answer()
    assert look(database, job_id).state is JobState.QUEUED
    bench.reader.answer()
    assert look(database, job_id).state is JobState.SUCCEEDED


def ask_why(database: Database, review_id: int = 1) -> str:
    actor = Actor(user_id=None, token_id=1, name="ann")
    with database.begin() as session:
        asked = explanations.request(session, review_id, actor=actor, queue_limit=999, depth=0)
    assert asked is not None
    return asked.job.id


def why(database: Database, review_id: int = 1) -> explanations.ExplanationView | None:
    with database.read() as session:
        return explanations.of_review(session, review_id)


def test_an_explanation_belongs_to_the_prediction_that_stands(make_bench: MakeBench, database: Database) -> None:
    submit(database, "soft and warm, but itchy")
    bench = make_bench()
    bench.reader.answer()
    job_id = ask_why(database)
    bench.reader.answer()
    assert look(database, job_id).state is JobState.SUCCEEDED
    assert event_names(database, job_id) == ["queued", "claimed", "succeeded"]
    with database.read() as session:
        [said] = session.scalars(select(PredictionRow)).all()  # none was added
    found = why(database)
    assert found is not None
    assert found.model_version == VERSION
    stars = found.baseline.stars + sum(word.stars for word in found.words) + found.unexplained.stars
    years = found.baseline.years + sum(word.years for word in found.words) + found.unexplained.years
    assert (stars, years) == pytest.approx((said.expected_stars, said.age), abs=1e-3)
    assert [word.part for word in found.words].count("title") == 2
    assert len(found.words) == 8


def test_a_review_that_was_not_read_is_read_and_explained_at_once(make_bench: MakeBench, database: Database) -> None:
    predicted = submit(database, "soft and warm")
    with database.begin() as session:
        jobs.cancel(session, predicted, by="ann")
    ask_why(database)
    make_bench().reader.answer()
    with database.read() as session:
        review = reviews.get_review(session, 1)
    assert review is not None
    assert review.prediction is not None
    assert why(database) is not None


def test_a_text_that_was_replaced_meanwhile_does_not_pass_for_explained(
    make_bench: MakeBench, database: Database
) -> None:
    actor = Actor(user_id=None, token_id=1, name="ann")

    def hand_in(text: str) -> None:
        with database.begin() as session:
            asked = [NewReview(text=text, external_id="one")]
            jobs.submit_reviews(session, asked, actor=actor, queue_limit=999)

    hand_in("the first text")
    bench = make_bench()
    bench.reader.answer()
    job_id = ask_why(database)
    bench.predictor = WhileExplaining(  # type: ignore[assignment]  # same methods, real answers
        bench.predictor, lambda: hand_in("another text")
    )
    bench.reader.answer()
    assert look(database, job_id).state is JobState.SUCCEEDED
    assert why(database) is None
    ask_why(database)
    bench.reader.answer()
    assert why(database) is not None


class WhileExplaining:
    """The real predictor, with something that happens once while it explains."""

    def __init__(self, predictor: Predictor | None, happens: Callable[[], None]) -> None:
        assert predictor is not None
        self._predictor, self._happens = predictor, [happens]
        self.predict = predictor.predict

    def explain(self, asked: ReviewText) -> tuple[Prediction, Explanation]:
        while self._happens:
            self._happens.pop()()
        return self._predictor.explain(asked)


def test_a_worker_that_lost_its_lease_drops_its_explanation(make_bench: MakeBench, database: Database) -> None:
    submit(database, "soft and warm")
    bench = make_bench()
    bench.reader.answer()
    job_id = ask_why(database)

    def presume_dead() -> None:
        with database.begin() as session:
            assert claims.release(session, claims.Claim(job_id, QueueName.INTERACTIVE, 1, ()))
            assert claims.claim(session, queue=QueueName.INTERACTIVE, max_reviews=9, worker_id="w-2", lease_s=60)

    bench.predictor = WhileExplaining(  # type: ignore[assignment]
        bench.predictor, presume_dead
    )
    bench.reader.answer()
    assert (look(database, job_id).state, look(database, job_id).worker_id) == (JobState.RUNNING, "w-2")
    assert why(database) is None


def test_an_explanation_is_claimed_alone(make_bench: MakeBench, database: Database) -> None:
    submit(database, "first")
    ask_why(database)
    submit(database, "second")
    with database.begin() as session:
        batch = claims.claim(session, queue=QueueName.INTERACTIVE, max_reviews=9, worker_id="w-1", lease_s=60)
        alone = claims.claim(session, queue=QueueName.INTERACTIVE, max_reviews=9, worker_id="w-1", lease_s=60)
    assert [claim.kind for claim in batch] == [JobKind.PREDICT, JobKind.PREDICT]
    assert [claim.kind for claim in alone] == [JobKind.EXPLAIN]


def test_a_review_that_was_deleted_takes_its_explanation_along(make_bench: MakeBench, database: Database) -> None:
    submit(database, "soft and warm")
    bench = make_bench()
    ask_why(database)
    bench.reader.answer()
    job_id = ask_why(database)
    assert why(database) is not None
    with database.begin() as session:
        session.execute(delete(Review).where(Review.id == 1))
    with database.read() as session:
        assert session.scalars(select(ExplanationRow)).all() == []
    bench.reader.answer()  # the job that asked again has nothing left to explain
    assert look(database, job_id).state is JobState.SUCCEEDED
