"""The OpenAPI document describes the API that is there."""

import json
import re
from pathlib import Path

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

pytestmark = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)


def test_every_call_of_the_api_is_described(app: APIFlask, stranger: FlaskClient) -> None:
    spec = stranger.get("/api/openapi.json").get_json()
    described = {(path, method.upper()) for path, operations in spec["paths"].items() for method in operations}
    there = {
        (re.sub(r"<(?:[^:>]+:)?([^>]+)>", r"{\1}", rule.rule), method)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/v1")
    }
    assert spec["openapi"].startswith("3.1")
    assert described == there


def test_every_reference_leads_somewhere_and_every_call_needs_the_token(stranger: FlaskClient) -> None:
    spec = stranger.get("/api/openapi.json").get_json()
    wanted = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(spec)))
    assert wanted <= set(spec["components"]["schemas"])
    for path, operations in spec["paths"].items():
        for operation in operations.values():
            assert operation["security"] == [{"token": []}], path
            assert {"401", "403", "503"} <= set(operation["responses"]), path
            assert operation["summary"]


def test_the_submission_is_described_whole(stranger: FlaskClient) -> None:
    spec = stranger.get("/api/openapi.json").get_json()
    submit = spec["paths"]["/api/v1/reviews"]["post"]
    assert {"200", "202", "400", "413", "415", "422", "429"} <= set(submit["responses"])
    assert {"Prefer", "Idempotency-Key"} == {parameter["name"] for parameter in submit["parameters"]}
    review = spec["components"]["schemas"]["ReviewIn"]
    assert review["properties"]["text"]["maxLength"] == 50_000
    assert review["additionalProperties"] is False


def test_the_upload_is_described_whole(stranger: FlaskClient) -> None:
    upload = stranger.get("/api/openapi.json").get_json()["paths"]["/api/v1/datasets"]["post"]
    assert {"202", "400", "413", "415", "422", "429"} <= set(upload["responses"])
    assert [parameter["name"] for parameter in upload["parameters"]] == ["Idempotency-Key"]
    form = upload["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert (set(form["properties"]), form["required"]) == ({"file", "name", "mapping"}, ["file", "name"])


def test_the_guide_names_every_call(stranger: FlaskClient) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    for path, operations in stranger.get("/api/openapi.json").get_json()["paths"].items():
        for method in operations:
            assert f"`{method.upper()} {path}`" in guide


def test_the_documentation_page_needs_nothing_from_elsewhere(stranger: FlaskClient) -> None:
    page = stranger.get("/api/docs").text
    for path in stranger.get("/api/openapi.json").get_json()["paths"]:
        assert path in page
    assert set(re.findall(r'(?:src|href)="(?!/|#)([^"]+)', page)) == set()
