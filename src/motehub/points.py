"""What the body of a request says: readings in columns, and the lines that can't be read.

The decoders of request bodies return it; a line is one reading or one point of a body, counted
from 1, so that the answer can say what became of each.
"""

from __future__ import annotations

from array import array
from itertools import groupby

import msgspec

from motehub.model import Clock, Runs, Samples, Texts


class Column(msgspec.Struct, frozen=True):
    """Readings of one metric of one device.

    ``device`` is None where the body does not say whose they are. ``lines`` is an
    ``array('I')`` with the line of each reading.
    """

    device: str | None
    record: Samples | Texts
    lines: array[int]


class BadLine(msgspec.Struct, frozen=True):
    """A line that can't be accepted: its number, its bytes (bounded) and the reason.

    ``device`` is whose it would have been, where that could be read.
    """

    line: int
    payload: bytes
    reason: str
    device: str | None = None


class Body(msgspec.Struct, frozen=True):
    """A decoded body: its columns, the lines that are none, and how many lines there were.

    ``unlisted`` is how many more bad lines there were than ``bad`` has room for. Every line is
    in a column, in ``bad`` or in ``unlisted``.
    """

    columns: list[Column]
    bad: list[BadLine]
    lines: int
    unlisted: int = 0


def make_runs(series: list[int], times: list[int], values: array[float], clock: Clock) -> Runs:
    """Return readings in their order; neighbours of the same series become one run.

    Raises:
        OverflowError: a time does not fit in 64 bits.
    """
    if series.count(series[0]) == len(series):
        ids, counts = series[:1], array("I", (len(series),))
    elif len(set(series)) == len(series):
        ids, counts = series, array("I", (1,)) * len(series)
    else:
        runs = [(one, len(list(same))) for one, same in groupby(series)]
        ids, counts = [one for one, _ in runs], array("I", [count for _, count in runs])
    return Runs(array("I", ids), counts, array("q", times), values, clock)
