"""When the hub was there: of what it could not take, no device has lost anything.

The journal is the record. Its newest frame, which is never trimmed, tells when the hub was there
last; where nothing comes, it gets an empty frame now and then. What was between that and the
next start is noted in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from motehub.core.journal import Journal
from motehub.frames import Batch, HubAway
from motehub.model import MICROSECONDS

LOOK_SECONDS: Final = 15.0
"""How often it looks."""

BEAT_SECONDS: Final = 45.0
"""After so long without any other, the journal gets an empty frame."""

AWAY_SECONDS: Final = 60.0
"""The hub was not there if so much time is between two looks: the machine was asleep."""

LEAST_SECONDS: Final = 1.0
"""A shorter time is none."""

AWAY_SINCE: Final = "hub/away_since"
"""Key of the journal's state: since when no hub has run, if there are frames of later."""


ZONE: Final = "hub/time_zone"
"""Key of the journal's state: ``[hub] time_zone`` of the hub that ran last."""


def last_zone(state: Mapping[str, bytes]) -> str:
    """Return the name of the zone of the hub that ran last; empty for the machine's."""
    return state.get(ZONE, b"").decode()


def last_there(state: Mapping[str, bytes], newest: int | None) -> int | None:
    """Return when a hub ran last (µs), if one did, by state and newest frame of its journal."""
    mark = state.get(AWAY_SINCE)
    return newest if mark is None else int(mark)


def unattended(last: int | None) -> Callable[[Batch], None]:
    """Return what notes in each batch that no hub has run since ``last`` (µs).

    A command that writes to the journal by itself is none: it takes no readings of devices.
    """

    def annotate(batch: Batch) -> None:
        if last is not None:
            batch.state[AWAY_SINCE] = str(last).encode()

    return annotate


class Attendance:
    """Keeps the record; ``last`` is when a hub ran last (µs), ``clock`` the time in UTC µs.

    ``zone`` is the name of the hub's zone, which commands need when it does not run.
    """

    def __init__(
        self, journal: Journal, clock: Callable[[], int], last: int | None, zone: str = ""
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._last = last
        self._zone = zone
        self._head = self._changed = 0
        self._beat: asyncio.Future[int] | None = None
        self._seen = clock()

    def begin(self) -> None:
        """Note for how long no hub was there: from now on, this one is."""
        now = self._seen = self._changed = self._clock()
        if self._last is None and not self._zone:
            return
        batch = self._away(now if self._last is None else self._last, now)
        batch.state[AWAY_SINCE] = None
        batch.state[ZONE] = self._zone.encode()
        self._put(batch)

    async def keep(self) -> None:
        """Look again and again."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Note that the hub is there, and that it was not, if no time has been for that."""
        now, head = self._clock(), self._journal.health.head
        if not -LEAST_SECONDS <= (now - self._seen) / MICROSECONDS < AWAY_SECONDS:
            # A clock that was set back also says that nothing is true of what is to come.
            self._put(self._away(self._seen, now))
            self._changed = now
        elif head != self._head:
            self._head, self._changed = head, now
        elif (now - self._changed) / MICROSECONDS >= BEAT_SECONDS:
            self._put(Batch())
        self._seen = now

    def end(self) -> None:
        """Note that the hub was there until now."""
        if self._journal.held_back is None:
            self._put(Batch())

    def _away(self, since: int, until: int) -> Batch:
        batch = Batch()
        if abs(until - since) / MICROSECONDS >= LEAST_SECONDS:
            batch.entries.append(HubAway(min(since, until), until))
        return batch

    def _put(self, batch: Batch) -> None:
        """Have the batch written some time; an empty one only if none waits."""
        if not batch and self._beat is not None and not self._beat.done():
            return
        self._beat = self._journal.put(batch)
        # Nobody waits for it: a hub that can't write says so of what people and devices send.
        self._beat.add_done_callback(lambda done: done.cancelled() or done.exception())
