"""How a consumer's process speaks with the hub that started it.

It reports in JSON lines on standard output (:class:`Report`). A byte on its standard input wakes
it; when that ends, because the hub stops or has died, it does what is left and exits.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from typing import Final

import msgspec

from motehub.logs import set_up_logs

STORE_URL: Final = "MOTEHUB_STORE_URL"
"""Variable with the address of the store's server; the hub sets it, empty where there is none."""

MIRROR_SETTINGS: Final = "MOTEHUB_MIRROR_SETTINGS"
"""Variable with the settings of a mirror as JSON."""

_HUB: Final = 0


class Report(msgspec.Struct, frozen=True):
    """What a consumer tells the hub: its cursor, what it did, what keeps it from doing more.

    ``fatal`` is set when only the owner can help, for instance with a later motehub.
    """

    position: int
    counts: dict[str, int] = {}
    trouble: str | None = None
    fatal: bool = False


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


class Hub:
    """The hub at the other end of standard input; ``lives`` until that has ended."""

    def __init__(self) -> None:
        self.lives = True
        self._woken = False

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

    def _listen(self, seconds: float) -> None:
        readable, _, _ = select.select([_HUB], [], [], seconds)
        if readable:
            self.lives = bool(os.read(_HUB, 4096))
            self._woken = True
