"""What the writer does to the history between folds."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from motehub.core.history import make_fold
from motehub.errors import StorageError
from motehub.frames import Columns, DeviceChanged, Entry, Frame, SeriesAdded
from motehub.model import Admission, Device, Series
from motehub.stores.sqlite import SqliteHistory
from motehub.upkeep import GRACE_SECONDS, Upkeep

SECOND = 1_000_000
HOUR = 3_600


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteHistory]:
    """A history with readings of three hours, one a minute."""
    store = SqliteHistory(tmp_path)
    made = Columns()
    made.add(1, array("q", range(0, 3 * HOUR * SECOND, 60 * SECOND)), array("d", range(180)))
    device = Device(1, "a", "x", ("i",), Admission.ACCEPTED, 5)
    entries: list[Entry] = [DeviceChanged(device), SeriesAdded(Series(1, 1, "t", "°C"))]
    store.fold(make_fold([(1, Frame(1, made, Columns(), entries))], {}))
    yield store
    store.close()


def hours(store: SqliteHistory) -> list[int]:
    return [row[1] // (HOUR * SECOND) for page in store.dump("reading_hour") for row in page]


def test_hours_are_made_a_while_after_they_are_over(store: SqliteHistory) -> None:
    """What comes a little late is in them without being added by itself."""
    clock = Clock(2 * HOUR + GRACE_SECONDS - 1)
    upkeep = Upkeep(store, clock=clock)
    while upkeep.step():
        pass
    assert hours(store) == [0]
    clock.now += 1
    while upkeep.step():
        pass
    assert hours(store) == [0, 1]
    assert not upkeep.step()


def test_what_fails_is_tried_again_later(
    store: SqliteHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that can't be used stops nothing else, and is not asked all the time."""
    calls = 0

    def broken(*_: object) -> bool:
        nonlocal calls
        calls += 1
        raise StorageError("the disk failed")

    monotonic = Clock(0.0)
    upkeep = Upkeep(store, None, Clock(10 * HOUR), monotonic)
    with monkeypatch.context() as patched:
        patched.setattr(store, "settle_some", broken)
        assert not upkeep.step()
        assert not upkeep.step()
        assert calls == 1
    monotonic.now += 60
    while upkeep.step():
        pass
    assert hours(store) == [0, 1, 2]


def test_it_has_its_turn_also_when_there_is_always_something_to_fold(store: SqliteHistory) -> None:
    """Some seconds after the last one, and then for as long as there is something to do."""
    monotonic = Clock(100.0)
    upkeep = Upkeep(store, None, Clock(10 * HOUR), monotonic)
    monotonic.now += 4
    upkeep.beside_folds()
    assert hours(store) == []
    monotonic.now += 1
    upkeep.beside_folds()
    assert hours(store) == [0, 1, 2]
