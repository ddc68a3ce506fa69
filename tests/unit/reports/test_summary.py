"""What reports say, against what readings come to when each is looked at."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator
from contextlib import closing
from math import fsum, nan
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.test_rollups import DAY, HOUR, SECOND, START, fold, settle

from motehub.alerts.rule import Facts, Rule, rule_of
from motehub.frames import DeviceChanged, Entry, SeriesAdded, TextReadings
from motehub.history_contract import HistoryStore
from motehub.languages import Words
from motehub.model import Admission, Device, Kind, Series
from motehub.reports import charts, spans, summary
from motehub.reports.contents import AlertPart, Contents, Limit, Remark
from motehub.reports.sheet import MOST_ROWS, sheet_of
from motehub.reports.spans import sweep
from motehub.reports.summary import MOST_ALERTS, Known, select, summarise
from motehub.reports.words import Phrases
from motehub.schedules.report import Report, report_of
from motehub.stores.sqlite import SqliteHistory

UTC = ZoneInfo("UTC")
MINUTE = 60 * SECOND
Rows = list[tuple[int, float]]
ABOVE, BELOW = Limit(20.0, above=True), Limit(5.0, above=False)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HistoryStore]:
    """A store with two devices."""
    with closing(SqliteHistory(tmp_path)) as store:
        yield with_devices(store)


def with_devices(store: HistoryStore) -> HistoryStore:
    entries: list[Entry] = [
        DeviceChanged(Device(1, "cellar", "x", ("i:a",), Admission.ACCEPTED, START)),
        DeviceChanged(Device(2, "attic", "x", ("i:b",), Admission.ACCEPTED, START)),
        DeviceChanged(Device(3, "new", "x", ("i:c",), Admission.PENDING, START)),
        SeriesAdded(Series(1, 1, "temperature", "°C")),
        SeriesAdded(Series(2, 1, "humidity", "%")),
        SeriesAdded(Series(3, 2, "temperature", "°C")),
        SeriesAdded(Series(4, 2, "mode", "", Kind.TEXT)),
    ]
    fold(store, entries=entries)
    return store


def say(store: HistoryStore, series: int, rows: Rows) -> None:
    fold(store, [(series, time, value) for time, value in rows])


def brute(rows: Rows, since: int, until: int, longest: int) -> tuple[list[int], int, int, int]:
    """Return µs beyond each limit, gaps, the longest of them, and µs with readings."""
    inside = [row for row in rows if since <= row[0] < until]
    if any(time < since for time, _ in rows):
        inside.insert(0, (since, nan))
    beyond, gaps, longest_gap, held = [0, 0], 0, 0, 0
    for (time, value), after in zip(inside, [*[t for t, _ in inside[1:]], until], strict=True):
        step = after - time
        if step > longest:
            gaps, longest_gap = gaps + 1, max(longest_gap, step)
        step = min(step, longest)
        held += step if value == value else 0
        beyond[0] += step if value > 20 else 0
        beyond[1] += step if value < 5 else 0
    return beyond, gaps, longest_gap, held


def walk(seed: int, step: float, hours: float) -> Rows:
    """Return readings that wander over the limits, with pauses, from before the start on."""
    dice = random.Random(seed)
    value, time, rows = 12.0, START - HOUR, []
    while time < START + hours * HOUR:
        value += dice.uniform(-1, 1) * step**0.5 / 2 + (12 - value) * 0.01
        rows.append((time, round(value, 2)))
        time += max(1, round(step * SECOND * dice.uniform(0.5, 1.5)))
        if dice.random() < 0.01:
            time += round(dice.uniform(0, 20) * MINUTE)
    return rows


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6),
    step=st.sampled_from([5.0, 20.0, 59.0, 200.0]),
    begin=st.integers(-10 * MINUTE, 20 * MINUTE),
    length=st.integers(1, 3 * HOUR),
    longest=st.sampled_from([2 * MINUTE, 5 * MINUTE, HOUR]),
)
def test_minutes_tell_the_same_as_readings(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    step: float,
    begin: int,
    length: int,
    longest: int,
) -> None:
    """Time beyond limits, gaps and time with readings, to the microsecond."""
    monkeypatch.setattr(spans, "FEW_READINGS", -1)
    rows = walk(seed, step, 3)
    with closing(SqliteHistory(tmp_path_factory.mktemp("h"))) as store:
        say(with_devices(store), 1, rows)
        since, until = START + begin, START + begin + length
        found = sweep(store, store, 1, since, until, (ABOVE, BELOW), longest, count=len(rows))
    expected = brute(rows, since, until, longest)
    assert (found.beyond, found.gaps, found.longest_gap, found.held) == expected


def contents(
    store: HistoryStore,
    report: Report,
    known: Known,
    span: tuple[int, int] = (START, START + DAY),
) -> Contents:
    chosen = select(store, report, known.said)
    return summarise(store, store, report, chosen, known, span, "hub", UTC)


def report(**more: object) -> Report:
    return report_of({"name": "r", "schedule": "0 7 * * *", **more})


def test_numbers_are_those_of_all_readings(store: HistoryStore) -> None:
    """Lowest, highest, mean, last and count, from rollups or not, and what was expected."""
    rows = walk(1, 30, 30)
    say(store, 1, rows)
    settle(store, START + 20 * HOUR)
    since, until = START + 7 * MINUTE + 3, START + DAY - 11
    known = Known(said={1: Facts((), 30.0)})
    found = contents(store, report(), known, (since, until))
    assert [one.name for one in found.devices] == ["attic", "cellar"]
    cellar = found.devices[1]
    part = next(one for one in cellar.series if one.metric == "temperature")
    values = [value for time, value in rows if since <= time < until]
    assert (part.count, part.low, part.high) == (len(values), min(values), max(values))
    assert part.last == values[-1]
    assert part.mean == pytest.approx(fsum(values) / len(values))
    assert cellar.availability is not None
    assert 0.5 < cellar.availability < 1
    assert next(one for one in cellar.series if one.metric == "humidity").count == 0
    assert found.charts[0].metric == "temperature"
    assert len(found.charts[0].lines) == 1


def test_availability_is_told_by_day(store: HistoryStore) -> None:
    """In the zone of the report, the first and the last day as far as they are in it."""
    day = START + 12 * HOUR
    rows = [(day + n * MINUTE, 1.0) for n in range(2 * 24 * 60) if not 1_000 <= n < 1_720]
    say(store, 1, rows)
    settle(store, START + 4 * DAY)
    known = Known(said={1: Facts((), 60.0)})
    found = contents(store, report(devices=["cellar"]), known, (day, day + 2 * DAY))
    (first, second, third) = found.devices[0].days
    assert first.share == 1.0
    assert second.share == pytest.approx(0.5, abs=0.01)
    assert third.share == 1.0
    assert found.devices[0].availability == pytest.approx(0.75, abs=0.01)
    one = contents(store, report(devices=["cellar"]), known, (day, day + 6 * HOUR))
    assert one.devices[0].days == ()


def test_limits_are_those_of_rules_or_of_the_report(store: HistoryStore) -> None:
    """A rule for others, or that is about something else, has none."""
    say(store, 1, [(START + n * MINUTE, 10.0 + 15 * (n % 2)) for n in range(60)])
    rules: list[Rule] = [
        rule_of({"name": "warm", "metric": "temperature", "above": 20}),
        rule_of({"name": "attic", "metric": "temperature", "devices": ["attic"], "above": 1}),
        rule_of({"name": "quick", "metric": "temperature", "rises": 5}),
    ]
    span = (START, START + HOUR)
    found = contents(store, report(metrics=["temp*"]), Known(rules), span)
    ((warm,),) = [one.beyond for one in found.devices[1].series]
    assert (warm.limit, warm.seconds) == (Limit(20, True, "warm"), 1800)
    assert warm.share == 0.5
    own = contents(store, report(metrics=["temperature"], below=11), Known(rules), span)
    ((cold,),) = [one.beyond for one in own.devices[1].series]
    assert (cold.limit, cold.seconds) == (Limit(11, above=False), 1800)


def test_a_report_is_about_its_devices(store: HistoryStore) -> None:
    """By name or label, with their alerts; a device that waits for approval is in none."""
    alerts = [AlertPart("cellar", f"a{n}", "warning", START + n, START + n + 1) for n in range(20)]
    alerts += [AlertPart("attic", "b", "warning", START, None)]
    known = Known(said={1: Facts(("cold",))}, alerts=alerts)
    found = contents(store, report(labels=["cold"]), known)
    assert [one.name for one in found.devices] == ["cellar"]
    assert (found.alert_count, len(found.alerts)) == (20, MOST_ALERTS)
    assert found.alerts[0].text == "a19"
    both = contents(store, report(), known)
    assert both.alerts[0].text == "b"
    assert contents(store, report(devices=["none"]), known).devices == ()


def test_the_file_has_all_readings_or_their_means(
    store: HistoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing in it is worked out by a program for tables."""
    fold(store, entries=[DeviceChanged(Device(1, "=cmd", "x", ("i:a",), Admission.ACCEPTED, 5))])
    rows = [(START + n * 10 * SECOND, float(n % 7)) for n in range(1_000)]
    say(store, 1, rows)
    say(store, 3, [(START + 1, -1.0)])
    chosen = select(store, report(), {})
    said = contents(store, report(), Known())
    sheet = sheet_of(store, store, chosen, said)
    lines = list(csv.reader(io.StringIO(sheet.content.decode())))
    assert sheet.rows == "all"
    assert len(lines) == 1 + 1_001
    assert lines[2][1:4] == ["attic", "temperature", "-1.0"]
    assert {line[1] for line in lines[1:]} == {"attic", "'=cmd"}
    monkeypatch.setattr("motehub.reports.sheet.MOST_ROWS", 500)
    reduced = sheet_of(store, store, chosen, said)
    assert reduced.rows == "hour"
    lines = list(csv.reader(io.StringIO(reduced.content.decode())))
    assert lines[0][3:8] == ["min", "max", "mean", "last", "count"]
    assert sum(int(line[7]) for line in lines[1:]) == 1_001
    assert len(lines) < 500 < MOST_ROWS


