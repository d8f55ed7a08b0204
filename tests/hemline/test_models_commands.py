"""`hemline models`: the registry on the command line."""

from pathlib import Path

import pytest

from store import audit, models
from store.database import open_database
from store.models import NewModelVersion
from store.settings import Settings
from tests.hemline.conftest import Hemline

GOOD = {
    "n": 300,
    "rating": {"qwk": 0.83, "accuracy": 0.71},
    "baselines": {"tfidf": {"rating": {"qwk": 0.69, "accuracy": 0.66}}},
}


@pytest.fixture
def stocked(hemline: Hemline, tmp_path: Path) -> Hemline:
    """An installation with a serving version, a good candidate and one that was never judged."""
    assert hemline("migrate").status == 0
    database = open_database(Settings(home=tmp_path / "home"))
    with database.begin() as session:
        for version, evaluation in (("a", None), ("good", GOOD), ("unjudged", None)):
            folder = tmp_path / "home/artifacts/models" / version
            folder.mkdir(parents=True)
            (folder / "manifest.json").write_text("{}")
            new = NewModelVersion(version, "tiny", f"models/{version}", "0" * 64, evaluation, lineage={"seed": 7})
            models.ensure_active(session, new)
    database.dispose()
    return hemline


def serving(hemline: Hemline) -> str:
    listed = hemline("models", "list", "--json").document
    return next(model["version"] for model in listed if model["state"] == "active")


def test_a_version_is_shown_with_its_baseline_and_the_gate(stocked: Hemline) -> None:
    shown = stocked("models", "show", "good")
    assert shown.status == 0
    for words in ("rating.qwk", "0.830", "0.690", "beats TF-IDF", "seed"):
        assert words in shown.output, words
    document = stocked("models", "show", "unjudged", "--json").document
    assert document["objection"] == "it has no evaluation record"
    assert document["model"]["lineage"] == {"seed": 7}
    assert stocked("models", "show", "none").status == 1


def test_a_version_is_promoted_and_taken_back(stocked: Hemline, tmp_path: Path) -> None:
    assert stocked("models", "promote", "good", "--reason", "better").status == 0
    assert serving(stocked) == "good"
    assert "serves already" in stocked("models", "promote", "good").output
    refused = stocked("models", "promote", "unjudged")
    assert (refused.status, serving(stocked)) == (1, "good")
    assert "no evaluation record" in refused.errors
    assert stocked("models", "promote", "unjudged", "--override-reason", "a demonstration").status == 0
    assert [stocked("models", "rollback", "--json").document["serving"] for _ in range(2)] == ["good", "a"]
    assert stocked("models", "rollback").status == 1
    database = open_database(Settings(home=tmp_path / "home"))
    with database.read() as session:
        entries = audit.entries_of(session, "good")
    database.dispose()
    assert [entry.action for entry in entries] == ["model.promote", "model.rollback"]
    assert entries[0].actor.startswith("hemline (")


def test_a_version_is_archived_and_deleted_with_its_files_but_not_while_it_serves(
    stocked: Hemline, tmp_path: Path
) -> None:
    for command in ("archive", "delete"):
        refused = stocked("models", command, "a")
        assert (refused.status, "it serves" in refused.errors) == (1, True)
    assert stocked("models", "archive", "good", "--json").document["state"] == "archived"
    assert stocked("models", "delete", "good").status == 0
    assert not (tmp_path / "home/artifacts/models/good").exists()
    assert (tmp_path / "home/artifacts/models/a").exists()
    assert stocked("models", "delete", "good").status == 1
