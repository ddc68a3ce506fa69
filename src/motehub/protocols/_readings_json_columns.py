"""The columns of readings in JSON under way, and what their names and times may be."""

from __future__ import annotations

from array import array
from typing import Any, Final

from msgspec import UnsetType

from motehub import exact_json
from motehub.json_times import END, hint, parse, round_seconds
from motehub.model import MICROSECONDS, Clock, Samples, Texts
from motehub.points import Column

NAME_BYTES: Final = 128
"""Longest metric and device, in UTF-8 bytes."""

UNIT_BYTES: Final = 32
"""Longest unit, in UTF-8 bytes."""

SERIES: Final = 10_000
"""Most series, which are columns, in a body."""


class Fault(Exception):
    """Why an item can't be accepted."""


def micros(given: list[Any], kind: type, now: int) -> list[int]:
    """Return UTC µs of times that are all of the class ``kind``; those that are none are ``now``.

    Raises:
        NoTime: one is no time.
        OverflowError: one is too great for a double.
    """
    if kind is int:
        return [time * MICROSECONDS for time in given]
    if kind is str:
        return list(map(parse, given))
    if kind is float:
        return list(map(round_seconds, given))
    return [now] * len(given)


def clock_of(kind: type) -> Clock:
    """Return whose clock the times of the class ``kind`` are of."""
    return Clock.HUB if kind is UnsetType or kind is type(None) else Clock.DEVICE


def check_names(device: str | None, metric: str, unit: str) -> None:
    if not metric or not metric.isprintable() or len(metric.encode()) > NAME_BYTES:
        raise Fault(f"'metric' is not a name of 1 to {NAME_BYTES} printable bytes")
    if device is not None and not (device and exact_json.is_text(device)):
        raise Fault("'device' is not a name")
    if device is not None and len(device.encode()) > NAME_BYTES:
        raise Fault(f"'device' is longer than {NAME_BYTES} bytes")
    if unit and (not unit.isprintable() or len(unit.encode()) > UNIT_BYTES):
        raise Fault(f"'unit' is not a text of at most {UNIT_BYTES} printable bytes")


class _Target:
    """A column under way."""

    def __init__(self, device: str | None, metric: str, unit: str, is_text: bool, clock: Clock):
        self.device, self.metric, self.unit = device, metric, unit
        self.is_text, self.clock = is_text, clock
        self.times: list[int] = []
        self.values: list[Any] = []
        self.lines: list[int] = []
        self.groups = 0

    def column(self) -> Column:
        """Return the column, in the order of its lines.

        Raises:
            Fault: a time is out of bounds.
        """
        if self.groups > 1:
            order = sorted(range(len(self.lines)), key=self.lines.__getitem__)
            self.times = [self.times[p] for p in order]
            self.values = [self.values[p] for p in order]
            self.lines = [self.lines[p] for p in order]
        if self.clock is Clock.DEVICE and not (min(self.times) >= 0 and max(self.times) < END):
            raise Fault(f"'time' is not between 1970 and 2261{hint(max(self.times))}")
        times = array("q", self.times)
        record: Samples | Texts
        if self.is_text:
            record = Texts(self.metric, times, self.values, self.clock)
        else:
            values = array("d", self.values)
            record = Samples(self.metric, self.unit, times, values, self.clock)
        return Column(self.device, record, array("I", self.lines))


class Columns:
    """The columns of a body under way."""

    def __init__(self, now: int) -> None:
        self._now = now
        self._targets: dict[Any, _Target] = {}

    def find(self, device: str | None, metric: str, unit: str, kind: type, time: type) -> _Target:
        """Return the column of readings with these classes of value and time.

        Raises:
            Fault: it would be one too many.
        """
        clock = clock_of(time)
        is_text = kind is str
        key = (device, metric, "" if is_text else unit, is_text, clock)
        target = self._targets.get(key)
        if target is None:
            if len(self._targets) >= SERIES:
                raise Fault(f"more than {SERIES:,} series in one body")
            target = self._targets[key] = _Target(device, metric, unit, is_text, clock)
        return target

    def finish(self) -> list[Column]:
        """Return all columns.

        Raises:
            Fault: as for ``_Target.column``.
        """
        return [target.column() for target in self._targets.values()]
