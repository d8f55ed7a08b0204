"""A new version takes over between batches: real files, real weights, real databases."""

import gc
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Thread

import pytest
import torch
from sqlalchemy import select

from ml.inference import Prediction, Predictor, ReviewText
from ml.network import DistilBertForReviews
from store import jobs, models, workers
from store.database import Database
from store.jobs import Actor, JobState
from store.models import NewModelVersion
from store.schema import Job, Review
from store.schema import Prediction as PredictionRow
from store.settings import Settings
from tests.worker.conftest import VERSION, Bench, install
from tests.worker.test_reader import Between, submit
from tests.worker.test_slot import damage
from worker import presence
from worker import slot as slot_module
from worker.heartbeat import Heartbeat
from worker.slot import ModelSlot

OTHER = "small-2"
ANN = Actor(user_id=None, token_id=1, name="ann")
PATIENCE_S = 60.0


@pytest.fixture(scope="session")
def other_network(network: DistilBertForReviews) -> DistilBertForReviews:
    """The same shape with other weights, so that each says something else of the same review."""
    torch.manual_seed(1)
    return DistilBertForReviews(network.config)


@pytest.fixture
def other(settings: Settings, database: Database, installed: Path, other_network: DistilBertForReviews) -> Path:
    """The folder of a second version, a candidate."""
    folder = install(settings, other_network, OTHER)
    with database.begin() as session:
        models.register(session, NewModelVersion(OTHER, "tiny", f"models/{OTHER}", "0" * 64, None))
    return folder


@pytest.fixture
def bench(make_bench: Callable[[], Bench], settings: Settings, database: Database, other: Path) -> Bench:
    """A reader whose model was loaded from its files."""
    made = make_bench()
    made.reader.slot = ModelSlot(settings, database, threads=1)
    assert made.reader.slot.fill() is not None
    return made


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_module, "LOOK_AGAIN_S", 0.0)


def promote(database: Database, version: str) -> None:
    with database.begin() as session:
        models.promote(session, version, by=ANN, override_reason="a test")


