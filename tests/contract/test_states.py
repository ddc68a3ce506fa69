"""Rollups of states in every history store, against what its readings come to."""

from __future__ import annotations

from array import array
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.test_rollups import (
    DAY,
    HOUR,
    MOMENTS,
    SECOND,
    START,
    Opener,
    columns,
    kind,
    new_store,
    opener,
    roll_all,
    rolled_on,
    settle,
    table,
    url,
)
from tests.servers import PostgresServer

from motehub.core.history import make_fold
from motehub.core.state_buckets import StateBuckets, reduce_states
from motehub.core.steps import drain
from motehub.frames import (
    Columns,
    DeviceChanged,
    DeviceRemoved,
    Entry,
    Frame,
    HeldReleased,
    SeriesAdded,
    TextReadings,
)
from motehub.history_contract import Expiring, HistoryStore
from motehub.model import Admission, Device, Kind, Series
from motehub.rollups import TIERS, Kept
from motehub.states import MOST_STATES, name_of, stretch_of

__all__ = ["kind", "opener", "url"]

MINUTE = 60 * SECOND
SERIES = {
    1: Series(1, 1, "door", "", Kind.TEXT),
    2: Series(2, 1, "led", ""),
    3: Series(3, 1, "level", "cm"),
    4: Series(4, 2, "door", "", Kind.TEXT),
    5: Series(5, 2, "led", ""),
}

Row = tuple[int, int, Any]


@pytest.fixture
def store(opener: Opener) -> HistoryStore:
    """A store with two devices, of which the second waits for approval."""
    return with_devices(opener())


def with_devices(store: HistoryStore) -> HistoryStore:
    entries: list[Entry] = [
        DeviceChanged(Device(1, "a", "x", ("i:a",), Admission.ACCEPTED, 5)),
        DeviceChanged(Device(2, "b", "x", ("i:b",), Admission.PENDING, 5)),
        *map(SeriesAdded, SERIES.values()),
    ]
    fold(store, entries=entries)
    return store


def fold(
    store: HistoryStore, rows: list[Row] | None = None, *, entries: list[Entry] | None = None
) -> None:
    """Store readings of series 1 to 3; those of 4 and 5 wait for approval."""
    start = store.position()
    known = {series.id: series.device for series in store.registry()[1]}
    numbers: dict[bool, list[Row]] = {False: [], True: []}
    texts: list[Entry] = []
    for series, time, value in rows or []:
        if isinstance(value, str):
            texts.append(TextReadings(series, [time], [value], series > 3))
        else:
            numbers[series > 3].append((series, time, value))
    frame = Frame(1000, columns(numbers[False]), columns(numbers[True]), [*texts, *(entries or [])])
    store.fold(make_fold([(start + 1, frame)], known))


def readings(store: HistoryStore, series: int) -> list[tuple[int, str]]:
    """What is stored of a series as states."""
    kept = "text" if SERIES[series].kind is Kind.TEXT else "reading"
    rows = [row[1:] for row in table(store, kept) if row[0] == series]
    if kept == "text":
        return [(time, name_of(value)) for time, value in rows]
    return [(time, str(int(value))) for time, value in rows]


def slowly(rows: list[tuple[int, str]]) -> tuple[Any, ...]:
    """Count, changes, the first, the last, and how long each state lasted between them."""
    durations: dict[str, int] = {}
    changes = 0
    for (time, name), (after, other) in pairwise(rows):
        durations[name] = durations.get(name, 0) + after - time
        changes += name != other
    return len(rows), changes, *rows[0], *rows[-1], durations


def check(store: HistoryStore) -> None:
    """Compare the rollups of every tier with the readings that are stored."""
    settled = store.settled()
    numbers = store.states.numbers()
    known = {series.id for series in store.registry()[1]}
    with_states = {one for one in known if SERIES[one].kind is Kind.TEXT} | numbers
    for tier, width in TIERS.items():
        expected: dict[tuple[int, int], list[tuple[int, str]]] = {}
        for series in sorted(with_states):
            for time, name in readings(store, series):
                if tier == "minute" or time < settled.before(tier, series):
                    start = time // width * width
                    expected.setdefault((series, start), []).append((time, name))
        found = {}
        for row in table(store, f"state_{tier}"):
            one = stretch_of(row)
            bounds = one.first_time, one.first, one.last_time, one.last
            found[row[:2]] = one.count, one.changes, *bounds, one.durations
        assert found == {key: slowly(rows) for key, rows in expected.items()}, tier


