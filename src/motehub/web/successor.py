"""The ASGI server's side of a connection, with the bounds that it does not have itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from motehub.web.asgi import WebApplication
from motehub.web.front import HEAD_BYTES

_HEAD_SECONDS: Final = 30.0

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
            timeout_keep_alive=int(idle),
        )
        self._config.load()
        self._state = ServerState()

    def succeed(self, left: Callable[[], None]) -> BoundedHttp:
        """Return the protocol of a connection; ``left`` is called once that is lost."""
        return BoundedHttp(self._config, self._state, left)


class BoundedHttp(HttpToolsProtocol):
    """HTTP/1.1 with a longest head, which has to arrive in its time.

    See :class:`motehub.conversations.Successor`.
    """

    def __init__(self, config: Config, state: ServerState, left: Callable[[], None]) -> None:
        super().__init__(config, state, {})
        self._left = left
        self._head_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, transport: asyncio.Transport, data: bytes) -> None:
        """Take the connection, whose peer has said ``data`` already."""
        transport.set_protocol(self)
        self.connection_made(transport)
        self._time_head()
        self.data_received(data)

    def finish(self) -> None:
        """Complete the request that is under way, then close."""
        if not self.transport.is_closing():
            self.shutdown()

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, unless the head gets too long (RFC 6585 § 5)."""
        self._head_bytes += len(data)
        super().data_received(data)
        # Where the head ends is known only now, and how much of the piece in which it began is
        # its own never: that piece, of 256 KiB at most, is not counted.
        if self._timer is not None and self._head_bytes > HEAD_BYTES:
            self._refuse(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        """Begin to count and to time the head."""
        super().on_message_begin()
        self._time_head()

    def on_headers_complete(self) -> None:
        """Let the application have the request."""
        self._stop_timer()
        super().on_headers_complete()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep a half-closed connection open until its answer is written; TLS can't."""
        cycle: RequestResponseCycle | None = self.cycle
        if self.scheme == "https" or cycle is None or cycle.response_complete:
            return False
        cycle.keep_alive = False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application and the listener."""
        self._stop_timer()
        super().connection_lost(exc)
        self._left()

    def _time_head(self) -> None:
        self._head_bytes = 0
        self._stop_timer()
        self._timer = self.loop.call_later(_HEAD_SECONDS, self._refuse, b"408 Request Timeout")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: bytes) -> None:
        self._stop_timer()
        head = b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        self.transport.write(head)
        self.transport.close()
