"""The JSON API from the outside."""

import sqlite3
import threading
import time
from http import HTTPStatus

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from pydantic import SecretStr
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from store import accounts
from store.accounts import Role
from store.claims import fail
from store.database import Database
from store.jobs import JobError, QueueName
from store.settings import Settings
from tests.web.conftest import PASSWORD, Browser, Staff
from web.app import create_app
from web.waiting import preferred_wait_s

REVIEW = {"text": "Soft, warm, and true to size.", "title": "Love it", "rating": 5, "product_id": "1077"}
sqlite_only = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)


def test_a_review_is_accepted_and_its_job_leads_to_its_prediction(api: FlaskClient, staff: Staff) -> None:
    accepted = api.post("/api/v1/reviews", json=REVIEW)
    job = accepted.get_json()
    assert accepted.status_code == HTTPStatus.ACCEPTED
    assert accepted.headers["Location"] == f"/api/v1/jobs/{job['id']}"
    assert (job["state"], job["kind"], job["queue"], job["queue_position"]) == ("queued", "predict", "interactive", 0)
    assert (job["done"], job["total"], job["attempts"], job["error"]) == (0, 1, 0, None)
    staff.read_everything()
    done = api.get(accepted.headers["Location"]).get_json()
    assert (done["state"], done["done"], done["attempts"], done["queue_position"]) == ("succeeded", 1, 1, None)
    (review,) = api.get(done["links"]["reviews"]).get_json()["items"]
    assert {name: review[name] for name in REVIEW} == REVIEW
    said = review["prediction"]
    assert (said["rating"], said["expected_stars"], said["model_version"]) == (5, pytest.approx(4.53), "starter-1")
    assert sum(said["rating_probabilities"]) == pytest.approx(1)
    assert said["age_low"] < said["age"] < said["age_high"]
    assert api.get(f"/api/v1/reviews/{review['id']}").get_json() == review
    names = [event["name"] for event in api.get(done["links"]["events"]).get_json()["items"]]
    assert names == ["queued", "claimed", "succeeded"]


def test_many_reviews_are_one_job_in_their_order(api: FlaskClient, staff: Staff) -> None:
    texts = [f"Number {number}." for number in range(40)]
    job = api.post("/api/v1/reviews", json={"reviews": [{"text": text} for text in texts]}).get_json()
    assert (job["total"], job["queue"]) == (40, "bulk")
    staff.read_everything()
    items = api.get(f"/api/v1/jobs/{job['id']}/reviews").get_json()["items"]
    assert [item["text"] for item in items] == texts


def test_prefer_wait_answers_with_the_predictions(api: FlaskClient, staff: Staff) -> None:
    reader = threading.Thread(target=staff.read_the_next)
    reader.start()
    answer = api.post("/api/v1/reviews", json={"reviews": [REVIEW, REVIEW]}, headers={"Prefer": "wait=10"})
    reader.join()
    assert answer.status_code == HTTPStatus.OK
    assert answer.headers["Preference-Applied"] == "wait=10"
    assert answer.get_json()["job"]["state"] == "succeeded"
    assert [review["prediction"]["rating"] for review in answer.get_json()["reviews"]] == [5, 5]


@sqlite_only
@pytest.mark.parametrize("prefer", ["", "wait=5"])
def test_what_is_stored_is_accepted_even_if_the_database_goes_away_afterwards(
    app: APIFlask, api: FlaskClient, database: Database, prefer: str
) -> None:
    shared = app.extensions["hemline"].database
    is_away = threading.Event()

    def refuse(*_: object) -> None:
        if is_away.is_set():
            raise OperationalError(None, None, sqlite3.OperationalError("disk I/O error"))

    event.listen(shared.writer, "commit", lambda _: is_away.set())
    event.listen(shared.reader, "before_cursor_execute", refuse)
    answer = api.post("/api/v1/reviews", json=REVIEW, headers={"Prefer": prefer})
    job = answer.get_json()
    assert (answer.status_code, job["state"], job["queue_position"]) == (202, "queued", None)
    assert answer.headers["Location"] == f"/api/v1/jobs/{job['id']}"
    assert "Preference-Applied" not in answer.headers
    refused = api.post("/api/v1/reviews", json=REVIEW)
    assert (refused.status_code, "stored" in refused.get_json(force=True)["detail"]) == (503, False)
    is_away.clear()
    assert [item["id"] for item in api.get("/api/v1/jobs").get_json()["items"]] == [job["id"]]


