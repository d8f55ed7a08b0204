"""The pages in real Chromium. Every test also fails on a console error and on any request off the machine."""

import re
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from store.claims import fail
from store.jobs import JobError
from tests.browser.conftest import sign_in
from tests.web.conftest import Staff


@pytest.fixture
def reading(staff: Staff) -> Iterator[None]:
    """Somebody who reads whatever comes."""
    stop = threading.Event()

    def read() -> None:
        while not stop.wait(0.05):
            staff.read_everything()

    reader = threading.Thread(target=read)
    reader.start()
    yield
    stop.set()
    reader.join()


def test_a_review_is_read_in_place(page: Page, reading: None) -> None:
    page.evaluate("window.isStillTheSamePage = true")
    page.get_by_label("Title").fill("Love it")
    page.get_by_label("Review", exact=True).fill("Soft, warm, and true to size.")
    page.get_by_role("button", name="Read", exact=True).click()
    answer = page.get_by_label("Answer", exact=True)
    expect(answer.locator(".figure")).to_have_text("4.5")
    expect(answer.get_by_role("img", name="5 of 5 stars")).to_be_visible()
    expect(answer.get_by_role("row")).to_have_count(5)
    expect(answer).to_contain_text("90 % interval: 24 to 62 years")
    expect(answer).to_contain_text("weak guess")
    expect(answer).to_contain_text("starter-1")
    expect(page.get_by_role("status")).to_contain_text("4.5 of 5 stars")
    assert page.evaluate("window.isStillTheSamePage")
    assert "/answers/" in page.url
    page.reload()
    expect(page.locator(".figure")).to_have_text("4.5")


def test_the_answer_stops_asking_when_it_is_there(page: Page, reading: None) -> None:
    page.get_by_label("Review", exact=True).fill("Soft.")
    page.get_by_role("button", name="Read", exact=True).click()
    expect(page.locator(".figure")).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(1_000)
    assert asked == []


def test_several_reviews_at_once_by_keyboard_alone(page: Page, reading: None) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Title")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.type("First one.\n---\nSecond one.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="2 reviews read")).to_be_visible()


