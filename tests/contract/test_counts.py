"""What every history store counts by hour, and what it knows of when the hub was not there."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.test_history_stores import (
    A,
    B,
    EmptyLog,
    Opener,
    check_counts,
    columns,
    device,
    fold,
    frame,
    kind,
    opener,
    store,
    url,
)

from motehub import parts
from motehub.core.history import FoldIntoHistory
from motehub.counted import HourCounts
from motehub.errors import StorageError
from motehub.frames import (
    Columns,
    DeviceChanged,
    DeviceRemoved,
    Entry,
    Frame,
    HeldReleased,
    HubAway,
    Rejected,
    SeriesAdded,
    Spared,
)
from motehub.history_contract import Fold, FoldResult, HistoryStore
from motehub.model import Admission, Series
from motehub.rollups import TIERS
from motehub.stores import _postgres_counts, _sqlite_counts

__all__ = ["kind", "opener", "store", "url"]

HOUR = TIERS["hour"]
EVER = (0, 2**62)


class Following:
    """Applies frames as the writer does; each comes at a time of its own."""

    def __init__(self, store: HistoryStore, zone: str = "UTC") -> None:
        self.effect = FoldIntoHistory(store, EmptyLog(), "journal", zone=ZoneInfo(zone))
        self.store = store

    def apply(self, *frames: Frame) -> None:
        start = self.effect.position()
        self.effect.apply([(start + 1 + n, one) for n, one in enumerate(frames)])

    def counts(self, device: int = 1) -> list[HourCounts]:
        return self.store.counted.counts(device, *EVER)


def test_counts_are_by_the_hour_in_which_something_came(store: HistoryStore) -> None:
    """Whatever time a reading has itself; they add up to the counters of the device."""
    follower = Following(store)
    refused = Rejected(1, "x", 1, b"", "bad", 3)
    stale = Rejected(1, "x", 1, b"", "over", 2, discarded=True)
    follower.apply(
        frame([*A, refused], columns((1, 10, 1.0), (1, 20, 2.0)), time=HOUR),
        frame([], columns((1, 10, 1.0), (1, 30, 3.0)), time=2 * HOUR - 1),
        frame([stale], columns((1, 5, 1.0), (1, 20, 2.0)), time=2 * HOUR),
        frame([], columns((1, 40, 1.0)), time=9 * HOUR + 7),
    )
    assert follower.counts() == [
        HourCounts(HOUR, 7, 3, 1, 3, 0),
        HourCounts(2 * HOUR, 4, 1, 1, 0, 2),
        HourCounts(9 * HOUR, 1, 1, 0, 0, 0),
    ]
    assert store.counted.counts(1, HOUR + 1, 9 * HOUR) == follower.counts()[1:2]
    assert store.counted.counted_since(1) == HOUR
    assert store.counted.counted_since(2) is None
    check_counts(store)


def test_hours_are_those_of_the_zone(store: HistoryStore) -> None:
    """In India they begin at half past those of UTC, so that days are made of whole ones."""
    follower = Following(store, "Asia/Kolkata")
    half = HOUR // 2
    follower.apply(frame([*A], columns((1, 10, 1.0)), time=5 * HOUR))
    follower.apply(frame([], columns((1, 20, 1.0)), time=5 * HOUR + half))
    assert [(one.start, one.stored) for one in follower.counts()] == [
        (4 * HOUR + half, 1),
        (5 * HOUR + half, 1),
    ]


def test_what_waited_counts_as_stored_when_it_is_accepted(store: HistoryStore) -> None:
    """It came earlier: an hour may have more stored than received."""
    pending: list[Entry] = [DeviceChanged(device(1, "a", Admission.PENDING))]
    pending.append(SeriesAdded(Series(1, 1, "t", "")))
    follower = Following(store)
    follower.apply(frame(pending, None, columns((1, 10, 1.0), (1, 11, 1.0)), time=HOUR))
    follower.apply(frame([DeviceChanged(device(1, "a")), HeldReleased(1)], time=2 * HOUR))
    assert follower.counts() == [
        HourCounts(HOUR, 2, 0, 0, 0, 0),
        HourCounts(2 * HOUR, 0, 2, 0, 0, 0),
    ]


def test_counts_go_with_their_device_and_with_age(store: HistoryStore) -> None:
    """Nothing is left of a device that was removed; who is unknown has none."""
    follower = Following(store)
    gone = Rejected(7, "x", 1, b"p", "nobody")
    follower.apply(frame([*A, *B, gone], columns((1, 10, 1.0), (2, 10, 1.0)), time=HOUR))
    follower.apply(frame([], columns((1, 20, 1.0), (2, 20, 1.0)), time=2 * HOUR))
    assert follower.counts(7) == []
    store.counted.forget_counts([2, 7], 9 * HOUR)
    store.counted.forget_counts([1], 2 * HOUR)
    assert [one.start for one in follower.counts()] == [2 * HOUR]
    assert follower.counts(2) == []
    follower.apply(frame([DeviceRemoved(1)], columns((2, 30, 1.0)), time=3 * HOUR))
    assert (follower.counts(1), len(follower.counts(2))) == ([], 1)


class Breaking:
    """A store that fails after so many folds."""

    def __init__(self, store: HistoryStore, folds: int) -> None:
        self._store = store
        self._left = folds

    def fold(self, made: Fold) -> FoldResult:
        self._left -= 1
        if self._left < 0:
            raise StorageError("the disk is full")
        return self._store.fold(made)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


@pytest.mark.parametrize("folds", range(5))
def test_a_fault_between_hours_neither_loses_nor_doubles(
    store: HistoryStore, folds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cursor is where the counts are: what is done is not done again after a restart."""
    frames = [
        frame([*A] if n == 0 else [], columns((1, n, 1.0), (1, n // 2, 2.0)), time=n * HOUR // 2)
        for n in range(8)
    ]
    broken = Following(Breaking(store, folds))  # type: ignore[arg-type]
    if folds < 4:
        with pytest.raises(StorageError):
            broken.apply(*frames)
    else:
        broken.apply(*frames)
    assert store.position() == 2 * min(folds, 4)
    follower = Following(store)
    start = follower.effect.position()
    if start < len(frames):
        follower.effect.apply(list(enumerate(frames, 1))[start:])
    assert [(one.start, one.received) for one in follower.counts()] == [
        (n * HOUR, 4) for n in range(4)
    ]
    check_counts(store)
    (row,) = store.devices()
    for name in ("received", "stored", "duplicate", "rejected", "discarded"):
        assert sum(getattr(one, name) for one in follower.counts()) == getattr(row, name)


def test_when_the_hub_was_not_there(store: HistoryStore) -> None:
    """Times are cut to what is asked for; a later word about the same time is the right one."""
    fold(store, frame([HubAway(100, 200), HubAway(300, 400)]))
    fold(store, frame([HubAway(500, 10_000)]))
    assert store.counted.away(150, 600) == [(150, 200), (300, 400), (500, 600)]
    assert store.counted.away(200, 300) == []
    # The clock was years ahead: the hub is there at 700, whatever was said of later.
    fold(store, frame([HubAway(700, 700)]))
    assert store.counted.away(*EVER) == [(100, 200), (300, 400), (500, 700)]
    fold(store, frame([HubAway(350, 360)]))
    assert store.counted.away(*EVER) == [(100, 200), (300, 360), (350, 360)]


def test_the_times_without_the_hub_are_bounded(
    store: HistoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that is started again and again leaves the newest of them."""
    for module in (_sqlite_counts, _postgres_counts):
        monkeypatch.setattr(module, "AWAY_ROWS", 3)
    fold(store, frame([HubAway(n, n + 5) for n in range(0, 100, 10)]))
    assert store.counted.away(*EVER) == [(70, 75), (80, 85), (90, 95)]


def test_the_newest_is_the_newest_that_came(opener: Opener) -> None:
    """Also where it need not be stored, after a restart, and until a later one is stored."""
    store = opener()
    spared: list[Entry] = [*A, *B, Spared(1, [20, 30], [], [])]
    given_rows = columns((1, 10, 1.0), (1, 20, 2.0), (1, 30, 3.0), (2, 10, 9.0))
    fold(store, frame(spared, given_rows))
    store.close()
    store = opener()
    assert sorted(store.latest()) == [(1, 30, 3.0), (2, 10, 9.0)]
    assert store.latest(1) == [(1, 30, 3.0)]
    assert store.latest(held=True) == []
    fold(store, frame([Spared(1, [25], [], [])], columns((1, 25, 7.0))))
    assert store.latest(1) == [(1, 30, 3.0)]
    fold(store, frame([], columns((1, 31, 4.0))))
    assert store.latest(1) == [(1, 31, 4.0)]
    assert store.newest(Series(1, 1, "temperature", "°C"), 9) == [(31, 4.0), (10, 1.0)]
    fold(store, frame([Spared(9, [5], [], []), DeviceRemoved(1)], columns((9, 5, 1.0))))
    assert [one[0] for one in store.latest()] == [2]


@pytest.mark.parametrize("name", parts.store_names())
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12), st.integers(1, 2)), max_size=40),
    st.data(),
)
def test_any_cut_counts_the_same(
    name: str,
    database: str,
    tmp_path_factory: pytest.TempPathFactory,
    given_rows: Sequence[tuple[int, int, int]],
    data: st.DataObject,
) -> None:
    """However frames come together, each hour has what came in it, by a naive count."""
    rows = sorted(given_rows, key=lambda row: row[0])
    folder: Path = tmp_path_factory.mktemp("store")
    store = parts.store(name).open(folder, database if parts.store(name).schemes else "", False)
    store.clear(0)
    try:
        follower = Following(store)
        follower.apply(frame([*A, *B], time=1))
        cuts = sorted(data.draw(st.sets(st.integers(0, len(rows)))) | {0, len(rows)})
        frames = [_frame(hour * HOUR + 1, time, series) for hour, time, series in rows]
        for start, end in pairwise(cuts):
            follower.apply(*frames[start:end])
        seen: set[tuple[int, int]] = set()
        naive: dict[tuple[int, int], list[int]] = {}
        for hour, time, series in rows:
            found = naive.setdefault((series, hour), [0, 0, 0])
            found[0] += 1
            found[2 if (series, time) in seen else 1] += 1
            seen.add((series, time))
        for number in (1, 2):
            assert [
                (one.start // HOUR, one.received, one.stored, one.duplicate)
                for one in follower.counts(number)
            ] == [(hour, *found) for (of, hour), found in sorted(naive.items()) if of == number]
    finally:
        store.close()


def _frame(time: int, moment: int, series: int) -> Frame:
    made = Columns()
    made.add(series, array("q", [moment]), array("d", [1.0]))
    return frame([], made, time=time)
