"""The pages of the registry as a browser without JavaScript sees them."""

import json
from pathlib import Path
from typing import Any

import pytest

from ml import starter
from store import models
from store.database import Database
from store.models import NewModelVersion
from tests.web.conftest import Browser, Staff

pytestmark = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)

WHOLE: dict[str, Any] = json.loads((Path(starter.__file__).parent / "data/evaluation.json").read_text("utf-8"))
POOR = WHOLE | {"rating": WHOLE["rating"] | {"qwk": 0.5}}


def register(database: Database, version: str, evaluation: dict[str, Any] | None = WHOLE, **more: Any) -> None:
    with database.begin() as db:
        models.register(db, NewModelVersion(version, "tiny", f"models/{version}", "ab" * 32, evaluation, **more))


def serving(database: Database) -> str | None:
    with database.read() as db:
        return models.active_version(db)


def test_one_model_shows_its_whole_record_with_a_table_for_each_drawing(
    browser: Browser, staff: Staff, database: Database
) -> None:
    register(database, "m-2", lineage={"data": {"sha256": "feed" * 16}, "seed": 7}, created_by="ann@example.com")
    page = browser.get("/models/m-2").text
    for words in ("0.830", "0.806 to 0.854", "TF-IDF", "0.688", "646", "Blouses", "100+ words", "0.872", "feedfeed"):
        assert words in page, words
    assert page.count('<svg class="plot"') == 2
    assert page.count("As a table") == 2
    assert page.count('class="heat"') == 25
    assert "ann@example.com" in page
    assert "atelier" in page
    assert 'href="/models/m-2"' in browser.get("/models").text


@pytest.mark.parametrize("record", [None, {}, {"n": 3, "age": None, "confusion": None, "reliability": []}])
def test_a_record_that_lacks_things_is_shown_without_them(
    browser: Browser, staff: Staff, database: Database, record: dict[str, Any] | None
) -> None:
    register(database, "m-2", record)
    page = browser.get("/models/m-2")
    assert page.status_code == 200
    assert "without an evaluation record" in page.text
    assert '<svg class="plot"' not in page.text


def test_a_promotion_and_a_rollback_are_one_form_each(browser: Browser, staff: Staff, database: Database) -> None:
    register(database, "m-2")
    assert "Roll back" not in browser.get("/models").text
    sent = browser.post("/models/m-2/promote", reason="better on dresses")
    assert (sent.status_code, sent.location) == (303, "/models/m-2")
    page = browser.get("/models/m-2").text
    assert "better on dresses" in page
    assert "not the version in service yet" in page
    assert serving(database) == "m-2"
    assert "Roll back to starter-1" in browser.get("/models").text
    assert browser.post("/models/rollback", serving="m-2").status_code == 303
    assert serving(database) == "starter-1"
    assert "in step" in browser.get("/models").text
    late = browser.post("/models/rollback", serving="m-2")
    assert late.status_code == 409
    assert "starter-1 serves by now" in late.text


def test_the_gate_refuses_in_place_and_an_override_is_asked_for(
    browser: Browser, staff: Staff, database: Database
) -> None:
    register(database, "m-2", POOR)
    page = browser.get("/models/m-2").text
    assert "Not promotable as it stands" in page
    assert 'name="override_reason"' in page
    plain = browser.post("/models/m-2/promote", reason="please")
    assert plain.status_code == 409
    assert "quadratic kappa 0.500 against 0.688" in plain.text
    blank = browser.post("/models/m-2/promote", override_reason="  ")
    assert blank.status_code == 422
    assert "Say why" in blank.text
    assert serving(database) == "starter-1"
    assert browser.post("/models/m-2/promote", override_reason="a demonstration").status_code == 303
    assert "Gate overridden" in browser.get("/models/m-2").text


@pytest.mark.parametrize("reason", ["x" * 2_001, "a\x00b"])
def test_a_reason_that_cannot_be_kept_is_422_and_given_back(
    browser: Browser, staff: Staff, database: Database, reason: str
) -> None:
    register(database, "m-2")
    answer = browser.post("/models/m-2/promote", reason=reason)
    assert answer.status_code == 422
    assert "Reason: must" in answer.text
    assert serving(database) == "starter-1"


def test_a_model_is_archived_and_deleted_but_not_while_it_serves(
    browser: Browser, staff: Staff, database: Database
) -> None:
    register(database, "m-2")
    for deed in ("archive", "delete"):
        refused = browser.post(f"/models/starter-1/{deed}")
        assert refused.status_code == 409
        assert "it serves" in refused.text
        assert browser.post(f"/models/none/{deed}").status_code == 404
    assert browser.post("/models/m-2/archive").status_code == 303
    assert browser.post("/models/m-2/delete").location == "/models"
    assert browser.get("/models/m-2").status_code == 404


def test_who_may_not_release_sees_no_button_and_is_refused(viewer: Browser, staff: Staff, database: Database) -> None:
    register(database, "m-2")
    page = viewer.get("/models/m-2").text
    assert "0.830" in page
    for button in ('id="promote"', 'id="archive"', 'id="delete"', "/download"):
        assert button not in page
    for path in ("/models/m-2/promote", "/models/m-2/archive", "/models/m-2/delete", "/models/rollback"):
        assert viewer.post(path).status_code == 403
    assert viewer.get("/models/m-2/download").status_code == 403


def test_a_form_from_elsewhere_promotes_nothing(browser: Browser, staff: Staff, database: Database) -> None:
    register(database, "m-2")
    assert browser.client.post("/models/m-2/promote").status_code == 400
    assert serving(database) == "starter-1"
