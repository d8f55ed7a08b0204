"""Trainings as the worker runs them: what becomes of the job, its curves, its files and the registry."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import insert

from ml import artifact
from ml.backbones import Backbone
from ml.data import ReviewTable
from store import artifacts, claims, datasets, jobs, models, trainings
from store.database import Database, now
from store.jobs import Actor, JobKind, JobState, JobView, QueueName
from store.schema import Dataset
from store.settings import Settings
from store.trainings import Curves
from tests.ml.conftest import made_up_reviews, small_backbone, tokenizer_json
from worker import child
from worker.trainings import run
from worker.work import Work

__all__ = ["small_backbone", "tokenizer_json"]

N_ROWS = 120


@pytest.fixture(autouse=True)
def _a_small_encoder(small_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny network (2 layers, width 16) for speed; it writes its curves at every step."""
    monkeypatch.setattr("ml.backbones.load", lambda *_args, **_kwargs: small_backbone)
    monkeypatch.setattr("worker.trainings.WRITE_EVERY_S", 0.0)
    monkeypatch.setattr("worker.work.TELL_EVERY_S", 0.0)


def stored(settings: Settings, database: Database, table: ReviewTable) -> int:
    """A data set that is ready, as an import leaves it."""
    file = settings.home / "reviews.parquet"
    columns = {
        "title": [review.title for review in table.reviews],
        "text": [review.text for review in table.reviews],
        "rating": pa.array(table.ratings, from_pandas=True),
        "age": pa.array(table.ages, from_pandas=True),
        "department": list(table.departments),
        "class_name": list(table.class_names),
    }
    pq.write_table(pa.table(columns), file)
    sha256 = artifact.sha256(file)
    with file.open("rb") as source:
        artifacts.put_file(settings, source, artifacts.dataset_artifact(sha256))
    with database.begin() as session:
        made = session.execute(
            insert(Dataset)
            .values(
                name="autumn",
                version=1,
                state="ready",
                source="upload",
                n_rows=len(table),
                sha256=sha256,
                artifact=artifacts.dataset_artifact(sha256),
                created_by="ann",
                created_at=now(session),
            )
            .returning(Dataset.id)
        )
        return made.scalar_one()


@pytest.fixture
def dataset_id(settings: Settings, database: Database) -> int:
    return stored(settings, database, made_up_reviews(N_ROWS))


def asked(database: Database, **params: Any) -> JobView:
    params = {"backbone": "tiny", "epochs": 2, "batch_size": 16, **params}
    with database.begin() as session:
        return jobs.submit_job(
            session,
            kind=JobKind.TRAIN,
            queue=QueueName.TRAIN,
            params=params,
            actor=Actor(user_id=None, token_id=None, name="ann"),
            queue_limit=100,
        ).job


def start(settings: Settings, database: Database) -> Work:
    with database.begin() as session:
        claimed = claims.claim_work(session, queue=QueueName.TRAIN, worker_id="w-1", lease_s=60)
        assert claimed is not None
        job = jobs.get(session, claimed.job_id)
    assert job is not None
    return Work(settings, database, job, claimed)


def look(database: Database, job: JobView) -> tuple[JobView, Curves]:
    with database.read() as session:
        seen, curves = jobs.get(session, job.id), trainings.curves(session, job.id)
    assert seen is not None
    return seen, curves


