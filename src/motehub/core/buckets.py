"""Many readings reduced to few: equal buckets of time that keep lowest, highest, mean and last."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from math import fsum


class Buckets:
    """Reduces the readings of one series in ``[since, until)`` to at most ``count`` buckets.

    Columns of the buckets that hold readings, in order: ``starts`` in µs, ``low``, ``high``,
    ``mean``, ``last`` and ``counts``. No reading is lost to the eye: a spike of one in a million
    is the highest of its bucket.
    """

    def __init__(self, since: int, until: int, count: int) -> None:
        self._since = since
        self._width = max(1, -(-(until - since) // count))
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

    def add(self, times: array[int], values: array[float]) -> None:
        """Take readings that are later than all before them, ascending in time."""
        position, length = 0, len(times)
        while position < length:
            bucket = (times[position] - self._since) // self._width
            start = self._since + bucket * self._width
            end = bisect_left(times, start + self._width, position)
            self._add_part(start, values[position:end])
            position = end

    def _add_part(self, start: int, values: array[float]) -> None:
        """Take the readings of the bucket that begins at ``start``, which may be there already."""
        count = len(values)
        if not self.starts or self.starts[-1] != start:
            self.starts.append(start)
            self.low.append(min(values))
            self.high.append(max(values))
            self.mean.append(_mean(values))
            self.last.append(values[-1])
            self.counts.append(count)
            return
        self.low[-1] = min(self.low[-1], min(values))
        self.high[-1] = max(self.high[-1], max(values))
        total = self.counts[-1] + count
        self.mean[-1] = self.mean[-1] * (self.counts[-1] / total) + _mean(values) * (count / total)
        self.last[-1] = values[-1]
        self.counts[-1] = total


def _mean(values: array[float]) -> float:
    try:
        return fsum(values) / len(values)
    except OverflowError:
        # The sum of the largest numbers is none any more; their mean is.
        return fsum(value / len(values) for value in values)
