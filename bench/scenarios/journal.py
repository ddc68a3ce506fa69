"""The journal's storage: SQLite frames against plain segment files, by the size of a frame."""

from __future__ import annotations

import statistics
import time
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from bench.harness import Case, Sample, Settings
from bench.segments import SegmentLog
from motehub.frames import Batch, encode_frame
from motehub.journals.sqlite import SqliteLog

FRAME_BYTES: Final = (100, 2_000, 20_000, 200_000)
SECONDS: Final = 5.0
QUICK_SECONDS: Final = 1.0

KEPT_FRAMES: Final = 64
"""Frames that a consumer is behind, and the number that is trimmed at a time."""

_Append = Callable[[bytes, int], int]
_Trim = Callable[[int], object]


def cases(settings: Settings) -> Sequence[Case]:
    """Compare both at every size of frame."""
    return [
        Case(
            f"journal, frames of {size:,} bytes",
            {"SQLite": partial(_sqlite, size), "segments": partial(_segments, size)},
        )
        for size in FRAME_BYTES
    ]


def _sqlite(size: int, settings: Settings) -> Sample:
    with settings.fresh_folder() as folder:
        log = SqliteLog(folder)
        try:
            return _measure(
                lambda frame, now: log.append(frame, now, {}),
                lambda consumed: log.trim(consumed, KEPT_FRAMES),
                size,
                _seconds(settings),
            )
        finally:
            log.close()


def _segments(size: int, settings: Settings) -> Sample:
    with settings.fresh_folder() as folder:
        log = SegmentLog(folder)
        try:
            return _measure(lambda frame, _: log.append(frame), log.trim, size, _seconds(settings))
        finally:
            log.close()


def _measure(append: _Append, trim: _Trim, size: int, seconds: float) -> Sample:
    """Commit frames one after another; encoding with its checksum is part of it on both sides."""
    batch = _batch(size)
    latencies: list[float] = []
    written = 0
    began, cpu = time.monotonic(), time.process_time()
    while (now := time.monotonic()) - began < seconds:
        stamp = time.time_ns() // 1000
        frame = encode_frame([batch], stamp)
        position = append(frame, stamp)
        latencies.append(time.monotonic() - now)
        written += len(frame)
        if position % KEPT_FRAMES == 0 and position > KEPT_FRAMES:
            trim(position - KEPT_FRAMES)
    passed, cpu = time.monotonic() - began, time.process_time() - cpu
    percentiles = statistics.quantiles(latencies, n=100)
    return {
        "commits/s": len(latencies) / passed,
        "MB/s": written / passed / 1e6,
        "p50, ms": 1000 * percentiles[49],
        "p99, ms": 1000 * percentiles[98],
        "CPU ms per commit": 1000 * cpu / len(latencies),
        "CPU ms per MB": 1000 * cpu / (written / 1e6),
    }


def _batch(size: int) -> Batch:
    """Return a batch whose frame has about ``size`` bytes, in runs of two series."""
    batch = Batch()
    empty = len(encode_frame([batch], 0))
    each = max(1, (size - empty) // 2 // 16)
    for series in (1, 2):
        times = array("q", range(0, each * 1_000_000, 1_000_000))
        batch.readings.add(series, times, array("d", [20.5]) * each)
    return batch


def _seconds(settings: Settings) -> float:
    return QUICK_SECONDS if settings.quick else SECONDS