@sqlite_only
def test_typed_reviews_lead_to_their_answer_even_if_the_database_goes_away_afterwards(
    app: APIFlask, browser: Browser
) -> None:
    shared = app.extensions["hemline"].database
    form = {"csrf_token": browser.csrf("/jobs"), "text": "Fits."}
    is_away = threading.Event()

    def refuse(*_: object) -> None:
        if is_away.is_set():
            raise OperationalError(None, None, sqlite3.OperationalError("disk I/O error"))

    event.listen(shared.writer, "commit", lambda _: is_away.set())
    event.listen(shared.reader, "before_cursor_execute", refuse)
    answer = browser.client.post("/", data=form)
    assert (answer.status_code, answer.location.startswith("/answers/")) == (303, True)


@sqlite_only
def test_a_wait_that_is_over_answers_with_the_job(api: FlaskClient) -> None:
    start = time.monotonic()
    answer = api.post("/api/v1/reviews", json=REVIEW, headers={"Prefer": "respond-async, wait=1"})
    assert answer.status_code == HTTPStatus.ACCEPTED
    assert answer.get_json()["state"] == "queued"
    assert answer.headers["Preference-Applied"] == "wait=1"
    assert time.monotonic() - start >= 1


@sqlite_only
@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=7", 7),
        ('wait="7"', 7),
        ("respond-async, wait = 7 ; x=y", 7),
        ("WAIT=99999999", 30),
        ("wait=1e9", 0),
        ("wait=5.9", 0),
        ("wait=5s", 0),
        ('wait="5', 0),
        ("await=5", 0),
    ],
)
def test_only_a_whole_number_is_a_wait(app: APIFlask, prefer: str, seconds: int) -> None:
    with app.test_request_context(headers={"Prefer": prefer}):
        assert preferred_wait_s() == seconds


@sqlite_only
@pytest.mark.parametrize("prefer", ["wait=x", "wait=-1", "wait", "respond-async", "wait=0"])
def test_a_preference_that_says_nothing_is_ignored(api: FlaskClient, prefer: str) -> None:
    assert api.post("/api/v1/reviews", json=REVIEW, headers={"Prefer": prefer}).status_code == HTTPStatus.ACCEPTED


@sqlite_only
def test_half_of_the_threads_may_wait_and_the_next_request_does_not(app: APIFlask, api: FlaskClient) -> None:
    room = app.extensions["hemline"].waiting
    with room.place() as first, room.place() as second:  # web_threads is 4 here
        assert (first, second) == (True, True)
        start = time.monotonic()
        answer = api.post("/api/v1/reviews", json=REVIEW, headers={"Prefer": "wait=20"})
        assert answer.status_code == HTTPStatus.ACCEPTED
        assert "Preference-Applied" not in answer.headers
        assert time.monotonic() - start < 5
    assert not api.post("/api/v1/reviews", json=REVIEW, headers={"Prefer": "wait=1"}).get_json()["done"]
    with room.place() as first, room.place() as second:
        assert (first, second) == (True, True), "a wait that is over gives its place back"


@sqlite_only
def test_a_server_that_stops_lets_nobody_wait(app: APIFlask, api: FlaskClient) -> None:
    stopping = threading.Event()
    app.extensions["hemline"].waiting.close_when(stopping.is_set)
    threading.Timer(0.5, stopping.set).start()
    start = time.monotonic()
    for _ in range(2):
        answer = api.post("/api/v1/reviews", json=REVIEW, headers={"Prefer": "wait=20"})
        assert answer.status_code == HTTPStatus.ACCEPTED
        assert "Preference-Applied" not in answer.headers
    assert time.monotonic() - start < 5


