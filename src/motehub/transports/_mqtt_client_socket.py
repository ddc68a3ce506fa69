"""A socket for the driver, which reads byte by byte: each would cost a system call."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from typing import Final

from motehub.transports._mqtt_client_messages import Event, Released

_CHUNK: Final = 65_536
_PUBACK, _PUBREC, _PUBCOMP = 0x40, 0x50, 0x70
_OF_QOS: Final = {1: _PUBACK, 2: _PUBREC}


class ReadAhead:
    """A connected socket that reads in chunks; for the rest it is the one beneath."""

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner
        self._chunk = b""
        self._at = 0
        self.send = inner.send
        self.close = inner.close
        self.fileno = inner.fileno
        self.setblocking = inner.setblocking

    def recv(self, size: int) -> bytes:
        """Return at most ``size`` bytes, none at the end; raises what the socket raises."""
        if self._at >= len(self._chunk):
            self._chunk, self._at = self._inner.recv(_CHUNK), 0
        start = self._at
        self._at += size
        return self._chunk[start : self._at]

    def pending(self) -> int:
        """Return how many bytes can be read that the operating system does not know of."""
        ahead = max(0, len(self._chunk) - self._at)
        return ahead + (self._inner.pending() if isinstance(self._inner, ssl.SSLSocket) else 0)


def acknowledgements(events: Iterable[Event]) -> bytes:
    """Return the packets that answer ``events``: 4 bytes each, in both versions (§3.4.2.1)."""
    return b"".join(
        bytes((kind, 2, *divmod(one.packet_id, 256)))
        for one in events
        if (kind := _PUBCOMP if isinstance(one, Released) else _OF_QOS.get(one.qos))
    )
