"""The ASGI application: ingest, a few plain answers, and the API behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from motehub.http_exchange import Request, Response, problem
from motehub.logs import Logger, OccasionalLogger
from motehub.web.ingest import Gone, Ingest, Receive, Scope, request_of
from motehub.web.intake import http_date

SEND_SECONDS: Final = 60.0
"""Longest time in seconds that a client may take to read a piece of an answer."""

_SMALL: Final = 4_096
_SMALL_SECONDS: Final = 5.0

_SAFE: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]
Answer = Callable[[Request], Response]

_logger = Logger("motehub.web")
_occasional = OccasionalLogger(_logger)


class WebApplication:
    """Gives each request to whom it is for.

    ``ingest`` has the POST requests to ``ingest_paths``; ``answers`` are by method and path;
    ``api`` has all else.
    """

    def __init__(
        self,
        ingest: Ingest,
        ingest_paths: frozenset[str],
        answers: Mapping[tuple[str, str], Answer],
        api: Application,
    ) -> None:
        self._ingest = ingest
        self._ingest_paths = ingest_paths
        self._answers = answers
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; see the ASGI specification, "HTTP"."""
        if scope["type"] != "http":
            return
        bounded = _Sender(send)
        try:
            await self._route(scope, receive, bounded)
        except Gone:
            pass
        except Exception as error:
            if bounded.stalled:
                # The server closes the connection, and aborts it when that takes long.
                _occasional.info("client reads nothing", peer=request_of(scope, b"").peer)
                return
            # Whatever it is, the client gets an answer and the owner one line.
            _logger.error("request failed", path=scope["path"], fault=repr(error)[:500])
            if not bounded.started:
                fault = problem(500, "Fault of the hub", "The hub's log says what failed.")
                await reply(bounded, fault)

    async def _route(self, scope: Scope, receive: Receive, send: _Sender) -> None:
        method, path = scope["method"], scope["path"]
        wanted = "GET" if method == "HEAD" else method
        if method == "POST" and path in self._ingest_paths:
            await reply(send, await self._ingest.answer(scope, receive))
        elif answer := self._answers.get((wanted, path)):
            await reply(send, answer(request_of(scope, await _small_body(receive))))
        else:
            await self._api(scope, receive, send)


class _Sender:
    """Sends pieces of an answer, each within a time, and the date (RFC 9110 § 6.6.1)."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False
        self.stalled = False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"date", http_date())]
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._send(message)
        except TimeoutError:
            self.stalled = True
            raise
        self.started = True


async def reply(send: Send, response: Response) -> None:
    """Send a whole response."""
    length = (b"content-length", str(len(response.body)).encode())
    headers = [*response.headers, *_SAFE]
    if response.status != 204:
        headers.append(length)
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


async def _small_body(receive: Receive) -> bytes:
    """Read the body of a request that needs none, as far as it is here soon; 4 KiB at most.

    Raises:
        Gone: the client went away.
    """
    body = b""
    more = True
    while more and len(body) < _SMALL:
        try:
            async with asyncio.timeout(_SMALL_SECONDS):
                message = await receive()
        except TimeoutError:
            break
        if message["type"] == "http.disconnect":
            raise Gone
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body[:_SMALL]
