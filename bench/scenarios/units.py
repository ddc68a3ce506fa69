"""A thousand boards that listen, each on a connection that the hub keeps; into SQLite."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from functools import partial
from typing import Final

from bench.harness import Case, Generator, Sample, Settings
from bench.processes import cpu_seconds, peak_memory
from bench.scenarios.burst import wait_until_stored
from bench.servers import TEXT_STREAM, Hub
from bench.unit_boards import FIRST, Order, address_of

BOARDS: Final = 1_000

RATES: Final = (10.0, 30.0, 100.0)
"""Readings a second of each board; the last is more than the hub takes here."""

SECONDS: Final = 10.0
QUICK_SECONDS: Final = 3.0

_MILLION: Final = 1e6


def cases(settings: Settings) -> Sequence[Case]:
    """Measure a rate that boards have, and others that show what is left."""
    return [
        Case(f"{BOARDS:,} units, {rate:g} readings/s of each", {"motehub": partial(_measure, rate)})
        for rate in RATES
    ]


def _measure(rate: float, settings: Settings) -> Sample:
    port = _free_port()
    seconds = QUICK_SECONDS if settings.quick else SECONDS
    addresses = json.dumps([address_of(board) for board in range(BOARDS)])
    sections = f"{TEXT_STREAM}[transport.units]\nport = {port}\nread_units = {addresses}\n"
    with (
        settings.fresh_folder() as folder,
        Generator("bench.unit_boards", Order(port, BOARDS, rate, seconds)) as boards,
        Hub(folder, settings.certificates, sections=sections) as hub,
        peak_memory(hub.process_id) as peak,
    ):
        cpu = cpu_seconds(hub.process_id)
        boards.go()
        outcome = boards.outcome()
        sent = int(outcome["readings"])
        in_time = hub.durable()
        stored = wait_until_stored(hub, sent)
        cpu = cpu_seconds(hub.process_id) - cpu
    return {
        "readings/s sent": sent / outcome["seconds"],
        "readings/s durable when the last was sent": in_time / outcome["seconds"],
        "seconds until all are connected": outcome["connected"],
        "CPU s per million readings": cpu / (stored / _MILLION),
        "peak PSS, MB": peak.pss / _MILLION,
        "readings lost": sent - stored,
        "times a board was held back": outcome["held_back"],
        "boards' CPU s per million readings": outcome["cpu"] / (sent / _MILLION),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((FIRST, 0))
        return int(probe.getsockname()[1])
