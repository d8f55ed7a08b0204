"""Models, workers and queues."""

import time
from pathlib import Path

import pytest

from store import models, queues, workers
from store.artifacts import local_folder
from store.database import Database
from store.errors import SettingsError
from store.models import NewModelVersion
from store.settings import Settings, load
from store.workers import WorkerReport


def new_model(version: str) -> NewModelVersion:
    return NewModelVersion(version, "tiny", f"models/{version}", "0" * 64, {"n": 3})


def test_the_first_model_serves_and_a_later_one_waits(database: Database) -> None:
    with database.begin() as session:
        assert models.active(session) is None
        assert models.ensure_active(session, new_model("a")).state == "active"
        assert models.ensure_active(session, new_model("b")).state == "candidate"
    with database.read() as session:
        serving = models.active(session)
        assert models.active_version(session) == "a"
    assert serving is not None
    assert (serving.version, serving.evaluation) == ("a", {"n": 3})


def test_a_version_keeps_what_it_was_made_of(database: Database) -> None:
    made_of = {"data": {"sha256": "ab" * 32}, "seed": 3}
    new = NewModelVersion("a", "tiny", "models/a", "0" * 64, None, lineage=made_of, created_by="ann@example.com")
    with database.begin() as session:
        models.register(session, new)
    with database.read() as session:
        found = models.get(session, "a")
    assert found is not None
    assert (found.lineage, found.created_by) == (made_of, "ann@example.com")
    assert (found.job_id, found.dataset_id) == (None, None)


def test_a_worker_listens_once_it_has_a_model_and_until_it_stops(database: Database) -> None:
    def say(said: WorkerReport) -> None:
        with database.begin() as session:
            workers.report(session, "w-1", said)

    def listeners() -> int:
        with database.read() as session:
            return workers.listening(session, "interactive")

    with database.begin() as session:
        workers.enrol(session, worker_id="w-1", hostname="here", pid=1, queues=["interactive", "bulk"])
    assert listeners() == 0
    say(WorkerReport("ready", model_version="a", reviews_done=3))
    assert listeners() == 1
    with database.read() as session:
        assert [queue.workers for queue in queues.list_queues(session)] == [1, 1, 0, 0]
        assert workers.idle(session, "bulk") == 1
    say(WorkerReport("failed", error="model.safetensors is damaged"))
    assert listeners() == 0
    say(WorkerReport("stopped"))
    with database.read() as session:
        assert workers.list_workers(session) == []
        gone = workers.list_workers(session, include_gone=True)
    assert [(worker.id, worker.is_alive) for worker in gone] == [("w-1", False)]


def test_a_silent_worker_is_not_alive(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.begin() as session:
        workers.enrol(session, worker_id="w-1", hostname="here", pid=1, queues=["bulk"])
    monkeypatch.setattr(workers, "ALIVE_FOR_S", 0.05)
    time.sleep(0.1)
    with database.read() as session:
        assert workers.list_workers(session) == []


def test_local_artifacts_are_used_where_they_lie(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert local_folder(settings, "models/a") == tmp_path / "artifacts/models/a"


def test_artifacts_elsewhere_are_fetched_once(tmp_path: Path) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    store.pipe("/shelf/models/a/config.json", b"{}")
    settings = Settings(home=tmp_path, artifacts_url="memory://shelf")
    folder = local_folder(settings, "models/a")
    assert (folder / "config.json").read_bytes() == b"{}"
    store.rm("/shelf", recursive=True)
    assert local_folder(settings, "models/a") == folder


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("HEMLINE_PORT", "eighty", "HEMLINE_PORT: must be a whole number"),
        ("HEMLINE_PORT", "70000", "HEMLINE_PORT: .*65535"),
        ("HEMLINE_ADMIN_TOKEN", "short", "HEMLINE_ADMIN_TOKEN: .*32 characters"),
        ("HEMLINE_LOG_FORMAT", "xml", "HEMLINE_LOG_FORMAT"),
    ],
)
def test_a_setting_that_does_not_parse_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=says):
        load()
