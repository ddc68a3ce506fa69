"""Reports of a real hub: from readings to a mail in somebody's hands, and how they leave."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader
from tests.mail_server import MailServer, html, plain
from tests.report_hub import ReportHub
from tests.web_hub import WEB

# Not due while this runs.
SCHEDULE = f"0 7 * * {(datetime.now(UTC) + timedelta(days=3)).isoweekday()}"
REPORTS: list[dict[str, object]] = [
    {
        "name": "Weekly",
        "schedule": SCHEDULE,
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
    own = {"admission": "open", "time_zone": "Europe/Paris"}
    settings = {**WEB, "alerts": {"link": "https://hub.example.org"}, "hub": own}
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
        pictures = [part for part in one.walk() if part.get_content_type() == "image/png"]
        assert [part["Content-ID"] for part in pictures] == ["<chart0>"]
        assert 'src="cid:chart0"' in html(one)
        (table,) = one.iter_attachments()
        assert table.get_filename() == "Weekly.csv"
        assert len(table.get_content().splitlines()) == 601


def link_of(stand: Stand, recipient: str) -> str:
    """Return the token with which a recipient leaves."""
    mails = [one for one in stand.server.mails if recipient in str(one["To"])]
    return str(mails[-1]["List-Unsubscribe"]).strip(" <>").rpartition("/")[2]


def test_who_leaves_gets_no_more_until_the_owner_says_so(stand: Stand) -> None:
    """A program that only looks at the link changes nothing, a button or a POST does."""
    stand.server.wait(2)
    token = link_of(stand, "zoe")
    status, headers, _ = stand.hub.curl(f"/api/v1/unsubscribe/{token}")
    assert (status, headers["location"]) == (303, f"/unsubscribe#{token}".lower())
    assert stand.api("GET", "/reports/Weekly")[1]["left"] == []
    assert stand.hub.curl("/unsubscribe")[0] == 200
    unknown = f"/api/v1/unsubscribe/{'x' * 24}"
    assert stand.hub.curl(unknown)[0] == 303, "the page says it to people"
    assert stand.hub.curl(f"{unknown}/report")[0] == 404
    assert stand.hub.curl(unknown, "-X", "POST")[0] == 404
    form = ("-X", "POST", "-H", "Content-Type: application/x-www-form-urlencoded")
    for _ in range(2):
        answer = stand.hub.curl(
            f"/api/v1/unsubscribe/{token}", *form, body=b"List-Unsubscribe=One-Click"
        )
        assert answer[0] == 200
    (left,) = stand.api("GET", "/reports/Weekly")[1]["left"]
    assert left["recipient"] == "Zoë <zoe@example.org>"
    before = len(stand.server.mails)
    assert stand.api("POST", "/reports/Weekly/send")[0] == 202
    stand.server.wait(before + 1)
    stand.hub.wait_until(lambda: delivered(stand) == before + 1, "one letter was delivered")
    assert str(stand.server.mails[-1]["To"]) == "owner@example.org"
    back = {"recipient": "Zoë <zoe@example.org>"}
    assert stand.api("POST", "/reports/Weekly/recipients", back)[1]["left"] == []
    assert stand.api("POST", "/reports/Weekly/recipients", back)[0] == 404


def delivered(stand: Stand) -> int:
    """Return how many letters have arrived, as the owner sees it; -1 while one is on its way."""
    letters = stand.api("GET", "/report-letters")[1]
    return len(letters) if {one["state"] for one in letters} <= {"delivered"} else -1


def test_a_preview_runs_nothing(stand: Stand) -> None:
    """As a page, as text and as PDF; a browser is told to run and load nothing."""
    path = "/api/v1/reports/Weekly/preview"
    status, headers, page = stand.hub.curl(path, token=stand.admin)
    assert status == 200
    assert "sandbox" in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert b"&lt;b&gt;attic" in page
    assert b"<script" not in page
    assert b"data:image/png;base64," in page
    text = stand.hub.curl(f"{path}?format=txt&from=-2h", token=stand.admin)[2].decode()
    assert "cellar" in text
    status, headers, pdf = stand.hub.curl(f"{path}?format=pdf", token=stand.admin)
    assert (status, headers["content-type"], pdf[:5]) == (200, "application/pdf", b"%PDF-")
    words = "".join(one.extract_text() for one in PdfReader(io.BytesIO(pdf)).pages)
    assert "<b>attic" in words
    assert stand.hub.curl(f"{path}?format=exe", token=stand.admin)[0] == 400
    assert stand.hub.curl(path, token=stand.token)[0] == 403


def test_reports_are_added_changed_and_removed(stand: Stand) -> None:
    """By the API and on the command line; those of the configuration only there."""
    said = {"name": "Daily", "schedule": "0 7 * * *", "recipients": ["a@example.org"]}
    status, made = stand.api("POST", "/reports", said)
    assert status == 201, made
    assert (made["origin"], made["last"]) == ("added", None)
    assert made["next"] is not None
    assert stand.api("POST", "/reports", said)[0] == 400
    assert stand.api("PATCH", "/reports/Daily", {"enabled": False})[1]["next"] is None
    for wrong in ({"schedule": "7 o'clock"}, {"recipients": ["nobody"]}, {"above": 5}):
        status, problem = stand.api("PATCH", "/reports/Daily", wrong)
        assert status == 400, problem
    assert stand.api("PATCH", "/reports/Weekly", {"enabled": False})[0] == 400
    rows = {row["name"]: row for row in stand.hub.json("reports", "list")}
    assert rows.keys() == {"Daily", "Weekly"}
    assert rows["Daily"]["enabled"] is False
    done = stand.hub.cli("reports", "change", "Daily", "--to", "b@example.org", "--enabled")
    assert done.returncode == 0, done.stderr
    assert stand.api("GET", "/reports/Daily")[1]["recipients"] == ["b@example.org"]
    assert stand.hub.cli("reports", "remove", "Daily").returncode == 0
    assert stand.api("GET", "/reports/Daily")[0] == 404
    assert stand.hub.json("reports", "letters", "Weekly")[0]["state"] == "delivered"


def test_a_report_on_the_command_line(stand: Stand, tmp_path: Path) -> None:
    """As text on the screen, or as a file."""
    done = stand.hub.cli("report", "Weekly", "--since", "1d")
    assert done.returncode == 0, done.stderr
    assert "temperature °C" in done.stdout
    assert "(Europe/Paris)" in done.stdout
    for kind, begin in (("html", b"<!doctype html>"), ("pdf", b"%PDF-"), ("txt", b"Weekly\n")):
        file = tmp_path / f"r.{kind}"
        done = stand.hub.cli("report", "Weekly", "-o", str(file))
        assert done.returncode == 0, done.stderr
        assert file.read_bytes().startswith(begin)
    assert stand.hub.cli("report", "Weekly", "-o", str(tmp_path / "r.doc")).returncode == 2
    assert "Known reports: Weekly" in stand.hub.cli("report", "nothing").stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--since", "yesterday"], "'yesterday'"),
        (["--since", "2999-01-01"], "must be in the past"),
        (["-o", "/nowhere/r.html"], "Can't write /nowhere/r.html: No such file or directory"),
        (["--time-zone", "Mars/Base"], "There is no time zone called 'Mars/Base'"),
    ],
)
def test_what_can_not_be_is_said_on_the_command_line(
    stand: Stand, options: list[str], said: str
) -> None:
    """In a sentence, and without a trace of the program."""
    done = stand.hub.cli("report", "Weekly", *options)
    assert done.returncode in {1, 2}
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_report_names_its_language(stand: Stand) -> None:
    """Its mail, its preview and the command line are in it; one that is unknown is refused."""
    said = {"name": "Semaine", "schedule": SCHEDULE, "recipients": ["a@example.org"]}
    assert stand.api("POST", "/reports", {**said, "language": "de"})[0] == 400
    status, made = stand.api("POST", "/reports", {**said, "language": "fr"})
    assert (status, made["language"]) == (201, "fr")
    before = len(stand.server.mails)
    assert stand.api("POST", "/reports/Semaine/send")[0] == 202
    mail = stand.server.wait(before + 1)[-1]
    assert "température °C" in plain(mail)
    assert "Ne plus m’envoyer ce rapport : https://hub.example.org" in plain(mail)
    assert '<html lang="fr">' in html(mail)
    assert " : du " in str(mail["Subject"])
    assert "Dernière" in stand.hub.cli("report", "Semaine").stdout.title()
    assert stand.hub.cli("reports", "change", "Semaine", "--language", "en").returncode == 0
    assert "temperature °C" in stand.hub.cli("report", "Semaine").stdout
    assert stand.hub.cli("reports", "remove", "Semaine").returncode == 0


def test_tables_have_the_times_of_this_machine(stand: Stand) -> None:
    """Readable, and not as programs get them, who get ISO 8601."""
    stand.server.wait(1)
    table = stand.hub.cli("reports", "letters").stdout
    (created, *_) = [one["created"] for one in stand.hub.json("reports", "letters")]
    assert created.endswith("Z")
    assert created not in table
    local = datetime.fromisoformat(created).astimezone()
    assert f"{local:%Y-%m-%d %H:%M:%S}" in table
    assert "left" not in stand.hub.cli("reports", "list").stdout.splitlines()[0].split()


def test_a_report_from_postgres(tmp_path: Path, database: str) -> None:
    """The process that makes it has the store's address, and nobody else sees it."""
    settings = {**WEB, "store": {"type": "postgres", "url": database}}
    with MailServer() as server, ReportHub(tmp_path / "data", server, REPORTS, (), settings) as hub:
        token = hub.token("w")
        for value in (18.5, 21.5):
            hub.say(token, value, device="cellar")
        assert hub.cli("reports", "send", "Weekly").returncode == 0
        mail = server.wait(2)[0]
        assert plain(mail).split().count("21.5") == 2
        assert "List-Unsubscribe" not in mail
