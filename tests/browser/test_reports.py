"""Reports, as their owner and those who get them use them in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from playwright.sync_api import Browser, expect
from tests.browser.axe import obstacles
from tests.browser.screen import MARIE, PHONE, keep, log_in, screen
from tests.harness import OPEN
from tests.mail_server import MailServer
from tests.report_hub import ReportHub
from tests.web_hub import WEB

EVIL: Final = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def server() -> Iterator[MailServer]:
    with MailServer() as started:
        yield started


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, server: MailServer) -> Iterator[ReportHub]:
    """A hub with an administrator and a device of an odd name."""
    folder = tmp_path_factory.mktemp("reports") / "data"
    settings = {**OPEN, **WEB, "alerts": {"link": "http://127.0.0.1"}}
    with ReportHub(folder, server, settings=settings) as started:
        started.add_person(MARIE, "admin")
        token = started.token("writer")
        for value in range(20):
            started.say(token, value, device=EVIL)
        yield started


def test_a_report_is_added_looked_at_and_sent(
    hub: ReportHub, server: MailServer, browser: Browser
) -> None:
    """Its preview is a page of its own, in which a device's name is a name."""
    with screen(browser) as page:
        log_in(page, hub.url, MARIE)
        page.get_by_role("link", name="Reports").click()
        form = page.locator("form")
        form.get_by_label("Name of the report").fill("Weekdays")
        form.get_by_label("When").select_option("at other times")
        form.get_by_label("Schedule").fill("30 6 * * 1-5")
        form.get_by_label("To these addresses").fill("a@example.org, b@example.org")
        form.get_by_role("button", name="Add the report").click()
        listed = page.locator("#reports > li")
        expect(listed).to_contain_text("a@example.org, b@example.org")
        expect(listed).to_contain_text("next")
        with page.context.expect_page() as opened:
            listed.get_by_role("link", name="Preview").click()
        preview = opened.value
        preview.wait_for_load_state()
        expect(preview.locator("body")).to_contain_text(EVIL)
        assert preview.locator("img").count() == 1
        preview.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        width = preview.evaluate("document.documentElement.scrollWidth")
        keep(preview, "report-preview")
        assert width <= PHONE[0]
        preview.close()
        listed.get_by_role("button", name="Send now").click()
        server.wait(2)
        page.reload()
        expect(page.locator("#letters > li")).to_have_count(2)
        expect(listed).to_contain_text("2 letters")
        keep(page, "reports")
        assert not obstacles(page)


def test_a_recipient_leaves_and_comes_back(
    hub: ReportHub, server: MailServer, browser: Browser
) -> None:
    """Without any log-in, in one's own language, and not before the button is pressed."""
    daily = {"name": "Daily", "schedule": "0 7 * * *", "recipients": ["c@example.org"]}
    admin = hub.token("admin", "admin")
    assert hub.api("POST", "/reports", admin, daily)[0] == 201
    assert hub.api("POST", "/reports/Daily/send", admin)[0] == 202
    mail = server.to("c@example.org")[0]
    token = str(mail["List-Unsubscribe"]).strip(" <>").rpartition("/")[2]
    with screen(browser, PHONE, locale="fr-FR") as page:
        page.goto(f"{hub.url}/api/v1/unsubscribe/{token}")
        expect(page.locator("#said")).to_have_text(
            "Ne voulez-vous plus recevoir le rapport Daily ?"
        )
        keep(page, "unsubscribe")
        assert not obstacles(page)
        page.reload()
        page.get_by_role("button", name="Ne plus m’envoyer").click()
        expect(page.locator("#said")).to_contain_text("ne vous est plus envoyé")
        expect(page.get_by_role("button")).to_be_hidden()
    with screen(browser, PHONE) as page:
        log_in(page, hub.url, MARIE)
        page.goto(f"{hub.url}/reports")
        listed = page.locator("#reports > li").filter(has_text="Daily")
        expect(listed).to_contain_text("c@example.org has left it")
        keep(page, "reports-phone")
        assert not obstacles(page)
        listed.get_by_role("button", name="Send again: c@example.org").click()
        expect(listed).not_to_contain_text("has left it")


def test_a_link_of_nothing_says_so(hub: ReportHub, browser: Browser) -> None:
    """Whoever has an old one need not do anything."""
    with screen(browser, excused="404") as page:
        page.goto(f"{hub.url}/unsubscribe#nothing")
        expect(page.locator("#said")).to_contain_text("there is nothing to leave")
        expect(page.get_by_role("button")).to_be_hidden()