def test_states_last_until_the_next(store: HistoryStore) -> None:
    """How long each was said, and how often they changed; before the first nothing is known."""
    said = [(0, "off"), (10, "on"), (20, "on"), (40, "off"), (50, "on")]
    times = [START + n * MINUTE for n, _ in said]
    fold(store, entries=[TextReadings(4, times, [text for _, text in said])])
    found = contents(
        store, report(devices=["attic"], metrics=["mode"]), Known(), (START, START + HOUR)
    )
    (mode,) = found.devices[0].series
    assert [(one.name, one.seconds) for one in mode.states] == [("on", 2_400.0), ("off", 1_200.0)]
    assert sum(one.share for one in mode.states) == pytest.approx(1)
    assert (mode.count, mode.changes, mode.last) == (5, 3, "on")
    assert Phrases(Words("en"), UTC).notes(mode) == [
        "on for 40 min, 66.7 % of the time",
        "off for 20 min, 33.3 % of the time",
        "3 changes",
    ]


def test_numbers_that_are_states_are_told_as_states(store: HistoryStore) -> None:
    """A button has times and changes, not a mean; its time beyond a limit is that of its state."""
    fold(store, entries=[SeriesAdded(Series(5, 2, "button", ""))])
    say(store, 5, [(START - HOUR, 0.0), (START + 20 * MINUTE, 1.0), (START + 50 * MINUTE, 0.0)])
    rule = rule_of({"name": "pressed", "metric": "button", "above": 0.5})
    span = (START, START + HOUR)
    found = contents(store, report(metrics=["button"]), Known([rule]), span)
    (button,) = found.devices[0].series
    assert (button.low, button.mean, button.high, button.last) == (None, None, None, "0")
    assert [(one.name, one.seconds) for one in button.states] == [("0", 1_800.0), ("1", 1_800.0)]
    assert (button.count, button.changes) == (2, 2)
    assert [(one.seconds, one.share) for one in button.beyond] == [(1_800.0, 0.5)]
    say(store, 5, [(START + 55 * MINUTE, 2.5)])
    found = contents(store, report(metrics=["button"]), Known(), span)
    assert found.devices[0].series[0].high == 2.5


