"""JSON objects that follow each other without framing: ``{"a": 1}{"b": {"c": 2}}``.

The facts and the quirks of real clients are in ``docs/protocols/json-socket.md``.

Two ways lead to the same result. Nearly everything goes the fast one: all complete objects of a
read are decoded by one call in C, and a few counts prove that nothing was missed that this call
doesn't check. What the counts can't vouch for goes the exact one, object by object.
"""

from __future__ import annotations

import enum
import math
import re
import sys
from itertools import chain
from operator import sub
from typing import Final

import msgspec

OBJECT_LIMIT: Final = 1_048_576
"""Longest object in bytes, and so the most that is kept between two calls of ``feed``."""

PAYLOAD_LIMIT: Final = 200
"""Bytes of a rejected object that are passed on."""

DEPTH: Final = 2
"""Objects inside one another, the outer one counted."""

Value = float | int | str | bool | None
Fields = dict[str, dict[str, Value] | Value]


class JsonObject(msgspec.Struct, frozen=True):
    """One accepted object: what it says, and which bytes of the connection said it.

    ``offset`` is the place of its first byte in the connection, counted from 0; ``size`` is its
    length in bytes. No key occurs twice, every number fits a finite double, and every string can
    be written as UTF-8.
    """

    fields: Fields
    offset: int
    size: int


class Broken(msgspec.Struct, frozen=True):
    """Input that can't be accepted: why, where it begins, and its first bytes.

    ``offset`` is counted in bytes from the beginning of the connection; a byte that ``reason``
    names is counted from there. ``fatal`` means that no later object can be found for certain:
    the decoder ignores all that follows, and the connection should be closed.
    """

    reason: str
    offset: int
    payload: bytes
    fatal: bool


_ONE: Final = msgspec.json.Decoder(Fields)
_STRING: Final = msgspec.json.Decoder(str)
_REFUSED: Final = (msgspec.DecodeError, UnicodeDecodeError)

_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
# Inside a valid object no "}" is followed by "{", except in strings.
_SEAM: Final = re.compile(rb"\}[ \t\r\n]*+\{")
_KEY_END: Final = re.compile(rb'(?<!\\)"[ \t\r\n]*+:')
# 309 digits are the fewest that can be an integer beyond the largest double.
_DIGITS: Final = b"0" * len(str(int(sys.float_info.max)))
_DIGITS_TO_ZERO: Final = bytes.maketrans(b"123456789", b"000000000")

_STRING_REST: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_WHOLE_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_QUOTE, _BACKSLASH, _BRACE, _BRACKET = b'"\\{['
# What may be passed over at once: everything but the marks that are counted. The group is not
# possessive, because Python 3.11.2 would then pass half of a string that is not closed; it is
# bounded, because each of its rounds takes memory.
_PASSABLE: Final = {
    _BRACE: re.compile(rb'[^"{}]*+(?:' + _WHOLE_STRING + rb'[^"{}]*+){0,64}', re.DOTALL),
    _BRACKET: re.compile(rb'[^"\[\]]*+(?:' + _WHOLE_STRING + rb'[^"\[\]]*+){0,64}', re.DOTALL),
}


