"""Keeps the writer process running and passes what it reports to the journal."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Final

import msgspec

from motehub.core.journal import Journal
from motehub.errors import StorageError
from motehub.logs import Logger
from motehub.writer import Report

_RESTART_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
_HEALTHY_SECONDS: Final = 10.0

_logger = Logger("motehub.writer")


class WriterProcess:
    """The history consumer in a process of its own; started anew whenever it dies."""

    def __init__(
        self, folder: Path, store: str, journal: Journal, tasks: asyncio.TaskGroup
    ) -> None:
        self._arguments = (str(folder), store)
        self._journal = journal
        self._tasks = tasks
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self.report = Report(0)
        self.restarts = 0

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
            failures = 0 if loop.time() - started > _HEALTHY_SECONDS else failures + 1
            pause = _RESTART_SECONDS[min(failures, len(_RESTART_SECONDS)) - 1]
            _logger.error("writer died, starting it again", status=status, after_seconds=pause)
            self.restarts += 1
            # A hub that stops meanwhile has what is left folded at once.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    def _done(self) -> bool:
        return self._stopping.is_set() or self.report.fatal

    async def _run_once(self) -> int:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "motehub.writer",
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdin is not None
        if self._stopping.is_set():
            self._process.stdin.close()
        while line := await self._process.stdout.readline():
            self._take(msgspec.json.decode(line, type=Report))
        status = await self._process.wait()
        self._process = None
        return status

    def _take(self, report: Report) -> None:
        self.report = report
        if report.fatal:
            if not self._ready.done():
                self._ready.set_exception(StorageError(str(report.trouble)))
        elif report.position or report.trouble is None:
            self._journal.follow("history", report.position)
        if not self._ready.done():
            self._ready.set_result(None)
