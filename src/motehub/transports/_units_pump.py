"""Takes what units say into the hub: all of them together, one commit after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from motehub.contracts import Acceptor
from motehub.errors import StorageError
from motehub.logs import Logger
from motehub.model import Delivery, Record, Source

GATHER: Final = 0.02
"""Seconds for which a reading waits for others. No unit waits for an answer, so that costs
nobody anything; without it each reading would be a commit of its own."""

_logger: Final = Logger("motehub.units")


class Pump:
    """What arrives while a commit is under way goes into the next one.

    A thousand units that each say a number ten times a second would otherwise be ten thousand
    tasks a second.
    """

    def __init__(self, hub: Acceptor) -> None:
        self._hub = hub
        self._waiting: dict[str, Delivery] = {}
        self._after: list[Callable[[], None]] = []
        self._work = asyncio.Event()
        self._is_stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="units")

    async def stop(self) -> None:
        """Store what has come, and take no more."""
        self._is_stopping = True
        self._work.set()
        if self._task is not None:
            await self._task

    def put(
        self, source: Source, records: list[Record], stored: Callable[[], None] | None = None
    ) -> None:
        """Take in what ``source`` says; ``stored`` is called when that is durable, or lost."""
        waiting = self._waiting.get(source.identity)
        if waiting is None:
            self._waiting[source.identity] = Delivery(source, records)
        else:
            waiting.records.extend(records)
        if stored is not None:
            self._after.append(stored)
        self._work.set()

    async def take(self, source: Source, records: list[Record]) -> None:
        """Do the same, and return when it is durable, or lost."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.put(source, records, lambda: None if stored.done() else stored.set_result(None))
        # When that has ended, nothing is taken in any more.
        ending = [] if self._task is None else [self._task]
        await asyncio.wait([stored, *ending], return_when=asyncio.FIRST_COMPLETED)

    async def _run(self) -> None:
        while not self._is_stopping or self._waiting:
            await self._work.wait()
            if not self._is_stopping:
                await asyncio.sleep(GATHER)
            self._work.clear()
            deliveries, self._waiting = list(self._waiting.values()), {}
            after, self._after = self._after, []
            if deliveries:
                await self._store(deliveries)
            for one in after:
                one()

    async def _store(self, deliveries: list[Delivery]) -> None:
        try:
            await self._hub.accept(deliveries)
        except StorageError as error:
            # The hub is stopping, and units can't be asked for it again.
            _logger.warning("readings lost", units=len(deliveries), reason=str(error))
        except Exception as error:
            # Units go on; what this commit was to hold is lost.
            _logger.error("readings lost", units=len(deliveries), reason=repr(error))
