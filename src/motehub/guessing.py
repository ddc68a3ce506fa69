"""Failed attempts to show who one is: how long each address has to wait for the answer to one.

Secrets are too long to be guessed. What has to be bounded is what trying costs: processor time,
and lines in the log. Whoever shows a good secret is never asked about here, so devices behind the
address of a guesser go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final

from motehub.logs import Logger, OccasionalLogger

FREE: Final = 20
"""Failures of an address at once that cost nothing: a device that is being set up, or a few."""

SECONDS_EACH: Final = 3.0
"""After so many seconds one failure is forgotten."""

FIRST_WAIT: Final = 0.25
LONGEST_WAIT: Final = 8.0
"""Seconds: doubled with each failure beyond those that are free."""

REMEMBERED: Final = 10_000
"""Addresses; beyond, those are forgotten that have failed the longest ago."""

# Whoever has an address of IPv6 has 2^64 of them.
_NETWORK_BITS: Final = 64
# Beyond that many, waiting gets no longer, and so does forgetting.
_MOST: Final = FREE + 8.0

_logger = OccasionalLogger(Logger("motehub.access"))


class Attempts:
    """Attempts by whoever makes them: ``free`` at once, then one every ``seconds``.

    Unlike with :class:`Guesses` one too many is not made at all: what is tried could be guessed.
    ``clock`` returns seconds that go on evenly.
    """

    def __init__(
        self, free: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._free = free
        self._seconds = seconds
        self._clock = clock
        # How many were made that are not forgotten, and when that was so; the newest last.
        self._made: dict[str, tuple[float, float]] = {}

    def wait(self, key: str) -> float:
        """Return the seconds until another attempt may be made; 0 is at once."""
        return max(0.0, (self._count(key) + 1 - self._free) * self._seconds)

    def begin(self, key: str) -> None:
        """Count an attempt."""
        count = self._count(key) + 1
        self._made.pop(key, None)
        if len(self._made) >= REMEMBERED:
            del self._made[next(iter(self._made))]
        self._made[key] = count, self._clock()

    def forgive(self, key: str) -> None:
        """Take an attempt back: it was a good one."""
        if key in self._made:
            count, since = self._made[key]
            self._made[key] = max(0.0, count - 1), since

    def _count(self, key: str) -> float:
        count, since = self._made.get(key, (0.0, 0.0))
        return max(0.0, count - (self._clock() - since) / self._seconds)


class Guesses:
    """The failures of late, by address; ``clock`` returns seconds that go on evenly."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # How many are not forgotten, and when that was so; the newest last.
        self._failures: dict[str, tuple[float, float]] = {}

    def failed(self, address: str) -> float:
        """Count a failed attempt from ``address``; return the seconds that it has to wait."""
        key = network_of(address)
        now = self._clock()
        before, since = self._failures.pop(key, (0.0, now))
        count = max(0.0, before - (now - since) / SECONDS_EACH) + 1
        if len(self._failures) >= REMEMBERED:
            del self._failures[next(iter(self._failures))]
        self._failures[key] = min(count, _MOST), now
        if count <= FREE:
            return 0.0
        if before <= FREE:
            _logger.warning("many failed attempts", peer=address, slowed_down=True)
        return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** int(count - FREE))


def network_of(address: str) -> str:
    """Return what stands for whoever has ``address``: of IPv6 the network."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    return str(IPv6Address(int(parsed) >> _NETWORK_BITS << _NETWORK_BITS))
