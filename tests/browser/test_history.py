"""History, comparison, what is said of devices, order and wall screen: as people use them."""

from __future__ import annotations

import csv
import io
import math
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Download, Locator, Page, Request, Response, expect
from tests.browser.axe import obstacles
from tests.browser.screen import (
    DESK,
    LATE,
    MARIE,
    PHONE,
    VERA,
    keep,
    late,
    log_in,
    screen,
    unanswered,
)
from tests.harness import OPEN, recent, records, send
from tests.ports import free_port
from tests.web_hub import WebHub

BAD: Final = "<img src=x onerror=alert(1)>"
AWAY: Final = "Failed to load resource|ERR_"
"""What a browser says of a hub that is gone."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebHub]:
    """A hub on a port that it keeps, with an administrator, a viewer and two days of history."""
    web = {"host": "127.0.0.1", "port": free_port()}
    units = {"updatable_units": ["127.0.9.9"]}
    settings = {**OPEN, "web": web, "transport.units": units}
    with WebHub(tmp_path_factory.mktemp("history") / "data", settings) as started:
        started.add_person(MARIE, "admin")
        started.add_person(VERA)
        token = started.token("writer")
        for number, name in enumerate(("cellar", "greenhouse", "roof", "tank")):
            assert started.send(two_days(name, number), token=token)[0] == 200
        said = [
            {"device": BAD, "metric": BAD, "value": BAD},
            {"device": BAD, "metric": "n", "unit": "<b>", "value": 1},
        ]
        assert started.send(said, token=token)[0] == 200
        send(started.port, started.ca, records(recent(3), 3) + f"{BAD}\n".encode())
        started.wait_stored("dht-127.0.0.1", "temperature", 3)
        # Pages wait for the history for seconds, and this is a lot.
        started.wait_folded()
        yield started


def two_days(device: str, phase: int) -> list[dict[str, Any]]:
    """A reading each half minute with three hours missing, until now."""
    now = time.time()
    times = [now - 30 * number for number in range(5760, -1, -1) if not 1200 < number < 1560]
    metrics: tuple[tuple[str, str, Callable[[float], float]], ...] = (
        ("temperature", "°C", lambda at: 19 + 4 * math.sin(at / 9000 + phase) + math.sin(at) / 5),
        ("relative_humidity", "%", lambda at: 55 + 9 * math.cos(at / 9000 + phase)),
        ("level", "", lambda at: 100 + 50 * math.sin(at / 30_000 + phase)),
    )
    return [
        {"device": device, "metric": metric, "unit": unit, "value": round(of(at), 2), "time": at}
        for at in times
        for metric, unit, of in metrics
    ]


def device(page: Page, name: str) -> Locator:
    """What the history or the overview shows of a device."""
    return page.locator(".card").filter(has=page.get_by_role("link", name=name, exact=True))


def tick(page: Page, name: str, metric: str) -> None:
    row = device(page, name)
    row.scroll_into_view_if_needed()
    row.get_by_label(metric, exact=True).check()


def lines(page: Page, *wanted: str) -> Locator:
    """The chart once it has those lines, and each of them a value at its end."""
    chart = page.locator("#chart")
    for one in wanted:
        expect(chart).to_have_attribute("aria-label", re.compile(rf"{re.escape(one)}: -?\d"))
    return chart


def rows_of(download: Download) -> list[list[str]]:
    return list(csv.reader(io.StringIO(Path(download.path()).read_text("utf-8"))))


def test_any_series_are_compared(hub: WebHub, browser: Browser, tmp_path: Path) -> None:
    """Series of several devices share a chart, whose address says what it shows and since when."""
    with screen(browser) as page:
        log_in(page, hub.url, MARIE)
        page.get_by_role("link", name="History").click()
        tick(page, "cellar", "temperature")
        tick(page, "greenhouse", "temperature")
        tick(page, "greenhouse", "relative humidity")
        lines(page, "cellar · temperature", "greenhouse · relative humidity")
        page.evaluate("scrollTo(0, 0)")
        over = page.locator(".u-over").bounding_box()
        assert over is not None
        with page.expect_request(lambda one: "device=cellar" in one.url and "to=" in one.url) as on:
            page.mouse.move(over["x"] + 300, over["y"] + 50)
            page.mouse.down()
            page.mouse.move(over["x"] + 400, over["y"] + 60, steps=4)
            page.mouse.up()
        answer = on.value.response()
        assert answer is not None
        finer = answer.json()["series"][0]
        assert finer["width"] < 60, "24 hours of 600 points have 144 s each"
        expect(page.locator(".ranges [role=status]")).to_contain_text("–")
        address = page.url
        keep(page, "history-zoomed")

        with page.expect_download() as drawn:
            page.get_by_role("link", name="CSV, as drawn").click()
        rows = rows_of(drawn.value)
        of_cellar = [row for row in rows[1:] if row[1:3] == ["cellar", "temperature"]]
        assert [float(row[5]) for row in of_cellar] == finer["mean"]
        with page.expect_download() as whole:
            page.get_by_role("link", name="CSV, all readings").click()
        token = hub.token("reader", "read")
        time_shown = on.value.url.partition("from=")[2]
        since, until = (part.split("&")[0] for part in time_shown.split("&to="))
        path = f"/api/v1/readings?device=cellar&metric=temperature&from={since}&to={until}"
        _, _, body = hub.curl(f"{path}&format=csv&limit=100000", token=token)
        expected = list(csv.reader(io.StringIO(body.decode())))
        rows = rows_of(whole.value)
        assert [
            row for row in rows if row[1:3] in (["cellar", "temperature"], ["device", "metric"])
        ]
        assert [row for row in rows[1:] if row[1:3] == ["cellar", "temperature"]] == expected[1:]
        assert {tuple(row[1:3]) for row in rows[1:]} == {
            ("cellar", "temperature"),
            ("greenhouse", "temperature"),
            ("greenhouse", "relative_humidity"),
        }
        with page.expect_download() as picture:
            page.get_by_role("button", name="Picture").click()
        image = Path(picture.value.path()).read_bytes()
        assert image.startswith(b"\x89PNG")
        (tmp_path / "chart.png").write_bytes(image)

    with screen(browser, excused="401") as other:
        other.goto(address)
        other.get_by_label("Name").fill(VERA["name"])
        other.get_by_label("Password").fill(VERA["password"])
        other.get_by_role("button", name="Log in").click()
        expect(other.locator("#legend li")).to_have_count(3)
        assert other.url == address
        other.get_by_role("button", name="Leave out cellar · temperature").click()
        expect(other.locator("#legend li")).to_have_count(2)
        other.get_by_role("button", name="24 h").click()
        other.reload()
        lines(other, "greenhouse · temperature")
        expect(other.locator("#legend li")).to_have_count(2)


def time_of(request: Request) -> tuple[float, float]:
    """From when to when readings are asked for, in seconds since 1970."""
    parts = parse_qs(urlsplit(request.url).query)
    since, until = (datetime.fromisoformat(parts[key][0]).timestamp() for key in ("from", "to"))
    return since, until


def test_buttons_wheel_and_fingers_move_the_time(hub: WebHub, browser: Browser) -> None:
    """It is asked for what they lead to: earlier, closer, and along with a finger."""

    def is_past(request: Request) -> bool:
        return "/readings?" in request.url and "to=" in request.url

    touch = """([kind, id, x]) => document.querySelector(".u-over").dispatchEvent(
        new PointerEvent(kind, {pointerType: "touch", pointerId: id, clientX: x, bubbles: true}))"""
    with screen(browser) as page:
        log_in(page, hub.url, VERA)
        page.goto(f"{hub.url}/history#show=cellar/temperature")
        lines(page, "cellar · temperature")
        day = 86_400
        before = time.time()
        with page.expect_request(is_past) as earlier:
            page.get_by_role("button", name="Earlier").click()
        since, until = time_of(earlier.value)
        assert until - since == pytest.approx(day, abs=1)
        assert before - 1 < until + day / 2 < time.time() + 1

        over = page.locator(".u-over").bounding_box()
        assert over is not None
        left, middle = over["x"], over["x"] + over["width"] / 2
        page.mouse.move(middle, over["y"] + 50)
        page.keyboard.down("Control")
        with page.expect_request(is_past) as closer:
            page.mouse.wheel(0, -200)
        page.keyboard.up("Control")
        begin, end = time_of(closer.value)
        assert end - begin == pytest.approx(day * 1.002**-200, rel=0.01)
        assert (begin + end) / 2 == pytest.approx((since + until) / 2, abs=day / 100)

        page.keyboard.down("Shift")
        with page.expect_request(is_past) as along:
            page.mouse.wheel(0, -100)
        page.keyboard.up("Shift")
        since, until = time_of(along.value)
        assert until - since == pytest.approx(end - begin, abs=1)
        assert until == pytest.approx(end - 100 / over["width"] * (end - begin), rel=0.01)

        page.evaluate(touch, ["pointerdown", 1, middle])
        with page.expect_request(is_past) as finger:
            page.evaluate(touch, ["pointermove", 1, middle + 100])
        begin, end = time_of(finger.value)
        assert end == pytest.approx(until - 100 / over["width"] * (until - since), abs=60)
        page.evaluate(touch, ["pointerdown", 2, middle - 100])
        with page.expect_request(is_past) as fingers:
            page.evaluate(touch, ["pointermove", 2, left])
        since, until = time_of(fingers.value)
        assert until - since < (end - begin) * 0.8


def test_a_chart_shows_gaps_and_extremes(hub: WebHub, browser: Browser) -> None:
    """Nothing is drawn where nothing was measured; elsewhere a line, and lightly its band."""
    drawn = """hours => {
        const canvas = document.querySelector("figure canvas"), pen = canvas.getContext("2d");
        const box = canvas.getBoundingClientRect(), each = canvas.width / box.width;
        const over = document.querySelector("figure .u-over").getBoundingClientRect();
        const x = (over.left - box.left + over.width * (1 - hours / 24)) * each;
        const y = (over.top - box.top) * each;
        const {data} = pen.getImageData(Math.round(x) - 2, y, 5, over.height * each);
        const found = {line: 0, band: 0};
        for (let i = 0; i < data.length; i += 4) {
            const [red, green, blue, alpha] = data.slice(i, i + 4);
            if (green > red + 40 && green > blue + 10) {
                found[alpha > 150 ? "line" : "band"] += 1;
            }
        }
        return found;
    }"""
    with screen(browser, excused="getImageData") as page:
        log_in(page, hub.url, VERA)
        page.goto(f"{hub.url}/device#greenhouse")
        chart = page.get_by_role("img", name=re.compile("^temperature: from "))
        expect(chart).to_be_visible()
        hub.wait_until(lambda: page.evaluate(drawn, 6)["line"] > 0, "it is drawn")
        for hours in (6, 15):
            found = page.evaluate(drawn, hours)
            assert found["line"] > 0
            assert found["band"] > 0
        assert page.evaluate(drawn, 11.5) == {"line": 0, "band": 0}


def test_the_history_goes_on_by_itself(hub: WebHub, browser: Browser) -> None:
    """New values come first, the oldest of ten go, and the chart's line goes on."""
    token = hub.token("tail")
    reading = {"device": "tank", "metric": "temperature", "unit": "°C", "value": 43.5}
    # A line goes on for a few minutes only.
    assert hub.send({**reading, "time": time.time() - 20}, token=token)[0] == 200
    with screen(browser, PHONE) as page:
        log_in(page, hub.url, VERA)
        page.goto(f"{hub.url}/history#show=tank/temperature&span=3600&filter=tank")
        expect(device(page, "cellar")).to_be_hidden()
        device(page, "tank").scroll_into_view_if_needed()
        values = device(page, "tank").get_by_label("Last values of temperature")
        expect(values.locator("li")).to_have_count(10)
        lines(page, "tank · temperature")
        assert hub.send({**reading, "value": 44.5}, token=token)[0] == 200
        expect(values.locator("li").first).to_contain_text("44.5 °C")
        expect(values.locator("li")).to_have_count(10)
        expect(page.locator("#chart")).to_have_attribute(
            "aria-label", "Chart of tank · temperature: 44.5 °C"
        )


