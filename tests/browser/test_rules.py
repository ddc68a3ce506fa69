"""Rules of every kind, and devices in maintenance, as people use them in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, expect
from tests.browser.axe import obstacles
from tests.browser.screen import MARIE, PHONE, keep, log_in, screen
from tests.harness import OPEN
from tests.web_hub import WEB, WebHub

OTHERS: Final = {
    "rises": ("By more than", "3"),
    "equals": ("This text or number", "on"),
    "stuck": ("For so many hours", "2"),
    "silent": ("For how long", "30m"),
}
"""Kinds of rules, and what they ask for beside a metric."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebHub]:
    """A hub with an administrator and a freezer."""
    with WebHub(tmp_path_factory.mktemp("rules") / "data", {**OPEN, **WEB}) as started:
        started.add_person(MARIE, "admin")
        reading = {"device": "freezer", "metric": "temperature", "unit": "°C", "value": -20}
        assert started.send(reading, token=started.token("writer"))[0] == 200
        yield started


def kept(hub: WebHub, name: str) -> dict[str, Any]:
    (row,) = (one for one in hub.json("rules", "list") if one["name"] == name)
    return dict(row)


def test_a_rule_says_all_that_it_can_and_is_changed(hub: WebHub, browser: Browser) -> None:
    """What is misspelt is not taken; what is shown of it again is what was said."""
    with screen(browser, excused="status of 400") as page:
        log_in(page, hub.url, MARIE)
        page.goto(f"{hub.url}/alerts")
        form, rules = page.locator("#rule"), page.locator("#rules")
        form.locator("summary").click()
        form.get_by_label("It fires when").select_option("outside")
        said = {
            "Name of the rule": "band",
            "Labels": "cold, kitchen",
            "What is looked at": "temperature",
            "Lower limit": "-25",
            "Upper limit": "-15.5",
            "Over when so far": "0.5",
            "For at least": "1.5",
            "Over when well": "2",
            "Told again": "60",
            "Quiet hours": "22:00-07:00",
            "What is told (": "{device} {valeu}",
        }
        for label, value in said.items():
            form.get_by_label(label).fill(value)
        form.get_by_label("nobody", exact=True).check()
        form.locator("#keep").click()
        expect(form.locator("[role=alert]")).to_contain_text("Did you mean {value}?")
        form.get_by_label("What is told (").fill("{device} {value}")
        keep(page, "alerts-rule")
        assert not obstacles(page)
        form.locator("#keep").click()
        expect(rules).to_contain_text("band")
        band = kept(hub, "band")
        assert (band["below"], band["above"], band["hysteresis"]) == (-25, -15.5, 0.5)
        assert (band["for"], band["clear_for"], band["repeat"]) == (90, 120, 3600)
        assert (band["labels"], band["notify"]) == (["cold", "kitchen"], ["-"])
        assert (band["quiet"], band["message"]) == ("22:00-07:00", "{device} {value}")

        row = rules.locator("li").filter(has_text="band")
        row.get_by_role("button", name="Change").click()
        for label, value in said.items():
            known = value.replace("valeu", "value")
            expect(form.get_by_label(label)).to_have_value(known)
        expect(form.get_by_label("nobody", exact=True)).to_be_checked()
        form.get_by_label("It fires when").select_option("above")
        form.get_by_label("Upper limit").fill("-10")
        form.locator("#keep").click()
        expect(row).to_contain_text("temperature above -10")
        band = kept(hub, "band")
        assert (band["below"], band["above"], band["repeat"]) == (None, -10, 3600)


def test_rules_of_every_kind_are_added(hub: WebHub, browser: Browser) -> None:
    """Each asks for what it needs; one of which nothing is there says so."""
    with screen(browser, PHONE) as page:
        log_in(page, hub.url, MARIE)
        page.goto(f"{hub.url}/alerts")
        form, rules = page.locator("#rule"), page.locator("#rules")
        for name, (label, value) in OTHERS.items():
            form.get_by_label("Name of the rule").fill(f"it {name}")
            form.get_by_label("It fires when").select_option(name)
            form.get_by_label("What is looked at").fill("temperature")
            form.get_by_label(label).locator("visible=true").fill(value)
            form.locator("#keep").click()
            expect(rules).to_contain_text(f"it {name}")
        form.get_by_label("Name of the rule").fill("it leaves")
        form.get_by_label("Devices").fill("freezer, cellar*")
        form.get_by_label("It fires when").select_option("offline")
        form.locator("#keep").click()
        expect(rules).to_contain_text("it leaves")
        keep(page, "alerts-rules-phone")
        rises = kept(hub, "it rises")
        assert (rises["rises"], rises["within"]) == (3, 600)
        assert kept(hub, "it equals")["equals"] == "on"
        assert kept(hub, "it stuck")["stuck"] == 7200
        assert kept(hub, "it silent")["silent"] == "30m"
        leaves = kept(hub, "it leaves")
        assert (leaves["offline"], leaves["devices"]) == (True, ["freezer", "cellar*"])

        form.get_by_label("Name of the rule").fill("typo")
        form.get_by_label("What is looked at").fill("temprature")
        form.get_by_label("Upper limit").fill("1")
        form.get_by_role("button", name="Try it").click()
        expect(page.locator("#previewed")).to_contain_text("Nothing that it is about is there")


def test_a_device_is_in_maintenance_for_a_while(hub: WebHub, browser: Browser) -> None:
    """Everybody sees which, and for how long; it can be ended."""
    with screen(browser, PHONE) as page:
        log_in(page, hub.url, MARIE)
        page.goto(f"{hub.url}/alerts")
        form, there = page.locator("#maintain"), page.locator("#maintained")
        form.get_by_label("Device").select_option("freezer")
        form.get_by_label("hours").fill("3")
        form.get_by_role("button", name="Begin").click()
        expect(there).to_contain_text("freezer")
        assert "freezer until" in hub.cli("alerts", "maintenance").stdout
        assert not obstacles(page)
        keep(page, "alerts-maintenance-phone")
        there.get_by_role("button", name="End").click()
        expect(there).not_to_contain_text("freezer")
        assert hub.cli("alerts", "maintenance").stdout == ""
