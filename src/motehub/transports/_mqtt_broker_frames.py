"""MQTT inside WebSocket (§6, RFC 6455), the server's side: bytes and frames, no sockets.

The frames are those of the library ``websockets``, the part of it that does no I/O.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

HEAD_BYTES: Final = 16_384
"""Longest request line with headers."""

SUBPROTOCOL: Final = Subprotocol("mqtt")

ANY_ORIGIN: Final = "*"
"""Among the origins: pages from anywhere may connect."""

_DATA: Final = frozenset({Opcode.BINARY, Opcode.CONT})

# What strangers do wrong is said where the connection ends; the library would log each of them.
_silent: Final = logging.Logger("websockets", logging.CRITICAL + 1)


class WebSocket:
    """One connection, from the first byte of its HTTP request on.

    A message, in one frame or several, has at most ``message_limit`` bytes. ``origins`` are those
    of other sites whose pages may connect: browsers say which page it is, and let any page ask.
    The hub's own pages may, on whatever port, and so may clients that are no browsers.
    """

    def __init__(self, message_limit: int, origins: Sequence[str] = ()) -> None:
        # No extensions: compression costs memory for each connection and gains little here.
        # [MQTT-6.0.0-3], [MQTT-6.0.0-4]
        self._protocol = ServerProtocol(
            subprotocols=[SUBPROTOCOL], max_size=message_limit, logger=_silent
        )
        self._origins = frozenset(origins)
        self._head: bytearray | None = bytearray()
        self._fault = ""

    @property
    def is_open(self) -> bool:
        """Whether the handshake is done and nobody has begun to close."""
        return self._protocol.state is State.OPEN

    @property
    def is_over(self) -> bool:
        """Whether the connection has to be closed, once the output is written."""
        return self._protocol.eof_sent

    @property
    def reason(self) -> str:
        """Why it is over, in a few words."""
        protocol = self._protocol
        fault = protocol.handshake_exc or protocol.parser_exc
        said = str(fault).strip().rstrip(".") if fault is not None else ""
        return self._fault or said or "closed by the client"

    def receive(self, data: bytes) -> bytes:
        """Return the client's MQTT bytes that are in ``data``; packets may begin in any of them.

        [MQTT-6.0.0-2]: where frames begin and end means nothing.
        """
        if self.is_over:
            return b""
        if self._head is not None:
            rest = self._take_head(data)
            if not rest or not self.is_open:
                return b""
            data = rest
        self._protocol.receive_data(data)
        parts = []
        for event in self._protocol.events_received():
            assert isinstance(event, Frame)
            if event.opcode is Opcode.TEXT:
                # [MQTT-6.0.0-1]
                self._fail(CloseCode.UNSUPPORTED_DATA, "MQTT is in binary frames only")
                break
            if event.opcode in _DATA:
                parts.append(event.data)
        return b"".join(parts)

    def send(self, data: bytes) -> None:
        """Put MQTT packets into a frame, unless the connection is not open any more."""
        if self.is_open:
            self._protocol.send_binary(data)

    def close(self, code: CloseCode = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Begin to close: nothing more is sent."""
        if self.is_open:
            self._protocol.send_close(code, reason)

    def take_output(self) -> bytes:
        """Return all bytes that are to be written now."""
        return b"".join(self._protocol.data_to_send())

    def _take_head(self, data: bytes) -> bytes:
        """Answer the request once its head is here whole; return what is behind it.

        Only then: the library would take frames before it has agreed to them.
        """
        assert self._head is not None
        self._head += data
        end = self._head.find(b"\r\n\r\n") + 4
        if (end < 4 and len(self._head) >= HEAD_BYTES) or end > HEAD_BYTES:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self._reject(status, f"the request's head is longer than {HEAD_BYTES} bytes")
        if end < 4 or self.is_over:
            return b""
        head, rest = bytes(self._head[:end]), bytes(self._head[end:])
        self._head = None
        self._protocol.receive_data(head)
        for request in self._protocol.events_received():
            assert isinstance(request, Request)
            if self._is_foreign(request.headers):
                origin = request.headers.get_all("Origin")[0]
                self._reject(HTTPStatus.FORBIDDEN, f"pages from {origin:.100} may not connect")
            else:
                self._protocol.send_response(self._protocol.accept(request))
        return rest

    def _is_foreign(self, headers: Headers) -> bool:
        """Tell whether a page of another site asks; the library refuses two origins."""
        origins = headers.get_all("Origin")
        if not origins or ANY_ORIGIN in self._origins:
            return False
        if origins[0] in self._origins:
            return False
        hosts = headers.get_all("Host")
        own = _host(f"//{hosts[0]}") if len(hosts) == 1 else None
        return own is None or _host(origins[0]) != own

    def _reject(self, status: HTTPStatus, reason: str) -> None:
        self._fault = reason
        self._protocol.send_response(self._protocol.reject(status, f"{reason}\n"))

    def _fail(self, code: CloseCode, reason: str) -> None:
        self._fault = reason
        if not self.is_over:
            self._protocol.fail(code, reason)


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
