"""What old readings and rollups every history store deletes, and what stays exact then."""

from __future__ import annotations

from array import array
from contextlib import closing
from math import fsum
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.contract.test_rollups import (
    DAY,
    HOUR,
    SECOND,
    START,
    fold,
    kind,
    opener,
    reduced,
    settle,
    store,
    table,
    url,
    with_devices,
)
from tests.servers import PostgresServer

from motehub import parts
from motehub.core.history import make_fold
from motehub.frames import Columns, Entry, Frame, HeldReleased, SeriesAdded, TextReadings
from motehub.history_contract import Expiring, HistoryStore
from motehub.model import Kind, Series
from motehub.rollups import NEVER, TIERS, Kept

__all__ = ["kind", "opener", "store", "url"]

MINUTE = 60 * SECOND
Reading = tuple[int, int, float]


def expire(store: HistoryStore, until: Kept, rows: int = 1_000) -> None:
    todo = [Expiring(series, until) for series in (1, 2, 3)]
    while todo:
        done, deleted = store.expire_some(todo, rows)
        assert done or deleted
        todo = todo[done:]


class Model:
    """What a store has taken in since it was new, whether or not it has it still."""

    def __init__(self, store: HistoryStore) -> None:
        self.store = store
        self.ever: dict[tuple[int, int], float] = {}

    def fold(self, rows: list[Reading]) -> None:
        there = {(series, time) for series, time, _ in table(self.store, "reading")}
        closed = {row[:2]: self._is_closed(*row[:2], there) for row in rows}
        fold(self.store, rows)
        # Of equal times in one fold the first counts, in the order in which they came.
        for series, time, value in rows:
            if (series, time) not in there and not closed[series, time]:
                self.ever.setdefault((series, time), value)

    def _is_closed(self, series: int, time: int, there: set[tuple[int, int]]) -> bool:
        kept = self.store.kept(series)
        if time >= kept.raw:
            return False
        for tier, width in TIERS.items():
            if kept.of(tier) <= time:
                begin = time // width * width
                bucket = {key for key in self.ever if self._within(key, series, begin, width)}
                return not bucket <= there
        return True

    @staticmethod
    def _within(key: tuple[int, int], series: int, begin: int, width: int) -> bool:
        return key[0] == series and begin <= key[1] < begin + width

    def check(self) -> None:
        """Compare what is kept of each tier with what all readings come to."""
        kept = {series: self.store.kept(series) for series in (1, 2, 3)}
        there = {(row[0], row[1]): row[2] for row in table(self.store, "reading")}
        young = {key: value for key, value in self.ever.items() if key[1] >= kept[key[0]].raw}
        assert young.items() <= there.items() <= self.ever.items()
        for series in {key[0] for key in self.ever}:
            assert max(self.ever.keys() & there.keys(), default=None) is not None
            newest = max(key[1] for key in self.ever if key[0] == series)
            assert (series, newest) in there
        settled = self.store.settled()
        for tier, width in TIERS.items():
            parted: dict[tuple[int, int], list[tuple[int, float]]] = {}
            for (series, time), value in sorted(self.ever.items()):
                late = tier != "minute" and time >= settled.before(tier, series)
                if time >= kept[series].of(tier) and not late:
                    parted.setdefault((series, time // width * width), []).append((time, value))
            found = {row[:2]: row[2:] for row in table(self.store, f"reading_{tier}")}
            assert found.keys() == parted.keys()
            for key, rows in parted.items():
                values = [value for _, value in rows]
                expected = (len(values), min(values), max(values), *rows[-1])
                assert (*found[key][:3], *found[key][4:]) == expected
                assert found[key][3] == pytest.approx(fsum(values), abs=1e-6)


MOMENTS = st.one_of(
    st.integers(0, 60).map(lambda n: START + n * 29 * SECOND),
    st.integers(0, 200).map(lambda n: START + n * 1_799 * SECOND),
    st.integers(-3, 3).map(lambda n: START + DAY + n),
    st.integers(0, 12).map(lambda n: START + n * 10 * DAY),
)
ROWS = st.lists(st.tuples(st.integers(1, 2), MOMENTS, st.floats(-1e6, 1e6)), max_size=12)
DAYS = st.lists(st.integers(-1, 60), min_size=4, max_size=4).map(lambda days: sorted(days)[::-1])
STEP = st.one_of(
    st.tuples(st.just("fold"), ROWS),
    st.tuples(st.just("fold"), ROWS),
    st.tuples(st.just("settle"), st.integers(-26, 800)),
    st.tuples(st.just("expire"), DAYS),
    st.tuples(st.just("expire"), DAYS),
    st.tuples(st.just("rebuild"), st.just([])),
)


# A fold with late readings and others: what the others come to was added twice.
LATE_AND_OTHERS: list[tuple[str, Any]] = [
    ("fold", [(1, START, 0.0), (1, START + 29 * SECOND, 0.0)]),
    ("expire", [1, 0, 0, 0]),
    ("fold", [(1, START + 1_799 * SECOND, 0.0), (1, START + DAY, 0.0)]),
]
# Minutes were deleted whose hours were made, but not their day; then nothing told that it was due.
DAY_AFTER_HOURS: list[tuple[str, Any]] = [
    ("fold", [(1, START, 1.0), (2, START + 348 * SECOND, 2.0)]),
    ("settle", 13),
    ("expire", [38, 36, 30, 11]),
    ("fold", [(1, START + 50 * DAY, 3.0)]),
    ("settle", 736),
]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(STEP, min_size=2, max_size=9), st.integers(1, 20))
@example(LATE_AND_OTHERS, 1)
@example(DAY_AFTER_HOURS, 1)
def test_what_is_kept_stays_exact_whatever_is_deleted(
    kind: str,
    url: str,
    tmp_path_factory: pytest.TempPathFactory,
    postgres: PostgresServer,
    steps: list[tuple[str, Any]],
    rows: int,
) -> None:
    """Late and repeated readings, settling and rebuilds, and deletions in steps between them."""
    with closing(parts.store(kind).open(tmp_path_factory.mktemp("store"), url, False)) as store:
        if url:
            postgres.empty(url)
        with_devices(store)
        model = Model(store)
        for what, how in steps:
            if what == "fold":
                model.fold(how)
            elif what == "settle":
                settle(store, START + how * HOUR)
            elif what == "expire":
                until = Kept(*(START + days * DAY for days in how))
                expire(store, until, rows)
                store.drop_whole(until.raw)
            else:
                store.begin_rebuild()
                while store.rebuild_some():
                    pass
            model.check()


def hourly(days: int, step: int = HOUR) -> list[Reading]:
    return [(1, time, float(time // step % 97)) for time in range(START, START + days * DAY, step)]


def test_a_chart_over_the_edge_is_made_of_what_is_left(store: HistoryStore) -> None:
    """Minutes stand in for readings, hours for minutes, days for hours; nothing is in it twice."""
    rows = hourly(120, 600 * SECOND)
    fold(store, rows)
    settle(store, START + 200 * DAY)
    ranges = [
        (START + 45 * DAY + 7, START + 119 * DAY + 5, 1_000),
        (START + 95 * DAY + 90 * SECOND, START + 95 * DAY + 2 * HOUR, 500),
        (START - DAY, START + 121 * DAY, 100),
        (START + 30 * DAY, START + 41 * DAY, 11),
    ]
    before = [reduced(store, 1, *one) for one in ranges]
    until = Kept(START + 100 * DAY, START + 70 * DAY, START + 40 * DAY, START + 10 * DAY)
    expire(store, until)
    assert store.kept(1) == until
    after = [reduced(store, 1, *one) for one in ranges]
    # The first begins with the rest of an hour, of which no part is left by itself.
    assert sum(after[0]["counts"]) == sum(before[0]["counts"]) + 1
    assert max(after[0]["high"]) == max(before[0]["high"])
    assert after[1]["counts"] == before[1]["counts"]
    assert after[1]["high"] == before[1]["high"]
    assert sum(after[2]["counts"]) == sum(before[2]["counts"]) - 10 * 144
    assert after[3] == before[3]


def test_a_closed_minute_takes_nothing_more(store: HistoryStore) -> None:
    """What can't be told from a repetition counts as one; a minute of its own is taken."""
    fold(store, [(1, START + n * SECOND, 1.0) for n in range(30)] + [(1, START + 200 * DAY, 2.0)])
    expire(store, Kept(raw=START + 100 * DAY))
    before = store.devices()[0].duplicate
    fold(store, [(1, START + 5 * SECOND, 1.0), (1, START + 45 * SECOND, 9.0)])
    assert store.devices()[0].duplicate == before + 2
    assert next(row[2:5] for row in table(store, "reading_minute")) == (30, 1.0, 1.0)
    late = [(1, START + HOUR + n * SECOND, 5.0) for n in range(4)]
    fold(store, late[:2])
    fold(store, late)
    assert store.devices()[0].duplicate == before + 4
    assert [row[1:4] for row in table(store, "reading_minute")][1] == (START + HOUR, 4, 5.0)
    expire(store, Kept(raw=START + 100 * DAY + HOUR))
    assert [row[1] for row in table(store, "reading")] == [START + 200 * DAY]
    fold(store, late)
    assert store.devices()[0].duplicate == before + 8


def test_nothing_goes_that_is_not_summed_up(store: HistoryStore) -> None:
    """Readings wait for a rebuild, minutes for their hours, hours for their days."""
    fold(store, hourly(5))
    until = Kept(*[START + 4 * DAY] * 4)
    settle(store, START + 2 * DAY + 5 * HOUR)
    expire(store, until)
    assert min(row[1] for row in table(store, "reading_minute")) == START + 2 * DAY
    assert min(row[1] for row in table(store, "reading_hour")) == START + 2 * DAY
    settle(store, START + 6 * DAY)
    store.begin_rebuild()
    expire(store, until)
    while store.rebuild_some():
        pass
    assert [row[1] for row in table(store, "reading_day")] == [START + n * DAY for n in (2, 3, 4)]
    assert len(table(store, "reading")) == 24


def test_old_texts_go_but_the_newest(store: HistoryStore) -> None:
    """A state stays for as long as it holds, however long ago it began."""
    entries: list[Entry] = [
        SeriesAdded(Series(9, 1, "door", "", Kind.TEXT)),
        TextReadings(9, [START, START + MINUTE, START + HOUR], ["open", "shut", "open"]),
    ]
    fold(store, entries=entries)
    assert store.expire_some([Expiring(9, Kept(raw=START + DAY), texts=True)], 1) == (0, 1)
    assert store.expire_some([Expiring(9, Kept(raw=START + DAY), texts=True)], 9) == (1, 1)
    assert [list(texts) for _, texts in store.texts(9, 0, START + DAY)] == [["open"]]


def test_what_was_held_is_summed_up_however_old_it_is(store: HistoryStore) -> None:
    """A device waits for its owner while others' readings of that time are deleted."""
    held = [(3, START + n * SECOND, float(n)) for n in range(90)]
    fold(store, [(1, START, 1.0), (1, START + 200 * DAY, 2.0)], held=held)
    until = Kept(*[START + 100 * DAY] * 4)
    settle(store, START + 150 * DAY)
    expire(store, until)
    while store.drop_whole(store.whole_before(until.raw)):
        pass
    assert (store.kept(1), store.kept(3)) == (until, Kept())
    device = next(one.device.id for one in store.devices() if one.device.held)
    fold(store, entries=[HeldReleased(device)])
    minutes = [row[2] for row in table(store, "reading_minute") if row[0] == 3]
    assert minutes == [60, 30]
    assert [row[2] for row in table(store, "reading_day") if row[0] == 3] == [90]
    # It is old from then on, and goes as the rule says.
    expire(store, Kept(raw=until.raw))
    assert [row for row in table(store, "reading") if row[0] == 3] == held[-1:]
    assert [row[2] for row in table(store, "reading_day") if row[0] == 3] == [90]


def test_old_texts_that_are_repeated_are_in_no_sum_twice(store: HistoryStore) -> None:
    """They are stored again until the next deletion, and states last as long as before."""
    said = TextReadings(9, [START, START + MINUTE, START + HOUR], ["open", "shut", "open"])
    fold(store, entries=[SeriesAdded(Series(9, 1, "door", "", Kind.TEXT)), said])
    settle(store, START + 2 * DAY)
    before = table(store, "state_minute"), table(store, "state_hour"), table(store, "state_day")
    gone = Expiring(9, Kept(raw=START + 50 * MINUTE), texts=True)
    assert store.expire_some([gone], 9) == (1, 2)
    fold(store, entries=[said])
    after = table(store, "state_minute"), table(store, "state_hour"), table(store, "state_day")
    assert after == before
    assert store.expire_some([gone], 9) == (1, 2)


def test_a_month_may_go_at_one_stroke(store: HistoryStore, kind: str) -> None:
    """Where the store keeps months apart; the newest reading of a silent device stays."""
    model = Model(store)
    model.fold([(2, START + 5, 3.0), (2, START + 6, 4.0), *hourly(100)])
    settle(store, START + 101 * DAY)
    until = store.whole_before(START + 95 * DAY)
    size = len(table(store, "reading"))
    while store.drop_whole(until):
        assert len(table(store, "reading")) < size
        size = len(table(store, "reading"))
        model.check()
    if kind == "postgres":
        assert {row[1] for row in table(store, "reading") if row[1] < until} == {START + 6}
    expire(store, Kept(raw=until))
    model.check()
    model.fold([(1, START + 10, 1.0), (2, START + 7 * MINUTE, 1.0)])
    assert store.oldest_reading() == START + 6
    model.check()


def test_a_removed_device_leaves_no_edge(store: HistoryStore) -> None:
    """A later one of the same number has all that it sends."""
    from motehub.frames import DeviceRemoved

    fold(store, hourly(5))
    expire(store, Kept(raw=START + 4 * DAY))
    assert store.kept(1).raw > NEVER
    fold(store, entries=[DeviceRemoved(1)])
    assert store.kept(1) == Kept()


def test_space_is_given_back(
    store: HistoryStore, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is deleted does not count as used, and the file becomes shorter."""
    monkeypatch.setattr("motehub.stores.sqlite.SPARE_PAGES", 10)
    made = Columns()
    times = array("q", range(START, START + 70_000 * MINUTE, MINUTE))
    made.add(1, times, array("d", [1.5]) * len(times))
    store.fold(make_fold([(2, Frame(1, made, Columns(), []))], {1: 1}))
    before = store.used_bytes()
    until = store.whole_before(START + 40 * DAY)
    while store.drop_whole(until):
        pass
    expire(store, Kept(raw=until), 20_000)
    steps = 0
    while store.give_back():
        steps += 1
    # Many pages at a time, or it would take hours.
    assert steps < 10
    assert store.used_bytes() < before * (0.8 if kind == "sqlite" else 1)
    if kind == "sqlite":
        (free,) = store._connection.execute("PRAGMA freelist_count").fetchone()  # type: ignore[attr-defined]
        assert free <= 10
