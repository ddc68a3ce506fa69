"""How much is stored, and how long that takes: of late, for people who look."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from statistics import median
from typing import Final

SECONDS: Final = 10
"""Over how many seconds a rate is taken."""

COMMITS: Final = 200
"""Over how many commits the time is taken that one takes."""


class Pace:
    """Readings per second and the time of commits; ``clock`` returns seconds that go on evenly."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: deque[tuple[int, int]] = deque(maxlen=SECONDS + 1)
        self._durations: deque[float] = deque(maxlen=COMMITS)

    def note(self, readings: int, duration: float) -> None:
        """Count the readings of a commit that took ``duration`` seconds."""
        self._durations.append(duration)
        second = int(self._clock())
        if self._seconds and self._seconds[-1][0] == second:
            readings += self._seconds.pop()[1]
        self._seconds.append((second, readings))

    @property
    def readings_per_second(self) -> float:
        """Readings per second in the last whole seconds."""
        now = int(self._clock())
        return (
            sum(count for second, count in self._seconds if 0 < now - second <= SECONDS) / SECONDS
        )

    @property
    def commit_seconds(self) -> tuple[float, float] | None:
        """Median and longest time of the last commits; None before the first one."""
        if not self._durations:
            return None
        return median(self._durations), max(self._durations)
