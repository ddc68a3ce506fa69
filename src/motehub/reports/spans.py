"""How long readings of a series were beyond limits, and where nothing came.

A reading holds until the next one, but no longer than ``longest_step``: a longer time without
readings is a gap, of which only so much counts. Of many readings it looks at whole minutes
(their lowest and highest) where those can tell; the result is the same to the microsecond, since
no step within successive minutes is longer than two of them. Where readings are neither in the
store nor in the archive any more, their minutes tell about as much.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from motehub.archived import Raw
from motehub.history_contract import HistoryStore, NumberColumns
from motehub.reports.contents import Limit
from motehub.rollups import TIERS, RollupColumns

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


def longest_step(store: HistoryStore, raw: Raw, series: int, since: int, until: int) -> int:
    """Return after which time (µs) without readings there is a gap: three usual steps.

    ``raw`` is where readings are read that the store has deleted.
    """
    steps: list[int] = []
    last: int | None = None
    for times, _ in raw.readings(series, since, until):
        steps += [late - early for early, late in pairwise(times[:_SAMPLE])]
        if last is not None:
            steps.append(times[0] - last)
        last = times[-1]
        if len(steps) >= _SAMPLE:
            break
    if not steps:
        steps = _steps_of_minutes(store, series, since, until)
    steps.sort()
    usual = steps[len(steps) // 2] if steps else until - since
    return max(_STEPS * usual, SHORTEST_STEP)


def _steps_of_minutes(store: HistoryStore, series: int, since: int, until: int) -> list[int]:
    """Return how far apart readings were, by the last ones of each minute and their counts."""
    for minutes in store.rollups(series, "minute", since, until):
        steps = [late - early for early, late in pairwise(minutes.last_times)]
        return [step // count for step, count in zip(steps, minutes.counts[1:], strict=True)]
    return []


def sweep(
    store: HistoryStore,
    raw: Raw,
    series: int,
    since: int,
    until: int,
    limits: Sequence[Limit],
    longest: int,
    *,
    count: int,
) -> Sweep:
    """Go over the readings of a series in ``[since, until)`` (µs), of which there are ``count``."""
    found, source = Sweep(limits, longest), _Source(store, raw, series)
    if source.had_readings(since):
        found.begin(since)
    first, last = -(-since // _MINUTE) * _MINUTE, until // _MINUTE * _MINUTE
    if count <= FEW_READINGS or first >= last or series in store.unrolled():
        _read(found, source, since, until)
    else:
        _read(found, source, since, first)
        for begin, end, is_run in _stretches(store, series, first, last, limits):
            if is_run:
                found.run(source.first(begin), source.last(end - _MINUTE))
            else:
                _read(found, source, begin, end)
        _read(found, source, last, until)
    found.end(until)
    return found


class _Source:
    """Where the readings of a series are, whether the store still has them or not."""

    def __init__(self, store: HistoryStore, raw: Raw, series: int) -> None:
        self._store = store
        self._raw = raw
        self._series = series
        self._kept = min(store.kept(series).raw, 2**62) // _MINUTE * _MINUTE
        self._unrolled = series in store.unrolled()
        # A piece of what is old, since many parts of it may be asked for one after the other.
        self._piece: tuple[int, NumberColumns] | None = None

    def readings(self, since: int, until: int) -> Iterator[NumberColumns]:
        """Yield what there is in ``[since, until)`` (µs), oldest first."""
        while since < min(until, self._kept):
            start, (times, values) = self._old(since)
            end = min(until, self._kept, start + _PIECE)
            first, stop = bisect_left(times, since), bisect_left(times, end)
            if first < stop:
                yield times[first:stop], values[first:stop]
            since = end
        if since < until:
            yield from self._store.readings(self._series, since, until)

    def first(self, minute: int) -> tuple[int, float]:
        """Return the first reading of a minute that has some."""
        for times, values in self.readings(minute, minute + _MINUTE):
            return times[0], values[0]
        return minute, next(self._minutes(minute, minute + _MINUTE)).low[0]

    def last(self, minute: int) -> tuple[int, float]:
        """Return the last reading of a minute that has some."""
        found = self.first(minute)
        for times, values in self.readings(minute, minute + _MINUTE):
            found = times[-1], values[-1]
        return found

    def had_readings(self, before: int) -> bool:
        """Tell whether something came in the year before that time."""
        since = before - _LOOK_BACK
        if next(iter(self._store.readings(self._series, since, before)), None) is not None:
            return True
        return before <= self._kept and (
            bool(self._store.archive_parts(self._series, since, before))
            or next(iter(self._store.rollups(self._series, "hour", since, before)), None)
            is not None
        )

    def _old(self, time: int) -> tuple[int, NumberColumns]:
        """Return the piece of that time, and when it begins."""
        start = time // _PIECE * _PIECE
        if self._piece is None or self._piece[0] != start:
            self._piece = start, self._look_up(start, min(start + _PIECE, self._kept))
        return self._piece

    def _look_up(self, since: int, until: int) -> NumberColumns:
        times, values = array("q"), array("d")
        for some, numbers in self._raw.readings(self._series, since, until):
            times.extend(some)
            values.extend(numbers)
        if self._unrolled:
            return times, values
        means: NumberColumns = array("q"), array("d")
        count = 0
        for minutes in self._minutes(since, until):
            count += sum(minutes.counts)
            means[0].extend(minutes.starts)
            totals = zip(minutes.totals, minutes.counts, strict=True)
            means[1].extend(total / number for total, number in totals)
        # Late readings may be there though all others are gone.
        return means if count > len(times) else (times, values)

    def _minutes(self, since: int, until: int) -> Iterator[RollupColumns]:
        return self._store.rollups(self._series, "minute", since, until)


def _read(found: Sweep, source: _Source, since: int, until: int) -> None:
    for times, values in source.readings(since, until):
        found.add(times, values)


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


_LOOK_BACK: Final = 366 * TIERS["day"]
_PIECE: Final = TIERS["day"] // 4