def test_the_same_key_answers_with_the_same_job_as_it_now_stands(api: FlaskClient, staff: Staff) -> None:
    key = {"Idempotency-Key": "order-66"}
    first = api.post("/api/v1/reviews", json=REVIEW, headers=key)
    staff.read_everything()
    again = api.post("/api/v1/reviews", json=REVIEW, headers=key)
    assert again.headers["Location"] == first.headers["Location"]
    assert (again.status_code, again.get_json()["state"]) == (202, "succeeded")
    assert again.headers["Idempotency-Replayed"] == "true"
    other = api.post("/api/v1/reviews", json={"text": "Something else."}, headers=key)
    assert (other.status_code, other.get_json(force=True)["errors"][0]["field"]) == (422, "Idempotency-Key")
    assert len(api.get("/api/v1/jobs").get_json()["items"]) == 1


@sqlite_only
@pytest.mark.parametrize("key", ["", "k" * 256, "tab\there"])
def test_a_key_that_is_none_is_422(api: FlaskClient, key: str) -> None:
    assert api.post("/api/v1/reviews", json=REVIEW, headers={"Idempotency-Key": key}).status_code == 422


@sqlite_only
def test_a_refused_request_leaves_its_key_free(api: FlaskClient) -> None:
    key = {"Idempotency-Key": "again"}
    assert api.post("/api/v1/reviews", json={"text": ""}, headers=key).status_code == 422
    assert api.post("/api/v1/reviews", json=REVIEW, headers=key).status_code == 202


def test_reviews_are_filtered_and_paged(api: FlaskClient, staff: Staff) -> None:
    batch = [{"text": f"Zipper {n}", "product_id": "a" if n % 2 else "b", "rating": 1 + n % 5} for n in range(10)]
    api.post("/api/v1/reviews", json={"reviews": batch})
    staff.read_everything()
    page = api.get("/api/v1/reviews?product_id=a&limit=3").get_json()
    rest = api.get(f"/api/v1/reviews?product_id=a&limit=3&cursor={page['next']}").get_json()
    assert [review["text"] for review in page["items"] + rest["items"]] == [f"Zipper {n}" for n in (9, 7, 5, 3, 1)]
    assert rest["next"] is None
    assert (
        len(api.get("/api/v1/reviews?q=zipper+9&predicted_rating=5&model_version=starter-1").get_json()["items"]) == 1
    )
    assert api.get("/api/v1/reviews?predicted_rating=1").get_json()["items"] == []


def test_jobs_are_filtered_and_paged(api: FlaskClient, staff: Staff) -> None:
    for _ in range(3):
        api.post("/api/v1/reviews", json=REVIEW)
    staff.read_everything()
    api.post("/api/v1/reviews", json=REVIEW)
    assert len(api.get("/api/v1/jobs?state=queued&kind=predict&queue=interactive").get_json()["items"]) == 1
    first = api.get("/api/v1/jobs?limit=3").get_json()
    assert [job["queue_position"] for job in first["items"]] == [None] * 3, "a count for each would be slow"
    second = api.get(f"/api/v1/jobs?limit=3&cursor={first['next']}").get_json()
    ids = [job["id"] for job in first["items"] + second["items"]]
    assert (len(ids), ids) == (4, sorted(ids, reverse=True))


def walk(api: FlaskClient, path: str, limit: int) -> list[object]:
    """Everything that a list gives, page by page."""
    items: list[object] = []
    cursor = ""
    while True:
        page = api.get(f"{path}?limit={limit}&cursor={cursor}").get_json()
        assert len(page["items"]) <= limit
        items += page["items"]
        if page["next"] is None:
            return items
        cursor = page["next"]


def test_every_list_is_paged(api: FlaskClient, staff: Staff) -> None:
    texts = [f"Number {number}." for number in range(75)]
    job = api.post("/api/v1/reviews", json={"reviews": [{"text": text} for text in texts]}).get_json()
    staff.read_everything()
    Staff(staff.database).enrol()
    reviews = job["links"]["reviews"]
    assert len(api.get(reviews).get_json()["items"]) == 50
    read = walk(api, reviews, 30)
    assert [review["text"] for review in read] == texts  # type: ignore[index]
    for path in (job["links"]["events"], "/api/v1/workers", "/api/v1/queues", "/api/v1/models"):
        whole = api.get(path).get_json()["items"]
        assert len(whole) > (path != "/api/v1/models"), path
        assert walk(api, path, 1) == whole, path
    for path in (reviews, job["links"]["events"], "/api/v1/workers", "/api/v1/queues", "/api/v1/models"):
        for wrong in ("limit=0", "limit=201", "cursor=abc", "foo=1"):
            assert api.get(f"{path}?{wrong}").status_code == 422, (path, wrong)


