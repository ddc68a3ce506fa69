"""Mails as people see them: opened in a browser, as a mail program would show them."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Final

import pytest
from playwright.sync_api import Browser
from tests.browser.screen import PHONE, keep
from tests.mail_server import MailServer, html
from tests.report_hub import ReportHub
from tests.web_hub import WEB

HOUR: Final = 3_600
RULE: Final = {"name": "warm", "metric": "temperature", "above": -15, "severity": "critical"}
REPORT: Final = {"name": "Weekly", "schedule": "0 7 * * 1", "recipients": ["owner@example.org"]}

_WIDTHS: Final = (640, PHONE[0])
_GROUND: Final = """() => {
  for (let one = document.querySelector("td div, td a"); one; one = one.parentElement) {
    const ground = getComputedStyle(one).backgroundColor;
    if (ground !== "rgba(0, 0, 0, 0)") return ground;
  }
}"""


@pytest.fixture(scope="module")
def mails(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, EmailMessage]]:
    """What a real hub has sent of an alert, and its report."""
    settings = {**WEB, "alerts": {"link": "https://hub.example", "rate": 3600}}
    folder = tmp_path_factory.mktemp("mails")
    with (
        MailServer() as server,
        ReportHub(folder / "data", server, [REPORT], [RULE], settings) as hub,
    ):
        token = hub.token("w")
        now = int(time.time())
        for device in ("freezer", "<b>ice & snow"):
            row = {"device": device, "metric": "temperature", "unit": "°C"}
            rows = [{**row, "value": -20 + n % 3, "time": now - HOUR + n * 60} for n in range(59)]
            assert hub.send(rows, token=token)[0] == 200
            hub.wait_stored(device, "temperature", 59)
        # A mail does not wait for its picture: usually it has one.
        for number in range(60):
            hub.say(token, -3.5 + number / 100, device="freezer")
            alert = server.wait(2 * number + 1)[-1]
            if any(part.get_content_type() == "image/png" for part in alert.walk()):
                break
            hub.say(token, -20, device="freezer")
            server.wait(2 * number + 2)
        before = len(server.mails)
        assert hub.api("POST", "/reports/Weekly/send", hub.token("a", "admin"))[0] == 202
        yield {"alert": alert, "report": server.wait(before + 1)[-1]}


def opened(mail: EmailMessage) -> str:
    """Return the HTML with the pictures that came along in their places."""
    text = html(mail)
    for part in mail.walk():
        if (name := part.get("Content-ID")) is not None:
            content = base64.b64encode(part.get_payload(decode=True)).decode()  # type: ignore[arg-type]
            text = text.replace(f"cid:{name.strip('<> ')}", f"data:image/png;base64,{content}")
    return text


@pytest.mark.parametrize("kind", ["alert", "report"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_mail_can_be_read(
    mails: dict[str, EmailMessage], browser: Browser, kind: str, scheme: str
) -> None:
    """With all of its pictures, asking nobody for anything, on a telephone too."""
    text = opened(mails[kind])
    assert "cid:" not in text
    for width in _WIDTHS:
        dark = scheme == "dark"
        with browser.new_context(
            viewport={"width": width, "height": 700}, color_scheme="dark" if dark else "light"
        ) as context:
            page = context.new_page()
            asked: list[str] = []
            page.on("request", lambda one: asked.append(one.url))  # noqa: B023
            page.set_content(text, wait_until="load")
            keep(page, f"mail-{kind}-{scheme}-{width}")
            sizes = page.evaluate("[...document.images].map(one => one.naturalWidth)")
            assert len(sizes) >= 1
            assert min(sizes) > 100
            assert [one for one in asked if not one.startswith("data:")] == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            # Programs that are dark have a dark ground where a mail says nothing of it.
            assert page.evaluate(_GROUND)
            assert "freezer" in page.inner_text("body")