def test_an_empty_review_brings_the_form_back_with_its_message(page: Page) -> None:
    page.get_by_label("Review", exact=True).fill("   ")
    with page.expect_response(lambda response: response.status == 422):
        page.get_by_role("button", name="Read", exact=True).click()
    expect(page.locator("#text-error")).to_contain_text("Write or paste a review first.")
    expect(page.get_by_label("Review", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Review", exact=True)).to_be_focused()


def test_a_text_area_that_was_resized_breaks_no_policy(page: Page) -> None:
    page.get_by_label("Review", exact=True).evaluate("(area) => { area.style.height = '300px' }")
    with page.expect_response(lambda response: response.status == 422):
        page.get_by_role("button", name="Read", exact=True).click()
    expect(page.locator("#text-error")).to_be_visible()
    page.wait_for_timeout(200)  # the fixture fails on a violation of the policy


def test_the_focus_stays_on_cancel_while_the_job_renews_itself(page: Page, staff: Staff) -> None:
    page.get_by_label("Review", exact=True).fill("Soft.")
    page.get_by_role("button", name="Read", exact=True).click()
    page.get_by_label("Answer", exact=True).get_by_role("link", name="Job").click()
    cancel = page.get_by_role("button", name="Cancel")
    cancel.focus()
    for _ in range(2):
        with page.expect_response(re.compile("/jobs/")):
            pass
    page.wait_for_timeout(100)
    expect(cancel).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_a_session_that_ended_leaves_the_text_to_be_sent_again(page: Page, reading: None) -> None:
    page.get_by_label("Review", exact=True).fill("Soft, warm, and true to size.")
    other = page.context.new_page()
    other.goto("/jobs")
    other.get_by_role("button", name="Sign out").click()
    other.wait_for_url("**/login")
    read = page.get_by_role("button", name="Read", exact=True)
    read.click()
    expect(page.get_by_role("alert")).to_contain_text("Sign in again in another tab, then press Read")
    sign_in(other)
    read.click()
    expect(page.locator("#text-error")).to_contain_text("Press Read again.")
    expect(page.get_by_label("Review", exact=True)).to_have_value("Soft, warm, and true to size.")
    page.get_by_role("button", name="Read", exact=True).click()
    expect(page.locator(".figure")).to_have_text("4.5")


def test_a_sample_is_one_click(page: Page, reading: None) -> None:
    chips = page.locator(".samples button")
    if not chips.count():
        pytest.skip("the samples are not in this checkout")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    chips.first.dblclick()
    expect(page.locator(".figure")).to_have_text("4.5")
    assert len(sent) == 1
    page.get_by_role("button", name="Load all").click()
    expect(page.get_by_role("heading", name=re.compile(r"\d+ reviews read"))).to_be_visible()


def test_a_job_is_live_until_it_fails_and_can_be_tried_again(page: Page, staff: Staff) -> None:
    page.get_by_label("Review", exact=True).fill("Soft.")
    page.get_by_role("button", name="Read", exact=True).click()
    page.get_by_label("Answer", exact=True).get_by_role("link", name="Job").click()
    job = page.locator("#job")
    expect(job).to_contain_text("next in the queue")
    (claim,) = staff.claim()
    expect(job.locator(".state.is-running")).to_be_visible()
    with staff.database.begin() as db:
        fail(db, claim, JobError("defect", "file weights.safetensors is damaged", "Install the model again."))
    expect(job).to_contain_text("Install the model again.")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#job .state.is-queued")).to_be_visible()
    staff.read_everything()
    expect(page.locator("#job .state.is-succeeded")).to_be_visible()
    expect(page.locator("#job-reviews")).to_contain_text("4.5")


def test_the_theme_follows_the_system_and_then_the_choice(page: Page) -> None:
    def paper() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light = paper()
    page.emulate_media(color_scheme="dark")
    dark = paper()
    assert light != dark
    page.get_by_role("button", name="Light").click()
    assert paper() == light
    page.reload()
    assert paper() == light
    expect(page.get_by_role("button", name="Light")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="System").click()
    assert paper() == dark


@pytest.mark.parametrize("path", ["/", "/jobs", "/reviews", "/models", "/workers", "/api/docs"])
def test_a_phone_shows_each_page_without_scrolling_sideways(page: Page, staff: Staff, path: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    link = page.locator(".site-footer a").bounding_box()
    assert link
    assert min(link["width"], link["height"]) >= 24


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/jobs", "/reviews", "/models", "/workers"])
def test_text_stands_out_from_its_ground(page: Page, reading: None, path: str, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: 4.5:1 for text of ordinary size."""
    page.emulate_media(color_scheme=scheme)
    page.get_by_label("Review", exact=True).fill("Soft.")
    page.get_by_role("button", name="Read", exact=True).click()
    expect(page.locator(".figure")).to_be_visible()
    if path != "/":
        page.goto(path)
    assert page.evaluate(FAINT_TEXT) == []


def test_times_are_local(page: Page, reading: None) -> None:
    page.get_by_label("Review", exact=True).fill("Soft.")
    page.get_by_role("button", name="Read", exact=True).click()
    expect(page.locator(".figure")).to_be_visible()
    page.goto("/jobs")
    expect(page.locator("time").first).not_to_contain_text("UTC")


def test_pages_work_without_javascript(context: BrowserContext, page: Page, reading: None) -> None:
    state = context.storage_state()
    plain = context.browser.new_context(  # type: ignore[union-attr]  # a launched browser is there
        base_url=page.url, java_script_enabled=False, storage_state=state
    )
    sheet = plain.new_page()
    sheet.goto("/")
    sheet.get_by_label("Review", exact=True).fill("Soft.")
    sheet.get_by_role("button", name="Read", exact=True).click()
    expect(sheet.locator(".figure")).to_have_text("4.5", timeout=10_000)  # the page renews itself
    plain.close()


def test_signing_out_leads_to_the_login_page(page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    page.goto("/jobs")
    assert "/login?next=/jobs" in page.url


FAINT_TEXT = """() => {
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    probe.clearRect(0, 0, 1, 1);
    probe.fillStyle = color;
    probe.fillRect(0, 0, 1, 1);
    return [...probe.getImageData(0, 0, 1, 1).data];
  };
  const linear = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = rgba(getComputedStyle(e).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  const skipped = "svg, [aria-hidden], .visually-hidden, .off, .skip";
  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    const texts = [...element.childNodes].filter((node) => node.nodeType === 3);
    const words = texts.map((text) => text.data.trim()).join("");
    if (!words || element.closest(skipped) || !element.checkVisibility()) continue;
    const ink = luminance(rgba(getComputedStyle(element).color));
    const [light, dark] = [ink, luminance(ground(element))].sort((x, y) => y - x);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) faint.push(`${element.className} "${words.slice(0, 30)}" ${ratio.toFixed(2)}`);
  }
  return faint;
}"""
