"""The demonstration as people see it: one link, and everything moves."""

from __future__ import annotations

from typing import Final

import pytest
from playwright.sync_api import Browser, expect
from tests.browser.screen import DESK, PHONE, keep, screen
from tests.demo_run import demo

DEVICES: Final = ("greenhouse", "workshop", "living-room", "balcony", "board01", "soil", "lamp")


def test_the_link_leads_to_devices_that_live(
    tmp_path_factory: pytest.TempPathFactory, browser: Browser
) -> None:
    """The LED and the lamp obey from the overview, for all who look on."""
    with (
        demo(tmp_path_factory.mktemp("d")) as run,
        screen(browser, DESK) as one,
        screen(browser, PHONE, "dark") as other,
    ):
        for page in (one, other):
            page.goto(run.link)
            for name in DEVICES:
                expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
            expect(page.locator("#pending")).to_contain_text("dht-127.0.0.2")
        led = one.get_by_role("switch", name="led of board01")
        led.click()
        there = other.get_by_role("switch", name="led of board01")
        for switch in (led, there):
            expect(switch).to_have_attribute("aria-checked", "true")
        one.get_by_label("colour of lamp").fill("#ff8800")
        lamps = [
            page.locator(".card").filter(has=page.get_by_role("link", name="lamp", exact=True))
            for page in (one, other)
        ]
        for lamp in lamps:
            expect(lamp).to_contain_text("sent")
        assert other.get_by_label("colour of lamp").input_value() == "#ff8800"
        keep(one, "demo")
        keep(other, "demo-phone-dark")
        one.get_by_role("link", name="greenhouse", exact=True).click()
        one.get_by_role("button", name="7 d").click()
        expect(one.get_by_role("img", name="temperature: from")).to_be_visible()
        keep(one, "demo-week")
