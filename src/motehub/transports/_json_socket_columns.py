"""What the objects of one read of a JSON socket say, as columns, and what became of each."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from motehub.model import Clock, Receipt, Record, RefusedRecord, Samples, Texts
from motehub.protocols.json_objects import Broken, JsonObject, Value

FEW: Final = 8
"""Fewer objects than this in a read are not worth being looked at together."""

Key = str | None
"""The outer key of nested fields; None for flat ones, which are of the certificate's device."""

Place = tuple[Key, str, bool]
"""Where a value belongs: the key of its device, its metric, and whether it is a text."""

Refusals = Mapping[Place, Sequence[RefusedRecord]]
"""Which values the hub would not take, by place."""


class Outcomes:
    """What the objects of one read came to before the hub saw them, and of what they spoke.

    Kept as columns: under a flood there are many of them, and they wait for the commit.
    """

    def __init__(self) -> None:
        self._offsets = array("q")
        self._stored = array("q")
        self._places: list[tuple[Place, ...]] = []
        self._same: dict[tuple[Place, ...], tuple[Place, ...]] = {}
        self._errors: dict[int, str] = {}

    def add(self, offset: int, error: str | None, places: tuple[Place, ...]) -> None:
        """Note the outcome of the next object; ``places`` are those of the values taken."""
        if error is not None:
            self._errors[len(self._offsets)] = error
        self._offsets.append(offset)
        self._stored.append(len(places))
        self._places.append(self._same.setdefault(places, places))

    def repeat(self, offsets: array[int]) -> None:
        """Note for objects at ``offsets`` what became of the last one, which was without error."""
        self._offsets.extend(offsets)
        self._stored.extend(self._stored[-1:] * len(offsets))
        self._places += self._places[-1:] * len(offsets)

    def lines(self, refused: Refusals) -> bytes:
        """Return the acknowledgements: a line of JSON for each object."""
        if not self._errors and not refused:
            return b"".join(map(_stored_line, self._stored))
        seen: Counter[Place] = Counter()
        return b"".join(self._line_of(n, refused, seen) for n in range(len(self._offsets)))

    def _line_of(self, number: int, refused: Refusals, seen: Counter[Place]) -> bytes:
        """Return the line of an object; ``seen`` counts the values of all before it by place."""
        error = self._errors.get(number)
        for place in self._places[number]:
            index = seen[place]
            seen[place] += 1
            for one in refused.get(place, ()):
                if one.start <= index and (one.stop is None or index < one.stop):
                    error = error or one.reason
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

    def refusals(self, receipts: Mapping[Key, Receipt]) -> dict[Place, list[RefusedRecord]]:
        """Return which values the hub would not take, from the receipts of all devices."""
        found: dict[Place, list[RefusedRecord]] = {}
        for device, receipt in receipts.items():
            if receipt.refused:
                # In the order of the records.
                places: list[Place] = [(*one, False) for one in self.numbers if one[0] == device]
                places += [(*one, True) for one in self.texts if one[0] == device]
                for one in receipt.refused:
                    if one.record < len(places):
                        found.setdefault(places[one.record], []).append(one)
        return found

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