def test_a_job_is_cancelled_once_and_tried_again(api: FlaskClient, staff: Staff) -> None:
    job = api.post("/api/v1/reviews", json=REVIEW).get_json()["links"]["self"]
    assert api.post(f"{job}/retry").status_code == HTTPStatus.CONFLICT
    assert api.post(f"{job}/cancel").get_json()["state"] == "cancelled"
    assert api.post(f"{job}/cancel").status_code == HTTPStatus.CONFLICT
    again = api.post(f"{job}/retry")
    assert (again.status_code, again.get_json()["state"]) == (202, "queued")
    (claim,) = staff.claim()
    stopping = api.post(f"{job}/cancel").get_json()
    assert (stopping["state"], stopping["cancel_requested"]) == ("running", True)
    with staff.database.begin() as db:
        fail(db, claim, JobError("defect", "the model file is damaged", "install it again", "Traceback: …"))
    error = api.get(job).get_json()["error"]
    assert error == {"kind": "defect", "message": "the model file is damaged", "hint": "install it again"}


@sqlite_only
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/reviews/1", 404),
        ("GET", "/api/v1/reviews/0", 404),
        ("GET", "/api/v1/reviews/99999999999999999999", 404),
        ("GET", "/api/v1/jobs/0123456789abcdef", 404),
        ("GET", "/api/v1/jobs/0123456789abcdef/events", 404),
        ("GET", "/api/v1/jobs/0123456789abcdef/reviews", 404),
        ("POST", "/api/v1/jobs/0123456789abcdef/cancel", 404),
        ("POST", "/api/v1/jobs/0123456789abcdef/retry", 404),
        ("GET", "/api/v1/jobs/%00", 404),
        ("GET", "/api/v1/models/%00", 404),
        ("DELETE", "/api/v1/jobs", 405),
    ],
)
def test_what_is_not_there_says_so(api: FlaskClient, method: str, path: str, status: int) -> None:
    answer = api.open(path, method=method)
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    assert answer.get_json(force=True)["detail"]


@sqlite_only
def test_workers_queues_and_models_are_listed(api: FlaskClient, staff: Staff) -> None:
    (worker,) = api.get("/api/v1/workers").get_json()["items"]
    assert (worker["state"], worker["is_alive"], worker["model_version"]) == ("ready", True, "starter-1")
    queues = {queue["name"]: queue for queue in api.get("/api/v1/queues").get_json()["items"]}
    assert queues["interactive"] == {"name": "interactive", "depth": 0, "oldest_wait_s": None, "workers": 1}
    (model,) = api.get("/api/v1/models").get_json()["items"]
    assert model["evaluation"]["baselines"]["majority"]["rating"]["accuracy"] == 0.549
    assert model.items() <= api.get("/api/v1/models/starter-1").get_json().items()


@sqlite_only
def test_a_full_queue_is_429(site_settings: Settings, app: APIFlask) -> None:
    small = create_app(site_settings.model_copy(update={"queue_limit": 1})).test_client()
    headers = {"Authorization": "Bearer " + "0123456789abcdef" * 3}
    assert small.post("/api/v1/reviews", json=REVIEW, headers=headers).status_code == 202
    refused = small.post("/api/v1/reviews", json=REVIEW, headers=headers)
    assert (refused.status_code, refused.content_type) == (429, "application/problem+json")
    assert int(refused.headers["Retry-After"]) > 0


