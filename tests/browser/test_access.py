"""Nothing on the pages keeps people out: axe-core on each of them, and a keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from tests.browser.axe import obstacles
from tests.browser.screen import DESK, MARIE, PHONE, log_in, screen
from tests.harness import recent, records, send
from tests.mqtt_hub import BROKER, MqttHub
from tests.web_hub import WEB

from motehub.web import pages

JSON: Final = ("-X", "POST", "-H", "Content-Type: application/json")
MOST_KEYS: Final = 100
# These lead elsewhere, or are for who is not logged in.
OUTSIDE: Final = {"/login", "/setup", "/invitation", "/forgotten", "/reset", "/unsubscribe"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MqttHub]:
    """A hub with a device that has alerts and rejected payloads, and one that waits."""
    with MqttHub(tmp_path_factory.mktemp("access") / "data", {**WEB, **BROKER}) as started:
        started.add_person(MARIE, "admin")
        token = started.token("writer", "admin")
        reading = {"device": "oven", "metric": "temperature", "unit": "°C", "value": 230}
        rule = b'{"name": "hot", "metric": "temperature", "above": 200, "severity": "info"}'
        assert started.curl("/api/v1/rules", *JSON, body=rule, token=token)[0] == 201
        assert started.send(reading, token=token)[0] in (200, 202)
        done = started.cli("devices", "accept", "oven")
        assert done.returncode == 0, done.stderr
        for value in (20, 231):
            assert started.send({**reading, "value": value}, token=token)[0] == 200
        assert started.send([reading, {**reading, "value": []}], token=token)[0] >= 200
        started.wait_until(lambda: bool(started.json("alerts", "list")), "there is an alert")
        send(started.port, started.ca, records(recent(3), 3))
        yield started


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (DESK, "dark")])
def test_pages_keep_nobody_out(
    hub: MqttHub, browser: Browser, size: tuple[int, int], scheme: str
) -> None:
    """Each page with all that can be opened on it, in both colours, has labels and contrast."""
    paths = {path for _, path in pages.answers() if not path.startswith("/static/")} - OUTSIDE
    assert len(paths) > 12
    with screen(browser, size, scheme) as page:
        log_in(page, hub.url, MARIE)
        for path in sorted(paths):
            page.goto("about:blank")
            page.goto(hub.url + path + ("#oven" if path == "/device" else ""))
            page.locator("#pulse[data-level]").wait_for()
            if path == "/device":
                expect(page.locator("#refusals")).to_contain_text("no reading")
            page.evaluate(
                "document.querySelectorAll('details').forEach((it) => { it.open = true; })"
            )
            assert obstacles(page) == [], path


def test_pages_for_who_is_not_logged_in_keep_nobody_out(hub: MqttHub, browser: Browser) -> None:
    """So do the pages before the log-in, and what they say of a wrong password."""
    with screen(browser, PHONE, excused="401") as page:
        for path in sorted(OUTSIDE - {"/unsubscribe"}):
            page.goto("about:blank")
            page.goto(hub.url + path + "#none")
            page.locator("h1").wait_for()
            assert obstacles(page) == [], path
        page.goto(f"{hub.url}/login")
        page.get_by_label("Name").fill("marie")
        page.get_by_label("Password").fill("not that one")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).not_to_be_empty()
        assert obstacles(page) == []


def test_what_went_wrong_keeps_nobody_out(hub: MqttHub, browser: Browser) -> None:
    """Errors of forms, a device that there is not and a hub that is away are said to everybody."""
    with screen(browser, PHONE, "dark", excused="40[0-9]|ERR_") as page:
        log_in(page, hub.url, MARIE)
        page.goto(f"{hub.url}/device#oven")
        page.get_by_label("New name").fill("o" * 300)
        page.get_by_role("button", name="Rename").click()
        expect(page.locator("#deciding [role=alert]").first).not_to_be_empty()
        assert obstacles(page) == []
        page.goto(f"{hub.url}/settings")
        form = page.locator("#password")
        form.get_by_label("Present password").fill("not that one")
        form.get_by_label("New password").fill("four damp seedlings")
        form.get_by_role("button").click()
        expect(form.get_by_role("alert")).not_to_be_empty()
        assert obstacles(page) == []
        page.goto(f"{hub.url}/device#nobody")
        expect(page.locator("main")).to_contain_text("no device called nobody")
        assert obstacles(page) == []
        page.goto(f"{hub.url}/")
        page.locator("#devices .card").first.wait_for()
        page.route("**/api/v1/**", lambda route: route.abort())
        page.context.set_offline(True)
        page.evaluate("dispatchEvent(new Event('online'))")
        expect(page.locator("#state")).not_to_be_empty()
        assert obstacles(page) == []


def reach(page: Page, wanted: Locator) -> None:
    """Go on with the keyboard until ``wanted`` has the focus, which must be seen."""
    expect(wanted).to_be_visible()
    for _ in range(MOST_KEYS):
        page.keyboard.press("Tab")
        if wanted.evaluate("(it) => it === document.activeElement"):
            break
    expect(wanted).to_be_focused()
    assert wanted.evaluate("(it) => getComputedStyle(it).outlineStyle") == "solid"


def test_a_keyboard_is_enough(hub: MqttHub, browser: Browser) -> None:
    """A device is accepted and an alert acknowledged without a mouse."""
    with screen(browser) as page:
        log_in(page, hub.url, MARIE)
        waiting = page.locator("#pending .card").filter(has_text="dht-")
        reach(page, waiting.get_by_role("button", name="Accept"))
        page.keyboard.press("Enter")
        expect(page.locator("#pending")).to_be_hidden()
        reach(page, page.locator("#pages").get_by_role("link", name="Alerts"))
        page.keyboard.press("Enter")
        alert = page.locator("#alerts > li").filter(has_text="is 231 °C")
        reach(page, alert.get_by_role("button", name="Acknowledge"))
        page.keyboard.press("Enter")
        expect(alert).to_contain_text("acknowledged")
