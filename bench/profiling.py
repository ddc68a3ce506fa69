"""Where the hub's event loop spends its time while a burst, JSON objects or MQTT come in."""

from __future__ import annotations

import pstats
from functools import partial
from pathlib import Path
from typing import Final

from bench.harness import Settings
from bench.scenarios import burst, json_objects, mqtt
from bench.servers import Hub

_LINES: Final = 25


def profile_burst(settings: Settings) -> str:
    """Run a burst against a hub under cProfile; return its functions by their own time.

    The profiler sees the thread of the event loop only, and slows Python code more than native
    code: the shares are for comparing functions, the rate is not a result.
    """
    seconds = burst.QUICK_SECONDS if settings.quick else burst.SECONDS
    with settings.fresh_folder() as folder:
        file = folder / "profile"
        with Hub(folder, settings.certificates, _profiler(file)) as server:
            sample = burst.measure(server, settings.authority, seconds)
        return _table(sample["readings/s durable"], file)


def profile_json(settings: Settings, connections: int = 1) -> str:
    """Do the same with acknowledged JSON objects."""
    with settings.fresh_folder() as folder:
        file = folder / "profile"
        start = partial(json_objects.hub, wrapper=_profiler(file))
        sample = json_objects.measure(start, connections, settings)
        return _table(sample["readings/s stored"], file)


def profile_mqtt(settings: Settings, connections: int = 100) -> str:
    """Do the same with MQTT at QoS 1: first a flood, then a quarter of its rate."""
    with settings.fresh_folder() as folder:
        file = folder / "profile"
        start = partial(mqtt.hub, wrapper=_profiler(file))
        sample = mqtt.measure(start, connections, settings)
        return _table(sample["messages/s acknowledged"], file)


def _profiler(file: Path) -> tuple[str, ...]:
    return ("-m", "cProfile", "-o", str(file))


def _table(rate: float, file: Path) -> str:
    rows = _rows(pstats.Stats(str(file)))
    total = sum(own for _, _, own in rows)
    lines = [f"{rate:,.0f} readings/s under the profiler", ""]
    lines += ["| % of loop | calls | function |", "| ---: | ---: | --- |"]
    for name, calls, own in rows[:_LINES]:
        lines.append(f"| {100 * own / total:.1f} | {calls:,} | {name} |")
    return "\n".join(lines)


def _rows(stats: pstats.Stats) -> list[tuple[str, int, float]]:
    """Return (function, calls, own seconds), most first; waiting for sockets is left out."""
    # Typeshed does not know the attribute, which is where the figures are.
    table: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = stats.stats  # type: ignore[attr-defined]
    rows = [
        (f"{'/'.join(Path(file).parts[-2:])}:{line} {function}", n, own)
        for (file, line, function), (_, n, own, _, _) in table.items()
        if "'poll' of 'select.epoll'" not in function
    ]
    return sorted(rows, key=lambda row: -row[2])
