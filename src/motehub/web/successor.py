"""The ASGI server's side of a connection: uvicorn's, given one bounded request at a time.

uvicorn parses whatever a read brings, and has no bound for the length of a head, of trailers or of
what is pipelined, nor for how long any of it may take. So requests are cut apart here first.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import re
from collections.abc import Callable
from typing import Final

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from motehub.web.asgi import WebApplication
from motehub.web.chunks import BadChunk, ChunkedBody
from motehub.web.front import HEAD_BYTES

_HEAD_SECONDS: Final = 30.0
_BODY_SECONDS: Final = 60.0
_WRITE_SECONDS: Final = 60.0
# How long a body is still read and thrown away after it was answered: a client that is cut off
# while it writes does not see the answer (RFC 9112 § 9.6).
_LINGER_SECONDS: Final = 10.0
_WATCH_SECONDS: Final = 5.0

_PIECE: Final = 16_384
_BACKLOG: Final = 16_384

_METHOD: Final = re.compile(rb"[A-Z]{1,20}( |$)")
# This server switches to no other protocol, which a client has to put up with (RFC 9110 § 7.8);
# the parser would stop behind the head.
_UPGRADE: Final = re.compile(rb"\r\n(?:upgrade|http2-settings)[ \t]*:[^\r\n]*", re.IGNORECASE)

# It logs requests that are no HTTP, and unhandled exceptions with their stack: the first any
# stranger can cause at will, the second are caught before they get there.
logging.getLogger("uvicorn").setLevel(logging.CRITICAL)


class AsgiServer:
    """Makes connections of the ASGI server; ``idle`` is how long one waits for a request (s)."""

    def __init__(self, application: WebApplication, idle: float) -> None:
        self._config = Config(
            application,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=max(1, int(idle)),
        )
        self._config.load()
        self._state = ServerState()

    def succeed(self, left: Callable[[], None]) -> BoundedHttp:
        """Return the protocol of a connection; ``left`` is called once that is lost."""
        return BoundedHttp(self._config, self._state, left)


class _Phase(enum.Enum):
    """Where a connection is in its present request."""

    HEAD = enum.auto()
    BODY = enum.auto()
    ANSWER = enum.auto()
    LAST = enum.auto()
    """Nothing more is taken."""


class _Flow(FlowControl):
    """Resumes reading only where the connection has room for what it would read."""

    def __init__(self, transport: asyncio.Transport, may_read: Callable[[], bool]) -> None:
        super().__init__(transport)
        self._may_read = may_read

    def resume_reading(self) -> None:
        """Read on, if there is room."""
        if self._may_read():
            super().resume_reading()


class BoundedHttp(HttpToolsProtocol):
    """HTTP/1.1 whose parser sees a request only when the one before has been answered.

    See :class:`motehub.conversations.Successor`.
    """

    def __init__(self, config: Config, state: ServerState, left: Callable[[], None]) -> None:
        super().__init__(config, state, {})
        self._left = left
        self._phase = _Phase.HEAD
        self._backlog = bytearray()
        self._ended = False
        self._body_left = 0
        self._chunks: ChunkedBody | None = None
        self._since = self._heard = self._head_since = self.loop.time()
        self._unwritten = 0
        self._written = self._since
        self._watch: asyncio.TimerHandle | None = None

    def begin(self, transport: asyncio.Transport, data: bytes, address: str | None = None) -> None:
        """Take the connection, whose peer has said ``data`` already.

        Each request of it says itself through whom it comes.
        """
        transport.set_protocol(self)
        self.connection_made(transport)
        self.flow = _Flow(transport, self._may_read)
        self._watch = self.loop.call_later(_WATCH_SECONDS, self._look_after)
        self.data_received(data)

    def finish(self) -> None:
        """Complete the request that is under way, then close."""
        if not self.transport.is_closing():
            self.shutdown()

    def data_received(self, data: bytes) -> None:
        """Keep what arrived until the parser may have it."""
        self._heard = self.loop.time()
        if self._phase is not _Phase.LAST:
            if not self._backlog:
                self._head_since = self._heard
            self._backlog += data
            self._advance()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep a half-closed connection open until all is answered; TLS can't."""
        self._ended = True
        asked = self._phase is _Phase.ANSWER or (self._phase is _Phase.HEAD and self._backlog)
        return bool(asked) and self.scheme != "https"

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers (RFC 9110 § 6.5) mean nothing here."""
        if self._phase is _Phase.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Let the application have the request, with its body to come."""
        super().on_headers_complete()
        self._phase = _Phase.BODY
        # The parser has made sure that there is one of the two at most, and that it is right.
        headers = dict(self.headers)
        self._chunks = ChunkedBody() if b"transfer-encoding" in headers else None
        self._body_left = int(headers.get(b"content-length", b"0"))

    def on_message_complete(self) -> None:
        """The request is here whole."""
        super().on_message_complete()
        self._phase = _Phase.ANSWER
        if self.cycle.response_complete:
            self._begin_next()

    def on_response_complete(self) -> None:
        """Go on with the next request, once the present one is here whole."""
        super().on_response_complete()
        self._since = self.loop.time()
        if self._phase is _Phase.ANSWER:
            self._begin_next()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application and the listener."""
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)
        self._left()

    def _begin_next(self) -> None:
        if self._phase is _Phase.ANSWER:
            self._phase = _Phase.HEAD
            self._since = self.loop.time()
            # Later, since the parser may be at work just now.
            self.loop.call_soon(self._advance)

    def _is_answered(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _may_read(self) -> bool:
        return self._phase is not _Phase.LAST and len(self._backlog) < _BACKLOG

    def _advance(self) -> None:
        """Give the parser as much as it may have now."""
        try:
            while self._backlog and not self.transport.is_closing():
                if self._phase is _Phase.HEAD:
                    if not self._take_head():
                        break
                elif self._phase is _Phase.BODY:
                    self._take_body()
                else:
                    break
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, BadChunk):
            self._refuse(b"400 Bad Request")
        if self._phase is _Phase.LAST:
            self._backlog.clear()
        if self._phase is _Phase.ANSWER and len(self._backlog) >= _BACKLOG:
            self.flow.pause_reading()
        elif self._phase is _Phase.HEAD and self._ended:
            self.transport.close()
        elif self._phase is _Phase.HEAD:
            self.flow.resume_reading()

    def _take_head(self) -> bool:
        """Parse the next head, if it is here whole."""
        start = len(self._backlog) - len(self._backlog.lstrip(b"\r\n"))
        del self._backlog[:start]
        if not self._backlog:
            return False
        end = self._backlog.find(b"\r\n\r\n", 0, HEAD_BYTES)
        if end < 0 and len(self._backlog) > HEAD_BYTES:
            self._refuse(b"431 Request Header Fields Too Large")
        elif not _METHOD.match(self._backlog[:21]):
            self._refuse(b"400 Bad Request")
        elif end >= 0:
            head = bytes(self._backlog[: end + 4])
            del self._backlog[: end + 4]
            self._unset_keepalive_if_required()
            self.parser.feed_data(_UPGRADE.sub(b"", head))
            return True
        return False

    def _take_body(self) -> None:
        """Parse what is here of the body, and nothing that is behind it."""
        piece = bytes(self._backlog[:_PIECE])
        if self._chunks is not None:
            piece = piece[: self._chunks.take(piece)]
            ended = self._chunks.ended
        else:
            piece = piece[: self._body_left]
            self._body_left -= len(piece)
            ended = not self._body_left
        del self._backlog[: len(piece)]
        self.parser.feed_data(piece)
        if ended is (self._phase is _Phase.BODY):
            # The parser sees another end: whose the next bytes are is in doubt.
            self._refuse(b"400 Bad Request")

    def _refuse(self, status: bytes) -> None:
        """Answer what is no request; inside another's answer there is nothing to say."""
        if self._is_answered():
            head = b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(head)
            self.transport.close()
        else:
            self.transport.abort()
        self._backlog.clear()
        self._phase = _Phase.LAST

    def _look_after(self) -> None:
        """End a connection on which nothing goes on any more."""
        self._watch = self.loop.call_later(_WATCH_SECONDS, self._look_after)
        now = self.loop.time()
        unwritten = self.transport.get_write_buffer_size()
        if not unwritten or unwritten < self._unwritten:
            self._written = now
        self._unwritten = unwritten
        if now - self._written > _WRITE_SECONDS:
            self.transport.abort()
        elif self._phase is _Phase.HEAD and self._backlog:
            if now - self._head_since > _HEAD_SECONDS:
                self._refuse(b"408 Request Timeout")
        elif self._phase is _Phase.HEAD:
            if now - self._since > self.timeout_keep_alive:
                self.transport.abort()
        elif self._phase is _Phase.BODY:
            answered = self._is_answered()
            limit = _LINGER_SECONDS if answered else _BODY_SECONDS
            if now - (self._since if answered else self._heard) > limit:
                self.transport.abort()