def test_the_filter_knows_what_is_not_in_sight(hub: WebHub, browser: Browser) -> None:
    """Words find devices by what they measure, as people call it, and each has its newest value."""
    token = hub.token("latch")
    said = [{"device": "zulu", "metric": metric, "value": 1} for metric in ("pressure", "led")]
    assert hub.send(said, token=token)[0] == 200
    hub.wait_stored("zulu", "led", 1)
    with screen(browser, PHONE, locale="fr-FR") as page:
        log_in(page, hub.url, VERA)
        expect(device(page, "zulu").locator(".value").last).to_have_text("allumé")
        page.get_by_label("Filtrer").fill("pression")
        expect(device(page, "cellar")).to_be_hidden()
        with unanswered(page, "**/newest?**"):
            page.goto(f"{hub.url}/history")
            expect(device(page, "cellar")).to_be_visible()
            page.get_by_label("Filtrer").fill("pression")
            expect(device(page, "cellar")).to_be_hidden()
            expect(device(page, "zulu")).to_be_visible()
            led = device(page, "zulu").get_by_label(re.compile("Dernières valeurs.*led"))
            expect(led.locator("li")).to_contain_text("allumé")


def test_a_devices_page_hands_out_every_reading(hub: WebHub, browser: Browser) -> None:
    """The CSV of a chart has all readings of the time chosen last, even while it is not drawn."""
    with screen(browser) as page:
        log_in(page, hub.url, VERA)
        page.goto(f"{hub.url}/device#greenhouse")
        figure = page.locator("figure").filter(has_text="relative humidity")
        expect(figure.get_by_role("img")).to_have_attribute("aria-label", re.compile("from "))
        with unanswered(page, "**/readings?**"):
            page.get_by_role("button", name="7 d", exact=True).click()
            with page.expect_download() as file:
                figure.get_by_role("link", name="CSV").click()
        assert "limit=" not in file.value.url
        rows = rows_of(file.value)
        assert rows[0] == ["time", "device", "metric", "value", "unit"]
        assert len(rows) == 1 + len({one["time"] for one in two_days("greenhouse", 1)})
        assert {(row[1], row[2]) for row in rows[1:]} == {("greenhouse", "relative_humidity")}


