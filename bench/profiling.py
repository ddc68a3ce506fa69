"""Where the hub's event loop spends its time while a burst comes in."""

from __future__ import annotations

import pstats
from pathlib import Path
from typing import Final

from bench.harness import Settings
from bench.scenarios import burst
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
        with Hub(folder, settings.certificates, ("-m", "cProfile", "-o", str(file))) as server:
            sample = burst.measure(server, settings.authority, seconds)
        rows = _rows(pstats.Stats(str(file)))
    total = sum(own for _, _, own in rows)
    lines = [f"{sample['readings/s durable']:,.0f} readings/s under the profiler", ""]
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
