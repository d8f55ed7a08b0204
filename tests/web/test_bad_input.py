"""What bad input gets: an answer that names the field, and nothing stored."""

import json
import re
import time

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from store.database import Database
from store.paging import encode_cursor
from store.schema import Job, Review
from tests.web.conftest import Browser

pytestmark = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)


def n_stored(database: Database) -> int:
    with database.read() as db:
        return db.scalar(select(func.count()).select_from(Review)) + db.scalar(select(func.count()).select_from(Job))


def one(**fields: object) -> str:
    return json.dumps({"text": "Fits well.", **fields})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"text": ""}', "text"),
        ('{"text": " \\n "}', "text"),
        ('{"text": "\\u200b"}', "text"),
        ("{}", "text"),
        ("null", "text"),
        ("[]", "body"),
        ("NaN", "body"),
        (one(text="x" * 50_001), "text"),
        (one(title="x" * 501), "title"),
        (one(text=5), "text"),
        (one(text=["x"]), "text"),
        (one(title=False), "title"),
        ('{"text": "a\\u0000b"}', "text"),
        ('{"text": "a", "title": "\\u0000"}', "title"),
        ('{"text": "a", "age": NaN}', "age"),
        ('{"text": "a", "age": Infinity}', "age"),
        ('{"text": "a", "age": 1e999}', "age"),
        ('{"text": "a", "rating": NaN}', "rating"),
        ('{"text": "\\ud800 lone"}', "text"),
        ('{"text": "a", "product_id": "\\udfff"}', "product_id"),
        (one(rating=9), "rating"),
        (one(rating=0), "rating"),
        (one(rating=4.5), "rating"),
        (one(rating="5"), "rating"),
        (one(rating=True), "rating"),
        ('{"text": "a", "rating": ' + "9" * 4_000 + "}", "rating"),
        (one(age=-1), "age"),
        (one(age=0), "age"),
        (one(age=0.4), "age"),
        (one(age=121), "age"),
        (one(age="40"), "age"),
        ('{"text": "a", "age": ' + "9" * 4_000 + "}", "age"),
        (one(reviewed_at="yesterday"), "reviewed_at"),
        (one(reviewed_at=1_700_000_000), "reviewed_at"),
        (one(reviewed_at="0001-01-01T00:00:00+23:00"), "reviewed_at"),
        (one(reviewed_at="0001-01-01"), "reviewed_at"),
        (one(reviewed_at="1969-12-31T23:59:59Z"), "reviewed_at"),
        (one(reviewed_at="2101-01-01"), "reviewed_at"),
        (one(external_id=""), "external_id"),
        (one(external_id="x" * 201), "external_id"),
        (one(stars=5), "stars"),
        (json.dumps({"reviews": []}), "reviews"),
        (json.dumps({"reviews": "Fits."}), "reviews"),
        (json.dumps({"reviews": [{"text": "a"}] * 1_001}), "reviews"),
        (json.dumps({"reviews": [{"text": "a"}], "more": 1}), "more"),
        (json.dumps({"reviews": [{"text": "a"}, {"text": "b"}, {"text": "c"}, {"text": "d", "rating": 9}]}),
         "reviews[3].rating"),
        (json.dumps({"reviews": [{"text": "a", "external_id": "1"}, {"text": "b", "external_id": "1"}]}),
         "reviews[1].external_id"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_and_nothing_is_stored(
    api: FlaskClient, database: Database, body: str, field: str
) -> None:
    answer = api.post("/api/v1/reviews", data=body, content_type="application/json")
    problem = answer.get_json(force=True)
    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")
    assert problem["status"] == 422
    assert problem["type"]
    assert problem["title"]
    assert field in problem["detail"]
    assert [error["field"] for error in problem["errors"]] == [field]
    assert problem["errors"][0]["message"]
    assert n_stored(database) == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"text":',
        b"text=hello",
        b'{"text": "\xff"}',
        b'{"text": "a", "text": "b"}',
        b'{"text": "a", "rating": ' + b"9" * 5_000 + b"}",
        b'{"text": ' + b"[" * 21 + b"]" * 21 + b"}",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"text": "' + b'\\"' * 1_000_000,
        json.dumps({f"k{n}": 1 for n in range(500_000)}).encode(),
        json.dumps({"reviews": [{f"k{n}": 1 for n in range(51)}]}).encode(),
    ],
    ids=["empty", "cut off", "a form", "not UTF-8", "key twice", "5,000 digits", "nested 22", "deep lists",
         "deep objects", "unterminated escapes", "500,000 keys", "51 keys"],
)  # fmt: skip
def test_what_is_not_acceptable_json_is_400(api: FlaskClient, database: Database, body: bytes) -> None:
    answer = api.post("/api/v1/reviews", data=body, content_type="application/json")
    assert (answer.status_code, answer.content_type) == (400, "application/problem+json")
    assert "JSON" in answer.get_json(force=True)["detail"]
    assert n_stored(database) == 0


def test_an_empty_body_is_called_empty(api: FlaskClient) -> None:
    answer = api.post("/api/v1/reviews", data=b" ", content_type="application/json")
    assert "the body is empty" in answer.get_json(force=True)["detail"]


def test_a_batch_of_wrong_fields_is_refused_quickly(api: FlaskClient) -> None:
    batch = {"reviews": [{f"k{number}": 1 for number in range(50)}] * 1_000}
    start = time.thread_time()
    problem = api.post("/api/v1/reviews", json=batch).get_json(force=True)
    assert (problem["status"], len(problem["errors"])) == (422, 50)
    assert time.thread_time() - start < 2, "nobody else is answered meanwhile"


