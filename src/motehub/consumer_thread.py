"""Sends the readings of a base unit from a thread of its only process."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any, Final

import msgspec

from motehub.core.journal import Journal
from motehub.errors import NewerSchema, OwnerError, StorageError
from motehub.following import Report
from motehub.journals.sqlite import SqliteLogReader
from motehub.logs import Logger
from motehub.webhooks.endpoints import Plan
from motehub.webhooks.service import WebhookService

_RESTART_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 5.0)

_logger = Logger("motehub.consumer_thread")


class _Hub:
    """The event loop, as the thread hears of it; see ``motehub.webhooks.service.Hub``."""

    def __init__(self) -> None:
        self.lives = True
        self._woken = threading.Event()
        self._ended = threading.Event()

    def pause(self, seconds: float) -> None:
        self._ended.wait(seconds)

    def wait(self, seconds: float) -> bool:
        woken = self._woken.wait(seconds)
        self._woken.clear()
        return woken or not self.lives

    def news(self) -> list[tuple[int, bytes]] | None:
        return None

    def wake(self) -> None:
        self._woken.set()

    def end(self) -> None:
        self.lives = False
        self._ended.set()
        self._woken.set()


class ConsumerThread:
    """Follows ``journal``, which may forget what has been taken over; begun anew if it fails."""

    def __init__(self, name: str, folder: Path, plan: Plan, journal: Journal) -> None:
        self.name = name
        self.report = Report(0)
        self.restarts = 0
        self._folder = folder
        self._plan = plan
        self._journal = journal
        self._hub = _Hub()
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._over: asyncio.Future[None] = self._loop.create_future()
        # What hangs in the system must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    async def start(self) -> None:
        """Start it and wait until it knows where it is.

        What came before that it would take for older than itself, and not send.

        Raises:
            StorageError: it can't do its work, and only the owner can change that.
        """
        # Before it says where it is, nothing is trimmed that it may still need.
        self._journal.follow(self.name, 0)
        self._journal.after_commit(lambda _position, _frame: self._hub.wake())
        self._thread.start()
        await self._ready

    async def stop(self) -> None:
        """Let it take over what is left, and wait until it has."""
        self._hub.end()
        await self._over

    def condition(self, head: int) -> dict[str, Any]:
        """Return how it is: its cursor, how many frames it is behind, what is the matter."""
        return {
            "restarts": self.restarts,
            "behind": max(0, head - self.report.position),
            **msgspec.to_builtins(self.report),
        }

    def _run(self) -> None:
        failures = 0
        while True:
            self._follow()
            if not self._hub.lives or self.report.fatal:
                break
            self.restarts += 1
            self._hub.pause(_RESTART_SECONDS[min(failures, len(_RESTART_SECONDS) - 1)])
            failures += 1
        self._loop.call_soon_threadsafe(self._over.set_result, None)

    def _follow(self) -> None:
        """Send until the hub stops or something fails, which is reported."""
        try:
            reader = SqliteLogReader(self._folder)
            try:
                service = WebhookService(self._folder, self._plan, reader, reader.journal())
                self._tell(Report(service.consumer.position))
                service.run(self._hub, lambda *what: self._tell(Report(*what)))
            finally:
                reader.close()
        except (NewerSchema, OwnerError) as error:
            self._tell(Report(0, trouble=str(error), fatal=True))
        except StorageError as error:
            if self.report.trouble != str(error):
                _logger.error("consumer waits", consumer=self.name, reason=str(error))
            self._tell(Report(0, trouble=str(error)))
        except Exception as error:
            # The journal keeps what has not been taken over; the next attempt begins there.
            _logger.error("consumer failed, beginning it again", error=repr(error))
            self._tell(Report(0, trouble=f"an error in motehub: {error!r}"))

    def _tell(self, report: Report) -> None:
        self._loop.call_soon_threadsafe(self._take, report)

    def _take(self, report: Report) -> None:
        if report.trouble is not None and not report.position:
            # Where it was is still known.
            report = msgspec.structs.replace(report, position=self.report.position)
        self.report = report
        if report.fatal and not self._ready.done():
            self._ready.set_exception(StorageError(str(report.trouble)))
        elif not report.fatal:
            self._journal.follow(self.name, report.position)
        if report.trouble is None and not self._ready.done():
            self._ready.set_result(None)
