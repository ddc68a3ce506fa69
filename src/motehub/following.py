"""How a consumer's process speaks with the hub that started it.

It reports in JSON lines on standard output (:class:`Report`). On its standard input the hub says
after each commit that the journal has something new (:data:`NEWS`), or what (:func:`notice`).
When that ends, because the hub stops or has died, it does what is left and exits.
"""

from __future__ import annotations

import os
import select
import signal
import struct
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from motehub.logs import set_up_logs

STORE_URL: Final = "MOTEHUB_STORE_URL"
"""Variable with the address of the store's server; the hub sets it, empty where there is none."""

MIRROR_SETTINGS: Final = "MOTEHUB_MIRROR_SETTINGS"
"""Variable with the settings of a mirror as JSON."""

HUB_ZONE: Final = "MOTEHUB_HUB_ZONE"
"""Variable with the hub's time zone, empty for the machine's."""

RETENTION_PLAN: Final = "MOTEHUB_RETENTION_PLAN"
"""Variable that says as JSON for how long what is kept."""

WEBHOOK_PLAN: Final = "MOTEHUB_WEBHOOK_PLAN"
"""Variable with what is sent where, as JSON."""

ALERT_PLAN: Final = "MOTEHUB_ALERT_PLAN"
"""Variable with how people are told of alerts, as JSON."""

NEWS: Final = b"\n"
"""What the hub writes when the journal has to be read."""

NOTICE_BYTES: Final = 16_384
"""Longest frame that the hub sends along; a longer one is read from the journal."""

_MOST_KEPT: Final = 16 * NOTICE_BYTES
_READ_BYTES: Final = 65_536
_FRAME: Final = b"F"
# the mark of a frame, its position, its length
_NOTICE: Final = struct.Struct("<cQI")
_HUB: Final = 0


class Undelivered(msgspec.Struct, frozen=True):
    """What does not arrive: ``kind`` is channel (of alerts), report or webhook, and has a name."""

    kind: str
    name: str
    reason: str


class Report(msgspec.Struct, frozen=True):
    """What a consumer tells the hub: its cursor, what it did, what keeps it from doing more.

    ``undelivered`` is what others do not get though they should, ``retention`` what the history's
    writer says of what it deletes.
    ``fatal`` is set when only the owner can help, for instance with a later motehub.
    """

    position: int
    counts: dict[str, int] = {}
    trouble: str | None = None
    fatal: bool = False
    retention: dict[str, Any] = {}
    undelivered: list[Undelivered] = []


def begin() -> None:
    """Leave it to the hub when this process ends, and set up its log."""
    # An interrupt from the terminal reaches this process too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    set_up_logs(sys.stderr)


def tell(report: Report) -> None:
    """Send a report to the hub, if it lives."""
    try:
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The hub is gone; standard input says so too, and what is left is done first.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell_all(
    position: int,
    counts: dict[str, int],
    trouble: str | None,
    undelivered: Sequence[tuple[str, str, str]],
) -> None:
    """Send the report of a consumer that tells others, of which some may not hear it."""
    found = [Undelivered(*one) for one in undelivered]
    tell(Report(position, counts, trouble, undelivered=found))


def notice(position: int, frame: bytes) -> bytes:
    """Return what the hub writes to send along a frame of at most NOTICE_BYTES bytes."""
    return _NOTICE.pack(_FRAME, position, len(frame)) + frame


class Notices:
    """Decodes what the hub writes, in whatever pieces it comes; keeps a bounded part of it."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._frames: list[tuple[int, bytes]] = []
        self._kept = 0
        self._complete = True

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._buffer += data
        start = 0
        while start < len(self._buffer):
            end = start + self._length(start)
            if end > len(self._buffer):
                break
            if end > start + _NOTICE.size:
                self._keep(start, end)
            else:
                self._complete = False
            start = end
        del self._buffer[:start]

    def take(self) -> list[tuple[int, bytes]] | None:
        """Return positions and frames of all that came since; None: the journal has to be read."""
        frames = self._frames if self._complete else None
        self._frames, self._kept, self._complete = [], 0, True
        return frames

    def _length(self, start: int) -> int:
        """Return how long the notice at ``start`` is, as far as its bytes tell."""
        if self._buffer[start : start + 1] != _FRAME:
            return 1
        if len(self._buffer) - start < _NOTICE.size:
            return _NOTICE.size
        _, _, length = _NOTICE.unpack_from(self._buffer, start)
        # What is not a hub's is passed over, byte by byte: it means at least that there is news.
        return _NOTICE.size + length if 0 < length <= NOTICE_BYTES else 1

    def _keep(self, start: int, end: int) -> None:
        if self._kept + end - start > _MOST_KEPT:
            self._complete = False
        if not self._complete:
            # Frames of which one is missing are of no use.
            self._frames.clear()
            return
        _, position, _ = _NOTICE.unpack_from(self._buffer, start)
        self._frames.append((position, bytes(self._buffer[start + _NOTICE.size : end])))
        self._kept += end - start


class Hub:
    """The hub at the other end of standard input; ``lives`` until that has ended."""

    def __init__(self) -> None:
        self.lives = True
        self._woken = False
        self._notices = Notices()

    def pause(self, seconds: float) -> None:
        """Wait for so long, or until the hub is gone; to be woken must wait."""
        deadline = time.monotonic() + seconds
        while self.lives and (rest := deadline - time.monotonic()) > 0:
            self._listen(rest)

    def wait(self, seconds: float) -> bool:
        """Wait for at most so long; tell whether the hub has woken this process or is gone."""
        if self.lives and not self._woken:
            self._listen(seconds)
        woken, self._woken = self._woken, False
        return woken or not self.lives

    def news(self) -> list[tuple[int, bytes]] | None:
        """Return the frames of which it told since; None when the journal has to be read."""
        frames = self._notices.take()
        return frames if self.lives else None

    def _listen(self, seconds: float) -> None:
        readable, _, _ = select.select([_HUB], [], [], seconds)
        if readable:
            data = os.read(_HUB, _READ_BYTES)
            self.lives = bool(data)
            self._woken = True
            self._notices.feed(data)
