"""Readings summed up by minute, hour and day of UTC, and the arithmetic that makes them so."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from itertools import groupby
from math import fsum
from typing import Final

import msgspec

from motehub.model import MICROSECONDS

TIERS: Final = {
    "minute": 60 * MICROSECONDS,
    "hour": 3_600 * MICROSECONDS,
    "day": 86_400 * MICROSECONDS,
}
"""Length (µs) of what each tier sums up; each is a multiple of the one before."""

NEVER: Final = -(2**63 // TIERS["day"]) * TIERS["day"]
"""A midnight (µs) before all times."""

LARGEST_TOTAL: Final = 8e307
"""A total from here on is not kept: the next addition might be no number any more."""

SUMMABLE: Final = 1e300
"""Totals below this may be added up by a database, which might refuse too large a sum."""

Rollup = tuple[int, int, int, float, float, float | None, int, float]
"""Series, start, count, lowest, highest, total, time of the last, last.

The total is None where a sum of these values is too large for a float.
"""


class Settled(msgspec.Struct, frozen=True):
    """How far hours have been made of minutes, and days of hours.

    Of series up to ``series`` that is ``next``, of all others ``until``: beginnings of hours (µs).
    """

    until: int = NEVER
    next: int = NEVER
    series: int = 0

    def before(self, tier: str, series: int) -> int:
        """Return the time before which rollups of a coarser tier than minutes are there (µs)."""
        width = TIERS[tier]
        return (self.next if series <= self.series else self.until) // width * width


class Kept(msgspec.Struct, frozen=True):
    """Times (µs) before which readings and rollups of a series are deleted, or are to be.

    One of a coarser tier is never later than one of a finer tier, so whatever is deleted has been
    summed up in what is there.
    """

    raw: int = NEVER
    minute: int = NEVER
    hour: int = NEVER
    day: int = NEVER

    def of(self, tier: str) -> int:
        """Return the time of a tier, or of ``raw``."""
        return {"raw": self.raw, "minute": self.minute, "hour": self.hour, "day": self.day}[tier]


class RollupColumns(msgspec.Struct, frozen=True):
    """Rollups of one series in columns, ascending by ``starts`` (µs).

    A total that is not known is infinite.
    """

    starts: array[int]
    counts: array[int]
    low: array[float]
    high: array[float]
    totals: array[float]
    last: array[float]
    last_times: array[int]


class Grid(msgspec.Struct, frozen=True):
    """Buckets of ``width`` (µs) of which one begins at ``origin`` (µs)."""

    origin: int
    width: int


def columns_of(rows: list[tuple[int, int, float, float, float, float, int]]) -> RollupColumns:
    """Return rows of start, count, lowest, highest, total, last and its time as columns."""
    starts, counts, low, high, totals, last, last_times = zip(*rows, strict=True)
    return RollupColumns(
        array("q", starts),
        array("q", counts),
        array("d", low),
        array("d", high),
        array("d", totals),
        array("d", last),
        array("q", last_times),
    )


def minutes_of(series: int, times: array[int], values: array[float]) -> list[Rollup]:
    """Sum up readings that are ascending in time, no two of the same."""
    width = TIERS["minute"]
    found: list[Rollup] = []
    position, length = 0, len(times)
    while position < length:
        start = times[position] // width * width
        end = bisect_left(times, start + width, position)
        part = values[position:end]
        found.append(
            (
                series,
                start,
                end - position,
                min(part),
                max(part),
                _total(part),
                times[end - 1],
                part[-1],
            )
        )
        position = end
    return found


def coarser(rollups: list[Rollup], width: int) -> list[Rollup]:
    """Sum up rollups of one series, ascending, to those of the next tier."""
    if len(rollups) == 1:
        series, start, *rest = rollups[0]
        return [(series, start // width * width, *rest)]  # type: ignore[list-item]
    return [
        _joined(start, list(group))
        for start, group in groupby(rollups, lambda rollup: rollup[1] // width * width)
    ]


def stretches(times: array[int], width: int) -> list[tuple[int, int]]:
    """Return where the parts of length ``width`` begin and end that hold ``times``, ascending.

    Neighbours are one, up to a day.
    """
    found: list[tuple[int, int]] = []
    position = 0
    while position < len(times):
        start = times[position] // width * width
        if found and found[-1][1] == start and start - found[-1][0] < TIERS["day"]:
            found[-1] = (found[-1][0], start + width)
        else:
            found.append((start, start + width))
        position = bisect_left(times, start + width, position)
    return found


def pieces(
    since: int, until: int, tiers: list[str], settled: int
) -> Iterator[tuple[str | None, int, int]]:
    """Part ``[since, until)`` into what whole rollups of ``tiers`` cover, and the rest.

    ``tiers`` are the coarsest first; None stands for the readings themselves. From ``settled`` on,
    the beginning of an hour, there are only minutes.
    """
    yield from _pieces(since, min(until, settled), tiers)
    yield from _pieces(max(since, settled), until, tiers[-1:])


def pieces_kept(
    since: int, until: int, tiers: list[str], kept: Kept, settled: int
) -> Iterator[tuple[str | None, int, int]]:
    """Do as ``pieces``, but from finest rollups that are left where readings are deleted.

    There the first piece may begin before ``since``, and the last one end after ``until``.
    """
    begin = NEVER
    for finest, end in (("day", kept.hour), ("hour", kept.minute), ("minute", kept.raw)):
        width = TIERS[finest]
        first = max(since // width * width, begin)
        last = min(-(-until // width) * width, end)
        coarser_ones = [tier for tier in tiers if TIERS[tier] > width]
        if until > begin:
            yield from pieces(first, last, [*coarser_ones, finest], settled)
        begin = max(begin, end)
    yield from pieces(max(since, begin), until, tiers, settled)


def _pieces(since: int, until: int, tiers: list[str]) -> Iterator[tuple[str | None, int, int]]:
    if since >= until:
        return
    if not tiers:
        yield None, since, until
        return
    width = TIERS[tiers[0]]
    first, last = -(-since // width) * width, until // width * width
    if first >= last:
        yield from _pieces(since, until, tiers[1:])
        return
    yield from _pieces(since, first, tiers[1:])
    yield tiers[0], first, last
    yield from _pieces(last, until, tiers[1:])


def _joined(start: int, group: list[Rollup]) -> Rollup:
    series, _, counts, low, high, totals, times, last = zip(*group, strict=True)
    total = None if None in totals else _total(totals)
    return series[0], start, sum(counts), min(low), max(high), total, times[-1], last[-1]


def _total(values: array[float] | tuple[float, ...]) -> float | None:
    try:
        total = fsum(values)
    except (OverflowError, ValueError):
        return None
    return total if abs(total) < LARGEST_TOTAL else None