def test_what_is_said_of_a_device_shows_everywhere(hub: WebHub, browser: Browser) -> None:
    """A name, labels and a unit that one page gives show on all others without a reload."""
    with (
        screen(browser, excused=LATE) as one,
        screen(browser) as other,
        screen(browser, excused=LATE) as third,
    ):
        for page in (one, other, third):
            log_in(page, hub.url, MARIE)
        one.goto(f"{hub.url}/device#roof")
        third.goto(f"{hub.url}/device#roof")
        expect(third.locator("#now")).to_contain_text("level")
        other.goto(f"{hub.url}/history#show=roof/level")
        lines(other, "roof · level")
        other.evaluate("window.same = true")
        expect(one.locator("#facts")).to_contain_text("http:roof")
        one.get_by_role("textbox", name="Labels").fill("outside, <b>high</b>")
        one.get_by_label("Something is expected every").fill("5")
        one.get_by_role("group", name="Units").get_by_label("level").fill("cm")
        one.get_by_role("button", name="Save").click()
        expect(one.locator("#now")).to_contain_text(" cm")
        expect(one.locator("#labels li")).to_have_text(["outside", "<b>high</b>"])
        expect(one.get_by_label("Something is expected every")).to_have_value("5")
        keep(one, "device-said")
        one.get_by_label("New name").fill("ridge")
        one.get_by_role("button", name="Rename").click()
        for page in (one, third):
            expect(page.get_by_role("heading", name="ridge")).to_be_visible()
        expect(device(other, "ridge")).to_be_visible()
        lines(other, "ridge · level")
        assert "show=ridge%2Flevel" in other.url
        assert other.evaluate("window.same") is True
        third.goto(f"{hub.url}/")
        group = third.locator("#devices section").filter(has_text="outside").first
        expect(group.get_by_role("link", name="ridge")).to_be_visible()
        third.get_by_label("Filter").fill("high ridge")
        expect(third.locator("#count")).to_contain_text("1 of ")


