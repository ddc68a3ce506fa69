"""The ASGI application: ingest, a few plain answers, and the API behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from motehub.http_exchange import Request, Response, problem
from motehub.logs import Logger
from motehub.web.ingest import Gone, Ingest, Receive, Scope, request_of

SEND_SECONDS: Final = 60.0
"""Longest time in seconds that a client may take to read a piece of an answer."""

_SAFE: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]
Answer = Callable[[Request], Response]

_logger = Logger("motehub.web")


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
        except TimeoutError:
            _logger.info("client reads nothing", peer=request_of(scope, b"").peer)
            raise
        except Exception as error:
            # Whatever it is, the client gets an answer and the owner one line.
            _logger.error("request failed", path=scope["path"], fault=repr(error)[:500])
            if not bounded.started:
                fault = problem(500, "Fault of the hub", "The hub's log says what failed.")
                await reply(bounded, fault)

    async def _route(self, scope: Scope, receive: Receive, send: _Sender) -> None:
        method, path = scope["method"], scope["path"]
        if method == "POST" and path in self._ingest_paths:
            await reply(send, await self._ingest.answer(scope, receive))
        elif answer := self._answers.get((method, path)):
            await reply(send, answer(request_of(scope, await _small_body(receive))))
        else:
            await self._api(scope, receive, send)


class _Sender:
    """Sends pieces of an answer, each within a time."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        self.started = True
        async with asyncio.timeout(SEND_SECONDS):
            await self._send(message)


async def reply(send: Send, response: Response) -> None:
    """Send a whole response."""
    length = (b"content-length", str(len(response.body)).encode())
    headers = [*response.headers, *_SAFE]
    if response.status != 204:
        headers.append(length)
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


async def _small_body(receive: Receive) -> bytes:
    """Read the body of a request that needs none: what is longer than 4 KiB is cut off."""
    body = b""
    while len(body) < 4096:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return body[:4096]
