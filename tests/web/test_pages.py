"""The pages as a browser without JavaScript sees them, and the fragments that htmx asks for."""

import re
import threading

import pytest
from flask.testing import FlaskClient

from store.claims import fail
from store.jobs import JobError
from tests.web.conftest import Browser, Staff
from web import samples

pytestmark = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
HTMX = {"HX-Request": "true"}


def test_a_review_is_read_without_javascript(browser: Browser, staff: Staff) -> None:
    sent = browser.post("/", text="Soft,\r\nwarm.", title="Love it")
    assert sent.status_code == 303
    waiting = browser.get(sent.location).text
    assert 'http-equiv="refresh"' in waiting
    assert "queued" in waiting
    staff.read_everything()
    page = browser.get(sent.location).text
    assert 'http-equiv="refresh"' not in page
    for words in ("4.5", "5 of 5 stars", "70 %", "about 41", "24 to 62 years", "Model starter-1", "Love it"):
        assert words in page, words
    assert "Age from text is a weak guess" in page
    assert page.count('<th scope="row">') == 5


def test_the_answer_polls_until_it_is_final(browser: Browser, staff: Staff) -> None:
    address = browser.post("/", text="Soft.").location
    waiting = browser.get(address, headers=HTMX).text
    assert "<html" not in waiting
    assert f'hx-get="{address}"' in waiting
    staff.read_everything()
    final = browser.get(address, headers=HTMX).text
    assert "hx-trigger" not in final


def test_several_reviews_become_several_answers(browser: Browser, staff: Staff) -> None:
    address = browser.post("/", text="First one.\n---\nSecond one.\n-----\n\nThird one.\n---\n").location
    staff.read_everything()
    page = browser.get(address).text
    assert "3 reviews read" in page
    assert page.index("First one.") < page.index("Second one.") < page.index("Third one.")


def test_the_page_says_that_no_worker_is_listening(browser: Browser) -> None:
    assert "No worker is listening" in browser.get("/").text
    address = browser.post("/", text="Soft.").location
    assert "No worker is listening" in browser.get(address).text
    assert "No worker is listening" in browser.get("/jobs").text
    assert "No worker is listening" in browser.get("/workers").text


def test_a_sample_is_one_click_and_loading_it_twice_is_the_same_review(
    browser: Browser, api: FlaskClient, staff: Staff
) -> None:
    if not samples.all_samples():
        pytest.skip("the samples are not in this checkout")
    sample = samples.chips()[0]
    for _ in range(2):
        address = browser.post("/samples", sample=sample.id).location
        staff.read_everything()
        assert "4.5" in browser.get(address).text
    assert len(api.get("/api/v1/reviews").get_json()["items"]) == 1
    address = browser.post("/samples", sample="all").location
    staff.read_everything()
    assert f"{len(samples.all_samples())} reviews read" in browser.get(address).text
    assert browser.post("/samples", sample="none such").status_code == 404


def test_the_sample_chips_differ(browser: Browser) -> None:
    if not samples.all_samples():
        pytest.skip("the samples are not in this checkout")
    assert {chip.review.rating for chip in samples.chips()} == {1, 2, 3, 4, 5}
    page = browser.get("/").text
    assert all(f'value="{chip.id}"' in page for chip in samples.chips())


def test_the_list_of_jobs_counts_filters_and_pages(browser: Browser, api: FlaskClient, staff: Staff) -> None:
    assert "No jobs yet" in browser.get("/jobs").text
    for _ in range(3):
        api.post("/api/v1/reviews", json={"text": "Soft."})
    staff.read_everything()
    page = browser.get("/jobs?limit=2").text
    assert page.count("<tr>") == 3  # the head and two jobs
    assert "Older" in page
    assert "No job matches" in browser.get("/jobs?state=failed").text
    assert 'hx-trigger="every 15s"' in browser.get("/jobs").text
    api.post("/api/v1/reviews", json={"text": "Soft."})
    assert 'hx-trigger="every 2s"' in browser.get("/jobs", headers=HTMX).text
    assert browser.get("/jobs?state=nonsense").status_code == 422


def test_one_job_shows_its_history_and_is_cancelled_and_retried(browser: Browser, staff: Staff) -> None:
    address = browser.post("/", text="Soft.").location.replace("/answers/", "/jobs/")
    page = browser.get(address).text
    assert "next in the queue" in page
    assert 'hx-trigger="every 1s"' in page
    assert browser.post(f"{address}/retry").status_code == 409
    assert browser.post(f"{address}/cancel").status_code == 303
    assert "Try again" in browser.get(address).text
    assert browser.post(f"{address}/cancel").status_code == 409
    assert browser.post(f"{address}/retry").status_code == 303
    (claim,) = staff.claim()
    with staff.database.begin() as db:
        fail(db, claim, JobError("defect", "file weights.safetensors is damaged", "install it again", "Traceback <x>"))
    failed = browser.get(address).text
    for words in ("weights.safetensors is damaged", "install it again", "Traceback &lt;x&gt;", "Failed", "Retried"):
        assert words in failed, words
    assert "hx-trigger" not in failed
    answer = browser.get(address.replace("/jobs/", "/answers/")).text
    assert "This could not be read" in answer


