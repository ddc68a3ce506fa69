"""What is there and what is missing of a device's readings, day by day."""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.test_rollups import DAY, HOUR, SECOND, START, fold, settle, with_devices

from motehub.core.days import MOST_DAYS, days_of
from motehub.core.quality import MOST_GAPS, QualityShape, quality_of
from motehub.errors import OwnerError
from motehub.history_contract import HistoryStore
from motehub.stores.sqlite import SqliteHistory

UTC = ZoneInfo("UTC")
MINUTE = 60 * SECOND
KNOWN = START - 2 * DAY


@pytest.fixture
def store(tmp_path: Path) -> Generator[HistoryStore, None, None]:
    """A store that knows a device with two series since two days before the start."""
    with closing(SqliteHistory(tmp_path)) as store:
        yield with_devices(store)


def judged(
    store: HistoryStore,
    interval: float | None = 10.0,
    *,
    days: int = 1,
    now: int = START + 10 * DAY,
    zone: ZoneInfo = UTC,
    known: int = START,
) -> QualityShape:
    device, *_ = store.registry()[0]
    series = [one for one in store.registry()[1] if one.device == device.id]
    changed = type(device)(**{**as_dict(device), "first_seen": known})
    asked = days_of(START, START + days * DAY, zone)
    going = quality_of(store, changed, series, asked, now, interval)
    while True:
        try:
            next(going)
        except StopIteration as end:
            found: QualityShape = end.value
            return found


