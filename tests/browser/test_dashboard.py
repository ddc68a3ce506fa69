"""The pages, as people use them: in a browser, beside devices that speak."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from tests.browser.board import Board
from tests.browser.screen import DESK, LATE, MARIE, PHONE, VERA, keep, log_in, screen
from tests.harness import OPEN, recent, records, send
from tests.mqtt_hub import BROKER, MqttHub
from tests.ports import free_port
from tests.web_hub import WEB


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MqttHub]:
    """A hub with an administrator, a viewer, and three devices with a day of history."""
    settings = {**OPEN, **WEB, **BROKER}
    with MqttHub(tmp_path_factory.mktemp("pages") / "data", settings) as started:
        started.add_person(MARIE, "admin")
        started.add_person(VERA)
        token = started.token("writer")
        for number, name in enumerate(("cellar", "greenhouse", "roof")):
            assert started.send(a_day(name, number), token=token)[0] == 200
        text = {"device": "roof", "metric": "window", "value": "open"}
        assert started.send(text, token=token)[0] == 200
        # Pages wait for the history for seconds, and this is a lot.
        started.wait_folded()
        yield started


def a_day(device: str, phase: int) -> list[dict[str, Any]]:
    """A reading a minute with two hours missing, until now."""
    now = time.time()
    times = [now - 60 * number for number in range(1440, -1, -1) if not 600 < number < 720]
    return [
        {"device": device, "metric": metric, "unit": unit, "value": round(value, 2), "time": at}
        for at in times
        for metric, unit, value in (
            ("temperature", "°C", 19 + 4 * math.sin(at / 9000 + phase) + 0.2 * math.sin(at)),
            ("relative_humidity", "%", 55 + 9 * math.cos(at / 9000 + phase)),
        )
    ]


def card(page: Page, name: str) -> Locator:
    return page.locator(".card").filter(has=page.get_by_role("link", name=name, exact=True))


def value(page: Page, name: str, metric: str) -> Locator:
    """What stands beside a metric on a device's card."""
    rows = card(page, name).locator("dl > div")
    return rows.filter(has=page.locator("dt").get_by_text(metric, exact=True)).locator(".value")


def chart(page: Page, metric: str) -> Locator:
    """The chart of a metric once it shows readings."""
    return page.get_by_role("img", name=re.compile(f"^{metric}: from "))


