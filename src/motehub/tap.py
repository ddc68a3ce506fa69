"""Whether a connection is read: there are several reasons to stop for a while."""

from __future__ import annotations

import asyncio
from typing import Final

_LISTEN_SECONDS: Final = 1.0


class Tap:
    """Pauses and resumes the reading of ``transport``.

    ``is_choked`` says that the peer doesn't read what we write, ``is_resting`` that it says more
    than it may. ``deaf_until`` is until when (in the event loop's seconds) silence means nothing:
    we have not listened, or only just begun to.
    """

    __slots__ = ("_loop", "deaf_until", "is_choked", "is_closed", "is_resting", "transport")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.is_closed = False
        self.is_choked = False
        self.is_resting = False
        self.deaf_until = 0.0

    def close(self) -> None:
        """Read no more, for whatever reason."""
        if not self.is_closed and self.transport is not None:
            self.is_closed = True
            self.transport.pause_reading()

    def open(self) -> None:
        """Read again, unless there is another reason not to."""
        if self.is_closed and not (self.is_choked or self.is_resting) and self.transport:
            self.is_closed = False
            self.be_deaf()
            self.transport.resume_reading()

    def be_deaf(self) -> None:
        """Let the peer's silence up to now, and for a moment from now on, mean nothing."""
        self.deaf_until = self._loop.time() + _LISTEN_SECONDS
