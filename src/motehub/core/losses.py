"""Adds up what is there and what is missing of the readings that a device should have sent."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Final, Literal

import msgspec

from motehub.core.days import Day
from motehub.core.moments import iso
from motehub.counted import HourCounts
from motehub.model import MICROSECONDS

MOST_GAPS: Final = 100
"""Most gaps that are named: those in which most is missing."""

# How far (µs) from a time in which the hub was not there a reading may be due that it missed: at
# most half an interval, since devices are not quite punctual.
_NEAR: Final = 30 * MICROSECONDS

Basis = Literal["given", "estimated", "unknown", "spared"]


class Row(msgspec.Struct, frozen=True):
    """So many readings, of which the last was at ``last``; none begins before ``start`` (µs)."""

    start: int
    count: int
    last: int


class Arrived(msgspec.Struct, frozen=True):
    """How many readings of all metrics came to the hub, and what became of them.

    They count when they came. ``received = stored + duplicate + rejected + discarded``, but for
    what waits for the owner's approval, or has waited.
    """

    received: int
    stored: int
    duplicate: int
    rejected: int
    discarded: int


class QualityDay(msgspec.Struct, frozen=True):
    """A day in the hub's zone, until now if it is not over.

    ``expected`` counts intervals since the device is known, ``missing`` those of them without a
    reading, and ``share`` says how many per cent of the expected are there; null where no interval
    is known, or nothing was to be expected. In ``hub_down`` of its seconds the hub was not there:
    the ``hub_missing`` readings that are missing for that are neither expected nor missing.
    ``received`` readings have their time in the day; ``arrived`` is null before that was counted.
    """

    date: str
    received: int
    expected: int | None
    missing: int | None
    share: float | None
    hub_down: float = 0.0
    hub_missing: int | None = None
    arrived: Arrived | None = None


class QualityGap(msgspec.Struct, frozen=True, rename={"since": "from", "until": "to"}):
    """Between the reading at ``from`` and the one at ``to`` so many are missing.

    ``hub_missing`` are those that are missing since the hub was not there. ``to`` is null while
    the next has not come; it is exact to a minute only where there are several readings in a
    minute.
    """

    since: str
    until: str | None
    missing: int
    hub_missing: int = 0


class QualityShape(msgspec.Struct, frozen=True):
    """What is there of the readings that a device should have sent.

    ``metric`` is its most frequent one, null if it has sent nothing. ``interval`` is in how many
    seconds something is expected; ``basis`` says whether the owner has ``given`` it, it is
    ``estimated``, or it is ``unknown``, or that readings are ``spared``: not stored where they do
    not change. Sums are those of all ``days``, with the meaning that they have there. ``gaps`` are
    at most 100 of ``gap_count``, those in which most is missing, in the order of time.
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
    hub_down: float = 0.0
    hub_missing: int | None = None
    arrived: Arrived | None = None