@sqlite_only
def test_a_token_has_its_rate(site_settings: Settings, app: APIFlask, database: Database) -> None:
    client = create_app(site_settings.model_copy(update={"token_rate_per_minute": 2})).test_client()
    with database.begin() as db:
        user = accounts.create_user(db, email="p@example.com", password=PASSWORD, role=Role.ANALYST)
        made = [accounts.create_token(db, user_id=user.id, name=n, scopes=frozenset({"jobs"})) for n in "ab"]
    mine, yours = ({"Authorization": f"Bearer {secret}"} for secret in made)
    paths = ["/api/v1/jobs", "/api/v1/workers", "/api/v1/queues"]
    assert [client.get(path, headers=mine).status_code for path in paths] == [200, 200, 429]
    assert client.get("/api/v1/jobs", headers=yours).status_code == 200


@sqlite_only
def test_without_redis_reviews_are_accepted_and_limits_hold(site_settings: Settings, app: APIFlask) -> None:
    gone = {"redis_url": "redis://127.0.0.1:1/0", "token_rate_per_minute": 3, "secret_key": SecretStr("k")}
    client = create_app(site_settings.model_copy(update=gone)).test_client()
    headers = {"Authorization": "Bearer " + "0123456789abcdef" * 3}
    start = time.monotonic()
    answers = [client.post("/api/v1/reviews", json=REVIEW, headers=headers).status_code for _ in range(4)]
    assert answers == [202, 202, 202, 429]
    assert time.monotonic() - start < 5
    assert client.get("/readyz").status_code == 200
    everything = client.get("/readyz?all=1")
    assert (everything.status_code, everything.get_json()["checks"]["queue"]["ok"]) == (503, False)


@sqlite_only
def test_a_database_that_is_away_is_503(site_settings: Settings) -> None:
    away = {"database_url": "postgresql://nobody@127.0.0.1:1/none"}
    client = create_app(site_settings.model_copy(update=away)).test_client()
    answer = client.get("/api/v1/jobs", headers={"Authorization": "Bearer x"})
    assert (answer.status_code, answer.content_type) == (503, "application/problem+json")
    assert int(answer.headers["Retry-After"]) > 0
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503
    assert client.get("/readyz?all=1").get_json()["checks"]["worker"]["ok"] is False


def test_a_database_that_was_never_migrated_is_503_and_says_what_to_run(site_settings: Settings) -> None:
    client = create_app(site_settings).test_client()
    answer = client.get("/api/v1/jobs", headers={"Authorization": "Bearer x"})
    assert (answer.status_code, answer.content_type) == (503, "application/problem+json")
    assert "hemline migrate" in answer.get_json(force=True)["detail"]
    assert client.get("/readyz").status_code == 503


def test_readiness_names_what_is_missing(stranger: FlaskClient, database: Database) -> None:
    assert stranger.get("/readyz").status_code == 200
    everything = stranger.get("/readyz?all=1")
    assert everything.status_code == 503
    assert int(everything.headers["Retry-After"]) > 0
    checks = everything.get_json()["checks"]
    assert {name: check["ok"] for name, check in checks.items()} == {
        "database": True, "queue": True, "worker": False, "model": False,
    }  # fmt: skip
    assert "no worker is listening" in checks["worker"]["detail"]
    Staff(database).enrol()
    assert stranger.get("/readyz?all=1").status_code == 200


def test_a_database_behind_is_not_ready(stranger: FlaskClient, database: Database) -> None:
    with database.begin() as db:
        db.execute(text("UPDATE alembic_version SET version_num = 'older'"))
    answer = stranger.get("/readyz")
    assert answer.status_code == 503
    assert "hemline migrate" in answer.get_json()["checks"]["database"]["detail"]


@sqlite_only
def test_metrics_count_jobs_and_requests(api: FlaskClient, staff: Staff) -> None:
    api.post("/api/v1/reviews", json=REVIEW)
    figures = api.get("/metrics").text
    assert 'hemline_jobs{state="queued"} 1.0' in figures
    assert 'hemline_queue_depth{queue="interactive"} 1.0' in figures
    assert f'hemline_queue_workers{{queue="{QueueName.BULK}"}} 1.0' in figures
    assert 'hemline_http_requests_total{endpoint="api_reviews.create",method="POST",status="202"} 1.0' in figures
