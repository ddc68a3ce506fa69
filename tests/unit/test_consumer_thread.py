"""The thread of a base unit that sends its readings."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.harness import PATIENCE
from tests.receivers import Receiver
from tests.unit.core.support import FakeClock, open_hub

from motehub.consumer_thread import ConsumerThread
from motehub.webhooks.endpoints import Dashboard, Plan
from motehub.webhooks.outbox import BASE_FILE_NAME


async def test_it_is_ready_once_it_knows_where_it_is(tmp_path: Path) -> None:
    """Until its outbox opens nobody is told to come in: what came before it would not be sent."""
    obstacle = tmp_path / BASE_FILE_NAME
    obstacle.mkdir()
    with Receiver() as receiver:
        async with open_hub(tmp_path, FakeClock()) as (_, journal):
            plan = Plan(dashboard=Dashboard(receiver.url, "t"))
            consumer = ConsumerThread("base", tmp_path, plan, journal)
            starting = asyncio.create_task(consumer.start())
            async with asyncio.timeout(PATIENCE):
                while consumer.restarts < 2:
                    await asyncio.sleep(0.01)
                assert not starting.done()
                assert consumer.report.trouble is not None
                obstacle.rmdir()
                await starting
            assert consumer.report.trouble is None
            await consumer.stop()