def until(holds: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


def follow(slot: ModelSlot, *, until_loaded: str) -> None:
    def is_there() -> bool:
        slot.follow()
        return slot.loaded is not None and slot.loaded.version == until_loaded

    until(is_there)


def said_by(database: Database) -> dict[str, list[tuple[str, float]]]:
    """For each version, the texts that it is said to have read and the age that was stored."""
    asked = select(PredictionRow.model_version, Review.text, PredictionRow.age)
    with database.read() as session:
        rows = session.execute(asked.join(Review, Review.id == PredictionRow.review_id)).all()
    found: dict[str, list[tuple[str, float]]] = {}
    for version, text, age in rows:
        found.setdefault(version, []).append((text, age))
    return found


def test_a_promotion_under_a_stream_of_jobs_fails_none_and_each_answer_names_its_model(
    bench: Bench, database: Database, settings: Settings
) -> None:
    ended = Event()
    failures: list[BaseException] = []

    def read() -> None:
        try:
            while not ended.is_set():
                bench.reader.answer()
                time.sleep(0.005)
            bench.reader.answer()
        except BaseException as error:
            failures.append(error)
            raise

    reading = Thread(target=read)
    reading.start()
    ids: list[str] = []

    def serving(version: str) -> bool:
        ids.append(submit(database, f"Review number {len(ids)}", f"Another of {len(ids)}, a little longer"))
        loaded = bench.reader.slot.loaded
        return loaded is not None and loaded.version == version

    try:
        for version in (OTHER, VERSION, OTHER):
            promote(database, version)
            until(lambda version=version: serving(version))  # type: ignore[misc]  # mypy infers no default
        ids.extend(submit(database, f"Last {n}") for n in range(5))
    finally:
        ended.set()
        reading.join()
    assert failures == []
    with database.read() as session:
        assert set(session.scalars(select(Job.state))) == {JobState.SUCCEEDED}
    stored = said_by(database)
    assert set(stored) == {VERSION, OTHER}
    assert sum(map(len, stored.values())) == 2 * (len(ids) - 5) + 5
    for version, answers in stored.items():
        predictor = Predictor.load(settings_folder(settings, version), device="cpu")
        alone = [predictor.predict([ReviewText("A title", text)])[0].age for text, _ in answers]
        assert [age for _, age in answers] == pytest.approx(alone, abs=1e-2), version


def settings_folder(settings: Settings, version: str) -> Path:
    return Path(settings.artifacts) / "models" / version


def test_the_two_versions_say_different_things(settings: Settings, other: Path, installed: Path) -> None:
    ages = [
        Predictor.load(folder, device="cpu").predict([ReviewText(None, "Soft.")])[0].age
        for folder in (installed, other)
    ]
    assert abs(ages[0] - ages[1]) > 0.1


def test_a_batch_ends_with_the_model_that_began_it(bench: Bench, database: Database) -> None:
    job_id = submit(database, "one", "two")
    old = bench.predictor

    class Swapped:
        def predict(self, asked: Sequence[ReviewText], between_batches: Between | None = None) -> list[Prediction]:
            promote(database, OTHER)
            follow(bench.reader.slot, until_loaded=OTHER)
            return old.predict(asked)

    bench.predictor = Swapped()  # type: ignore[assignment]  # same method, real answers
    bench.reader.answer()
    later = submit(database, "three")
    bench.reader.answer()
    with database.read() as session:
        rows = session.execute(select(PredictionRow.job_id, PredictionRow.model_version)).all()
    assert {tuple(row) for row in rows} == {(job_id, VERSION), (later, OTHER)}


def test_an_urgent_review_within_a_bulk_batch_is_read_and_named_by_the_newest_model(
    bench: Bench, database: Database
) -> None:
    bulk = submit(database, *(f"bulk {n}" for n in range(40)))
    old = bench.predictor
    urgent: list[str] = []

    class Swapped:
        def predict(self, asked: Sequence[ReviewText], between_batches: Between | None = None) -> list[Prediction]:
            promote(database, OTHER)
            follow(bench.reader.slot, until_loaded=OTHER)
            urgent.append(submit(database, "urgent"))
            assert between_batches is not None
            between_batches(1)
            return old.predict(asked)

    bench.predictor = Swapped()  # type: ignore[assignment]
    bench.reader.answer()
    with database.read() as session:
        rows = session.execute(select(PredictionRow.job_id, PredictionRow.model_version)).all()
    assert {tuple(row) for row in rows} == {(bulk, VERSION), (urgent[0], OTHER)}


def test_a_broken_version_leaves_the_old_one_reading_and_says_why(
    bench: Bench, database: Database, other: Path
) -> None:
    whole = damage(other)
    promote(database, OTHER)
    slot = bench.reader.slot

    def is_told() -> bool:
        slot.follow()
        return slot.error is not None

    until(is_told)
    assert slot.loaded is not None
    assert slot.loaded.version == VERSION
    assert "small-1 goes on reading" in str(slot.error)
    assert "model.safetensors" in str(slot.error)
    job_id = submit(database, "still read")
    bench.reader.answer()
    with database.read() as session:
        found = jobs.get(session, job_id)
        assert found is not None
        assert found.state is JobState.SUCCEEDED
    (other / "model.safetensors").write_bytes(whole)
    follow(slot, until_loaded=OTHER)
    assert slot.error is None


def test_a_rollback_from_a_broken_version_clears_the_reason(bench: Bench, database: Database, other: Path) -> None:
    damage(other)
    promote(database, OTHER)
    slot = bench.reader.slot
    until(lambda: slot.follow() or slot.error is not None)
    with database.begin() as session:
        assert models.rollback(session, by=ANN).version == VERSION
    until(lambda: slot.follow() or slot.error is None)


def test_the_old_model_leaves_memory_after_the_swap(bench: Bench, database: Database) -> None:
    submit(database, "read by the old one")
    bench.reader.answer()
    old = weakref.ref(bench.predictor)
    promote(database, OTHER)
    follow(bench.reader.slot, until_loaded=OTHER)
    gc.collect()
    assert old() is None


def test_an_idle_worker_takes_the_new_version_and_reports_it(
    bench: Bench, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "HEARTBEAT_S", 0.05)
    heartbeat = Heartbeat(database, "w-1", bench.reader.slot, bench.reader)
    heartbeat.start()

    def reported() -> str | None:
        with database.read() as session:
            return next((worker.model_version for worker in workers.list_workers(session)), None)

    try:
        until(lambda: reported() == VERSION)
        promote(database, OTHER)
        until(lambda: reported() == OTHER)
    finally:
        heartbeat.stop()


def test_a_reader_that_looks_does_not_wait_for_a_load(
    bench: Bench, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, began = Event(), Event()
    real = Predictor.warm_up

    def slow(self: Predictor) -> None:
        began.set()
        may_end.wait(PATIENCE_S)
        real(self)

    monkeypatch.setattr(Predictor, "warm_up", slow)
    promote(database, OTHER)
    bench.reader.slot.follow()
    assert began.wait(PATIENCE_S)
    job_id = submit(database, "read meanwhile")
    bench.reader.answer()
    with database.read() as session:
        found = jobs.get(session, job_id)
        assert found is not None
        assert found.state is JobState.SUCCEEDED
    assert not may_end.is_set()
    may_end.set()
    follow(bench.reader.slot, until_loaded=OTHER)
