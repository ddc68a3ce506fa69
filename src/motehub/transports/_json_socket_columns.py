"""What the objects of one read of a JSON socket say, as columns, and what became of each."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from motehub.model import Clock, Receipt, Record, Samples, Texts
from motehub.protocols.json_objects import Broken, JsonObject, Value

FEW: Final = 8
"""Fewer objects than this in a read are not worth being looked at together."""

Key = str | None
"""The outer key of nested fields; None for flat ones, which are of the certificate's device."""


class Outcomes:
    """What the objects of one read came to before the hub saw them, and whom they spoke of.

    Kept as columns: under a flood there are many of them, and they wait for the commit.
    """

    def __init__(self) -> None:
        self._offsets = array("q")
        self._stored = array("q")
        self._keys: list[tuple[Key, ...]] = []
        self._same: dict[tuple[Key, ...], tuple[Key, ...]] = {}
        self._errors: dict[int, str] = {}

    def add(self, offset: int, stored: int, error: str | None, keys: tuple[Key, ...]) -> None:
        """Note the outcome of the next object."""
        if error is not None:
            self._errors[len(self._offsets)] = error
        self._offsets.append(offset)
        self._stored.append(stored)
        self._keys.append(self._same.setdefault(keys, keys))

    def repeat(self, offsets: array[int]) -> None:
        """Note for objects at ``offsets`` what became of the last one, which was without error."""
        self._offsets.extend(offsets)
        self._stored.extend(self._stored[-1:] * len(offsets))
        self._keys += self._keys[-1:] * len(offsets)

    def lines(self, receipts: Mapping[Key, Receipt]) -> bytes:
        """Return the acknowledgements: a line of JSON for each object."""
        refused = {key: receipt.reason for key, receipt in receipts.items() if not receipt.taken}
        if self._errors or refused:
            return b"".join(self._line_of(n, refused) for n in range(len(self._offsets)))
        return b"".join(map(_stored_line, self._stored))

    def _line_of(self, number: int, refused: Mapping[Key, str | None]) -> bytes:
        error = self._errors.get(number)
        for key in self._keys[number]:
            if error is None:
                error = refused.get(key)
        if error is None:
            return _stored_line(self._stored[number])
        answer = {"ok": False, "error": error, "offset": self._offsets[number]}
        return msgspec.json.encode(answer) + b"\n"


class Gathered:
    """What the objects of one read say, as columns by device and metric.

    ``others`` has an entry for every device; in it are the records that are no readings.
    ``appends`` takes the further numbers of a column that has begun, by device and metric.
    """

    def __init__(self, now: int) -> None:
        self._now = now
        self.appends: defaultdict[Key, dict[str, Callable[[float], None]]] = defaultdict(dict)
        self.numbers: dict[tuple[Key, str], array[float]] = {}
        self.texts: dict[tuple[Key, str], list[str]] = {}
        self.others: dict[Key, list[Record]] = {}

    def of(self, device: Key) -> list[Record]:
        """Return the records of ``device`` that are no readings, to append to."""
        return self.others.setdefault(device, [])

    def begin(self, device: Key, metric: str, value: Value) -> None:
        """Begin a column with its first value."""
        self.of(device)
        if isinstance(value, str):
            self.texts[device, metric] = [value]
        elif value is not None:
            values = self.numbers[device, metric] = array("d", (value,))
            self.appends[device][metric] = values.append

    def records(self, device: Key) -> list[Record]:
        """Return everything of ``device``, stamped with the time of arrival."""
        found: list[Record] = []
        for (name, metric), values in self.numbers.items():
            if name == device:
                found.append(Samples(metric, "", self._times(len(values)), values, Clock.HUB))
        for (name, metric), texts in self.texts.items():
            if name == device:
                found.append(Texts(metric, self._times(len(texts)), texts, Clock.HUB))
        return found + self.others[device]

    def _times(self, count: int) -> array[int]:
        return array("q", (self._now,)) * count


def columns_of(found: Sequence[JsonObject | Broken]) -> dict[tuple[Key, str], array[float]] | None:
    """Return the values of objects as columns, or None where they differ in more than numbers."""
    if len(found) < FEW or set(map(type, found)) != {JsonObject}:
        return None
    objects = [one.fields for one in found if isinstance(one, JsonObject)]
    columns: dict[tuple[Key, str], array[float]] = {}
    try:
        for outer in _common_keys(objects):
            values = [fields[outer] for fields in objects]
            inner = [value for value in values if isinstance(value, dict)]
            if not inner:
                columns[None, outer] = array("d", values)  # type: ignore[arg-type]
            elif len(inner) < len(values):
                return None
            else:
                for metric in _common_keys(inner):
                    columns[outer, metric] = array("d", [one[metric] for one in inner])  # type: ignore[misc]
    except (TypeError, _Unlike):
        # A text, null, or an object that has other keys.
        return None
    return columns


class _Unlike(Exception):
    """Objects have not the same keys."""


def _common_keys(objects: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    """Return the keys of all of the objects.

    Raises:
        _Unlike: they have not the same ones, in the same order.
    """
    shapes = set(map(tuple, objects))
    if len(shapes) > 1:
        raise _Unlike
    return shapes.pop()


@lru_cache(maxsize=256)
def _stored_line(stored: int) -> bytes:
    return b'{"ok":true,"stored":%d}\n' % stored