def test_a_job_s_reviews_are_shown_once_it_has_ended_and_page_by_page(
    browser: Browser, api: FlaskClient, staff: Staff
) -> None:
    batch = {"reviews": [{"text": f"Number {number}."} for number in range(60)]}
    address = "/jobs/" + api.post("/api/v1/reviews", json=batch).get_json()["id"]
    for headers in ({}, HTMX):
        waiting = browser.get(address, headers=headers).text
        assert "Number 0." not in waiting
    assert len(waiting) < 5_000, "this is sent every second"
    assert "60 reviews" in browser.get(address).text
    staff.read_everything()
    last_poll = browser.get(address, headers=HTMX).text
    assert 'id="job-reviews" hx-swap-oob="true"' in last_poll
    page = browser.get(address).text
    for text in (last_poll, page):
        assert "Number 49." in text
        assert "Number 50." not in text
    rest = re.search(r'href="([^"]+)" rel="next"', page)
    assert rest
    assert "Number 59." in browser.get(rest.group(1)).text
    assert browser.get(f"{address}?cursor=Ing").status_code == 422


def test_a_running_job_says_for_how_long(browser: Browser, staff: Staff) -> None:
    address = browser.post("/", text="Soft.").location.replace("/answers/", "/jobs/")
    assert "<dt>Ran</dt><dd>\N{EN DASH}</dd>" in browser.get(address).text
    staff.claim()
    assert re.search(r"<dt>Ran</dt><dd>\d", browser.get(address).text)


def test_a_viewer_is_not_offered_what_a_viewer_may_not_do(viewer: Browser, api: FlaskClient) -> None:
    job = api.post("/api/v1/reviews", json={"text": "Soft."}).get_json()["id"]
    assert "/cancel" not in viewer.get(f"/jobs/{job}").text
    assert viewer.post(f"/jobs/{job}/cancel").status_code == 403


def test_reviews_are_searched(browser: Browser, api: FlaskClient, staff: Staff) -> None:
    assert "No reviews yet" in browser.get("/reviews").text
    api.post("/api/v1/reviews", json={"reviews": [{"text": "The zipper broke.", "rating": 1}, {"text": "Lovely."}]})
    staff.read_everything()
    found = browser.get("/reviews?q=ZIPPER&rating=&product_id=").text
    assert "The zipper broke." in found
    assert "Lovely." not in found
    assert "Words and stars disagree" in found
    assert "No review matches" in browser.get("/reviews?q=velvet").text
    newest = api.get("/api/v1/reviews").get_json()["items"][0]
    assert "Lovely." in browser.get(f"/reviews/{newest['id']}").text
    assert browser.get("/reviews/4711").status_code == 404


def test_workers_and_models_are_shown(browser: Browser, staff: Staff) -> None:
    workers = browser.get("/workers").text
    assert "atelier" in workers
    assert "ready" in workers
    models = browser.get("/models").text
    for words in ("starter-1", "2,222 reviews", "0.704", "0.685 to 0.723", "Majority / mean", "0.549"):
        assert words in models, words
    fragment = browser.get("/workers", headers=HTMX).text
    assert "<html" not in fragment


def test_an_installation_without_a_model_says_so(browser: Browser) -> None:
    assert "No model is installed" in browser.get("/").text
    assert "No model is installed" in browser.get("/models").text


def test_what_is_not_there_is_a_page(browser: Browser) -> None:
    for path in ("/nothing", "/jobs/0123456789abcdef", "/answers/0123456789abcdef", "/jobs/%00", "/reviews/0"):
        answer = browser.get(path)
        assert (answer.status_code, answer.mimetype) == (404, "text/html"), path
        assert "Nothing is at this address" in answer.text
    fragment = browser.get("/jobs/0123456789abcdef", headers=HTMX)
    assert fragment.headers["X-Problem"] == "Nothing is at this address."


def test_the_theme_is_kept_without_javascript(browser: Browser) -> None:
    assert 'data-theme="auto"' in browser.get("/jobs").text
    assert browser.post("/theme", theme="dark", next="/jobs").location == "/jobs"
    assert 'data-theme="dark"' in browser.get("/jobs").text
    browser.post("/theme", theme="auto", next="//evil.example")
    assert 'data-theme="auto"' in browser.get("/jobs").text


def test_two_people_read_at_once(browser: Browser, viewer: Browser, staff: Staff) -> None:
    addresses: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: addresses.append(browser.post("/", text=f"Number {n}.").location))
        for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    staff.read_everything()
    assert len(set(addresses)) == 3
    assert all("4.5" in viewer.get(address).text for address in addresses)
