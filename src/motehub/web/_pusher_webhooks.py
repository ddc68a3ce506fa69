"""What happens on channels, into the journal: webhooks are delivered from there."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection
from typing import Final

import msgspec

from motehub.errors import StorageError
from motehub.logs import Logger, OccasionalLogger
from motehub.protocols.pusher.application import Happening

MOST_WAITING: Final = 10_000
"""Happenings that wait for the journal: beyond, new ones are dropped and counted."""

MOST_TOGETHER: Final = 100
"""Happenings in one webhook."""

MOST_BYTES: Final = 16_384
"""Size from which a webhook takes no further ones: the outbox has a bound for messages."""

_occasional = OccasionalLogger(Logger("motehub.pusher"))

Post = Callable[[str, bytes], Awaitable[None]]
"""Makes a webhook's body durable for a destination; ``Hub.post``."""


class Webhooks:
    """Posts what happens in one application; ``kinds`` are those that its owner wants to hear.

    ``clock`` returns UTC microseconds. Nobody waits for it.
    """

    def __init__(
        self,
        app_id: str,
        kinds: Collection[str],
        post: Post,
        clock: Callable[[], int],
        counters: Counter[str],
    ) -> None:
        self._destination = f"pusher/{app_id}"
        self._kinds = kinds
        self._post = post
        self._clock = clock
        self._counters = counters
        self._waiting: deque[Happening] = deque()
        self._task: asyncio.Task[None] | None = None

    def tell(self, happening: Happening) -> None:
        """Post this soon, with others that happen at the same time."""
        if happening.kind.value not in self._kinds:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._counters["webhooks_dropped"] += 1
            _occasional.warning("webhooks dropped: the journal takes nothing")
            return
        self._waiting.append(happening)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain(), name="pusher webhooks")

    async def end(self) -> None:
        """Post what waits still."""
        if self._task is not None:
            await self._task

    async def _drain(self) -> None:
        while self._waiting:
            events = self._take()
            body = msgspec.json.encode({"time_ms": self._clock() // 1_000, "events": events})
            try:
                await self._post(self._destination, body)
            except StorageError as error:
                # The hub is stopping: the channels are gone anyhow.
                self._counters["webhooks_dropped"] += len(events)
                _occasional.warning("webhooks not kept", reason=str(error))

    def _take(self) -> list[msgspec.Raw]:
        """Return what goes together next, each in JSON."""
        events: list[msgspec.Raw] = []
        size = 0
        while self._waiting and len(events) < MOST_TOGETHER and size < MOST_BYTES:
            event = msgspec.json.encode(self._waiting.popleft().document)
            size += len(event)
            events.append(msgspec.Raw(event))
        return events
