"""The registry's pages in real Chromium; a console error or a request off the machine fails each test as well."""

from playwright.sync_api import Page, expect

from store import models
from store.database import Database
from store.models import NewModelVersion
from tests.web.conftest import Staff
from tests.web.test_models_pages import WHOLE


def test_a_model_is_promoted_and_rolled_back_by_hand(page: Page, staff: Staff, database: Database) -> None:
    with database.begin() as db:
        models.register(db, NewModelVersion("m-2", "tiny", "models/m-2", "ab" * 32, WHOLE))
    page.goto("/models")
    page.get_by_role("link", name="m-2").click()
    expect(page.get_by_role("img", name="Confusion matrix")).to_be_visible()
    page.get_by_text("As a table").first.click()
    expect(page.get_by_role("table", name="Reviews by the stars given")).to_be_visible()
    page.get_by_label("Reason").fill("better on dresses")
    page.get_by_role("button", name="Promote").click()
    expect(page.get_by_label("Changes")).to_contain_text("better on dresses")
    expect(page.get_by_label("Workers")).to_contain_text("not the version in service yet")
    page.goto("/models")
    page.get_by_role("button", name="Roll back to starter-1").click()
    expect(page.get_by_role("region", name="Workers")).to_contain_text("in step")


def test_a_phone_shows_a_model_without_scrolling_sideways(page: Page, staff: Staff, database: Database) -> None:
    with database.begin() as db:
        models.register(db, NewModelVersion("m-3" * 20, "tiny", "models/m-3", "ab" * 32, WHOLE))
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"/models/{'m-3' * 20}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("link", name="Put into service").click()
    expect(page.get_by_role("button", name="Promote")).to_be_in_viewport()
