"""Rollups of every history store, against what its readings come to when they are summed up."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from math import fsum
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.servers import PostgresServer

from motehub import parts
from motehub.core.buckets import reduce_series
from motehub.core.history import make_fold
from motehub.core.steps import drain
from motehub.frames import (
    Columns,
    DeviceChanged,
    DeviceRemoved,
    Entry,
    Frame,
    HeldReleased,
    SeriesAdded,
)
from motehub.history_contract import HistoryStore
from motehub.model import Admission, Device, Series
from motehub.rollups import TIERS

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
START = 20_500 * DAY
FOREVER = 2**62

Opener = Callable[[], HistoryStore]


@pytest.fixture(params=parts.store_names())
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of store in turn."""
    return str(request.param)


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest) -> str:
    """Address of a new database, where the store has one."""
    return str(request.getfixturevalue("database")) if parts.store(kind).schemes else ""


@pytest.fixture
def opener(kind: str, url: str, tmp_path: Path) -> Iterator[Opener]:
    """Open the same store again and again, for writing."""
    opened: list[HistoryStore] = []

    def open_store() -> HistoryStore:
        opened.append(parts.store(kind).open(tmp_path, url, False))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture
def store(opener: Opener) -> HistoryStore:
    """A store with two devices, of which the second waits for approval."""
    return with_devices(opener())


def with_devices(store: HistoryStore) -> HistoryStore:
    entries: list[Entry] = [
        DeviceChanged(Device(1, "a", "x", ("i:a",), Admission.ACCEPTED, 5)),
        DeviceChanged(Device(2, "b", "x", ("i:b",), Admission.PENDING, 5)),
        SeriesAdded(Series(1, 1, "t", "°C")),
        SeriesAdded(Series(2, 1, "u", "°C")),
        SeriesAdded(Series(3, 2, "t", "°C")),
    ]
    fold(store, entries=entries)
    return store


def columns(rows: list[tuple[int, int, float]]) -> Columns:
    made = Columns()
    for series, time, value in rows:
        made.add(series, array("q", [time]), array("d", [value]))
    return made


def fold(
    store: HistoryStore,
    rows: list[tuple[int, int, float]] | None = None,
    *,
    held: list[tuple[int, int, float]] | None = None,
    entries: list[Entry] | None = None,
) -> None:
    start = store.position()
    known = {series.id: series.device for series in store.registry()[1]}
    frame = Frame(1000, columns(rows or []), columns(held or []), entries or [])
    store.fold(make_fold([(start + 1, frame)], known))


def settle(store: HistoryStore, until: int) -> None:
    while store.settle_some(until):
        pass


def table(store: HistoryStore, name: str) -> list[Any]:
    return [row for page in store.dump(name) for row in page]


