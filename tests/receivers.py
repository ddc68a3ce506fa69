"""Receivers of webhooks: a real HTTP server, which does whatever a test tells it to."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, cast

from tests.harness import PATIENCE


class Received(NamedTuple):
    """A request as it came; names of headers are lower-case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


Behave = Callable[[Received], int]
"""Returns the status to answer with; 0 ends the connection without an answer."""


class Receiver:
    """Listens within the ``with`` block; ``behave`` decides each answer, 204 at first.

    ``refused`` is what a dashboard says of a refusal: ``unit`` when it is for that unit alone.
    ``hang`` keeps all requests waiting from when it is set until it is cleared.
    """

    def __init__(
        self,
        port: int = 0,
        certificate: tuple[Path, Path] | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self._wanted = host, port
        self._certificate = certificate
        self.received: list[Received] = []
        self.behave: Behave = lambda _: 204
        self.location = ""
        self.refused = ""
        self.retry_after = ""
        self.hanging = threading.Event()
        self._server: ThreadingHTTPServer
        self._lock = threading.Lock()
        self._connections = 0

    def __enter__(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                with receiver._lock:
                    receiver._connections += 1
                    self.number = receiver._connections

            def handle(self) -> None:
                with suppress(OSError):
                    super().handle()

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Received(self.command, self.path, headers, body, self.number)
                while receiver.hanging.is_set():
                    time.sleep(0.01)
                status = receiver.behave(request)
                with receiver._lock:
                    receiver.received.append(request)
                if not status:
                    self.close_connection = True
                    return
                self.send_response(status)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                if receiver.retry_after and status >= 400:
                    self.send_header("Retry-After", receiver.retry_after)
                if receiver.refused and status >= 400:
                    self.send_header("Motehub-Refused", receiver.refused)
                if status != 204:
                    self.send_header("Content-Length", "0")
                self.end_headers()

            do_POST = do_PUT = do_GET = answer  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 64

        self._server = Server(self._wanted, Handler)
        if self._certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self._certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.hanging.clear()
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(cast("tuple[str, int]", self._server.server_address)[1])

    @property
    def url(self) -> str:
        return f"{'https' if self._certificate else 'http'}://127.0.0.1:{self.port}"

    def wait(self, count: int, seconds: float = PATIENCE) -> list[Received]:
        """Return what came, once it is so much."""
        deadline = time.monotonic() + seconds
        while len(self.received) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(self.received)} of {count} came: {self.received[-3:]}")
            time.sleep(0.01)
        return list(self.received)
