"""What is there and what is missing of a device's readings, day by day."""

from __future__ import annotations

import random
from array import array
from collections.abc import Generator, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.test_rollups import DAY, HOUR, SECOND, START, fold, settle, with_devices

from motehub.core.days import MOST_DAYS, Day, days_of, hour_of
from motehub.core.history import FoldIntoHistory, make_fold
from motehub.core.losses import MOST_GAPS, Account, Arrived, QualityShape, Row
from motehub.core.quality import quality_of
from motehub.errors import OwnerError
from motehub.frames import (
    Columns,
    Entry,
    Frame,
    HubAway,
    Rejected,
    SeriesAdded,
    TextReadings,
)
from motehub.history_contract import Expiring, HistoryStore
from motehub.model import Kind, Series
from motehub.rollups import Kept
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
    return drained(quality_of(store, changed, series, asked, now, interval))


def drained(steps: Generator[None, None, QualityShape]) -> QualityShape:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: QualityShape = end.value
            return found


def as_dict(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def note_away(store: HistoryStore, *spans: tuple[int, int]) -> None:
    entries: list[Entry] = [HubAway(since, until) for since, until in spans]
    start = store.position()
    store.fold(make_fold([(start + 1, Frame(1, Columns(), Columns(), entries))], {}))


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
    assert (found.missing, found.share) == (288, 90.0)
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


def test_days_beyond_every_age_of_readings(store: HistoryStore) -> None:
    """Of which readings, minutes and then hours are deleted: the same of each day, or unknown."""
    lost = {700, 701, 702} | set(range(3_000, 3_400))
    put(store, [START + n * 10 * SECOND for n in range(3 * 8640) if n not in lost])
    text = SeriesAdded(Series(9, 1, "words", "", Kind.TEXT))
    said = TextReadings(9, [START + n * 10 * SECOND for n in range(3 * 8640)], ["a"] * 3 * 8640)
    start = store.position()
    store.fold(make_fold([(start + 1, Frame(1, Columns(), Columns(), [text, said]))], {}))
    settle(store, START + 4 * DAY)
    whole = judged(store, days=3)
    texts = judged_texts(store)
    assert (texts.received, texts.missing) == (3 * 8640, 0)
    kept = START + 2 * DAY
    for limits in (Kept(kept), Kept(kept, kept), Kept(kept, kept, kept)):
        for series in (1, 9):
            while store.expire_some([Expiring(series, limits, texts=series == 9)], 10_000)[0] == 0:
                pass
        assert judged(store, days=3).days == whole.days
        assert judged_texts(store).days == texts.days
        estimated = judged(store, None, days=3)
        assert (estimated.basis, estimated.interval) == ("estimated", 10.0)
    while store.expire_some([Expiring(1, Kept(kept, kept, kept, kept))], 10_000)[0] == 0:
        pass
    assert [(day.expected, day.missing) for day in judged(store, days=3).days] == [
        (0, 0),
        (0, 0),
        (8640, 0),
    ]


def test_no_reading_is_counted_twice_where_days_are_not_those_of_utc(store: HistoryStore) -> None:
    """There are sums by minute, hour and day of the first of them; the day before has none."""
    zone = ZoneInfo("Africa/Lagos")
    put(store, [START - HOUR + n * MINUTE for n in range(2 * 1440)])
    settle(store, START + 3 * DAY)
    asked = days_of(START - DAY, START + DAY, zone)
    (device, *_), series = store.registry()
    known = msgspec.structs.replace(device, first_seen=START + 5 * DAY)
    found = drained(quality_of(store, known, series, asked, START + 10 * DAY, 60.0))
    assert [(day.received, day.expected, day.missing) for day in found.days] == [
        (0, 0, 0),
        (1440, 1440, 0),
        (1440, 1440, 0),
    ]


def judged_texts(store: HistoryStore) -> QualityShape:
    (device, *_), series = store.registry()
    asked = days_of(START, START + 3 * DAY, UTC)
    texts = [one for one in series if one.kind is Kind.TEXT]
    known = msgspec.structs.replace(device, first_seen=START)
    return drained(quality_of(store, known, texts, asked, START + 10 * DAY, 10.0))


def test_where_nothing_but_sums_is_left_an_interval_is_that_of_hours(store: HistoryStore) -> None:
    """Of a device that has been silent since long before; not if it sent once an hour or less."""
    put(store, [START + n * MINUTE for n in range(1440)])
    put(store, [START + n * HOUR for n in range(24)], series=2)
    settle(store, START + 2 * DAY)
    for series in (1, 2):
        while store.expire_some([Expiring(series, Kept(START + 5 * DAY))], 10_000)[0] == 0:
            pass
    found = judged(store, None)
    assert (found.basis, found.interval, found.missing) == ("estimated", 60.0, 0)
    (device, *_), series_there = store.registry()
    hourly = [one for one in series_there if one.id == 2]
    asked = days_of(START, START + DAY, UTC)
    steps = quality_of(store, device, hourly, asked, START + 10 * DAY, None)
    assert drained(steps).basis == "unknown"


def forget_minutes(folder: Path, before: int) -> None:
    import sqlite3

    with closing(sqlite3.connect(folder / "motehub.db")) as file, file:
        file.execute("DELETE FROM reading_minute WHERE start < ?", (before,))


def test_what_the_hub_was_not_there_for_is_no_loss(store: HistoryStore) -> None:
    """It is neither expected nor missing, but told by itself; what the device lost is told too."""
    off = (START + 6 * HOUR + 5, START + 9 * HOUR + 5)
    lost = range(2 * 360, 2 * 360 + 30)
    times = [START + n * 10 * SECOND for n in range(2 * 8640) if n not in lost]
    put(store, [time for time in times if not off[0] <= time < off[1]])
    note_away(store, (START - DAY, START - DAY + HOUR), off)
    first, second = (found := judged(store, days=2)).days
    assert (first.hub_down, first.hub_missing, first.expected) == (10_800.0, 1080, 7560)
    assert (first.missing, first.share, first.received) == (30, 99.6, 7530)
    assert (second.hub_down, second.hub_missing, second.share) == (0.0, 0, 100.0)
    assert (found.hub_down, found.hub_missing, found.missing) == (10_800.0, 1080, 30)
    assert [(gap.missing, gap.hub_missing) for gap in found.gaps] == [(30, 0), (0, 1080)]


def test_what_a_device_kept_until_the_hub_was_back_is_there(store: HistoryStore) -> None:
    """What came late is expected like any other, though the hub was not there at its time."""
    put(store, [START + n * MINUTE for n in range(1440)])
    note_away(store, (START + HOUR, START + 5 * HOUR))
    (day,) = judged(store, 60.0).days
    assert (day.expected, day.missing, day.share, day.hub_missing) == (1440, 0, 100.0, 0)
    assert day.hub_down == 4 * 3600


def test_a_gap_that_goes_on_after_the_hub_is_back_is_the_devices(store: HistoryStore) -> None:
    """Only what was due while the hub was not there, to half an interval, is the hub's."""
    put(store, [START + n * MINUTE for n in range(1440) if not 60 <= n < 300])
    note_away(store, (START + HOUR, START + 2 * HOUR))
    (day,) = (found := judged(store, 60.0)).days
    assert day.hub_missing in (60, 61)
    assert day.missing is not None
    assert day.missing + day.hub_missing == 240
    assert [(gap.missing, gap.hub_missing) for gap in found.gaps] == [
        (day.missing, day.hub_missing)
    ]


def test_a_day_without_the_hub_has_no_share(store: HistoryStore) -> None:
    """Nothing was to be expected of the device."""
    put(store, [START + n * MINUTE for n in range(3 * 1440) if not 1440 <= n < 2880])
    note_away(store, (START + DAY - 1, START + 2 * DAY - 1))
    whole, off, after = judged(store, 60.0, days=3).days
    assert (whole.share, after.share) == (100.0, 100.0)
    assert (off.share, off.expected, off.hub_missing) == (None, 0, 1440)


def test_what_came_is_counted_when_it_came(store: HistoryStore, tmp_path: Path) -> None:
    """All that arrived on a day of the zone, of every metric; null before it was counted."""
    zone = ZoneInfo("Asia/Kolkata")
    effect = FoldIntoHistory(store, EmptyLog(), "journal", zone=zone)
    midnight = days_of(START + DAY, START + DAY, zone)[0].start
    assert hour_of(midnight - 1, zone) == midnight - HOUR
    at = effect.position() + 1
    readings = Columns()
    readings.add(1, array("q", [START, START]), array("d", [1.0, 1.0]))
    refused: list[Entry] = [Rejected(1, "x", 1, b"", "bad", 3)]
    effect.apply(
        [
            (at, Frame(midnight - 1, readings, Columns(), refused)),
            (at + 1, Frame(midnight, readings, Columns(), [])),
        ]
    )
    asked = days_of(START - DAY, START + 2 * DAY - 1, zone)
    (device, *_), series = store.registry()
    found = drained(quality_of(store, device, series, asked, START + 10 * DAY, 60.0))
    assert [day.arrived for day in found.days] == [
        None,
        Arrived(5, 1, 1, 3, 0),
        Arrived(2, 0, 2, 0, 0),
        Arrived(0, 0, 0, 0, 0),
    ]
    assert found.arrived == Arrived(7, 1, 3, 3, 0)


class EmptyLog:
    """A journal of which nothing is read."""

    def head(self) -> int:
        return 0

    def state(self) -> dict[str, bytes]:
        return {}

    def read(self, after: int, size: int) -> list[tuple[int, bytes]]:
        return []


@given(
    st.sets(st.integers(0, 999), max_size=600),
    st.lists(st.tuples(st.integers(0, 999), st.integers(1, 300)), max_size=4),
)
def test_losses_beside_a_slow_count(kept: set[int], spans: list[tuple[int, int]]) -> None:
    """Of readings on the minute each is there, missing, or missed by the hub; gaps say the same."""
    day = Day("2026-02-16", START, START + 1000 * MINUTE)
    away = [(START + n * MINUTE - 1, START + (n + width) * MINUTE - 1) for n, width in spans]
    account = Account([day], day.end, 60.0, START, away)
    times = [START + n * MINUTE for n in sorted(kept)]
    for time in times:
        account.add(Row(time, 1, time))
    found = account.shape("x", "t", "given")
    off = {n + more for n, width in spans for more in range(width) if n + more < 1000}
    lost = set(range(1000)) - kept
    assert found.missing is not None
    assert found.hub_missing is not None
    # Where it begins and ends half an interval is nobody's; so is each end of a time without hub.
    slack = 2 + 2 * len(spans)
    assert abs(found.hub_missing - len(lost & off)) <= slack
    assert abs(found.missing - len(lost - off)) <= slack
    assert abs(found.missing + found.hub_missing - len(lost)) <= 2
    if found.gap_count < MOST_GAPS:
        assert sum(gap.hub_missing for gap in found.gaps) == found.hub_missing
    assert abs(found.hub_down - 60 * len(off)) <= 1


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
