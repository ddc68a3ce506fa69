"""A column of the line protocol's points while it grows."""

from __future__ import annotations

import math
from array import array
from typing import Any

from motehub.model import Clock, Samples, Texts
from motehub.points import Column
from motehub.protocols._line_protocol_point import FIRST_TIME, LAST_TIME


class Doubt(Exception):
    """Something was taken that must be looked at exactly."""


class OpenColumn:
    """A column under way."""

    __slots__ = ("clock", "device", "is_text", "lines", "metric", "stamps", "values")

    def __init__(self, device: str | None, metric: str, is_text: bool, clock: Clock) -> None:
        self.device, self.metric, self.is_text, self.clock = device, metric, is_text, clock
        self.values: list[Any] = []
        self.stamps: list[int] = []
        self.lines: list[int] = []

    def add(self, value: float | str, stamp: int | None, line: int) -> None:
        """Take one reading."""
        self.values.append(value)
        self.lines.append(line)
        if stamp is not None:
            self.stamps.append(stamp)

    def finish(self, now: int, times: tuple[int, int]) -> Column:
        """Return the column.

        Raises:
            Doubt: a time or a value is out of its range.
        """
        multiply, divide = times
        if len(self.lines) == 1 and not self.is_text:
            return self._finish_one(now, multiply, divide)
        if self.clock is Clock.HUB:
            micros = array("q", (now,)) * len(self.lines)
        else:
            first, last = (s * multiply // divide for s in (min(self.stamps), max(self.stamps)))
            if first < FIRST_TIME or last > LAST_TIME:
                raise Doubt
            micros = array("q", [stamp * multiply // divide for stamp in self.stamps])
        record: Samples | Texts
        if self.is_text:
            record = Texts(self.metric, micros, self.values, self.clock)
        else:
            if min(self.values) == -math.inf or max(self.values) == math.inf:
                raise Doubt
            record = Samples(self.metric, "", micros, array("d", self.values), self.clock)
        return Column(self.device, record, array("I", self.lines))

    def _finish_one(self, now: int, multiply: int, divide: int) -> Column:
        """Return the column of one number, as most are in a body of many series."""
        (value,) = self.values
        time = self.stamps[0] * multiply // divide if self.stamps else now
        if not FIRST_TIME <= time <= LAST_TIME or value in (math.inf, -math.inf):
            raise Doubt
        record = Samples(self.metric, "", array("q", (time,)), array("d", (value,)), self.clock)
        return Column(self.device, record, array("I", self.lines))
