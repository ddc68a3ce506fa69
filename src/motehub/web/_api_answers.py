"""Passes answers of the query process on, piece by piece, as fast as the client takes them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from litestar.types import Receive, Scope, Send

from motehub.core.queries import Question
from motehub.logs import Logger
from motehub.web.problems import Problem
from motehub.web.queries import Answer, Queries

STALL_SECONDS: Final = 30.0
"""Longest time in which a client takes nothing of its answer."""

COMPLETE_HEADER: Final = "Motehub-Complete"
NEXT_HEADER: Final = "Motehub-Next"

_logger = Logger("motehub.api")


class Answering:
    """The response to a question, as an ASGI application; it ends when the client goes away.

    Raises:
        Problem: there is no answer; nothing has been sent yet.
    """

    def __init__(self, queries: Queries, question: Question) -> None:
        self._queries = queries
        self._question = question

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
        async with self._queries.ask(self._question) as answer:
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": _headers(answer),
                }
            )
            try:
                async for piece in answer.pieces():
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
