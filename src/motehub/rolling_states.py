"""How rollups of states are kept up in a store's own transactions: the same in every store.

What is later than all in its minute is joined to that; the minutes of all else are made anew from
the readings that are stored. Hours and days are made as those of numbers are
(:mod:`motehub.rolling`), as far as these are settled.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain, groupby
from typing import Protocol

from motehub.history_contract import NumberColumns, TextColumns
from motehub.rollups import TIERS, Kept, Settled, stretches
from motehub.states import (
    StateRow,
    appended,
    are_states,
    coarser_states,
    name_of,
    names_of_numbers,
    state_minutes,
)


class StateTables(Protocol):
    """The tables of states of a store, within a transaction."""

    def texts(self) -> set[int]:
        """Return the series of texts."""
        ...

    def numbers(self) -> set[int]:
        """Return the series of numbers that have never been anything but states."""
        ...

    def drop(self, series: Collection[int]) -> None:
        """Note that series of numbers have no states, and delete what was summed up of them."""
        ...

    def first_reading(self, series: int, since: int) -> int | None:
        """Return the time of the first text at ``since`` or later."""
        ...

    def texts_in(self, series: int, since: int, until: int) -> TextColumns:
        """Return the texts of a series in ``[since, until)``, oldest first."""
        ...

    def numbers_in(self, series: int, since: int, until: int) -> NumberColumns:
        """Return the numbers of a series in ``[since, until)``, oldest first."""
        ...

    def has_states(self, series: int) -> bool:
        """Tell whether numbers of a series have never been anything but states."""
        ...

    def rows(self, tier: str, series: int, since: int, until: int) -> list[StateRow]:
        """Return the rollups that begin in ``[since, until)``, oldest first."""
        ...

    def rows_at(self, tier: str, places: Sequence[tuple[int, int]]) -> list[StateRow]:
        """Return the rollups of series that begin at these times, as far as there are any."""
        ...

    def rows_of_all(
        self, tier: str, after: int, upto: int, since: int, until: int
    ) -> list[StateRow]:
        """Return what ``rows`` does of every series of ``(after, upto]``, one after another."""
        ...

    def replace(self, tier: str, rows: Sequence[StateRow]) -> None:
        """Put rollups in the place of those with the same beginning."""
        ...

    def forget(self, series: int, since: int, until: int) -> None:
        """Delete the rollups of all tiers that begin in ``[since, until)``."""
        ...

    def first_minute(self, since: int) -> int | None:
        """Return the beginning of the first minute of all series at ``since`` or later."""
        ...


class Bounds(Protocol):
    """What a store has noted of all its rollups."""

    @property
    def states(self) -> StateTables:
        """Return the tables of states."""
        ...

    def unrolled(self) -> dict[int, int]:
        """Return the series that are rolled up only before a time, a midnight (µs)."""
        ...

    def settled(self) -> Settled:
        """Return how far hours and days have been made."""
        ...

    def kept(self, series: Iterable[int]) -> dict[int, Kept]:
        """Return what is deleted of these series; those of which nothing is may be missing."""
        ...


def roll_up_states(
    tables: Bounds,
    texts: Mapping[int, TextColumns],
    numbers: Mapping[int, NumberColumns],
    inserted: Iterable[tuple[int, int, int]],
    late: Mapping[int, NumberColumns],
) -> None:
    """Bring the rollups up to texts and numbers that have just been inserted.

    ``inserted`` gives series, readings given and readings that were new. Those of ``late`` are
    from before what is kept, and in no rollup of states.
    """
    known = tables.states.numbers() if numbers or late else set()
    others = {
        series
        for series, (_, values) in chain(numbers.items(), late.items())
        if series in known and not are_states(values)
    }
    if others:
        tables.states.drop(others)
    new: dict[int, TextColumns] = {}
    again: dict[int, array[int]] = {}
    for series, given, stored in inserted:
        if series in texts:
            times, values = texts[series]
            names = [name_of(value) for value in values] if given == stored else []
        elif series in known and series not in others:
            times, bits = numbers[series]
            names = names_of_numbers(bits) if given == stored else []
        else:
            continue
        if names:
            new[series] = times, names
        elif stored:
            again[series] = times
    if new:
        again |= _add(tables, new)
    if again:
        sum_up_states_anew(tables, again)


def sum_up_states_anew(tables: Bounds, times: Mapping[int, array[int]]) -> None:
    """Sum up again the minutes, hours and days of readings at ``times`` by series, ascending."""
    unrolled, settled, kept = tables.unrolled(), tables.settled(), tables.kept(times)
    for series, moments in times.items():
        # What is late is in no rollup where what was around it is deleted.
        begin = bisect_left(moments, kept.get(series, Kept()).raw)
        end = bisect_left(moments, unrolled[series]) if series in unrolled else len(moments)
        _sum_up_anew(tables.states, settled, series, moments[begin:end])


def release_states(tables: Bounds, times: Mapping[int, array[int]]) -> None:
    """Sum up readings at ``times``, ascending, which have just been released."""
    states = tables.states
    texts, numbers = states.texts(), states.numbers()
    for series in numbers & times.keys():
        _, names = _named(states, series, times[series][0], times[series][-1] + 1)
        if not names:
            numbers.discard(series)
    own = {series: moments for series, moments in times.items() if series in texts | numbers}
    sum_up_states_anew(tables, own)


def rebuild_states(
    states: StateTables, settled: Settled, series: int, since: int, until: int
) -> int:
    """Sum up a day of a series, if it has states; return of how many readings."""
    times, names = _named(states, series, since, until)
    states.forget(series, since, until)
    rows = state_minutes(series, times, names)
    states.replace("minute", rows)
    for tier in ("hour", "day"):
        before = settled.before(tier, series)
        rows = coarser_states([row for row in rows if row[1] < before], TIERS[tier])
        states.replace(tier, rows)
    return len(times)


def settle_states(
    states: StateTables, tier: str, finer: str, after: int, upto: int, bounds: tuple[int, int]
) -> None:
    """Make the rollups of a tier within ``bounds`` of the series ``(after, upto]``."""
    made: list[StateRow] = []
    found = states.rows_of_all(finer, after, upto, *bounds)
    for _, rows in groupby(found, lambda row: row[0]):
        made += coarser_states(rows, TIERS[tier])
    states.replace(tier, made)


def _sum_up_anew(states: StateTables, settled: Settled, series: int, times: array[int]) -> None:
    finer: str | None = None
    for tier, width in TIERS.items():
        if finer is not None:
            times = times[: bisect_left(times, settled.before(tier, series))]
        for since, until in stretches(times, width):
            if finer is None:
                found = state_minutes(series, *_named(states, series, since, until))
            else:
                found = coarser_states(states.rows(finer, series, since, until), width)
            states.replace(tier, found)
        finer = tier


def _add(tables: Bounds, new: Mapping[int, TextColumns]) -> dict[int, array[int]]:
    """Add states to the minutes of their series, where they are the latest in these.

    Of the others the times are returned, by series: their minutes are to be summed up anew.
    """
    unrolled, settled, kept = tables.unrolled(), tables.settled(), tables.kept(new)
    made: list[StateRow] = []
    again: dict[int, array[int]] = {}
    for series, (times, names) in new.items():
        late = times[0] < max(kept.get(series, Kept()).raw, settled.before("hour", series))
        if late or series in unrolled:
            again[series] = times
        else:
            made += state_minutes(series, times, names)
    before = {row[:2]: row for row in tables.states.rows_at("minute", [row[:2] for row in made])}
    rows = []
    for row in made:
        if (other := before.get(row[:2])) is None:
            rows.append(row)
        elif (one := appended(other, row)) is not None:
            rows.append(one)
        else:
            again[row[0]] = new[row[0]][0]
    tables.states.replace("minute", rows)
    return again


def _named(states: StateTables, series: int, since: int, until: int) -> TextColumns:
    """Return times and names of the states of a series in ``[since, until)``.

    Of numbers nothing, if one of them is none; then the series is dropped.
    """
    times, texts = states.texts_in(series, since, until)
    if times:
        return times, [name_of(text) for text in texts]
    if not states.has_states(series):
        return array("q"), []
    times, values = states.numbers_in(series, since, until)
    if not are_states(values):
        states.drop([series])
        return array("q"), []
    return times, names_of_numbers(values)
