"""How rollups are kept up in a store's own transactions: the same in every store."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from motehub.history_contract import NumberColumns
from motehub.rollups import TIERS, Rollup, coarser, minutes_of

READINGS_AT_ONCE: Final = 50_000
"""About how many readings one step of a rebuild sums up: other writers wait for it."""

_DAY: Final = TIERS["day"]


class Tables(Protocol):
    """The tables of a store, within a transaction."""

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
        """Add what is summed up of readings that are new."""
        ...

    def replace(self, tier: str, rollups: Sequence[Rollup]) -> None:
        """Put rollups in the place of those with the same beginning."""
        ...

    def forget(self, series: int, since: int, until: int) -> None:
        """Delete the rollups of all tiers that begin in ``[since, until)``."""
        ...

    def mark(self, series: int, until: int | None) -> None:
        """Note that a series is rolled up before ``until``, or as a whole (None)."""
        ...


def roll_up(
    tables: Tables, columns: dict[int, NumberColumns], inserted: Iterable[tuple[int, int, int]]
) -> None:
    """Bring the rollups up to readings of ``columns`` that have just been inserted.

    ``inserted`` gives series, readings given and readings that were new. Where all were new, what
    they come to is added; where some were, the minutes of all are summed up anew.
    """
    unrolled = tables.unrolled()
    new: dict[str, list[Rollup]] = {tier: [] for tier in TIERS}
    for series, given, stored in inserted:
        if not stored:
            continue
        times, values = columns[series]
        if series in unrolled:
            end = bisect_left(times, unrolled[series])
            times, values = times[:end], values[:end]
        if given != stored:
            _sum_up_anew(tables, series, times)
        else:
            _add(new, minutes_of(series, times, values))
    for tier, rollups in new.items():
        if rollups:
            tables.merge(tier, rollups)


def sum_up_anew(tables: Tables, times: dict[int, array[int]]) -> None:
    """Sum up again the minutes, hours and days of readings at ``times`` by series, ascending."""
    unrolled = tables.unrolled()
    for series, moments in times.items():
        end = bisect_left(moments, unrolled[series]) if series in unrolled else len(moments)
        _sum_up_anew(tables, series, moments[:end])


def rebuild_some(tables: Tables) -> int:
    """Sum up some days of a series that is not rolled up; return how many readings; 0 at the end.

    Days of which no reading is left keep the rollups that they have.
    """
    done = 0
    for series, since in sorted(tables.unrolled().items()):
        while (first := tables.first_reading(series, since)) is not None:
            since = first // _DAY * _DAY + _DAY
            times, values = tables.readings(series, since - _DAY, since)
            tables.forget(series, since - _DAY, since)
            new: dict[str, list[Rollup]] = {tier: [] for tier in TIERS}
            _add(new, minutes_of(series, times, values))
            for tier, rollups in new.items():
                tables.replace(tier, rollups)
            done += len(times)
            if done >= READINGS_AT_ONCE:
                tables.mark(series, since)
                return done
        tables.mark(series, None)
    return done


def _add(to: dict[str, list[Rollup]], rollups: list[Rollup]) -> None:
    for tier, width in TIERS.items():
        if tier != "minute":
            rollups = coarser(rollups, width)
        to[tier] += rollups


def _sum_up_anew(tables: Tables, series: int, times: array[int]) -> None:
    finer: str | None = None
    for tier, width in TIERS.items():
        for since, until in _stretches(times, width):
            if finer is None:
                found = minutes_of(series, *tables.readings(series, since, until))
            else:
                found = coarser(tables.rollups(finer, series, since, until), width)
            tables.replace(tier, found)
        finer = tier


def _stretches(times: array[int], width: int) -> list[tuple[int, int]]:
    """Return where the parts of length ``width`` begin and end that hold ``times``, ascending.

    Neighbours are one, up to a day.
    """
    found: list[tuple[int, int]] = []
    position = 0
    while position < len(times):
        start = times[position] // width * width
        if found and found[-1][1] == start and start - found[-1][0] < _DAY:
            found[-1] = (found[-1][0], start + width)
        else:
            found.append((start, start + width))
        position = bisect_left(times, start + width, position)
    return found
