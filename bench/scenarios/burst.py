"""50 TLS connections send records as fast as they are taken, for 10 seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from bench.harness import Case, Generator, Sample, Settings
from bench.load import Order
from bench.processes import cpu_seconds, peak_memory
from bench.records import CHUNK_RECORDS, READINGS_PER_RECORD
from bench.servers import Hub, Original, Server, Sink, Stores

SECONDS: Final = 10.0
QUICK_SECONDS: Final = 3.0

SMALL_CHUNK_RECORDS: Final = 20
"""Records of a small write, as many as a board sends at a time."""

_PATIENCE: Final = 60.0
_MILLION: Final = 1e6


def cases(settings: Settings) -> Sequence[Case]:
    """Compare motehub with the original's way, and show what the generator can do."""
    return [
        case
        for records in (CHUNK_RECORDS, SMALL_CHUNK_RECORDS)
        for case in (
            Case(
                f"burst, {records} records a write",
                {
                    "motehub": partial(_run, Hub, records),
                    "original": partial(_run, Original, records),
                },
            ),
            Case(f"generator alone, {records} records a write", {"sink": partial(_sink, records)}),
        )
    ]


def measure(server: Server, ca: str, seconds: float, records: int = CHUNK_RECORDS) -> Sample:
    """Send for ``seconds``; count what is durable then, and wait until all of it is stored."""
    order = Order(server.port, ca, seconds, chunk=records, newline=server.newline)
    with Generator("bench.load", order) as generator, peak_memory(server.process_id) as peak:
        cpu = cpu_seconds(server.process_id)
        generator.go()
        began = time.monotonic()
        time.sleep(seconds)
        passed = time.monotonic() - began
        durable = server.durable()
        outcome = generator.outcome()
        sent = int(outcome["records"]) * READINGS_PER_RECORD
        stored = wait_until_stored(server, sent)
        everything = time.monotonic() - began
        cpu = cpu_seconds(server.process_id) - cpu
    return {
        "readings/s durable": durable / passed,
        "records/s durable": durable / passed / READINGS_PER_RECORD,
        "readings/s to the end of storing": stored / everything,
        "CPU s per million readings": cpu / (stored / _MILLION),
        "peak PSS, MB": peak.pss / _MILLION,
        "peak RSS, MB": peak.rss / _MILLION,
        "readings lost": sent - stored,
        "generator CPU s per million readings": outcome["cpu"] / (sent / _MILLION),
    }


def wait_until_stored(server: Stores, readings: int) -> int:
    """Wait until ``readings`` are where queries find them, or no more arrive; return how many."""
    stored, heard = 0, time.monotonic()
    while stored < readings and time.monotonic() - heard < _PATIENCE:
        time.sleep(0.05)
        if (now := server.finished()) != stored:
            stored, heard = now, time.monotonic()
    return stored


def _seconds(settings: Settings) -> float:
    return QUICK_SECONDS if settings.quick else SECONDS


def _run(make: Callable[[Path, Path], Server], records: int, settings: Settings) -> Sample:
    with settings.fresh_folder() as folder, make(folder, settings.certificates) as server:
        return measure(server, settings.authority, _seconds(settings), records)


def _sink(records: int, settings: Settings) -> Sample:
    with settings.fresh_folder() as folder, Sink(folder, settings.certificates) as server:
        order = Order(server.port, settings.authority, _seconds(settings), chunk=records)
        with Generator("bench.load", order) as generator:
            generator.go()
            outcome = generator.outcome()
    readings = outcome["records"] * READINGS_PER_RECORD
    return {
        "readings/s sent": readings / outcome["seconds"],
        "generator CPU s per million readings": outcome["cpu"] / (readings / _MILLION),
    }
