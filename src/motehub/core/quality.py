"""How many of the readings that a device should have sent are in the history, day by day.

A device is judged by its most frequent metric. Between the last reading of a minute and that of
the next minute that has some lie as many readings as the latter counts, and there should be as many
as expected intervals: so what is missing is known from rollups, however readings lie in minutes.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Collection, Generator, Iterator, Sequence
from itertools import chain, pairwise
from operator import itemgetter
from statistics import median
from typing import Final

from motehub.core.days import Day
from motehub.core.losses import Account, Arrived, Basis, QualityShape, Row, micros, total
from motehub.counted import HourCounts
from motehub.history_contract import HistoryStore
from motehub.model import MICROSECONDS, Device, Kind, Series
from motehub.rollups import NEVER, TIERS, Kept, pieces_kept

NEWEST: Final = 1_000
"""From so many of its newest readings an interval is estimated."""

FEWEST: Final = 20
"""Of fewer intervals nothing is estimated."""

_REGULAR: Final = 0.75
_SHORTEST: Final = 0.01
_OFTEN: Final = 2
_WEEKS: Final = 28 * TIERS["day"]
_LOOK_BACK: Final = TIERS["day"]


def quality_of(
    store: HistoryStore,
    device: Device,
    series: Sequence[Series],
    days: Sequence[Day],
    now: int,
    interval: float | None,
    spared: Collection[int] = (),
    down_since: int | None = None,
) -> Generator[None, None, QualityShape]:
    """Say what is there of ``days``, one after the other, as of ``now`` (µs); yields at times.

    ``series`` are those of the device, ``interval`` is the owner's, in seconds. Of ``spared`` not
    every reading is stored: they are looked at only where there are no others.
    ``down_since`` is since when no hub runs (µs), where none does.

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
        interval = None if chosen is None else _estimated(store, chosen, until)
        basis = "unknown" if interval is None else "estimated"
    away = store.counted.away(since, until)
    if down_since is not None and down_since < now:
        away.append((down_since, now))
    # Before that nothing is known any more.
    known = device.first_seen
    if chosen is not None:
        known = max(known, store.kept(chosen.id).day)
    account = Account(days, now, interval, known, away)
    if chosen is not None:
        back = _LOOK_BACK if interval is None else max(_LOOK_BACK, micros(2 * interval))
        for row in _rows(store, chosen, since - back, until):
            if row is None:
                yield None
            else:
                account.add(row)
    metric = None if chosen is None else chosen.metric
    return account.shape(device.name, metric, basis, _arrived(store, device, days))


def _arrived(store: HistoryStore, device: Device, days: Sequence[Day]) -> list[Arrived | None]:
    """Return what was counted on each day; None before anything was."""
    since = store.counted.counted_since(device.id)
    by_day: list[list[HourCounts]] = [[] for _ in days]
    starts = [day.start for day in days]
    for hour in store.counted.counts(device.id, days[0].start, days[-1].end):
        by_day[bisect_right(starts, hour.start) - 1].append(hour)
    return [
        None if since is None or since >= day.end else total(hours)
        for day, hours in zip(days, by_day, strict=True)
    ]


def _most_frequent(
    store: HistoryStore, series: Sequence[Series], since: int, until: int
) -> Generator[None, None, Series | None]:
    """Return the series with most readings in that time; one of numbers if any has some."""
    for kind in (Kind.GAUGE, Kind.TEXT):
        best: tuple[int, Series | None] = (0, None)
        for one in series:
            if one.kind is kind:
                best = max(best, (_count(store, one, since, until), one), key=itemgetter(0))
                yield None
        if best[1] is not None:
            return best[1]
    return next(iter(series), None)


