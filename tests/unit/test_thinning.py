"""What the writer deletes: what is too old, or too much."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from motehub.clock_watch import ClockWatch, FileNotes
from motehub.core.history import make_fold
from motehub.core.retention import Plan, Retention, Rule
from motehub.frames import Columns, DeviceChanged, Entry, Frame, SeriesAdded
from motehub.model import Admission, Device, Series
from motehub.stores.sqlite import SqliteHistory
from motehub.thinning import Thinning
from motehub.upkeep import Upkeep

MINUTE = 60_000_000
DAY = 1_440 * MINUTE
START = 20_000 * DAY
DAYS = 20


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteHistory]:
    """Two series with a reading each minute of twenty days."""
    store = SqliteHistory(tmp_path)
    device = Device(1, "a", "x", ("i",), Admission.ACCEPTED, 5)
    entries: list[Entry] = [DeviceChanged(device)]
    made = Columns()
    times = array("q", range(START, START + DAYS * DAY, MINUTE))
    for series in (1, 2):
        entries.append(SeriesAdded(Series(series, 1, f"m{series}", "")))
        made.add(series, times, array("d", [1.5]) * len(times))
    store.fold(make_fold([(1, Frame(1, made, Columns(), entries))], {}))
    while store.settle_some(START + DAYS * DAY):
        pass
    yield store
    store.close()


def thinned(store: SqliteHistory, plan: Plan, now: int = START + DAYS * DAY) -> Thinning:
    thinning = Thinning(store, lambda: Retention(plan, {}), lambda: now)
    run(thinning)
    return thinning


def run(thinning: Thinning) -> None:
    thinning.begin()
    thinning.measure()
    while thinning.step():
        pass


def first(store: SqliteHistory, table: str) -> int:
    return int(min(row[1] for page in store.dump(table) for row in page))


def test_each_tier_goes_after_its_time(store: SqliteHistory) -> None:
    """To the midnight before; a second look finds nothing to do."""
    plan = Plan(Rule("5d", "8d", "11d", "forever"))
    thinning = thinned(store, plan, START + DAYS * DAY + 1)
    found = {
        table: (first(store, table) - START) // DAY
        for table in ("reading", "reading_minute", "reading_hour", "reading_day")
    }
    assert found == {"reading": 15, "reading_minute": 12, "reading_hour": 9, "reading_day": 0}
    assert thinning.report["deleted"] == 2 * (15 * 1440 + 12 * 1440 + 9 * 24)
    thinning.begin()
    assert not thinning.step()


def test_the_oldest_readings_go_when_the_disk_is_too_small(store: SqliteHistory) -> None:
    """Day by day of all series, until what is left fits; rollups stay, and the owner is told."""
    forever = Rule(*["forever"] * 4)
    used = store.used_bytes()
    minutes = sum(len(page) for page in store.dump("reading_minute"))
    thinning = thinned(store, Plan(forever, used * 8 // 10))
    assert store.used_bytes() <= used * 8 // 10
    gone = (first(store, "reading") - START) // DAY
    assert 0 < gone < DAYS
    assert {store.kept(1).raw, store.kept(2).raw} == {START + gone * DAY}
    assert sum(len(page) for page in store.dump("reading_minute")) == minutes
    assert thinning.report["budget_cut"].startswith("2024-10-")
    assert thinning.report["trouble"] is None
    assert thinning.report["used"] <= used * 8 // 10
    (event,) = store.events(None, 10)
    assert (event.device, event.kind) == ("a", "thinned")
    assert thinning.report["budget_cut"] in event.text


def test_so_much_may_come_that_the_budget_is_looked_at_at_once(store: SqliteHistory) -> None:
    """While the writer has never a pause, and no time has passed since it last looked."""
    budget = store.used_bytes() * 2
    plan = Plan(Rule(*["forever"] * 4), budget)
    now = START + (DAYS + 100) * DAY
    thinning = Thinning(store, lambda: Retention(plan, {}), lambda: now)
    upkeep = Upkeep(store, thinning, lambda: now / 1e6, lambda: 5.0)
    while upkeep.step():
        pass
    for day in range(DAYS, DAYS + 20):
        made = Columns()
        times = array("q", range(START + day * DAY, START + (day + 1) * DAY, 4_000_000))
        for series in (1, 2):
            made.add(series, times, array("d", [1.5]) * len(times))
        fold = make_fold([(day, Frame(1, made, Columns(), []))], {1: 1, 2: 1})
        thinning.hear(fold)
        store.fold(fold)
        upkeep.beside_folds()
        # A fold of 43,200 readings here is half as large as all of the budget.
        assert store.used_bytes() < budget * 3
    assert thinning.report["budget_cut"]
    assert store.kept(1).raw > START


def test_a_budget_that_rollups_alone_exceed_is_told(store: SqliteHistory) -> None:
    """The readings of the present day stay, and it says what to do; more room mends it."""
    forever = Rule(*["forever"] * 4)
    now = START + (DAYS - 1) * DAY + DAY // 2
    plan = Plan(forever, 1_000)
    thinning = Thinning(store, lambda: Retention(plan, {}), lambda: now)
    run(thinning)
    assert first(store, "reading") == START + (DAYS - 1) * DAY
    assert "disk_budget" in thinning.report["trouble"]
    plan = Plan(forever, 2**40)
    run(thinning)
    assert thinning.report["trouble"] is None


def test_a_clock_that_jumps_ahead_deletes_nothing_until_it_is_confirmed(
    store: SqliteHistory, tmp_path: Path
) -> None:
    """What was old before goes on schedule; the owner's word lets the rest go at once."""
    now, confirmed = START + DAYS * DAY, None
    clock, steady = now, 0.0
    watch = ClockWatch(FileNotes(tmp_path), clock=lambda: clock, steady=lambda: steady)
    plan = Plan(Rule("5d", "8d", "11d", "forever"))
    thinning = Thinning(
        store, lambda: Retention(plan, {}, confirmed), watch.moment, None, watch, lambda: steady
    )
    clock += 5 * 365 * DAY
    run(thinning)
    assert (first(store, "reading") - START) // DAY == 15
    assert thinning.report["clock"]["believed"].startswith("2024-10-24")
    clock, steady = clock + DAY // 2, steady + 43_200
    run(thinning)
    assert (first(store, "reading") - START) // DAY == 15
    confirmed = clock
    thinning.measure()
    while thinning.step():
        pass
    assert thinning.report["clock"] is None
    # The newest of each series stays.
    assert first(store, "reading") == START + DAYS * DAY - MINUTE
    thinning.stop()
    noted = FileNotes(tmp_path).load()
    assert noted is not None
    assert noted.believed == clock


