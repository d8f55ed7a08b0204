"""Which version serves: promotion behind the honesty gate, rollback, archive, delete, and what is written down."""

import threading
from typing import Any

import pytest
from sqlalchemy import select

from store import audit, claims, jobs, model_changes, models, workers
from store.database import Database
from store.errors import DishonestModelError, ModelRefusedError, UnknownModelVersionError
from store.jobs import Actor, QueueName
from store.models import NewModelVersion
from store.reviews import NewPrediction, NewReview
from store.schema import ModelChange
from store.workers import WorkerReport

ANN = Actor(user_id=None, token_id=1, name="ann@example.com")
TFIDF = {"rating": {"qwk": 0.688, "accuracy": 0.660}}


def record(qwk: float, accuracy: float) -> dict[str, Any]:
    return {"n": 1_287, "rating": {"n": 1_287, "qwk": qwk, "accuracy": accuracy}, "baselines": {"tfidf": TFIDF}}


GOOD, POOR = record(0.830, 0.706), record(0.612, 0.590)


def register(database: Database, *versions: str, evaluation: dict[str, Any] | None = GOOD) -> None:
    with database.begin() as session:
        for version in versions:
            new = NewModelVersion(version, "tiny", f"models/{version}", "0" * 64, evaluation)
            models.ensure_active(session, new)


def promote(database: Database, version: str, **more: Any) -> model_changes.Change | None:
    with database.begin() as session:
        return models.promote(session, version, by=ANN, **more)


def rollback(database: Database, **more: Any) -> str:
    with database.begin() as session:
        return models.rollback(session, by=ANN, **more).version


def states(database: Database) -> dict[str, str]:
    with database.read() as session:
        return {model.version: model.state for model in models.list_models(session)}


def test_a_promotion_archives_the_version_that_served_and_is_written_down(database: Database) -> None:
    register(database, "a", "b")
    change = promote(database, "b", reason=" better on dresses ", address="10.0.0.7")
    assert change is not None
    assert (change.action, change.version, change.previous) == ("promote", "b", "a")
    assert (change.made_by, change.reason, change.override_reason) == ("ann@example.com", "better on dresses", None)
    assert states(database) == {"a": "archived", "b": "active"}
    with database.read() as session:
        assert model_changes.list_changes(session, "a") == model_changes.list_changes(session) == [change]
        (entry,) = audit.entries_of(session, "b")
    assert (entry.actor, entry.action, entry.address) == ("ann@example.com", "model.promote", "10.0.0.7")
    assert entry.data == {"previous": "a", "reason": "better on dresses"}


def test_promoting_what_serves_changes_and_records_nothing(database: Database) -> None:
    register(database, "a", evaluation=None)
    assert promote(database, "a") is None
    with database.read() as session:
        assert model_changes.list_changes(session) == []
        assert audit.entries_of(session, "a") == []


def test_an_unknown_version_is_not_promoted(database: Database) -> None:
    register(database, "a")
    with pytest.raises(UnknownModelVersionError):
        promote(database, "b")


@pytest.mark.parametrize(
    ("evaluation", "says"),
    [
        (POOR, r"on 1,287 test rows quadratic kappa 0\.612 against 0\.688, accuracy 0\.590 against 0\.660"),
        (record(0.688, 0.700), "quadratic kappa 0.688 against 0.688"),
        (record(0.700, 0.650), "accuracy 0.650 against 0.660"),
        (None, "no evaluation record"),
        ({"rating": {"qwk": 0.9, "accuracy": 0.9}}, "no figures of TF-IDF"),
        ({"rating": {"qwk": None, "accuracy": None}, "baselines": {"tfidf": TFIDF}}, "no figures for the rating"),
    ],
)
def test_a_version_that_does_not_beat_tfidf_needs_an_audited_override(
    database: Database, evaluation: dict[str, Any] | None, says: str
) -> None:
    register(database, "a")
    register(database, "b", evaluation=evaluation)
    for blank in (None, "", "  "):
        with pytest.raises(DishonestModelError, match=says):
            promote(database, "b", override_reason=blank)
    assert states(database) == {"a": "active", "b": "candidate"}
    change = promote(database, "b", override_reason="a demonstration")
    assert change is not None
    assert change.override_reason == "a demonstration"
    with database.read() as session:
        (entry,) = audit.entries_of(session, "b")
    assert entry.data["override_reason"] == "a demonstration"
    assert entry.data["objection"]


def test_equal_accuracy_and_a_higher_kappa_pass_and_no_override_is_recorded(database: Database) -> None:
    register(database, "a")
    register(database, "b", evaluation=record(0.689, 0.660))
    change = promote(database, "b", override_reason="to be sure")
    assert change is not None
    assert change.override_reason is None


def test_the_refusal_tells_the_interval_of_the_difference(database: Database) -> None:
    paired = {"rating": {"qwk": {"difference": -0.076, "interval": [-0.101, -0.048]}}}
    register(database, "a")
    register(database, "b", evaluation=POOR | {"against_tfidf": paired})
    with pytest.raises(DishonestModelError, match=r"95 % interval of the difference -0\.101 to -0\.048"):
        promote(database, "b")


