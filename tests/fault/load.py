"""A device that sends as fast as it is let, and knows how far it got."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.harness import connect, records

CHUNK: Final = 500
"""Records that are sent in one go."""

FIRST: Final = 1_600_000_000
"""Unix seconds of the first record; the others follow a second apart."""


class Sender:
    """Sends distinct records from the address ``source`` until told to stop, or until ``most``.

    ``with`` starts it; leaving stops it and waits. ``sent`` counts records that the kernel has
    taken; ``failed`` is the error that ended it, if one did.
    """

    def __init__(
        self, port: int, ca: Path, source: str = "127.0.0.1", most: int = 10**6, pause: float = 0
    ) -> None:
        self.sent = 0
        self.failed: OSError | None = None
        self._connection = connect(port, ca, source, send_buffer=16_384)
        self._connection.settimeout(None)
        self._most = most
        self._pause = pause
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sender {source}")

    def __enter__(self) -> Self:
        """Begin to send."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop sending; after a failure break off, since the hub may take no more."""
        if kind is not None:
            self._enough.set()
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
        self.finish()

    def finish(self, seconds: float = 60) -> int:
        """Send the present chunk to its end, close, and return the number of records sent."""
        self._enough.set()
        self._thread.join(seconds)
        try:
            assert not self._thread.is_alive(), "the hub takes no more"
        finally:
            self._connection.close()
        return self.sent

    def stalls(self, seconds: float = 2.0, patience: float = 60.0) -> bool:
        """Tell whether it comes to a halt: nothing more is taken for ``seconds``."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and self._thread.is_alive():
            before = self.sent
            time.sleep(seconds)
            if self.sent == before and self._thread.is_alive():
                return True
        return False

    def _run(self) -> None:
        try:
            while self.sent < self._most and not self._enough.is_set():
                self._connection.sendall(records(FIRST + self.sent, CHUNK))
                self.sent += CHUNK
                time.sleep(self._pause)
        except OSError as error:
            self.failed = error
