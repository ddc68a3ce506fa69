"""How old readings and rollups are deleted, a little at a time: the same in every store."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import msgspec

from motehub.history_contract import Expiring, NumberColumns
from motehub.rollups import NEVER, TIERS, Kept, Rollup, Settled

SERIES_AT_ONCE: Final = 500
"""How many series one step looks at."""

# A tier ends where one of the next begins, so that those are made of whole ones.
_GRAINS: Final = {
    "raw": TIERS["minute"],
    "minute": TIERS["hour"],
    "hour": TIERS["day"],
    "day": TIERS["day"],
}

FIRST_WHOLE_DAY: Final = f"(raw + {TIERS['day'] - 1}) / {TIERS['day']} * {TIERS['day']}"
"""SQL for the first midnight from which all readings of a row of ``reading_kept`` are there."""


def time_column(table: str) -> str:
    """Return the column of a table of readings or rollups that says when."""
    return "time" if table in ("reading", "text") else "start"


class Tables(Protocol):
    """The tables of a store, within a transaction."""

    def unrolled(self) -> dict[int, int]:
        """Return the series that are rolled up only before a time."""
        ...

    def settled(self) -> Settled:
        """Return how far hours and days have been made."""
        ...

    def kept(self, series: Iterable[int]) -> dict[int, Kept]:
        """Return what is deleted of these series; those of which nothing is may be missing."""
        ...

    def keep(self, series: int, kept: Kept) -> None:
        """Note what is deleted of a series."""
        ...

    def latest_edge(self) -> int:
        """Return the latest time before which readings of any series are deleted."""
        ...

    def newest(self, table: str, series: int) -> int | None:
        """Return the time of the newest reading in ``reading`` or ``text``."""
        ...

    def nth(self, table: str, series: int, until: int, number: int) -> int | None:
        """Return the time of a row before ``until``, of which the oldest has the number 0."""
        ...

    def delete(self, table: str, series: int, until: int) -> int:
        """Delete the rows before ``until``; return how many there were."""
        ...

    def readings(self, series: int, since: int, until: int) -> NumberColumns:
        """Return the readings of a series in ``[since, until)``, oldest first."""
        ...

    def rollups(self, tier: str, series: int, since: int, until: int) -> list[Rollup]:
        """Return the rollups that begin in ``[since, until)``, oldest first."""
        ...


class Late(msgspec.Struct, frozen=True):
    """Readings of one series from before what is kept of it: those that are new, of ``given``."""

    given: int
    columns: NumberColumns


def expire_some(tables: Tables, todo: Sequence[Expiring], rows: int) -> tuple[int, int]:
    """Delete about ``rows`` rows at most; return how many of ``todo`` are done, and the rows.

    What is not summed up yet stays for now, and the newest reading of each series for good.
    """
    todo = todo[:SERIES_AT_ONCE]
    unrolled, settled = tables.unrolled(), tables.settled()
    kept = tables.kept(one.series for one in todo)
    deleted = 0
    for number, one in enumerate(todo):
        if one.series in unrolled:
            continue
        done, count = _expire(
            tables, one, kept.get(one.series, Kept()), settled, max(1, rows - deleted)
        )
        deleted += count
        if not done:
            return number, deleted
    return len(todo), deleted


def _expire(
    tables: Tables, one: Expiring, kept: Kept, settled: Settled, rows: int
) -> tuple[bool, int]:
    """Delete what is too old of a series; tell whether all is deleted, and how many rows were."""
    deleted = 0
    raw, rolled = ("text", "state") if one.texts else ("reading", "reading")
    for tier in ("raw", *TIERS):
        until = _bound(one, tier, kept, settled)
        table = raw if tier == "raw" else f"{rolled}_{tier}"
        # The newest reading stays: it is what people see of a device that is silent.
        last = tables.newest(table, one.series) if tier == "raw" else until
        bound = min(until, NEVER if last is None else last)
        first = tables.nth(table, one.series, bound, 0)
        if first is None:
            continue
        far = tables.nth(table, one.series, bound, rows - deleted)
        if far is not None:
            grain = _GRAINS[tier]
            until = max(far // grain * grain, first // grain * grain + grain)
        deleted += tables.delete(table, one.series, min(bound, until))
        if tier != "raw" and not one.texts:
            # Of the numbers that are states there are as many of these at most.
            tables.delete(f"state_{tier}", one.series, min(bound, until))
        kept = _moved(kept, tier, until)
        tables.keep(one.series, kept)
        if far is not None:
            return False, deleted
    return True, deleted


def _bound(one: Expiring, tier: str, kept: Kept, settled: Settled) -> int:
    wanted = one.until.of(tier)
    # Minutes as well stay until their day is made: by them it is found that there is one to make.
    return wanted if tier == "raw" else min(wanted, settled.before("day", one.series))


def _moved(kept: Kept, tier: str, until: int) -> Kept:
    """Return what is kept when a tier begins at ``until``: then no finer one begins earlier."""
    changes = {}
    for one in ("day", "hour", "minute", "raw")[("day", "hour", "minute", "raw").index(tier) :]:
        changes[one] = max(kept.of(one), until)
    return msgspec.structs.replace(kept, **changes)


def part_late(
    tables: Tables, columns: dict[int, NumberColumns]
) -> tuple[dict[int, NumberColumns], dict[int, Late]]:
    """Part readings from before what is kept of their series from the others.

    A minute of which readings are deleted is closed: what comes for it can't be told from a
    repetition. Where there was none, late readings are as good as others.
    """
    edge = tables.latest_edge()
    early = [series for series, (times, _) in columns.items() if times and times[0] < edge]
    kept = {series: one for series, one in tables.kept(early).items() if one.raw > NEVER}
    others, late = dict(columns), {}
    for series, one in kept.items():
        times, values = columns[series]
        end = _first_at(times, one.raw)
        if end:
            late[series] = Late(end, _new_of(tables, series, one, times[:end], values[:end]))
            others[series] = times[end:], values[end:]
            if not others[series][0]:
                del others[series]
    return others, late


def _first_at(times: array[int], moment: int) -> int:
    return next((n for n, time in enumerate(times) if time >= moment), len(times))


def _new_of(
    tables: Tables, series: int, kept: Kept, times: array[int], values: array[float]
) -> NumberColumns:
    new_times, new_values = array("q"), array("d")
    position = 0
    while position < len(times):
        tier = next((one for one in TIERS if kept.of(one) <= times[position]), None)
        if tier is None:
            # Even its day is deleted.
            position += 1
            continue
        begin = times[position] // TIERS[tier] * TIERS[tier]
        stop = position + _first_at(times[position:], begin + TIERS[tier])
        known = set(tables.readings(series, begin, begin + TIERS[tier])[0])
        summed = sum(one[2] for one in tables.rollups(tier, series, begin, begin + 1))
        if summed <= len(known):
            for time, value in zip(times[position:stop], values[position:stop], strict=True):
                if time not in known:
                    known.add(time)
                    new_times.append(time)
                    new_values.append(value)
        position = stop
    return new_times, new_values
