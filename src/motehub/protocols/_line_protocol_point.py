"""One point of the line protocol, read part by part: its grammar, and what its parts become."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Final

NAME_BYTES: Final = 128
"""Longest metric and device, in UTF-8 bytes."""

SERIES: Final = 10_000
"""Most series, which are columns, in a body, and so most fields of a point."""

CACHED_LENGTH: Final = 512
"""Longest beginning of a line, in characters, whose meaning is kept."""

NAME_LENGTH: Final = 1_000
"""What no part of a name is as long as, in characters with its escapes."""

WORD_LENGTH: Final = 400
"""Longest number, in characters: more than the longest double written out."""

STAMP_LENGTH: Final = 40
"""Longest timestamp, in characters."""

# InfluxDB keeps times in 64 bits of nanoseconds: from the year 1677 to 2262.
FIRST_TIME: Final = -(2**63 // 1_000)
LAST_TIME: Final = 2**63 // 1_000
"""Bounds of a point's time, in µs."""

BOOLEANS: Final = dict.fromkeys(("t", "T", "true", "True", "TRUE"), 1.0) | dict.fromkeys(
    ("f", "F", "false", "False", "FALSE"), 0.0
)
INTEGER_RANGES: Final = {"i": (-(2**63), 2**63 - 1), "u": (0, 2**64 - 1)}

# A backslash escapes only what would end the part; before anything else it is itself.
# Repeating a group takes memory each time, so it has a bound: no name has more escapes.
_MEASUREMENT: Final = re.compile(r"(?:[^, \\]+|\\[, ]?){1,1000}")
_PART: Final = re.compile(r"(?:[^,= \\]+|\\[,= ]?){1,1000}")
_PLAIN_PART: Final = re.compile(r"[^,= \\]+")
_ESCAPED_IN_MEASUREMENT: Final = re.compile(r"\\([, ])")
_ESCAPED_IN_PART: Final = re.compile(r"\\([,= ])")
_ESCAPED_IN_STRING: Final = re.compile(r'\\(["\\])')
_BARE: Final = re.compile(r"[^, ]*")
_FLOAT: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER: Final = re.compile(r"(-?[0-9]{1,40})([iu])")
_STAMP: Final = re.compile(r"-?[0-9]{1,39}")
_SPACE: Final = re.compile(r"[ \t]*")
_NOT_FINITE: Final = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)


class Fault(Exception):
    """Why a point can't be accepted, and at which of its bytes, counted from 0."""


class Head:
    """The measurement and the tags of a point: whose it is, and how its metrics are called."""

    __slots__ = ("device", "measurement", "tags")

    def __init__(self, measurement: str, tags: dict[str, str]) -> None:
        key = next((key for key in ("device", "host") if key in tags), None)
        self.device = None if key is None else tags[key]
        self.measurement = measurement
        self.tags = "".join(f",{k}={v}" for k, v in sorted(tags.items()) if k != key)

    def metric(self, field: str) -> str:
        """Return the metric of the field called ``field``.

        Raises:
            Fault: it is too long, or not printable.
        """
        name = self.measurement if field == "value" else f"{self.measurement}_{field}"
        if len(name) + len(self.tags) > NAME_BYTES:
            raise Fault(f"the metric {name[:40]!r}… is longer than {NAME_BYTES} bytes")
        return _checked(name, self.tags)


@lru_cache(4096)
def _checked(name: str, tags: str) -> str:
    metric = name + tags
    if not metric.isprintable():
        raise Fault(f"the metric {metric[:40]!r} can't be printed")
    if len(metric.encode()) > NAME_BYTES:
        raise Fault(f"the metric {metric[:40]!r}… is longer than {NAME_BYTES} bytes")
    return metric


@lru_cache(4096)
def _plain_head(text: str) -> Head | None:
    """Return what a head without backslashes and spaces means, or None if it has a fault."""
    try:
        return Point(text).read_head(0)
    except Fault:
        return None


def resolve(head: str, key: str) -> tuple[str | None, str] | None:
    """Return device and metric of a field ``key`` behind ``head``.

    It is None where they have escapes, are very long, or can't be accepted: then the point has to
    be read part by part.
    """
    if "\\" in head or len(head) > CACHED_LENGTH or head.startswith("#"):
        return None
    found = _plain_head(head)
    if not found or not _PLAIN_PART.fullmatch(key):
        return None
    try:
        return found.device, found.metric(key)
    except Fault:
        return None


def skip_space(text: str, position: int) -> int:
    """Return the position of the first character that is neither space nor tab."""
    space = _SPACE.match(text, position)
    return space.end() if space else position


def string_end(text: str, position: int) -> int:
    """Return the position behind the quote that closes a string, or behind the text's end."""
    while (quote := text.find('"', position)) >= 0:
        before = quote
        while before > position and text[before - 1] == "\\":
            before -= 1
        position = quote + 1
        if (quote - before) % 2 == 0:
            return position
    return len(text) + 1


