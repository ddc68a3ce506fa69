"""How long readings of a series were beyond limits, and where nothing came.

A reading holds until the next one, but no longer than ``longest_step``: a longer time without
readings is a gap, of which only so much counts. Of many readings it looks at whole minutes
(their lowest and highest) where those can tell; the result is the same to the microsecond, since
no step within successive minutes is longer than two of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from motehub.history_contract import HistoryStore
from motehub.reports.contents import Limit
from motehub.rollups import TIERS

SHORTEST_STEP: Final = 2 * TIERS["minute"]
"""No time shorter than this (µs) is a gap."""

FEW_READINGS: Final = 20_000
"""Up to so many readings each is looked at."""

_MINUTE: Final = TIERS["minute"]
# A shorter run of minutes is read as it is: finding its ends would cost as much.
_SHORTEST_RUN: Final = 3
_STEPS: Final = 3
_SAMPLE: Final = 2_000


class Sweep:
    """Goes over readings in order; ``longest_step`` in µs. See the module.

    ``held`` are the µs in which there was a reading, ``beyond`` those of them beyond each limit;
    there were ``gaps`` gaps, the longest of ``longest_gap`` µs.
    """

    def __init__(self, limits: Sequence[Limit], longest_step: int) -> None:
        self._limits = limits
        self._longest = longest_step
        self._time: int | None = None
        self._value = 0.0
        self.held = 0
        self.beyond = [0] * len(limits)
        self.gaps = 0
        self.longest_gap = 0

    def add(self, times: Sequence[int], values: Sequence[float]) -> None:
        """Take readings later than all before."""
        if not times:
            return
        if self._time is not None:
            self._step(times[0])
        longest = self._longest
        steps = [after - before for before, after in pairwise(times)]
        if steps and max(steps) > longest:
            for step in steps:
                if step > longest:
                    self._gap(step)
            steps = [min(step, longest) for step in steps]
        self.held += sum(steps)
        for number, limit in enumerate(self._limits):
            edge = limit.value
            if limit.above:
                held = (s for s, v in zip(steps, values, strict=False) if v > edge)
            else:
                held = (s for s, v in zip(steps, values, strict=False) if v < edge)
            self.beyond[number] += sum(held)
        self._time, self._value = times[-1], values[-1]

    def run(self, first: tuple[int, float], last: tuple[int, float]) -> None:
        """Take all readings of successive minutes that are on the same side of every limit."""
        self.add((first[0],), (first[1],))
        self._hold(last[0] - first[0])
        self._time, self._value = last

    def begin(self, since: int) -> None:
        """Let there be a gap until the first reading, if that comes late: others were before."""
        self._time, self._value = since, float("nan")

    def end(self, until: int) -> None:
        """Let the last reading hold until then."""
        if self._time is not None:
            self._step(until)

    def _step(self, time: int) -> None:
        assert self._time is not None
        step = time - self._time
        if step > self._longest:
            self._gap(step)
        self._hold(min(step, self._longest))

    def _hold(self, step: int) -> None:
        if self._value == self._value:
            self.held += step
        for number, limit in enumerate(self._limits):
            if limit.is_beyond(self._value):
                self.beyond[number] += step

    def _gap(self, step: int) -> None:
        self.gaps += 1
        self.longest_gap = max(self.longest_gap, step)


def longest_step(store: HistoryStore, series: int, since: int, until: int) -> int:
    """Return after which time (µs) without readings there is a gap: three usual steps."""
    times: list[int] = []
    for some, _ in store.readings(series, since, until):
        times += some[: _SAMPLE - len(times)]
        if len(times) >= _SAMPLE:
            break
    steps = sorted(after - before for before, after in pairwise(times))
    usual = steps[len(steps) // 2] if steps else until - since
    return max(_STEPS * usual, SHORTEST_STEP)


def sweep(
    store: HistoryStore,
    series: int,
    since: int,
    until: int,
    limits: Sequence[Limit],
    longest: int,
    *,
    count: int,
) -> Sweep:
    """Go over the readings of a series in ``[since, until)`` (µs), of which there are ``count``."""
    found = Sweep(limits, longest)
    if _had_readings(store, series, since):
        found.begin(since)
    first, last = -(-since // _MINUTE) * _MINUTE, until // _MINUTE * _MINUTE
    if count <= FEW_READINGS or first >= last or series in store.unrolled():
        _read(found, store, series, since, until)
    else:
        _read(found, store, series, since, first)
        for begin, end, is_run in _stretches(store, series, first, last, limits):
            if is_run:
                found.run(_first(store, series, begin), _last(store, series, end - _MINUTE))
            else:
                _read(found, store, series, begin, end)
        _read(found, store, series, last, until)
    found.end(until)
    return found


def _stretches(
    store: HistoryStore, series: int, since: int, until: int, limits: Sequence[Limit]
) -> Iterator[tuple[int, int, bool]]:
    """Yield from where to where to look, and whether that is one run of successive minutes."""
    waiting: int | None = None
    for begin, end, is_run in _runs(store, series, since, until, limits):
        if is_run and end - begin >= _SHORTEST_RUN * _MINUTE:
            if waiting is not None:
                yield waiting, begin, False
            waiting = None
            yield begin, end, True
        elif waiting is None:
            waiting = begin
    if waiting is not None:
        yield waiting, until, False


def _runs(
    store: HistoryStore, series: int, since: int, until: int, limits: Sequence[Limit]
) -> Iterator[tuple[int, int, bool]]:
    """Yield runs of successive minutes on the same side of every limit, and minutes on both."""
    begin = after = 0
    side: int | None = None
    for minutes in store.rollups(series, "minute", since, until):
        sides = _sides(minutes.low, minutes.high, limits)
        for start, own in zip(minutes.starts, sides, strict=True):
            if start == after and own == side and own is not None:
                after = start + _MINUTE
                continue
            if after:
                yield begin, after, side is not None
            begin, after, side = start, start + _MINUTE, own
    if after:
        yield begin, after, side is not None


def _sides(low: array[float], high: array[float], limits: Sequence[Limit]) -> Iterator[int | None]:
    """Yield for each minute on which side of the limits it is, as bits; None where on both."""
    if not limits:
        for _ in low:
            yield 0
        return
    for lowest, highest in zip(low, high, strict=True):
        side: int | None = 0
        for limit in limits:
            one, other = limit.is_beyond(lowest), limit.is_beyond(highest)
            if one != other:
                side = None
                break
            assert side is not None
            side = side << 1 | one
        yield side


def _read(found: Sweep, store: HistoryStore, series: int, since: int, until: int) -> None:
    if since >= until:
        return
    nothing = True
    for times, values in store.readings(series, since, until):
        found.add(times, values)
        nothing = False
    if nothing and series not in store.unrolled():
        # The readings are kept no more: their minutes, if whole, tell about as much.
        for minutes in store.rollups(series, "minute", since, until - _MINUTE + 1):
            numbers = zip(minutes.totals, minutes.counts, strict=True)
            found.add(minutes.starts, [total / count for total, count in numbers])


def _first(store: HistoryStore, series: int, minute: int) -> tuple[int, float]:
    for times, values in store.readings(series, minute, minute + _MINUTE):
        return times[0], values[0]
    return minute, next(iter(store.rollups(series, "minute", minute, minute + _MINUTE))).low[0]


def _last(store: HistoryStore, series: int, minute: int) -> tuple[int, float]:
    found = _first(store, series, minute)
    for times, values in store.readings(series, minute, minute + _MINUTE):
        found = times[-1], values[-1]
    return found


def _had_readings(store: HistoryStore, series: int, since: int) -> bool:
    found = next(iter(store.readings(series, since - _LOOK_BACK, since)), None)
    return found is not None and len(found[0]) > 0


_LOOK_BACK: Final = 366 * TIERS["day"]