class JsonObjectsDecoder:
    """Decodes one connection's bytes; call ``feed``, then ``eof``.

    An object that is complete but not acceptable is returned as ``Broken``, and decoding goes on
    behind it. Anything else but white space between objects is fatal, and so is an object of
    more than ``object_limit`` bytes. Where the input was cut makes no difference.
    """

    deadline: Final[None] = None
    """No call of ``timeout`` is ever needed."""

    def __init__(self, object_limit: int = OBJECT_LIMIT) -> None:
        self._object_limit = object_limit
        self._pending = bytearray()
        self._extent: _Extent | None = None
        self._received = 0
        self._ended = False

    def feed(self, data: bytes, now: int) -> list[JsonObject | Broken]:
        """Return what ``data``, received at ``now`` (UTC µs), completes, in its order."""
        found: list[JsonObject | Broken] = []
        position = 0
        if self._extent and not self._ended:
            position = self._advance(self._extent, data, position, found)
        if not self._ended:
            position = self._take_batch(data, _pass(_SPACE, data, position), found)
        while position < len(data) and not self._ended:
            position = self._take_one(data, position, found)
        self._received += len(data)
        return found

    def timeout(self, now: int) -> list[JsonObject | Broken]:
        """Return nothing: no object waits for a time."""
        return []

    def eof(self, now: int) -> list[JsonObject | Broken]:
        """Return what the end of the connection at ``now`` (UTC µs) cuts off."""
        found: list[JsonObject | Broken] = []
        if self._extent and not self._ended:
            reason = "the connection ended inside this object"
            self._give_up(reason, self._received - len(self._pending), self._pending, found)
        self._ended = True
        return found

    def _take_batch(self, data: bytes, position: int, found: list[JsonObject | Broken]) -> int:
        """Take all objects but the last one, which may be incomplete, if nothing is unusual.

        Returns the position behind them, or ``position`` where the exact way has to begin.
        """
        seams = list(_SEAM.finditer(data, position))
        if not seams:
            return position
        starts = [position, *[seam.end() - 1 for seam in seams]]
        ends = [seam.start() + 1 for seam in seams]
        batch = data[position : starts[-1]]
        try:
            objects = _ONE.decode_lines(batch)
        except _REFUSED:
            return position
        # Each boundary is a seam; as many seams as boundaries means that none is in a string.
        if len(objects) != len(seams) or not _keys_are_unique(batch, objects):
            return position
        sizes = list(map(sub, ends, starts))
        longest = max(sizes)
        if longest > self._object_limit or (longest > len(_DIGITS) and _may_overflow(batch)):
            return position
        received = self._received
        offsets = [received + start for start in starts] if received else starts
        found += map(JsonObject, objects, offsets, sizes)
        return starts[-1]

    def _take_one(self, data: bytes, position: int, found: list[JsonObject | Broken]) -> int:
        """Take one object, or what arrived of it; return the position behind it."""
        position = _pass(_SPACE, data, position)
        if position == len(data):
            return position
        if data[position] not in _PASSABLE:
            # To skip to the next "{" would not be safe: when quotes are amiss, that may well be
            # the text of somebody's string, which must never be taken for readings.
            byte = data[position : position + 1]
            reason = f"{str(byte)[1:]} where an object should begin"
            self._give_up(reason, self._received + position, data[position:], found)
            return len(data)
        self._extent = _Extent(data[position])
        return self._advance(self._extent, data, position, found)

    def _advance(
        self, extent: _Extent, data: bytes, position: int, found: list[JsonObject | Broken]
    ) -> int:
        """Take the bytes that belong to the object under way; return the position behind them."""
        offset = self._received + position - len(self._pending)
        end = extent.find_end(data, position)
        stop = len(data) if end is None else end
        if len(self._pending) + stop - position > self._object_limit:
            reason = f"the object is longer than {self._object_limit} bytes"
            beginning = self._pending + data[position : position + PAYLOAD_LIMIT]
            self._give_up(reason, offset, beginning, found)
        elif end is None:
            self._pending += data[position:]
        else:
            text = data[position:end]
            if self._pending:
                text = bytes(self._pending) + text
                self._pending.clear()
            self._extent = None
            found.append(_judge(text, offset))
        return stop

    def _give_up(
        self,
        reason: str,
        offset: int,
        payload: bytes | bytearray,
        found: list[JsonObject | Broken],
    ) -> None:
        found.append(Broken(reason, offset, bytes(payload[:PAYLOAD_LIMIT]), fatal=True))
        self._ended = True
        self._pending = bytearray()


class _Extent:
    """Finds where an object or array ends that arrives in pieces: every byte is passed once."""

    def __init__(self, opening: int) -> None:
        self._opening = opening
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def find_end(self, data: bytes, position: int) -> int | None:
        """Return the position behind the closing mark, or None when it isn't in ``data``."""
        passable = _PASSABLE[self._opening]
        while True:
            if self._in_string:
                position = self._leave_string(data, position)
            position = _pass(passable, data, position)
            if position >= len(data):
                return None
            mark = data[position]
            position += 1
            if mark == _QUOTE:
                self._in_string = True
            elif mark == self._opening:
                self._depth += 1
            else:
                self._depth -= 1
                if not self._depth:
                    return position

    def _leave_string(self, data: bytes, position: int) -> int:
        """Return the position behind the closing quote, or the end of ``data``."""
        if self._escaped and position < len(data):
            self._escaped = False
            position += 1
        position = _pass(_STRING_REST, data, position)
        if position < len(data):
            # A backslash is the last byte here: what it escapes is still to come.
            self._escaped = data[position] == _BACKSLASH
            self._in_string = self._escaped
            position += 1
        return position


class _Expected(enum.Enum):
    """What has to come next; the value says it to people."""

    FIRST_KEY = "a key or '}'"
    KEY = "a key"
    COLON = "':'"
    VALUE = "a value"
    NEXT = "',' or '}'"


_HEX: Final = rb"[0-9a-fA-F]"
_TOKEN: Final = re.compile(
    rb"""[ \t\r\n]*+(?:
    (?P<string>"(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u"""
    + _HEX * 4
    + rb""")*+")
    |(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
    |(?P<literal>true|false|null)
    |(?P<constant>NaN|-?Infinity)
    |(?P<open>\{)|(?P<close>\})|(?P<colon>:)|(?P<comma>,)|(?P<array>\[)
    )""",
    re.VERBOSE,
)

