"""Group commit: everything that waits goes into one frame, as soon as the last one is durable."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, TypeVar

import msgspec

from motehub.contracts import Log
from motehub.core.pace import Pace
from motehub.errors import StorageError
from motehub.frames import Batch, encode_frame
from motehub.logs import Logger
from motehub.model import MICROSECONDS

_RETRY_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
_TRIM_FRAMES: Final = 64
_GATHER_TURNS: Final = 4
# Bytes after which the next batch waits for a commit of its own: a frame stays far below what
# SQLite takes as one value, and its memory is bounded.
_GROUP_WEIGHT: Final = 16_000_000

_Result = TypeVar("_Result")
_Job = tuple["asyncio.Future[Any]", Callable[..., Any], tuple[Any, ...]]

_logger = Logger("motehub.journal")


class JournalLimits(msgspec.Struct, frozen=True):
    """How much may wait in the journal for a consumer: bytes of frames, age in seconds."""

    size: int
    age: float


class JournalHealth(msgspec.Struct, frozen=True):
    """The journal's condition: positions, bytes, why senders are held back (or None)."""

    head: int
    consumed: int
    size: int
    commits: int
    held_back: str | None


class _Group:
    """The batches of one commit and the futures on which their senders wait."""

    __slots__ = ("_durable", "batches", "weight")

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.weight = 0
        self._durable: list[asyncio.Future[int]] = []

    def add(self, batch: Batch, durable: asyncio.Future[int]) -> None:
        self.batches.append(batch)
        self.weight += batch.weight
        self._durable.append(durable)

    def tell(self, position: int) -> None:
        for durable in self._durable:
            # Cancelled, when its sender has gone away.
            if not durable.done():
                durable.set_result(position)

    def fail(self, error: StorageError) -> None:
        for durable in self._durable:
            if not durable.done():
                durable.set_exception(error)


class _Thread:
    """One thread that does one thing after another, for the event loop that made it.

    It hands over with less ado than ``loop.run_in_executor``: with that, the ways there and back
    were a third of a small commit.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=name)
        self._thread.start()

    def run(self, function: Callable[..., _Result], *arguments: Any) -> asyncio.Future[_Result]:
        """Have ``function`` called after what was asked for before."""
        done: asyncio.Future[_Result] = self._loop.create_future()
        self._jobs.put((done, function, arguments))
        return done

    def stop(self) -> None:
        """Wait until everything is done, then end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            done, function, arguments = job
            try:
                result = function(*arguments)
            except BaseException as error:
                self._loop.call_soon_threadsafe(_settle, done, None, error)
            else:
                self._loop.call_soon_threadsafe(_settle, done, result, None)