def is_arranged(answer: Response) -> bool:
    return "arrangement" in answer.url and answer.request.method == "PUT"


def names(page: Page) -> list[str]:
    """Devices in the order of their cards."""
    shown = page.locator("#devices section").last.locator(".card h3 a").all_inner_texts()
    return [one for one in shown if one in ("cellar", "greenhouse", "tank")]


def test_everybody_has_an_order_of_their_own(hub: WebHub, browser: Browser) -> None:
    """Cards that are dragged, or moved by key, stay there for this person, on any screen."""
    with screen(browser) as page:
        log_in(page, hub.url, MARIE)
        expect(device(page, "tank")).to_be_visible()
        assert names(page) == ["cellar", "greenhouse", "tank"]
        with page.expect_response(is_arranged):
            page.get_by_role("button", name="Move tank").drag_to(device(page, "cellar"))
        assert names(page) == ["tank", "cellar", "greenhouse"]
        page.get_by_role("button", name="Move greenhouse").focus()
        # Devices of other tests may be in between.
        while names(page) != ["tank", "greenhouse", "cellar"]:
            with page.expect_response(is_arranged):
                page.keyboard.press("ArrowUp")
        expect(page.locator("#moved")).to_contain_text("greenhouse is number")
    with screen(browser, PHONE) as phone, screen(browser) as viewer, screen(browser) as page:
        log_in(phone, hub.url, MARIE)
        expect(device(phone, "cellar")).to_be_visible()
        assert names(phone) == ["tank", "greenhouse", "cellar"]
        log_in(page, hub.url, MARIE)
        expect(device(page, "cellar")).to_be_visible()
        page.get_by_role("button", name="Move greenhouse").focus()
        while names(page) != ["greenhouse", "tank", "cellar"]:
            with page.expect_response(is_arranged):
                page.keyboard.press("ArrowUp")
        # What one page does, one's other pages follow at once.
        hub.wait_until(lambda: names(phone) == names(page), "the other page follows")
        log_in(viewer, hub.url, VERA)
        expect(device(viewer, "cellar")).to_be_visible()
        assert names(viewer) == ["cellar", "greenhouse", "tank"]


