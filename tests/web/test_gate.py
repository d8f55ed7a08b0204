"""Who may come in: nobody, unless the address is public or they have shown who they are."""

import re

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from store import accounts
from store.accounts import Role
from store.database import Database
from tests.web.conftest import EMAIL, PASSWORD, TOKEN, Browser
from web.gate import PUBLIC_ENDPOINTS, local_path

pytestmark = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)

PUBLIC_PATHS = {"/login", "/static/<path:filename>", "/healthz", "/readyz", "/api/docs", "/api/openapi.json"}


def rules(app: APIFlask) -> list[tuple[str, str, str]]:
    """Every method of every address, with an example of each id."""
    examples = {
        "job_id": "0123456789abcdef",
        "review_id": "1",
        "dataset_id": "1",
        "version": "v1",
        "filename": "favicon.svg",
    }
    return [
        (method, re.sub(r"<(?:[^:>]+:)?([^>]+)>", lambda found: examples[found.group(1)], rule.rule), rule.endpoint)
        for rule in app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def test_only_the_contract_s_addresses_are_public(app: APIFlask) -> None:
    public = {rule.rule for rule in app.url_map.iter_rules() if rule.endpoint in PUBLIC_ENDPOINTS}
    assert public == PUBLIC_PATHS


def test_a_stranger_gets_nowhere(app: APIFlask, stranger: FlaskClient) -> None:
    for method, path, endpoint in rules(app):
        answer = stranger.open(path, method=method)
        if endpoint in PUBLIC_ENDPOINTS:
            assert answer.status_code in {200, 400}, path  # 400: a sign-in without its CSRF token
        elif path.startswith("/api/") or path == "/metrics":
            assert answer.status_code == 401, path
            assert answer.content_type == "application/problem+json"
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        else:
            assert answer.status_code == 303, path
            assert answer.location.startswith("/login")


def test_every_view_behind_the_gate_says_which_scope_it_needs(app: APIFlask) -> None:
    for method, path, endpoint in rules(app):
        if endpoint not in PUBLIC_ENDPOINTS:
            assert app.view_functions[endpoint].needs_scopes <= accounts.SCOPES, f"{method} {path}"


def test_a_stranger_learns_nothing_of_which_addresses_exist(stranger: FlaskClient) -> None:
    assert stranger.get("/nothing").status_code == 303
    assert stranger.get("/api/v1/nothing").status_code == 401
    assert stranger.put("/jobs").status_code == 303


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_public_address_says_that_it_does_not_take_a_method(stranger: FlaskClient, method: str) -> None:
    for path in ("/healthz", "/readyz", "/api/docs", "/api/openapi.json"):
        answer = stranger.open(path, method=method)
        assert (answer.status_code, answer.content_type) == (405, "application/problem+json"), path
        assert "GET" in answer.headers["Allow"]
    assert stranger.put("/login").status_code == 405


def test_a_wrong_token_is_401_and_a_missing_scope_403(app: APIFlask, database: Database) -> None:
    client = app.test_client()
    with database.begin() as db:
        user = accounts.create_user(db, email="p@example.com", password=PASSWORD, role=Role.ANALYST)
        reader = accounts.create_token(db, user_id=user.id, name="r", scopes=frozenset({"reviews:read"}))
    wrong = client.get("/api/v1/jobs", headers={"Authorization": "Bearer wrong"})
    assert wrong.status_code == 401
    assert 'error="invalid_token"' in wrong.headers["WWW-Authenticate"]
    assert client.get("/api/v1/jobs", headers={"Authorization": f"Basic {TOKEN}"}).status_code == 401
    mine = {"Authorization": f"bearer {reader}"}
    assert client.get("/api/v1/reviews", headers=mine).status_code == 200
    refused = client.post("/api/v1/reviews", headers=mine, json={"text": "Fits."})
    assert (refused.status_code, refused.content_type) == (403, "application/problem+json")
    assert "reviews:write" in refused.get_json(force=True)["detail"]
    assert client.get("/metrics", headers=mine).status_code == 403


def test_a_session_opens_no_api_and_a_token_no_page(browser: Browser, api: FlaskClient) -> None:
    assert browser.get("/api/v1/jobs").status_code == 401
    assert api.get("/jobs").status_code == 303


def test_a_role_allows_no_more_than_it_says(viewer: Browser) -> None:
    assert viewer.get("/reviews").status_code == 200
    refused = viewer.post("/", text="Fits.")
    assert refused.status_code == 403
    assert "You may not do this" in refused.text
    assert viewer.get("/metrics").status_code == 403


def test_signing_in_leads_to_the_page_that_was_asked_for(app: APIFlask) -> None:
    browser = Browser(app.test_client())
    sent = browser.get("/jobs?state=failed")
    assert sent.location == "/login?next=/jobs?state%3Dfailed"
    assert 'value="/jobs?state=failed"' in browser.get(sent.location).text
    assert browser.sign_in(next="/jobs?state=failed").location == "/jobs?state=failed"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil",
        "/\t/evil.example",
        "javascript:x",
        "",
        "jobs",
        "/login",
        "/login?next=/jobs",
        "/logout",
    ],
)
def test_signing_in_leads_nowhere_else(app: APIFlask, elsewhere: str) -> None:
    assert local_path(elsewhere) == "/"
    assert Browser(app.test_client()).sign_in(next=elsewhere).location == "/"


