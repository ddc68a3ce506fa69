"""States summed up by minute, hour and day of UTC: how long each lasted, and how often it changed.

A rollup holds only what lies between its first and its last reading. How long the last state goes
on, until the first reading of a later rollup, is found when two are joined. So a reading changes
nothing but the minute, the hour and the day that it is in.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import groupby, pairwise
from typing import Final

import msgspec

from motehub.model import Kind, Series
from motehub.rollups import TIERS

MOST_STATES: Final = 16
"""States that a rollup names: those that lasted longest; all others are one."""

STATE_CHARACTERS: Final = 64
"""Longest name of a state in rollups."""

_DIGITS: Final = 8
_BOTH: Final = frozenset({0.0, 1.0})

StateRow = tuple[int, int, int, int, int, str, int, str, str]
"""Series, start, count, changes, time and name of the first state, of the last, and durations.

The durations are JSON: pairs of name and µs, the longest first; those of all other states together
have no name, and are last. Times are in µs.
"""

Durations = dict[str | None, int]
"""How long each state lasted (µs); None is all others."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[tuple[str | None, int]]).decode


class Stretch(msgspec.Struct, frozen=True):
    """Readings of a state that follow each other: a single one, or many that are summed up.

    ``durations`` are those between the first and the last.
    """

    count: int
    changes: int
    first_time: int
    first: str
    last_time: int
    last: str
    durations: Durations = {}


def name_of(text: str) -> str:
    """Return how a text is called as a state: a long one by its beginning, and digits of it."""
    if len(text) <= STATE_CHARACTERS:
        return text
    digits = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    return f"{text[: STATE_CHARACTERS - _DIGITS - 1]}…{digits}"


def may_be_states(series: Series) -> bool:
    """Tell whether numbers of a new series may be states: what has a unit is measured."""
    return series.kind is Kind.GAUGE and not series.unit


def names_of_numbers(values: Iterable[float]) -> list[str]:
    """Return the states that are sent as 0 and 1."""
    return ["1" if value else "0" for value in values]


def are_states(values: Sequence[float]) -> bool:
    """Tell whether numbers may be states: all are 0 or 1."""
    return _BOTH.issuperset(values)


def state_minutes(series: int, times: array[int], names: Sequence[str]) -> list[StateRow]:
    """Sum up states that are ascending in time, no two of the same."""
    width = TIERS["minute"]
    found = []
    position, length = 0, len(times)
    while position < length:
        start = times[position] // width * width
        end = bisect_left(times, start + width, position)
        found.append(_row(series, start, joined(singles(times, names, position, end))))
        position = end
    return found


def coarser_states(rows: Iterable[StateRow], width: int) -> list[StateRow]:
    """Sum up rollups of one series, ascending, to those of the next tier."""
    return [
        _row(series, start, joined(map(stretch_of, own)))
        for (series, start), own in groupby(rows, lambda row: (row[0], row[1] // width * width))
    ]


def appended(row: StateRow, later: StateRow) -> StateRow | None:
    """Return two rollups of one minute as one, or None where they can't be joined exactly.

    They can if all of one is later than the other, and no state has been left unnamed.
    """
    one, other = stretch_of(row), stretch_of(later)
    if one.last_time >= other.first_time or None in one.durations or None in other.durations:
        return None
    return _row(row[0], row[1], joined([one, other]))


def singles(
    times: Sequence[int], names: Sequence[str], begin: int = 0, end: int | None = None
) -> Iterator[Stretch]:
    """Yield each reading as a stretch of its own."""
    for time, name in zip(times[begin:end], names[begin:end], strict=True):
        yield Stretch(1, 0, time, name, time, name)


def stretch_of(row: StateRow) -> Stretch:
    """Return what a rollup says."""
    _, _, count, changes, first_time, first, last_time, last, durations = row
    return Stretch(count, changes, first_time, first, last_time, last, dict(_decode(durations)))


def joined(stretches: Iterable[Stretch]) -> Stretch:
    """Return stretches that follow each other as one; there is at least one."""
    parts = list(stretches)
    durations: Durations = {}
    for part in parts:
        for name, duration in part.durations.items():
            durations[name] = durations.get(name, 0) + duration
    changes = sum(part.changes for part in parts)
    for part, after in pairwise(parts):
        durations[part.last] = durations.get(part.last, 0) + after.first_time - part.last_time
        changes += part.last != after.first
    first, last = parts[0], parts[-1]
    return Stretch(
        sum(part.count for part in parts),
        changes,
        first.first_time,
        first.first,
        last.last_time,
        last.last,
        bounded(durations),
    )


def bounded(durations: Durations, most: int = MOST_STATES) -> Durations:
    """Return the durations of the states that lasted longest; those of all others are one."""
    named = sorted(
        ((name, time) for name, time in durations.items() if name is not None and time),
        key=lambda pair: (-pair[1], pair[0]),
    )
    found: Durations = dict(named[:most])
    others = durations.get(None, 0) + sum(time for _, time in named[most:])
    return found | {None: others} if others else found


def _row(series: int, start: int, one: Stretch) -> StateRow:
    durations = _encode(list(one.durations.items())).decode()
    first, last = (one.first_time, one.first), (one.last_time, one.last)
    return (series, start, one.count, one.changes, *first, *last, durations)
