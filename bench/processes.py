"""Processes as Linux's ``/proc`` shows them: CPU seconds and memory of a server with children."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_SAMPLE_SECONDS: Final = 0.25


class ProcessFailed(Exception):
    """A process of the bench did not start or ended early; the message has what it said last."""


@dataclasses.dataclass
class Memory:
    """Bytes of all processes together; PSS shares what they share, RSS counts it twice."""

    pss: int = 0
    rss: int = 0


def tree(process: int) -> list[int]:
    """Return ``process`` and all its descendants that live."""
    found = [process]
    for one in found:
        with contextlib.suppress(OSError):
            for file in Path(f"/proc/{one}/task").glob("*/children"):
                found += map(int, file.read_text().split())
    return found


def cpu_seconds(*processes: int) -> float:
    """Return user and system seconds of the trees, with children of their roots that ended."""
    ticks = 0
    for one in _all(processes):
        with contextlib.suppress(OSError):
            # The command in parentheses may contain spaces; the numbers follow it.
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15] if one in processes else fields[11:13]))
    return ticks / _TICKS


def memory(*processes: int) -> Memory:
    """Return the present memory of the trees."""
    total = Memory()
    for one in _all(processes):
        with contextlib.suppress(OSError):
            sizes = {
                name: int(rest.split()[0]) * 1024
                for name, _, rest in (
                    line.partition(":")
                    for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()[1:]
                )
            }
            total.pss += sizes["Pss"]
            total.rss += sizes["Rss"]
    return total


@contextmanager
def peak_memory(*processes: int) -> Iterator[Memory]:
    """Give the peak of the trees' memory, sampled four times a second during the block."""
    peak = Memory()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_SAMPLE_SECONDS):
            now = memory(*processes)
            peak.pss, peak.rss = max(peak.pss, now.pss), max(peak.rss, now.rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def _all(processes: Sequence[int]) -> list[int]:
    return [one for process in processes for one in tree(process)]
