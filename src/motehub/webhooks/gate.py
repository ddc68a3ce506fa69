"""When an endpoint may be asked: not while it rests, and no faster than its owner allows."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from typing import Final

LONGEST_REST: Final = 60.0
"""Longest pause in seconds after failures, unless the endpoint asks for a longer one."""

LONGEST_ASKED: Final = 3_600.0
"""Longest pause that an endpoint can ask for, with ``Retry-After``."""

_FIRST_REST: Final = 1.0
_RATE_SECONDS: Final = 30.0


def rest_after(failures: int, jitter: Callable[[], float] = random.random) -> float:
    """Return the pause in seconds after so many failures in a row, 1 to 60 s, less up to half."""
    rest = min(LONGEST_REST, _FIRST_REST * 2.0 ** min(failures - 1, 16))
    return rest * (1 - jitter() / 2)


class Gate:
    """Lets threads ask an endpoint; after a failure none, then one, until it answers again.

    ``clock`` returns seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._closed_until = 0.0
        self._is_probed = False
        self.failures = 0
        """How many attempts failed in a row."""

    def enter(self, seconds: float) -> bool:
        """Wait up to ``seconds`` until the endpoint may be asked; tell whether it may.

        Who enters calls ``succeeded`` or ``failed`` afterwards, or ``leave``.
        """
        deadline = self._clock() + seconds
        with self._changed:
            while not self._may_enter():
                left = deadline - self._clock()
                if left <= 0:
                    return False
                opens = self._closed_until - self._clock()
                self._changed.wait(min(left, opens) if opens > 0 else left)
            self._is_probed = self.failures > 0
            return True

    def leave(self) -> None:
        """Say that the endpoint was not asked after all, or that it tells nothing about others."""
        with self._changed:
            self._is_probed = False
            self._changed.notify_all()

    def succeeded(self) -> int:
        """Let everybody in; return how many attempts had failed in a row."""
        with self._changed:
            failures, self.failures = self.failures, 0
            self._is_probed = False
            self._closed_until = 0.0
            self._changed.notify_all()
            return failures

    def failed(self, rest: float | None = None) -> None:
        """Let nobody in for a while, at least ``rest`` seconds if the endpoint asks for that."""
        with self._changed:
            now = self._clock()
            self._is_probed = False
            # Those who were in when it closed have met the same failure.
            if now >= self._closed_until:
                self.failures += 1
                asked = min(rest or 0.0, LONGEST_ASKED)
                self._closed_until = now + max(rest_after(self.failures), asked)
            self._changed.notify_all()

    def _may_enter(self) -> bool:
        return self._clock() >= self._closed_until and not self._is_probed


class Throttle:
    """Spaces what is late: ``rate`` a second, or half more than arrives, if that is more.

    With a fixed rate below that of the readings a backlog would never end.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._next = 0.0
        self._arriving = 0.0
        self._counted = clock()

    def arrived(self, count: int) -> None:
        """Note that so many have come that are not late."""
        with self._lock:
            now = self._clock()
            kept = 0.5 ** ((now - self._counted) / _RATE_SECONDS)
            self._counted = now
            self._arriving = self._arriving * kept + count * math.log(2) / _RATE_SECONDS

    def turn(self) -> float:
        """Take the next turn, and return in how many seconds it is."""
        with self._lock:
            now = self._clock()
            self._next = max(self._next, now)
            wait = self._next - now
            self._next += 1 / max(self._rate, 1.5 * self._arriving)
            return wait