def test_from_the_first_link_to_the_log_out(tmp_path: Path, browser: Browser) -> None:
    """An administrator is made, accepts what comes, looks at it, and leaves; without a reload."""
    with (
        MqttHub(tmp_path / "data", {**WEB, **BROKER}) as hub,
        screen(browser, PHONE, excused=LATE) as page,
    ):
        (line,) = [line for line in hub.log.splitlines() if "/setup#" in line]
        page.goto(line.split()[-1])
        page.get_by_label("Name").fill("marie")
        page.get_by_label("Password").fill(MARIE["password"])
        page.get_by_role("button", name="Become administrator").click()
        page.get_by_role("link", name="Devices", exact=True).click()
        expect(page.get_by_text("No device has said anything yet")).to_be_visible()
        page.evaluate("window.same = true")

        send(hub.port, hub.ca, records(recent(3), 3))
        new = page.locator("#pending .card").filter(has_text="dht-127.0.0.1")
        expect(new).to_contain_text("dht-127.0.0.1")
        expect(new).to_contain_text("6 readings so far")
        expect(new).to_contain_text("20.2 °C")
        keep(page, "pending-phone")
        new.get_by_label("Name").fill("greenhouse")
        board = Board(hub.mqtt_port)
        board.ask()
        another = page.locator("#pending .card").filter(has_text="capteur01")
        expect(another.get_by_label("Name")).to_be_visible()
        board.close()
        # Who is writing goes on when another device appears.
        expect(new.get_by_label("Name")).to_have_value("greenhouse")
        expect(new.get_by_label("Name")).to_be_focused()
        another.get_by_role("button", name="Block").click()
        expect(another).to_have_count(0)
        new.get_by_role("button", name="Accept").click()
        expect(value(page, "greenhouse", "temperature")).to_have_text("20.2 °C")
        expect(page.locator("#pending")).to_be_hidden()
        send(hub.port, hub.ca, records(int(time.time()), 1, 61))
        expect(value(page, "greenhouse", "relative humidity")).to_have_text("61 %")
        assert page.evaluate("window.same") is True

        page.get_by_role("link", name="greenhouse").click()
        expect(chart(page, "temperature")).to_be_visible()
        page.get_by_label("New name").fill("cellar")
        page.get_by_role("button", name="Rename").click()
        expect(page.get_by_role("heading", name="cellar")).to_be_visible()
        expect(page.locator("#happened")).to_contain_text("renamed")
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_a_led_is_switched_when_its_board_says_so(hub: MqttHub, browser: Browser) -> None:
    """A switch is pending for all who look on, until the board confirms."""
    board = Board(hub.mqtt_port)
    try:
        with screen(browser) as one, screen(browser, PHONE, "dark") as other:
            for page in (one, other):
                # Commands are told to those who follow the hub when they are given.
                with page.expect_response("**/api/v1/stream"):
                    log_in(page, hub.url, MARIE)
            board.ask()
            board.join()
            here, there = (
                page.get_by_role("switch", name="led of capteur01") for page in (one, other)
            )
            for switch in (here, there):
                expect(switch).to_have_attribute("aria-checked", "false")
            here.click()
            assert board.next() == ("led/command", f"{board.claim};1")
            for page in (one, other):
                expect(card(page, "capteur01")).to_contain_text("pending: sent")
            keep(one, "led-pending")
            for switch in (here, there):
                assert switch.get_attribute("aria-checked") == "false"
            board.report("1")
            for page, switch in ((one, here), (other, there)):
                expect(switch).to_have_attribute("aria-checked", "true")
                expect(card(page, "capteur01")).to_contain_text("confirmed")
            one.goto(f"{hub.url}/device#capteur01")
            one.get_by_label("Set").fill("led")
            one.get_by_label("to", exact=True).fill("5")
            one.get_by_role("button", name="Send").first.click()
            expect(one.locator("#given")).to_contain_text("failed: ")
            expect(one.locator("#given")).to_contain_text("0 or 1")
    finally:
        board.close()


def test_values_and_silence_show_on_all_pages(hub: MqttHub, browser: Browser) -> None:
    """A new value is on two pages at once; who says nothing for long is silent on both."""
    owner = hub.token("owner", "admin", "--scope", "write")
    reading = {"device": "clock", "metric": "ticks", "value": 1}
    assert hub.send(reading, token=owner)[0] == 200
    with screen(browser) as one, screen(browser, PHONE, "dark") as other:
        for page in (one, other):
            log_in(page, hub.url, MARIE)
            expect(value(page, "clock", "ticks")).to_have_text("1")
            page.evaluate("window.same = true")
        assert hub.send({**reading, "value": 2}, token=owner)[0] == 200
        for page in (one, other):
            expect(value(page, "clock", "ticks")).to_have_text("2")
            expect(card(page, "clock")).to_have_attribute("data-kind", "online")
        json = ("-X", "PATCH", "-H", "Content-Type: application/json")
        status = hub.curl("/api/v1/devices/clock", *json, body=b'{"interval": 0.1}', token=owner)[0]
        assert status == 200
        for page in (one, other):
            expect(card(page, "clock")).to_have_attribute("data-kind", "silent")
            assert page.evaluate("window.same") is True


