"""Pages of a running hub in Debian's Chromium, which nobody may hear complain."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import APIResponse, Browser, ConsoleMessage, Page, Route, sync_playwright
from tests.harness import PATIENCE

PICTURES: Final = Path(__file__).parents[2] / "artefacts" / "pages"
"""Where pictures of pages are kept, to be looked at."""

PHONE: Final = (360, 740)
DESK: Final = (1280, 800)

MARIE: Final = {"name": "marie", "password": "three damp seedlings"}
VERA: Final = {"name": "vera", "password": "seven dry cactuses"}
"""Who logs in: an administrator and a viewer, if a test does not say otherwise."""

LATE: Final = "status of 40[14]"
"""What a browser says of answers that come after a log-out, a rename or a removal."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's browser. While it runs, no test of this process may use asyncio."""
    program = shutil.which("chromium")
    assert program is not None, "Chromium is missing: run make ready-tests"
    # Chromium has no sandbox for root, as whom tests run in a container.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=options)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def screen(
    browser: Browser,
    size: tuple[int, int] = DESK,
    scheme: Any = "light",
    excused: str = "(?!)",
    locale: str = "en-GB",
    *,
    trusting: bool = False,
) -> Iterator[Page]:
    """A page in a browser of its own, in Paris; fails when it complains of what is not excused.

    One that is ``trusting`` takes a certificate of an authority that it does not know.
    """
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not re.search(excused, message.text):
            complaints.append(message.text)

    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        locale=locale,
        timezone_id="Europe/Paris",
        ignore_https_errors=trusting,
    )
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        yield page
    finally:
        # What still answers in place of the hub does so for nobody.
        page.unroute_all(behavior="ignoreErrors")
        context.close()
    assert not complaints, complaints


@contextmanager
def unanswered(page: Page, requests: str) -> Iterator[None]:
    """Leave requests to such addresses without an answer; they get it in the end."""
    held: list[Route] = []
    page.route(requests, lambda route: held.append(route))
    try:
        yield
    finally:
        for one in held:
            one.continue_()
        page.unroute(requests)


@contextmanager
def late(page: Page, requests: str) -> Iterator[list[APIResponse]]:
    """Have the hub answer requests to such addresses at once, and hand the answers on in the end.

    What it has answered so far is yielded; it grows while the page is asked something.
    """
    held: list[Route] = []
    answers: list[APIResponse] = []

    def ask(route: Route) -> None:
        held.append(route)
        answers.append(route.fetch())

    page.route(requests, ask)
    yield answers
    while len(answers) < len(held):
        page.wait_for_timeout(10)
    for route, answer in zip(held, answers, strict=True):
        route.fulfill(response=answer)
    page.unroute(requests)


def log_in(page: Page, url: str, who: Mapping[str, str]) -> None:
    """Log in, and wait for the overview."""
    page.goto(f"{url}/login")
    for field, text in who.items():
        page.fill(f"[name={field}]", text)
    page.click("button")
    page.wait_for_url(f"{url}/")


def keep(page: Page, name: str) -> None:
    """Keep a picture of the whole page."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
