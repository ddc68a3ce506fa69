"""Which reports are made when, and that each of their letters is there once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from motehub.alerting import clerk as clerks
from motehub.alerting.book import AlertBook
from motehub.alerting.clerk import Clerk
from motehub.alerting.letter_book import Document, LetterBook, Schedule
from motehub.alerting.plan import Mail, Plan
from motehub.alerting.postman import written
from motehub.alerting.report_desk import Outcome, came_of
from motehub.core.reports import KeptReport, ReportBook
from motehub.errors import MotehubError
from motehub.languages import Words
from motehub.model import MICROSECONDS
from motehub.reports.order import Made, Order
from motehub.schedules.report import Report, decode, report_of

MAIL = Mail("127.0.0.1", 9, "none", "", "", "hub@example.org", ())
EN = Words("en")
PLAN = Plan(hub="home", zone="Europe/Paris", link="https://h/", mail=MAIL)


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp()) * MICROSECONDS


def shown(moment: int) -> str:
    return datetime.fromtimestamp(moment // MICROSECONDS, UTC).strftime("%m-%d %H:%M")


class Desk:
    """A clerk whose clock and reports are a test's; ``orders`` are what was made."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = at("2026-03-27T12:00:00+01:00")
        self.book = ReportBook(key=b"k")
        self.orders: list[Order] = []
        self.trouble = self.faulty = ""
        self.folder = folder
        self.plan = PLAN

        def make(order: Order, _: Mapping[str, str], __: Callable[..., None]) -> Made:
            if decode(order.report).name == self.faulty:
                raise ZeroDivisionError
            if self.trouble:
                raise MotehubError(self.trouble)
            self.orders.append(order)
            return Made(subject=f"S {decode(order.report).name}", text="t", html="h")

        monkeypatch.setattr(clerks, "make", make)
        self.start()

    def start(self) -> None:
        """Begin anew on what is kept, as after a kill."""
        self.letters = LetterBook(AlertBook(self.folder))
        clerk = Clerk(
            self.letters, self.folder, self.plan, {}, dict, lambda: self.now, lambda: None
        )
        self._look = clerk.look

    def look(self, text: str = "") -> None:
        """Look at that time."""
        if text:
            self.now = at(text)
        self._look()

    def spans(self) -> list[tuple[str, str]]:
        """Return what the reports that were made are about."""
        return [(shown(one.since), shown(one.until)) for one in self.orders]

    def waiting(self) -> list[tuple[str, str]]:
        """Take all letters that wait: to whom, and under which key."""
        found = []
        while (one := self.letters.next(self.now)) is not None:
            found.append((one[0].recipient, one[0].key))
            self.letters.delivered(one[0], self.now)
        return found


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A clerk with a report that is due every day at 7:00."""
    made = Desk(tmp_path, monkeypatch)
    monkeypatch.setattr(ReportBook, "from_state", classmethod(lambda _, __: made.book))
    put(made, daily())
    return made


def daily(**more: object) -> Report:
    said = {"name": "d", "schedule": "0 7 * * *", "recipients": ["a@b", "c@d"], **more}
    return report_of(said)


def put(desk: Desk, report: Report) -> None:
    desk.book.reports[report.name] = KeptReport(report, "added")


def test_a_new_report_is_not_sent_for_the_past(desk: Desk) -> None:
    """First when it is due next, and then once each time, across the change of the clocks."""
    desk.look()
    desk.look("2026-03-28T06:59:59+01:00")
    assert desk.orders == []
    for day in ("28T07:00:00+01:00", "28T07:00:01+01:00", "29T07:00:00+02:00", "29T23:00:00+02:00"):
        desk.look(f"2026-03-{day}")
    assert desk.spans() == [("03-27 06:00", "03-28 06:00"), ("03-28 06:00", "03-29 05:00")]
    assert [one for one, _ in desk.waiting()] == ["a@b", "c@d", "a@b", "c@d"]


def test_what_was_missed_is_made_up_for_once(desk: Desk) -> None:
    """After an outage of days there is one report about all of them."""
    desk.look("2026-03-28T07:00:00+01:00")
    desk.look("2026-03-29T07:00:00+02:00")
    desk.start()
    desk.look("2026-04-02T12:00:00+02:00")
    desk.look("2026-04-02T12:00:01+02:00")
    assert desk.spans()[1:] == [("03-29 05:00", "04-02 05:00")]
    desk.look("2026-04-03T07:00:00+02:00")
    assert desk.spans()[-1] == ("04-02 05:00", "04-03 05:00")


def test_a_killed_clerk_sends_nothing_twice(desk: Desk) -> None:
    """What was queued is queued once, under the same key."""
    desk.look()
    desk.look("2026-03-28T07:00:00+01:00")
    first = desk.letters.next(desk.now)
    desk.start()
    desk.look()
    again = desk.letters.next(desk.now)
    assert first == again
    keys = dict(desk.waiting())
    assert len(keys) == 2
    assert len(set(keys.values())) == 2
    assert len(desk.orders) == 1


def test_a_report_that_can_not_be_made_is_tried_again(desk: Desk) -> None:
    """Later and later, and what is due meanwhile is in the same report."""
    desk.look()
    desk.trouble = "the history is away"
    desk.look("2026-03-28T07:00:00+01:00")
    known = desk.letters.schedules()["d"]
    assert (known.ok, known.result) == (False, "the history is away")
    desk.trouble = ""
    desk.look("2026-03-28T07:00:01+01:00")
    assert desk.orders == []
    desk.look("2026-03-28T07:00:03+01:00")
    assert desk.spans() == [("03-27 06:00", "03-28 06:00")]
    assert desk.letters.schedules()["d"].ok


def test_an_order_is_carried_out_once(desk: Desk) -> None:
    """About as long a time as usual, and the schedule goes on as if nothing had been."""
    desk.look()
    desk.book.orders["d"] = desk.now
    for _ in range(3):
        desk.look("2026-03-27T15:00:00+01:00")
    desk.start()
    desk.look()
    assert desk.spans() == [("03-26 14:00", "03-27 14:00")]
    desk.look("2026-03-28T07:00:00+01:00")
    assert desk.spans()[1:] == [("03-27 06:00", "03-28 06:00")]


def test_another_schedule_begins_anew(desk: Desk) -> None:
    """What would have been due by it before is not made up for, nor what was while it was off."""
    desk.look()
    put(desk, daily(schedule="0 11 * * *"))
    desk.look("2026-03-27T12:30:00+01:00")
    put(desk, daily(schedule="0 11 * * *", enabled=False))
    desk.look("2026-03-28T12:00:00+01:00")
    put(desk, daily(schedule="0 11 * * *"))
    desk.look("2026-03-28T12:30:00+01:00")
    assert desk.orders == []
    desk.look("2026-03-29T11:00:00+02:00")
    assert len(desk.orders) == 1


def test_where_nobody_can_get_it_the_owner_hears_why(desk: Desk) -> None:
    """No mail server, or everybody has left."""
    desk.look()
    desk.book.left["d"] = {"a@b": 1, "c@d": 2}
    desk.look("2026-03-28T07:00:00+01:00")
    assert "nobody" in desk.letters.schedules()["d"].result
    desk.book.left["d"] = {"a@b": 1}
    desk.look("2026-03-29T07:00:00+02:00")
    assert [one for one, _ in desk.waiting()] == ["c@d"]
    desk.plan = Plan(zone="Europe/Paris")
    desk.start()
    desk.look("2026-03-30T07:00:00+02:00")
    assert "no mail server" in desk.letters.schedules()["d"].result


def test_who_orders_a_report_hears_what_came_of_it(desk: Desk) -> None:
    """Nothing yet, letters, why it waits, or why it is not sent."""

    def came() -> Outcome | None:
        return came_of(desk.folder, "d", desk.book.orders["d"])

    desk.look()
    desk.book.orders["d"] = desk.now
    assert came() is None
    desk.trouble = "The disk is full."
    desk.look()
    assert came() == Outcome("The disk is full.", ok=False, over=False)
    desk.trouble = ""
    desk.look("2026-03-27T13:00:00+01:00")
    assert came() == Outcome("2 letters", ok=True, over=True)
    desk.book.orders["d"] = desk.now
    assert came() is None
    desk.plan = Plan(zone="Europe/Paris")
    desk.start()
    desk.look()
    found = came()
    assert found is not None
    assert (found.ok, found.over) == (False, True)
    assert "no mail server" in found.result


def test_a_report_that_is_removed_is_forgotten(desk: Desk) -> None:
    """With the letters that wait."""
    desk.look()
    desk.look("2026-03-28T07:00:00+01:00")
    del desk.book.reports["d"]
    desk.look()
    assert desk.letters.schedules() == {}
    assert desk.waiting() == []


def test_letters_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many the oldest go, and a document goes with the last letter that needs it."""
    monkeypatch.setattr("motehub.alerting.letter_book.MOST_LETTERS", 3)
    book = AlertBook(tmp_path)
    letters = LetterBook(book)
    for n in range(3):
        document = Document(f"s{n}", "t", "h", (("p", b"x"),), b"c", "f.csv")
        letters.add(Schedule("d", "", n), document, ["a@b", "c@d"], n)
    found = []
    while (one := letters.next(10)) is not None:
        found.append((one[0].recipient, one[1].subject))
        letters.delivered(one[0], 10)
    assert found == [("c@d", "s1"), ("a@b", "s2"), ("c@d", "s2")]
    with book.storage() as db:
        assert db.execute("SELECT count(*) FROM document").get == 0


