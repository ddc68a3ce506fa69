"""Folding: many small journal frames become one large batch in the order that a store likes."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from itertools import islice
from operator import gt

import msgspec

from motehub.contracts import Fold, FoldResult, HistoryStore, LogReader
from motehub.frames import (
    Columns,
    Entry,
    EventOccurred,
    Frame,
    Rejected,
    SeriesAdded,
)

_SeriesColumns = dict[int, tuple["array[int]", "array[float]"]]


class FoldIntoHistory:
    """The journal consumer that keeps the history; see :class:`motehub.contracts.Effect`."""

    def __init__(self, store: HistoryStore) -> None:
        self._store = store
        self._devices: dict[int, int] = {}
        self.total = FoldResult(0, 0)

    def position(self) -> int:
        """Return the position up to which the history has everything."""
        # The position first: series that another process adds meanwhile do no harm.
        position = self._store.position()
        self._devices = {series.id: series.device for series in self._store.registry()[1]}
        return position

    def apply(self, frames: Sequence[tuple[int, Frame]]) -> None:
        """Store ``frames`` and the position of the last one in one transaction."""
        fold = make_fold(frames, self._devices)
        result = self._store.fold(fold)
        self.total = FoldResult(
            self.total.stored + result.stored, self.total.duplicate + result.duplicate
        )


def make_fold(frames: Sequence[tuple[int, Frame]], devices: dict[int, int]) -> Fold:
    """Sort ``frames`` (position, frame) by series and time.

    ``devices`` maps series to device; series that the frames add are put into it.
    """
    readings: _SeriesColumns = {}
    held: _SeriesColumns = {}
    entries: list[Entry] = []
    seen: dict[int, int] = {}
    for _, frame in frames:
        for entry in frame.entries:
            if isinstance(entry, SeriesAdded):
                devices[entry.series.id] = entry.series.device
            elif (device := _speaker(entry)) is not None:
                seen[device] = frame.time
        entries += frame.entries
        for columns, by_series in ((frame.readings, readings), (frame.held, held)):
            _group(columns, by_series)
            for series in set(columns.series):
                seen[devices[series]] = frame.time
    return Fold(
        start=frames[0][0] - 1,
        end=frames[-1][0],
        readings=_ascending(readings),
        held=_ascending(held),
        devices={series: devices[series] for series in (*readings, *held)},
        entries=_merge_refusals(entries),
        seen=seen,
    )


def wait_until_folded(
    store: HistoryStore,
    reader: LogReader,
    seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Wait until ``store`` has what the journal holds now; tell whether that was so in time.

    A query calls this first, so that people and programs read what was acknowledged to them.
    """
    wanted = reader.head()
    deadline = time.monotonic() + seconds
    while store.position() < wanted:
        if time.monotonic() > deadline:
            return False
        sleep(0.02)
    return True


def _group(columns: Columns, by_series: _SeriesColumns) -> None:
    position = 0
    for series, count in zip(columns.series, columns.counts, strict=True):
        end = position + count
        if (known := by_series.get(series)) is None:
            known = by_series[series] = (array("q"), array("d"))
        known[0].extend(columns.times[position:end])
        known[1].extend(columns.values[position:end])
        position = end


def _ascending(by_series: _SeriesColumns) -> _SeriesColumns:
    """Order the series and each one's readings; of equal times the first to arrive stays first."""
    ordered: _SeriesColumns = {}
    for series in sorted(by_series):
        times, values = by_series[series]
        if any(map(gt, times, islice(times, 1, None))):
            order = sorted(range(len(times)), key=times.__getitem__)
            times = array("q", map(times.__getitem__, order))
            values = array("d", map(values.__getitem__, order))
        ordered[series] = (times, values)
    return ordered


def _speaker(entry: Entry) -> int | None:
    """Return the device whose own message caused the entry."""
    if isinstance(entry, Rejected):
        return entry.device
    if isinstance(entry, EventOccurred) and entry.kind not in OWNERS_EVENTS:
        return entry.device
    return None


OWNERS_EVENTS = frozenset({"accepted", "renamed", "blocked"})
"""Kinds of events that the owner causes: they say nothing about when the device was heard."""


def _merge_refusals(entries: list[Entry]) -> list[Entry]:
    """Count equal rejections together, so that one noisy peer does not fill the bounded list."""
    merged: list[Entry] = []
    places: dict[tuple[int | None, str, str], int] = {}
    for entry in entries:
        if isinstance(entry, Rejected):
            key = (entry.device, entry.source, entry.reason)
            if (place := places.get(key)) is not None:
                first = merged[place]
                assert isinstance(first, Rejected)
                merged[place] = msgspec.structs.replace(first, count=first.count + entry.count)
                continue
            places[key] = len(merged)
        merged.append(entry)
    return merged
