"""States reduced to buckets of time: how long each lasted in each of them, and how it changed."""

from __future__ import annotations

from array import array
from collections.abc import Generator, Iterable

from motehub.core.buckets import Buckets
from motehub.history_contract import HistoryStore
from motehub.model import Kind, Series
from motehub.rollups import pieces_kept
from motehub.states import (
    Durations,
    Stretch,
    bounded,
    name_of,
    names_of_numbers,
    singles,
    stretch_of,
)


class StateBuckets:
    """Reduces the states of one series in ``[since, until)`` to at most ``count`` buckets.

    A state lasts until the next reading, or until ``end`` (µs). Columns of the buckets in which
    there is a state, in order: ``starts`` in µs, ``counts`` of readings, ``changes``, and
    ``durations`` of states in µs. Buckets lie as those of numbers do.
    """

    def __init__(self, since: int, until: int, count: int) -> None:
        self._grid = Buckets(since, until, count)
        self._since = since
        self._held: tuple[int, str] | None = None
        self.starts = array("q")
        self.counts = array("q")
        self.changes = array("q")
        self.durations: list[Durations] = []

    @property
    def width(self) -> int:
        """Length of a bucket in µs."""
        return self._grid.width

    @property
    def tiers(self) -> list[str]:
        """The tiers whose rollups don't cross the bounds of buckets, the coarsest first."""
        return self._grid.tiers

    def end_of(self, time: int) -> int:
        """Return where the bucket of ``time`` ends (µs)."""
        return self._grid.bucket(time)[1]

    def begin(self, before: tuple[int, str] | None) -> None:
        """Take time and name of the last state before all that is to come."""
        self._held = before

    def add(self, stretch: Stretch) -> None:
        """Take what is later than all before it."""
        self._pass_time(stretch.first_time)
        place = self._place(stretch.first_time)
        if self._held is not None:
            self.changes[place] += self._held[1] != stretch.first
        self.counts[place] += stretch.count
        self.changes[place] += stretch.changes
        for name, duration in stretch.durations.items():
            self._last(place, name, duration)
        self._held = stretch.last_time, stretch.last

    def finish(self, end: int) -> None:
        """Let the last state last until ``end`` (µs)."""
        self._pass_time(end)

    def states(self, most: int) -> list[str]:
        """Return the ``most`` states that lasted longest, the longest first."""
        total: Durations = {}
        for durations in self.durations:
            for name, duration in durations.items():
                total[name] = total.get(name, 0) + duration
        return [name for name in bounded(total, most) if name is not None]

    def _pass_time(self, until: int) -> None:
        if self._held is None:
            return
        time, name = max(self._held[0], self._since), self._held[1]
        while time < until:
            end = min(until, self._grid.bucket(time)[1])
            self._last(self._place(time), name, end - time)
            time = end

    def _last(self, place: int, name: str | None, duration: int) -> None:
        durations = self.durations[place]
        durations[name] = durations.get(name, 0) + duration

    def _place(self, time: int) -> int:
        """Return the number of the bucket of ``time``, which is the last one or a new one."""
        start = self._grid.bucket(time)[0]
        if not self.starts or self.starts[-1] != start:
            self.starts.append(start)
            self.counts.append(0)
            self.changes.append(0)
            self.durations.append({})
        return len(self.starts) - 1


def reduce_states(
    store: HistoryStore, series: Series, since: int, until: int, count: int, end: int
) -> Generator[None, None, StateBuckets]:
    """Return the states of a series in buckets, from rollups where they serve; yield at times.

    The last state lasts until ``end`` (µs), or the end of the time.
    """
    unrolled = series.id in store.unrolled()
    kept, settled = store.kept(series.id), store.settled().before("hour", series.id)
    tiers = [] if unrolled else StateBuckets(since, until, count).tiers
    parts = list(pieces_kept(since, until, tiers, kept, settled))
    # Where readings are deleted, rollups begin and end where they do.
    since, until = min([since, *(part[1] for part in parts)]), max([until, *(p[2] for p in parts)])
    buckets = StateBuckets(since, until, count)
    buckets.begin(store.states.before(series, since))
    for tier, begin, stop in parts:
        for stretches in _stretches(store, series, tier, begin, stop):
            for stretch in stretches:
                buckets.add(stretch)
            yield None
    buckets.finish(min(until, end))
    return buckets


def _stretches(
    store: HistoryStore, series: Series, tier: str | None, since: int, until: int
) -> Iterable[Iterable[Stretch]]:
    if tier is not None:
        for rows in store.states.rows(series.id, tier, since, until):
            yield map(stretch_of, rows)
    elif series.kind is Kind.TEXT:
        for times, values in store.texts(series.id, since, until):
            yield singles(times, [name_of(value) for value in values])
    else:
        for times, numbers in store.readings(series.id, since, until):
            yield singles(times, names_of_numbers(numbers))