def test_a_training_ends_as_a_candidate_with_its_curves_and_lineage(
    settings: Settings, database: Database, dataset_id: int
) -> None:
    job = asked(database, dataset_id=dataset_id, seed=7, age_weight=0.5)
    work = start(settings, database)
    child.run(work, run)
    seen, curves = look(database, job)
    assert seen.state == JobState.SUCCEEDED
    with database.read() as session:
        made = models.get(session, (seen.result or {})["model_version"])
        dataset = datasets.get(session, dataset_id)
    assert made is not None
    assert dataset is not None
    assert (made.state, made.job_id, made.dataset_id, made.created_by) == ("candidate", job.id, dataset_id, "ann")
    assert made.lineage is not None
    assert made.lineage["dataset"] == {"name": "autumn", "version": 1, "sha256": dataset.sha256}
    assert (made.lineage["seed"], made.lineage["params"]["age_weight"]) == (7, 0.5)
    folder = artifacts.local_folder(settings, made.artifact)
    assert artifact.verify(folder).version == made.version
    assert artifact.sha256(folder / artifact.MANIFEST) == made.manifest_sha256
    assert made.evaluation == artifact.read_evaluation(folder)
    n_steps = seen.total
    assert [step.step for step in curves.steps] == list(range(1, n_steps + 1))
    assert all(step.total == step.rating_part + step.age_part for step in curves.steps)
    assert [(one.step, one.epoch) for one in curves.evaluations] == [(n_steps // 2, 0), (n_steps, 1)]
    assert sum(one.is_best for one in curves.evaluations) == 1
    assert not work.scratch.exists()


def when_step_is_reached(monkeypatch: pytest.MonkeyPatch, step: int, action: Any) -> None:
    """Do something from outside while the job runs, once it has come so far."""
    tell = Work.progress

    def progress(work: Work, done: int, total: int, phase: str) -> None:
        if done == step:
            action(work)
        tell(work, done, total, phase)

    monkeypatch.setattr(Work, "progress", progress)


def test_a_cancelled_training_stops_and_leaves_no_version(
    settings: Settings, database: Database, dataset_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel(work: Work) -> None:
        with database.begin() as session:
            jobs.cancel(session, work.job.id, by="ann")

    when_step_is_reached(monkeypatch, 4, cancel)
    job = asked(database, dataset_id=dataset_id)
    child.run(start(settings, database), run)
    seen, curves = look(database, job)
    assert seen.state == JobState.CANCELLED
    assert curves.n_steps == 3
    assert not (Path(settings.artifacts) / "models").exists()


def test_stop_and_keep_makes_a_version_of_what_was_learnt_so_far(
    settings: Settings, database: Database, dataset_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(work: Work) -> None:
        with database.begin() as session:
            jobs.stop(session, work.job.id, by="ann")

    when_step_is_reached(monkeypatch, 4, stop)
    job = asked(database, dataset_id=dataset_id, epochs=50)
    child.run(start(settings, database), run)
    seen, curves = look(database, job)
    assert seen.state == JobState.SUCCEEDED
    assert curves.n_steps == 4
    assert [one.step for one in curves.evaluations] == [4]


def test_a_drained_training_goes_on_where_it_stopped(
    settings: Settings, database: Database, dataset_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    when_step_is_reached(monkeypatch, 4, lambda work: work._draining.set() if work.job.attempts == 1 else None)
    job = asked(database, dataset_id=dataset_id)
    child.run(start(settings, database), run)
    seen, curves = look(database, job)
    assert seen.state == JobState.QUEUED
    assert [step.step for step in curves.steps] == [1, 2, 3, 4]
    before = curves.steps
    child.run(start(settings, database), run)
    seen, curves = look(database, job)
    assert seen.state == JobState.SUCCEEDED
    assert curves.steps[:4] == before
    assert [step.step for step in curves.steps] == list(range(1, seen.total + 1))


def test_what_cannot_be_trained_on_is_refused_with_the_reason(settings: Settings, database: Database) -> None:
    unaged = made_up_reviews(N_ROWS)
    unaged.ages[:] = np.nan
    dataset_id = stored(settings, database, unaged)
    for params, reason in (
        ({"dataset_id": dataset_id}, "rows with an age, found none"),
        ({"dataset_id": dataset_id, "epochs": 0}, "epochs: "),
        ({"dataset_id": dataset_id + 1}, f"no data set {dataset_id + 1}"),
    ):
        job = asked(database, **params)
        child.run(start(settings, database), run)
        seen, _ = look(database, job)
        assert seen.state == JobState.FAILED
        assert seen.error is not None
        assert seen.error.kind == "input"
        assert reason in seen.error.message
        assert seen.error.hint
