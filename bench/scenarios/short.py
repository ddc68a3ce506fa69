"""1,000 short connections of 10 records each, 50 at a time, as boards make them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from bench.harness import Case, Generator, Sample, Settings
from bench.processes import cpu_seconds, peak_memory
from bench.records import READINGS_PER_RECORD
from bench.servers import Hub, Original, Server
from bench.visits import Order

VISITS: Final = 1000
QUICK_VISITS: Final = 300

_POLL_SECONDS: Final = 0.02
_PATIENCE: Final = 20.0


def cases(settings: Settings) -> Sequence[Case]:
    """Compare with full handshakes, then with TLS 1.2 sessions that are resumed."""
    return [
        Case(
            f"short connections, {handshakes}",
            {
                "motehub": partial(_run, Hub, resume),
                "original": partial(_run, Original, resume),
            },
        )
        for handshakes, resume in (("full handshakes", False), ("sessions resumed", True))
    ]


def _run(make: Callable[[Path, Path], Server], resume: bool, settings: Settings) -> Sample:
    with settings.fresh_folder() as folder, make(folder, settings.certificates) as server:
        return _measure(server, resume, settings)


def _measure(server: Server, resume: bool, settings: Settings) -> Sample:
    visits = QUICK_VISITS if settings.quick else VISITS
    order = Order(server.port, settings.authority, visits, resume=resume, newline=server.newline)
    expected = visits * order.records * READINGS_PER_RECORD
    with Generator("bench.visits", order) as generator, peak_memory(server.process_id) as peak:
        cpu = cpu_seconds(server.process_id)
        generator.go()
        began = time.monotonic()
        durable = 0
        while durable < expected and time.monotonic() - began < _PATIENCE:
            time.sleep(_POLL_SECONDS)
            durable = server.durable()
        passed = time.monotonic() - began
        outcome = generator.outcome()
        cpu = cpu_seconds(server.process_id) - cpu
    return {
        "connections/s until durable": visits / passed,
        "connections/s made": visits / outcome["seconds"],
        "share resumed": outcome["resumed"] / visits,
        "server CPU ms per connection": 1000 * cpu / visits,
        "generator CPU ms per connection": 1000 * outcome["cpu"] / visits,
        "peak PSS, MB": peak.pss / 1e6,
        "readings lost": expected - durable,
    }