def _settle(done: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if done.done():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(result)


class Journal:
    """The asynchronous door to a :class:`motehub.contracts.Log`; use it as a context manager.

    ``tasks`` carries the task that commits: if that ever failed, the hub would stop with it.
    ``clock`` returns UTC microseconds, ``aging`` those by which frames are old.

    When the log fails or is full the waiting batches stay, and with them their senders; the
    commit is tried again until it succeeds. Nothing is ever dropped here.
    """

    def __init__(
        self,
        log: Log,
        limits: JournalLimits,
        clock: Callable[[], int],
        tasks: asyncio.TaskGroup,
        aging: Callable[[], int] | None = None,
    ) -> None:
        self._log, self._limits = log, limits
        self._clock, self._aging, self._tasks = clock, aging or clock, tasks
        self._thread: _Thread | None = None
        self._groups = deque([_Group()])
        self._work = asyncio.Event()
        self._cursors: dict[str, int] = {}
        self._optional: dict[str, int] = {}
        self._annotators: list[Callable[[Batch], None]] = []
        self._listeners: list[Callable[[int, bytes], None]] = []
        self.pace = Pace()
        self._watchers: list[Callable[[int, Sequence[Batch]], None]] = []
        self._trimmed = 0
        self._first: tuple[int, int | None] = (0, None)
        self._commits = 0
        self.held_back: str | None = None
        """Why senders wait at the moment, or None."""
        self._hurried = self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._trimming: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Journal:
        """Begin to commit."""
        self._thread = _Thread("journal")
        self._task = self._tasks.create_task(self._run(self._thread), name="journal")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Commit what is waiting, then stop; when the log keeps failing, tell the senders."""
        assert self._task is not None
        assert self._thread is not None
        self._closing = True
        self.hurry()
        try:
            await self._task
        finally:
            self._thread.stop()

    async def append(self, batch: Batch) -> int:
        """Return the position of the frame that holds ``batch``, once it is durable.

        Raises:
            StorageError: the log can't be written, and nobody may wait until it can: see ``hurry``.
        """
        return await self.put(batch)

    def put(self, batch: Batch) -> asyncio.Future[int]:
        """Do the same for one who can't wait; the batch is kept even if the future is cancelled.

        What is put first becomes durable no later than what follows.
        """
        for annotate in self._annotators:
            annotate(batch)
        group = self._groups[-1]
        if group.weight >= _GROUP_WEIGHT:
            group = _Group()
            self._groups.append(group)
        durable: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        group.add(batch, durable)
        self._work.set()
        return durable

    def hurry(self) -> None:
        """Hold nobody back any more, since the hub stops or none runs: write anyway, or fail."""
        self._hurried = True
        self._work.set()

    def follow(self, consumer: str, position: int, *, optional: bool = False) -> None:
        """Note that ``consumer`` has everything up to ``position``: that may be trimmed.

        For one that is ``optional`` nobody is held back: while it is away, frames are kept up to
        half of the size and age that the journal may have.
        """
        (self._optional if optional else self._cursors)[consumer] = position
        self._work.set()

    def before_commit(self, annotate: Callable[[Batch], None]) -> None:
        """Call ``annotate`` with each batch that is put, which it may add to."""
        self._annotators.append(annotate)

    def after_commit(self, listener: Callable[[int, bytes], None]) -> None:
        """Call ``listener`` with position and frame after each commit, before its senders hear."""
        self._listeners.append(listener)

    def watch(self, watcher: Callable[[int, Sequence[Batch]], None]) -> None:
        """Call ``watcher`` with position and batches after each commit, as ``after_commit``."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: Callable[[int, Sequence[Batch]], None]) -> None:
        """Call it no more."""
        self._watchers.remove(watcher)

    @property
    def health(self) -> JournalHealth:
        """The journal's present condition."""
        return JournalHealth(
            head=self._log.head,
            consumed=self._consumed,
            size=self._log.size,
            commits=self._commits,
            held_back=self.held_back,
        )

    @property
    def _consumed(self) -> int:
        return min(self._cursors.values(), default=0)

    async def _run(self, thread: _Thread) -> None:
        while True:
            busy = self._work.is_set()
            await self._work.wait()
            self._work.clear()
            if self._groups[0].batches:
                if not self._hurried and (reason := await self._why_full(thread)):
                    self._hold_back(reason)
                    continue
                if busy:
                    await self._gather()
                group = self._groups.popleft()
                if not self._groups:
                    self._groups.append(_Group())
                await self._commit(group, thread)
                self._work.set()
            elif self._closing:
                await self._trimmed_so_far()
                return
            # While nothing is committed: a commit that waits for this would wait for the event
            # loop twice, which is what takes long when it is busy.
            self._begin_to_trim(thread)

    async def _gather(self) -> None:
        """Let those whose bytes are here already join the next commit.

        The event loop needs these turns to answer what the last commit made durable, to read,
        and to accept. While it has no time to spare, fewer and larger commits leave it more.
        """
        for _ in range(_GATHER_TURNS):
            await asyncio.sleep(0)

    async def _commit(self, group: _Group, thread: _Thread) -> None:
        attempt = 0
        while True:
            started = time.monotonic()
            try:
                position, frame = await thread.run(self._write, group.batches)
            except StorageError as error:
                self._hold_back(str(error))
                if self._hurried and attempt >= len(_RETRY_SECONDS):
                    group.fail(error)
                    return
                await asyncio.sleep(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)])
                attempt += 1
            else:
                self._release()
                self._commits += 1
                readings = sum(len(one.readings) + len(one.held) for one in group.batches)
                self.pace.note(readings, time.monotonic() - started)
                for listener in self._listeners:
                    listener(position, frame)
                for watcher in self._watchers:
                    watcher(position, group.batches)
                group.tell(position)
                return

    def _write(self, batches: list[Batch]) -> tuple[int, bytes]:
        state: dict[str, bytes | None] = {}
        for batch in batches:
            state.update(batch.state)
        now = self._clock()
        frame = encode_frame(batches, now)
        return self._log.append(frame, now, state), frame

    def _begin_to_trim(self, thread: _Thread) -> None:
        """Have the thread trim, if there is something to trim and it isn't at it already."""
        if self._trimming is not None and not self._trimming.done():
            return
        try:
            goal = self._trim_goal()
        except StorageError as error:
            _not_trimmed(error)
            return
        if goal > self._trimmed:
            self._trimming = self._tasks.create_task(self._trim(goal, thread), name="trimming")

    async def _trim(self, goal: int, thread: _Thread) -> None:
        try:
            gone = await thread.run(self._log.trim, goal, _TRIM_FRAMES)
        except StorageError as error:
            # Trimming is tried again after the next commit or report of a consumer.
            _not_trimmed(error)
            return
        if self._first[0] < goal:
            self._first = 0, None
        if gone < _TRIM_FRAMES:
            self._trimmed = goal
        else:
            self._work.set()

    async def _trimmed_so_far(self) -> None:
        """Wait until the log is nobody's but ours: it is for one thread at a time."""
        if self._trimming is not None:
            await asyncio.wait([self._trimming])

    def _trim_goal(self) -> int:
        """Return up to where frames may go: what all have, or half of the room is full."""
        consumed = self._consumed
        slowest = min(self._optional.values(), default=consumed)
        if slowest >= consumed or 2 * self._log.size > self._limits.size:
            return consumed
        return consumed if 2 * self._age(0) > self._limits.age else slowest

    async def _why_full(self, thread: _Thread) -> str | None:
        """Say why nothing may be committed now, after trimming what may go."""
        if self._first[0] != self._consumed or self._first[1] is None:
            await self._trimmed_so_far()
        if self._full() is None:
            return None
        await self._trimmed_so_far()
        self._begin_to_trim(thread)
        await self._trimmed_so_far()
        return self._full()

    def _full(self) -> str | None:
        consumed = self._consumed
        if self._log.head <= consumed:
            return None
        if self._log.size >= self._limits.size:
            return f"The journal is full: {self._log.size} bytes wait for a consumer."
        try:
            age = self._age(consumed)
        except StorageError:
            # The commit meets the same fault, and says so.
            return None
        if age > self._limits.age:
            return f"The journal is full: its oldest frame has waited {age:.0f} s for a consumer."
        return None

    def _age(self, position: int) -> float:
        """Return for how many seconds the first frame after ``position`` has been there."""
        if self._first[0] != position or self._first[1] is None:
            self._first = position, self._log.time_after(position)
        time = self._first[1]
        return 0.0 if time is None else (self._aging() - time) / MICROSECONDS

    def _hold_back(self, reason: str) -> None:
        if self.held_back != reason:
            _logger.error(
                "senders are held back",
                reason=reason,
                waiting=sum(len(group.batches) for group in self._groups),
            )
        self.held_back = reason

    def _release(self) -> None:
        if self.held_back is not None:
            _logger.info("senders go on", after=self.held_back)
        self.held_back = None


def _not_trimmed(error: StorageError) -> None:
    _logger.warning("journal not trimmed", reason=str(error))
