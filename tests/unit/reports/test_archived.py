"""Reports about times of which the readings are not in the store any more."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.contract.test_rollups import DAY, HOUR, SECOND, START, fold, settle
from tests.unit.reports.test_summary import ABOVE, BELOW, MINUTE, UTC, brute, report, walk

from motehub.archive.history import WholeHistory
from motehub.archive.making import make_month
from motehub.archived import month_after
from motehub.frames import DeviceChanged, SeriesAdded, TextReadings
from motehub.history_contract import Expiring
from motehub.model import Admission, Device, Kind, Series
from motehub.reports import spans
from motehub.reports.sheet import sheet_of
from motehub.reports.spans import longest_step, sweep
from motehub.reports.summary import Known, select, summarise
from motehub.rollups import Kept
from motehub.stores.sqlite import SqliteHistory

AFTER = month_after(START)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteHistory]:
    """A store with a device, of which there are readings on both sides of a month's end."""
    with closing(SqliteHistory(tmp_path)) as store:
        fold(
            store,
            entries=[
                DeviceChanged(Device(1, "cellar", "x", ("i:a",), Admission.ACCEPTED, START)),
                SeriesAdded(Series(1, 1, "temperature", "°C")),
                SeriesAdded(Series(2, 1, "mode", "", Kind.TEXT)),
            ],
        )
        yield store


def rows() -> list[tuple[int, float]]:
    """Return readings from three hours before the end of the month to three hours after it."""
    return [(time - START + AFTER - 2 * HOUR, value) for time, value in walk(3, 20.0, 5)]


def delete(store: SqliteHistory, folder: Path, *, archive: bool) -> None:
    """Delete the readings of the month, into the archive or not."""
    settle(store, AFTER + DAY)
    todo = [Expiring(1, Kept(raw=AFTER)), Expiring(2, Kept(raw=AFTER), texts=True)]
    if archive:
        month = make_month(store, folder, todo)
        assert month.file is not None
        store.note_archived(month.file, month.parts)
    done, _ = store.expire_some(todo, 1_000_000)
    assert done == 2


@pytest.mark.parametrize("few", [-1, 10**6])
def test_time_beyond_limits_is_found_in_the_archive(
    tmp_path: Path, store: SqliteHistory, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """To the microsecond, by minutes or by readings, before the edge and after it."""
    monkeypatch.setattr(spans, "FEW_READINGS", few)
    said = rows()
    fold(store, [(1, *row) for row in said])
    delete(store, tmp_path, archive=True)
    since, until = AFTER - HOUR - 7, AFTER + HOUR + 7
    raw = WholeHistory(store, tmp_path)
    assert next(iter(store.readings(1, since, AFTER)), None) is None
    found = sweep(store, raw, 1, since, until, (ABOVE, BELOW), 2 * MINUTE, count=len(said))
    expected = brute(said, since, until, 2 * MINUTE)
    assert (found.beyond, found.gaps, found.longest_gap, found.held) == expected
    assert longest_step(store, raw, 1, since, until) == 2 * MINUTE


def test_without_an_archive_minutes_tell_about_as_much(
    tmp_path: Path, store: SqliteHistory
) -> None:
    """What was deleted is no gap, though a late reading is there, and steps are known."""
    times = range(AFTER - 6 * HOUR, AFTER + HOUR, 10 * SECOND)
    fold(store, [(1, time, 30.0 if time % (2 * HOUR) < HOUR else 10.0) for time in times])
    delete(store, tmp_path, archive=False)
    fold(store, [(1, AFTER - 5 * HOUR + 1, 30.0)])
    span = AFTER - 4 * HOUR, AFTER + HOUR
    assert longest_step(store, store, 1, *span) == 2 * MINUTE
    found = sweep(store, store, 1, *span, (ABOVE,), 2 * MINUTE, count=len(times))
    assert found.gaps == 0
    assert found.beyond == [pytest.approx(_above(span), abs=MINUTE)]
    assert longest_step(store, store, 1, AFTER - 4 * HOUR, AFTER - HOUR) == 2 * MINUTE


def _above(span: tuple[int, int]) -> int:
    return sum(MINUTE for minute in range(*span, MINUTE) if minute % (2 * HOUR) < HOUR)


@pytest.mark.parametrize("archive", [True, False])
def test_the_file_has_readings_of_the_archive(
    tmp_path: Path, store: SqliteHistory, archive: bool
) -> None:
    """Where they are gone for good it has means, rather than half of the readings."""
    fold(store, [(1, AFTER + n * MINUTE, float(n)) for n in range(-120, 120)])
    fold(store, entries=[TextReadings(2, [AFTER - HOUR, AFTER + 5], ["old", "new"])])
    delete(store, tmp_path, archive=archive)
    raw = WholeHistory(store, tmp_path)
    chosen = select(store, report(), {})
    span = AFTER - 2 * HOUR, AFTER + 2 * HOUR
    contents = summarise(store, raw, report(), chosen, Known(), span, "hub", UTC)
    made = sheet_of(store, raw, chosen, contents)
    lines = list(csv.DictReader(io.StringIO(made.content.decode())))
    if archive:
        assert made.rows == "all"
        values = [line["value"] for line in lines if line["metric"] == "temperature"]
        assert values == [str(float(n)) for n in range(-120, 120)]
        assert [line["value"] for line in lines if line["metric"] == "mode"] == ["old", "new"]
    else:
        assert made.rows == "minute"
        assert {line["state"] for line in lines if line["metric"] == "mode"} == {"old", "new"}
    (temperature,) = [one for one in contents.devices[0].series if one.metric == "temperature"]
    assert (temperature.count, temperature.low, temperature.high) == (240, -120.0, 119.0)
