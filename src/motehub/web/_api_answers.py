"""Passes answers of the query process on, piece by piece, as fast as the client takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from typing import Final

import msgspec
from litestar.types import Receive, Scope, Send

from motehub.core.moments import parse_moment
from motehub.core.queries import Question, Readings
from motehub.logs import Logger
from motehub.web.compression import ENCODED, asks_for_gzip, gzipped
from motehub.web.problems import Problem, unavailable
from motehub.web.queries import Answer, Queries

STALL_SECONDS: Final = 30.0
"""Longest time in which a client takes nothing of its answer."""

COMPLETE_HEADER: Final = "Motehub-Complete"
NEXT_HEADER: Final = "Motehub-Next"

_logger = Logger("motehub.api")


class Streaming:
    """A response in pieces, as an ASGI application; it ends when the client goes away."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask, and send what comes."""
        answer = asyncio.create_task(self._answer(send))
        gone = asyncio.create_task(_client_gone(receive))
        try:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                await answer
        finally:
            for task in (answer, gone):
                task.cancel()
            await asyncio.gather(answer, gone, return_exceptions=True)

    async def _answer(self, send: Send) -> None:
        raise NotImplementedError


class Answering(Streaming):
    """The response to a question.

    Raises:
        Problem: there is no answer; nothing has been sent yet.
    """

    def __init__(self, queries: Queries, question: Question) -> None:
        self._queries = queries
        self._question = question
        self._compresses = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask, and send what comes, compressed for those who take that."""
        self._compresses = asks_for_gzip(scope.get("headers", ()))
        await super().__call__(scope, receive, send)

    async def _answer(self, send: Send) -> None:
        async with self._queries.ask(self._question) as answer:
            headers = _headers(answer)
            if not self._compresses:
                await send_all(send, headers, answer.pieces())
                return
            async with aclosing(gzipped(answer.pieces())) as pieces:
                await send_all(send, [*headers, *ENCODED], pieces)


class Exporting(Answering):
    """The response to several questions for CSV of the same columns, as one file.

    What is beyond the limit of one is asked for too, in further questions.

    Raises:
        Problem: there is no answer; nothing has been sent yet.
    """

    def __init__(self, queries: Queries, questions: Sequence[Readings]) -> None:
        super().__init__(queries, questions[0])
        self._others = questions[1:]

    async def _answer(self, send: Send) -> None:
        async with self._queries.ask(self._question) as answer:
            headers = [one for one in _headers(answer) if one[0] != NEXT_HEADER.lower().encode()]
            async with aclosing(self._pieces(answer)) as pieces:
                await send_all(send, headers, pieces)

    async def _pieces(self, first: Answer) -> AsyncGenerator[bytes, None]:
        async for piece in first.pieces():
            yield piece
        assert isinstance(self._question, Readings)
        waiting = [*self._others][::-1]
        if (rest := _rest(self._question, first)) is not None:
            waiting.append(rest)
        while waiting:
            question = waiting.pop()
            async with self._queries.ask(question) as answer:
                if first.head.complete and not answer.head.complete:
                    raise unavailable("The history has fallen behind.")
                async for piece in _without_names(answer):
                    yield piece
                if (rest := _rest(question, answer)) is not None:
                    waiting.append(rest)


def _rest(question: Readings, answer: Answer) -> Readings | None:
    """Return the question for what did not fit into an answer."""
    if answer.head.next is None:
        return None
    return msgspec.structs.replace(question, since=parse_moment(answer.head.next, 0))


async def _without_names(answer: Answer) -> AsyncIterator[bytes]:
    """Yield an answer in CSV without the line of names, which the first piece has whole."""
    first = True
    async for piece in answer.pieces():
        yield piece.partition(b"\r\n")[2] if first else piece
        first = False


async def send_all(
    send: Send, headers: list[tuple[bytes, bytes]], pieces: AsyncIterator[bytes]
) -> None:
    """Send an answer as it comes, cut off where that ends with a problem, or nobody takes it."""
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    try:
        async for piece in pieces:
            async with asyncio.timeout(STALL_SECONDS):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
    except (Problem, TimeoutError) as error:
        # Too late to say so: an answer that is never finished is cut off by the server.
        _logger.warning("answer cut off", reason=str(error) or "the client took nothing")
        return
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _client_gone(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    with suppress(OSError):
        while (await receive())["type"] != "http.disconnect":
            pass


def _headers(answer: Answer) -> list[tuple[bytes, bytes]]:
    head = answer.head
    headers = [
        (b"content-type", head.media_type.encode()),
        (COMPLETE_HEADER.lower().encode(), b"true" if head.complete else b"false"),
    ]
    if head.next is not None:
        headers.append((NEXT_HEADER.lower().encode(), head.next.encode()))
    return headers
