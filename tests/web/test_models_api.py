"""The registry over HTTP: look, promote, roll back, archive, delete, download."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from store import accounts, audit, models
from store.accounts import Role
from store.artifacts import model_artifact
from store.database import Database
from store.models import NewModelVersion
from store.settings import Settings
from tests.web.conftest import EMAIL, PASSWORD, Staff

pytestmark = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)

GOOD = {
    "n": 300,
    "rating": {"n": 300, "qwk": 0.83, "accuracy": 0.71},
    "baselines": {"tfidf": {"rating": {"qwk": 0.69, "accuracy": 0.66}}},
}
POOR = GOOD | {"rating": {"n": 300, "qwk": 0.5, "accuracy": 0.6}}
FILES = {"config.json": b"{}", "model.safetensors": b"weights" * 999, "README.md": b"# card"}
Install = Callable[..., str]


@pytest.fixture
def install(database: Database, settings: Settings, staff: Staff) -> Install:
    """Register a candidate whose files lie in the artifact store."""

    def make(version: str, evaluation: dict[str, Any] | None = GOOD, **more: Any) -> str:
        folder = Path(settings.artifacts) / model_artifact(version)
        folder.mkdir(parents=True)
        for name, content in FILES.items():
            (folder / name).write_bytes(content)
        listed = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
        manifest = json.dumps({"version": version, "files": listed}).encode()
        (folder / "manifest.json").write_bytes(manifest)
        new = NewModelVersion(
            version, "tiny", model_artifact(version), hashlib.sha256(manifest).hexdigest(), evaluation, **more
        )
        with database.begin() as db:
            models.register(db, new)
        return version

    return make


def token_of(app: APIFlask, database: Database, role: Role, *scopes: str) -> FlaskClient:
    with database.begin() as db:
        user = accounts.create_user(db, email=f"{role}-of-many@example.com", password=PASSWORD, role=role)
        secret = accounts.create_token(db, user_id=user.id, name="a", scopes=frozenset(scopes))
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
    return client


def test_a_good_candidate_is_promoted_and_taken_back(api: FlaskClient, install: Install, database: Database) -> None:
    install("m-2", lineage={"seed": 7}, created_by="ann@example.com")
    before = api.get("/api/v1/models/m-2").get_json()
    assert (before["state"], before["objection"], before["changes"]) == ("candidate", None, [])
    assert (before["lineage"], before["created_by"]) == ({"seed": 7}, "ann@example.com")
    promoted = api.post("/api/v1/models/m-2/promote", json={"reason": "better"})
    assert promoted.status_code == 200
    (change,) = promoted.get_json()["changes"]
    assert promoted.get_json()["state"] == "active"
    assert (change["previous"], change["made_by"], change["reason"]) == ("starter-1", EMAIL, "better")
    back = api.post("/api/v1/models/rollback")
    assert (back.status_code, back.get_json()["version"], back.get_json()["state"]) == (200, "starter-1", "active")
    again = api.post("/api/v1/models/rollback", json={})
    assert (again.status_code, again.content_type) == (409, "application/problem+json")
    with database.read() as db:
        (entry,) = audit.entries_of(db, "m-2")
    assert (entry.actor, entry.action, entry.address) == (EMAIL, "model.promote", "127.0.0.1")


@pytest.mark.parametrize(
    ("evaluation", "says"), [(POOR, "quadratic kappa 0.500 against 0.690"), (None, "no evaluation record")]
)
def test_the_honesty_gate_is_409_with_the_figures_until_it_is_overridden(
    api: FlaskClient, install: Install, evaluation: dict[str, Any] | None, says: str
) -> None:
    install("m-2", evaluation)
    assert says in api.get("/api/v1/models/m-2").get_json()["objection"]
    for body in ({}, {"override_reason": " "}, {"reason": "please"}):
        refused = api.post("/api/v1/models/m-2/promote", json=body)
        assert (refused.status_code, refused.content_type) == (409, "application/problem+json")
        assert says in refused.get_json(force=True)["detail"]
    allowed = api.post("/api/v1/models/m-2/promote", json={"override_reason": "a demonstration"})
    assert (allowed.status_code, allowed.get_json()["state"]) == (200, "active")
    assert allowed.get_json()["changes"][0]["override_reason"] == "a demonstration"


def test_promoting_what_serves_is_harmless(api: FlaskClient, staff: Staff) -> None:
    answer = api.post("/api/v1/models/starter-1/promote")
    assert (answer.status_code, answer.get_json()["changes"]) == (200, [])


def test_a_rollback_of_another_version_than_one_saw_is_409(api: FlaskClient, install: Install) -> None:
    install("m-2")
    api.post("/api/v1/models/m-2/promote")
    assert api.post("/api/v1/models/rollback", json={"serving": "starter-1"}).status_code == 409
    assert api.post("/api/v1/models/rollback", json={"serving": "m-2"}).status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [({"override_reason": 3}, "override_reason"), ({"why": "x"}, "why"), ({"reason": "x" * 2001}, "reason")],
)
def test_a_wrong_field_is_named(api: FlaskClient, staff: Staff, body: dict[str, Any], field: str) -> None:
    answer = api.post("/api/v1/models/starter-1/promote", json=body)
    assert answer.status_code == 422
    assert answer.get_json(force=True)["errors"][0]["field"] == field


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", "/promote"),
        ("POST", "/archive"),
        ("DELETE", ""),
        ("GET", "/download"),
    ],
)
def test_an_unknown_version_is_404(api: FlaskClient, staff: Staff, method: str, path: str) -> None:
    assert api.open(f"/api/v1/models/none{path}", method=method).status_code == 404


def test_only_operators_and_administrators_say_what_serves(app: APIFlask, database: Database, install: Install) -> None:
    install("m-2")
    analyst = token_of(app, database, Role.ANALYST, "reviews:read", "train")
    operator = token_of(app, database, Role.OPERATOR, "train")
    lesser = token_of(app, database, Role.ADMIN, "reviews:read", "jobs")
    calls = [("POST", "/m-2/promote"), ("POST", "/rollback"), ("POST", "/m-2/archive"), ("DELETE", "/m-2")]
    for client in (analyst, lesser):
        for method, path in calls:
            assert client.open(f"/api/v1/models{path}", method=method).status_code == 403, path
    for method, path in calls:
        assert operator.open(f"/api/v1/models{path}", method=method).status_code < 300, path
    assert analyst.get("/api/v1/models/starter-1").status_code == 200
    assert lesser.get("/api/v1/models/starter-1/download").status_code == 403


def test_what_serves_is_neither_archived_nor_deleted_and_a_candidate_goes_with_its_files(
    api: FlaskClient, install: Install, settings: Settings
) -> None:
    install("m-2")
    folder = Path(settings.artifacts) / "models/m-2"
    assert api.post("/api/v1/models/starter-1/archive").status_code == 409
    assert api.delete("/api/v1/models/starter-1").status_code == 409
    assert api.post("/api/v1/models/m-2/archive").get_json()["state"] == "archived"
    assert folder.exists()
    gone = api.delete("/api/v1/models/m-2")
    assert (gone.status_code, gone.data) == (204, b"")
    assert not folder.exists()
    assert api.get("/api/v1/models/m-2").status_code == 404


def test_a_download_is_the_folder_that_the_manifest_lists_and_nothing_else(
    api: FlaskClient, install: Install, settings: Settings
) -> None:
    install("m-2")
    (Path(settings.artifacts) / "models/m-2/notes.txt").write_text("not listed")
    answer = api.get("/api/v1/models/m-2/download")
    assert (answer.status_code, answer.content_type) == (200, "application/zip")
    assert 'filename="m-2.zip"' in answer.headers["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        assert archive.testzip() is None
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        content = {name: archive.read(name) for name in archive.namelist()}
    manifest = content.pop("m-2/manifest.json")
    assert content == {f"m-2/{name}": data for name, data in FILES.items()}
    assert json.loads(manifest)["version"] == "m-2"


@pytest.mark.parametrize("harm", ["missing", "other manifest", "outside"])
def test_a_version_whose_files_are_not_the_registered_ones_is_not_given_out(
    api: FlaskClient, install: Install, settings: Settings, harm: str
) -> None:
    install("m-2")
    folder = Path(settings.artifacts) / "models/m-2"
    match harm:
        case "missing":
            (folder / "config.json").unlink()
        case "other manifest":
            (folder / "manifest.json").write_bytes(b'{"files": {}}')
        case _:
            (folder / "manifest.json").write_bytes(b'{"files": {"../starter-1/manifest.json": "00"}}')
    answer = api.get("/api/v1/models/m-2/download")
    assert (answer.status_code, answer.content_type) == (409, "application/problem+json")


def test_a_file_that_was_altered_leaves_the_download_unfinished(
    api: FlaskClient, install: Install, settings: Settings
) -> None:
    install("m-2")
    (Path(settings.artifacts) / "models/m-2/config.json").write_bytes(b"[]")
    with pytest.raises(Exception, match=r"config.json of m-2 is not the file"):
        api.get("/api/v1/models/m-2/download").get_data()
