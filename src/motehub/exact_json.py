"""JSON read exactly: what fast decoders drop or can't say is kept, for a reason to give.

The decoders of request bodies come here with what their fast way did not take.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final

PAYLOAD_LIMIT: Final = 200
"""Bytes of a rejected piece that are passed on."""

_SPACE: Final = re.compile(r"[ \t\r\n]*")


class Repeated(dict[str, Any]):
    """An object in which a key occurs twice; ``key`` is the first such key."""

    key = ""


class NotJson(Exception):
    """The text is not JSON; the message says what is wrong and at which byte, counted from 0."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    repeated = Repeated(found)
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            repeated.key = key
            break
        seen.add(key)
    return repeated


def _integer(digits: str) -> float:
    number = float(digits)
    return number if math.isinf(number) else int(digits)


_decoder: Final = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise NotJson(f"bad UTF-8 at byte {error.start}") from None


def _value_at(text: str, position: int) -> tuple[Any, int]:
    position = skip_space(text, position)
    if position == 0 and text.startswith("\ufeff"):
        raise NotJson("not JSON: a byte order mark at byte 0")
    try:
        return _decoder.raw_decode(text, position)
    except json.JSONDecodeError as error:
        what = error.msg[:1].lower() + error.msg[1:]
        raise NotJson(f"not JSON: {what} at byte {_byte(text, error.pos)}") from None
    except RecursionError:
        raise NotJson(f"nested too deep, from byte {_byte(text, position)} on") from None


def _byte(text: str, position: int) -> int:
    return len(text[:position].encode("utf-8", "surrogatepass"))


def skip_space(text: str, position: int) -> int:
    """Return the position of the first character from ``position`` on that is not white space."""
    space = _SPACE.match(text, position)
    return space.end() if space else position


def _check_end(text: str, position: int) -> None:
    position = skip_space(text, position)
    if position < len(text):
        raise NotJson(f"not JSON: more text behind the value at byte {_byte(text, position)}")


def decode(data: bytes) -> Any:
    """Return the value that ``data`` is.

    Objects with a repeated key are ``Repeated``; NaN and Infinity, which Python's encoder writes,
    are floats, and numbers beyond a double are infinite. Strings may hold half of a surrogate
    pair: ``is_text`` tells.

    Raises:
        NotJson: it is not JSON, not UTF-8, or nested deeper than Python goes.
    """
    text = _text(data)
    value, end = _value_at(text, 0)
    _check_end(text, end)
    return value


def decode_items(data: bytes) -> Iterator[tuple[Any, bytes]]:
    """Yield each value of the array in ``data`` with its own first bytes, as it is asked for.

    Raises:
        NotJson: as for ``decode``, and when it is not an array.
    """
    text = _text(data)
    position = skip_space(text, 0)
    if text[position : position + 1] != "[":
        raise NotJson(f"not JSON: '[' expected at byte {_byte(text, position)}")
    position = skip_space(text, position + 1)
    more = text[position : position + 1] != "]"
    while more:
        start = skip_space(text, position)
        value, position = _value_at(text, start)
        piece = text[start : min(position, start + PAYLOAD_LIMIT)].encode("utf-8", "replace")
        yield value, piece[:PAYLOAD_LIMIT]
        position = skip_space(text, position)
        more = text[position : position + 1] == ","
        position += more
    if text[position : position + 1] != "]":
        raise NotJson(f"not JSON: ',' or ']' expected at byte {_byte(text, position)}")
    _check_end(text, position + 1)


def is_text(value: str) -> bool:
    """Return True when ``value`` can be written as UTF-8: no half of a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def kind_of(value: object) -> str:
    """Name what ``value`` is, as JSON's grammar calls it, with an article."""
    for types, name in _KINDS:
        if isinstance(value, types):
            return name
    return "null"


_KINDS: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (bool, "a boolean"),
    ((int, float), "a number"),
    (str, "text"),
    (list, "an array"),
    (dict, "an object"),
)
