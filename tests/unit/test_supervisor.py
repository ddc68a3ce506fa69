"""What the hub tells an optional consumer after a commit."""

from __future__ import annotations

import asyncio
import os
import signal
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.unit.core.support import LIMITS, FakeClock

from motehub.core.journal import Journal
from motehub.following import NOTICE_BYTES
from motehub.frames import Batch
from motehub.journals.sqlite import SqliteLog
from motehub.supervisor import ConsumerProcess, Program


def batch(readings: int) -> Batch:
    """Return a batch of so many readings."""
    made = Batch()
    made.readings.add(1, array("q", range(readings)), array("d", range(readings)))
    return made


async def until(condition: Callable[[], object]) -> None:
    """Return when ``condition`` holds."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def listening(
    folder: Path, trouble: str = ""
) -> AsyncIterator[tuple[Journal, ConsumerProcess]]:
    """Run a journal and a consumer of it that reports what it hears."""
    log = SqliteLog(folder)
    program = Program("test", "test", "tests.unit.listening_consumer", (trouble,), {}, True, True)
    async with asyncio.TaskGroup() as tasks, Journal(log, LIMITS, FakeClock(), tasks) as journal:
        consumer = ConsumerProcess(program, journal, tasks)
        await consumer.start()
        yield journal, consumer
        await consumer.stop()
    log.close()


async def test_a_waiting_consumer_is_sent_small_frames(tmp_path: Path) -> None:
    """A frame that is longer than that is only news: the journal has it."""
    async with listening(tmp_path) as (journal, consumer):
        assert await journal.append(batch(1)) == 1
        await until(lambda: consumer.report.counts["frames"] == 1)
        assert consumer.report.position == 1
        await journal.append(batch(NOTICE_BYTES // 16))
        await until(lambda: consumer.report.counts["news"] == 1)
        assert consumer.report.counts["frames"] == 1


async def test_a_consumer_in_trouble_is_sent_no_frames(tmp_path: Path) -> None:
    """It could not take them, and reads the journal when it can go on."""
    async with listening(tmp_path, "The store is away.") as (journal, consumer):
        await journal.append(batch(1))
        await until(lambda: consumer.report.counts["news"] == 1)
        assert consumer.report.counts["frames"] == 0


async def test_a_consumer_that_stands_still_is_reminded(tmp_path: Path) -> None:
    """What waits for it is bounded, nobody is held up, and then it hears that there is more."""
    async with listening(tmp_path) as (journal, consumer):
        assert consumer.process_id is not None
        assert consumer._process is not None
        assert consumer._process.stdin is not None
        os.kill(consumer.process_id, signal.SIGSTOP)
        try:
            for _ in range(1000):
                await journal.append(batch(1))
                waiting = consumer._process.stdin.transport.get_write_buffer_size()
                assert waiting <= NOTICE_BYTES + 64
        finally:
            os.kill(consumer.process_id, signal.SIGCONT)
        await until(lambda: consumer.report.counts["news"])