def test_a_part_of_a_chart_is_loaded_finer(hub: MqttHub, browser: Browser) -> None:
    """Who draws over a part of a chart gets that part anew, and comes back to what is now."""
    with screen(browser) as page:
        log_in(page, hub.url, MARIE)
        page.goto(f"{hub.url}/device#greenhouse")
        expect(chart(page, "temperature")).to_be_visible()
        over = page.locator(".u-over").first.bounding_box()
        assert over is not None
        with page.expect_request(lambda request: "to=" in request.url) as finer:
            page.mouse.move(over["x"] + 100, over["y"] + 50)
            page.mouse.down()
            page.mouse.move(over["x"] + 200, over["y"] + 60, steps=4)
            page.mouse.up()
        assert "points=600" in finer.value.url
        expect(page.locator(".ranges [role=status]")).to_contain_text("–")
        page.get_by_role("button", name="1 h", exact=True).click()
        expect(page.locator(".ranges [role=status]")).to_have_text("")
        assert (
            hub.send(
                {"device": "greenhouse", "metric": "temperature", "unit": "°C", "value": 44},
                token=hub.token("tail"),
            )[0]
            == 200
        )
        expect(
            page.get_by_role("img", name=re.compile("^temperature: .* 44 °C at the end"))
        ).to_be_visible()


def test_the_filter(hub: MqttHub, browser: Browser) -> None:
    """Words leave the cards that have them all, in their names or metrics."""
    with screen(browser) as page:
        log_in(page, hub.url, MARIE)
        expect(value(page, "roof", "window")).to_have_text("open")
        page.get_by_label("Filter").fill("wind roo")
        expect(card(page, "roof")).to_be_visible()
        expect(card(page, "cellar")).to_be_hidden()
        expect(page.locator("#count")).to_contain_text("1 of ")
        page.get_by_label("Filter").fill("")
        page.get_by_label("Show").select_option("blocked")
        expect(card(page, "roof")).to_be_hidden()


def test_a_viewer_sees_no_control(hub: MqttHub, browser: Browser) -> None:
    """Who may only look has nothing to switch, to send or to decide."""
    with screen(browser) as page:
        log_in(page, hub.url, VERA)
        expect(value(page, "cellar", "temperature")).to_contain_text("°C")
        assert page.get_by_role("switch").count() == 0
        page.goto(f"{hub.url}/device#cellar")
        expect(chart(page, "temperature")).to_be_visible()
        expect(page.get_by_role("button", name="Send")).to_have_count(0)
        expect(page.locator("#deciding")).to_be_hidden()


def test_what_devices_say_is_text(hub: MqttHub, browser: Browser) -> None:
    """Markup in names, metrics, texts and rejected payloads stays what it is: text."""
    bad = "<img src=x onerror=alert(1)>"
    token = hub.token("rude")
    said = [
        {"device": bad, "metric": bad, "value": bad},
        {"device": bad, "metric": "n", "unit": "<b>", "value": 1},
    ]
    assert hub.send(said, token=token)[0] == 200
    refused = hub.send({"device": bad, "metric": bad, "value": [bad]}, token=token)
    assert refused[0] >= 400
    with screen(browser) as page:
        page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        log_in(page, hub.url, MARIE)
        expect(value(page, bad, bad)).to_have_text(bad)
        page.get_by_role("link", name=bad).click()
        expect(page.get_by_role("heading", name=bad)).to_be_visible()
        expect(page.locator("#now")).to_contain_text(bad)
        expect(chart(page, "n")).to_be_visible()
        assert page.locator("main img[src]").count() == 0


def test_a_page_outlives_its_hub(tmp_path: Path, browser: Browser) -> None:
    """A page that stays open goes on by itself when the hub has been started again."""
    port = free_port()
    settings = {**OPEN, "web": {"host": "127.0.0.1", "port": port}}
    with (
        MqttHub(tmp_path / "data", settings) as hub,
        screen(browser, excused="Failed to load resource|ERR_") as page,
    ):
        hub.add_person(MARIE, "admin")
        token = hub.token("writer")
        assert hub.send({"device": "tank", "metric": "level", "value": 1}, token=token)[0] == 200
        log_in(page, hub.url, MARIE)
        expect(value(page, "tank", "level")).to_have_text("1")
        hub.kill()
        expect(page.locator("#state")).to_contain_text("The hub does not answer")
        hub.start()
        assert hub.send({"device": "tank", "metric": "level", "value": 2}, token=token)[0] == 200
        expect(value(page, "tank", "level")).to_have_text("2")
        expect(page.locator("#state")).to_have_text("")


