"""JSON objects of metrics: read exactly, and flattened to single values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from motehub import exact_json, json_times
from motehub.mqtt_meaning.values import TEXT_BYTES, NoReading

DEPTH: Final = 8
"""Objects and arrays inside one another, the outer one counted."""

MEMBERS: Final = 1_000
"""Most values of a message."""

_decode: Final = msgspec.json.Decoder().decode
_flat: Final = msgspec.json.Decoder(list[dict[str, float]]).decode
_SEAM: Final = b",\n"
_STEP: Final = re.compile(
    r"""\.(?P<key>[^.\[\]'"\s]+)|\[(?P<position>[0-9]{1,6})\]|\[(?P<quote>['"])(?P<quoted>[^'"]+)(?P=quote)\]"""
)
_REFUSED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def columns_of(payloads: Sequence[bytes]) -> dict[str, list[float]] | None:
    """Return the values by key, if the payloads are objects of the same keys and only numbers.

    None when one of them has to be looked at by itself.
    """
    for payload in payloads:
        if payload[:1] != b"{" or payload[-1:] != b"}":
            return None
    text = b"[%b]" % _SEAM.join(payloads)
    try:
        objects = _flat(text)
    except _REFUSED:
        return None
    # There is no newline in a JSON string, and no object in one of these: so each payload is one
    # object at least, and as many quotes as the keys need mean that no key occurs twice.
    keys = set(map(tuple, objects))
    if len(objects) != len(payloads) or len(keys) > 1:
        return None
    (names,) = keys
    if not names or text.count(b'"') != 2 * len(names) * len(objects):
        return None
    return {name: [one[name] for one in objects] for name in names}


def decode_object(payload: bytes) -> dict[str, Any]:
    """Return the object that a payload is.

    Raises:
        NoReading: it is none, a key occurs twice in it, or it is nested too deep.
    """
    fields = decode_json(payload)
    if not isinstance(fields, dict):
        raise NoReading(f"{exact_json.kind_of(fields)} where an object is expected")
    return fields


def decode_json(payload: bytes) -> Any:
    """Return the value that a payload is in JSON.

    Raises:
        NoReading: as for ``decode_object``.
    """
    try:
        value = _decode(payload)
    except _REFUSED:
        return _decode_exactly(payload)
    # A key that occurs twice is decoded once, but its quotes are there; quotes inside strings
    # only make them more.
    if payload.count(b'"') != _quotes(value, DEPTH):
        return _decode_exactly(payload)
    return value


def _decode_exactly(payload: bytes) -> Any:
    try:
        value = exact_json.decode(payload)
    except exact_json.NotJson as error:
        raise NoReading(str(error)) from None
    _check_keys(value, DEPTH)
    return value


def _quotes(value: Any, depth: int) -> int:
    """Return how many quotes the strings in ``value`` need."""
    kind = value.__class__
    if kind is str:
        return 2
    if kind is dict:
        _check_depth(depth)
        return 2 * len(value) + sum([_quotes(one, depth - 1) for one in value.values()])
    if kind is list:
        _check_depth(depth)
        return sum([_quotes(one, depth - 1) for one in value])
    return 0


def _check_keys(value: Any, depth: int) -> None:
    if isinstance(value, exact_json.Repeated):
        raise NoReading(f"the key {value.key[:40]!r} occurs twice")
    if isinstance(value, dict | list):
        _check_depth(depth)
        for one in value.values() if isinstance(value, dict) else value:
            _check_keys(one, depth - 1)


def _check_depth(depth: int) -> None:
    if not depth:
        raise NoReading(f"nested deeper than {DEPTH} levels")


def members(fields: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every value in ``fields`` that is no object, with the keys that lead to it."""
    for key, value in fields.items():
        if isinstance(value, dict):
            for path, inner in members(value):
                yield (key, *path), inner
        else:
            yield (key,), value


def parse_path(text: str) -> tuple[str | int, ...]:
    """Return the steps of a path such as ``sensors[0].temperature`` or ``$.a["b c"]``.

    Raises:
        ValueError: it is none.
    """
    steps: list[str | int] = []
    rest = text.strip().removeprefix("$")
    # The first key may stand without a dot.
    rest = rest if rest[:1] in (".", "[") else f".{rest}"
    while rest:
        step = _STEP.match(rest)
        if not step:
            raise ValueError(f"{text!r:.80} is no path such as sensors[0].temperature")
        steps.append(int(step["position"]) if step["position"] else step["key"] or step["quoted"])
        rest = rest[step.end() :]
    return tuple(steps)


def at_path(value: Any, path: tuple[str | int, ...]) -> Any:
    """Return what keys and positions lead to.

    Raises:
        LookupError: there is nothing.
    """
    for step in path:
        if not isinstance(value, dict if isinstance(step, str) else list):
            # In an empty one there is nothing either.
            value = {}
        value = value[step]
    return value


def reading_of(value: Any) -> float | str:
    """Return the reading that a value in JSON is: a number, a boolean as 1 or 0, or text.

    Raises:
        NoReading: it is none.
    """
    if isinstance(value, str):
        if not exact_json.is_text(value):
            raise NoReading("is text with half of a surrogate pair")
        if len(value.encode()) > TEXT_BYTES:
            raise NoReading(f"is text longer than {TEXT_BYTES:,} bytes")
        return value
    if not isinstance(value, float | int):
        raise NoReading(f"is {exact_json.kind_of(value)}, which is no reading")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise NoReading("is not a finite number")
    return number


def time_of(value: Any) -> int:
    """Return UTC µs of a time: ISO 8601 with an offset, or seconds since 1970.

    Raises:
        NoReading: it is none, has no zone, or is not between 1970 and 2261.
    """
    try:
        return json_times.time_of(value)
    except json_times.NoTime as fault:
        raise NoReading(str(fault)) from None
