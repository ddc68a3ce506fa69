"""Many readings reduced to few: equal buckets of time that keep lowest, highest, mean and last."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Generator
from math import fsum, isinf

from motehub.history_contract import HistoryStore
from motehub.rollups import TIERS, Grid, RollupColumns, pieces_kept


class Buckets:
    """Reduces the readings of one series in ``[since, until)`` to at most ``count`` buckets.

    Columns of the buckets that hold readings, in order: ``starts`` in µs, ``low``, ``high``,
    ``mean``, ``last`` and ``counts``. No reading is lost to the eye: a spike of one in a million
    is the highest of its bucket.

    ``tiers`` are those whose rollups do not cross the bounds of buckets, the coarsest first: where
    buckets of whole minutes, hours or days are at most half as long again as was asked for, they
    begin and end with these. Only the first may begin later, at ``since``.
    """

    def __init__(self, since: int, until: int, count: int) -> None:
        self._since = self._origin = since
        self._width = exact = max(1, -(-(until - since) // count))
        self.tiers: list[str] = []
        for tier, whole in TIERS.items():
            origin = since // whole * whole
            width = max(1, -(-(until - origin) // (count * whole))) * whole
            if 2 * width <= 3 * exact:
                # Whatever is near with a coarser tier is nearer still with a finer one.
                self.tiers.insert(0, tier)
                self._origin, self._width = origin, width
        self.starts = array("q")
        self.low = array("d")
        self.high = array("d")
        self.mean = array("d")
        self.last = array("d")
        self.counts = array("q")

    @property
    def width(self) -> int:
        """Length of a bucket in µs."""
        return self._width

    @property
    def grid(self) -> Grid:
        """Where buckets begin if they are whole."""
        return Grid(self._origin, self._width)

    def add(self, times: array[int], values: array[float]) -> None:
        """Take readings that are later than all before them, ascending in time."""
        position, length = 0, len(times)
        while position < length:
            start, end = self.bucket(times[position])
            stop = bisect_left(times, end, position)
            part = values[position:stop]
            self._join(start, min(part), max(part), _mean(part), part[-1], len(part))
            position = stop

    def add_rollups(self, rollups: RollupColumns) -> None:
        """Take rollups of one of ``tiers`` later than all before them; every total is known."""
        position, length = 0, len(rollups.starts)
        while position < length:
            start, end = self.bucket(rollups.starts[position])
            stop = bisect_left(rollups.starts, end, position)
            part = slice(position, stop)
            count = sum(rollups.counts[part])
            low, high = min(rollups.low[part]), max(rollups.high[part])
            mean = _mean_of_totals(rollups.totals[part], count)
            # What was rounded must not lie outside.
            mean = min(max(mean, low), high)
            self._join(start, low, high, mean, rollups.last[stop - 1], count)
            position = stop

    def bucket(self, time: int) -> tuple[int, int]:
        """Return where the bucket of ``time`` begins and ends."""
        start = time - (time - self._origin) % self._width
        return max(start, self._since), start + self._width

    def _join(
        self, start: int, low: float, high: float, mean: float, last: float, count: int
    ) -> None:
        """Take a part of the bucket that begins at ``start``, which may be there already."""
        if not self.starts or self.starts[-1] != start:
            self.starts.append(start)
            self.low.append(low)
            self.high.append(high)
            self.mean.append(mean)
            self.last.append(last)
            self.counts.append(count)
            return
        self.low[-1] = min(self.low[-1], low)
        self.high[-1] = max(self.high[-1], high)
        total = self.counts[-1] + count
        self.mean[-1] = self.mean[-1] * (self.counts[-1] / total) + mean * (count / total)
        self.last[-1] = last
        self.counts[-1] = total


def reduce_series(
    store: HistoryStore, series: int, since: int, until: int, count: int
) -> Generator[None, None, Buckets]:
    """Return the readings of a series in buckets, from rollups where they serve; yield at times."""
    buckets = Buckets(since, until, count)
    tiers = [] if buckets.tiers and series in store.unrolled() else buckets.tiers
    kept, settled = store.kept(series), store.settled().before("hour", series)
    for tier, begin, end in pieces_kept(since, until, tiers, kept, settled):
        if tier is None:
            yield from _add_readings(buckets, store, series, begin, end)
            continue
        for sums in store.sums(series, tier, begin, end, buckets.grid):
            if begin >= kept.raw and any(map(isinf, sums.totals)):
                # Their mean can't be told from totals, but from the readings it can.
                stop = sums.last_times[-1] + 1
                yield from _add_readings(buckets, store, series, sums.starts[0], stop)
            else:
                # Where the readings are gone, the largest numbers have the highest for a mean.
                buckets.add_rollups(sums)
            yield None
    return buckets


def _add_readings(
    buckets: Buckets, store: HistoryStore, series: int, since: int, until: int
) -> Generator[None, None, None]:
    for times, values in store.readings(series, since, until):
        buckets.add(times, values)
        yield None


def _mean(values: array[float]) -> float:
    try:
        return fsum(values) / len(values)
    except OverflowError:
        # The sum of the largest numbers is none any more; their mean is.
        return fsum(value / len(values) for value in values)


def _mean_of_totals(totals: array[float], count: int) -> float:
    try:
        return fsum(totals) / count
    except OverflowError:
        return fsum(total / count for total in totals)
