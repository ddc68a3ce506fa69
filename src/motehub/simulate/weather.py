"""Plausible climate and light: a daily wave, a slow drift and the noise of a cheap sensor."""

from __future__ import annotations

import math
import random
from typing import Final

DAY: Final = 86_400.0
"""Seconds in a day."""

DRIFT_TIME: Final = 6 * 3_600.0
"""How long the drift remembers where it was, in seconds."""


class Room:
    """The climate of one room as a DHT11 sees it; ``rng`` decides which room.

    The sensor tells relative humidity in whole percent and temperature in tenths of °C.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._temperature = rng.uniform(17.0, 24.0)
        self._humidity = rng.uniform(40.0, 60.0)
        self._warmest = rng.uniform(13.0, 17.0) / 24
        self._drift = 0.0
        self._measured: float | None = None

    def measure(self, time: float) -> tuple[float, float]:
        """Return relative humidity (%) and temperature (°C) at ``time`` (seconds since 1970).

        Moments may also follow each other backwards, from now into the past.
        """
        self._move_drift(time)
        wave = math.cos(2 * math.pi * (time / DAY - self._warmest))
        temperature = self._temperature + 2.5 * wave + self._drift + self._rng.gauss(0, 0.05)
        # Warmer air of the same water content is drier.
        humidity = self._humidity - 6 * wave - 2 * self._drift + self._rng.gauss(0, 0.3)
        # What the sensor can tell: 20 to 90 %, 0 to 50 °C.
        return (
            float(round(min(90.0, max(20.0, humidity)))),
            round(min(50.0, max(0.0, temperature)), 1),
        )

    def _move_drift(self, time: float) -> None:
        """Let the drift wander by the time that passed, and back to 0 in the long run."""
        passed = 0.0 if self._measured is None else abs(time - self._measured)
        self._measured = time
        kept = math.exp(-passed / DRIFT_TIME)
        self._drift = self._drift * kept + self._rng.gauss(0, 0.8) * math.sqrt(1 - kept * kept)


class Light:
    """What a photoresistor near a window tells; ``rng`` decides which window."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._brightest = rng.uniform(11.0, 15.0) / 24

    def measure(self, time: float) -> int:
        """Return the light at ``time`` (seconds since 1970), in whole percent."""
        wave = math.cos(2 * math.pi * (time / DAY - self._brightest))
        return round(min(100.0, max(0.0, 45 + 45 * wave + self._rng.gauss(0, 3))))
