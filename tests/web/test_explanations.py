"""Why the model says what it says: asked for by a program, and shown to a person."""

import pytest
from flask.testing import FlaskClient

from store import accounts
from store.accounts import Role
from store.database import Database
from tests.web.conftest import PASSWORD, WHY, Staff

REVIEW = {"title": "Love it", "text": "Soft, large <b>in</b> \U0001f60d"}


def hand_in(api: FlaskClient, staff: Staff) -> None:
    assert api.post("/api/v1/reviews", json=REVIEW).status_code == 202
    staff.read_everything()


def test_an_explanation_is_a_job_first_and_then_part_of_the_review(api: FlaskClient, staff: Staff) -> None:
    hand_in(api, staff)
    asked = api.get("/api/v1/reviews/1?explain=1")
    job = asked.get_json()
    assert (asked.status_code, job["kind"], job["state"]) == (202, "explain", "queued")
    assert asked.headers["Location"] == f"/api/v1/jobs/{job['id']}"
    assert job["links"]["review"] == "/api/v1/reviews/1?explain=1"
    assert api.get("/api/v1/reviews/1?explain=1").get_json()["id"] == job["id"]  # no second one
    assert staff.claim()
    running = api.get("/api/v1/reviews/1?explain=1").get_json()
    assert (running["id"], running["state"]) == (job["id"], "running")


def test_what_was_computed_is_given_at_once_and_only_when_asked_for(api: FlaskClient, staff: Staff) -> None:
    hand_in(api, staff)
    api.get("/api/v1/reviews/1?explain=1")
    staff.read_everything()
    told = api.get("/api/v1/reviews/1?explain=1")
    assert told.status_code == 200
    explanation = told.get_json()["explanation"]
    assert explanation["baseline"] == {"stars": 3.5, "years": 38.0}
    assert explanation["words"][3] == {"part": "text", "start": 6, "end": 11, "stars": -0.75, "years": 6.0}
    assert len(explanation["words"]) == len(WHY.words)
    assert explanation["model_version"] == "starter-1"
    assert api.get("/api/v1/reviews/1").get_json()["explanation"] is None


def test_a_new_text_needs_a_new_explanation(api: FlaskClient, staff: Staff) -> None:
    for text in ("Soft and warm", "Cold and hard"):
        api.post("/api/v1/reviews", json={"text": text, "external_id": "one"})
        staff.read_everything()
        assert api.get("/api/v1/reviews/1?explain=1").status_code == 202
        staff.read_everything()
        assert api.get("/api/v1/reviews/1?explain=1").status_code == 200


def test_reading_suffices_for_what_is_there_and_asking_needs_writing(
    api: FlaskClient, stranger: FlaskClient, staff: Staff, database: Database
) -> None:
    hand_in(api, staff)
    with database.begin() as db:
        user = accounts.create_user(db, email="reader@example.com", password=PASSWORD, role=Role.VIEWER)
        secret = accounts.create_token(db, user_id=user.id, name="reading", scopes=frozenset({"reviews:read"}))
    reading = {"Authorization": f"Bearer {secret}"}
    refused = stranger.get("/api/v1/reviews/1?explain=1", headers=reading)
    assert refused.status_code == 403
    assert "reviews:write" in refused.get_json()["detail"]
    api.get("/api/v1/reviews/1?explain=1")
    staff.read_everything()
    assert stranger.get("/api/v1/reviews/1?explain=1", headers=reading).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"), [("/api/v1/reviews/9?explain=1", 404), ("/api/v1/reviews/1?explain=x", 422)]
)
def test_what_is_not_there_or_not_said_well_is_refused(api: FlaskClient, path: str, status: int) -> None:
    assert api.get(path).status_code == status
