"""Most readings are within all limits. Those are taken in by the column, without a look at each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from operator import gt, le, lt
from typing import Final

Band = tuple[float, float]
"""The least and the greatest number that changes nothing."""

NOTHING_IS_PLAIN: Final[Band] = (inf, -inf)
"""The band of a series of which every reading has to be looked at."""


class _Newest(dict[int, int]):
    """Times by series; 0 for others."""

    def __missing__(self, series: int) -> int:
        return 0


class _Limits(dict[int, float]):
    """One side of the bands by series; found when it is first asked for."""

    def __init__(self, find: Callable[[int], float]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, series: int) -> float:
        limit = self[series] = self._find(series)
        return limit


class Plain:
    """Readings that change nothing: of each series only the newest time is kept (µs).

    ``find`` returns the band of a series.
    """

    def __init__(self, find: Callable[[int], Band]) -> None:
        self._low = _Limits(lambda series: find(series)[0])
        self._high = _Limits(lambda series: find(series)[1])
        self._newest = _Newest()

    def take_all(
        self, series: Sequence[int], times: Sequence[int], values: Sequence[float], now: int
    ) -> bool:
        """Take in a reading of each; False, and nothing is taken in, if one is not plain."""
        if any(map(lt, values, map(self._low.__getitem__, series))):
            return False
        if any(map(gt, values, map(self._high.__getitem__, series))):
            return False
        # One that is late must not be taken for the newest, nor one from the future.
        if max(times, default=0) > now:
            return False
        if any(map(le, times, map(self._newest.__getitem__, series))):
            return False
        # Of several of one series the last must be the newest.
        last = dict(zip(series, times, strict=True))
        if len(last) < len(series) and any(map(gt, times, map(last.__getitem__, series))):
            return False
        self._newest.update(last)
        return True

    def take(self, series: int, time: int, value: float, now: int) -> bool:
        """Take in a reading; False if it is not plain."""
        if not self._low[series] <= value <= self._high[series]:
            return False
        if not self._newest[series] < time <= now:
            return False
        self._newest[series] = time
        return True

    def newest_of(self, series: int) -> int:
        """Return the time of the newest plain reading, 0 where there was none, and forget it."""
        return self._newest.pop(series, 0)

    def touched(self) -> list[int]:
        """Return the series that had plain readings of which nobody was told by ``newest_of``."""
        return list(self._newest)

    def forget(self, series: int) -> None:
        """Find the band of a series anew."""
        self._low.pop(series, None)
        self._high.pop(series, None)

    def clear(self) -> None:
        """Find all bands anew."""
        self._low.clear()
        self._high.clear()
