"""Folding: many small journal frames become one large batch in the order that a store likes."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, tzinfo
from itertools import islice
from operator import gt, itemgetter
from typing import Any, Final, TypeVar

import msgspec

from motehub.contracts import LogReader
from motehub.core.days import hour_of
from motehub.core.registry import Registry
from motehub.frames import (
    Columns,
    Entry,
    EventOccurred,
    Frame,
    Rejected,
    SeriesAdded,
    Spared,
    TextReadings,
)
from motehub.history_contract import Fold, FoldResult, HistoryStore
from motehub.logs import Logger
from motehub.rollups import TIERS

_Values = TypeVar("_Values", "array[float]", list[str])
_BySeries = dict[int, tuple["array[int]", _Values]]

_HOUR: Final = TIERS["hour"]

_logger = Logger("motehub.history")


class FoldIntoHistory:
    """The journal consumer that keeps the history; see :class:`motehub.contracts.Effect`.

    ``journal`` is the id of the one that ``reader`` reads. ``on_fold`` hears of each fold before
    it is stored. Hours, by which is counted, are those of ``zone``.

    Raises:
        StaleJournal: the history in ``store`` is of another journal.
        StorageError: it can't be used now.
    """

    def __init__(
        self,
        store: HistoryStore,
        reader: LogReader,
        journal: str,
        on_fold: Callable[[Fold], None] = lambda _: None,
        zone: tzinfo = UTC,
    ) -> None:
        store.bind(journal)
        self._on_fold = on_fold
        self._zone = zone
        self.store = store
        self._reader = reader
        self._devices: dict[int, int] = {}
        self._position = 0
        self.total = FoldResult(0, 0)

    def position(self) -> int:
        """Return the position up to which the history has everything."""
        # The position first: series that another process adds meanwhile do no harm.
        self._position = self.store.position()
        self._devices = {series.id: series.device for series in self.store.registry()[1]}
        return self._position

    def apply(self, frames: Sequence[tuple[int, Frame]]) -> None:
        """Store ``frames`` and the position of the last one; those of each hour together.

        Where frames are missing, the history has not heard of every device and series: it gets
        the registry anew.
        """
        known: list[Entry] = []
        if frames[0][0] != self._position + 1 or any(frame.damaged for _, frame in frames):
            known = Registry.from_state(self._reader.state()).entries()
        for hour, some in _by_hour(frames, self._zone):
            self._store(make_fold(some, self._devices, known, hour))
            known = []

    def _store(self, fold: Fold) -> None:
        self._on_fold(fold)
        result = self.store.fold(fold)
        self._position = fold.end
        self.total = FoldResult(
            self.total.stored + result.stored, self.total.duplicate + result.duplicate
        )


def make_fold(
    frames: Sequence[tuple[int, Frame]],
    devices: dict[int, int],
    known: Sequence[Entry] = (),
    hour: int = 0,
) -> Fold:
    """Sort ``frames`` (position, frame) by series and time; all were committed in one ``hour``.

    ``devices`` maps series to device; series that the frames add are put into it, as are those
    of the entries that are ``known`` beforehand.
    """
    readings: _BySeries[array[float]] = {}
    held: _BySeries[array[float]] = {}
    texts: _BySeries[list[str]] = {}
    held_texts: _BySeries[list[str]] = {}
    entries: list[Entry] = list(known)
    seen: dict[int, int] = {}
    _note_series(known, devices)
    spared: dict[int, int] = {}
    newest_spared: dict[int, tuple[int, float]] = {}
    for _, frame in frames:
        _note_series(frame.entries, devices)
        stored = _without_spared(frame, devices, spared, newest_spared)
        for columns, by_series in ((stored, readings), (frame.held, held)):
            _group(columns, by_series)
            seen |= {devices[one]: frame.time for one in set(columns.series) if one in devices}
        for entry in frame.entries:
            if isinstance(entry, TextReadings):
                _group_texts(entry, held_texts if entry.held else texts)
            elif not isinstance(entry, Spared):
                entries.append(entry)
            if (device := _speaker(entry, devices)) is not None:
                seen[device] = frame.time
    for group in (readings, held, texts, held_texts):
        entries += _without_device(group, devices, frames[-1][1].time)
    return Fold(
        start=frames[0][0] - 1,
        end=frames[-1][0],
        readings=_ascending(readings),
        held=_ascending(held),
        texts=_ascending(texts),
        held_texts=_ascending(held_texts),
        devices={one: devices[one] for one in (*readings, *held, *texts, *held_texts)},
        entries=_merge_refusals(entries),
        seen=seen,
        discarded=spared,
        hour=hour,
        newest_spared=newest_spared,
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


def _by_hour(
    frames: Sequence[tuple[int, Frame]], zone: tzinfo
) -> Iterator[tuple[int, Sequence[tuple[int, Frame]]]]:
    """Cut ``frames`` where an hour ends; yield when it began (µs), and its frames."""
    first = 0
    hour = hour_of(frames[0][1].time, zone)
    for number, (_, frame) in enumerate(frames):
        if not hour <= frame.time < hour + _HOUR:
            yield hour, frames[first:number]
            first, hour = number, hour_of(frame.time, zone)
    yield hour, frames[first:]


def _note_series(entries: Sequence[Entry], devices: dict[int, int]) -> None:
    for entry in entries:
        if isinstance(entry, SeriesAdded):
            devices[entry.series.id] = entry.series.device


def _without_spared(
    frame: Frame,
    devices: Mapping[int, int],
    discarded: dict[int, int],
    newest: dict[int, tuple[int, float]],
) -> Columns:
    """Return the readings of a frame that are to be stored; count the others by device.

    ``newest`` gets time and value of the newest of the others by series.
    """
    entries = [one for one in frame.entries if isinstance(one, Spared) and one.series in devices]
    if not entries:
        return frame.readings
    times: dict[int, set[int]] = {}
    for entry in entries:
        times.setdefault(entry.series, set()).update(entry.times)
    kept, start = Columns(), 0
    columns = frame.readings
    for series, count in zip(columns.series, columns.counts, strict=True):
        some = slice(start, start + count)
        start += count
        moments, values = columns.times[some], columns.values[some]
        if series in times:
            places = [n for n, moment in enumerate(moments) if moment not in times[series]]
            _count(discarded, devices[series], count - len(places))
            _keep_newest(newest, series, zip(moments, values, strict=True), times[series])
            moments = array("q", [moments[n] for n in places])
            values = array("d", [values[n] for n in places])
        if moments:
            kept.add(series, moments, values)
    for entry in entries:
        if entry.recalled:
            kept.add(entry.series, array("q", entry.recalled), array("d", entry.values))
            _count(discarded, devices[entry.series], -len(entry.recalled))
    return kept


def _keep_newest(
    newest: dict[int, tuple[int, float]],
    series: int,
    readings: Iterable[tuple[int, float]],
    spared: Container[int],
) -> None:
    found = [one for one in readings if one[0] in spared]
    if series in newest:
        found.append(newest[series])
    if found:
        newest[series] = max(found, key=itemgetter(0))


def _count(by_device: dict[int, int], device: int, count: int) -> None:
    by_device[device] = by_device.get(device, 0) + count


def _group(columns: Columns, by_series: _BySeries[array[float]]) -> None:
    if len(columns.series) == len(columns.times):
        # Each run is one reading, as of gateways that speak for many devices.
        singles = zip(columns.series, columns.times, columns.values, strict=True)
        for series, moment, value in singles:
            if (known := by_series.get(series)) is None:
                known = by_series[series] = (array("q"), array("d"))
            known[0].append(moment)
            known[1].append(value)
        return
    position = 0
    for series, count in zip(columns.series, columns.counts, strict=True):
        end = position + count
        if (known := by_series.get(series)) is None:
            known = by_series[series] = (array("q"), array("d"))
        known[0].extend(columns.times[position:end])
        known[1].extend(columns.values[position:end])
        position = end


def _group_texts(entry: TextReadings, by_series: _BySeries[list[str]]) -> None:
    if (known := by_series.get(entry.series)) is None:
        known = by_series[entry.series] = (array("q"), [])
    known[0].extend(entry.times)
    known[1].extend(entry.values)


def _without_device(
    by_series: _BySeries[Any], devices: dict[int, int], now: int
) -> Iterator[Rejected]:
    """Take out readings of series that nobody knows any more; they are counted as rejected."""
    for series in [one for one in by_series if one not in devices]:
        times, _ = by_series.pop(series)
        reason = f"series {series} of the journal is not in the registry: its device was removed"
        _logger.error("readings left out", series=series, count=len(times))
        yield Rejected(None, "journal", now, b"", reason, len(times))


def _ascending(by_series: _BySeries[_Values]) -> _BySeries[_Values]:
    """Order the series and each one's readings; of equal times the first to arrive stays first."""
    return {series: _by_time(*by_series[series]) for series in sorted(by_series)}


def _by_time(times: array[int], values: _Values) -> tuple[array[int], _Values]:
    if not any(map(gt, times, islice(times, 1, None))):
        return times, values
    order = sorted(range(len(times)), key=times.__getitem__)
    ordered = values[:0]
    ordered.extend(map(values.__getitem__, order))
    return array("q", map(times.__getitem__, order)), ordered


def _speaker(entry: Entry, devices: dict[int, int]) -> int | None:
    """Return the device whose own message caused the entry."""
    if isinstance(entry, Rejected):
        return None if entry.discarded else entry.device
    if isinstance(entry, TextReadings | Spared):
        return devices.get(entry.series)
    if isinstance(entry, EventOccurred) and entry.kind not in SILENT_EVENTS:
        return entry.device
    return None


SILENT_EVENTS = frozenset(
    {"accepted", "renamed", "blocked", "left", "contested", "calibrated", "command", "alert"}
)
"""Kinds of events that the device itself may not have caused: they are no contact with it."""


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
