"""Ingest requests that came through the ASGI server: long, chunked, streamed or with a key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec

from motehub.errors import StorageError
from motehub.http_exchange import PROBLEM, Request, Response, problem
from motehub.model import MICROSECONDS, Receipt, Token
from motehub.protocols.line_splitter import LineSplitter
from motehub.web import idempotency
from motehub.web.bodies import BodyError, unpack, unpacker
from motehub.web.filing import Outcome
from motehub.web.front import LONGEST_BODY
from motehub.web.idempotency import IdempotencyKeys
from motehub.web.intake import Intake, too_busy
from motehub.web.readings import PATH as READINGS_PATH
from motehub.web.readings import ReadingsHandler, default_device, is_ndjson, respond

BODY_SECONDS: Final = 30.0
"""Longest silence within a body, and time for a short one, in seconds."""

BYTES_PER_SECOND: Final = 2_000
"""How fast a long body has to come at least."""

_Result = TypeVar("_Result")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Gone(Exception):
    """The client went away before its request was whole: there is nobody to answer."""


class Ingest:
    """Answers requests to the ingest paths, with the handlers of the fast way.

    ``clock`` returns UTC microseconds.
    """

    def __init__(
        self,
        intake: Intake,
        readings: ReadingsHandler,
        keys: IdempotencyKeys,
        clock: Callable[[], int],
    ) -> None:
        self._intake = intake
        self._readings = readings
        self._keys = keys
        self._clock = clock

    async def answer(self, scope: Scope, receive: Receive) -> Response:
        """Return what answers the request once all that it says is durable.

        Raises:
            Gone: the client went away.
        """
        request = request_of(scope, b"")
        if (reason := self._intake.hub.held_back) is not None:
            return too_busy(reason)
        handler = self._intake.handlers[request.path]
        # Before the body is read: strangers must not hold the room for bodies.
        if denied := handler.check(request, self._clock()):
            return denied
        key = request.header(b"idempotency-key")
        try:
            if request.path == READINGS_PATH and is_ndjson(request) and not key:
                return await self._stream(request, receive)
            body = await self.body(request, receive, handler.body_limit)
            request = msgspec.structs.replace(request, body=body)
            if request.path == READINGS_PATH and key:
                return await self._once(request, key)
            size = _size(request.body, request.header(b"content-encoding"))
            exchange = await _beside(size, handler, request, self._clock())
            if isinstance(exchange, Response):
                return exchange
            return exchange.answer(await self._intake.hub.accept(exchange.deliveries))
        except BodyError as error:
            return problem(error.status, "The body can't be read", str(error))
        except StorageError as error:
            return too_busy(str(error))

    async def body(self, request: Request, receive: Receive, limit: int) -> bytes:
        """Read a whole body within the bounds of one and of all, and in its time.

        Raises:
            BodyError: it is beyond them.
            Gone: the client went away.
        """
        allowance = self._intake.allowance
        length = request.header(b"content-length")
        if length and int(length) > limit:
            raise _too_long(limit)
        body = bytearray()
        taken = 0
        began = self._clock()
        try:
            while True:
                piece, more = await _piece(receive)
                seconds = (self._clock() - began) / MICROSECONDS
                if seconds > BODY_SECONDS + len(body) / BYTES_PER_SECOND:
                    raise BodyError(408, "The body comes too slowly.")
                if len(body) + len(piece) > limit:
                    raise _too_long(limit)
                if not allowance.take(len(piece)):
                    raise BodyError(503, "Too many bodies are on their way. Send it again later.")
                taken += len(piece)
                body += piece
                if not more:
                    return bytes(body)
        finally:
            allowance.give_back(taken)

    async def _once(self, request: Request, key: bytes) -> Response:
        """Take a request with ``Idempotency-Key``, unless it was taken before."""
        token = self._readings.token(request, self._clock())
        if isinstance(token, Response):
            return token
        if len(key) > idempotency.KEY_LENGTH:
            detail = f"Idempotency-Key is longer than {idempotency.KEY_LENGTH} bytes."
            return problem(400, "Bad key", detail)
        name = idempotency.name_of(token.digest, key)
        kind = request.header(b"content-type")
        mark = idempotency.fingerprint(request.body, kind, request.header(b"content-encoding"))
        before = self._keys.begin(name, mark)
        if isinstance(before, Response):
            return before
        if before is not None:
            again = respond(before)
            replayed = (b"idempotency-replayed", b"true")
            return msgspec.structs.replace(again, headers=(*again.headers, replayed))
        stored = False
        try:
            encoding = request.header(b"content-encoding")
            size = _size(request.body, encoding)
            limit = self._readings.body_limit
            body = await _beside(size, unpack, request.body, encoding, limit)
            filing = await _beside(
                len(body),
                self._readings.file,
                body,
                token,
                default_device(token),
                request,
                self._clock(),
            )

            def note(receipts: Sequence[Receipt]) -> dict[str, bytes | None]:
                return self._keys.note(name, mark, filing.outcome(receipts), self._clock())

            receipts = await self._intake.hub.accept(filing.deliveries, note)
            stored = True
            return respond(filing.outcome(receipts))
        finally:
            self._keys.end(name, stored=stored)

    async def _stream(self, request: Request, receive: Receive) -> Response:
        """Take lines while they arrive; each is durable before more is read."""
        outcome = Outcome()
        splitter = LineSplitter()
        unpacking = unpacker(request.header(b"content-encoding"))
        more = True
        try:
            while more:
                piece, more = await _piece(receive)
                # Each time: a token that is revoked ends its streams too.
                token = self._readings.token(request, self._clock())
                if isinstance(token, Response):
                    return _stopped(token, outcome)
                for plain in unpacking.pieces(piece):
                    await self._take_lines(splitter.feed(plain), splitter, token, request, outcome)
            unpacking.eof()
            assert isinstance(token, Token)
            await self._take_lines(splitter.eof(), splitter, token, request, outcome)
        except BodyError as error:
            return _stopped(problem(error.status, "The body can't be read", str(error)), outcome)
        except StorageError as error:
            return _stopped(too_busy(str(error)), outcome)
        return respond(outcome)

    async def _take_lines(
        self,
        lines: bytes,
        splitter: LineSplitter,
        token: Token,
        request: Request,
        outcome: Outcome,
    ) -> None:
        bad = splitter.take_bad()
        if not lines and not bad:
            return
        filing = await _beside(
            len(lines),
            self._readings.file,
            lines,
            token,
            default_device(token),
            request,
            self._clock(),
            splitter.first_line,
            bad,
        )
        receipts = await self._intake.hub.accept(filing.deliveries)
        outcome.add(filing.outcome(receipts))


def request_of(scope: Scope, body: bytes) -> Request:
    """Return the request of an ASGI scope."""
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        headers[name] = headers[name] + b", " + value if name in headers else value
    client = scope.get("client")
    return Request(
        scope["method"],
        scope["path"],
        scope["query_string"],
        headers,
        body,
        client[0] if client else "",
    )


def _size(body: bytes, encoding: bytes) -> int:
    """Return how long a body is at least: one that is packed may be any length."""
    return LONGEST_BODY + 1 if encoding else len(body)


async def _beside(size: int, work: Callable[..., _Result], *given: Any) -> _Result:
    """Do what takes long for ``size`` bytes beside the event loop, so that others go on."""
    if size <= LONGEST_BODY:
        return work(*given)
    return await asyncio.to_thread(work, *given)


async def _piece(receive: Receive) -> tuple[bytes, bool]:
    """Return the next piece of the body, and whether more comes."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            message = await receive()
    except TimeoutError as error:
        raise BodyError(408, f"Nothing more came for {BODY_SECONDS:g} s.") from error
    if message["type"] == "http.disconnect":
        raise Gone
    return message.get("body", b""), message.get("more_body", False)


def _too_long(limit: int) -> BodyError:
    return BodyError(413, f"The body is longer than {limit} bytes. Send it in parts.")


def _stopped(answer: Response, outcome: Outcome) -> Response:
    """Return ``answer``, which ended a stream, with what was stored before."""
    if answer.status < HTTPStatus.BAD_REQUEST or not (outcome.stored or outcome.rejected):
        return answer
    document = msgspec.json.decode(answer.body, type=dict[str, Any])
    document |= msgspec.to_builtins(outcome)
    return Response(answer.status, (PROBLEM, *answer.headers[1:]), msgspec.json.encode(document))