def check(store: HistoryStore) -> None:
    """Compare the rollups of every tier with the readings that are stored."""
    readings = table(store, "reading")
    settled = store.settled()
    for tier, width in TIERS.items():
        parted: dict[tuple[int, int], list[tuple[int, float]]] = {}
        for series, time, value in readings:
            if tier != "minute" and time >= settled.before(tier, series):
                continue
            parted.setdefault((series, time // width * width), []).append((time, value))
        expected = [summed_up(*key, rows) for key, rows in parted.items()]
        found = table(store, f"reading_{tier}")
        exact = [(*row[:5], *row[6:]) for row in found]
        assert exact == [(*row[:5], *row[6:]) for row in expected]
        assert [row[5] for row in found] == pytest.approx([row[5] for row in expected], abs=1e-9)


def summed_up(series: int, start: int, rows: list[tuple[int, float]]) -> tuple[Any, ...]:
    values = [value for _, value in rows]
    return series, start, len(values), min(values), max(values), fsum(values), *rows[-1]


# Near the bounds of minutes, hours and days, of two days, and before 1970.
MOMENTS = st.one_of(
    st.integers(0, 20).map(lambda n: START + n * 29 * SECOND),
    st.integers(-4, 4).map(lambda n: START + DAY + n),
    st.integers(0, 50).map(lambda n: START + n * 3_599 * SECOND),
    st.integers(-5, 5).map(lambda n: n * 40 * SECOND),
)
ROWS = st.lists(st.tuples(st.integers(1, 2), MOMENTS, st.floats(-1e6, 1e6)), max_size=12)
HELD = st.lists(st.tuples(st.just(3), MOMENTS, st.floats(-1e6, 1e6)), max_size=6)
STEP = st.one_of(
    st.tuples(st.just("readings"), ROWS),
    st.tuples(st.just("readings"), ROWS),
    st.tuples(st.just("held"), HELD),
    st.tuples(st.just("released"), ROWS),
    st.tuples(st.just("own"), HELD),
    st.tuples(st.just("rebuild"), st.just([])),
    st.tuples(st.just("some"), st.just([])),
    st.tuples(st.just("settle"), st.integers(-26, 60)),
    st.tuples(st.just("settle"), st.integers(-26, 60)),
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(STEP, min_size=1, max_size=8), st.booleans())
def test_rollups_are_those_of_the_readings_whatever_came(
    kind: str,
    tmp_path_factory: pytest.TempPathFactory,
    postgres: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
    steps: list[tuple[str, Any]],
    removed: bool,
) -> None:
    """Late, backdated, repeated and released readings, removals and rebuilds between them.

    Hours and days are made up to some time, in steps that other things come between.
    """
    monkeypatch.setattr("motehub.rolling.MINUTES_AT_ONCE", 1)
    with new_store(kind, postgres, tmp_path_factory) as store:
        with_devices(store)
        for what, rows in steps:
            if what == "held":
                fold(store, held=rows)
            elif not rolled_on(store, what, rows):
                fold(store, rows, entries=[HeldReleased(2)] if what == "released" else [])
            if not store.unrolled():
                check(store)
        roll_all(store, check)
        assert store.settled().before("day", 1) >= START + 3 * DAY
        if removed:
            fold(store, entries=[DeviceRemoved(1)])
            check(store)


@contextmanager
def new_store(
    kind: str, postgres: PostgresServer, folders: pytest.TempPathFactory
) -> Iterator[HistoryStore]:
    """Give an empty store, one of many within a test."""
    url = postgres.new_database() if parts.store(kind).schemes else ""
    with closing(parts.store(kind).open(folders.mktemp("store"), url, False)) as store:
        yield store
    if url:
        postgres.drop(url)


def rolled_on(store: HistoryStore, what: str, hours: Any) -> bool:
    """Do what a writer does between folds, if ``what`` is such a thing."""
    if what == "rebuild":
        store.begin_rebuild()
    elif what == "some":
        store.rebuild_some()
    elif what == "settle":
        store.settle_some(START + hours * HOUR)
    else:
        return False
    return True


def roll_all(store: HistoryStore, check: Callable[[HistoryStore], None]) -> None:
    """Bring all rollups up to date, and check them before hours and days are made and after."""
    while store.rebuild_some():
        pass
    check(store)
    settle(store, START + 3 * DAY)
    check(store)


def test_a_repetition_among_new_readings(store: HistoryStore) -> None:
    """The reading that was first is the one that counts."""
    fold(store, [(1, START + 1, 5.0), (1, START + 2, 1.0)])
    fold(store, [(1, START + 2, 99.0), (1, START + 3, 2.0), (1, START + DAY, 3.0)])
    check(store)
    settle(store, START + 2 * DAY)
    (first, second) = table(store, "reading_day")
    assert first == (1, START, 3, 1.0, 5.0, 8.0, START + 3, 2.0)
    assert second == (1, START + DAY, 1, 3.0, 3.0, 3.0, START + DAY, 3.0)


def test_removal_takes_rollups_along(store: HistoryStore) -> None:
    """Those of other devices stay; what was still to be rolled up is not any more."""
    fold(store, [(1, START, 1.0)], held=[(3, START, 2.0)], entries=[])
    fold(store, entries=[HeldReleased(2)])
    store.begin_rebuild()
    fold(store, entries=[DeviceRemoved(1)])
    assert [row[0] for row in table(store, "reading_minute")] == [3]
    assert store.unrolled() == {3}
    assert store.rebuild_some()
    check(store)


def test_the_largest_numbers_stop_nothing(store: HistoryStore) -> None:
    """A total that is no number any more is left out; chart and fold go on."""
    large = 1.7e308
    tiny = 5e-324
    rows = [(1, START + n * SECOND, large) for n in range(3)]
    fold(store, rows[:1])
    fold(store, rows[1:])
    fold(store, [(1, START + 10 * SECOND, -large), (2, START, tiny)])
    fold(store, [(2, START + 1, tiny)])
    (minute, other) = table(store, "reading_minute")
    assert minute[:6] == (1, START, 4, -large, large, None)
    assert other[:6] == (2, START, 2, tiny, tiny, 2 * tiny)
    assert store.begin_rebuild() == 6
    while store.rebuild_some():
        pass
    (again, _) = table(store, "reading_minute")
    assert again == minute
    (mean,) = reduced(store, 1, START, START + DAY, 1)["mean"]
    assert mean == pytest.approx(large / 2)


def test_a_rebuild_goes_on_where_it_was_interrupted(
    opener: Opener, kind: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is folded meanwhile is in it, and what was wrong is right afterwards."""
    monkeypatch.setattr("motehub.rolling.READINGS_AT_ONCE", 3)
    store = with_devices(opener())
    rows = [(n % 2 + 1, START + n * DAY // 2, float(n)) for n in range(20)]
    fold(store, rows)
    spoil(kind, url, tmp_path, "UPDATE reading_hour SET high = 1e9")
    assert store.begin_rebuild() == 20
    assert store.rebuild_some() == 3
    assert store.begin_rebuild() == 17
    store.close()
    store = opener()
    assert store.unrolled() == {1, 2, 3}
    fold(store, [(1, START + 1, -1.0), (1, START + 9 * DAY + 1, 7.0), (2, START, 8.0)])
    steps = [store.rebuild_some() for _ in range(10)]
    assert sum(steps) == 19
    assert store.unrolled() == set()
    check(store)


def spoil(kind: str, url: str, folder: Path, statement: str) -> None:
    if url:
        with psycopg.connect(url) as server:
            server.execute(statement.encode())
    else:
        with closing(sqlite3.connect(folder / "motehub.db")) as file, file:
            file.execute(statement)


def reduced(
    store: HistoryStore, series: int, since: int, until: int, points: int
) -> dict[str, list[float]]:
    buckets = drain(reduce_series(store, series, since, until, points))
    names = ("starts", "low", "high", "mean", "last", "counts")
    return {name: list(getattr(buckets, name)) for name in names}


@pytest.mark.parametrize("settled", [22 * DAY + 5 * HOUR, 40 * DAY])
@pytest.mark.parametrize(
    ("since", "until", "points", "tiers"),
    [
        (0, 3_600, 100, []),
        (17, 7_321, 50, ["minute"]),
        (5, 30 * 86_400, 300, ["hour", "minute"]),
        (1_234.5, 29 * 86_400 + 5, 10, ["day", "hour", "minute"]),
        (-86_400 * 365 + 1, 60 * 86_400, 1, ["day", "hour", "minute"]),
        (3, 30 * 86_400, 800, ["hour", "minute"]),
        (0, 40 * 86_400, 800, ["minute"]),
        (59, 86_400, 800, ["minute"]),
    ],
)
def test_a_chart_from_rollups_is_that_from_readings(
    store: HistoryStore,
    monkeypatch: pytest.MonkeyPatch,
    since: float,
    until: float,
    points: int,
    tiers: list[str],
    settled: int,
) -> None:
    """Whichever tier serves, the buckets are those of the readings, however the range begins.

    Some of the range has hours and days already, whether readings came before they did or after.
    What a store sums up at once is less than a bucket, or more.
    """
    monkeypatch.setattr("motehub.summed.ROWS_AT_ONCE", 300)
    times = range(-500, 2_600_000, 1_009)
    rows = [(1, START + n * SECOND, float(n * 7 % 1_000)) for n in times]
    fold(store, rows[:1_900])
    settle(store, START + settled)
    fold(store, rows[1_900:])
    begin, end = START + round(since * SECOND), START + round(until * SECOND)
    used: set[str] = set()
    sums = store.sums

    def watched(series: int, tier: str, *how: Any) -> Any:
        used.add(tier)
        return sums(series, tier, *how)

    monkeypatch.setattr(store, "sums", watched)
    found = reduced(store, 1, begin, end, points)
    assert used == set(tiers)
    used.clear()
    store.begin_rebuild()
    expected = reduced(store, 1, begin, end, points)
    assert not used
    assert len(found["starts"]) <= points
    assert found.pop("mean") == pytest.approx(expected.pop("mean"))
    assert found == expected
    assert sum(found["counts"]) == sum(begin <= START + n * SECOND < end for n in times)
    assert min(found["starts"]) >= begin


def test_a_spike_of_a_second_shows_in_a_chart_of_a_year(store: HistoryStore) -> None:
    """Of a reading a minute, one is high and one is low; both are in the 800 points of a year."""
    made = Columns()
    times = array("q", range(START, START + 365 * DAY, 60 * SECOND))
    values = array("d", [20.0]) * len(times)
    values[300_000], values[400_000] = 85.0, -40.0
    made.add(1, times, values)
    store.fold(make_fold([(2, Frame(1, made, Columns(), []))], {1: 1}))
    settle(store, START + 364 * DAY + HOUR)
    found = reduced(store, 1, START, START + 365 * DAY, 800)
    assert 400 < len(found["starts"]) <= 800
    assert (max(found["high"]), min(found["low"])) == (85.0, -40.0)
    assert sum(found["counts"]) == len(times)


def test_hours_are_made_in_steps_that_an_interruption_does_not_harm(
    opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two steps some series have them and others not; whatever comes then is in all."""
    monkeypatch.setattr("motehub.rolling.MINUTES_AT_ONCE", 1)
    store = with_devices(opener())
    rows = [(n % 2 + 1, START + n * HOUR, float(n)) for n in range(60)]
    fold(store, rows)
    assert store.settle_some(START + 2 * DAY)
    assert {row[0] for row in table(store, "reading_day")} == {1}
    store.close()
    store = opener()
    fold(store, [(n, START + at, 3.0) for n in (1, 2) for at in (5, DAY + 7, 2 * DAY + HOUR)])
    fold(store, [(2, START - 40 * DAY, 4.0)])
    check(store)
    settle(store, START + 2 * DAY)
    check(store)
    assert {row[1] for row in table(store, "reading_day")} == {
        START - 40 * DAY,
        START,
        START + DAY,
    }
    assert not store.settle_some(START + DAY)
    found = reduced(store, 2, START - 50 * DAY, START + 3 * DAY, 10)
    assert sum(found["counts"]) == 33


def test_a_day_is_made_also_when_nothing_came_after_its_hours(store: HistoryStore) -> None:
    """Its hours were made before it was over."""
    fold(store, [(1, START + HOUR, 1.0), (2, START + 2 * HOUR, 2.0)])
    settle(store, START + 5 * HOUR)
    assert table(store, "reading_day") == []
    settle(store, START + 30 * HOUR)
    assert [row[:2] for row in table(store, "reading_day")] == [(1, START), (2, START)]
    check(store)
