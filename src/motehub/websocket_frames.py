"""WebSocket (RFC 6455), the server's side: bytes and frames, no sockets.

The frames are those of the library ``websockets``, the part of it that does no I/O.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from ipaddress import ip_address
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

MQTT: Final = "mqtt"
"""The subprotocol of MQTT, which is said in binary frames (§6)."""

ANY_ORIGIN: Final = "*"
"""Among the origins: pages from anywhere may connect."""

_OTHER: Final = {Opcode.BINARY: Opcode.TEXT, Opcode.TEXT: Opcode.BINARY}

# Of names that the public DNS does not have (RFC 2606, 6762, 8375; ICANN for the others).
_LOCAL: Final = (".local", ".localhost", ".home.arpa", ".internal", ".lan", ".home")

# What strangers do wrong is said where the connection ends; the library would log each of them.
_silent: Final = logging.Logger("websockets", logging.CRITICAL + 1)


class WebSocket:
    """One connection, from the first byte of its HTTP request on.

    A message, in one frame or several, has at most ``message_limit`` bytes. ``origins`` are those
    of other sites whose pages may connect: browsers say which page it is, and let any page ask.
    The hub's own pages may, on whatever port, and so may clients that are no browsers. A page
    that was loaded under a name counts as the hub's own only if nobody elsewhere can have that
    name, or it is one of ``names``: whoever has a name can let it mean the hub's address, after
    a browser has loaded the page (DNS rebinding).
    With a ``subprotocol`` clients must offer that and speak in binary frames; without one they
    speak in text.
    """

    __slots__ = (
        "_fault",
        "_head",
        "_kind",
        "_message",
        "_names",
        "_origins",
        "_protocol",
        "target",
    )

    def __init__(
        self,
        message_limit: int,
        origins: Sequence[str] = (),
        subprotocol: str | None = MQTT,
        names: Sequence[str] = (),
    ) -> None:
        # No extensions: compression costs memory for each connection and gains little here.
        # [MQTT-6.0.0-3], [MQTT-6.0.0-4]
        offered = [Subprotocol(subprotocol)] if subprotocol is not None else None
        self._protocol = ServerProtocol(
            subprotocols=offered, max_size=message_limit, logger=_silent
        )
        self._kind = Opcode.TEXT if subprotocol is None else Opcode.BINARY
        self._origins = frozenset(origins)
        self._names = names
        self._head: bytearray | None = bytearray()
        # One buffer: a list of fragments would grow with their number, and they may be empty.
        self._message: bytearray | None = None
        self._fault = ""
        self.target = ""
        """Path and query of the request, once that is here."""

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
        """Return the client's bytes that are in ``data``, where messages mean nothing.

        [MQTT-6.0.0-2]: packets may begin and end in any of them.
        """
        return b"".join([frame.data for frame in self._frames(data)])

    def receive_messages(self, data: bytes) -> list[bytes]:
        """Return the messages that ``data`` completes; whether a text is UTF-8 is not checked."""
        messages = []
        for frame in self._frames(data):
            if self._message is None and frame.fin:
                messages.append(bytes(frame.data))
                continue
            if self._message is None:
                self._message = bytearray()
            self._message += frame.data
            if frame.fin:
                messages.append(bytes(self._message))
                self._message = None
        return messages

    def send(self, data: bytes) -> None:
        """Put ``data`` into a frame, unless the connection is not open any more."""
        if not self.is_open:
            return
        if self._kind is Opcode.TEXT:
            self._protocol.send_text(data)
        else:
            self._protocol.send_binary(data)

    def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Begin to close: nothing more is sent."""
        if self.is_open:
            self._protocol.send_close(code, reason)

    def take_output(self) -> bytes:
        """Return all bytes that are to be written now."""
        return b"".join(self._protocol.data_to_send())

    def _frames(self, data: bytes) -> list[Frame]:
        """Return the data frames that ``data`` completes, and answer the others."""
        if self.is_over:
            return []
        if self._head is not None:
            rest = self._take_head(data)
            if not rest or not self.is_open:
                return []
            data = rest
        self._protocol.receive_data(data)
        frames = []
        for event in self._protocol.events_received():
            assert isinstance(event, Frame)
            if event.opcode is _OTHER[self._kind]:
                # [MQTT-6.0.0-1]
                wanted = self._kind.name.lower()
                self._fail(CloseCode.UNSUPPORTED_DATA, f"only {wanted} frames mean something here")
                break
            if event.opcode is self._kind or event.opcode is Opcode.CONT:
                frames.append(event)
        return frames

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
            self.target = request.path
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
        return own is None or _host(origins[0]) != own or not self._is_ours(own)

    def _is_ours(self, host: str) -> bool:
        """Tell whether ``host`` is an address, a name that no stranger can have, or the hub's."""
        if "." not in host or host.endswith(_LOCAL) or host in map(str.lower, self._names):
            return True
        try:
            ip_address(host)
        except ValueError:
            return False
        return True

    def _reject(self, status: HTTPStatus, reason: str) -> None:
        self._fault = reason
        self._protocol.send_response(self._protocol.reject(status, f"{reason}\n"))

    def _fail(self, code: CloseCode, reason: str) -> None:
        self._fault = reason
        if not self.is_over:
            self._protocol.fail(code, reason)


def text_frame(message: bytes) -> bytes:
    """Return a text in the frame in which every client of ``WebSocket`` gets it."""
    return Frame(Opcode.TEXT, message).serialize(mask=False)


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