_AFTER: Final = {
    (_Expected.FIRST_KEY, "string"): _Expected.COLON,
    (_Expected.FIRST_KEY, "close"): _Expected.NEXT,
    (_Expected.KEY, "string"): _Expected.COLON,
    (_Expected.COLON, "colon"): _Expected.VALUE,
    (_Expected.VALUE, "string"): _Expected.NEXT,
    (_Expected.VALUE, "number"): _Expected.NEXT,
    (_Expected.VALUE, "literal"): _Expected.NEXT,
    (_Expected.VALUE, "open"): _Expected.FIRST_KEY,
    (_Expected.NEXT, "comma"): _Expected.KEY,
    (_Expected.NEXT, "close"): _Expected.NEXT,
}


def find_fault(text: bytes) -> str | None:
    """Return why a balanced object can't be accepted, or None when it can.

    Looks at one token after the other, and so is slow but exact about the place.
    """
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return f"bad UTF-8 at byte {error.start}"
    expected = _Expected.VALUE
    keys: list[set[str]] = []
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        kind = token.lastgroup if token else None
        place = token.start(kind) if token and kind else _pass(_SPACE, text, position)
        following = _AFTER.get((expected, kind or ""))
        if not token or not kind or not following:
            is_quote = text[place] == _QUOTE
            return f"{_surprise(kind, is_quote, expected)} at byte {place}"
        if trouble := _trouble(kind, token[kind], expected is not _Expected.VALUE, keys):
            return f"{trouble} at byte {place}"
        expected = following
        position = token.end()
    return None


def _surprise(kind: str | None, is_quote: bool, expected: _Expected) -> str:
    """Say what is wrong about a token that the grammar has no room for."""
    if kind == "constant" and expected is _Expected.VALUE:
        return "NaN or Infinity, which JSON doesn't have,"
    if kind == "array" and expected is _Expected.VALUE:
        return "an array, which is not accepted,"
    if kind is None and is_quote:
        return "not JSON: a control character or a wrong escape in the string"
    return f"not JSON: {expected.value} expected"


def _trouble(kind: str, token: bytes, is_key: bool, keys: list[set[str]]) -> str | None:
    """Check what the grammar allows but motehub doesn't; ``keys`` are those of open objects."""
    if kind == "open":
        if len(keys) == DEPTH:
            return "nested too deep"
        keys.append(set())
    elif kind == "close":
        keys.pop()
    elif kind == "number" and math.isinf(float(token)):
        return "a number too large for a double"
    elif kind == "string":
        return _trouble_of_string(token, keys[-1] if is_key else None)
    return None


def _trouble_of_string(token: bytes, keys: set[str] | None) -> str | None:
    try:
        string = _STRING.decode(token)
    except _REFUSED:
        return "half of a surrogate pair in the string"
    if keys is None:
        return None
    if string in keys:
        return f"the key {string[:40]!r} for the second time"
    keys.add(string)
    return None


def _judge(text: bytes, offset: int) -> JsonObject | Broken:
    """Accept one balanced object or array, or say what is wrong with it."""
    reason: str | None = "not JSON"
    if text[0] == _BRACKET:
        reason = "an array, where objects should follow each other without one"
    else:
        try:
            fields: Fields = _ONE.decode(text)
        except _REFUSED:
            reason = find_fault(text) or reason
        else:
            certain = _keys_are_unique(text, [fields]) and not _may_overflow(text)
            reason = None if certain else find_fault(text)
    if reason is None:
        return JsonObject(fields, offset, len(text))
    return Broken(reason, offset, text[:PAYLOAD_LIMIT], fatal=False)


def _keys_are_unique(text: bytes, objects: list[Fields]) -> bool:
    """Return True when no key of ``objects`` can have been written twice in ``text``.

    A key that occurs twice is decoded once. Every key is followed by a colon, so where there are
    as many of those as decoded keys, none was lost; strings may only make them more. The same
    holds for quotes before a colon, less those that a backslash makes part of a string, as long as
    no key ends in a backslash itself.
    """
    values = chain.from_iterable(map(dict.values, objects))
    inner = [value for value in values if type(value) is dict]
    keys = sum(map(len, objects)) + sum(map(len, inner))
    if text.count(b":") == keys:
        return True
    return rb'\\"' not in text and len(_KEY_END.findall(text)) == keys


def _may_overflow(text: bytes) -> bool:
    """Return False when no integer in ``text`` has the digits to exceed a finite double."""
    return len(text) > len(_DIGITS) and _DIGITS in text.translate(_DIGITS_TO_ZERO)


def _pass(pattern: re.Pattern[bytes], data: bytes, position: int) -> int:
    match = pattern.match(data, position)
    return match.end() if match else position