def test_pages_that_were_away_find_what_was_renamed(tmp_path: Path, browser: Browser) -> None:
    """Who missed a rename and a removal sees the present devices, and goes on where they were."""
    settings = {**OPEN, "web": {"host": "127.0.0.1", "port": free_port()}}
    with MqttHub(tmp_path / "data", settings) as hub, ExitStack() as stack:
        hub.add_person(MARIE, "admin")
        admin = hub.token("admin", "admin", "--scope", "write")
        for name in ("tank", "pond"):
            reading = {"device": name, "metric": "level", "value": 1}
            assert hub.send(reading, token=admin)[0] == 200
        addresses = ("/", "/device#tank", "/device#pond", "/history#show=tank%2Flevel")
        pages = [
            stack.enter_context(screen(browser, excused="Failed to load resource|ERR_"))
            for _ in addresses
        ]
        for page, address in zip(pages, addresses, strict=True):
            log_in(page, hub.url, MARIE)
            page.goto(hub.url + address)
        overview, tank, pond, history = pages
        expect(value(overview, "tank", "level")).to_have_text("1")
        for page in (tank, pond):
            expect(page.locator("#now")).to_contain_text("level")
        expect(history.locator("#legend")).to_contain_text("tank")
        expect(card(history, "tank")).to_be_visible()
        for page in pages:
            page.route("**/api/v1/stream**", lambda route: route.abort())
        hub.kill()
        hub.start()
        body = b'{"name": "basin"}'
        json = ("-X", "PATCH", "-H", "Content-Type: application/json")
        assert hub.curl("/api/v1/devices/tank", *json, body=body, token=admin)[0] == 200
        assert hub.curl("/api/v1/devices/pond", "-X", "DELETE", token=admin)[0] == 204
        for page in pages:
            page.unroute("**/api/v1/stream**")
        expect(value(overview, "basin", "level")).to_have_text("1")
        for name in ("tank", "pond"):
            expect(card(overview, name)).to_have_count(0)
        expect(tank.get_by_role("heading", name="basin")).to_be_visible()
        expect(pond.locator("main")).to_contain_text("pond has been removed.")
        expect(history.locator("#legend")).to_contain_text("basin")
        expect(history.locator("#legend")).not_to_contain_text("tank")


def test_an_address_without_a_device_says_so(hub: MqttHub, browser: Browser) -> None:
    """The page of a device that there is not has nothing on it but the reason and a way back."""
    with screen(browser, excused="404") as page:
        log_in(page, hub.url, MARIE)
        for address, text in (("", "names no device"), ("#nobody", "no device called nobody")):
            page.goto(f"{hub.url}/login")
            page.goto(f"{hub.url}/device{address}")
            expect(page.locator("main")).to_contain_text(text)
            expect(page.get_by_role("link", name="All devices")).to_be_visible()
            expect(page.get_by_role("button", name="1 h")).to_have_count(0)


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit(hub: MqttHub, browser: Browser, size: tuple[int, int], scheme: str) -> None:
    """Nothing sticks out at the side, on a phone neither; pictures of the pages are kept."""
    names = {PHONE: "phone", DESK: "desk"}
    with screen(browser, size, scheme) as page:
        log_in(page, hub.url, MARIE)
        for name in ("cellar", "greenhouse", "roof"):
            card(page, name).scroll_into_view_if_needed()
            expect(card(page, name).locator("path[d^=M]").first).to_be_attached()
        page.evaluate("scrollTo(0, 0)")
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        keep(page, f"overview-{names[size]}-{scheme}")
        page.goto(f"{hub.url}/device#greenhouse")
        expect(chart(page, "temperature")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        keep(page, f"device-{names[size]}-{scheme}")
