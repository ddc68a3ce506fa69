"""The hub's side of the query process: starts it, asks it, ends it when it is idle or stuck."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Final, Self

import msgspec

from motehub.core.queries import (
    HEADER_BYTES,
    Failed,
    Head,
    Mark,
    Query,
    Question,
    frame,
    read_header,
)
from motehub.logs import Logger
from motehub.web.problems import Problem, unavailable

_STUCK_SECONDS: Final = 5.0
_END_SECONDS: Final = 2.0
_NUMBERS: Final = 2**32

_logger = Logger("motehub.queries")


class QueryLimits(msgspec.Struct, frozen=True):
    """Bounds of queries; times in seconds.

    ``active`` are worked at together, ``waiting`` ones wait for a place at most. Each gets
    ``seconds`` until its answer begins, of which it waits ``fold_seconds`` for the history. The
    process ends after ``idle_seconds`` without a query.
    """

    active: int = 4
    waiting: int = 32
    seconds: float = 30.0
    fold_seconds: float = 5.0
    idle_seconds: float = 300.0


class _Died(Exception):
    """The query process ended while a query was with it."""


class Answer:
    """An answer that arrives in pieces; no more arrive than are taken, but for a few."""

    def __init__(self, send: Callable[[Mark], None]) -> None:
        self._send = send
        # Never longer than the window that the query process keeps to.
        self._frames: asyncio.Queue[tuple[Mark, bytes] | None] = asyncio.Queue()
        self.head = Head("", True)

    @property
    def backlog(self) -> int:
        """How many frames have come that nobody has taken yet."""
        return self._frames.qsize()

    def take(self, one: tuple[Mark, bytes] | None) -> None:
        """Take a frame of the query process, or None when that has died."""
        self._frames.put_nowait(one)

    async def begin(self) -> None:
        """Wait for the head.

        Raises:
            Problem: there is no answer.
        """
        mark, body = await self._next()
        if mark is Mark.FAILED:
            raise _problem(msgspec.msgpack.decode(body, type=Failed))
        self.head = msgspec.msgpack.decode(body, type=Head)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the answer.

        Raises:
            Problem: the rest can't be had.
        """
        try:
            while True:
                mark, body = await self._next()
                if mark is Mark.FAILED:
                    raise _problem(msgspec.msgpack.decode(body, type=Failed))
                if mark is Mark.END:
                    return
                yield body
                self._send(Mark.MORE)
        except _Died as error:
            raise _died() from error

    async def _next(self) -> tuple[Mark, bytes]:
        one = await self._frames.get()
        if one is None:
            raise _Died
        return one


