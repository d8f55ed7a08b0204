"""Imports as the worker runs them: what becomes of the data set, its files and the job."""

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ml.tables import FIELDS
from store import artifacts, claims, datasets, jobs
from store.database import Database
from store.datasets import MAPPABLE, DatasetView
from store.jobs import Actor, JobState, JobView, QueueName
from store.settings import Settings
from worker import child, imports
from worker.steward import Steward
from worker.work import Work

CSV = "Review Text,Rating,Age\nFits well.,5,40\nToo small.,9,30\nSoft.,4,\n"


def upload(settings: Settings, database: Database, content: str = CSV, **mapping: str) -> JobView:
    artifact = artifacts.new_upload()
    artifacts.put_file(settings, io.BytesIO(content.encode()), artifact)
    with database.begin() as session:
        return datasets.submit_import(
            session,
            name="autumn",
            upload=artifact,
            n_bytes=len(content),
            mapping=mapping,
            actor=Actor(user_id=None, token_id=None, name="ann"),
            queue_limit=100,
        ).job


def start(settings: Settings, database: Database) -> Work:
    with database.begin() as session:
        claimed = claims.claim_work(session, queue=QueueName.DATA, worker_id="w-1", lease_s=60)
        assert claimed is not None
        job = jobs.get(session, claimed.job_id)
    assert job is not None
    return Work(settings, database, job, claimed)


def look(database: Database, job: JobView) -> tuple[JobView, DatasetView]:
    with database.read() as session:
        seen, dataset = jobs.get(session, job.id), datasets.get(session, job.params["dataset_id"])
    assert seen is not None
    assert dataset is not None
    return seen, dataset


def uploads(settings: Settings) -> list[Path]:
    return list((Path(settings.artifacts) / "uploads").iterdir())


def test_an_import_ends_with_the_file_its_hash_the_report_and_the_rejects(
    settings: Settings, database: Database
) -> None:
    job = upload(settings, database)
    child.run(start(settings, database), imports.run)
    ended, dataset = look(database, job)
    assert (ended.state, ended.result) == (
        JobState.SUCCEEDED,
        {"dataset_id": dataset.id, "n_rows": 2, "n_rejected": 1},
    )
    assert (dataset.state, dataset.n_rows, dataset.n_rejected) == ("ready", 2, 1)
    kept = Path(settings.artifacts) / "datasets" / f"{dataset.sha256}.parquet"
    assert [row["text"] for row in pq.read_table(kept).to_pylist()] == ["Fits well.", "Soft."]
    assert dataset.report is not None
    assert dataset.report["rejects"][0]["line"] == 3
    with artifacts.open_file(settings, str(dataset.rejects_artifact)) as rejects:
        assert rejects.read().decode().splitlines()[1].startswith("3,Rating,9,")
    assert uploads(settings) == []


def test_the_steward_s_own_process_imports(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEMLINE_HOME", str(settings.home))
    monkeypatch.setenv("HEMLINE_DATABASE_URL", settings.database)
    job = upload(settings, database, "Worte;Sterne\nPasst.;5\n", text="Worte", rating="Sterne")
    Steward(settings, database, queue=QueueName.DATA, worker_id="w-1", is_draining=lambda: False).answer()
    ended, dataset = look(database, job)
    assert (ended.state, ended.error) == (JobState.SUCCEEDED, None)
    assert (dataset.state, dataset.n_rows) == ("ready", 1)


def test_a_file_that_cannot_be_used_fails_with_what_to_do(settings: Settings, database: Database) -> None:
    job = upload(settings, database, "Rating,Age\n5,40\n")
    child.run(start(settings, database), imports.run)
    ended, dataset = look(database, job)
    assert (ended.state, dataset.state) == (JobState.FAILED, "failed")
    assert ended.error is not None
    assert ended.error.kind == "input"
    assert "no column holds the texts" in ended.error.message
    assert "upload it again" in (ended.error.hint or "")
    with database.begin() as session:  # a retry says the same: the file is still there
        jobs.retry(session, job.id, by="ann")
    child.run(start(settings, database), imports.run)
    assert look(database, job)[0].error == ended.error


def test_a_retry_after_the_upload_is_gone_says_so(settings: Settings, database: Database) -> None:
    job = upload(settings, database, "Rating\n5\n")
    child.run(start(settings, database), imports.run)
    for file in uploads(settings):
        file.unlink()
    with database.begin() as session:
        jobs.retry(session, job.id, by="ann")
    child.run(start(settings, database), imports.run)
    error = look(database, job)[0].error
    assert error is not None
    assert (error.kind, error.hint) == ("input", "Upload it again.")


def test_an_import_that_was_killed_before_its_end_is_repeated_in_full(settings: Settings, database: Database) -> None:
    job = upload(settings, database)
    killed = start(settings, database)
    outcome = imports.run(killed)  # and nothing of it is written
    with database.begin() as session:
        claims.release(session, killed.claimed)
    child.run(start(settings, database), imports.run)
    _, dataset = look(database, job)
    assert (dataset.state, outcome.result["n_rows"]) == ("ready", dataset.n_rows)
    assert uploads(settings) == []


def test_a_cancelled_import_keeps_the_upload_and_can_be_retried(settings: Settings, database: Database) -> None:
    job = upload(settings, database, "text\n" + "Fits.\n" * 5_000)
    work = start(settings, database)
    with database.begin() as session:
        jobs.cancel(session, job.id, by="ann")
    child.run(work, imports.run)
    ended, dataset = look(database, job)
    assert (ended.state, dataset.state, len(uploads(settings))) == (JobState.CANCELLED, "failed", 1)
    with database.begin() as session:
        jobs.retry(session, job.id, by="ann")
    child.run(start(settings, database), imports.run)
    assert look(database, job)[1].n_rows == 5_000


def test_what_a_mapping_may_name_is_what_an_import_knows() -> None:
    assert MAPPABLE == FIELDS
