"""Uploading a data file over HTTP, and what can be seen of it."""

import csv
import io
import json
from pathlib import Path

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from store import accounts, claims, jobs
from store.accounts import Role
from store.database import Database
from store.jobs import QueueName
from store.settings import Settings
from tests.web.conftest import PASSWORD
from web import request as requests
from worker import child, imports
from worker.work import Work

pytestmark = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)

CSV = b"Review Text,Rating,Age\nFits well.,5,40\nToo small.,=9,30\nSoft.,4,\n"


def send(client: FlaskClient, content: bytes = CSV, *, key: str | None = None, **fields: object) -> TestResponse:
    form = {"name": "autumn", "file": content, **fields}
    form |= {name: (io.BytesIO(value), f"{name}.csv") for name, value in form.items() if isinstance(value, bytes)}
    headers = {"Idempotency-Key": key} if key else {}
    return client.post("/api/v1/datasets", data=form, content_type="multipart/form-data", headers=headers)


def work_off(settings: Settings, database: Database) -> None:
    """What the worker does, with the worker's own code."""
    while True:
        with database.begin() as db:
            claimed = claims.claim_work(db, queue=QueueName.DATA, worker_id="w-1", lease_s=60)
            job = jobs.get(db, claimed.job_id) if claimed else None
        if claimed is None or job is None:
            return
        child.run(Work(settings, database, job, claimed), imports.run)


def files_kept(settings: Settings) -> list[Path]:
    return [path for name in ("artifacts", "incoming") for path in (settings.home / name).rglob("*") if path.is_file()]


def test_an_upload_is_a_job_and_becomes_a_data_set_with_its_report_and_rejects(
    api: FlaskClient, settings: Settings, database: Database
) -> None:
    accepted = send(api)
    job = accepted.get_json()
    assert (accepted.status_code, accepted.headers["Location"]) == (202, f"/api/v1/jobs/{job['id']}")
    assert (job["kind"], job["queue"], job["state"]) == ("import", "data", "queued")
    assert api.get(job["links"]["dataset"]).get_json()["state"] == "importing"
    work_off(settings, database)
    ended = api.get(accepted.headers["Location"]).get_json()
    dataset = api.get(ended["links"]["dataset"]).get_json()
    assert ended["state"] == "succeeded"
    assert ended["result"]["dataset_id"] == dataset["id"]
    assert (dataset["name"], dataset["version"], dataset["state"], dataset["job"]) == ("autumn", 1, "ready", job["id"])
    assert (dataset["n_rows"], dataset["n_rejected"], len(dataset["sha256"])) == (2, 1, 64)
    assert dataset["report"]["n_without_age"] == 1
    assert dataset["report"]["rejects"][0] == {
        "line": 3, "column": "Rating", "value": "=9", "reason": "is not a whole number from 1 to 5",
    }  # fmt: skip
    download = api.get(dataset["links"]["rejects"])
    assert download.content_type == "text/csv; charset=utf-8"
    assert "attachment" in download.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(download.text)))
    assert [(row["line"], row["column"], row["value"]) for row in rows] == [("3", "Rating", "'=9")]


def test_the_same_name_again_is_the_next_version_and_lists_are_newest_first(api: FlaskClient) -> None:
    for name in ("autumn", "spring", "autumn"):
        assert send(api, name=name).status_code == 202
    listed = api.get("/api/v1/datasets").get_json()
    assert [(item["name"], item["version"]) for item in listed["items"]] == [
        ("autumn", 2),
        ("spring", 1),
        ("autumn", 1),
    ]
    assert "report" not in listed["items"][0]
    page = api.get("/api/v1/datasets?limit=1&name=autumn").get_json()
    rest = api.get(f"/api/v1/datasets?limit=1&name=autumn&cursor={page['next']}").get_json()
    assert [item["version"] for item in page["items"] + rest["items"]] == [2, 1]
    assert rest["next"] is None


def test_a_file_with_other_headers_is_mapped(api: FlaskClient, settings: Settings, database: Database) -> None:
    job = send(api, b"Worte;Sterne\nPasst.;5\n", mapping=json.dumps({"text": "Worte", "rating": "Sterne"})).get_json()
    work_off(settings, database)
    dataset = api.get(job["links"]["dataset"]).get_json()
    assert (dataset["n_rows"], dataset["report"]["headers"]) == (1, {"text": "Worte", "rating": "Sterne"})