def test_what_was_moved_stays_there(hub: WebHub, browser: Browser) -> None:
    """Also when an answer comes that is of before."""
    token = hub.token("newcomer")
    with screen(browser) as page:
        log_in(page, hub.url, MARIE)
        expect(device(page, "tank")).to_be_visible()
        before = names(page)
        with late(page, "**/api/v1/overview") as answers:
            assert hub.send({"device": "new", "metric": "n", "value": 1}, token=token)[0] == 200
            hub.wait_until(lambda: page.evaluate("true") and bool(answers), "it is looked up")
            page.get_by_role("button", name=f"Move {before[0]}").focus()
            while names(page) == before:
                with page.expect_response(is_arranged):
                    page.keyboard.press("ArrowDown")
            moved = names(page)
        expect(device(page, "new")).to_be_visible()
        assert names(page) == moved


def test_what_comes_meanwhile_stays(hub: WebHub, browser: Browser) -> None:
    """A reading that comes while those before it are on their way is in the chart with them."""
    token = hub.token("meanwhile")
    with screen(browser) as page:
        log_in(page, hub.url, VERA)
        with late(page, "**/readings?**") as answers:
            page.goto(f"{hub.url}/device#cellar")
            hub.wait_until(lambda: page.evaluate("true") and len(answers) > 1, "they are asked for")
            reading = {"device": "cellar", "metric": "temperature", "unit": "°C", "value": 31.5}
            assert hub.send(reading, token=token)[0] == 200
            expect(page.locator("#now")).to_contain_text("31.5 °C")
        expect(page.get_by_role("img", name="relative humidity: from ")).to_be_visible()
        # An answer may have told the value before the stream does; after a minute all is fetched.
        chart = page.get_by_role("img", name="temperature: from ")
        end = re.compile(" 31.5 °C at the end")
        expect(chart).to_have_attribute("aria-label", end, timeout=30_000)


def test_a_wall_screen_outlives_its_hub(hub: WebHub, browser: Browser) -> None:
    """It has nothing to press, keeps its filter, goes on after a restart, and Escape leaves it."""
    token = hub.token("wall")
    reading = {"device": "cellar", "metric": "temperature", "unit": "°C", "value": 32.5}
    # A line goes on for a few minutes only.
    assert hub.send(reading, token=token)[0] == 200
    with screen(browser, excused=AWAY) as page, screen(browser, excused=AWAY) as past:
        log_in(past, hub.url, MARIE)
        past.goto(f"{hub.url}/history#show=cellar/temperature&span=3600")
        lines(past, "cellar · temperature")
        log_in(page, hub.url, MARIE)
        page.get_by_label("Filter").fill("cellar")
        page.get_by_role("button", name="Wall screen", exact=True).click()
        expect(page.get_by_label("Filter")).to_be_hidden()
        assert page.url.endswith("/#wall&filter=cellar")
        page.reload()
        expect(device(page, "cellar")).to_be_visible()
        expect(device(page, "greenhouse")).to_be_hidden()
        expect(page.get_by_role("button", name="Move cellar")).to_be_hidden()
        assert obstacles(page) == []
        keep(page, "wall")
        hub.kill()
        expect(page.locator("#state")).to_contain_text("The hub does not answer")
        hub.start()
        assert hub.send({**reading, "value": 33.5}, token=token)[0] == 200
        expect(device(page, "cellar")).to_contain_text("33.5 °C")
        expect(past.locator("#chart")).to_have_attribute("aria-label", re.compile("33.5 °C"))
        page.keyboard.press("Escape")
        expect(page.get_by_label("Filter")).to_be_visible()


