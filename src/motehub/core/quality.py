"""How many of the readings that a device should have sent are in the history, day by day.

A device is judged by its most frequent metric. Between the last reading of a minute and that of
the next minute that has some lie as many readings as the latter counts, and there should be as many
as expected intervals: so what is missing is known from rollups, however readings lie in minutes.
"""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_right
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from itertools import pairwise
from statistics import median
from typing import Final, Literal

import msgspec

from motehub.core.days import Day
from motehub.core.moments import iso
from motehub.history_contract import HistoryStore
from motehub.model import MICROSECONDS, Device, Kind, Series
from motehub.rollups import TIERS, pieces

MOST_GAPS: Final = 100
"""Most gaps that are named: those in which most is missing."""

NEWEST: Final = 1_000
"""From so many of its newest readings an interval is estimated."""

FEWEST: Final = 20
"""Of fewer intervals nothing is estimated."""

_REGULAR: Final = 0.75
_SHORTEST: Final = 0.01
_LOOK_BACK: Final = TIERS["day"]


Basis = Literal["given", "estimated", "unknown", "spared"]


class Row(msgspec.Struct, frozen=True):
    """So many readings, of which the last was at ``last``; none begins before ``start`` (µs)."""

    start: int
    count: int
    last: int


class QualityDay(msgspec.Struct, frozen=True):
    """A day in the hub's zone, until now if it is not over.

    ``expected`` counts intervals since the device is known, ``missing`` those of them without a
    reading, and ``share`` says how many per cent of the expected are there; null where no interval
    is known, or nothing was to be expected.
    """

    date: str
    received: int
    expected: int | None
    missing: int | None
    share: float | None


class QualityGap(msgspec.Struct, frozen=True, rename={"since": "from", "until": "to"}):
    """Between the reading at ``from`` and the one at ``to`` so many are missing.

    ``to`` is null while the next has not come; it is exact to a minute only where there are
    several readings in a minute.
    """

    since: str
    until: str | None
    missing: int


class QualityShape(msgspec.Struct, frozen=True):
    """What is there of the readings that a device should have sent.

    ``metric`` is its most frequent one, null if it has sent nothing. ``interval`` is in how many
    seconds something is expected; ``basis`` says whether the owner has ``given`` it, it is
    ``estimated``, or it is ``unknown``, or that readings are ``spared``: not stored where they do
    not change. Sums are those of all ``days``. ``gaps`` are at most 100 of
    ``gap_count``, those in which most is missing, in the order of time.
    """

    device: str
    metric: str | None
    interval: float | None
    basis: Basis
    received: int
    expected: int | None
    missing: int | None
    share: float | None
    days: list[QualityDay]
    gaps: list[QualityGap]
    gap_count: int


def quality_of(
    store: HistoryStore,
    device: Device,
    series: Sequence[Series],
    days: Sequence[Day],
    now: int,
    interval: float | None,
    spared: Collection[int] = (),
) -> Generator[None, None, QualityShape]:
    """Say what is there of ``days``, one after the other, as of ``now`` (µs); yields at times.

    ``series`` are those of the device, ``interval`` is the owner's, in seconds. Of ``spared`` not
    every reading is stored: they are looked at only where there are no others.

    Raises:
        StorageError: the history can't be read now.
    """
    since, until = days[0].start, min(days[-1].end, now)
    whole = [one for one in series if one.id not in spared]
    chosen = yield from _most_frequent(store, whole or series, since, until)
    basis: Basis = "given"
    if series and not whole:
        interval, basis = None, "spared"
    elif interval is None:
        interval = None if chosen is None else _estimated(store, chosen)
        basis = "unknown" if interval is None else "estimated"
    account = Account(days, now, interval, device.first_seen)
    if chosen is not None:
        back = _LOOK_BACK if interval is None else max(_LOOK_BACK, _micros(2 * interval))
        for row in _rows(store, chosen, since - back, until):
            if row is None:
                yield None
            else:
                account.add(row)
    metric = None if chosen is None else chosen.metric
    return account.shape(device.name, metric, basis)


