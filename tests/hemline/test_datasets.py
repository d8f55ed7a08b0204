"""`hemline dataset …`, with the steward of a real worker behind it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from store.database import open_database
from store.jobs import QueueName
from store.settings import Settings
from tests.hemline.conftest import Hemline
from worker.steward import Steward

CSV = "Comment;Stars\nFits well.;5\nToo small.;9\n"
MAPPING = ("--mapping", "text=Comment", "--mapping", "rating=Stars")


@pytest.fixture
def migrated(hemline: Hemline) -> Hemline:
    assert hemline("migrate").status == 0
    return hemline


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "reviews.csv"
    made.write_text(CSV, encoding="utf-8")
    return made


@contextmanager
def imports_run(home: Path) -> Iterator[None]:
    """A worker for imports on this HOME, for as long as the block lasts."""
    settings = Settings(home=home)
    database = open_database(settings)
    steward = Steward(settings, database, queue=QueueName.DATA, worker_id="w-1", is_draining=lambda: False)
    ended = Event()

    def serve() -> None:
        while not ended.wait(0.05):
            steward.answer()

    thread = Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(30)
        database.dispose()


def test_a_file_is_imported_listed_and_shown(
    migrated: Hemline, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEMLINE_HOME", str(tmp_path / "home"))  # for the process of the job
    with imports_run(tmp_path / "home"):
        ended = migrated("dataset", "import", str(file), "--name", "autumn", *MAPPING)
        refused = migrated("dataset", "import", str(file), "--name", "autumn")
    assert (ended.status, "1 kept, 1 rejected" in ended.output) == (0, True)
    assert (refused.status, "no column holds the texts" in refused.errors) == (1, True)
    listed = migrated("dataset", "list", "--name", "autumn", "--json").document["items"]
    assert [(item["version"], item["state"]) for item in listed] == [(2, "failed"), (1, "ready")]
    assert migrated("dataset", "show", str(listed[1]["id"]), "--json").document["report"]["n_rows"] == 1
    shown = migrated("dataset", "show", str(listed[1]["id"]))
    assert shown.status == 0
    assert "1 kept, 1 rejected" in shown.output
    assert "is not a whole number from 1 to 5" in shown.output


def test_an_import_says_that_nobody_listens_and_keeps_the_file(migrated: Hemline, file: Path) -> None:
    ended = migrated("dataset", "import", str(file), "--name", "autumn", "--wait", "0.3")
    assert ended.status == 1
    assert "no worker is listening on `data`" in ended.errors
    assert "--long-jobs" in ended.errors
    assert migrated("dataset", "list", "--json").document["items"][0]["state"] == "importing"


@pytest.mark.parametrize(
    "options",
    [
        ("--name", " "),
        ("--name", "autumn", "--mapping", "stars=Stars"),
        ("--name", "autumn", "--mapping", "text"),
        ("--name", "autumn", "--mapping", "text=a", "--mapping", "text=b"),
    ],
)
def test_what_the_api_would_refuse_is_not_understood(migrated: Hemline, file: Path, options: tuple[str, ...]) -> None:
    assert migrated("dataset", "import", str(file), *options).status == 2
    assert migrated("dataset", "list", "--json").document["items"] == []


def test_a_file_or_a_data_set_that_is_not_there_is_said(migrated: Hemline, tmp_path: Path) -> None:
    assert migrated("dataset", "import", str(tmp_path / "no.csv"), "--name", "autumn").status == 2
    assert migrated("dataset", "show", "1").status == 1
