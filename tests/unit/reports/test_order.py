"""Reports that are made in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from tests.contract.test_rollups import HOUR, START, fold, with_devices

from motehub.errors import MotehubError
from motehub.frames import SeriesAdded, TextReadings
from motehub.journals.sqlite import SqliteLog
from motehub.model import MICROSECONDS, Kind, Series
from motehub.reports.order import Made, Order, make, make_soon
from motehub.schedules.report import encode, report_of
from motehub.schedules.times import period_of
from motehub.stores.sqlite import SqliteHistory


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """An order of a report about two readings."""
    SqliteLog(tmp_path, 1).close()
    with closing(SqliteHistory(tmp_path)) as store:
        fold(with_devices(store), [(1, START, 1.5), (1, START + HOUR, 2.5)])
    report = report_of({"name": "R", "schedule": "0 7 * * *"})
    return Order(str(tmp_path), "sqlite", encode(report), START, START + 2 * HOUR, "UTC", mail=True)


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment in which the extra is not installed."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for name in ("matplotlib", "fpdf"):
        (hidden / f"{name}.py").write_text(f"raise ModuleNotFoundError('No', name={name!r})\n")
    path = [str(hidden), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(path)}


def changed(order: Order, **fields: object) -> Order:
    return type(order)(**{**{k: getattr(order, k) for k in order.__struct_fields__}, **fields})


def test_without_the_extra_there_are_tables(order: Order, bare: dict[str, str]) -> None:
    """And a sentence that says how to get charts."""
    with_charts = make(order, {})
    assert [name for name, _ in with_charts.pictures] == ["chart0"]
    assert with_charts.pictures[0][1].startswith(b"\x89PNG")
    assert "cid:chart0" in with_charts.html
    without = make(order, bare)
    assert without.pictures == ()
    assert "<img" not in without.html
    for text in (without.html, without.text):
        assert "pip install" in text
        assert "1.5" in text
    with pytest.raises(MotehubError, match=r"PDF needs .*pip install 'motehub\[reports\]'"):
        make(changed(order, mail=False, wants="pdf"), bare)


def test_a_day_on_which_clocks_change_is_whole(tmp_path: Path) -> None:
    """It has 25 hours from midnight to midnight, in the times, the durations and the charts."""
    SqliteLog(tmp_path, 1).close()
    paris = ZoneInfo("Europe/Paris")
    midnights = (datetime(2026, 10, day, tzinfo=paris) for day in (25, 26))
    begin, end = (int(one.timestamp()) * MICROSECONDS for one in midnights)
    assert end - begin == 25 * HOUR
    with closing(SqliteHistory(tmp_path)) as store:
        with_devices(store)
        fold(store, entries=[SeriesAdded(Series(9, 1, "door", "", Kind.TEXT))])
        fold(store, [(1, begin + n * HOUR, float(n)) for n in range(25)])
        times = [begin - HOUR, begin + 15 * HOUR]
        fold(store, entries=[TextReadings(9, times, ["shut", "open"])])
    report = report_of({"name": "R", "schedule": "0 7 * * *", "period": "day", "csv": True})
    due = begin + 32 * HOUR
    span = period_of(report.period, report.schedule, paris, due, None)
    assert span == (begin, end)
    order = Order(str(tmp_path), "sqlite", encode(report), *span, "Europe/Paris", mail=True)
    made = make(order, {})
    assert made.subject.endswith("R: 25 Oct 2026, 00:00 to 26 Oct 2026, 00:00")
    assert "shut for 15 h, 60 % of the time" in made.text
    assert "open for 10 h, 40 % of the time" in made.text
    assert "2026, 00:00 (Europe/Paris)" in made.html
    assert [name for name, _ in made.pictures] == ["chart0", "chart1"]
    assert made.sheet is not None
    assert made.sheet.count(b",t,") == 25


def test_what_goes_wrong_is_one_sentence(order: Order) -> None:
    """Of whoever could not make it: a folder without a hub, an order that is none, a kill."""
    with pytest.raises(MotehubError, match=r"^The report could not be made: "):
        make(changed(order, report=b"rubbish"), {})
    with pytest.raises(MotehubError, match=r"nowhere"):
        make(changed(order, folder="nowhere"), {})
    with pytest.raises(MotehubError, match=r"killed \(signal 9\)"):
        make(order, {}, subprocess.Popen.kill)


async def test_a_preview_ends_in_its_time(order: Order) -> None:
    """And leaves no process behind."""
    made = await make_soon(changed(order, mail=False, wants="txt"), {}, 60)
    assert isinstance(made, Made)
    assert b"temperature" not in made.content
    assert b"t \xc2\xb0C" in made.content
    with pytest.raises(MotehubError, match="took too long"):
        await make_soon(order, {}, 0.001)


def test_who_asks_imports_nothing_that_draws() -> None:
    """Neither the hub nor the process of alerts."""
    code = (
        "import sys, motehub.alert, motehub.web._api_reports; "
        "print({'matplotlib', 'numpy', 'fpdf', 'cronsim'} & set(sys.modules))"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert child.stdout.strip() == "set()"