class Point:
    """Reads one point; ``read`` fills ``device``, ``values`` and ``stamp``.

    ``values`` are by metric; ``stamp`` is None where the point has no timestamp. ``device`` is
    right after the head is read, even when the rest isn't.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.device: str | None = None
        self.values: dict[str, float | str] = {}
        self.stamp: int | None = None

    def read(self, start: int, times: tuple[int, int]) -> None:
        """Read the point that begins at ``start``; ``times`` makes µs of its timestamp.

        Raises:
            Fault: it can't be accepted.
        """
        head = self._known_head(start) or self.read_head(start)
        self.device = head.device
        if self._here() != " ":
            raise self._fault("there are no fields")
        self.position = skip_space(self.text, self.position)
        if not self._here():
            raise self._fault("there are no fields")
        more = True
        while more:
            self._read_field(head)
            if len(self.values) > SERIES:
                raise self._fault(f"more than {SERIES:,} fields")
            more = self._here() == ","
            self.position += more
        if self._here() not in (" ", ""):
            raise self._fault("a comma, a space or the end of the line expected")
        self.position = skip_space(self.text, self.position)
        self._read_stamp(times)

    def _known_head(self, start: int) -> Head | None:
        """Return the head if it is plain and can be accepted, and pass over it."""
        end = self.text.find(" ", start, start + CACHED_LENGTH)
        if end < 0 or self.text.find("\\", start, end) >= 0:
            return None
        head = _plain_head(self.text[start:end])
        if head:
            self.position = end
        return head

    def read_head(self, start: int) -> Head:
        """Read measurement and tags.

        Raises:
            Fault: they can't be accepted.
        """
        self.position = start
        part = _MEASUREMENT.match(self.text, start)
        if not part:
            raise self._fault("the measurement is missing")
        self._check_length(part, "the measurement")
        measurement = _ESCAPED_IN_MEASUREMENT.sub(r"\1", part[0])
        tags: dict[str, str] = {}
        while self._here() == ",":
            self.position += 1
            place = self.position
            key = self._read_part("a tag's key")
            if self._here() != "=":
                raise self._fault(f"the tag {key[:40]!r} has no value")
            self.position += 1
            value = self._read_part(f"the value of the tag {key[:40]!r}")
            if self._here() == "=":
                raise self._fault(f"an unescaped '=' in the value of the tag {key[:40]!r}")
            if key in tags:
                raise self._fault(f"the tag {key[:40]!r} for the second time", place)
            tags[key] = value
        head = Head(measurement, tags)
        if head.device is not None and not head.device.isprintable():
            raise self._fault("the device's name can't be printed", start)
        if head.device is not None and len(head.device.encode()) > NAME_BYTES:
            raise self._fault(f"the device's name is longer than {NAME_BYTES} bytes", start)
        return head

    def _read_part(self, what: str) -> str:
        part = _PART.match(self.text, self.position)
        if not part:
            raise self._fault(f"{what} is missing")
        self._check_length(part, what)
        return _ESCAPED_IN_PART.sub(r"\1", part[0])

    def _check_length(self, part: re.Match[str], what: str) -> None:
        """Pass over a part of a name, unless it is so long that it may have been cut."""
        if part.end() - part.start() >= NAME_LENGTH:
            raise self._fault(f"{what} is longer than {NAME_LENGTH - 1} characters")
        self.position = part.end()

    def _read_field(self, head: Head) -> None:
        place = self.position
        key = self._read_part("a field's key")
        if self._here() != "=":
            raise self._fault(f"the field {key[:40]!r} has no value")
        self.position += 1
        value = self._read_string() if self._here() == '"' else self._read_number()
        try:
            metric = head.metric(key)
        except Fault as fault:
            raise self._fault(str(fault), place) from None
        if metric in self.values:
            raise self._fault(f"the field {key[:40]!r} for the second time", place)
        self.values[metric] = value

    def _read_string(self) -> str:
        start = self.position + 1
        end = string_end(self.text, start)
        if end > len(self.text):
            raise self._fault("a quote is not closed")
        value = _ESCAPED_IN_STRING.sub(r"\1", self.text[start : end - 1])
        try:
            value.encode()
        except UnicodeEncodeError:
            raise self._fault("bad UTF-8 in the text") from None
        self.position = end
        return value

    def _read_number(self) -> float:
        text = self._bare("the value of a field")
        value = BOOLEANS.get(text)
        if value is None and (integer := _INTEGER.fullmatch(text)):
            first, last = INTEGER_RANGES[integer[2]]
            if not first <= int(integer[1]) <= last:
                raise self._fault(f"the integer {text!r} does not fit in 64 bits")
            value = float(int(integer[1]))
        elif value is None and _FLOAT.fullmatch(text):
            value = float(text)
        if value is None:
            raise self._fault(_describe(text))
        if math.isinf(value):
            raise self._fault(f"{text[:40]!r} is too large for a double")
        self.position += len(text)
        return value

    def _bare(self, what: str) -> str:
        bare = _BARE.match(self.text, self.position)
        text = bare[0] if bare else ""
        if len(text) > WORD_LENGTH:
            raise self._fault(f"{what} is longer than {WORD_LENGTH} characters")
        return text

    def _read_stamp(self, times: tuple[int, int]) -> None:
        if not self._here():
            return
        text = self._bare("the timestamp")
        if not _STAMP.fullmatch(text):
            raise self._fault(f"{text[:40]!r} is not a timestamp, which is an integer")
        stamp = int(text)
        multiply, divide = times
        if not FIRST_TIME <= stamp * multiply // divide <= LAST_TIME:
            reason = f"the timestamp {text} is not between 1677 and 2262; check the precision"
            raise self._fault(reason)
        self.position += len(text)
        self.position = skip_space(self.text, self.position)
        if self._here():
            raise self._fault("more text behind the timestamp")
        self.stamp = stamp

    def _here(self) -> str:
        return self.text[self.position : self.position + 1]

    def _fault(self, reason: str, position: int | None = None) -> Fault:
        before = self.text[: self.position if position is None else position]
        return Fault(f"{reason} at byte {len(before.encode('utf-8', 'surrogateescape'))}")


def _describe(text: str) -> str:
    """Say what is wrong about the value of a field."""
    if not text:
        return "a field's value is missing"
    if _NOT_FINITE.fullmatch(text):
        return f"{text!r} is not a finite number"
    return f"{text[:40]!r} is not a number, boolean or text in double quotes"