def test_an_unknown_user_and_a_wrong_password_get_the_same_answer(app: APIFlask) -> None:
    answers = [
        Browser(app.test_client()).sign_in(email, password)
        for email, password in [(EMAIL, "wrong"), ("nobody@example.com", PASSWORD), (EMAIL, "a\x00"), (EMAIL, "")]
    ]
    assert {answer.status_code for answer in answers} == {422}
    without_what_was_typed = {re.sub(r'value="[^"]*"', "", answer.text) for answer in answers}
    assert len(without_what_was_typed) == 1
    assert all("Set-Cookie" not in a.headers or "login" not in a.headers["Set-Cookie"] for a in answers)


def test_the_eleventh_sign_in_of_a_minute_is_refused(app: APIFlask) -> None:
    browser = Browser(app.test_client())
    assert [browser.sign_in(password="wrong").status_code for _ in range(10)] == [422] * 10
    refused = browser.sign_in()
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert re.search(r"One moment, please.*Try again in \d+ seconds?\.", refused.text, re.DOTALL)
    assert f'value="{EMAIL}"' in refused.text
    elsewhere = app.test_client()
    elsewhere.environ_base["REMOTE_ADDR"] = "192.0.2.7"
    assert Browser(elsewhere).sign_in().status_code == 303


def test_a_form_without_its_csrf_token_is_refused(browser: Browser) -> None:
    refused = browser.client.post("/samples", data={"sample": "all"})
    assert refused.status_code == 400
    assert "This page is out of date. Reload it and send again." in refused.text
    assert browser.client.post("/logout").status_code == 400
    assert browser.get("/jobs").status_code == 200


def test_signing_out_ends_the_session_in_the_database_too(browser: Browser, app: APIFlask) -> None:
    stolen = browser.client.get_cookie("hemline")
    assert stolen is not None
    assert browser.post("/logout").status_code == 303
    assert browser.get("/jobs").status_code == 303
    thief = app.test_client()
    thief.set_cookie("hemline", stolen.value)
    assert thief.get("/jobs").status_code == 303


@pytest.mark.parametrize(("scheme", "is_secure"), [("http", False), ("https", True)])
def test_the_cookie_is_secure_over_https_only(app: APIFlask, scheme: str, is_secure: bool) -> None:
    cookie = app.test_client().get("/login", base_url=f"{scheme}://localhost").headers["Set-Cookie"]
    assert ("Secure" in cookie) is is_secure
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_every_answer_carries_the_security_headers(app: APIFlask, browser: Browser, api: FlaskClient) -> None:
    for answer in (browser.get("/"), browser.get("/nothing"), api.get("/api/v1/jobs"), app.test_client().get("/jobs")):
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'; img-src 'self' data:")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"


def test_no_page_holds_an_inline_script_or_style(app: APIFlask, browser: Browser) -> None:
    for method, path, endpoint in rules(app):
        if method == "GET" and not path.startswith("/static") and endpoint != "metrics.show":
            text = browser.get(path).text
            assert not re.search(
                r"<style|\sstyle=|\son\w+=|<script(?! src=\"/static/)|https?://(?!localhost|www\.w3\.org)", text
            ), path


def test_a_session_that_ended_sends_htmx_to_the_login_page(stranger: FlaskClient) -> None:
    answer = stranger.get("/jobs", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, "/login")


def test_a_session_that_ended_takes_no_typed_review_away(stranger: FlaskClient) -> None:
    answer = stranger.post("/", data={"text": "Fits."}, headers={"HX-Request": "true"})
    assert answer.status_code == 401
    assert "HX-Redirect" not in answer.headers
    assert "Sign in again in another tab, then press Read" in answer.headers["X-Problem"]


def test_a_review_typed_before_signing_in_again_can_be_sent_after_it(browser: Browser, api: FlaskClient) -> None:
    old = browser.csrf("/jobs")
    browser.post("/logout")
    browser.sign_in()
    again = browser.client.post("/", data={"text": "Fits <well>.", "csrf_token": old})
    assert again.status_code == 422
    assert "Fits &lt;well&gt;." in again.text
    assert "Press Read again." in again.text
    assert api.get("/api/v1/reviews").get_json()["items"] == []
    token = re.search(r'name="csrf_token" value="([^"]+)"', again.text)
    assert token
    assert browser.client.post("/", data={"text": "Fits.", "csrf_token": token.group(1)}).status_code == 303


def test_the_password_has_the_focus_after_a_refusal(app: APIFlask) -> None:
    browser = Browser(app.test_client())
    assert re.search(r'<input[^>]*id="email"[^>]* autofocus', browser.get("/login").text)
    refused = browser.sign_in(password="wrong").text
    assert re.findall(r'<input[^>]*id="(\w+)"[^>]* autofocus', refused) == ["password"]


def test_a_slash_too_many_leads_to_the_page(browser: Browser) -> None:
    sent = browser.get("/jobs/?state=failed")
    assert (sent.status_code, sent.location) == (308, "/jobs?state=failed")
    assert browser.get("/nothing/").status_code == 404


def test_the_api_s_documentation_leads_back_to_the_site(browser: Browser, stranger: FlaskClient) -> None:
    assert 'href="/jobs"' in browser.get("/api/docs").text
    assert 'href="/jobs"' not in stranger.get("/api/docs").text
