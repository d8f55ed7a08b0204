"""Data sets and their versions, on each kind of database; their files in each kind of store."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import delete

from store import artifacts, claims, datasets, jobs
from store.claims import Claim
from store.database import Database
from store.datasets import DatasetView, Stored
from store.errors import QueueFullError, UnknownCursorError
from store.jobs import Actor, Idempotency, JobError, JobKind, QueueName, Submitted
from store.schema import Job, JobEvent
from store.settings import Settings

ANN = Actor(user_id=None, token_id=7, name="ann@example.org")
STORED = Stored("ab" * 32, f"datasets/{'ab' * 32}.parquet", "datasets/1-rejects.csv", 20, 3, {"n_rows": 20})


def ask(
    database: Database, name: str = "autumn", *, key: Idempotency | None = None, queue_limit: int = 100
) -> Submitted:
    with database.begin() as session:
        return datasets.submit_import(
            session,
            name=name,
            upload="uploads/1",
            n_bytes=70,
            mapping={"text": "Body"},
            actor=ANN,
            queue_limit=queue_limit,
            idempotency=key,
        )


def look(database: Database, submitted: Submitted) -> DatasetView:
    with database.read() as session:
        found = datasets.get(session, submitted.job.params["dataset_id"])
    assert found is not None
    return found


def take(database: Database) -> Claim:
    with database.begin() as session:
        claimed = claims.claim_work(session, queue=QueueName.DATA, worker_id="w-1", lease_s=60)
    assert claimed is not None
    return claimed


def everything(database: Database) -> list[DatasetView]:
    with database.read() as session:
        return list(datasets.list_datasets(session).items)


def test_an_upload_makes_a_version_and_the_job_that_fills_it(database: Database) -> None:
    submitted = ask(database)
    found = look(database, submitted)
    assert (found.name, found.version, found.state, found.source) == ("autumn", 1, "importing", "upload")
    assert (found.artifact, found.job_id, found.created_by) == ("uploads/1", submitted.job.id, ANN.name)
    assert (submitted.job.kind, submitted.job.queue, submitted.job.total) == (JobKind.IMPORT, QueueName.DATA, 70)
    assert submitted.job.params == {"dataset_id": found.id, "mapping": {"text": "Body"}}


def test_the_same_name_again_is_its_next_version(database: Database) -> None:
    assert [look(database, ask(database, name)).version for name in ("a", "b", "a", "a")] == [1, 1, 2, 3]


def test_versions_that_are_asked_for_at_once_all_differ(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: ask(database), range(24)))
    assert sorted(look(database, one).version for one in made) == list(range(1, 25))


def test_a_repeat_under_the_same_key_makes_no_version(database: Database) -> None:
    key = Idempotency("k", "a" * 64)
    first, again = ask(database, key=key), ask(database, key=key)
    assert (again.job.id, again.replayed) == (first.job.id, True)
    assert len(everything(database)) == 1


def test_a_full_queue_leaves_no_version_behind(database: Database) -> None:
    ask(database)
    with pytest.raises(QueueFullError):
        ask(database, queue_limit=1)
    assert len(everything(database)) == 1


def test_a_version_gets_its_files_once(database: Database) -> None:
    submitted = ask(database)
    dataset_id = submitted.job.params["dataset_id"]
    with database.begin() as session:
        assert datasets.make_ready(session, dataset_id, STORED)
    with database.begin() as session:
        assert not datasets.make_ready(session, dataset_id, Stored("cd" * 32, "x", "y", 1, 1, {}))
    found = look(database, submitted)
    assert (found.state, found.sha256, found.artifact) == ("ready", STORED.sha256, STORED.artifact)
    assert (found.n_rows, found.n_rejected, found.report) == (20, 3, {"n_rows": 20})


def test_a_version_has_failed_while_its_job_has_and_no_longer(database: Database) -> None:
    submitted = ask(database)
    claimed = take(database)
    with database.begin() as session:
        claims.fail(session, claimed, JobError("input", "no column holds the texts"))
    assert look(database, submitted).state == "failed"
    with database.begin() as session:
        jobs.retry(session, submitted.job.id, by="ann")
    assert look(database, submitted).state == "importing"
    with database.begin() as session:
        jobs.cancel(session, submitted.job.id, by="ann")
    assert look(database, submitted).state == "failed"


def test_a_version_whose_job_was_pruned_has_failed_unless_it_is_ready(database: Database) -> None:
    waiting, ready = ask(database), ask(database)
    with database.begin() as session:
        datasets.make_ready(session, ready.job.params["dataset_id"], STORED)
        session.execute(delete(JobEvent))
        session.execute(delete(Job))
    assert (look(database, waiting).state, look(database, ready).state) == ("failed", "ready")
    assert look(database, ready).job_id is None


def test_a_list_is_newest_first_in_pages_without_reports(database: Database) -> None:
    made = [look(database, ask(database, name)).id for name in ("a", "b", "a")]
    with database.begin() as session:
        datasets.make_ready(session, made[2], STORED)
    with database.read() as session:
        first = datasets.list_datasets(session, limit=2)
        second = datasets.list_datasets(session, limit=2, cursor=first.next)
        of_a = datasets.list_datasets(session, name="a")
        with pytest.raises(UnknownCursorError):
            datasets.list_datasets(session, cursor="nonsense")
    assert [view.id for view in first.items] == [made[2], made[1]]
    assert ([view.id for view in second.items], second.next) == ([made[0]], None)
    assert [view.id for view in of_a.items] == [made[2], made[0]]
    assert first.items[0].report is None


def test_there_is_no_data_set_that_nobody_made(database: Database) -> None:
    with database.read() as session:
        assert datasets.get(session, 1) is None


@pytest.fixture(params=["a folder", "memory"])
def stored_in(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings with a store that is a local folder, and with one that is not."""
    url = None if request.param == "a folder" else f"memory://{tmp_path.name}"
    return Settings(home=tmp_path, artifacts_url=url)


def test_a_file_comes_back_as_it_was_put(stored_in: Settings, tmp_path: Path) -> None:
    artifact = artifacts.new_upload()
    artifacts.put_file(stored_in, io.BytesIO(b"one"), artifact)
    artifacts.put_file(stored_in, io.BytesIO(b"two"), artifact)
    with artifacts.open_file(stored_in, artifact) as file:
        assert file.read() == b"two"
    assert artifacts.local_file(stored_in, artifact, scratch=tmp_path).read_bytes() == b"two"


def test_a_file_that_is_not_there_is_missed_and_may_be_removed_again(stored_in: Settings, tmp_path: Path) -> None:
    artifact = artifacts.new_upload()
    artifacts.put_file(stored_in, io.BytesIO(b"one"), artifact)
    artifacts.remove_file(stored_in, artifact)
    artifacts.remove_file(stored_in, artifact)
    with pytest.raises(FileNotFoundError):
        artifacts.open_file(stored_in, artifact)
    with pytest.raises(FileNotFoundError):
        artifacts.local_file(stored_in, artifact, scratch=tmp_path)


def test_half_a_file_is_never_seen(tmp_path: Path) -> None:
    class Breaks(io.BytesIO):
        def read(self, n: int | None = -1, /) -> bytes:
            raise OSError("the disk is gone")

    settings = Settings(home=tmp_path)
    with pytest.raises(OSError, match="the disk is gone"):
        artifacts.put_file(settings, Breaks(), "uploads/1")
    assert [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()] == []
