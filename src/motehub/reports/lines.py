"""Readings made ready for drawing: cleaned, thinned to the picture's width, cut at gaps.

A thinned line keeps the first, lowest, highest and last reading of every pixel column, so it
looks the same as the whole line: a spike of one reading in ten million stays visible.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from motehub.model import MICROSECONDS
from motehub.reports.figure import Curve

GAP_FACTOR: Final = 5
"""A step this many times longer than the curve's median spacing is a gap."""

SHORTEST_GAP: Final = 10 * MICROSECONDS
"""No step shorter than this is a gap (µs): jitter of a fast device isn't one."""

KEPT_PER_COLUMN: Final = 4
"""Readings that a pixel column can keep: first, lowest, highest, last."""

DAY: Final = 86_400 * MICROSECONDS
"""Microseconds in a day, the drawing library's unit of time."""

# The calendar of the drawing library ends with the year 9999; its ticks need room.
EARLIEST: Final = int(datetime(1000, 1, 1, tzinfo=UTC).timestamp()) * MICROSECONDS
LATEST: Final = int(datetime(9000, 1, 1, tzinfo=UTC).timestamp()) * MICROSECONDS

# Beyond this the arithmetic of an axis (margins, tick steps) overflows.
LARGEST: Final = 1e300

Times = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


class Points(NamedTuple):
    """Readings in order of time: UTC microseconds and values, all finite."""

    times: Times
    values: Values


class Line(NamedTuple):
    """What is drawn: days since 1970 (UTC) and values, with a NaN value at every gap.

    ``dots`` are the indices of pieces too narrow to be seen as a line.
    """

    days: Values
    values: Values
    dots: Indices


def clean(curve: Curve, since: int | None, until: int | None) -> Points:
    """Return the readings of ``curve`` from ``since`` to ``until`` (UTC µs) in order of time.

    Values that are not finite, or too large for an axis, are left out.
    """
    times: Times = np.asarray(curve.times, dtype=np.int64)
    values: Values = np.asarray(curve.values, dtype=np.float64)
    first = EARLIEST if since is None else max(since, EARLIEST)
    last = LATEST if until is None else min(until, LATEST)
    drawable = (times >= first) & (times <= last) & (np.abs(values) < LARGEST)
    if not drawable.all():
        times, values = times[drawable], values[drawable]
    if np.any(times[1:] < times[:-1]):
        order = np.argsort(times, kind="stable")
        times, values = times[order], values[order]
    return Points(times, values)


def make_line(points: Points, start: int, end: int, columns: int) -> Line:
    """Return what to draw of ``points`` on an axis from ``start`` to ``end`` (UTC µs).

    ``columns`` is the width of the picture in pixels; the line has at most five points for
    each of them, however many readings there are.
    """
    times, values = points
    if not len(times):
        return Line(np.empty(0), np.empty(0), np.empty(0, dtype=np.intp))
    column_width = max(1.0, (end - start) / columns)
    kept = _extremes(points, start, column_width, columns)
    # Only neighbours can have a gap between them: what lies between others was thinned away.
    after_gap = np.zeros(len(times), dtype=np.bool_)
    after_gap[1:] = np.diff(times) > _shortest_gap(times)
    breaks = np.flatnonzero(after_gap[kept] & (np.diff(kept, prepend=-2) == 1))
    begins = np.concatenate(([0], breaks)).astype(np.intp)
    ends = np.concatenate((breaks - 1, [len(kept) - 1])).astype(np.intp)
    narrow = np.flatnonzero(times[kept[ends]] - times[kept[begins]] < column_width)
    return Line(
        np.insert(times[kept] / DAY, breaks, times[kept[breaks]] / DAY),
        np.insert(values[kept], breaks, np.nan),
        # Every piece before has put one NaN in front of this one.
        begins[narrow] + narrow,
    )


def _shortest_gap(times: Times) -> float:
    """Return the step in µs beyond which the device was silent, for ``times`` in order."""
    steps = np.diff(times)
    steps = steps[steps > 0]
    if not len(steps):
        return float(SHORTEST_GAP)
    # The lower median is a step that exists: of two steps, the shorter one is the usual one.
    middle = (len(steps) - 1) // 2
    return max(float(SHORTEST_GAP), GAP_FACTOR * float(np.partition(steps, middle)[middle]))


def _extremes(points: Points, start: int, column_width: float, columns: int) -> Indices:
    """Return the indices of the first, lowest, highest and last reading of every column."""
    times, values = points
    if len(times) <= KEPT_PER_COLUMN * columns:
        return np.arange(len(times), dtype=np.intp)
    column = ((times - start) / column_width).astype(np.int64)
    begins = np.concatenate(([0], np.flatnonzero(np.diff(column)) + 1))
    ends = np.append(begins[1:], len(times)) - 1
    lowest = _first_equal(values, begins, ends, np.minimum.reduceat(values, begins))
    highest = _first_equal(values, begins, ends, np.maximum.reduceat(values, begins))
    return np.unique(np.concatenate((begins, lowest, highest, ends)))


def _first_equal(values: Values, begins: Indices, ends: Indices, wanted: Values) -> Indices:
    """Return, for every group, the index of its first value that equals ``wanted``."""
    hits = np.flatnonzero(values == np.repeat(wanted, ends - begins + 1))
    return hits[np.searchsorted(hits, begins)]