def test_a_letter_says_how_to_leave(desk: Desk) -> None:
    """In its headers (RFC 8058, where a POST can be safe) and at its end."""
    desk.look()
    desk.look("2026-03-28T07:00:00+01:00")
    found = desk.letters.next(desk.now)
    assert found is not None
    secure = written(*found, PLAN, "https://h/leave", EN)
    headers = dict(secure.headers)
    assert headers["List-Unsubscribe"] == "<https://h/leave>"
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "https://h/leave" in secure.text
    assert "https://h/leave" in secure.html
    assert "List-Unsubscribe-Post" not in dict(written(*found, PLAN, "http://h/leave", EN).headers)
    assert "List-Unsubscribe" not in dict(written(*found, PLAN, "", EN).headers)


def test_a_fault_in_one_report_stops_no_other(desk: Desk) -> None:
    """It is tried again after a while."""
    put(desk, daily(name="e"))
    desk.look()
    desk.faulty = "d"
    desk.look("2026-03-28T07:00:00+01:00")
    assert [decode(one.report).name for one in desk.orders] == ["e"]
    desk.faulty = ""
    desk.look("2026-03-28T07:01:00+01:00")
    assert len(desk.orders) == 1
    desk.look("2026-03-28T07:11:00+01:00")
    assert [decode(one.report).name for one in desk.orders] == ["e", "d"]


def test_a_clock_that_was_wrong_stops_no_report(desk: Desk) -> None:
    """Years ahead for a while; a clock that is set back by a second sends nothing twice."""
    desk.look()
    desk.look("2030-01-01T12:00:00+01:00")
    assert len(desk.orders) == 1
    desk.look("2026-03-28T06:00:00+01:00")
    desk.look("2026-03-28T07:00:00+01:00")
    assert desk.spans()[1:] == [("03-28 05:00", "03-28 06:00")]
    desk.look("2026-03-28T06:59:59+01:00")
    desk.look("2026-03-28T07:00:00+01:00")
    assert len(desk.orders) == 2
