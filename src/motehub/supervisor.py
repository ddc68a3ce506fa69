"""Keeps the processes of consumers running and passes what they report to the journal."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from motehub import parts
from motehub.alert_plans import alert_plan
from motehub.config import Configuration
from motehub.core.journal import Journal
from motehub.errors import StorageError
from motehub.following import (
    ALERT_PLAN,
    HUB_ZONE,
    MIRROR_SETTINGS,
    NEWS,
    NOTICE_BYTES,
    RETENTION_PLAN,
    STORE_URL,
    WEBHOOK_PLAN,
    Report,
    notice,
)
from motehub.journals.sqlite import SqliteLogReader
from motehub.logs import Logger
from motehub.model import MICROSECONDS
from motehub.webhook_plans import base_plan, webhook_plan

HISTORY: Final = "history"
"""Name of the consumer that folds the journal into the history."""

ALERTS: Final = "alerts"
"""Name of the consumer that looks after alerts."""

_RESTART_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
_HEALTHY_SECONDS: Final = 10.0
# Frames are sent along to those who are waiting for them. Where commits follow each other more
# closely, consumers take many at a time, and the journal is the cheaper way.
_QUIET_SECONDS: Final = 0.01

_logger = Logger("motehub.supervisor")


class Program(msgspec.Struct, frozen=True):
    """What runs in a consumer's process.

    ``name`` is the consumer's, ``title`` what people call it. Secrets go into ``environment``:
    arguments of every process are there for everyone to see. The journal holds no sender back
    for one that is ``optional``. One that is ``told`` hears of each commit.
    """

    name: str
    title: str
    module: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    optional: bool = False
    told: bool = False


def programs(configuration: Configuration) -> Iterator[Program]:
    """Yield the programs of all consumers: the history's writer first, then the others.

    Raises:
        ConfigurationError: a file with a secret can't be read.
    """
    folder, store = str(configuration.data_dir), configuration.store
    environment = {STORE_URL: store.url}
    rules = {
        RETENTION_PLAN: msgspec.json.encode(configuration.retention.plan).decode(),
        HUB_ZONE: configuration.hub.time_zone,
    }
    yield Program(HISTORY, "writer", "motehub.writer", (folder, store.type), environment | rules)
    for name, settings in configuration.mirror.items():
        arguments = (folder, parts.mirror_of(settings), store.type)
        secret = environment | {MIRROR_SETTINGS: msgspec.json.encode(settings).decode()}
        yield Program(name, name, "motehub.mirror", arguments, secret, optional=True, told=True)
    for name, plan, optional in (
        ("webhooks", webhook_plan(configuration), True),
        ("base", base_plan(configuration), False),
    ):
        if plan is not None:
            secret = {WEBHOOK_PLAN: plan.to_json()}
            yield Program(name, name, "motehub.webhook", (folder,), secret, optional, told=True)
    if (alerts := alert_plan(configuration)) is not None:
        secret = environment | {ALERT_PLAN: msgspec.json.encode(alerts).decode()}
        yield Program(ALERTS, ALERTS, "motehub.alert", (folder,), secret, optional=True, told=True)


def condition_of(
    consumer: ConsumerProcess, head: int, reader: SqliteLogReader, now: int
) -> dict[str, Any]:
    """Return how a consumer is: its cursor, how far it is behind, what is the matter.

    ``behind`` counts frames; ``age`` is for how many seconds the first of them has waited, None
    where the journal can't be read.
    """
    report = consumer.report
    behind = max(0, head - report.position)
    age: float | None = 0.0
    if behind:
        try:
            waiting = reader.time_after(report.position)
            age = max(0.0, (now - waiting) / MICROSECONDS) if waiting is not None else 0.0
        except StorageError:
            age = None
    return {
        "pid": consumer.process_id,
        "restarts": consumer.restarts,
        "behind": behind,
        "age": age,
        **msgspec.to_builtins(report),
    }


class ConsumerProcess:
    """A consumer of the journal in a process of its own; started anew whenever it dies.

    ``on_start`` is called whenever a process has been started, ``on_report`` with each report.
    """

    def __init__(self, program: Program, journal: Journal, tasks: asyncio.TaskGroup) -> None:
        self.program = program
        self._journal = journal
        self._tasks = tasks
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._last_commit = -math.inf
        self._reminded = False
        self.report = Report(0)
        self.restarts = 0
        self.on_start: Callable[[], None] = lambda: None
        self.on_report: Callable[[Report], None] = lambda _: None

    @property
    def process_id(self) -> int | None:
        """Process id of the consumer, or None while there is none."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start it and wait for its first report.

        Raises:
            StorageError: it can't do its work, and only the owner can change that.
        """
        if self.program.told:
            # Before it says where it is, nothing is trimmed that it may still need.
            self._journal.follow(self.program.name, 0, optional=self.program.optional)
            self._journal.after_commit(self._wake)
        self._task = self._tasks.create_task(self._keep_running(), name=self.program.name)
        await self._ready

    async def stop(self) -> None:
        """Let it do what is left, and wait until it has."""
        self._stopping.set()
        if self._process and self._process.stdin:
            self._process.stdin.close()
        if self._task:
            await self._task

    def _wake(self, position: int, frame: bytes) -> None:
        """Tell it what is new: the frame itself, if that is small and nothing else is going on."""
        now = asyncio.get_running_loop().time()
        quiet, self._last_commit = now - self._last_commit >= _QUIET_SECONDS, now
        pipe = self._process.stdin if self._process else None
        if not pipe or pipe.is_closing():
            return
        if pipe.transport.get_write_buffer_size():
            # It has not even heard of the last time, perhaps of a frame: one reminder, not more.
            if not self._reminded:
                pipe.write(NEWS)
            self._reminded = True
            return
        self._reminded = False
        if quiet and len(frame) <= NOTICE_BYTES and self.report.trouble is None:
            pipe.write(notice(position, frame))
        else:
            pipe.write(NEWS)

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
            event = f"{self.program.title} died, starting it again"
            _logger.error(event, status=status, after_seconds=pause)
            self.restarts += 1
            # A hub that stops meanwhile has what is left done at once.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    def _done(self) -> bool:
        return self._stopping.is_set() or self.report.fatal

    async def _run_once(self) -> int | str:
        """Run the process to its end; return its exit status, or why there is none."""
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
        self._reminded = False
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self.program.module,
            *self.program.arguments,
            env=os.environ | self.program.environment,
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
        self.on_report(report)
        if report.fatal:
            if not self._ready.done():
                self._ready.set_exception(StorageError(str(report.trouble)))
        elif report.position or report.trouble is None:
            optional = self.program.optional
            self._journal.follow(self.program.name, report.position, optional=optional)
        if not self._ready.done():
            self._ready.set_result(None)


class LateConsumer:
    """Starts a consumer's process once it is needed, from there on, and enters it in the others."""

    def __init__(
        self,
        program: Program,
        needed: asyncio.Event,
        journal: Journal,
        tasks: asyncio.TaskGroup,
        consumers: dict[str, ConsumerProcess],
    ) -> None:
        self._program = program
        self._needed = needed
        self._journal = journal
        self._tasks = tasks
        self._consumers = consumers
        self._task = tasks.create_task(self._start(), name=program.name)

    async def stop(self) -> None:
        """Stop it, or wait no more."""
        self._task.cancel()
        if (consumer := self._consumers.get(self._program.name)) is not None:
            await consumer.stop()

    async def _start(self) -> None:
        await self._needed.wait()
        # What made it needed is durable later: the process has to see it.
        first = str(self._journal.health.head)
        arguments = (*self._program.arguments, first)
        program = msgspec.structs.replace(self._program, arguments=arguments)
        consumer = ConsumerProcess(program, self._journal, self._tasks)
        self._consumers[program.name] = consumer
        try:
            await consumer.start()
        except StorageError as error:
            _logger.error("consumer not started", consumer=self._program.name, reason=str(error))
