"""`python -m tests.browser.screenshots URL FOLDER`: the pictures of the README, from an installation that runs.

The administrator's address and password come from HEMLINE_ADMIN_EMAIL and HEMLINE_ADMIN_PASSWORD.
"""

import os
import sys
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM

Scheme = Literal["light", "dark"]

TITLE = "Lovely, but not for tall women"
TEXT = """The fabric is beautiful and the colour is exactly as pictured. I am 5'10" and it hits well above \
the knee, so I will wear it as a tunic over leggings. My daughter has already asked to borrow it."""


def take(browser: Browser, url: str, folder: Path, *, scheme: Scheme, width: int) -> None:
    """Picture each page once."""
    context = browser.new_context(
        base_url=url, color_scheme=scheme, viewport={"width": width, "height": 844 if width < 500 else 860}
    )
    page = context.new_page()

    def picture(name: str, *, whole: bool = False) -> None:
        page.screenshot(path=folder / f"{name}-{scheme}-{width}.png", full_page=whole)

    page.goto("/login")
    picture("login")
    page.get_by_label("E-mail").fill(os.environ["HEMLINE_ADMIN_EMAIL"])
    page.get_by_label("Password").fill(os.environ["HEMLINE_ADMIN_PASSWORD"])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")
    _read(page)
    picture("read", whole=True)
    page.get_by_role("button", name="Load all").click()
    page.locator("h2", has_text="reviews read").wait_for()
    picture("several")
    for path in ("jobs", "reviews", "models", "workers"):
        page.goto(f"/{path}")
        picture(path)
    page.goto("/models")
    page.locator("h2 a").first.click()
    page.locator(".plot").first.wait_for()
    picture("model", whole=True)
    page.goto("/jobs")
    page.locator("tbody a").first.click()
    page.locator(".timeline").wait_for()
    picture("job")
    context.close()


def _read(page: Page) -> None:
    page.get_by_label("Title").fill(TITLE)
    page.get_by_label("Review", exact=True).fill(TEXT)
    page.get_by_role("button", name="Read", exact=True).click()
    page.locator(".figure").wait_for()
    page.mouse.move(0, 0)


def main(url: str, folder: Path) -> None:
    """Take every picture, at desktop and phone width, light and dark."""
    folder.mkdir(parents=True, exist_ok=True)
    schemes: tuple[Scheme, ...] = ("light", "dark")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for scheme in schemes:
            for width in (1280, 390):
                take(browser, url, folder, scheme=scheme, width=width)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
