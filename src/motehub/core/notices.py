"""What the owner is told of the hub itself, and how often.

In memory; what was told is state of the journal, and so nobody is told twice after a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from motehub.alerts.rule import Severity
from motehub.frames import Batch, HubNoticed
from motehub.logs import Logger
from motehub.model import MICROSECONDS

FIRST_REST: Final = 86_400
"""Seconds in which the owner is told of a matter once at most."""

LONGEST_REST: Final = 32 * FIRST_REST
"""What becomes of that while the matter goes on: it doubles each time, up to here."""

_NOTICE: Final = "notice/"

_logger = Logger("motehub.notices")


class Notice(msgspec.Struct, frozen=True):
    """A matter of a ``kind`` that is so now, in words; ``mark`` tells it from others of its kind.

    One without a mark goes on as long as it is so: the owner is told again.
    """

    kind: str
    severity: Severity
    text: str
    mark: str = ""


class Told(msgspec.Struct, frozen=True):
    """When the owner was told of a kind of matter (UTC µs), and for how long not again (s)."""

    time: int
    mark: str
    rest: int


class Door(Protocol):
    """The part of the journal that takes what nobody can wait for."""

    def put(self, batch: Batch) -> asyncio.Future[int]:
        """Make the batch durable."""
        ...


def told_of(state: Mapping[str, bytes]) -> dict[str, Told]:
    """Return by kind what the owner was told, as a journal keeps it."""
    return {
        key.removeprefix(_NOTICE): msgspec.json.decode(value, type=Told)
        for key, value in state.items()
        if key.startswith(_NOTICE)
    }


class Notices:
    """Tells the owner; ``clock`` returns UTC microseconds.

    Where there is somebody ``to_be_told``, ``needed`` is set before.
    """

    def __init__(
        self,
        told: Mapping[str, Told],
        journal: Door,
        clock: Callable[[], int],
        needed: asyncio.Event,
    ) -> None:
        self._told = dict(told)
        self._journal = journal
        self._clock = clock
        self._needed = needed
        self.to_be_told = False

    def say(self, notice: Notice) -> bool:
        """Tell the owner of a matter, unless that was done; return whether."""
        now = self._clock()
        rest = FIRST_REST
        if (last := self._told.get(notice.kind)) is not None:
            # By a clock that was set it may seem long ago, or to come.
            passed = abs(now - last.time) / MICROSECONDS
            if passed < last.rest or (notice.mark and notice.mark == last.mark):
                return False
            if passed < 2 * last.rest:
                rest = min(2 * last.rest, LONGEST_REST)
        if self.to_be_told:
            self._needed.set()
        batch = Batch()
        told = self._told[notice.kind] = Told(now, notice.mark, rest)
        batch.state[_NOTICE + notice.kind] = msgspec.json.encode(told)
        batch.entries.append(HubNoticed(notice.kind, notice.severity.value, now, notice.text))
        # Nobody waits for it: it may be about a journal that takes nothing.
        self._journal.put(batch).add_done_callback(_look_at)
        _logger.warning("the owner is told", kind=notice.kind, text=notice.text)
        return True


def _look_at(commit: asyncio.Future[int]) -> None:
    if not commit.cancelled() and (error := commit.exception()):
        _logger.warning("a notice is lost", reason=str(error))
