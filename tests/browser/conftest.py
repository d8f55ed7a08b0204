"""Real Chromium against the real server; a worker's transitions are made by the test where no model is needed."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from store.database import Database, open_database
from store.settings import Settings
from tests.server import running_server
from tests.web.conftest import EMAIL, PASSWORD, Staff
from web.assets import build

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = pytest.mark.skip(reason="NO CHROMIUM: the pages were not driven; install it or name it in CHROMIUM")
    here = Path(__file__).parent
    for item in items:
        if CHROMIUM is None and os.environ.get("CI") != "true" and here in item.path.parents:
            item.add_marker(missing)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    assert CHROMIUM, "CI must have Chromium: install it or name it in CHROMIUM"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[tuple[str, Settings]]:
    """A server of its own, with its settings."""
    build()
    home = tmp_path_factory.mktemp("home")
    with running_server(home, redis_url) as settings:
        yield f"http://127.0.0.1:{settings.port}", settings


@pytest.fixture
def database(address: tuple[str, Settings]) -> Iterator[Database]:
    opened = open_database(address[1])
    yield opened
    opened.dispose()


@pytest.fixture
def staff(database: Database) -> Staff:
    made = Staff(database)
    made.enrol()
    return made


class Watch:
    """What must never happen in a page: requests off the machine, errors, violations of the content policy."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.off_the_machine: list[str] = []
        self.complaints: list[str] = []

    def over(self, page: Page) -> None:
        page.on("request", lambda request: self._request(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self._said(said.type, said.text))

    def _request(self, url: str) -> None:
        if not url.startswith((self._url, "data:")):
            self.off_the_machine.append(url)

    def _said(self, kind: str, words: str) -> None:
        # Chromium reports a form's 422 as an error, and the 401 of a session that ended; they are answers.
        if kind in {"error", "warning"} and not re.search("(status of|Status Error Code) (422|401)", words):
            self.complaints.append(words)


@pytest.fixture
def context(chromium: Browser, address: tuple[str, Settings]) -> Iterator[BrowserContext]:
    made = chromium.new_context(base_url=address[0], color_scheme="light", viewport={"width": 1280, "height": 860})
    made.set_default_timeout(15_000)
    watch = Watch(address[0])
    made.on("page", watch.over)
    yield made
    made.close()
    assert watch.off_the_machine == []
    assert watch.complaints == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A page of somebody who has signed in."""
    made = context.new_page()
    sign_in(made)
    return made


def sign_in(page: Page) -> None:
    """Fill in the form and arrive at the home page."""
    page.goto("/login")
    page.get_by_label("E-mail").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")
