"""Alerts and rules, as people use them in a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect
from tests.browser.axe import obstacles
from tests.browser.screen import LATE, MARIE, PHONE, VERA, keep, log_in, screen
from tests.harness import OPEN
from tests.web_hub import WEB, WebHub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebHub]:
    """A hub with an administrator, a viewer and a freezer that was warm twice."""
    folder = tmp_path_factory.mktemp("alerts") / "data"
    with WebHub(folder, {**OPEN, **WEB}) as started:
        started.add_person(MARIE, "admin")
        started.add_person(VERA)
        token = started.token("writer")
        for value in (-20, -3, -20, -5, -21):
            reading = {"device": "freezer", "metric": "temperature", "unit": "°C", "value": value}
            assert started.send(reading, token=token)[0] == 200
        started.wait_stored("freezer", "temperature", 5)
        yield started


def test_a_rule_is_tried_added_and_fires(hub: WebHub, browser: Browser) -> None:
    """What it would have found is said first; its alert is on all pages at once, with an answer."""
    with (
        screen(browser) as page,
        screen(browser, PHONE, locale="fr-FR") as other,
        screen(browser, excused=LATE) as third,
    ):
        for one in (page, other, third):
            log_in(one, hub.url, MARIE)
        card = other.locator(".card").filter(has_text="freezer")
        expect(card.locator(".value")).to_have_text("-21 °C")
        third.goto(f"{hub.url}/device#freezer")
        expect(third.locator("#now")).to_contain_text("-21 °C")
        page.get_by_role("link", name="Alerts").click()
        expect(page.locator("#alerts")).to_contain_text("No alert: all is well.")
        form = page.locator("#rule")
        form.get_by_label("Name of the rule").fill("freezer warm")
        form.get_by_label("What is looked at").fill("temperature")
        form.get_by_label("Upper limit").fill("-15")
        form.get_by_label("How bad it is").select_option("critical")
        form.get_by_role("button", name="Try it").click()
        expect(page.locator("#previewed")).to_have_text("It would have fired 2 times.")
        form.get_by_role("button", name="Add the rule").click()
        expect(page.locator("#rules")).to_contain_text("temperature above -15")

        reading = {"device": "freezer", "metric": "temperature", "unit": "°C", "value": -2}
        token = hub.token("again")
        assert hub.send(reading, token=token)[0] == 200
        alert = page.locator("#alerts > li").first
        expect(alert).to_contain_text("freezer: temperature is -2 °C")
        expect(third.locator("#firing")).to_contain_text("freezer: temperature is -2 °C")
        expect(card.locator(".firing")).to_contain_text("freezer : temperature vaut -2 °C")
        keep(page, "alerts")
        keep(other, "overview-alert-phone")
        for one in (page, other):
            assert not obstacles(one)
        alert.get_by_role("button", name="Acknowledge").click()
        expect(alert).to_contain_text("acknowledged by marie")
        assert hub.cli("devices", "rename", "freezer", "icebox").returncode == 0
        renamed = other.locator(".card").filter(
            has=other.get_by_role("link", name="icebox", exact=True)
        )
        expect(renamed.locator(".firing")).to_contain_text("temperature vaut -2 °C")
        assert hub.send({**reading, "device": "icebox", "value": -30}, token=token)[0] == 200
        for place in (renamed.locator(".firing"), third.locator("#firing")):
            expect(place).to_be_empty()
        expect(alert).to_contain_text("over since")


def test_who_only_looks_on_changes_nothing(hub: WebHub, browser: Browser) -> None:
    """A viewer sees rules and alerts, in French and on a telephone too."""
    with screen(browser, PHONE, locale="fr-FR") as page:
        log_in(page, hub.url, VERA)
        page.goto(f"{hub.url}/alerts")
        expect(page.locator("#rules")).to_contain_text("d’origine")
        expect(page.locator("#adding")).to_be_hidden()
        expect(page.locator("main").get_by_role("button")).to_have_count(0)
        keep(page, "alerts-phone")
        assert not obstacles(page)