def as_dict(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def put(store: HistoryStore, times: Sequence[int], series: int = 1) -> None:
    fold(store, [(series, time, 1.0) for time in times])


def test_a_whole_day_is_whole(store: HistoryStore) -> None:
    """However the readings lie in minutes, and although none of them is quite punctual."""
    put(store, [START + n * 10 * SECOND + n * 7919 % 4_000_001 for n in range(8640)])
    found = judged(store)
    assert (found.share, found.expected, found.missing) == (100.0, 8640, 0)
    assert (found.gaps, found.gap_count, found.basis) == ([], 0, "given")


def test_what_is_missing_is_counted_where_it_is(store: HistoryStore) -> None:
    """Single readings, and a gap over midnight: each day is told what it should have had."""
    lost = {4_000, 4_001, 6_000} | set(range(8_600, 8_700))
    put(store, [START + n * 10 * SECOND for n in range(2 * 8640) if n not in lost])
    found = judged(store, days=2)
    first, second = found.days
    assert (first.expected, first.missing, first.received) == (8640, 43, 8597)
    assert (second.expected, second.missing, second.received) == (8640, 60, 8580)
    assert (found.share, first.share) == (99.4, 99.5)
    assert [gap.missing for gap in found.gaps] == [2, 1, 100]
    assert found.gaps[2].since == "2026-02-16T23:53:10Z"
    assert found.gaps[2].until == "2026-02-17T00:10:00Z"


def test_a_gap_that_is_not_over(store: HistoryStore) -> None:
    """What is due is missing, what is half an interval late is not yet."""
    put(store, [START + n * MINUTE for n in range(11)])
    fine = judged(store, 60.0, now=START + 11 * MINUTE + 29 * SECOND)
    assert (fine.missing, fine.expected, fine.share) == (0, 11, 100.0)
    late = judged(store, 60.0, now=START + 60 * MINUTE)
    assert (late.missing, late.expected) == (49, 60)
    assert [(gap.until, gap.missing) for gap in late.gaps] == [(None, 49)]


def test_nothing_is_expected_before_the_device_was_known(store: HistoryStore) -> None:
    """Neither before its first reading nor, if that is earlier, before it was seen."""
    put(store, [START + 12 * HOUR + n * MINUTE for n in range(720)])
    assert judged(store, 60.0, known=START + 12 * HOUR + 5).expected == 720
    assert judged(store, 60.0, known=START + 18 * HOUR).expected == 720
    silent = judged(store, 60.0, known=START + 6 * HOUR)
    assert (silent.expected, silent.missing) == (1080, 360)
    before = judged(store, 60.0, known=START - DAY)
    assert (before.expected, before.missing, before.share) == (1440, 720, 50.0)


def test_a_device_that_has_sent_nothing(store: HistoryStore) -> None:
    """All of it is missing if something is expected; else nothing is known."""
    found = judged(store, 60.0, known=KNOWN)
    assert (found.share, found.missing, found.received) == (0.0, 1440, 0)
    nothing = judged(store, None, known=KNOWN)
    assert (nothing.basis, nothing.share, nothing.days[0].missing) == ("unknown", None, None)


def test_an_interval_is_estimated_only_where_there_is_one(store: HistoryStore) -> None:
    """The usual one of the newest readings; what comes when it likes has none."""
    put(store, [START + n * 30 * SECOND for n in range(2880) if n % 10])
    found = judged(store, None)
    assert (found.basis, found.interval) == ("estimated", 30.0)
    assert (found.missing, found.share) == (287, 90.03)
    put(store, [START + n * n * SECOND for n in range(290)], series=2)
    found = judged(store, None)
    assert found.metric == "t"
    chance = random.Random(7)
    put(store, [START + DAY + chance.randrange(DAY) for _ in range(2_000)])
    assert judged(store, None, days=5).basis == "unknown"


def test_the_most_frequent_metric_is_judged(store: HistoryStore) -> None:
    """One that is sent now and then does not make a device look bad."""
    put(store, [START + n * HOUR for n in range(24)])
    put(store, [START + n * MINUTE for n in range(1440)], series=2)
    found = judged(store, 60.0)
    assert (found.metric, found.share) == ("u", 100.0)


def test_days_are_those_of_the_zone(store: HistoryStore) -> None:
    """One of 23 and one of 25 hours, where clocks are changed."""
    zone = ZoneInfo("Europe/Berlin")
    summer, winter = 1_774_738_800 * SECOND, 1_792_879_200 * SECOND
    assert [(day.date, day.end - day.start) for day in days_of(summer, summer + DAY, zone)] == [
        ("2026-03-29", 23 * HOUR),
        ("2026-03-30", 24 * HOUR),
    ]
    assert [(day.date, day.end - day.start) for day in days_of(winter, winter + 1, zone)] == [
        ("2026-10-25", 25 * HOUR)
    ]
    put(store, [START + n * MINUTE for n in range(-120, 1440)])
    found = judged(store, 60.0, zone=zone, known=KNOWN)
    assert [(day.date, day.received, day.missing) for day in found.days] == [
        ("2026-02-16", 1440, 0),
        ("2026-02-17", 60, 1380),
    ]


def test_too_many_days_are_refused() -> None:
    """A year is enough, and there has to be a calendar."""
    assert len(days_of(START, START + MOST_DAYS * DAY, UTC)) == MOST_DAYS
    with pytest.raises(OwnerError, match="366 days"):
        days_of(START, START + MOST_DAYS * DAY + 1, UTC)
    with pytest.raises(OwnerError, match="no calendar"):
        days_of(-(2**62), START, UTC)


def test_where_minutes_are_gone_hours_say_it(store: HistoryStore, tmp_path: Path) -> None:
    """Also where only some are: what is missing is the same."""
    lost = {700, 701, 702} | set(range(3_000, 3_400))
    put(store, [START + n * 10 * SECOND for n in range(8640) if n not in lost])
    settle(store, START + 2 * DAY)
    whole = judged(store)
    for kept in (START + 9 * HOUR, START + 30 * HOUR):
        forget_minutes(tmp_path, kept)
        found = judged(store)
        assert found.days == whole.days
        assert sum(gap.missing for gap in found.gaps) == sum(gap.missing for gap in whole.gaps)
    store.begin_rebuild()
    assert judged(store).days == whole.days


def forget_minutes(folder: Path, before: int) -> None:
    import sqlite3

    with closing(sqlite3.connect(folder / "motehub.db")) as file, file:
        file.execute("DELETE FROM reading_minute WHERE start < ?", (before,))


def test_the_worst_gaps_are_named(store: HistoryStore) -> None:
    """Of many, those in which most is missing; all are counted."""
    times, time = [], START
    for n in range(150):
        times.append(time)
        time += (2 + n) * MINUTE
    put(store, times)
    found = judged(store, 60.0, days=9, now=times[-1])
    assert (found.gap_count, len(found.gaps)) == (149, MOST_GAPS)
    assert [gap.missing for gap in found.gaps] == list(range(50, 150))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sets(st.integers(0, 3 * 1440 - 1), min_size=1, max_size=60),
    st.integers(1, 3),
    st.integers(-3 * 1440, 3 * 1440),
)
def test_sums_are_those_of_a_slow_count(
    tmp_path_factory: pytest.TempPathFactory, minutes: set[int], days: int, known: int
) -> None:
    """Of readings on the minute, each minute that has none since the device is known is missing."""
    with closing(SqliteHistory(tmp_path_factory.mktemp("store"))) as store:
        with_devices(store)
        put(store, [START + n * MINUTE for n in minutes])
        now = START + 3 * DAY
        found = judged(store, 60.0, days=days, now=now, known=START + known * MINUTE)
    begin = max(0, min(known, min(minutes)))
    for position, day in enumerate(found.days):
        wanted = range(max(begin, position * 1440), (position + 1) * 1440)
        assert day.expected == len(wanted)
        assert day.received == sum(
            n in minutes for n in range(position * 1440, (position + 1) * 1440)
        )
        lost = sum(n not in minutes for n in wanted)
        # The moment at which a device was known, or its time ends, is no reading of its own.
        assert day.missing is not None
        assert abs(day.missing - lost) <= 1
    assert all(early.since < late.since for early, late in pairwise(found.gaps))