class Account:
    """Adds up what is there and what is missing of ``days``, as of ``now``.

    Rows come in the order of time, those of some time before the first day among them. Nothing
    is expected before ``known`` or the first row, whichever is earlier; nor, unless it came, in
    ``away``, when the hub was not there.
    """

    def __init__(
        self,
        days: Sequence[Day],
        now: int,
        interval: float | None,
        known: int,
        away: Sequence[tuple[int, int]] = (),
    ) -> None:
        self._days = days
        self._now = now
        self._end = min(days[-1].end, now)
        self._interval = interval
        self._step = 0 if interval is None else max(1, micros(interval))
        self._starts = [day.start for day in days]
        self._begin = known
        self._last: int | None = None
        self._received = [0] * len(days)
        self._missing = [0] * len(days)
        self._hub_missing = [0] * len(days)
        self._away = Away(away, min(self._step // 2, _NEAR))
        self._gaps: list[tuple[int, int, int, int, int]] = []
        self._gap_count = 0

    def add(self, row: Row) -> None:
        """Take the next row."""
        if (position := self._day(row.start)) is not None:
            self._received[position] += row.count
        if self._last is None and row.last < self._begin:
            # The first of all: what should have been before it nobody knows.
            self._begin = max(row.start, row.last - (row.count - 1) * self._step)
        self._pass_time(row.last, row.count, row.start)
        self._last = row.last

    def shape(
        self,
        device: str,
        metric: str | None,
        basis: Basis,
        arrived: Sequence[Arrived | None] = (),
    ) -> QualityShape:
        """Say what it comes to, when all rows have been taken; ``arrived`` is by day."""
        self._pass_time(self._end, 0, self._end)
        by_day = arrived or [None] * len(self._days)
        days = [self._shown(position, one) for position, one in enumerate(by_day)]
        received = sum(self._received)
        expected = missing = hub_missing = None
        if self._step:
            expected = sum(day.expected or 0 for day in days)
            missing = sum(day.missing or 0 for day in days)
            hub_missing = sum(day.hub_missing or 0 for day in days)
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
            [self._shown_gap(*gap) for gap in sorted(gap[1:] for gap in self._gaps)],
            self._gap_count,
            sum(day.hub_down for day in days),
            hub_missing,
            _sum([day.arrived for day in days]),
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
        hub_missing = self._spread(start, until, missing, missing + (count or 1))
        end = first if count > 1 and first - start > self._step else until
        self._gap_count += 1
        heapq.heappush(self._gaps, (missing, start, end, missing - hub_missing, hub_missing))
        if len(self._gaps) > MOST_GAPS:
            heapq.heappop(self._gaps)

    def _spread(self, start: int, until: int, missing: int, parts: int) -> int:
        """Give days what is missing: so many of ``parts`` equal parts of the time, the first.

        Of those for which the hub was not there as many as possible are missing for that: where in
        an hour readings lie, its sum does not tell. Returns how many these are.
        """

        def due(moment: int) -> int:
            """Return how many parts end before ``moment``."""
            return min(max(-((start - moment) * parts // (until - start)) - 1, 0), parts)

        def away(begin: int, end: int) -> int:
            return sum(due(b) - due(a) for a, b in self._away.within(begin, end))

        hub_missing = hub_left = min(missing, away(start, until))
        left = missing - hub_missing
        first = bisect_right(self._starts, start) - 1
        begin = start
        # What is before the first day is none of any day.
        for position in range(first, len(self._days)):
            end = self._starts[0] if position < 0 else self._days[position].end
            hubs = away(begin, min(end, until))
            others = min(left, due(end) - due(begin) - hubs)
            hubs = min(hub_left, hubs)
            if position >= 0:
                self._missing[position] += others
                self._hub_missing[position] += hubs
            left, hub_left, begin = left - others, hub_left - hubs, end
            if not left + hub_left or begin >= until:
                break
        return hub_missing

    def _day(self, moment: int) -> int | None:
        position = bisect_right(self._starts, moment) - 1
        return position if position >= 0 and moment < self._days[position].end else None

    def _shown(self, position: int, arrived: Arrived | None) -> QualityDay:
        day, received = self._days[position], self._received[position]
        begin, end = max(day.start, self._begin), min(day.end, self._end)
        down = self._away.seconds(begin, end)
        if not self._step:
            return QualityDay(day.date, received, None, None, None, down, None, arrived)
        hub_missing = self._hub_missing[position]
        expected = max(0, (2 * (end - begin) + self._step) // (2 * self._step) - hub_missing)
        missing = min(self._missing[position], expected)
        share = _share(expected, missing)
        return QualityDay(day.date, received, expected, missing, share, down, hub_missing, arrived)

    def _shown_gap(self, since: int, until: int, missing: int, hub_missing: int) -> QualityGap:
        is_open = until == self._end and self._end == self._now and until != self._last
        return QualityGap(iso(since), None if is_open else iso(until), missing, hub_missing)


class Away:
    """When the hub was not there; ``near`` (µs) is how far from it a reading may be due for it."""

    def __init__(self, spans: Sequence[tuple[int, int]], near: int) -> None:
        self._spans = _joined(spans)
        self._near = _joined([(since - near, until + near) for since, until in spans])

    def within(self, since: int, until: int) -> Iterator[tuple[int, int]]:
        """Yield the times in ``[since, until)`` for which the hub was not there, or nearly."""
        return _cut(self._near, since, until)

    def seconds(self, since: int, until: int) -> float:
        """Return for how long the hub was not there in ``[since, until)``."""
        return sum(end - begin for begin, end in _cut(self._spans, since, until)) / MICROSECONDS


def _cut(spans: Sequence[tuple[int, int]], since: int, until: int) -> Iterator[tuple[int, int]]:
    """Yield what of ``spans``, which follow one another, is in ``[since, until)``."""
    for position in range(bisect_right(spans, since, key=itemgetter(1)), len(spans)):
        begin, end = spans[position]
        if max(begin, since) >= until:
            return
        yield max(begin, since), min(end, until)


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for since, until in sorted(spans):
        if found and since <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], until)
        else:
            found.append((since, until))
    return found


def _share(expected: int | None, missing: int | None) -> float | None:
    """Return in per cent what is there, to two places; never all while something is missing."""
    if not expected or missing is None:
        return None
    share = round(100 * (expected - missing) / expected, 2)
    return 99.99 if missing and share == 100 else share


def micros(seconds: float) -> int:
    """Return so many seconds in µs."""
    return round(seconds * MICROSECONDS)


def _sum(days: Sequence[Arrived | None]) -> Arrived | None:
    found = [one for one in days if one is not None]
    return total(found) if found else None


def total(counts: Sequence[Arrived | HourCounts]) -> Arrived:
    """Return the sums of ``counts``."""
    # What is recalled is discarded no more, perhaps an hour later.
    return Arrived(
        max(0, sum(one.received for one in counts)),
        max(0, sum(one.stored for one in counts)),
        max(0, sum(one.duplicate for one in counts)),
        max(0, sum(one.rejected for one in counts)),
        max(0, sum(one.discarded for one in counts)),
    )
