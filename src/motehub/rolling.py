"""How rollups are kept up in a store's own transactions: the same in every store.

A fold adds its readings to their minutes. Hours and days are made of minutes once they are over:
with many series of few readings each, that spares two rows of three. What comes later still is
added to all.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final, Protocol

from motehub.history_contract import NumberColumns
from motehub.rolling_states import StateTables, rebuild_states, settle_states
from motehub.rollups import NEVER, TIERS, Kept, Rollup, Settled, coarser, minutes_of, stretches

READINGS_AT_ONCE: Final = 50_000
"""About how many readings one step of a rebuild sums up: other writers wait for it."""

MINUTES_AT_ONCE: Final = 50_000
"""At most about how many minutes one step makes hours of."""

_MINUTE: Final = TIERS["minute"]
_DAY: Final = TIERS["day"]
# A step covers this much of a series at most, so that it stays small also with a single one.
_LEAP: Final = 30 * _DAY


class Tables(Protocol):
    """The tables of a store, within a transaction."""

    @property
    def states(self) -> StateTables:
        """Return the tables of states."""
        ...

    def unrolled(self) -> dict[int, int]:
        """Return the series that are rolled up only before a time, a midnight (µs)."""
        ...

    def readings(self, series: int, since: int, until: int) -> NumberColumns:
        """Return the readings of a series in ``[since, until)``, oldest first."""
        ...

    def first_reading(self, series: int, since: int) -> int | None:
        """Return the time of the first reading at ``since`` or later."""
        ...

    def rollups(self, tier: str, series: int, since: int, until: int) -> list[Rollup]:
        """Return the rollups that begin in ``[since, until)``, oldest first."""
        ...

    def merge(self, tier: str, rollups: Sequence[Rollup]) -> None:
        """Add what is summed up of readings that are new; once for each tier in a transaction."""
        ...

    def replace(self, tier: str, rollups: Sequence[Rollup]) -> None:
        """Put rollups in the place of those with the same beginning."""
        ...

    def forget(self, series: int, since: int, until: int) -> None:
        """Delete the rollups of all tiers that begin in ``[since, until)``."""
        ...

    def settled(self) -> Settled:
        """Return how far hours and days have been made."""
        ...

    def settle(self, settled: Settled) -> None:
        """Note how far hours and days have been made."""
        ...

    def kept(self, series: Iterable[int]) -> dict[int, Kept]:
        """Return what is deleted of these series; those of which nothing is may be missing."""
        ...

    def first_minute(self, since: int) -> int | None:
        """Return the beginning of the first minute of all series at ``since`` or later."""
        ...

    def series(self, after: int, limit: int) -> list[int]:
        """Return the next series, ascending."""
        ...

    def rollups_of_all(
        self, tier: str, after: int, upto: int, since: int, until: int
    ) -> list[Rollup]:
        """Return what ``rollups`` does of every series of ``(after, upto]``, one after another."""
        ...

    def mark(self, series: int, until: int | None) -> None:
        """Note that a series is rolled up before ``until``, or as a whole (None)."""
        ...


def roll_up(
    tables: Tables,
    columns: dict[int, NumberColumns],
    inserted: Iterable[tuple[int, int, int]],
    late: dict[int, NumberColumns],
) -> None:
    """Bring the rollups up to readings of ``columns`` and ``late`` that have just been inserted.

    ``inserted`` gives series, readings given and readings that were new. Where all were new, what
    they come to is added; where some were, the minutes of all are summed up anew. Those of
    ``late`` are from before what is kept, and all new: they are added where rollups are kept.
    """
    unrolled, settled = tables.unrolled(), tables.settled()
    new: dict[str, list[Rollup]] = {tier: [] for tier in TIERS}
    for series, given, stored in inserted:
        if not stored:
            continue
        times, values = columns[series]
        if series in unrolled:
            end = bisect_left(times, unrolled[series])
            times, values = times[:end], values[:end]
        if given != stored:
            _sum_up_anew(tables, settled, series, times)
        else:
            _add(new, settled, minutes_of(series, times, values))
    if late:
        _add_late(new, settled, tables.kept(late), late)
    for tier, rollups in new.items():
        if rollups:
            tables.merge(tier, rollups)


def sum_up_anew(tables: Tables, times: dict[int, array[int]]) -> None:
    """Sum up again the minutes, hours and days of readings at ``times`` by series, ascending."""
    unrolled, settled = tables.unrolled(), tables.settled()
    kept = tables.kept(times)
    for series, moments in times.items():
        # What is left of readings of before can't replace what they were summed up to.
        begin = bisect_left(moments, kept.get(series, Kept()).raw)
        end = bisect_left(moments, unrolled[series]) if series in unrolled else len(moments)
        _sum_up_anew(tables, settled, series, moments[begin:end])


def rebuild_some(tables: Tables) -> int:
    """Sum up some days of a series that is not rolled up; return how many readings; 0 at the end.

    Days of which no reading is left keep the rollups that they have.
    """
    done, settled, states = 0, tables.settled(), tables.states
    unrolled = tables.unrolled()
    texts = states.texts() if unrolled else set()
    for series, since in sorted(unrolled.items()):
        source = states if series in texts else tables
        while (first := source.first_reading(series, since)) is not None:
            since = first // _DAY * _DAY + _DAY
            count = rebuild_states(states, settled, series, since - _DAY, since)
            if series not in texts:
                count = _rebuild_day(tables, settled, series, since - _DAY)
            done += count
            if done >= READINGS_AT_ONCE:
                tables.mark(series, since)
                return done
        tables.mark(series, None)
    return done


def _rebuild_day(tables: Tables, settled: Settled, series: int, day: int) -> int:
    times, values = tables.readings(series, day, day + _DAY)
    tables.forget(series, day, day + _DAY)
    new: dict[str, list[Rollup]] = {tier: [] for tier in TIERS}
    _add(new, settled, minutes_of(series, times, values))
    for tier, rollups in new.items():
        tables.replace(tier, rollups)
    return len(times)


def settle_some(tables: Tables, until: int) -> bool:
    """Make hours and days that end at ``until`` or before; tell whether more may be left.

    ``until`` is the beginning of an hour.
    """
    settled = tables.settled()
    if settled.next == settled.until:
        if settled.until >= until:
            return False
        # Hours of this day may be there, and still have to become a day.
        day = settled.until // _DAY * _DAY
        found = (tables.first_minute(day), tables.states.first_minute(day))
        first = min((one for one in found if one is not None), default=until)
        if first >= until:
            tables.settle(Settled(until, until))
            return False
        settled = Settled(settled.until, min(until, first // _DAY * _DAY + _LEAP))
    minutes = min(settled.next - settled.until, _LEAP) // _MINUTE
    some = tables.series(settled.series, max(1, MINUTES_AT_ONCE // minutes))
    if not some:
        tables.settle(Settled(settled.next, settled.next))
        return True
    _settle(tables, settled, some[-1])
    tables.settle(Settled(settled.until, settled.next, some[-1]))
    return True


def _settle(tables: Tables, settled: Settled, upto: int) -> None:
    """Make hours, and the days that end with them, of the series after those that have them."""
    for tier, finer in (("hour", "minute"), ("day", "hour")):
        width = TIERS[tier]
        # From where it was done: earlier readings may have come since it was begun.
        bounds = settled.until // width * width, settled.next // width * width
        if bounds[0] < bounds[1]:
            found = tables.rollups_of_all(finer, settled.series, upto, *bounds)
            made: list[Rollup] = []
            for _, rollups in groupby(found, lambda rollup: rollup[0]):
                made += coarser(list(rollups), width)
            tables.replace(tier, made)
            settle_states(tables.states, tier, finer, settled.series, upto, bounds)


def _add(to: dict[str, list[Rollup]], settled: Settled, minutes: list[Rollup]) -> None:
    """Add minutes of one series, and the hours and days that are there already."""
    to["minute"] += minutes
    rollups = minutes
    for tier in ("hour", "day"):
        until = settled.before(tier, rollups[0][0]) if rollups else NEVER
        if not rollups or rollups[0][1] >= until:
            return
        rollups = coarser([one for one in rollups if one[1] < until], TIERS[tier])
        to[tier] += rollups


def _add_late(
    to: dict[str, list[Rollup]],
    settled: Settled,
    kept: dict[int, Kept],
    late: dict[int, NumberColumns],
) -> None:
    """Add what is kept of readings from before what is kept of their series itself."""
    for series, (times, values) in late.items():
        made: dict[str, list[Rollup]] = {tier: [] for tier in TIERS}
        _add(made, settled, minutes_of(series, times, values))
        since = kept.get(series, Kept())
        for tier, rollups in made.items():
            to[tier] += [one for one in rollups if one[1] >= since.of(tier)]


def _sum_up_anew(tables: Tables, settled: Settled, series: int, times: array[int]) -> None:
    finer: str | None = None
    for tier, width in TIERS.items():
        if finer is not None:
            times = times[: bisect_left(times, settled.before(tier, series))]
        for since, until in stretches(times, width):
            if finer is None:
                found = minutes_of(series, *tables.readings(series, since, until))
            else:
                found = coarser(tables.rollups(finer, series, since, until), width)
            tables.replace(tier, found)
        finer = tier
