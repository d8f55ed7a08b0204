"""A bell's answer, with a real model and real databases."""

from collections.abc import Callable, Sequence

import pytest
from sqlalchemy import select

from ml.inference import Prediction, Predictor, ReviewText
from store import claims, jobs, reviews
from store.database import Database
from store.jobs import Actor, JobState, JobView, QueueName
from store.reviews import NewReview
from store.schema import Prediction as PredictionRow
from store.settings import Settings
from tests.worker.conftest import Bench
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
    predictor = bench.reader.slot.predictor
    assert predictor is not None
    bench.reader.slot.predictor = Interrupted(  # type: ignore[assignment]  # same method, real answers
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
    predictor = bench.reader.slot.predictor
    assert predictor is not None
    bench.reader.slot.predictor = Interrupted(  # type: ignore[assignment]
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
    predictor = bench.reader.slot.predictor
    assert predictor is not None
    bench.reader.slot.predictor = Interrupted(predictor, chokes_on="poison")  # type: ignore[assignment]
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

    predictor = bench.reader.slot.predictor
    assert predictor is not None
    bench.reader.slot.predictor = Interrupted(predictor, happens=presume_dead)  # type: ignore[assignment]
    bench.reader.answer()
    assert look(database, job_id).worker_id == "w-2"
    with database.read() as session:
        assert session.scalars(select(PredictionRow)).all() == []
