"""Does the history keep up: a steady rate for a minute, and the highest rate that it can hold."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from bench.harness import Case, Generator, Sample, Settings
from bench.load import Order
from bench.processes import cpu_seconds, peak_memory
from bench.records import READINGS_PER_RECORD
from bench.scenarios.burst import wait_until_stored
from bench.servers import Backlog, Hub
from bench.table import insert_rate

RATE: Final = 150_000.0
"""Records per second of all 50 connections together, in the steady case."""

SECONDS: Final = 60.0
QUICK_SECONDS: Final = 10.0

PROBE_SECONDS: Final = 12.0
QUICK_PROBE_SECONDS: Final = 4.0
PROBES: Final = 6

_HIGHEST: Final = 1_000_000.0

KEPT_UP: Final = 0.95
"""Share of the offered readings that must be durable at the end."""

OLDEST_SECONDS: Final = 0.6
"""Age of the backlog up to which the history keeps up: it folds every 0.2 s and a little more."""

_POLL_SECONDS: Final = 0.5


def cases(settings: Settings) -> Sequence[Case]:
    """Compare the hub with what SQLite alone takes on this machine in the same minutes."""
    return [
        Case(f"sustained, {RATE:,.0f} records/s offered", {"motehub": _steady, "table": _table}),
        Case("sustained, highest rate", {"motehub": _highest, "table": _table}),
    ]


def _steady(settings: Settings) -> Sample:
    return _at_rate(RATE, QUICK_SECONDS if settings.quick else SECONDS, settings)


def _table(settings: Settings) -> Sample:
    with settings.fresh_folder() as folder:
        return {"rows/s": insert_rate(folder, 2.0 if settings.quick else 5.0)}


def _highest(settings: Settings) -> Sample:
    """Halve the range of rates until it is known at which the history just keeps up."""
    seconds = QUICK_PROBE_SECONDS if settings.quick else PROBE_SECONDS
    low, high = 0.0, _HIGHEST
    best: Sample = {}
    for _ in range(PROBES):
        rate = (low + high) / 2
        sample = _at_rate(rate, seconds, settings, give_up=True)
        if _kept_up(sample):
            low, best = rate, sample
        else:
            high = rate
    return {"rows/s": 0.0, **best}


def _kept_up(sample: Sample) -> bool:
    return (
        sample["readings/s durable"] >= KEPT_UP * sample["readings/s offered"]
        and sample["backlog at the end, s"] <= OLDEST_SECONDS
    )


def _at_rate(rate: float, seconds: float, settings: Settings, *, give_up: bool = False) -> Sample:
    """Offer ``rate`` for a while; ``give_up`` ends at once when the history fell behind."""
    with settings.fresh_folder() as folder, Hub(folder, settings.certificates) as hub:
        order = Order(hub.port, settings.authority, seconds, rate=rate)
        with Generator("bench.load", order) as generator, peak_memory(hub.process_id) as peak:
            cpu = cpu_seconds(hub.process_id)
            generator.go()
            began = time.monotonic()
            backlogs = [Backlog(0, 0, 0.0)]
            while (left := began + seconds - time.monotonic()) > 0:
                time.sleep(min(_POLL_SECONDS, left))
                backlogs.append(hub.backlog())
            passed = time.monotonic() - began
            sample = {
                "rows/s": hub.finished() / passed,
                "readings/s offered": rate * READINGS_PER_RECORD,
                "readings/s durable": hub.durable() / passed,
                "backlog at the end, frames": backlogs[-1].frames,
                "backlog at the end, MB": backlogs[-1].size / 1e6,
                "backlog at the end, s": backlogs[-1].age,
                "greatest backlog, MB": max(backlog.size for backlog in backlogs) / 1e6,
                "greatest backlog, s": max(backlog.age for backlog in backlogs),
            }
            if give_up and not _kept_up(sample):
                hub.kill()
                return sample
            outcome = generator.outcome()
            sent = int(outcome["records"]) * READINGS_PER_RECORD
            stored = wait_until_stored(hub, sent)
            cpu = cpu_seconds(hub.process_id) - cpu
    return {
        **sample,
        "CPU s per million readings": cpu / (stored / 1e6),
        "peak PSS, MB": peak.pss / 1e6,
        "readings lost": sent - stored,
    }