class Account:
    """Adds up what is there and what is missing of ``days``, as of ``now``.

    Rows come in the order of time, those of some time before the first day among them. Nothing
    is expected before ``known`` or the first row, whichever is earlier.
    """

    def __init__(self, days: Sequence[Day], now: int, interval: float | None, known: int) -> None:
        self._days = days
        self._now = now
        self._end = min(days[-1].end, now)
        self._interval = interval
        self._step = 0 if interval is None else max(1, _micros(interval))
        self._starts = [day.start for day in days]
        self._begin = known
        self._last: int | None = None
        self._received = [0] * len(days)
        self._missing = [0] * len(days)
        self._gaps: list[tuple[int, int, int]] = []
        self._gap_count = 0

    def add(self, row: Row) -> None:
        """Take the next row."""
        if (position := self._day(row.start)) is not None:
            self._received[position] += row.count
        if self._last is None and row.start <= self._begin:
            # The first of all: what should have been before it nobody knows.
            self._begin = row.start
        else:
            self._pass_time(row.last, row.count, row.start)
        self._last = row.last

    def shape(self, device: str, metric: str | None, basis: Basis) -> QualityShape:
        """Say what it comes to, when all rows have been taken."""
        self._pass_time(self._end, 0, self._end)
        days = [self._shown(position) for position in range(len(self._days))]
        received = sum(self._received)
        expected = missing = None
        if self._step:
            expected = sum(day.expected or 0 for day in days)
            missing = sum(day.missing or 0 for day in days)
        return QualityShape(
            device,
            metric,
            self._interval,
            basis,
            received,
            expected,
            missing,
            _share(expected, missing),
            days,
            [self._shown_gap(*gap) for gap in sorted(gap[1:] + gap[:1] for gap in self._gaps)],
            self._gap_count,
        )

    def _pass_time(self, until: int, count: int, first: int) -> None:
        """Find what is missing up to the last of ``count`` readings, or to the end for none.

        ``first`` is a time before which none of them is.
        """
        start = self._last
        if start is None:
            # Half an interval is left to what should have come then.
            start = max(self._begin, self._starts[0]) - self._step // 2
        if not self._step or until <= start:
            return
        steps = (2 * (until - start) + self._step) // (2 * self._step)
        # Nothing is missing that is less than half an interval late.
        missing = steps - (count or 1)
        if missing <= 0 or until <= self._starts[0]:
            return
        self._spread(start, until, missing, missing + (count or 1))
        end = first if count > 1 and first - start > self._step else until
        self._gap_count += 1
        heapq.heappush(self._gaps, (missing, start, end))
        if len(self._gaps) > MOST_GAPS:
            heapq.heappop(self._gaps)

    def _spread(self, start: int, until: int, missing: int, parts: int) -> None:
        """Give days what is missing: so many of ``parts`` equal parts of the time, the first."""
        done = 0
        first = max(0, bisect_right(self._starts, start) - 1)
        for position in range(first, len(self._days)):
            day = self._days[position]
            # Those before the first day are none of any day.
            before = self._before(day.start, start, until, missing, parts)
            done = max(done, before)
            upto = self._before(day.end, start, until, missing, parts)
            self._missing[position] += upto - done
            done = upto
            if done == missing:
                return

    @staticmethod
    def _before(moment: int, start: int, until: int, missing: int, parts: int) -> int:
        """Return how many of the missing should have come before ``moment``."""
        count = -((start - moment) * parts // (until - start)) - 1
        return min(max(count, 0), missing)

    def _day(self, moment: int) -> int | None:
        position = bisect_right(self._starts, moment) - 1
        return position if position >= 0 and moment < self._days[position].end else None

    def _shown(self, position: int) -> QualityDay:
        day, received = self._days[position], self._received[position]
        if not self._step:
            return QualityDay(day.date, received, None, None, None)
        time = min(day.end, self._end) - max(day.start, self._begin)
        expected = max(0, (2 * time + self._step) // (2 * self._step))
        missing = min(self._missing[position], expected)
        return QualityDay(day.date, received, expected, missing, _share(expected, missing))

    def _shown_gap(self, since: int, until: int, missing: int) -> QualityGap:
        is_open = until == self._end and self._end == self._now and until != self._last
        return QualityGap(iso(since), None if is_open else iso(until), missing)


def _most_frequent(
    store: HistoryStore, series: Sequence[Series], since: int, until: int
) -> Generator[None, None, Series | None]:
    """Return the series with most readings in that time; one of numbers if any has some."""
    best: tuple[int, Series | None] = (0, None)
    for kind, count_of in ((Kind.GAUGE, _count), (Kind.TEXT, _count_texts)):
        for one in series:
            if one.kind is kind:
                best = max(
                    best, (count_of(store, one, since, until), one), key=lambda pair: pair[0]
                )
                yield None
        if best[1] is not None:
            return best[1]
    return next(iter(series), None)


def _count(store: HistoryStore, series: Series, since: int, until: int) -> int:
    """Return how many readings there are, but for those in a minute of which a part is asked."""
    if series.id in store.unrolled():
        return sum(len(times) for times, _ in store.readings(series.id, since, until))
    tiers = list(TIERS)[::-1]
    settled = store.settled().before("hour", series.id)
    return sum(
        sum(rollups.counts)
        for tier, begin, end in pieces(since, until, tiers, settled)
        if tier is not None
        for rollups in store.rollups(series.id, tier, begin, end)
    )


def _count_texts(store: HistoryStore, series: Series, since: int, until: int) -> int:
    return sum(len(times) for times, _ in store.texts(series.id, since, until))


def _estimated(store: HistoryStore, series: Series) -> float | None:
    """Return the usual time between two of the newest readings in seconds, if there is one."""
    times = [time for time, _ in store.newest(series, NEWEST)]
    steps = [(late - early) / MICROSECONDS for late, early in pairwise(times)]
    if len(steps) < FEWEST:
        return None
    usual = median(steps)
    near = sum(0.5 * usual <= step <= 1.5 * usual for step in steps)
    return usual if usual >= _SHORTEST and near >= _REGULAR * len(steps) else None


def _rows(store: HistoryStore, series: Series, since: int, until: int) -> Iterator[Row | None]:
    """Yield what is stored in ``[since, until)``, and None now and then.

    That is minutes, hours where no minutes are any more, and readings where there is neither.
    """
    if series.kind is Kind.TEXT or series.id in store.unrolled():
        parts: Iterable[tuple[array[int], object]] = (
            store.texts(series.id, since, until)
            if series.kind is Kind.TEXT
            else store.readings(series.id, since, until)
        )
        for times, _ in parts:
            yield from (Row(time, 1, time) for time in times)
            yield None
        return
    minutes = _rolled(store, series, "minute", since, until)
    first = next(minutes, None)
    hour = TIERS["hour"]
    kept = until if first is None else first.start // hour * hour
    yield from _rolled(store, series, "hour", since // hour * hour, kept)
    if first is not None:
        yield first
        yield from minutes


def _rolled(
    store: HistoryStore, series: Series, tier: str, since: int, until: int
) -> Iterator[Row | None]:
    for rollups in store.rollups(series.id, tier, since, until):
        columns = zip(rollups.starts, rollups.counts, rollups.last_times, strict=True)
        yield from (Row(*row) for row in columns)
        yield None


def _share(expected: int | None, missing: int | None) -> float | None:
    """Return in per cent what is there, to two places; never all while something is missing."""
    if not expected or missing is None:
        return None
    share = round(100 * (expected - missing) / expected, 2)
    return 99.99 if missing and share == 100 else share


def _micros(seconds: float) -> int:
    return round(seconds * MICROSECONDS)
