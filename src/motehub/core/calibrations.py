"""What the owner makes of a sensor's numbers: offset, scale, valid range, and what is stored.

In memory; changes are state of the journal. The history gets calibrated values only.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from itertools import groupby
from typing import Final

import msgspec

from motehub.errors import InvalidProfile
from motehub.frames import Batch
from motehub.model import Samples, WrittenSamples

LONGEST_SPACING: Final = 86_400.0
"""Longest time in seconds in which nothing needs to be stored."""

_KEY: Final = "calibration/"

_encode = msgspec.msgpack.Encoder().encode


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the numbers of a series become values: ``scale`` * number + ``offset``.

    A value below ``low`` or above ``high`` is not valid and is rejected; None is no bound. All but
    ``scale`` are in the unit of the series.

    Of valid values those are not stored that come within ``spacing`` seconds of the last one that
    was, or differ from it by less than ``deadband``; see :mod:`motehub.core.sparing`.
    """

    offset: float = 0.0
    scale: float = 1.0
    low: float | None = None
    high: float | None = None
    deadband: float = 0.0
    spacing: float = 0.0

    @property
    def spares(self) -> bool:
        """Whether some values are not stored."""
        return self.deadband > 0 or self.spacing > 0

    def apply(self, numbers: array[float]) -> array[float]:
        """Return the values of ``numbers``."""
        if (self.offset, self.scale) == (0.0, 1.0):
            return numbers
        scale, offset = self.scale, self.offset
        return array("d", [scale * number + offset for number in numbers])

    def describe(self, unit: str) -> str:
        """Return what is done to numbers of a series in ``unit``, for people."""
        unit = f" {unit}" if unit else ""
        said = []
        if self.scale != 1.0:
            said.append(f"times {self.scale:g}")
        if self.offset:
            said.append(f"plus {self.offset:g}{unit}")
        if self.low is not None:
            said.append(f"at least {self.low:g}{unit}")
        if self.high is not None:
            said.append(f"at most {self.high:g}{unit}")
        if self.deadband:
            said.append(f"stored when it changes by {self.deadband:g}{unit}")
        if self.spacing:
            said.append(f"stored every {self.spacing:g} s at most")
        return ", ".join(said) or "as it is sent"

    def fault(self, value: float) -> str:
        """Return what is wrong with a value, without its metric; an empty text for nothing."""
        # An overflow would be none of a device's numbers, and the history has no infinity.
        if not math.isfinite(value):
            return "is too large a number when it is calibrated"
        if self.low is not None and value < self.low:
            return f"is below {self.low:g}, the least that is valid"
        if self.high is not None and value > self.high:
            return f"is above {self.high:g}, the most that is valid"
        return ""


AS_IT_IS = Calibration()
"""Numbers are values, all valid."""

_decode = msgspec.msgpack.Decoder(Calibration).decode


class Calibrations:
    """Calibrations by the ids of their series."""

    def __init__(self, calibrations: Mapping[int, Calibration] | None = None) -> None:
        self._calibrations = dict(calibrations or {})

    @classmethod
    def from_state(cls, state: Mapping[str, bytes]) -> Calibrations:
        """Return what a journal keeps for good."""
        return cls(
            {
                int(key.removeprefix(_KEY)): _decode(value)
                for key, value in state.items()
                if key.startswith(_KEY)
            }
        )

    def all(self) -> dict[int, Calibration]:
        """Return those of all series that are calibrated, by id."""
        return dict(self._calibrations)

    def of(self, series: int) -> Calibration | None:
        """Return that of the series with that id, if it is calibrated."""
        return self._calibrations.get(series)

    def put(self, batch: Batch, series: int, calibration: Calibration) -> None:
        """Let the numbers of a series be calibrated so."""
        if calibration == AS_IT_IS:
            self.forget(batch, series)
            return
        self._calibrations[series] = calibration
        batch.state[f"{_KEY}{series}"] = _encode(calibration)

    def forget(self, batch: Batch, series: int) -> None:
        """Let the numbers of a series be its values."""
        if self._calibrations.pop(series, None) is not None:
            batch.state[f"{_KEY}{series}"] = None


def spared_of(calibrations: Mapping[int, Calibration]) -> tuple[int, ...]:
    """Return the ids of the series of which not every value is stored."""
    return tuple(series for series, one in calibrations.items() if one.spares)


class Run(msgspec.Struct, frozen=True):
    """Neighbours among the readings of ``Samples``: the first, the first after them, and a fault.

    ``samples`` are their values if they have no fault, else the numbers that were sent.
    """

    start: int
    stop: int
    fault: str
    samples: Samples


def calibrate(samples: Samples, calibration: Calibration) -> list[Run]:
    """Part ``samples`` into runs that are valid, with their values, and runs that are not."""
    values = calibration.apply(samples.values)
    runs: list[Run] = []
    start = 0
    for fault, group in groupby(map(calibration.fault, values)):
        stop = start + sum(1 for _ in group)
        part = _part(samples, samples.values if fault else values, start, stop)
        runs.append(Run(start, stop, fault, part))
        start = stop
    return runs


def checked_calibration(calibration: Calibration) -> Calibration:
    """Return ``calibration`` if numbers can be calibrated so.

    Raises:
        InvalidProfile: they can't.
    """
    numbers = (calibration.offset, calibration.scale, calibration.low, calibration.high)
    if not all(math.isfinite(one) for one in numbers if one is not None):
        raise InvalidProfile("Offset, scale and bounds are finite numbers.")
    if not 0 <= calibration.deadband < math.inf:
        raise InvalidProfile("A deadband is a finite number, 0 for none.")
    if not 0 <= calibration.spacing <= LONGEST_SPACING:
        raise InvalidProfile("A spacing is at most a day, in seconds; 0 for none.")
    if calibration.scale == 0:
        raise InvalidProfile("A scale of 0 would make all values the same.")
    low, high = calibration.low, calibration.high
    if low is not None and high is not None and low >= high:
        raise InvalidProfile(f"The valid range begins at {low:g}, so it can't end at {high:g}.")
    return calibration


def _part(samples: Samples, values: array[float], start: int, stop: int) -> Samples:
    part = msgspec.structs.replace(
        samples, times=samples.times[start:stop], values=values[start:stop]
    )
    if isinstance(part, WrittenSamples):
        return msgspec.structs.replace(part, written=part.written[start:stop])
    return part
