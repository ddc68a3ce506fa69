"""Reports of a real hub: from readings to a mail in somebody's hands, and how they leave."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.mail_server import MailServer, html, plain
from tests.report_hub import ReportHub
from tests.web_hub import WEB

REPORTS: list[dict[str, object]] = [
    {
        "name": "Weekly",
        "schedule": "0 7 * * 1",
        "time_zone": "Europe/Paris",
        "recipients": ["owner@example.org", "Zoë <zoe@example.org>"],
        "csv": True,
    }
]
RULES: list[dict[str, object]] = [
    {"name": "warm", "metric": "temperature", "above": 20, "notify": ["-"]}
]
HOUR = 3_600


class Stand:
    """A hub with some readings, its mail server and tokens."""

    def __init__(self, hub: ReportHub, server: MailServer) -> None:
        self.hub, self.server = hub, server
        self.token = hub.token("w")
        self.admin = hub.token("a", "admin")
        now = int(time.time())
        rows = [
            {
                "device": device,
                "metric": "temperature",
                "unit": "°C",
                "value": 15 + n % 10,
                "time": now - 6 * HOUR + n * 60,
            }
            for device in ("cellar", "<b>attic")
            for n in range(300)
        ]
        assert hub.send(rows, token=self.token)[0] == 200

    def api(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Ask the API as the administrator."""
        return self.hub.api(method, path, self.admin, body)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """One hub for all tests of this file."""
    folder = tmp_path_factory.mktemp("reports")
    settings = {**WEB, "alerts": {"link": "https://hub.example.org"}, "hub": {"admission": "open"}}
    with (
        MailServer() as server,
        ReportHub(folder / "data", server, REPORTS, RULES, settings) as hub,
    ):
        yield Stand(hub, server)


def test_a_report_is_a_mail_for_each_recipient(stand: Stand) -> None:
    """With numbers, charts, the attached file, and a link of one's own to leave it."""
    before = len(stand.server.mails)
    assert stand.api("POST", "/reports/Weekly/send")[0] == 202
    mails = stand.server.wait(before + 2)[before:]
    assert {str(one["To"]) for one in mails} == {"owner@example.org", "Zoë <zoe@example.org>"}
    links = {str(one["List-Unsubscribe"]) for one in mails}
    assert len(links) == 2
    for one in mails:
        assert one["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert str(one["List-Unsubscribe"]).strip("<>") in plain(one)
        assert "cellar" in plain(one)
        assert "&lt;b&gt;attic" in html(one)
        assert "<b>attic" not in html(one)
        kinds = [part.get_content_type() for part in one.walk()]
        assert kinds.count("image/png") == 1
        (table,) = one.iter_attachments()
        assert table.get_filename() == "Weekly.csv"
        assert len(table.get_content().splitlines()) == 601