def _count(store: HistoryStore, series: Series, since: int, until: int) -> int:
    """Return about how many readings there are: what is in a part of a minute is left out."""
    if series.id in store.unrolled():
        return sum(len(times) for times, _ in _raw(store, series, since, until))
    settled = store.settled().before("hour", series.id)
    tiers, kept = list(TIERS)[::-1], store.kept(series.id)
    return sum(
        sum(counts)
        for tier, begin, end in pieces_kept(since, until, tiers, kept, settled)
        if tier is not None
        for _, counts, _ in _sums(store, series, tier, begin, end)
    )


def _estimated(store: HistoryStore, series: Series, until: int) -> float | None:
    """Return the usual time between two of the newest readings in seconds, if there is one.

    Where these are deleted, it is that in the last weeks of which there are sums by hour.
    """
    times = [time for time, _ in store.newest(series, NEWEST)]
    steps = [(late - early) / MICROSECONDS for late, early in pairwise(times)]
    if len(steps) < FEWEST:
        steps = _steps_of_hours(store, series, until)
    if len(steps) < FEWEST:
        return None
    usual = median(steps)
    near = sum(0.5 * usual <= step <= 1.5 * usual for step in steps)
    return usual if usual >= _SHORTEST and near >= _REGULAR * len(steps) else None


def _steps_of_hours(store: HistoryStore, series: Series, until: int) -> list[float]:
    """Return the mean steps (s) in hours of these weeks; none where they say nothing of them."""
    if store.kept(series.id).raw == NEVER:
        return []
    found: list[int] = []
    for _, counts, _ in _sums(store, series, "hour", until - _WEEKS, until):
        found += counts
    # Of one reading in an hour nobody knows in how many hours there is one.
    if not found or median(found) < _OFTEN:
        return []
    return [TIERS["hour"] / MICROSECONDS / count for count in found]


def _rows(store: HistoryStore, series: Series, since: int, until: int) -> Iterator[Row | None]:
    """Yield what is stored in ``[since, until)``, and None now and then.

    That is minutes, hours where no minutes are any more, days where no hours are, and readings
    where they are not summed up yet.
    """
    if series.id in store.unrolled():
        for times, _ in _raw(store, series, since, until):
            yield from (Row(time, 1, time) for time in times)
            yield None
        return
    yield from _summed(store, series, list(TIERS), store.kept(series.id), since, until)


def _summed(
    store: HistoryStore, series: Series, tiers: Sequence[str], kept: Kept, since: int, until: int
) -> Iterator[Row | None]:
    """Yield sums of the first of ``tiers`` as far back as there are, and of the others before."""
    tier, coarser = tiers[0], tiers[1:]
    # What came late to a time of which sums are deleted already has one that is not whole.
    begin = max(since // TIERS[tier] * TIERS[tier], kept.of(tier))
    sums = _sums(store, series, tier, begin, until)
    first = next(sums, None)
    if coarser:
        edge = until if first is None else first[0][0]
        whole = edge // TIERS[coarser[0]] * TIERS[coarser[0]]
        if kept.of(tier) <= whole:
            # One that goes on beyond would have readings twice.
            edge = whole
        yield from _summed(store, series, coarser, kept, since, edge)
    if first is not None:
        for columns in chain([first], sums):
            yield from map(Row, *columns)
            yield None


_Sums = tuple[Sequence[int], Sequence[int], Sequence[int]]


def _sums(
    store: HistoryStore, series: Series, tier: str, since: int, until: int
) -> Iterator[_Sums]:
    """Yield columns of a tier: when each begins, its count, and the time of its last reading."""
    if series.kind is Kind.TEXT:
        for rows in store.states.rows(series.id, tier, since, until):
            yield [row[1] for row in rows], [row[2] for row in rows], [row[6] for row in rows]
        return
    for rollups in store.rollups(series.id, tier, since, until):
        yield rollups.starts, rollups.counts, rollups.last_times


def _raw(
    store: HistoryStore, series: Series, since: int, until: int
) -> Iterator[tuple[array[int], object]]:
    read = store.texts if series.kind is Kind.TEXT else store.readings
    return iter(read(series.id, since, until))