NAMES = st.sampled_from(["on", "off", "", "a longer word " * 9, "ü"])
BITS = st.sampled_from([0.0, 1.0])
ROWS = st.lists(
    st.one_of(
        st.tuples(st.just(1), MOMENTS, NAMES),
        st.tuples(st.just(1), MOMENTS, NAMES),
        st.tuples(st.just(2), MOMENTS, BITS),
        st.tuples(st.just(3), MOMENTS, BITS),
        st.tuples(st.just(4), MOMENTS, NAMES),
        st.tuples(st.just(5), MOMENTS, BITS),
    ),
    max_size=14,
)
STEP = st.one_of(
    st.tuples(st.just("readings"), ROWS),
    st.tuples(st.just("readings"), ROWS),
    st.tuples(st.just("readings"), ROWS),
    st.tuples(st.just("released"), ROWS),
    st.tuples(st.just("other"), st.tuples(st.sampled_from([2, 5]), MOMENTS, st.just(0.5))),
    st.tuples(st.just("rebuild"), st.none()),
    st.tuples(st.just("some"), st.none()),
    st.tuples(st.just("settle"), st.integers(-26, 60)),
    st.tuples(st.just("settle"), st.integers(-26, 60)),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
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
    """Late, backdated, repeated and released readings, and what makes a number no state."""
    monkeypatch.setattr("motehub.rolling.MINUTES_AT_ONCE", 1)
    with new_store(kind, postgres, tmp_path_factory) as store:
        with_devices(store)
        released = False
        for what, given_ in steps:
            if what == "other":
                fold(store, [given_])
            elif what == "released":
                fold(store, given_, entries=[] if released else [HeldReleased(2)])
                released = True
            elif not rolled_on(store, what, given_):
                fold(store, given_)
            if not store.unrolled():
                check(store)
        roll_all(store, check)
        compare_buckets(store)
        if removed:
            fold(store, entries=[DeviceRemoved(1)])
            check(store)
            assert store.states.numbers() <= {5}


def reduced(
    store: HistoryStore, series: int, since: int, until: int, count: int, end: int = 2**62
) -> StateBuckets:
    return drain(reduce_states(store, SERIES[series], since, until, count, end))


def compare_buckets(store: HistoryStore) -> None:
    """Compare buckets of several widths with what all readings come to, one after the other."""
    for series in {1, *store.states.numbers() & {2}}:
        rows = readings(store, series)
        for since, until, count in (
            (START - 3 * HOUR - 7, START + 3 * DAY, 10),
            (START + 17, START + 2 * DAY + 5, 30),
            (START + 5 * MINUTE + 1, START + 9 * MINUTE, 4),
        ):
            found = reduced(store, series, since, until, count)
            expected = in_buckets(rows, since, until, found)
            assert list(found.starts) == sorted(expected)
            for place, start in enumerate(found.starts):
                one = {name: time for name, time in found.durations[place].items() if time}
                assert (found.counts[place], found.changes[place], one) == expected[start]


def in_buckets(
    rows: list[tuple[int, str]], since: int, until: int, like: StateBuckets
) -> dict[int, tuple[int, int, dict[str | None, int]]]:
    """What readings come to in buckets that lie as those of ``like``."""
    found: dict[int, list[Any]] = {}

    def at(time: int) -> list[Any]:
        return found.setdefault(like._grid.bucket(time)[0], [0, 0, {}])

    for number, (time, name) in enumerate(rows):
        if since <= time < until:
            one = at(time)
            one[0] += 1
            one[1] += number > 0 and rows[number - 1][1] != name
        after = rows[number + 1][0] if number + 1 < len(rows) else until
        moment = max(time, since)
        while moment < min(after, until):
            stop = min(like._grid.bucket(moment)[1], after, until)
            durations = at(moment)[2]
            durations[name] = durations.get(name, 0) + stop - moment
            moment = stop
    return {start: (one[0], one[1], one[2]) for start, one in found.items()}


@pytest.mark.parametrize("at_once", [59, 7])
def test_of_many_states_those_that_last_longest_are_named(
    store: HistoryStore, at_once: int
) -> None:
    """The others are one, in rollups and in buckets; nothing of the time is lost."""
    for begin in range(0, 59, at_once):
        numbers = range(begin, min(begin + at_once, 59))
        fold(store, [(1, START + n * SECOND, f"state {n % 30}") for n in numbers])
    fold(store, [(1, START + 59 * SECOND, "long"), (1, START + HOUR, "end")])
    settle(store, START + 2 * DAY)
    for tier in TIERS:
        rows = [row for row in table(store, f"state_{tier}") if row[1] == START]
        durations = stretch_of(rows[0]).durations
        assert len(durations) == MOST_STATES + 1
        assert sum(durations.values()) == (HOUR if tier == "day" else 59 * SECOND)
        assert stretch_of(rows[0]).changes == (60 if tier == "day" else 59)
    found = reduced(store, 1, START, START + DAY, 4)
    assert found.states(1) == ["end"]
    assert sum(sum(one.values()) for one in found.durations) == DAY
    assert sum(found.changes) == 60


def test_what_is_the_latest_is_added_without_a_look_at_the_rest(
    store: HistoryStore, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With many series of which each says something each second, that would be most of the work."""
    fold(store, [(1, START, "on"), (2, START, 1.0)])
    with monkeypatch.context() as patch:
        for name in ("texts_in", "numbers_in"):
            tables = f"motehub.stores._{kind}_states.{kind.capitalize()}States"
            patch.setattr(f"{tables}.{name}", refused)
        for second in range(1, 70):
            rows = [(1, "off" if second % 3 else "on"), (2, float(second % 2))]
            fold(store, [(series, START + second * SECOND, value) for series, value in rows])
        with pytest.raises(AssertionError):
            fold(store, [(1, START + 5, "late")])
    check(store)
    assert len(table(store, "state_minute")) == 4


def refused(*_: object) -> None:
    raise AssertionError("It was read back.")


def test_a_state_lasts_until_something_else_comes(store: HistoryStore) -> None:
    """Over hours and days in which nothing came, but not beyond what is now."""
    fold(store, [(1, START + HOUR, "open"), (1, START + 2 * DAY, "shut")])
    settle(store, START + 3 * DAY)
    found = reduced(store, 1, START, START + 4 * DAY, 4, end=START + 3 * DAY)
    assert list(found.starts) == [START, START + DAY, START + 2 * DAY]
    assert found.durations == [{"open": 23 * HOUR}, {"open": DAY}, {"shut": DAY}]
    assert list(found.changes) == [0, 0, 1]
    later = reduced(store, 1, START + 5 * HOUR, START + 6 * HOUR, 1)
    assert later.durations == [{"open": HOUR}]
    assert list(later.counts) == [0]


def test_what_is_measured_has_no_states(store: HistoryStore) -> None:
    """Numbers with a unit never, others until one of them is not 0 or 1: then no more."""
    rows = [(2, START, 1.0), (3, START, 1.0), (2, START + SECOND, 0.0)]
    fold(store, rows)
    assert store.states.numbers() == {2, 5}
    assert {row[0] for row in table(store, "state_minute")} == {2}
    fold(store, [(2, START + 2 * SECOND, 2.0)])
    fold(store, [(2, START + 3 * SECOND, 1.0)])
    assert store.states.numbers() == {5}
    assert table(store, "state_minute") == []
    # What the hub says again of a series that there is already changes nothing.
    fold(store, entries=[SeriesAdded(SERIES[2])])
    assert store.states.numbers() == {5}


def test_deleted_texts_stay_summed_up(store: HistoryStore) -> None:
    """As retention deletes them; what is late is not in rollups of what is deleted."""
    fold(store, [(1, START + n * 10 * MINUTE, "on" if n % 3 else "off") for n in range(288)])
    fold(store, [(2, START + n * 10 * MINUTE, float(n % 2)) for n in range(288)])
    settle(store, START + 3 * DAY)
    bounds = START, START + 2 * DAY, 2
    before = [reduced(store, series, *bounds) for series in (1, 2)]
    until = Kept(START + 30 * HOUR, START + 26 * HOUR, START + DAY, START - 10 * DAY)
    todo = [Expiring(1, until, texts=True), Expiring(2, until)]
    while store.expire_some(todo, 50)[0] < 2:
        pass
    assert table(store, "text")[0][1] == START + 30 * HOUR
    assert min(row[1] for row in table(store, "state_minute")) == START + 26 * HOUR
    assert min(row[1] for row in table(store, "state_hour")) == START + DAY
    fold(store, [(1, START + 5, "late")])
    after = [reduced(store, series, *bounds) for series in (1, 2)]
    for one, other in zip(before, after, strict=True):
        assert list(one.changes) == list(other.changes)
        assert one.durations == other.durations
    store.begin_rebuild()
    while store.rebuild_some():
        pass
    again = reduced(store, 1, *bounds)
    assert again.durations == before[0].durations
    fold(store, [(1, START + 40 * HOUR + 5, "late")])
    assert sum(reduced(store, 1, *bounds).counts) == sum(before[0].counts) + 1


def test_months_of_a_button_is_answered_from_days(
    store: HistoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a reading a minute, none is looked at but those at the ends."""
    made = Columns()
    times = array("q", range(START, START + 60 * DAY, MINUTE))
    made.add(2, times, array("d", [float(n % 700 == 0) for n in range(len(times))]))
    store.fold(make_fold([(2, Frame(1, made, Columns(), []))], {2: 1}))
    settle(store, START + 59 * DAY)
    expected = reduced(store, 2, START, START + 60 * DAY, 30)
    used: list[int] = []
    read = store.readings

    def watched(series: int, since: int, until: int) -> Any:
        used.append(until - since)
        return read(series, since, until)

    monkeypatch.setattr(store, "readings", watched)
    found = reduced(store, 2, START, START + 60 * DAY, 30)
    assert not used
    assert found.durations == expected.durations
    assert sum(found.changes) == 1 + 2 * 123
    assert sum(one.get("1", 0) for one in found.durations) == 124 * MINUTE
