"""Readings of read units: one decimal number a line; ``docs/protocols/units.md``."""

from __future__ import annotations

import re
from array import array
from math import inf, isfinite
from typing import Final

import msgspec

from motehub.model import Clock, Malformed, Record, Samples, WrittenSamples, plain_number

LINE_LIMIT: Final = 100
"""Longest line in bytes, without its end: numbers are far shorter."""

BAD_SAMPLES: Final = 16
"""Bad lines of one read that are kept one by one; the others are only counted."""

# One more for the return that may come before the newline.
_MOST_KEPT: Final = LINE_LIMIT + 1
_TOO_LONG: Final = f"the line is longer than {LINE_LIMIT} bytes"
# What printf, print and dtostrf make of numbers. Exponents are short: what matches is finite.
_NUMBER: Final = (
    rb"[+-]?(?:\d{1,15}+(?:\.\d{0,15}+)?|\.\d{1,15}+)(?:[eE](?:-\d{1,3}+|\+?\d{1,2}+))?"
)
# Whole runs of plain lines, which is nearly all that units send, are read in C.
_PLAIN_LINES: Final = re.compile(rb"(?: {0,8}+" + _NUMBER + rb" {0,8}+\r?+\n)+")
_FINITE: Final = re.compile(_NUMBER)
# "ovf" is what Arduino prints of numbers beyond a long.
_NOT_FINITE: Final = re.compile(rb"[+-]?(?:nan|inf|ovf)", re.IGNORECASE)


class Conversion(msgspec.Struct, frozen=True):
    """From the number on the line to the value: ``(number - base) * span / divisor + shift``.

    The number must lie within ``least_number`` and ``greatest_number``, the value within
    ``minimum`` and ``maximum``, which are of the ``unit`` in which ``metric`` is kept.
    """

    metric: str = "value"
    unit: str = ""
    base: float = 0.0
    span: float = 1.0
    divisor: float = 1.0
    shift: float = 0.0
    least_number: float = -inf
    greatest_number: float = inf
    minimum: float = -inf
    maximum: float = inf

    @property
    def is_plain(self) -> bool:
        """Whether the value is the number itself."""
        return (self.base, self.span, self.shift) == (0.0, self.divisor, 0.0)

    def value(self, number: float) -> float:
        """Return the value of a number, which may be out of range."""
        return (number - self.base) * self.span / self.divisor + self.shift

    def values(self, numbers: array[float]) -> array[float] | None:
        """Return the values of ``numbers``; None when one of them is out of range."""
        if not self.least_number <= min(numbers) <= max(numbers) <= self.greatest_number:
            return None
        values = numbers if self.is_plain else array("d", map(self.value, numbers))
        least, greatest = min(values), max(values)
        if not (self.minimum <= least and greatest <= self.maximum):
            return None
        return values if -inf < least and greatest < inf else None

    def read(self, text: bytes) -> float | str:
        """Return the value of a line without its end, or why there is none."""
        if _FINITE.fullmatch(text):
            number = float(text)
            return self.fault(number) or self.value(number)
        if len(text) > LINE_LIMIT:
            return _TOO_LONG
        return "the number is not finite" if _NOT_FINITE.fullmatch(text) else "not a number"

    def samples(
        self, times: array[int], values: array[float], written: list[str], clock: Clock
    ) -> Samples:
        """Return readings with what the unit wrote, where their values don't say that."""
        if not written or list(map(plain_number, values)) == written:
            return Samples(self.metric, self.unit, times, values, clock)
        return WrittenSamples(self.metric, self.unit, times, values, clock, tuple(written))

    def fault(self, number: float) -> str | None:
        """Return why the value of ``number`` is not taken, or None."""
        if not self.least_number <= number <= self.greatest_number:
            return f"the number is not within {_span(self.least_number, self.greatest_number)}"
        if not isfinite(value := self.value(number)):
            return "the value is not finite"
        if not self.minimum <= value <= self.maximum:
            allowed = _span(self.minimum, self.maximum)
            return f"the value, {value:g}{_space(self.unit)}, is not within {allowed}"
        return None


class UnitLineDecoder:
    """Decodes what one unit says on one connection: call ``feed``, at its end ``eof``.

    Times are UTC microseconds. Never more than a line of ``LINE_LIMIT`` bytes is kept between
    two calls. With ``keeps_text`` the samples also say what the unit wrote.
    """

    def __init__(self, conversion: Conversion, *, keeps_text: bool = False) -> None:
        self._conversion = conversion
        self._keeps_text = keeps_text
        self._texts: list[str] = []
        self._tail = b""
        self._is_skipping = False
        self._bad: list[Record] = []
        self._bad_count = 0

    def feed(self, data: bytes, now: int) -> list[Record]:
        """Return what the lines say that ``data``, received at ``now``, completes.

        It is at most one ``Samples``; a bad line never costs the good ones beside it.
        """
        if self._tail:
            data = self._tail + data
            self._tail = b""
        end = data.rfind(b"\n") + 1
        values = self._lines(data[:end]) if end else None
        if end < len(data):
            self._keep(data[end:])
        records: list[Record] = []
        if values:
            times = array("q", (now,)) * len(values)
            texts, self._texts = self._texts, []
            records = [self._conversion.samples(times, values, texts, Clock.HUB)]
        return records + self._take_bad() if self._bad else records

    def eof(self, now: int) -> list[Record]:
        """Return what the end of the connection at ``now`` cuts off: that is no reading.

        A unit that restarts in the middle of ``512`` has not measured 51.
        """
        if self._tail.strip():
            self._reject(self._tail, "the connection ended inside this line")
        self._tail = b""
        self._is_skipping = False
        return self._take_bad()

    def _lines(self, lines: bytes) -> array[float] | None:
        """Return the values of whole lines."""
        if self._is_skipping:
            self._is_skipping = False
            lines = lines[lines.index(b"\n") + 1 :]
        if _PLAIN_LINES.fullmatch(lines):
            texts = lines.split()
            numbers = array("d", map(float, texts))
            if (values := self._conversion.values(numbers)) is not None:
                if self._keeps_text:
                    self._texts = [text.decode() for text in texts]
                return values
        return self._each(lines)

    def _each(self, lines: bytes) -> array[float]:
        values = array("d")
        for whole in lines.split(b"\n"):
            begun = whole.lstrip()
            line = begun.rstrip()
            if len(begun) > _MOST_KEPT:
                self._reject(begun, _TOO_LONG)
            elif line:
                value = self._conversion.read(line)
                if isinstance(value, str):
                    self._reject(line, value)
                    continue
                values.append(value)
                if self._keeps_text:
                    self._texts.append(line.decode())
        return values

    def _keep(self, tail: bytes) -> None:
        if self._is_skipping:
            return
        tail = tail.lstrip()
        if len(tail) > _MOST_KEPT:
            self._reject(tail, _TOO_LONG)
            self._is_skipping = True
        else:
            self._tail = tail

    def _reject(self, line: bytes, reason: str) -> None:
        self._bad_count += 1
        if self._bad_count <= BAD_SAMPLES:
            self._bad.append(Malformed(line[:LINE_LIMIT], reason))

    def _take_bad(self) -> list[Record]:
        bad, more = self._bad, self._bad_count - BAD_SAMPLES
        if more > 0:
            bad.append(Malformed(b"", "more bad lines in the same read", more))
        self._bad, self._bad_count = [], 0
        return bad


def _span(least: float, greatest: float) -> str:
    return f"{least:g} to {greatest:g}"


def _space(unit: str) -> str:
    return f" {unit}" if unit else ""
