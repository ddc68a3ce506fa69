"""Readings in JSON: one object, an array of them, or one on each line (NDJSON).

What an item may say is in ``docs/protocols/readings-json.md``. A body is decoded by one call in C
and taken column by column; only when something about it is unusual is each item looked at by
itself.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from motehub import exact_json
from motehub.exact_json import PAYLOAD_LIMIT
from motehub.json_times import END, NoTime, time_of
from motehub.model import Runs
from motehub.points import BadLine, Body, Column, make_runs
from motehub.protocols._readings_json_columns import (
    Columns,
    Fault,
    check_names,
    clock_of,
    micros,
)

BAD_LINES: Final = 1_000
"""Most bad lines of a body that are listed: with one more the body is given up."""

Key = tuple[str | UnsetType | None, str, str | UnsetType | None]
"""Device, metric and unit of an item as they are given."""

_KEYS: Final = frozenset({"device", "metric", "value", "time", "unit"})


class _Item(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    metric: str
    value: float | bool | str
    device: str | UnsetType | None = UNSET
    time: int | float | str | UnsetType | None = UNSET
    unit: str | UnsetType | None = UNSET


_one: Final = msgspec.json.Decoder(_Item)
_several: Final = msgspec.json.Decoder(list[_Item])
_REFUSED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

# How many quotes a member has whose value decodes to this class: those of the key, and of a text.
_QUOTES: Final = {UnsetType: 0, str: 4}
_QUOTES_WITHOUT_TEXT: Final = 2


def decode_readings(body: bytes, now: int, *, lines: bool, first_line: int = 1) -> Body:
    """Return what ``body``, which arrived at ``now`` (UTC µs), says.

    With ``lines`` each line is an item, blank ones apart; else the body is one item or an array.
    ``first_line`` is the number of the body's first line or item. The caller bounds the body.
    """
    items = _decode_lines(body) if lines else _decode_array(body)
    if items is not None:
        columns = _Groups(items, now).columns(body.count(b'"'), first_line)
        if columns is not None:
            return Body(columns, [], len(items))
    taking = _OneByOne(now)
    if lines:
        taking.take_lines(body, first_line)
        return taking.body()
    try:
        taking.take_document(body, first_line)
    except exact_json.NotJson as error:
        return Body([], [BadLine(first_line, body[:PAYLOAD_LIMIT], str(error))], 1)
    return taking.body()


def _decode_array(body: bytes) -> list[_Item] | None:
    try:
        return _several.decode(body) if body.lstrip()[:1] == b"[" else [_one.decode(body)]
    except _REFUSED:
        return None


def _decode_lines(body: bytes) -> list[_Item] | None:
    """Return the items if each is on a line of its own, and there are no other lines."""
    try:
        items = _one.decode_lines(body)
    except _REFUSED:
        return None
    # No item has braces inside, and no string a newline: so these seams are between items.
    seams = body.count(b"}\n{")
    newlines = body.count(b"\n") - body.endswith(b"\n")
    return items if seams == newlines == len(items) - 1 else None


def decode_known(body: bytes, now: int, series: Mapping[Key, int], *, lines: bool) -> Runs | None:
    """Return the same if it can be told quickly, or None: ask ``decode_readings`` then.

    It can where all items are numbers, and alike but for names, times and values. ``series`` has
    the id of each by device, metric and unit; where it raises KeyError for one, the answer is
    None. See ``read_key``.
    """
    items = _decode_lines(body) if lines else _decode_array(body)
    if not items:
        return None
    devices = [item.device for item in items]
    units = [item.unit for item in items]
    given = [item.time for item in items]
    device, unit, clock = type(devices[0]), type(units[0]), type(given[0])
    if len(items) > 1:
        for members in (devices, units, given):
            if len(set(map(type, members))) > 1:
                return None
    if len(items) * _quotes_of(device, unit, clock, float) != body.count(b'"'):
        return None
    try:
        metrics = [item.metric for item in items]
        known = list(map(series.__getitem__, zip(devices, metrics, units, strict=True)))
        numbers: list[Any] = [item.value for item in items]
        values = array("d", numbers)
        times = micros(given, clock, now)
    except (KeyError, TypeError, Fault, NoTime, OverflowError):
        # A TypeError stands for a text among the values.
        return None
    if not 0 <= min(times) <= max(times) < END:
        return None
    return make_runs(known, times, values, clock_of(clock))


def read_key(key: Key) -> tuple[str | None, str, str] | None:
    """Return device, metric and unit of a key of ``decode_known``; None: it has a fault."""
    device, metric, unit = None if key[0] is UNSET else key[0], key[1], key[2] or ""
    try:
        check_names(device, metric, unit)
    except Fault:
        return None
    return device, metric, unit


def _quotes_of(device: type, unit: type, time: type, value: type) -> int:
    """Return how many quotes an item has whose members decode to these classes."""
    return 6 + (
        _QUOTES.get(device, _QUOTES_WITHOUT_TEXT)
        + _QUOTES.get(unit, _QUOTES_WITHOUT_TEXT)
        + _QUOTES.get(time, _QUOTES_WITHOUT_TEXT)
        + 2 * (value is str)
    )


class _Groups:
    """Items that are alike in all but time and value, to be made into columns at once."""

    def __init__(self, items: list[_Item], now: int) -> None:
        self._now = now
        self._items = items
        self._groups: dict[Any, list[int]] = {}
        groups = self._groups
        for position, item in enumerate(items):
            key = (
                item.device,
                item.metric,
                item.unit,
                item.value.__class__,
                item.time.__class__,
            )
            try:
                groups[key].append(position)
            except KeyError:
                groups[key] = [position]

    def columns(self, quotes: int, first_line: int) -> list[Column] | None:
        """Return all readings, or None when one of them must be looked at by itself.

        ``quotes`` are those in the body. A key that occurs twice is decoded once, but it has
        quotes; quotes inside strings only make them more.
        """
        needed = 0
        for key, positions in self._groups.items():
            device, _, unit, kind, time = key
            needed += len(positions) * _quotes_of(device.__class__, unit.__class__, time, kind)
        if needed != quotes:
            return None
        columns = Columns(self._now)
        try:
            for key, positions in self._groups.items():
                self._add(key, positions, first_line, columns)
            return columns.finish()
        except (Fault, NoTime, OverflowError):
            return None

    def _add(self, key: Any, positions: list[int], first_line: int, columns: Columns) -> None:
        device, metric, unit, kind, time = key
        target = columns.find(device or None, metric, unit or "", kind, time)
        check_names(None if device is UNSET else device, metric, target.unit)
        target.groups += 1
        items: list[Any] = self._items
        if len(positions) < len(items):
            items = [items[p] for p in positions]
        target.times += micros([item.time for item in items], time, self._now)
        target.values += [item.value for item in items]
        target.lines += [first_line + p for p in positions]


class _OneByOne:
    """Takes items singly, and says what is wrong with those that can't be taken."""

    def __init__(self, now: int) -> None:
        self._now = now
        self._columns = Columns(now)
        self._bad: list[BadLine] = []
        self._count = 0
        self._unlisted = 0

    def body(self) -> Body:
        """Return what was taken."""
        return Body(self._columns.finish(), self._bad, self._count, self._unlisted)

    def take_lines(self, body: bytes, first_line: int) -> None:
        """Take each line of ``body`` as an item."""
        line, start = first_line, 0
        while start < len(body):
            end = body.find(b"\n", start)
            end = len(body) if end < 0 else end
            text = body[start:end].strip(b" \t\r") if end > start else b""
            start = end + 1
            if text and not self._take_line(line, text):
                unseen = body.count(b"\n", start) + (start < len(body) and body[-1:] != b"\n")
                self._count += unseen
                self._unlisted += unseen
                return
            line += 1

    def _take_line(self, line: int, text: bytes) -> bool:
        try:
            value = exact_json.decode(text)
        except exact_json.NotJson as error:
            return self._reject(line, text, str(error))
        return self._take(line, value, text)

    def take_document(self, body: bytes, first_line: int) -> None:
        """Take ``body`` as one item or an array of them.

        Raises:
            NotJson: it is neither; what was taken is to be forgotten.
        """
        if body.lstrip()[:1] != b"[":
            self._take(first_line, exact_json.decode(body), body)
            return
        for line, (value, text) in enumerate(exact_json.decode_items(body), first_line):
            if not self._take(line, value, text):
                # How many items follow is not known without decoding them.
                return

    def _take(self, line: int, item: Any, text: bytes) -> bool:
        """Take an item, or list why not; return False where that is one too many."""
        device = item.get("device") if isinstance(item, dict) else None
        try:
            self._add(line, item)
        except (Fault, NoTime) as fault:
            usable = isinstance(device, str) and device and exact_json.is_text(device)
            return self._reject(line, text, str(fault), device if usable else None)
        self._count += 1
        return True

    def _add(self, line: int, item: Any) -> None:
        if not isinstance(item, dict):
            raise Fault(f"{exact_json.kind_of(item)} where an object is expected")
        if isinstance(item, exact_json.Repeated):
            raise Fault(f"the key {item.key[:40]!r} occurs twice")
        for key in item:
            if key not in _KEYS:
                raise Fault(f"unknown key {key[:40]!r}; known are {', '.join(sorted(_KEYS))}")
        device, metric, unit = (_text_of(item, key) for key in ("device", "metric", "unit"))
        if metric is None:
            raise Fault("'metric' is missing")
        check_names(device, metric, unit or "")
        value, given = _value_of(item), item.get("time")
        time, clock = (self._now, UnsetType) if given is None else (time_of(given), int)
        target = self._columns.find(device, metric, unit or "", value.__class__, clock)
        target.times.append(time)
        target.values.append(value)
        target.lines.append(line)

    def _reject(self, line: int, text: bytes, reason: str, device: str | None = None) -> bool:
        self._count += 1
        if len(self._bad) >= BAD_LINES:
            self._unlisted += 1
            return False
        self._bad.append(BadLine(line, text[:PAYLOAD_LIMIT], reason, device))
        return True


def _text_of(item: dict[str, Any], key: str) -> str | None:
    text = item.get(key)
    if not isinstance(text, str | None):
        raise Fault(f"{key!r} is {exact_json.kind_of(text)} where a text is expected")
    return text


def _value_of(item: dict[str, Any]) -> float | str:
    if "value" not in item:
        raise Fault("'value' is missing")
    value = item["value"]
    if isinstance(value, str):
        if not exact_json.is_text(value):
            raise Fault("'value' has half of a surrogate pair")
        return value
    if not isinstance(value, float | int):
        raise Fault(f"'value' is {exact_json.kind_of(value)}, which is no reading")
    if not math.isfinite(value):
        raise Fault("'value' is not a finite number")
    return float(value)