def test_a_form_that_is_not_utf8_is_400(stranger: FlaskClient) -> None:
    for form in (b"email=\xff", b"email=%ff"):
        answer = stranger.post("/login", data=form, content_type="application/x-www-form-urlencoded")
        assert answer.status_code == 400
        assert "The form is not UTF-8" in answer.text


def test_a_form_of_too_many_fields_says_so(stranger: FlaskClient) -> None:
    fields = {f"field{n}": "x" for n in range(101)}
    for kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        answer = stranger.post("/login", data=fields, content_type=kind)
        assert answer.status_code == 413
        assert "more than 100 fields" in answer.text


def test_twenty_levels_are_parsed_and_then_refused_for_what_they_are(api: FlaskClient) -> None:
    body = '{"text": ' + "[" * 19 + "]" * 19 + "}"
    assert api.post("/api/v1/reviews", data=body, content_type="application/json").status_code == 422


def test_another_content_type_is_415(api: FlaskClient) -> None:
    answer = api.post("/api/v1/reviews", data=one(), content_type="text/plain")
    assert (answer.status_code, answer.content_type) == (415, "application/problem+json")


def test_more_than_eight_megabytes_is_413(api: FlaskClient, database: Database) -> None:
    body = b'{"text": "' + b"x" * (8 * 1024 * 1024) + b'"}'
    answer = api.post("/api/v1/reviews", data=body, content_type="application/json")
    assert (answer.status_code, answer.content_type) == (413, "application/problem+json")
    assert n_stored(database) == 0


def test_the_largest_allowed_review_is_accepted(api: FlaskClient, database: Database) -> None:
    review = {"text": "x" * 50_000, "title": "t" * 500, "rating": 1, "age": 120, "reviewed_at": "2024-05-31"}
    assert api.post("/api/v1/reviews", json=review).status_code == 202
    assert n_stored(database) == 2


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "cursor=abc", "cursor=%00", "cursor=Ing", "rating=9", "q=%00"],
)
def test_a_wrong_query_is_422_on_the_list(api: FlaskClient, browser: Browser, query: str) -> None:
    answer = api.get(f"/api/v1/reviews?{query}")
    assert answer.status_code == 422
    assert answer.get_json(force=True)["errors"][0]["field"] == query.partition("=")[0]
    page = browser.get(f"/reviews?{query}&product_id=1077")
    assert (page.status_code, page.mimetype) == (422, "text/html")
    assert 'class="notice is-bad"' in page.text
    assert 'name="product_id" value="1077"' in page.text, "the form is there, with the rest of what was asked"


def test_an_unknown_parameter_is_422_for_a_program_and_nothing_for_a_page(api: FlaskClient, browser: Browser) -> None:
    assert api.get("/api/v1/reviews?foo=1").status_code == 422
    for path in ("/reviews", "/jobs"):
        assert browser.get(f"{path}?utm_source=mail").status_code == 200


def test_an_empty_filter_means_any(api: FlaskClient, browser: Browser) -> None:
    for query in ("state=&kind=&queue=", "limit=&cursor="):
        assert api.get(f"/api/v1/jobs?{query}").status_code == 200
        assert browser.get(f"/jobs?{query}").status_code == 200


def test_a_wrong_filter_is_named_in_words_beside_the_form(browser: Browser) -> None:
    assert "Shopper gave: must be at most 5." in browser.get("/reviews?rating=9").text
    too_long = browser.get("/reviews?q=" + "x" * 201)
    assert "Words: must have at most 200 characters." in too_long.text
    assert "x" * 201 in too_long.text
    assert "not there any more" in browser.get("/jobs?cursor=Ing").text
    assert "State: must be one of" in browser.get("/jobs?state=nonsense").text


@pytest.mark.parametrize("key", ["\ud800", "\x00", "x" * 32, "0" * 31])
def test_a_crafted_cursor_is_422_on_the_jobs(api: FlaskClient, browser: Browser, key: str) -> None:
    cursor = encode_cursor(key)
    answer = api.get(f"/api/v1/jobs?cursor={cursor}")
    assert (answer.status_code, answer.get_json(force=True)["errors"][0]["field"]) == (422, "cursor")
    assert browser.get(f"/jobs?cursor={cursor}").status_code == 422


@pytest.mark.parametrize(
    ("text", "title", "message"),
    [
        ("", "", "Write or paste a review first."),
        ("  \n---\n ", "", "Write or paste a review first."),
        ("\u200b", "", "Write or paste a review first."),
        ("x" * 50_001, "", "at most 50,000 characters"),
        ("a\x00b", "", "NUL"),
        ("Fits.", "t" * 501, "at most 500 characters"),
        ("One.\n---\nTwo.", "A title", "single review"),
        ("One.\n---\n" + "x" * 50_001, "", "(review 2) must have at most 50,000"),
        ("a\n---\n" * 1_001, "", "1,001 reviews"),
    ],
)
def test_the_form_comes_back_with_its_message(
    browser: Browser, database: Database, text: str, title: str, message: str
) -> None:
    answer = browser.post("/", text=text, title=title)
    assert answer.status_code == 422
    assert message in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert len(re.findall(r'<(?:input|textarea)[^>]* aria-invalid="true"[^>]* autofocus', answer.text)) == 1
    assert n_stored(database) == 0
    fragment = browser.post("/", headers={"HX-Request": "true"}, text=text, title=title)
    assert (fragment.status_code, fragment.headers["HX-Retarget"]) == (422, "#read-form")
    assert "<html" not in fragment.text


def test_typed_markup_is_shown_as_text(browser: Browser) -> None:
    answer = browser.post("/", text="", title="<script>alert(1)</script>" + "x" * 500)
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert" in answer.text
