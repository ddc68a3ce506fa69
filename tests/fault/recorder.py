"""A hub to be killed: it accepts readings as fast as it can and notes each batch when durable.

``python -m tests.fault.recorder DIR ROUND`` opens the real parts on DIR and prints ``ready PID``
with the writer's process id. Then many tasks go through ``Hub.accept``. Each prints ``try TASK
FIRST COUNT`` before a batch, and ``ack TASK FIRST COUNT`` once ``accept`` has returned: FIRST is
the time (µs) of its first reading, the others follow 1 µs apart. It never ends by itself.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from array import array
from pathlib import Path
from typing import Final

from motehub import data_folder
from motehub.app import running
from motehub.config import Configuration, HubSettings, JournalSettings, StoreSettings
from motehub.core.admission import Policy
from motehub.core.hub import Hub
from motehub.core.retention import RetentionSettings
from motehub.logs import set_up_logs
from motehub.model import Delivery, Samples, Source

TASKS: Final = 8
"""Devices that send at the same time; task n is called ``task-n``."""

ROUND: Final = 10**12
"""Distance in µs between the times of two rounds: far more than one round sends."""

LARGEST: Final = 40
"""Most readings in a batch."""


def value_at(task: int, time: int) -> float:
    """Return what ``task`` measures at ``time``: exact as a float, and unlike its neighbours."""
    return (time * 2_654_435_761 + task) % 2**40 / 256


def configuration(folder: Path) -> Configuration:
    """Return the settings with which ``folder`` is opened, here and by whoever checks it."""
    hub = HubSettings(data_dir=str(folder), admission=Policy.OPEN)
    # The times that are sent are of 1970.
    kept = RetentionSettings(raw="forever", minute="forever")
    return Configuration(hub, JournalSettings(), StoreSettings(), {}, retention=kept)


async def record(folder: Path, number: int) -> None:
    """Open the hub on ``folder`` and send the readings of round ``number`` until killed."""
    data_folder.prepare(folder)
    with data_folder.locked(folder):
        async with asyncio.TaskGroup() as tasks, running(configuration(folder), tasks) as parts:
            _print(f"ready {parts.health()['writer']['pid']}")
            async with asyncio.TaskGroup() as senders:
                for task in range(TASKS):
                    senders.create_task(_send(parts.hub, task, number * ROUND))


async def _send(hub: Hub, task: int, time: int) -> None:
    source = Source("recorder", f"recorder:{task}", f"task-{task}", "127.0.0.1")
    rng = random.Random(time + task)
    while True:
        count = rng.randint(1, LARGEST)
        times = array("q", range(time, time + count))
        values = array("d", (value_at(task, moment) for moment in times))
        _print(f"try {task} {time} {count}")
        await hub.accept([Delivery(source, [Samples("level", "m", times, values)])])
        _print(f"ack {task} {time} {count}")
        time += count
        await asyncio.sleep(rng.choice((0, 0, 0.002)))


def _print(line: str) -> None:
    # Not through a buffer: a line that is not written yet would die with the process.
    os.write(sys.stdout.fileno(), line.encode("ascii") + b"\n")


if __name__ == "__main__":
    set_up_logs(sys.stderr)
    asyncio.run(record(Path(sys.argv[1]), int(sys.argv[2])))
