"""Keeps the writer process running and passes what it reports to the journal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from motehub.config import StoreSettings
from motehub.core.journal import Journal
from motehub.errors import StorageError
from motehub.logs import Logger
from motehub.writer import STORE_URL, Report

_RESTART_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
_HEALTHY_SECONDS: Final = 10.0

_logger = Logger("motehub.writer")


class WriterProcess:
    """The history consumer in a process of its own; started anew whenever it dies.

    ``on_start`` is called whenever a process has been started.
    """

    def __init__(
        self, folder: Path, store: StoreSettings, journal: Journal, tasks: asyncio.TaskGroup
    ) -> None:
        self._arguments = (str(folder), store.type)
        # Not as an argument: those of every process are there for everyone to see.
        self._environment = os.environ | {STORE_URL: store.url}
        self._journal = journal
        self._tasks = tasks
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self.report = Report(0)
        self.restarts = 0
        self.on_start: Callable[[], None] = lambda: None

    @property
    def process_id(self) -> int | None:
        """Process id of the writer, or None while there is none."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start it and wait for its first report.

        Raises:
            StorageError: it can't use the history, and only the owner can change that.
        """
        self._task = self._tasks.create_task(self._keep_running(), name="writer")
        await self._ready

    async def stop(self) -> None:
        """Let it fold what is left, and wait until it has."""
        self._stopping.set()
        if self._process and self._process.stdin:
            self._process.stdin.close()
        if self._task:
            await self._task

    async def _keep_running(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            started = loop.time()
            status = await self._run_once()
            if self._done():
                return
            failures = 1 if loop.time() - started > _HEALTHY_SECONDS else failures + 1
            pause = _RESTART_SECONDS[min(failures, len(_RESTART_SECONDS)) - 1]
            _logger.error("writer died, starting it again", status=status, after_seconds=pause)
            self.restarts += 1
            # A hub that stops meanwhile has what is left folded at once.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    def _done(self) -> bool:
        return self._stopping.is_set() or self.report.fatal

    async def _run_once(self) -> int | str:
        """Run the writer to its end; return its exit status, or why there is none."""
        try:
            return await self._run_process()
        except (OSError, msgspec.MsgspecError) as error:
            # No process or no memory left, or a report that broke off: tried again like a death.
            if self._process is not None:
                self._process.kill()
                await self._process.wait()
            return str(error)
        finally:
            self._process = None

    async def _run_process(self) -> int:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "motehub.writer",
            *self._arguments,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdin is not None
        if self._stopping.is_set():
            self._process.stdin.close()
        self.on_start()
        while line := await self._process.stdout.readline():
            self._take(msgspec.json.decode(line, type=Report))
        return await self._process.wait()

    def _take(self, report: Report) -> None:
        self.report = report
        if report.fatal:
            if not self._ready.done():
                self._ready.set_exception(StorageError(str(report.trouble)))
        elif report.position or report.trouble is None:
            self._journal.follow("history", report.position)
        if not self._ready.done():
            self._ready.set_result(None)
