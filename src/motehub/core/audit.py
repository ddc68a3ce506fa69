"""What people did: who changed what, when and how. Bounded, durable with the change itself.

A deed is begun before it is carried out, and noted in the first batch that comes of it, so that
there is no change without a note. The newest ``MOST_DEEDS`` are kept as state of the journal.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import msgspec

from motehub.frames import Batch

MOST_DEEDS: Final = 1_000
"""How many deeds are remembered."""

MOST_CHARACTERS: Final = 200
"""Longest subject and longest detail that are kept."""

_IN_STATE: Final = "audit/"

_encode = msgspec.msgpack.Encoder().encode


class Way(enum.Enum):
    """How somebody did something."""

    PAGE = "page"
    """In a browser, logged in."""
    TOKEN = "token"  # noqa: S105 - a word, not one
    """With a token, over the API."""
    COMMAND_LINE = "command line"
    """As the owner of the data folder."""


class DeedRow(msgspec.Struct, frozen=True):
    """What somebody did at a ``time`` (µs); ``number`` counts all of them.

    ``deed`` is what the API calls it, as ``rename_device``; ``subject`` to whom or what it was
    done, ``detail`` the rest in words, never a secret.
    """

    number: int
    time: int
    who: str
    way: Way
    deed: str
    subject: str
    detail: str


_decode = msgspec.msgpack.Decoder(DeedRow).decode


class Deed:
    """What somebody is about to do; it is noted once. ``who`` may be found out on the way."""

    __slots__ = ("deed", "detail", "noted", "subject", "way", "who")

    def __init__(self, who: str, way: Way, deed: str, subject: str = "", detail: str = "") -> None:
        self.who = who
        self.way = way
        self.deed = deed
        self.subject = subject
        self.detail = detail
        self.noted = False


_present: ContextVar[Deed | None] = ContextVar("deed", default=None)


def begin(deed: Deed | None) -> None:
    """Have the batches of this task noted as ``deed`` from now on, or as nobody's."""
    _present.set(deed)


@contextmanager
def doing(deed: Deed | None) -> Iterator[None]:
    """Have the batches of the block noted as ``deed``."""
    token = _present.set(deed)
    try:
        yield
    finally:
        _present.reset(token)


def done_by(who: str) -> None:
    """Say who does the present deed, where that was not known when it began."""
    deed = _present.get()
    if deed is not None:
        deed.who = who


def doer() -> str:
    """Return who does the present deed; empty where that is nobody's."""
    deed = _present.get()
    return "" if deed is None else deed.who


class Audit:
    """The newest deeds; ``clock`` returns UTC microseconds."""

    def __init__(self, deeds: Iterable[DeedRow], clock: Callable[[], int]) -> None:
        self._deeds = deque(sorted(deeds, key=lambda one: one.number), maxlen=MOST_DEEDS)
        self._clock = clock

    @classmethod
    def from_state(cls, state: Mapping[str, bytes], clock: Callable[[], int]) -> Audit:
        """Build the list from what a journal keeps for good."""
        kept = [_decode(value) for key, value in state.items() if key.startswith(_IN_STATE)]
        return cls(kept, clock)

    def newest(self, limit: int = MOST_DEEDS) -> list[DeedRow]:
        """Return the newest deeds, the very newest first."""
        return list(self._deeds)[: -limit - 1 : -1]

    def note(self, batch: Batch) -> None:
        """Put the present deed into a batch that comes of it, unless it is noted already."""
        deed = _present.get()
        if deed is None or deed.noted:
            return
        deed.noted = True
        number = self._deeds[-1].number + 1 if self._deeds else 1
        row = DeedRow(
            number,
            self._clock(),
            deed.who,
            deed.way,
            deed.deed,
            deed.subject[:MOST_CHARACTERS],
            deed.detail[:MOST_CHARACTERS],
        )
        self._deeds.append(row)
        # A deed takes the place of the one that is too old.
        batch.state[f"{_IN_STATE}{number % MOST_DEEDS:03}"] = _encode(row)