def test_a_lamp_is_given_a_colour(hub: WebHub, browser: Browser) -> None:
    """A colour is pending until it has arrived, and what went wrong is said; viewers see none."""
    with screen(browser) as page, screen(browser) as viewer:
        log_in(page, hub.url, MARIE)
        log_in(viewer, hub.url, VERA)
        lamp = page.get_by_label("Colour of 127.0.9.9")
        lamp.fill("#ff8800")
        expect(device(page, "127.0.9.9")).to_contain_text("pending")
        page.reload()
        expect(lamp).to_have_value("#ff8800")
        expect(device(page, "127.0.9.9")).to_contain_text("pending")
        expect(device(viewer, "127.0.9.9")).to_be_visible()
        expect(viewer.get_by_label("Colour of 127.0.9.9")).to_have_count(0)
        page.goto(f"{hub.url}/device#127.0.9.9")
        expect(page.locator("#given")).to_contain_text("#ff8800")


def test_what_devices_say_is_text_in_the_history(hub: WebHub, browser: Browser) -> None:
    """Markup in names, metrics, units and texts stays what it is."""
    with screen(browser) as page:
        page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        log_in(page, hub.url, MARIE)
        page.goto(f"{hub.url}/history")
        tick(page, BAD, "n")
        expect(device(page, BAD).locator("ol").filter(has_text=BAD)).to_be_visible()
        lines(page, f"{BAD} · n")
        expect(page.locator("#legend")).to_contain_text(f"{BAD} · n")
        assert page.locator("main img[src]").count() == 0
        page.goto(f"{hub.url}/device#dht-127.0.0.1")
        expect(page.locator("#refusals")).to_contain_text(BAD)
        assert page.locator("main img[src]").count() == 0


def test_a_device_is_blocked_and_removed(hub: WebHub, browser: Browser) -> None:
    """Who decides can block a device, accept it again and remove it, from its page."""
    token = hub.token("brief")
    assert hub.send({"device": "brief", "metric": "n", "value": 1}, token=token)[0] == 200
    with screen(browser, excused=LATE) as page:
        log_in(page, hub.url, MARIE)
        page.goto(f"{hub.url}/device#brief")
        page.get_by_role("button", name="Block").click()
        expect(page.locator("#about")).to_have_text("blocked")
        page.get_by_role("button", name="Accept").click()
        expect(page.locator("#about")).not_to_have_text("blocked")
        page.get_by_text("Remove…").click()
        page.get_by_role("button", name="Remove for good").click()
        page.wait_for_url(f"{hub.url}/")
        expect(device(page, "cellar")).to_be_visible()
        expect(device(page, "brief")).to_have_count(0)


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_history_fits(
    hub: WebHub, browser: Browser, size: tuple[int, int], scheme: str
) -> None:
    """Nothing sticks out at the side, axe-core objects to nothing; pictures are kept."""
    name = f"{'phone' if size is PHONE else 'desk'}-{scheme}"
    with screen(browser, size, scheme) as page:
        log_in(page, hub.url, MARIE)
        expect(device(page, "cellar")).to_contain_text("°C")
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        keep(page, f"groups-{name}")
        shown = ["cellar/temperature", "greenhouse/temperature", "tank/relative_humidity"]
        parts = "&".join(f"show={one}" for one in shown)
        page.goto(f"{hub.url}/history#{parts}")
        lines(page, "cellar · temperature", "tank · relative humidity")
        device(page, "cellar").scroll_into_view_if_needed()
        expect(device(page, "cellar").locator("ol li").first).to_be_visible()
        page.evaluate("scrollTo(0, 0)")
        assert obstacles(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        keep(page, f"history-{name}")
