"""Which reading of which unit is sent next: those of one unit one after the other."""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from motehub.webhooks.gate import rest_after
from motehub.webhooks.outbox import Message

AT_ONCE: Final = 8
"""Messages of a lane that are read ahead."""

Load = Callable[[str, int], Sequence[Message]]
"""Returns the first messages of a lane in order, so many at most."""


class Lanes:
    """Gives out the first message of each lane in turn; threads share it.

    With ``fresh_only`` nothing is read ahead: what waits may be replaced by something newer.
    """

    def __init__(
        self,
        load: Load,
        *,
        fresh_only: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._at_once = 1 if fresh_only else AT_ONCE
        self._clock = clock
        self._changed = threading.Condition()
        # Each lane that may have messages is in exactly one of: ready, resting, under way.
        self._known: set[str] = set()
        self._ready: deque[str] = deque()
        self._resting: list[tuple[float, str]] = []
        self._ahead: dict[str, deque[Message]] = {}
        self._failures: dict[str, int] = {}

    def announce(self, lanes: Iterable[str]) -> None:
        """Say that messages may wait in these lanes."""
        with self._changed:
            for lane in lanes:
                if lane not in self._known:
                    self._known.add(lane)
                    self._ready.append(lane)
            self._changed.notify_all()

    def take(self, seconds: float) -> Message | None:
        """Return a message whose turn it is, or None when there is none within ``seconds``.

        Its lane gives out no other before ``done`` or ``failed`` is called with it.
        """
        deadline = self._clock() + seconds
        with self._changed:
            while True:
                now = self._clock()
                while self._resting and self._resting[0][0] <= now:
                    self._ready.append(heapq.heappop(self._resting)[1])
                while self._ready:
                    if message := self._first(self._ready.popleft()):
                        return message
                if now >= deadline:
                    return None
                until = min([deadline, *(when for when, _ in self._resting[:1])])
                self._changed.wait(max(0.0, until - now))

    def done(self, message: Message) -> None:
        """Go on in the lane after ``message``, which is over."""
        with self._changed:
            self._failures.pop(message.lane, None)
            ahead = self._ahead.get(message.lane)
            if ahead and ahead[0].id == message.id:
                ahead.popleft()
            self._ready.append(message.lane)
            self._changed.notify()

    def failed(self, message: Message) -> None:
        """Let the lane rest for a while, longer and longer; others go on."""
        lane = message.lane
        with self._changed:
            failures = self._failures[lane] = self._failures.get(lane, 0) + 1
            # Read anew then: it may have been given up meanwhile.
            self._ahead.pop(lane, None)
            heapq.heappush(self._resting, (self._clock() + rest_after(failures), lane))
            self._changed.notify()

    def hasten(self) -> None:
        """Let no lane rest any more."""
        with self._changed:
            self._ready += [lane for _, lane in sorted(self._resting)]
            self._resting.clear()
            self._changed.notify_all()

    def _first(self, lane: str) -> Message | None:
        ahead = self._ahead.get(lane)
        if not ahead:
            try:
                ahead = deque(self._load(lane, self._at_once))
            except BaseException:
                self._ready.append(lane)
                raise
            self._ahead[lane] = ahead
        if not ahead:
            self._known.discard(lane)
            del self._ahead[lane]
            return None
        if self._at_once == 1:
            del self._ahead[lane]
        return ahead[0]
