"""What is missing, and the bands of states, on the page of a device."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.browser.axe import obstacles
from tests.browser.screen import DESK, MARIE, PHONE, keep, log_in, screen
from tests.harness import OPEN, PATIENCE
from tests.web_hub import WEB, WebHub

DAY: Final = 86_400
MINUTE: Final = 60


def noon() -> str:
    """A zone in which it is about noon, so that no day begins meanwhile."""
    # These names count to the west.
    return f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"


def midnight(zone: str) -> float:
    now = datetime.now(ZoneInfo(zone))
    return now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebHub]:
    """A hub with a device of three days: it lost half an hour, the hub three."""
    zone = noon()
    settings = {**OPEN, **WEB, "hub": {"admission": "open", "time_zone": zone}}
    with WebHub(tmp_path_factory.mktemp("quality") / "data", settings) as started:
        started.add_person(MARIE, "admin")
        token = started.token("writer")
        begin = midnight(zone) - 2 * DAY
        off = begin + 30 * 3600, begin + 33 * 3600
        times = [begin + n * MINUTE for n in range(int((time.time() - begin) // MINUTE))]
        lost = range(600, 630)
        kept = [
            at for n, at in enumerate(times) if n not in lost and not off[0] - 1 < at < off[1] - 1
        ]
        level = [_reading("level", at, 20 + at % 7) for at in kept]
        door = [_reading("door", at, "open" if at % 7200 < 1800 else "shut") for at in kept[::10]]
        assert started.send(level + door, token=token)[0] == 200
        assert started.send(level[-40:], token=token)[0] == 200
        done = started.cli("devices", "calibrate", "barn", "level", "--high", "100")
        assert done.returncode == 0, done.stderr
        started.send([_reading("level", time.time(), 900.0)], token=token)
        started.wait_folded()
        with closing(sqlite3.connect(started.data / "motehub.db", timeout=PATIENCE)) as db, db:
            # What a hub notes that was off for three hours: no test waits for so long.
            db.execute(
                "INSERT INTO hub_away VALUES (?, ?)", [round(one * 1_000_000) for one in off]
            )
        yield started


def _reading(metric: str, at: float, value: float | str) -> dict[str, Any]:
    return {"device": "barn", "metric": metric, "value": value, "time": at}


def shown(page: Page, hub: WebHub) -> None:
    """Open the page of the device, with days and bands."""
    page.goto(f"{hub.url}/device#barn")
    expect(page.locator("#days li")).to_have_count(7)
    expect(page.locator("svg.bands").first).to_be_visible()


def test_each_day_says_what_is_missing_and_why(hub: WebHub, browser: Browser) -> None:
    """What the hub was off for is no loss of the device; what came twice, or is wrong, is told."""
    with screen(browser) as page:
        log_in(page, hub.url, MARIE)
        shown(page, hub)
        days = page.locator("#days li")
        expect(days.nth(3).locator(".note")).to_have_text("0 readings")
        expect(days.nth(4)).to_contain_text("97.92 %")
        expect(days.nth(4)).to_contain_text("1,410 of 1,440")
        expect(days.nth(5)).to_contain_text("100 %")
        expect(days.nth(5)).to_contain_text("1,260 of 1,260")
        expect(days.nth(5)).to_contain_text("the hub was off for 3 hours")
        expect(days.nth(6)).to_contain_text("sent twice")
        expect(days.nth(6)).to_contain_text("1 rejected")
        page.locator("#gap-list summary").click()
        gaps = page.locator("#gaps li")
        expect(gaps.nth(0)).to_contain_text("180 while the hub was off")
        expect(gaps.nth(1)).to_contain_text("30 missing")


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_days_and_bands_keep_nobody_out(
    hub: WebHub, browser: Browser, scheme: str, size: tuple[int, int]
) -> None:
    """In both themes, with all that can be opened open, and nothing beyond the screen's edge."""
    with screen(browser, size, scheme) as page:
        log_in(page, hub.url, MARIE)
        shown(page, hub)
        page.locator("#gap-list summary").click()
        assert obstacles(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        keep(page, f"quality-{'phone' if size == PHONE else 'desk'}-{scheme}")


def test_it_is_said_in_french(hub: WebHub, browser: Browser) -> None:
    """With the numbers as they are written there."""
    with screen(browser, locale="fr-FR") as page:
        log_in(page, hub.url, MARIE)
        shown(page, hub)
        expect(page.locator("#days li").nth(5)).to_contain_text("hub arrêté pendant 3 heures")
        expect(page.locator("#days li").nth(6)).to_contain_text("1 refusée")


def test_a_rule_about_what_nobody_knows_is_added_with_a_hint(hub: WebHub, browser: Browser) -> None:
    """The page says which name may have been meant."""
    with screen(browser) as page:
        log_in(page, hub.url, MARIE)
        page.goto(f"{hub.url}/alerts")
        form = page.locator("#rule")
        form.locator("[name=name]").fill("typo")
        form.locator("[name=metric]").fill("levle")
        form.locator("[name=above]").fill("3")
        page.locator("#keep").click()
        expect(page.locator("#previewed")).to_contain_text("Did you mean 'level'?")


def test_what_is_estimated_is_expected_when_an_administrator_says_so(
    hub: WebHub, browser: Browser
) -> None:
    """With one button; from then on the rule about silence is about this device, too."""
    with screen(browser) as page:
        log_in(page, hub.url, MARIE)
        shown(page, hub)
        expect(page.locator("#basis")).to_contain_text("This is an estimate")
        page.get_by_role("button", name="Expect that").click()
        expect(page.locator("#basis")).to_have_text("level is expected every 60 seconds.")
    done = hub.cli("devices", "quality", "barn", "--format", "json")
    found = json.loads(done.stdout)
    assert (found["basis"], found["interval"]) == ("given", MINUTE)
