"""Reports that are kept, and who leaves them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.unit.core.support import FakeClock, open_hub

from motehub.core.reports import MOST_REPORTS, ReportBook
from motehub.errors import InvalidReport, UnknownReport
from motehub.journals.sqlite import SqliteLogReader
from motehub.schedules.report import Report, report_of


def report(name: str = "R", **more: object) -> Report:
    said = {"name": name, "schedule": "0 7 * * *", "recipients": ["a@b", "c@d"], **more}
    return report_of(said)


def kept(folder: Path) -> ReportBook:
    """Return what the journal has, as the process sees it that sends reports."""
    reader = SqliteLogReader(folder)
    try:
        return ReportBook.from_state(reader.state_of("report"))
    finally:
        reader.close()


async def test_what_is_said_of_reports_is_kept(tmp_path: Path) -> None:
    """Additions, changes, orders and who has left; the links are the same after a start."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        assert not hub.rules.needed.is_set()
        await hub.reports.add(report())
        assert hub.rules.needed.is_set()
        await hub.reports.change("R", {"csv": True})
        token = hub.reports.book.token("R", "c@d")
        assert await hub.reports.leave(token) == ("R", "c@d")
        await hub.reports.leave(token)
        await hub.reports.order("R")
        first = hub.reports.book.orders["R"]
        await hub.reports.order("R")
        assert hub.reports.book.orders["R"] > first
    book = kept(tmp_path)
    assert book.reports["R"].report == report(csv=True)
    assert book.recipients(report()) == ["a@b"]
    assert book.token("R", "c@d") == token
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        assert hub.reports.whose(token) == ("R", "c@d")
        await hub.reports.bring_back("R", "c@d")
        with pytest.raises(UnknownReport):
            await hub.reports.bring_back("R", "c@d")
        await hub.reports.remove("R")
        for gone in (token, "x", ""):
            with pytest.raises(UnknownReport):
                hub.reports.whose(gone)
    assert kept(tmp_path).reports == {}
    assert kept(tmp_path).orders == {}


async def test_links_are_of_one_report_and_one_recipient(tmp_path: Path) -> None:
    """No two are the same, and none tells anything of either."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await hub.reports.add(report("R"))
        await hub.reports.add(report("S"))
        book = hub.reports.book
        tokens = {book.token(name, one) for name in "RS" for one in ("a@b", "c@d")}
        assert len(tokens) == 4
        assert all(len(one) == 24 for one in tokens)
        await hub.reports.leave(book.token("S", "a@b"))
        assert book.recipients(report("R")) == ["a@b", "c@d"]


async def test_what_the_configuration_says_is_changed_there(tmp_path: Path) -> None:
    """A report that it has no more is gone; who has left one that changes stays away."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        hub.reports.configure([report()])
        await asyncio.sleep(0)
        for wrong in (hub.reports.remove("R"), hub.reports.change("R", {"csv": True})):
            with pytest.raises(InvalidReport, match="configuration"):
                await wrong
        with pytest.raises(InvalidReport, match="already"):
            await hub.reports.add(report())
        await hub.reports.leave(hub.reports.book.token("R", "a@b"))
        hub.reports.configure([report(csv=True)])
        assert hub.reports.book.recipients(report()) == ["c@d"]
        await hub.reports.leave(hub.reports.book.token("R", "c@d"))
        with pytest.raises(InvalidReport, match="Nobody is left"):
            await hub.reports.order("R")
        hub.reports.configure([])
        assert hub.reports.all() == []


async def test_reports_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be so many and no more."""
    monkeypatch.setattr("motehub.core.reports.Reports.most", 2)
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await hub.reports.add(report("R"))
        await hub.reports.add(report("S"))
        with pytest.raises(InvalidReport, match="2 reports"):
            await hub.reports.add(report("T"))
    assert MOST_REPORTS > 2


def test_a_report_that_can_be_no_more_stops_nothing() -> None:
    """The others are there."""
    state = {
        "report/old": b'added {"name": "old", "schedule": "0 7 * * *", "time_zone": "Gone/Zone"}',
        "report/new": b'added {"name": "new", "schedule": "0 7 * * *"}',
    }
    assert list(ReportBook.from_state(state).reports) == ["new"]
