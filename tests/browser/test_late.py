"""Answers of a slow hub that come after something was done on the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from tests.browser.screen import MARIE, log_in, screen
from tests.harness import OPEN
from tests.web_hub import WEB, WebHub

COMMAND: Final = {"name": "led", "payload": None, "state": "done", "over": True, "reason": ""}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebHub]:
    """A hub with an administrator and a device."""
    with WebHub(tmp_path_factory.mktemp("late") / "data", {**OPEN, **WEB}) as started:
        started.add_person(MARIE, "admin")
        reading = {"device": "freezer", "metric": "temperature", "unit": "°C", "value": -20}
        assert started.send(reading, token=started.token("writer"))[0] == 200
        started.wait_stored("freezer", "temperature", 1)
        yield started


@pytest.fixture
def page(hub: WebHub, browser: Browser) -> Iterator[Page]:
    with screen(browser, excused="ERR_FAILED") as opened:
        log_in(opened, hub.url, MARIE)
        yield opened


def test_a_list_shows_what_was_done_before_its_first_answer(hub: WebHub, page: Page) -> None:
    """An answer from before is not what stays on the page."""
    held: list[tuple[Route, Any]] = []
    page.route("**/api/v1/maintenance", lambda it: held.append((it, it.fetch())), times=1)
    page.goto(f"{hub.url}/alerts")
    form = page.locator("#maintain")
    form.get_by_label("Device").select_option("freezer")
    with page.expect_response("**/api/v1/devices/freezer/maintenance"):
        form.get_by_role("button", name="Begin").click()
    # Had the page asked at once, it would have its answer before this one.
    page.evaluate("fetch('/api/v1/health').then((answer) => answer.text())")
    hub.wait_until(lambda: bool(held), "the hub has answered")
    ((route, answer),) = held
    route.fulfill(response=answer)
    expect(page.locator("#maintained")).to_contain_text("freezer")


def test_nothing_is_written_before_it_is_known_what_is_kept(hub: WebHub, page: Page) -> None:
    """Fields that the answer fills are not open before it."""
    held: list[Route] = []
    page.route("**/api/v1/retention", lambda it: held.append(it), times=1)
    page.goto(f"{hub.url}/settings/storage")
    field = page.locator("#choose").get_by_label("readings")
    expect(page.locator("#who")).to_have_text("marie")
    expect(field).to_be_disabled()
    hub.wait_until(lambda: page.evaluate("1") and bool(held), "the page has asked")
    held[0].continue_()
    expect(field).to_be_enabled()


def test_commands_stand_in_their_order(hub: WebHub, page: Page) -> None:
    """The one that was given last comes first, also when the others are answered after it."""
    held: list[Route] = []

    def answer(route: Route) -> None:
        if route.request.method == "GET":
            held.append(route)
        else:
            route.fulfill(json={**COMMAND, "id": 3, "value": 3, "changed": "2026-05-01T03:00:00Z"})

    page.route("**/api/v1/devices/freezer/commands", answer)
    page.goto(f"{hub.url}/device#freezer")
    form = page.locator("#commanding form").first
    form.locator("[name=name]").fill("led")
    form.get_by_role("button").click()
    rows = page.locator("#given li")
    expect(rows).to_have_count(1)
    hub.wait_until(lambda: page.evaluate("1") and bool(held), "the page has asked")
    for route in held:
        times = {number: f"2026-05-01T0{number}:00:00Z" for number in (2, 1)}
        before = [{**COMMAND, "id": i, "value": i, "changed": at} for i, at in times.items()]
        route.fulfill(json=before)
    expect(rows).to_have_count(3)
    expect(rows.locator("b")).to_have_text(["led = 3", "led = 2", "led = 1"])


def test_a_page_whose_first_question_fails_goes_on(hub: WebHub, page: Page) -> None:
    """What was asked for early may be lost on the way: the stream's beginning asks again."""
    page.route("**/api/v1/devices/freezer", lambda route: route.abort(), times=1)
    page.goto(f"{hub.url}/device#freezer")
    expect(page.locator("#now")).to_contain_text("-20 °C")
    expect(page.locator("#happened li")).not_to_have_count(0)
