"""What is the same in every history store: counters, bounds of lists, newest readings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from motehub.frames import Rejected
from motehub.history_contract import FoldResult

REJECTED_ROWS: Final = 1_000
"""Rejected payloads that are kept of each device, and of all unknown senders together."""

EVENT_ROWS: Final = 10_000
"""Events that are kept of each device; like rejected payloads, the newest stay."""

AWAY_ROWS: Final = 10_000
"""Times in which the hub was not there that are kept: the newest."""

COUNTERS: Final = 5
"""Of each device: received, stored, duplicate, rejected, discarded."""

Inserted = Iterable[tuple[int, int, int]]
"""Series, readings given and readings that were new."""


class Tally:
    """Adds up counts by device; ``device_of_series`` is that of the fold."""

    def __init__(self, device_of_series: dict[int, int]) -> None:
        self._device_of = device_of_series
        self.devices: dict[int, list[int]] = {}
        """Received, stored, duplicate, rejected and discarded by device."""
        self.result = FoldResult(0, 0)

    def hold(self, inserted: Inserted) -> None:
        """Count readings that wait for the owner's approval."""
        for series, given, new in inserted:
            self.add(self._device_of[series], received=given, duplicate=given - new)

    def keep(self, inserted: Inserted) -> None:
        """Count readings that went into the history."""
        for series, given, new in inserted:
            self.add(self._device_of[series], received=given, stored=new, duplicate=given - new)

    def spare(self, discarded: Mapping[int, int]) -> None:
        """Count readings by device that need not be stored."""
        for device, count in discarded.items():
            self.add(device, received=count, discarded=count)

    def reject(self, device: int, entry: Rejected) -> None:
        """Count what was rejected, or discarded."""
        count = {"discarded" if entry.discarded else "rejected": entry.count}
        self.add(device, received=entry.count, **count)

    def add(
        self,
        device: int,
        *,
        received: int = 0,
        stored: int = 0,
        duplicate: int = 0,
        rejected: int = 0,
        discarded: int = 0,
    ) -> None:
        """Add to the counters of ``device``."""
        counts = self.devices.setdefault(device, [0] * COUNTERS)
        counts[0] += received
        counts[1] += stored
        counts[2] += duplicate
        counts[3] += rejected
        counts[4] += discarded
        self.result = FoldResult(self.result.stored + stored, self.result.duplicate + duplicate)


def with_later(
    stored: Sequence[tuple[int, int, float | str]], spared: Mapping[int, tuple[int, float]]
) -> list[tuple[int, int, float | str]]:
    """Return the newest reading of each series: of those stored, or of those that were not.

    Both are by series; each reading is its time (µs) and its value.
    """
    found: dict[int, tuple[int, float | str]] = {one[0]: one[1:] for one in stored}
    for series, (time, value) in spared.items():
        if series not in found or found[series][0] < time:
            found[series] = time, value
    return [(series, *one) for series, one in found.items()]
