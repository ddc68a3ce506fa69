"""What the dashboard is told of its requests, while it listens."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from motehub.protocols.pusher.messages import encode_object
from motehub.protocols.pusher.requests import (
    ANSWER,
    MOST_ANSWERS,
    REQUESTS,
    Answer,
    answers_data,
)

# Servers have a bound for messages.
_MOST_BYTES: Final = 8_000


class Answers:
    """The newest answer to each request, until it is sent.

    What is lost with a connection needs no care: the dashboard asks again for all that it has no
    end of.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, Answer] = {}
        self._news = asyncio.Event()
        self._is_open = False

    def open(self) -> None:
        """Begin with a connection on which answers are heard."""
        self._is_open = True

    def close(self) -> None:
        """Forget what waits: nobody hears it."""
        self._is_open = False
        self._waiting.clear()
        self._news.clear()

    def add(self, answer: Answer) -> None:
        """Have an answer sent, unless nobody hears it."""
        if not (self._is_open and answer.id):
            return
        self._waiting.pop(answer.id, None)
        self._waiting[answer.id] = answer
        self._news.set()

    async def next(self) -> bytes:
        """Return the next message with answers, once there is one."""
        while not self._waiting:
            self._news.clear()
            await self._news.wait()
        taken: list[Answer] = []
        size = 0
        for answer in list(self._waiting.values())[:MOST_ANSWERS]:
            size += len(msgspec.json.encode(answer))
            if taken and size > _MOST_BYTES:
                break
            taken.append(self._waiting.pop(answer.id))
        return encode_object(ANSWER, answers_data(taken), REQUESTS)