def test_each_rollback_takes_one_more_promotion_back(database: Database) -> None:
    register(database, "a", "b", "c")
    promote(database, "b")
    promote(database, "c")
    assert rollback(database) == "b"
    assert rollback(database) == "a"
    with pytest.raises(ModelRefusedError, match="nothing to roll back to"):
        rollback(database)
    assert states(database) == {"a": "active", "b": "archived", "c": "archived"}


def test_a_promotion_after_a_rollback_is_taken_back_to_where_it_began(database: Database) -> None:
    register(database, "a", "b", "c")
    promote(database, "b")
    assert rollback(database) == "a"
    promote(database, "c")
    assert rollback(database) == "a"
    with pytest.raises(ModelRefusedError):
        rollback(database)


def test_a_version_that_served_twice_is_met_twice_on_the_way_back(database: Database) -> None:
    register(database, "a", "b")
    for version in ("b", "a", "b"):
        promote(database, version)
    assert [rollback(database) for _ in range(3)] == ["a", "b", "a"]
    with pytest.raises(ModelRefusedError):
        rollback(database)


def test_a_rollback_passes_over_a_deleted_version_and_asks_no_gate(database: Database) -> None:
    register(database, "a", evaluation=POOR)
    register(database, "b", "c")
    promote(database, "b")
    promote(database, "c")
    with database.begin() as session:
        models.delete(session, "b", by=ANN)
        assert models.rollback_target(session) == "a"
    assert rollback(database, reason="c is slow") == "a"
    with database.read() as session:
        assert models.rollback_target(session) is None
        (entry,) = [entry for entry in audit.entries_of(session, "a") if entry.action == "model.rollback"]
    assert entry.data == {"previous": "c", "reason": "c is slow"}


def test_a_rollback_of_another_version_than_its_author_saw_is_refused(database: Database) -> None:
    register(database, "a", "b")
    promote(database, "b")
    assert rollback(database, serving="b") == "a"
    with pytest.raises(ModelRefusedError, match="a serves by now, not b"):
        rollback(database, serving="b")


def test_what_serves_is_neither_archived_nor_deleted(database: Database) -> None:
    register(database, "a")
    for refuse in (models.archive, models.delete):
        with database.begin() as session, pytest.raises(ModelRefusedError, match="it serves"):
            refuse(session, "a", by=ANN)
        with database.begin() as session, pytest.raises(UnknownModelVersionError):
            refuse(session, "z", by=ANN)
    assert states(database) == {"a": "active"}


def test_archiving_twice_is_recorded_once(database: Database) -> None:
    register(database, "a", "b")
    for _ in range(2):
        with database.begin() as session:
            assert models.archive(session, "b", by=ANN).state == "archived"
    with database.read() as session:
        assert [entry.action for entry in audit.entries_of(session, "b")] == ["model.archive"]


def test_a_version_whose_words_are_stored_is_not_deleted(database: Database) -> None:
    register(database, "a", "b")
    with database.begin() as session:
        jobs.submit_reviews(session, [NewReview(text="Soft.")], actor=ANN, queue_limit=9)
    said = NewPrediction(5, (0.0, 0.0, 0.0, 0.0, 1.0), 5.0, 40.0, 30.0, 50.0, truncated=False)
    with database.begin() as session:
        held = claims.claim(session, queue=QueueName.INTERACTIVE, max_reviews=9, worker_id="w", lease_s=9)
    with database.begin() as session:
        claims.succeed(session, held, [[said]], model_version="b")
    with database.begin() as session, pytest.raises(ModelRefusedError, match="stored predictions"):
        models.delete(session, "b", by=ANN)


def test_a_version_that_a_living_worker_has_loaded_is_not_deleted(database: Database) -> None:
    register(database, "a", "b")
    with database.begin() as session:
        workers.enrol(session, worker_id="w", hostname="here", pid=1, queues=["bulk"])
        workers.report(session, "w", WorkerReport("ready", model_version="b"))
    with database.begin() as session, pytest.raises(ModelRefusedError, match="still reads with it"):
        models.delete(session, "b", by=ANN)
    with database.begin() as session:
        workers.report(session, "w", WorkerReport("stopped", model_version="b"))
        assert models.delete(session, "b", by=ANN).artifact == "models/b"
    assert states(database) == {"a": "active"}


def test_promotions_at_the_same_time_follow_one_another(database: Database) -> None:
    versions = ["a", "b", "c", "d", "e"]
    register(database, *versions)
    barrier = threading.Barrier(4)
    failures: list[Exception] = []

    def run(version: str) -> None:
        barrier.wait()
        try:
            promote(database, version)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(version,)) for version in versions[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with database.read() as session:
        made = session.scalars(select(ModelChange).order_by(ModelChange.id)).all()
    assert [change.previous for change in made] == ["a", *(change.version for change in made[:-1])]
    assert [version for version, state in states(database).items() if state == "active"] == [made[-1].version]