class _Process:
    """One run of the query process, and the answers that it is to give."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._input = process.stdin
        self._output = process.stdout
        self._answers: dict[int, Answer] = {}
        self._numbers = itertools.cycle(range(1, _NUMBERS))
        self.ended = False
        self._task = asyncio.create_task(self._receive(), name="queries")

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, query: Query) -> tuple[int, Answer]:
        """Send ``query``; return its number and the answer, which is still to come."""
        number = next(self._numbers)
        answer = Answer(lambda mark: self._send(number, mark))
        if self.ended:
            answer.take(None)
        else:
            self._answers[number] = answer
            self._input.write(frame(number, Mark.QUERY, query))
        return number, answer

    def forget(self, number: int) -> None:
        """Let the query process drop a query, if it is still at it."""
        if self._answers.pop(number, None) is not None:
            self._send(number, Mark.CANCEL)

    async def end(self, patience: float) -> None:
        """Let it end, or kill it when that takes longer than ``patience`` seconds."""
        self._input.close()
        with suppress(ProcessLookupError):
            try:
                await asyncio.wait_for(self._process.wait(), patience)
            except TimeoutError:
                self._process.kill()
        await self._task

    def _send(self, number: int, mark: Mark) -> None:
        if not self.ended:
            self._input.write(frame(number, mark))

    async def _receive(self) -> None:
        try:
            while True:
                header = await self._output.readexactly(HEADER_BYTES)
                length, number, mark = read_header(header)
                body = await self._output.readexactly(length)
                answer = self._answers.get(number)
                if answer is not None:
                    if mark in (Mark.END, Mark.FAILED):
                        del self._answers[number]
                    answer.take((mark, body))
        except (asyncio.IncompleteReadError, ValueError, OSError):
            self.ended = True
        for answer in self._answers.values():
            answer.take(None)
        self._answers.clear()
        self._input.close()
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


class Queries:
    """Asks the query process, which runs from the first query until none comes for long.

    Who knows that queries will come can have it started before: ``prepare``.

    ``command`` and ``environment`` start it. ``head`` returns the newest position of the
    journal: an answer holds everything that was acknowledged before it was asked for.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        head: Callable[[], int],
        limits: QueryLimits = QueryLimits(),  # noqa: B008 - frozen
    ) -> None:
        self._command = command
        self._environment = environment
        self._head = head
        self._limits = limits
        self._places = asyncio.Semaphore(limits.active)
        self._starting = asyncio.Lock()
        self._process: _Process | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False
        self.active = 0
        """Queries that are worked at now."""
        self.waiting = 0
        """Queries that wait for a place."""
        self.restarts = 0
        """How often the process has died, or had to be killed."""

    @property
    def process_id(self) -> int | None:
        """Process id of the query process, or None while there is none."""
        return self._process.pid if self._process and not self._process.ended else None

    async def __aenter__(self) -> Self:
        """Be ready; nothing is started yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the process; queries that are under way fail."""
        self._closed = True
        if self._preparing is not None:
            await asyncio.wait([self._preparing])
        self._stop_idling()
        if self._process is not None:
            self._end_process(_END_SECONDS)
        if self._ending:
            await asyncio.wait(self._ending)

    def prepare(self) -> None:
        """Have the process started if there is none, since somebody will ask soon; don't wait.

        Without a query it ends when it has been idle for long, as ever.
        """
        if self._closed or (self._preparing is not None and not self._preparing.done()):
            return
        self._preparing = asyncio.create_task(self._prepare(), name="preparing queries")

    async def _prepare(self) -> None:
        # Why it can't be started is told to whoever asks.
        with suppress(Problem):
            await self._running()
        self._begin_to_idle()

    @asynccontextmanager
    async def ask(self, question: Question) -> AsyncIterator[Answer]:
        """Give the answer to ``question`` once it has begun; leaving the block cancels the rest.

        Raises:
            Problem: there is no answer: too many queries, an unknown name, a store that is away.
        """
        limits = self._limits
        query = Query(question, self._head(), limits.seconds, limits.fold_seconds)
        async with self._place():
            try:
                process, number, answer = await self._begin(query)
            except _Died:
                # Whatever ended it may have been none of this query's doing.
                try:
                    process, number, answer = await self._begin(query)
                except _Died as error:
                    raise _died() from error
            try:
                yield answer
            finally:
                process.forget(number)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        if self._places.locked() and self.waiting >= self._limits.waiting:
            raise unavailable(f"{self.waiting} queries wait already. Try again in a moment.")
        self.waiting += 1
        try:
            async with asyncio.timeout(self._limits.seconds):
                await self._places.acquire()
        except TimeoutError as error:
            raise unavailable("Other queries took too long. Try again in a moment.") from error
        finally:
            self.waiting -= 1
        self.active += 1
        self._stop_idling()
        try:
            yield
        finally:
            self.active -= 1
            self._places.release()
            self._begin_to_idle()

    async def _begin(self, query: Query) -> tuple[_Process, int, Answer]:
        """Ask, and wait until the answer begins; a process that says nothing is killed."""
        process = await self._running()
        number, answer = process.ask(query)
        try:
            async with asyncio.timeout(query.seconds + _STUCK_SECONDS):
                await answer.begin()
        except BaseException as error:
            process.forget(number)
            if isinstance(error, TimeoutError):
                _logger.error("query process is stuck, killed", pid=process.pid)
                self._drop(process)
                raise unavailable(
                    "The history does not answer. Try again in a moment; "
                    "GET /api/v1/health and the hub's log say more."
                ) from error
            raise
        return process, number, answer

    async def _running(self) -> _Process:
        """Return the process, started anew when there is none.

        Raises:
            Problem: it can't be started now.
        """
        async with self._starting:
            if self._closed:
                raise unavailable("The hub is stopping.")
            if self._process is not None and self._process.ended:
                _logger.error("query process died, starting it again")
                self._drop(self._process)
            if self._process is None:
                try:
                    self._process = _Process(await self._start())
                except OSError as error:
                    raise unavailable(f"The query process can't be started: {error}.") from error
            return self._process

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )

    def _drop(self, process: _Process) -> None:
        """Have nothing more to do with a process that is dead or stuck."""
        if self._process is process:
            self.restarts += 1
            self._end_process(0.0)

    def _end_process(self, patience: float = _END_SECONDS) -> None:
        if self._process is not None:
            task = asyncio.create_task(self._process.end(patience), name="end of queries")
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
            self._process = None

    def _begin_to_idle(self) -> None:
        self._stop_idling()
        if not self.active and not self._closed:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(self._limits.idle_seconds, self._end_process)

    def _stop_idling(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None


def _problem(failed: Failed) -> Problem:
    if failed.status == HTTPStatus.SERVICE_UNAVAILABLE:
        return unavailable(failed.detail, title=failed.title)
    return Problem(failed.status, failed.title, failed.detail)


def _died() -> Problem:
    return unavailable("The query process ended meanwhile. Try again in a moment.")
