"""What the writer folds into PostgreSQL when the journal is full, against plain COPY."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psycopg

from bench.harness import Case, Sample, Settings
from bench.peers import PostgresHub, postgres_server
from bench.processes import ProcessFailed, cpu_seconds, peak_memory
from bench.records import FIRST_SECOND
from motehub import data_folder
from motehub.config import load
from motehub.core.hub import Hub
from motehub.model import MICROSECONDS, Delivery, Samples, Source
from motehub.storage import open_hub

DEVICES: Final = 50
METRICS: Final = {"temperature": "°C", "relative_humidity": "%"}
"""Of each device, with their units: 100 series in all."""

READINGS_PER_SERIES: Final = 25
"""In one frame of the journal, a second apart."""

FRAMES: Final = 2_400
QUICK_FRAMES: Final = 400

COPY_ROWS: Final = 10_000
"""Rows of a COPY, each committed."""

COPY_SECONDS: Final = 10.0
QUICK_COPY_SECONDS: Final = 2.0

_PER_FRAME: Final = DEVICES * len(METRICS) * READINGS_PER_SERIES
_POLL_SECONDS: Final = 0.05
_PATIENCE: Final = 120.0

# The signature, flags and the length of an extension; then what ends the rows.
_COPY_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END: Final = b"\xff\xff"


def cases(settings: Settings) -> Sequence[Case]:
    """Compare folding, with its key and counters, with COPY into a table that has no key."""
    return [Case("PostgreSQL fold", {"motehub": _fold, "COPY alone": _copy})]


def _fold(settings: Settings) -> Sample:
    frames = QUICK_FRAMES if settings.quick else FRAMES
    wanted = frames * _PER_FRAME
    with settings.fresh_folder() as folder, postgres_server() as server:
        hub = PostgresHub(folder, settings.certificates, server.new_database())
        asyncio.run(_fill(hub.configure(), folder, frames))
        with hub:
            processes = hub.process_id, server.process_id
            with peak_memory(*processes) as peak:
                cpu = cpu_seconds(*processes)
                first, began = _wait_for_more(hub, 0)
                stored, ended = first, began
                while stored < wanted:
                    stored, ended = _wait_for_more(hub, stored)
                cpu = cpu_seconds(*processes) - cpu
    return {
        "rows/s": (stored - first) / (ended - began),
        "rows": stored,
        "CPU s per million rows": cpu / (stored / 1e6),
        "peak PSS, MB": peak.pss / 1e6,
    }


async def _fill(file: Path, data: Path, frames: int) -> None:
    """Write frames of live readings into the journal, while there is no writer to fold them."""
    configuration = load(file, data_dir=str(data))
    data_folder.prepare(data)
    with data_folder.locked(data):
        async with asyncio.TaskGroup() as tasks:
            with open_hub(configuration, tasks) as (hub, journal):
                async with journal:
                    for number in range(frames):
                        await _accept(hub, (FIRST_SECOND + number * READINGS_PER_SERIES))


async def _accept(hub: Hub, second: int) -> None:
    """Have one frame written whose readings begin at ``second``, in seconds since 1970."""
    seconds = range(second, second + READINGS_PER_SERIES)
    times = array("q", [one * MICROSECONDS for one in seconds])
    deliveries = []
    for device in range(DEVICES):
        name = f"device-{device}"
        values = array("d", [15 + (one + device) % 150 / 10 for one in seconds])
        records = [Samples(metric, unit, times, values) for metric, unit in METRICS.items()]
        source = Source("bench", f"bench:{name}", name, "127.0.0.1", vouched=True)
        deliveries.append(Delivery(source, list(records)))
    await hub.accept(deliveries)


def _wait_for_more(hub: PostgresHub, than: int) -> tuple[int, float]:
    """Return how many rows the history has and when that was seen, once it has more."""
    give_up = time.monotonic() + _PATIENCE
    while time.monotonic() < give_up:
        # Until the hub has made its tables they can't be asked.
        with contextlib.suppress(psycopg.errors.UndefinedTable):
            if (stored := hub.finished()) > than:
                return stored, time.monotonic()
        time.sleep(_POLL_SECONDS)
    raise ProcessFailed(f"The history stands still at {than} rows.")


def _copy(settings: Settings) -> Sample:
    """Send the same rows again and again: only the server's work counts."""
    rows = b"".join(
        struct.pack(
            ">hiqiqid", 3, 8, number % 100, 8, FIRST_SECOND * MICROSECONDS + number, 8, 20.5
        )
        for number in range(COPY_ROWS)
    )
    block = _COPY_HEADER + rows + _COPY_END
    seconds = QUICK_COPY_SECONDS if settings.quick else COPY_SECONDS
    with postgres_server() as server, psycopg.connect(server.url("postgres")) as connection:
        connection.execute("CREATE TABLE plain (series bigint, time bigint, value float8)")
        connection.commit()
        cpu = cpu_seconds(server.process_id)
        count, began = 0, time.monotonic()
        with peak_memory(server.process_id) as peak:
            while time.monotonic() - began < seconds:
                with connection.cursor().copy("COPY plain FROM STDIN (FORMAT binary)") as copy:
                    copy.write(block)
                connection.commit()
                count += COPY_ROWS
        passed = time.monotonic() - began
        cpu = cpu_seconds(server.process_id) - cpu
    return {
        "rows/s": count / passed,
        "rows": count,
        "CPU s per million rows": cpu / (count / 1e6),
        "peak PSS, MB": peak.pss / 1e6,
    }
