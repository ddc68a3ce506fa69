"""Which readings the history need not store, as the owner has said of their series.

Whoever looks at readings as they come (pages, alerts, mirrors, webhooks) sees all of them. In
memory: after a start, the first reading of each series is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from motehub.core.calibrations import Calibration
from motehub.frames import Batch, Spared
from motehub.model import MICROSECONDS

STORED_EVERY: Final = 3_600
"""After so many seconds a reading is stored although it has not changed: it is no silence."""

_Reading = tuple[int, float]


class Sparing:
    """Judges readings in the order of their arrival."""

    def __init__(self) -> None:
        self._stored: dict[int, _Reading] = {}
        self._spared: dict[int, _Reading] = {}

    def note(
        self,
        batch: Batch,
        series: int,
        calibration: Calibration | None,
        times: Sequence[int],
        values: Sequence[float],
    ) -> None:
        """Note in ``batch``, which has these readings, what of them need not be stored."""
        if calibration is not None and calibration.spares:
            entry = self.judge(series, calibration, times, values)
            if entry is not None:
                batch.entries.append(entry)

    def judge(
        self, series: int, calibration: Calibration, times: Sequence[int], values: Sequence[float]
    ) -> Spared | None:
        """Say which of these readings need not be stored, and which earlier one must be after all.

        The last one before a change is stored with it, so that a line from reading to reading is
        where the values were. What is not later than the last one that was stored is always
        stored: it is late, and what is around it is not known.
        """
        spared: list[int] = []
        recalled: dict[int, float] = {}
        for time, value in zip(times, values, strict=True):
            stored = self._stored.get(series)
            if stored is not None and time <= stored[0]:
                continue
            if stored is not None and _is_like(calibration, stored, time, value):
                spared.append(time)
                self._spared[series] = max(self._spared.get(series, (time, value)), (time, value))
                continue
            before = self._spared.get(series)
            if before is not None and before[0] < time:
                del self._spared[series]
                if stored is not None and _is_change(calibration, stored, before, value):
                    recalled[before[0]] = before[1]
            self._stored[series] = (time, value)
        # What was spared a moment ago is in the same frame.
        here = recalled.keys() & set(spared)
        spared = [time for time in spared if time not in here]
        recalled = {time: value for time, value in recalled.items() if time not in here}
        if not spared and not recalled:
            return None
        return Spared(series, spared, list(recalled), list(recalled.values()))


def _is_change(calibration: Calibration, stored: _Reading, before: _Reading, value: float) -> bool:
    """Tell whether a value differs so from the last stored that the spared one says from when."""
    return stored[0] < before[0] and abs(value - stored[1]) >= calibration.deadband > 0


def _is_like(calibration: Calibration, stored: _Reading, time: int, value: float) -> bool:
    """Tell whether a reading says no more than the last one that was stored."""
    since = (time - stored[0]) / MICROSECONDS
    if since < calibration.spacing:
        return True
    return since < STORED_EVERY and abs(value - stored[1]) < calibration.deadband