def test_an_interruption_harms_nothing(
    store: SqliteHistory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two steps another process may go on, and readings may be folded."""
    monkeypatch.setattr("motehub.thinning.ROWS_AT_ONCE", 700)
    plan = Plan(Rule("5d", "8d", "11d", "forever"))
    for _ in range(40):
        thinning = Thinning(store, lambda: Retention(plan, {}), lambda: START + DAYS * DAY)
        thinning.begin()
        thinning.step()
        store.close()
        edge = store.kept(1).raw
        count = sum(len(times) for times, _ in store.readings(1, edge, START + DAYS * DAY))
        assert count == min(DAYS * DAY, START + DAYS * DAY - edge) // MINUTE
    run(thinning)
    thinned(store, plan)
    assert first(store, "reading") == START + 15 * DAY
    (days,) = store.dump("reading_day")
    assert [row[2] for row in days] == [1440] * 2 * DAYS


def test_counts_by_hour_go_with_the_sums_by_hour(store: SqliteHistory) -> None:
    """As the rule of all devices says, to the midnight before; by default they stay."""
    readings = Columns()
    readings.add(1, array("q", [5]), array("d", [1.0]))
    for n, day in enumerate((0, 3, 4, 19)):
        frame = Frame(START + day * DAY, readings, Columns(), [])
        store.fold(make_fold([(2 + n, frame)], {1: 1}, hour=frame.time))
    thinned(store, Plan())
    assert len(counted(store)) == 4
    thinned(store, Plan(Rule("1d", "2d", "16d")))
    assert counted(store) == [START + 4 * DAY, START + 19 * DAY]


def counted(store: SqliteHistory) -> list[int]:
    return [one.start for one in store.counted.counts(1, START, START + DAYS * DAY)]
