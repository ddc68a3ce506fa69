"""InfluxDB's line protocol: ``measurement,tag=value field=1.5,other=2i 1556813561098000000``.

The grammar, and what its parts become here, is in ``docs/protocols/line-protocol.md``. The points
of a body are taken quickly where nothing about them is unusual, and each other one is read part by
part, which can say what is wrong.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import Final

from motehub.model import Clock, Runs
from motehub.points import BadLine, Body, make_runs
from motehub.protocols._line_protocol_blocks import blocks
from motehub.protocols._line_protocol_column import Doubt, OpenColumn
from motehub.protocols._line_protocol_plain import take_apart
from motehub.protocols._line_protocol_point import (
    BOOLEANS,
    FIRST_TIME,
    INTEGER_RANGES,
    LAST_TIME,
    SERIES,
    STAMP_LENGTH,
    WORD_LENGTH,
    Fault,
    Point,
    resolve,
    skip_space,
)

BAD_LINES: Final = 1_000
"""Most bad lines of a body that are listed: with one more the body is given up."""

EXACT: Final = 250_000
"""Most points of a body that are read part by part, which takes about 10 µs for each."""

PAYLOAD_LIMIT: Final = 200
"""Bytes of a rejected line that are passed on."""

_MULTIPLIERS: Final = {
    "ns": (1, 1_000),
    "n": (1, 1_000),
    "us": (1, 1),
    "u": (1, 1),
    "µ": (1, 1),  # the micro sign
    "μ": (1, 1),  # the Greek letter
    "µs": (1, 1),
    "μs": (1, 1),
    "ms": (1_000, 1),
    "s": (1_000_000, 1),
    "m": (60_000_000, 1),
    "h": (3_600_000_000, 1),
}

# What is left of texts that int and float took, once these are deleted, should not have been
# taken: underscores, white space, names of infinity, digits of other scripts.
_NUMBER_BYTES: Final = b"0123456789.+-eE"
_STAMP_BYTES: Final = b"0123456789-"


def multiplier(precision: str) -> tuple[int, int] | None:
    """Return by what to multiply and divide a timestamp for µs, or None: no such precision."""
    return _MULTIPLIERS.get(precision)


def decode_points(body: bytes, now: int, *, precision: str = "ns") -> Body:
    """Return the points in ``body``, which arrived at ``now`` (UTC µs).

    The caller bounds the length of ``body``.

    Raises:
        KeyError: there is no such ``precision``; ask ``multiplier`` first.
    """
    times = _MULTIPLIERS[precision]
    text = body.decode("utf-8", "surrogateescape")
    try:
        return _Points(now, times).take_quickly(text)
    except Doubt:
        return _Points(now, times).take_exactly(text)


def decode_known(
    body: bytes, now: int, series: Mapping[bytes, int], *, precision: str = "ns"
) -> Runs | None:
    """Return the same if it can be told quickly, or None: ask ``decode_points`` then.

    It can where each line is a point of one number, and either all have a timestamp or none
    has. ``series`` has the id of each by measurement, tags and key as they are written; where it
    raises KeyError for one, the answer is None. See ``read_key``.

    Raises:
        KeyError: as ``decode_points``.
    """
    multiply, divide = _MULTIPLIERS[precision]
    lines = body.count(b"\n") + (body[-1:] != b"\n")
    dated = body.count(b" ") > lines
    points = take_apart(body, lines, dated=dated)
    if points is None:
        return None
    keys, numbers, stamps = points
    try:
        if keys.count(keys[0]) == lines:
            known = [series[keys[0]]] * lines
        else:
            known = list(map(series.__getitem__, keys))
        values = array("d", map(float, numbers))
        times = list(map(int, stamps)) if dated else [now] * lines
    except (KeyError, ValueError):
        return None
    if dated:
        if multiply > 1:
            times = [time * multiply for time in times]
        elif divide > 1:
            times = [time // divide for time in times]
        if min(times) < FIRST_TIME or max(times) > LAST_TIME:
            return None
    if not math.isfinite(sum(values)):
        return None
    return make_runs(known, times, values, Clock.DEVICE if dated else Clock.HUB)


def read_key(key: bytes) -> tuple[str | None, str, str] | None:
    """Return device, metric and unit of a key of ``decode_known``; None: it has a fault."""
    head, _, field = key.decode("utf-8", "surrogateescape").partition(" ")
    resolved = resolve(head, field)
    return (*resolved, "") if resolved else None


class _Points:
    """Takes the points of a body into columns."""

    def __init__(self, now: int, times: tuple[int, int]) -> None:
        self._now = now
        self._times = times
        self._columns: dict[tuple[str | None, str, bool, Clock], OpenColumn] = {}
        # Columns by the text of the head and of the field's key, for points with a timestamp.
        self._dated: dict[tuple[str, str], OpenColumn] = {}
        self._undated: dict[tuple[str, str], OpenColumn] = {}
        # Texts that int and float took.
        self._numbers: list[str] = []
        self._integers: list[str] = []
        self._bad: list[BadLine] = []
        self._count = 0
        self._exact = 0
        self._unlisted = 0

    def take_exactly(self, text: str) -> Body:
        """Return what the points say, each read part by part."""
        for line, block in blocks(text):
            if not self._take_exactly(line, block):
                self._give_up(text, line, block)
                break
        return self._body()

    def take_quickly(self, text: str) -> Body:
        """Return the same for much less work, where nothing is unusual.

        Raises:
            Doubt: something is, which only ``take_exactly`` can judge.
        """
        numbers, integers = self._numbers, self._integers
        quick = 0
        for line, block in blocks(text):
            if not block:
                continue
            # This is the most usual point: one field that is a number.
            try:
                head, fields, *stamps = block.split(" ")
                key, value = fields.split("=")
                known = self._dated if stamps else self._undated
                # The column is looked for last: a point that is not taken makes none.
                if value[-1] == "i":
                    number = self._integer(value)
                else:
                    number = float(value)
                    numbers.append(value)
                if stamps:
                    (stamp,) = stamps
                    moment = int(stamp)
                    integers.append(stamp)
                    column = known.get((head, key)) or self._plain_column(head, key, known)
                    column.stamps.append(moment)
                else:
                    column = known.get((head, key)) or self._plain_column(head, key, known)
            except (ValueError, LookupError, Fault):
                if self._take_plainly(block, line):
                    quick += 1
                elif not self._take_exactly(line, block):
                    self._give_up(text, line, block)
                    break
                continue
            column.values.append(number)
            column.lines.append(line)
            quick += 1
        self._count += quick
        self._check(numbers, _NUMBER_BYTES, WORD_LENGTH)
        self._check(integers, _STAMP_BYTES, STAMP_LENGTH)
        return self._body()

    @staticmethod
    def _check(taken: list[str], usual: bytes, longest: int) -> None:
        if "".join(taken).encode("utf-8", "surrogateescape").translate(None, usual):
            raise Doubt
        if taken and max(map(len, taken)) > longest:
            raise Doubt

    def _body(self) -> Body:
        taken = [column for column in self._columns.values() if column.lines]
        columns = [column.finish(self._now, self._times) for column in taken]
        return Body(columns, self._bad, self._count, self._unlisted)

    def _take_plainly(self, block: str, line: int) -> bool:
        """Take a point without strings and escapes as a whole, or leave it."""
        parts = block.split(" ")
        if not 2 <= len(parts) <= 3:
            return False
        known = self._undated if len(parts) == 2 else self._dated
        found: list[tuple[OpenColumn, float]] = []
        try:
            stamp = self._stamp(parts[2]) if len(parts) == 3 else None
            for field in parts[1].split(",", SERIES):
                key, _, value = field.partition("=")
                number = self._number(value)
                column = known.get((parts[0], key)) or self._plain_column(parts[0], key, known)
                found.append((column, number))
        except (ValueError, Fault):
            return False
        if len({id(column) for column, _ in found}) < len(found):
            return False
        for column, number in found:
            column.add(number, stamp, line)
        return True

    def _integer(self, text: str) -> float:
        """Return an integer with its suffix.

        Raises:
            ValueError: it is none, or does not fit in 64 bits.
        """
        digits = text[:-1]
        integer = int(digits)
        first, last = INTEGER_RANGES[text[-1]]
        if not first <= integer <= last:
            raise ValueError
        self._integers.append(digits)
        return float(integer)

    def _number(self, text: str) -> float:
        """Return a number or boolean.

        Raises:
            ValueError: it is none.
        """
        if text[-1:] in INTEGER_RANGES:
            return self._integer(text)
        if text in BOOLEANS:
            return BOOLEANS[text]
        number = float(text)
        self._numbers.append(text)
        return number

    def _stamp(self, text: str) -> int:
        stamp = int(text)
        self._integers.append(text)
        return stamp

    def _plain_column(
        self, head: str, key: str, known: dict[tuple[str, str], OpenColumn]
    ) -> OpenColumn:
        """Return the column of a head and a key that are seen for the first time.

        Raises:
            Fault: they are not plain, or not acceptable.
        """
        resolved = resolve(head, key)
        if not resolved:
            raise Fault("not plain")
        device, metric = resolved
        clock = Clock.HUB if known is self._undated else Clock.DEVICE
        column = known[head, key] = self._column(device, metric, False, clock)
        return column

    def _column(self, device: str | None, metric: str, is_text: bool, clock: Clock) -> OpenColumn:
        """Return the column of a series.

        Raises:
            Fault: it would be one too many.
        """
        key = (device, metric, is_text, clock)
        column = self._columns.get(key)
        if column is None:
            if len(self._columns) >= SERIES:
                raise Fault(f"more than {SERIES:,} series in one body")
            column = self._columns[key] = OpenColumn(device, metric, is_text, clock)
        return column

    def _take_exactly(self, line: int, block: str) -> bool:
        """Take one point, or say why it is none; return False where that is one too many."""
        if not block:
            return True
        self._count += 1
        self._exact += 1
        if self._exact > EXACT:
            reason = f"more than {EXACT:,} points with text, escapes or faults in one body"
            self._reject(line, block, reason, None)
            return False
        point = Point(block)
        try:
            point.read(skip_space(block, 0), self._times)
            clock = Clock.HUB if point.stamp is None else Clock.DEVICE
            columns = [
                self._column(point.device, metric, isinstance(value, str), clock)
                for metric, value in point.values.items()
            ]
        except Fault as fault:
            return self._reject(line, block, str(fault), point.device)
        for column, value in zip(columns, point.values.values(), strict=True):
            column.add(value, point.stamp, line)
        return True

    def _reject(self, line: int, block: str, reason: str, device: str | None) -> bool:
        if len(self._bad) >= BAD_LINES:
            self._unlisted += 1
            return False
        payload = block[:PAYLOAD_LIMIT].encode("utf-8", "surrogateescape")
        self._bad.append(BadLine(line, payload[:PAYLOAD_LIMIT], reason, device))
        return True

    def _give_up(self, text: str, line: int, block: str) -> None:
        """Count the lines behind ``block``, which began at ``line``, as bad without a look."""
        lines = text.count("\n") + (not text.endswith("\n"))
        unseen = lines - line - block.count("\n")
        self._count += unseen
        self._unlisted += unseen
