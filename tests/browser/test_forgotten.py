"""A forgotten password and the pages of channels and listeners, as people use them in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest
from playwright.sync_api import Browser, expect
from tests.alert_hub import AlertHub
from tests.browser.axe import obstacles
from tests.browser.screen import MARIE, PHONE, keep, log_in, screen
from tests.harness import OPEN
from tests.mail_server import MailServer, plain
from tests.web_hub import WEB

ANNA: Final = {"name": "anna", "password": "seven dry cactuses"}
OTHER: Final = "eleven tall sunflowers"


@pytest.fixture(scope="module")
def server() -> Iterator[MailServer]:
    with MailServer() as started:
        yield started


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, server: MailServer) -> Iterator[AlertHub]:
    """A hub that sends mails, with two administrators, of whom one has an address."""
    folder = tmp_path_factory.mktemp("forgotten") / "data"
    with AlertHub(folder, server, (), {**OPEN, **WEB}) as started:
        started.add_person(MARIE, "admin", "--email", "marie@example.org")
        started.add_person(ANNA, "admin")
        yield started


def test_a_password_is_forgotten(hub: AlertHub, server: MailServer, browser: Browser) -> None:
    """From the log-in by way of a mail to the overview, on a telephone and in French."""
    with screen(browser, PHONE, locale="fr-FR") as page:
        page.goto(f"{hub.url}/login")
        page.get_by_role("link", name="Mot de passe oublié ?").click()
        expect(page.get_by_label("Nom ou adresse électronique")).to_be_visible()
        page.wait_for_load_state()
        keep(page, "forgotten-phone")
        assert not obstacles(page)
        page.get_by_label("Nom ou adresse électronique").fill("marie@example.org")
        page.get_by_role("button", name="M’envoyer un lien").click()
        expect(page.locator("#sent")).to_contain_text("un lien est en route")
        text = plain(server.to("marie@example.org")[0])
        link = re.search(rf"{re.escape(hub.url)}/reset#\S+", text)
        assert link is not None, text
        page.goto(link[0])
        assert not obstacles(page)
        page.get_by_label("Mot de passe").fill("short")
        page.get_by_label("Mot de passe").fill(OTHER)
        page.get_by_role("button", name="Choisir").click()
        page.wait_for_url(f"{hub.url}/")
    with screen(browser, excused="401") as page:
        page.goto(link[0])
        page.get_by_label("Password").fill(MARIE["password"])
        page.get_by_role("button", name="Choose").click()
        expect(page.get_by_role("alert")).to_contain_text("The link was used")
        log_in(page, hub.url, {"name": "marie", "password": OTHER})
        page.goto(f"{hub.url}/settings/log")
        expect(page.locator("main")).to_contain_text("chose another password with a link")


def test_channels_are_shown_and_tried(hub: AlertHub, server: MailServer, browser: Browser) -> None:
    """The result stands beside the button."""
    with screen(browser) as page:
        log_in(page, hub.url, ANNA)
        page.goto(f"{hub.url}/settings/notifications")
        expect(page.locator("#mail")).to_contain_text("owner@example.org")
        page.locator("#mails").get_by_role("button", name="Send a test").click()
        expect(page.locator("#mails")).to_contain_text("The test was taken.")
        assert len(server.to("owner@example.org")) == 1
        keep(page, "notifications")
        assert not obstacles(page)
        page.goto(f"{hub.url}/settings/listeners")
        expect(page.locator("#running")).to_contain_text("[transport.dht_stream]")
        expect(page.locator("#others")).to_contain_text("[transport.units]")
        keep(page, "listeners")
        assert not obstacles(page)


def test_somebody_is_invited_by_mail(hub: AlertHub, server: MailServer, browser: Browser) -> None:
    """The link is shown too."""
    with screen(browser) as page:
        log_in(page, hub.url, ANNA)
        page.goto(f"{hub.url}/settings/people")
        form = page.locator("form")
        form.get_by_label("Name").fill("pierre")
        form.get_by_label("Mail address").fill("pierre@example.org")
        form.get_by_label("send the link by mail, too").check()
        form.get_by_role("button", name="Make an invitation").click()
        expect(page.locator("#invitation")).to_contain_text("A mail is on its way to pierre.")
        link = page.locator("#invitation code").inner_text()
        assert link in plain(server.to("pierre@example.org")[0])
        assert not obstacles(page)
