"""Ends connections that say nothing for too long: their peer may be gone without a word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class IdleWatch:
    """Calls ``end`` after ``limit`` seconds in which nothing was heard and nothing was under way.

    ``is_busy`` tells whether it is we who take our time.
    """

    __slots__ = ("_end", "_heard", "_is_busy", "_limit", "_loop", "_timer")

    def __init__(self, limit: float, is_busy: Callable[[], bool], end: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit = limit
        self._is_busy = is_busy
        self._end = end
        self._timer: asyncio.TimerHandle | None = None
        self._heard = self._loop.time()
        self._look()

    def hear(self) -> None:
        """Note that the peer has said something."""
        self._heard = self._loop.time()

    def cancel(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        left = self._heard + self._limit - self._loop.time()
        if self._is_busy():
            left = self._limit
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self._end()
