"""The ASGI application: ingest, a few plain answers, and the API behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final, Protocol

from motehub.guessing import Guesses
from motehub.http_exchange import Request, Response, problem
from motehub.logs import Logger, OccasionalLogger
from motehub.protocols.pusher.http_api import ApiRequest
from motehub.web.access import NO_PAGE
from motehub.web.bodies import BodyError
from motehub.web.ingest import Gone, Ingest, Receive, Scope, request_of
from motehub.web.intake import http_date, unless_guessed
from motehub.web.proxies import Proxies
from motehub.web.units_webhook import PREFIX, UnitsWebhook

SEND_SECONDS: Final = 60.0
"""Longest time in seconds that a client may take to read a piece of an answer."""

_SMALL: Final = 4_096
_SMALL_SECONDS: Final = 5.0

_SAFE: Final = {
    b"x-content-type-options": b"nosniff",
    b"cache-control": b"no-store",
    b"content-security-policy": NO_PAGE,
}

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]
Answer = Callable[[Request], Response]


class Pending(Protocol):
    """A request that may be made, whose body has ``body_limit`` bytes at most."""

    body_limit: int

    async def answer(self, body: bytes) -> Response:
        """Carry it out."""
        ...


class Branch(Protocol):
    """Has all requests to paths that begin as one of ``prefixes``."""

    @property
    def prefixes(self) -> tuple[str, ...]:
        """How the paths begin."""
        ...

    def begin(self, request: ApiRequest) -> Pending | Response:
        """Look at a request before its body is here; return why it is refused, or what goes on."""
        ...

    def dismiss(self) -> None:
        """Say goodbye to whoever is connected: the hub stops."""
        ...


_logger = Logger("motehub.web")
_occasional = OccasionalLogger(_logger)


class WebApplication:
    """Gives each request to whom it is for.

    ``ingest`` has the POST requests to ``ingest_paths``; ``answers`` are by method and path;
    ``branches`` have what is under their prefixes, ``units`` what base units send, ``api`` all
    else.
    """

    def __init__(
        self,
        ingest: Ingest,
        ingest_paths: frozenset[str],
        answers: Mapping[tuple[str, str], Answer],
        api: Application,
        branches: Sequence[Branch] = (),
        guesses: Guesses | None = None,
        units: UnitsWebhook | None = None,
        proxies: Proxies | None = None,
    ) -> None:
        self._ingest = ingest
        self._units = units
        self._ingest_paths = ingest_paths
        self._answers = answers
        self._api = api
        self._branches = {prefix: one for one in branches for prefix in one.prefixes}
        self._prefixes = tuple(self._branches)
        self._guesses = guesses or Guesses()
        self._proxies = proxies or Proxies(())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; see the ASGI specification, "HTTP"."""
        if scope["type"] != "http":
            return
        scope = self._proxies.behind(scope)
        client = scope.get("client")
        bounded = _Sender(send, client[0] if client else "", self._guesses)
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
        elif method == "PUT" and path.startswith(PREFIX) and self._units is not None:
            raw = scope.get("raw_path") or path.encode()
            asked = request_of(scope, b"")
            await reply(send, await self._units.answer(asked, raw.decode("latin-1")))
        elif path.startswith(self._prefixes):
            branch = next(self._branches[one] for one in self._prefixes if path.startswith(one))
            await reply(send, await self._ask(branch, scope, receive))
        else:
            await self._api(scope, receive, send)

    async def _ask(self, branch: Branch, scope: Scope, receive: Receive) -> Response:
        raw = scope.get("raw_path") or scope["path"].encode()
        asked = ApiRequest(
            scope["method"], scope["path"], raw.decode("latin-1"), scope["query_string"]
        )
        pending = branch.begin(asked)
        if isinstance(pending, Response):
            return pending
        try:
            body = await self._ingest.body(request_of(scope, b""), receive, pending.body_limit)
        except BodyError as error:
            return problem(error.status, "The body can't be read", str(error))
        return await pending.answer(body)


class _Sender:
    """Sends pieces of an answer, each within a time, and the date (RFC 9110 § 6.6.1).

    Guessers get another answer.
    """

    def __init__(self, send: Send, peer: str, guesses: Guesses) -> None:
        self._send = send
        self._peer = peer
        self._guesses = guesses
        self._replaced = False
        self.started = False
        self.stalled = False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if self._replaced:
            return
        if message["type"] == "http.response.start":
            refused = Response(message["status"])
            answer = unless_guessed(refused, self._peer, self._guesses)
            if answer is not refused:
                await reply(self, answer)
                self._replaced = True
                return
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
    headers = [*response.headers]
    headers += [one for one in _SAFE.items() if one[0] not in dict(headers)]
    if response.status not in (204, 304):
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