def test_a_file_that_cannot_be_used_says_why_and_has_no_rejects(
    api: FlaskClient, settings: Settings, database: Database
) -> None:
    job = send(api, b"PK\x03\x04 not a CSV").get_json()
    work_off(settings, database)
    dataset = api.get(job["links"]["dataset"]).get_json()
    assert (dataset["state"], dataset["report"], dataset["error"]["kind"]) == ("failed", None, "input")
    assert "ZIP" in dataset["error"]["message"]
    assert api.get(f"/api/v1/datasets/{dataset['id']}/rejects").status_code == 404


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": ["a", "b"]}, "name"),
        ({"name": "a\ufffd"}, "name"),
        ({"mapping": "text=Body"}, "mapping"),
        ({"mapping": "[]"}, "mapping"),
        ({"mapping": '{"stars": "Rating"}'}, "mapping"),
        ({"mapping": '{"text": 5}'}, "mapping"),
        ({"mapping": '{"text": ""}'}, "mapping"),
        ({"mapping": '{"text": "a", "text": "b"}'}, "mapping"),
        ({"file": "Review Text"}, "file"),
        ({"file": b""}, "file"),
        ({"more": "x"}, "more"),
        ({"other": CSV}, "other"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_kept(
    api: FlaskClient, settings: Settings, fields: dict[str, object], field: str
) -> None:
    answer = send(api, **fields)
    problem = answer.get_json(force=True)
    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")
    assert problem["errors"][0]["field"].startswith(field)
    assert api.get("/api/v1/datasets").get_json()["items"] == []
    assert files_kept(settings) == []


def test_what_is_no_form_with_a_file_is_refused(api: FlaskClient) -> None:
    assert api.post("/api/v1/datasets", json={"name": "a"}).status_code == 415
    assert api.post("/api/v1/datasets", data={"name": "a"}).status_code == 415
    without = api.post("/api/v1/datasets", data={"name": "a"}, content_type="multipart/form-data")
    assert (without.status_code, without.get_json(force=True)["errors"][0]["field"]) == (422, "file")
    cut = api.post("/api/v1/datasets", data=b"--x\r\n", content_type="multipart/form-data; boundary=x")
    assert cut.status_code == 422


def test_an_upload_may_be_larger_than_other_bodies(
    api: FlaskClient, settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = b"x" * 45_000 + b"\n"
    job = send(api, b"text\n" + rows * 200).get_json()
    assert job["total"] > requests.MAX_BODY_BYTES
    work_off(settings, database)
    assert api.get(job["links"]["dataset"]).get_json()["n_rows"] == 200
    monkeypatch.setattr(requests, "MAX_UPLOAD_BYTES", 9_000_000)
    refused = send(api, b"text\n" + rows * 201)
    assert refused.status_code == 413
    assert "2 GiB" in refused.get_json(force=True)["detail"]
    other = api.post("/api/v1/jobs/0123456789abcdef/cancel", data={"file": (io.BytesIO(rows * 200), "x")})
    assert other.status_code == 404


def test_a_repeated_key_is_the_same_import(api: FlaskClient, settings: Settings) -> None:
    first, again = send(api, key="k"), send(api, key="k")
    assert (again.status_code, again.headers["Location"]) == (202, first.headers["Location"])
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(api.get("/api/v1/datasets").get_json()["items"]) == 1
    assert len(files_kept(settings)) == 1
    assert send(api, key="k", name="spring").status_code == 422
    assert send(api, CSV + b"more,1,1\n", key="k").status_code == 422
    assert len(files_kept(settings)) == 1


def test_who_may_bring_data_and_who_may_look(app: APIFlask, database: Database, api: FlaskClient) -> None:
    dataset = send(api).get_json()["links"]["dataset"]
    client = app.test_client()
    with database.begin() as db:
        user = accounts.create_user(db, email="p@example.com", password=PASSWORD, role=Role.ADMIN)
        scopes = {name: accounts.create_token(db, user_id=user.id, name=name, scopes=frozenset({name}))
                  for name in ("train", "reviews:read", "jobs")}  # fmt: skip
    allowed = {}
    for scope, token in scopes.items():
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        accepted = send(client)
        allowed[scope] = (accepted.status_code, client.get(dataset).status_code)
        if accepted.status_code == 202:
            assert client.get(accepted.headers["Location"]).status_code == 200
    assert allowed == {"train": (202, 200), "reviews:read": (403, 200), "jobs": (403, 403)}


def test_there_is_no_data_set_that_nobody_brought(api: FlaskClient) -> None:
    for path in ("/api/v1/datasets/1", "/api/v1/datasets/1/rejects", "/api/v1/datasets/x"):
        assert api.get(path).status_code == 404


def test_a_disk_that_takes_nothing_is_said(api: FlaskClient, settings: Settings) -> None:
    (settings.home / "artifacts").write_text("a file where the folder should be", encoding="utf-8")
    answer = send(api)
    assert (answer.status_code, answer.content_type) == (503, "application/problem+json")
    assert answer.headers["Retry-After"]
    assert api.get("/api/v1/datasets").get_json()["items"] == []
