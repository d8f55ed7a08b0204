"""Why the model says what it says: asked for by a program, and shown to a person."""

import pytest
from flask.testing import FlaskClient

from store import accounts, claims
from store.accounts import Role
from store.database import Database
from store.jobs import JobError
from tests.web.conftest import PASSWORD, WHY, Browser, Staff

MINUS = "\N{MINUS SIGN}"
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
    assert "explanation" not in api.get("/api/v1/reviews/1").get_json()


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


def test_a_person_asks_with_a_plain_link_and_waits_for_the_words(
    api: FlaskClient, browser: Browser, staff: Staff
) -> None:
    hand_in(api, staff)
    assert 'href="/reviews/1/explanation"' in browser.get("/reviews/1").text
    waiting = browser.get("/reviews/1/explanation").text
    assert "Weighing the words" in waiting
    assert '<meta http-equiv="refresh"' in waiting
    assert 'hx-get="/reviews/1/explanation"' in waiting
    staff.read_everything()
    job_page = browser.get("/jobs?kind=explain").text
    job_id = job_page.partition('href="/jobs/')[2].partition('"')[0]
    assert 'href="/reviews/1/explanation"' in browser.get(f"/jobs/{job_id}").text
    page = browser.get("/reviews/1/explanation").text
    assert 'hx-get="/reviews/1/explanation"' not in page  # a final state is asked for no more
    assert '<mark class="raises is-strong" title="+1.25 stars">Love</mark>' in page
    assert f'<mark class="lowers is-strong" title="{MINUS}0.75 stars">large</mark>' in page
    assert f'<mark class="lowers" title="{MINUS}2.5 years">Love</mark>' in page
    assert "&lt;b&gt;in&lt;/b&gt; \U0001f60d" in page
    assert "With every word left out: 3.50 stars. With them: 4.53 stars, of which +0.03 stars" in page
    assert "style=" not in page.partition("<main")[2]


def test_the_fragment_is_the_part_alone(api: FlaskClient, browser: Browser, staff: Staff) -> None:
    hand_in(api, staff)
    fragment = browser.get("/reviews/1/explanation", headers={"HX-Request": "true"}).text
    assert "<html" not in fragment
    assert "Weighing the words" in fragment


def test_a_failed_explanation_says_why_and_is_not_asked_for_again(
    api: FlaskClient, browser: Browser, staff: Staff, database: Database
) -> None:
    hand_in(api, staff)
    browser.get("/reviews/1/explanation")
    [claimed] = staff.claim()
    with database.begin() as db:
        claims.fail(db, claimed, JobError("defect", "It broke.", hint="Mend it."))
    page = browser.get("/reviews/1/explanation").text
    assert "It broke." in page
    assert "Mend it." in page
    assert f'href="/jobs/{claimed.job_id}"' in page
    assert not staff.claim()


def test_a_cancelled_explanation_says_so(api: FlaskClient, browser: Browser, staff: Staff) -> None:
    hand_in(api, staff)
    job_id = api.get("/api/v1/reviews/1?explain=1").get_json()["id"]
    api.post(f"/api/v1/jobs/{job_id}/cancel")
    assert "Somebody stopped this explanation" in browser.get("/reviews/1/explanation").text


def test_who_may_only_read_starts_no_work(api: FlaskClient, viewer: Browser, staff: Staff) -> None:
    hand_in(api, staff)
    assert "Nobody has asked" in viewer.get("/reviews/1/explanation").text
    assert not staff.claim()


def test_a_review_that_is_not_there_is_404(browser: Browser) -> None:
    assert browser.get("/reviews/9/explanation").status_code == 404
