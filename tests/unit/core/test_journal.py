"""Group commit: durability, bounds, back-pressure, faults of the storage."""

from __future__ import annotations

import asyncio
import threading
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.unit.core.support import LIMITS, FakeClock, frames

from motehub.core.journal import Journal, JournalLimits
from motehub.errors import StorageError
from motehub.frames import Batch
from motehub.journals.sqlite import SqliteLog, SqliteLogReader
from motehub.model import MICROSECONDS


def batch(*values: float) -> Batch:
    made = Batch()
    made.readings.add(1, array("q", range(len(values))), array("d", values))
    return made


class StubbornLog(SqliteLog):
    """A real log whose appends wait for a gate and fail as often as it is told."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.gate = threading.Event()
        self.gate.set()
        self.failures = 0

    def append(self, frame: bytes, time: int, state: Mapping[str, bytes | None]) -> int:
        self.gate.wait(60)
        if self.failures:
            self.failures -= 1
            raise StorageError("The disk is full.")
        return super().append(frame, time, state)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


async def test_what_waits_goes_into_one_commit(tmp_path: Path) -> None:
    """While one commit is under way the batches of all senders gather for the next."""
    log = StubbornLog(tmp_path)
    async with asyncio.TaskGroup() as tasks, Journal(log, LIMITS, FakeClock(), tasks) as journal:
        log.gate.clear()
        first = asyncio.create_task(journal.append(batch(0)))
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(journal.append(batch(n))) for n in range(1, 101)]
        await asyncio.sleep(0.05)
        assert not first.done()
        log.gate.set()
        assert await first == 1
        assert set(await asyncio.gather(*others)) == {2}
    assert [list(frame.readings.values) for _, frame in frames(tmp_path)] == [
        [0],
        [float(n) for n in range(1, 101)],
    ]
    log.close()


async def test_a_commit_is_bounded(tmp_path: Path) -> None:
    """Batches beyond a few megabytes wait for a commit of their own: no frame grows too large."""
    log = StubbornLog(tmp_path)
    limits = JournalLimits(size=10**9, age=3600)
    big = Batch()
    big.readings.add(1, array("q", [0]) * 700_000, array("d", [0]) * 700_000)
    async with asyncio.TaskGroup() as tasks, Journal(log, limits, FakeClock(), tasks) as journal:
        log.gate.clear()
        first = asyncio.create_task(journal.append(batch(0)))
        await asyncio.sleep(0.02)
        others = [asyncio.create_task(journal.append(one)) for one in (big, big, batch(1))]
        await asyncio.sleep(0.02)
        log.gate.set()
        assert await first == 1
        assert await asyncio.gather(*others) == [2, 3, 4]
    log.close()


async def test_a_sender_that_goes_away_costs_the_others_nothing(tmp_path: Path) -> None:
    """Cancelling one wait neither drops its batch nor wakes the others."""
    log = StubbornLog(tmp_path)
    async with asyncio.TaskGroup() as tasks, Journal(log, LIMITS, FakeClock(), tasks) as journal:
        log.gate.clear()
        gone, stays = (asyncio.create_task(journal.append(batch(n))) for n in (1, 2))
        await asyncio.sleep(0.02)
        gone.cancel()
        await asyncio.sleep(0.02)
        assert not stays.done()
        log.gate.set()
        await stays
    assert [v for _, frame in frames(tmp_path) for v in frame.readings.values] == [1, 2]
    log.close()


async def test_a_failing_disk_holds_senders_back_and_loses_nothing(tmp_path: Path) -> None:
    """The commit is tried again until it succeeds; health says why senders wait."""
    log = StubbornLog(tmp_path)
    async with asyncio.TaskGroup() as tasks, Journal(log, LIMITS, FakeClock(), tasks) as journal:
        log.failures = 2
        waiting = asyncio.create_task(journal.append(batch(1)))
        await until(lambda: journal.health.held_back)
        assert journal.health.held_back == "The disk is full."
        assert not waiting.done()
        assert await waiting == 1
        assert journal.health.held_back is None
    assert len(frames(tmp_path)) == 1
    log.close()


async def test_shutting_down_on_a_dead_disk_tells_the_senders(tmp_path: Path) -> None:
    """When the log keeps failing at shutdown, nobody waits for ever or is told "stored"."""
    log = StubbornLog(tmp_path)
    async with asyncio.TaskGroup() as tasks:
        async with Journal(log, LIMITS, FakeClock(), tasks) as journal:
            log.failures = 1000
            waiting = asyncio.create_task(journal.append(batch(1)))
            await until(lambda: journal.health.held_back)
        with pytest.raises(StorageError, match="full"):
            await waiting
    log.close()


async def test_a_full_journal_holds_senders_until_a_consumer_moves_on(tmp_path: Path) -> None:
    """At the bound nothing more is taken; when the consumer has caught up it goes on."""
    log = SqliteLog(tmp_path)
    limits = JournalLimits(size=500, age=3600)
    async with asyncio.TaskGroup() as tasks, Journal(log, limits, FakeClock(), tasks) as journal:
        journal.follow("history", 0)
        while log.size < limits.size:
            position = await journal.append(batch(*range(10)))
        waiting = asyncio.create_task(journal.append(batch(99)))
        await until(lambda: journal.health.held_back)
        assert "full" in str(journal.health.held_back)
        assert not waiting.done()
        journal.follow("history", position)
        assert await waiting == position + 1
    log.close()


async def test_an_old_frame_holds_senders_back_too(tmp_path: Path) -> None:
    """The bound on age: a consumer may be away for so long and no longer."""
    log, clock = SqliteLog(tmp_path), FakeClock()
    limits = JournalLimits(size=10**9, age=60)
    async with asyncio.TaskGroup() as tasks, Journal(log, limits, clock, tasks) as journal:
        journal.follow("history", 0)
        await journal.append(batch(1))
        clock.now += 61 * MICROSECONDS
        waiting = asyncio.create_task(journal.append(batch(2)))
        await until(lambda: journal.health.held_back)
        assert "61 s" in str(journal.health.held_back)
        journal.follow("history", 1)
        await waiting
    log.close()


async def test_only_what_every_consumer_has_is_trimmed(tmp_path: Path) -> None:
    """The slowest consumer decides; the newest frame always stays."""
    log = SqliteLog(tmp_path)
    async with asyncio.TaskGroup() as tasks, Journal(log, LIMITS, FakeClock(), tasks) as journal:
        journal.follow("history", 0)
        journal.follow("mirror", 0)
        for n in range(200):
            await journal.append(batch(n))
        journal.follow("history", 200)
        await asyncio.sleep(0.05)
        assert len(frames(tmp_path)) == 200
        journal.follow("mirror", 150)
        await until(lambda: len(frames(tmp_path)) == 50)
        journal.follow("mirror", 200)
        await until(lambda: len(frames(tmp_path)) == 1)
        assert await journal.append(batch(1)) == 201
    log.close()


class BusyLog(SqliteLog):
    """A real log that trims while a gate is open, and counts calls that come during another."""

    def __init__(self, folder: Path) -> None:
        self._one = threading.Lock()
        self.gate = threading.Event()
        self.gate.set()
        self.met = self.trims = self.faults = 0
        super().__init__(folder)

    @contextmanager
    def alone(self) -> Iterator[None]:
        free = self._one.acquire(blocking=False)
        self.met += not free
        try:
            yield
        finally:
            if free:
                self._one.release()

    def append(self, frame: bytes, time: int, state: Mapping[str, bytes | None]) -> int:
        with self.alone():
            return super().append(frame, time, state)

    def trim(self, consumed: int, frames: int) -> int:
        with self.alone():
            self.trims += 1
            self.gate.wait(10)
            if self.faults:
                self.faults -= 1
                raise StorageError("The disk failed.")
            return super().trim(consumed, frames)

    def time_after(self, position: int) -> int | None:
        with self.alone():
            return super().time_after(position)


async def test_the_log_is_asked_for_one_thing_at_a_time(tmp_path: Path) -> None:
    """While it trims, nobody looks up in it how old the frames are that wait."""
    log = BusyLog(tmp_path)
    async with asyncio.TaskGroup() as tasks, Journal(log, LIMITS, FakeClock(), tasks) as journal:
        journal.follow("history", 0)
        for n in range(5):
            await journal.append(batch(n))
        log.gate.clear()
        journal.follow("history", 2)
        await until(lambda: log.trims)
        journal.follow("history", 3)
        waiting = asyncio.create_task(journal.append(batch(5)))
        for _ in range(20):
            await asyncio.sleep(0)
        assert log.met == 0
        log.gate.set()
        assert await waiting == 6
        await until(lambda: len(frames(tmp_path)) == 3)
    assert log.met == 0
    log.close()


async def test_a_log_that_cannot_be_trimmed_takes_what_comes(tmp_path: Path) -> None:
    """A fault while frames are deleted costs no sender anything; they go a little later."""
    log = BusyLog(tmp_path)
    log.faults = 3
    async with asyncio.TaskGroup() as tasks, Journal(log, LIMITS, FakeClock(), tasks) as journal:
        journal.follow("history", 0)
        for n in range(10):
            assert await journal.append(batch(n)) == n + 1
            journal.follow("history", n + 1)
        await until(lambda: len(frames(tmp_path)) == 1)
        assert log.faults == 0
    log.close()


async def test_an_optional_consumer_holds_nobody_back(tmp_path: Path) -> None:
    """While it is away frames are kept for it, up to half of the size that is allowed."""
    log = SqliteLog(tmp_path)
    limits = JournalLimits(size=100_000, age=3600)
    async with asyncio.TaskGroup() as tasks, Journal(log, limits, FakeClock(), tasks) as journal:
        journal.follow("mirror", 0, optional=True)
        for n in range(20):
            journal.follow("history", await journal.append(batch(n)))
        await asyncio.sleep(0.05)
        assert len(frames(tmp_path)) == 20
        for n in range(1000):
            journal.follow("history", await journal.append(batch(*range(n % 20))))
            assert journal.health.held_back is None
        await until(lambda: log.size <= 50_000)
        assert log.size > 30_000
        journal.follow("mirror", journal.health.head, optional=True)
        await until(lambda: len(frames(tmp_path)) == 1)
    log.close()


async def test_old_frames_are_not_kept_for_an_optional_consumer(tmp_path: Path) -> None:
    """Nor beyond half of the age."""
    log, clock = SqliteLog(tmp_path), FakeClock()
    limits = JournalLimits(size=10**9, age=60)
    async with asyncio.TaskGroup() as tasks, Journal(log, limits, clock, tasks) as journal:
        journal.follow("mirror", 0, optional=True)
        for n in range(600):
            clock.now += MICROSECONDS // 10
            journal.follow("history", await journal.append(batch(n)))
            assert journal.health.held_back is None
        # They go in lots of 64.
        await until(lambda: 230 < len(frames(tmp_path)) <= 301)
    log.close()


async def test_a_clock_that_jumps_makes_no_frame_old(tmp_path: Path) -> None:
    """While it is doubted frames stay for who is optional, and nobody is held back for others."""
    log, clock, known = SqliteLog(tmp_path), FakeClock(), FakeClock()
    limits = JournalLimits(size=10**9, age=60)
    async with asyncio.TaskGroup() as tasks, Journal(log, limits, clock, tasks, known) as journal:
        journal.follow("history", 0)
        journal.follow("mirror", 0, optional=True)
        await journal.append(batch(1))
        clock.now += 5 * 365 * 86_400 * MICROSECONDS
        await journal.append(batch(2))
        journal.follow("history", await journal.append(batch(3)))
        # Whatever could be trimmed is when that is durable.
        await journal.append(batch(4))
        assert journal.health.held_back is None
        assert len(frames(tmp_path)) == 4
        # The first is old once that much time has really passed.
        known.now += 31 * MICROSECONDS
        journal.follow("history", await journal.append(batch(5)))
        await until(lambda: len(frames(tmp_path)) < 4)
    log.close()


async def test_listeners_hear_of_each_commit_before_the_senders(tmp_path: Path) -> None:
    """So whoever follows the journal is at work while the senders are answered."""
    log, heard = SqliteLog(tmp_path), list[tuple[int, bytes]]()
    async with asyncio.TaskGroup() as tasks, Journal(log, LIMITS, FakeClock(), tasks) as journal:
        journal.after_commit(lambda position, frame: heard.append((position, frame)))
        for n in range(3):
            position = await journal.append(batch(n))
            assert heard[n:] == SqliteLogReader(tmp_path).read(n, 1)
            assert heard[-1][0] == position
    log.close()


async def test_state_is_durable_with_its_batch(tmp_path: Path) -> None:
    """Keys are set, replaced and deleted by the commits that carry them."""
    log = SqliteLog(tmp_path)
    async with asyncio.TaskGroup() as tasks, Journal(log, LIMITS, FakeClock(), tasks) as journal:
        for state in ({"a": b"1", "b": b"2"}, {"a": b"3"}, {"b": None}):
            made = Batch()
            made.state.update(state)
            await journal.append(made)
    log.close()
    reopened = SqliteLog(tmp_path)
    assert reopened.state() == {"a": b"3"}
    assert reopened.head == 3
    reopened.close()