def test_a_state_that_did_not_change_is_told_all_the_same(store: HistoryStore) -> None:
    """A door that was shut before, and of which nothing came, was shut; it needs no chart."""
    fold(store, entries=[TextReadings(4, [START - DAY], ["shut"])])
    found = contents(store, report(metrics=["mode"]), Known())
    (door,) = found.devices[0].series
    assert (door.count, door.changes, door.last) == (0, 0, "shut")
    assert [(one.name, one.seconds, one.share) for one in door.states] == [("shut", 86_400.0, 1.0)]
    assert found.charts == ()


def test_states_are_charted_as_bands(store: HistoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the lines of numbers; what has no colour of its own is drawn together."""
    monkeypatch.setattr(charts, "MOST_NAMED", 2)
    fold(store, entries=[SeriesAdded(Series(5, 1, "mode", ""))])
    say(store, 1, [(START, 20.0), (START + HOUR, 21.0)])
    say(store, 5, [(START, 0.0), (START + 12 * HOUR, 1.0)])
    texts = ["a", "b", "c", "a"]
    times = [START + n * 6 * HOUR for n in range(4)]
    fold(store, entries=[TextReadings(4, times, texts)])
    lines, bands = contents(store, report(), Known()).charts
    assert (lines.metric, lines.bands) == ("temperature", ())
    assert (bands.metric, bands.lines, bands.states) == ("mode", (), ("0", "1", None))
    attic, cellar = bands.bands
    assert (attic.label, cellar.label) == ("attic", "cellar")
    assert (attic.starts[0], attic.ends[-1]) == (START, START + DAY)
    assert set(attic.shares[2]) == {1.0}
    half = len(cellar.starts) // 2
    assert cellar.shares[0] == [1.0] * half + [0.0] * half
    assert cellar.shares[1] == [0.0] * half + [1.0] * half


def test_the_file_has_times_of_states(store: HistoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where readings are too many, a row for each state in an hour, its seconds and changes."""
    fold(store, entries=[SeriesAdded(Series(5, 1, "button", ""))])
    say(store, 5, [(START + n * MINUTE, float(n % 2)) for n in range(60)])
    fold(store, entries=[TextReadings(4, [START, START + HOUR], ["=a", "b"])])
    span = (START, START + 2 * HOUR)
    chosen, said = select(store, report(), {}), contents(store, report(), Known(), span)
    monkeypatch.setattr("motehub.reports.sheet.MOST_ROWS", 20)
    made = sheet_of(store, store, chosen, said)
    rows = list(csv.DictReader(io.StringIO(made.content.decode())))
    assert [(row["device"], row["state"], row["seconds"], row["changes"]) for row in rows] == [
        ("attic", "'=a", "3600.0", "0"),
        ("attic", "b", "3600.0", "1"),
        ("cellar", "1", "1800.0", "59"),
        ("cellar", "0", "1800.0", "59"),
        ("cellar", "1", "3600.0", "0"),
    ]
    assert {row["mean"] for row in rows} == {""}


def test_a_report_about_very_many_stays_short(
    store: HistoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Devices for which there is no room are counted, not listed as if they had nothing."""
    monkeypatch.setattr(summary, "MOST_SERIES", 3)
    more: list[Entry] = []
    for number in range(10, 20):
        device = Device(number, f"d{number}", "x", (f"i:{number}",), Admission.ACCEPTED, START)
        more += [DeviceChanged(device), SeriesAdded(Series(number, number, "temperature", "°C"))]
    fold(store, entries=more)
    say(store, 10, [(START, 1.0)])
    report = report_of({"name": "r", "schedule": "0 7 * * *", "metrics": ["temperature"]})
    alerts = [AlertPart("d19", "d19: too warm", "critical", START, None)]
    selection = select(store, report, {})
    assert [device.name for device, _ in selection.devices] == ["attic", "cellar", "d10"]
    span = (START, START + DAY)
    contents = summarise(store, store, report, selection, Known(alerts=alerts), span, "hub", UTC)
    assert [one.name for one in contents.devices] == ["attic", "cellar", "d10"]
    assert contents.alert_count == 1
    assert Remark("few_devices", 9) in contents.remarks
