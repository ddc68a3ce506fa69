"""Following the journal into a mirror: the newest value of each series, and the last readings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from typing import Final

from motehub.contracts import LogReader
from motehub.core.registry import Registry
from motehub.errors import StorageError
from motehub.frames import (
    DeviceChanged,
    DeviceRemoved,
    Entry,
    Frame,
    HeldReleased,
    SeriesAdded,
    TextReadings,
)
from motehub.history_contract import HistoryStore
from motehub.logs import Logger
from motehub.mirror_contract import MirrorStore, MirrorUpdate, Reflection
from motehub.model import Device, Series

_HISTORY_SECONDS: Final = 3.0

_Frames = Sequence[tuple[int, Frame]]

_logger = Logger("motehub.mirror")


class ReflectInMirror:
    """The journal consumer that keeps a mirror; see :class:`motehub.contracts.Effect`.

    ``journal`` is the mark of the journal that ``reader`` reads. ``open_history`` opens the
    history for reading: what the journal has no more, or holds for a device that was pending,
    comes from there.
    """

    def __init__(
        self,
        mirror: MirrorStore,
        reader: LogReader,
        journal: str,
        open_history: Callable[[], HistoryStore],
    ) -> None:
        self._mirror = mirror
        self._reader = reader
        self._journal = journal
        self._open_history = open_history
        self._devices: dict[int, Device] = {}
        self._series: dict[int, Series] = {}
        self._position: int | None = None
        self._written = 0
        self._fillings = 0

    @property
    def counts(self) -> dict[str, int]:
        """Values written, how often it was filled from the history, and what the mirror counts."""
        return {"written": self._written, "fillings": self._fillings, **self._mirror.counts}

    def position(self) -> int:
        """Return the mirror's cursor; a mirror that has none in this journal is filled first."""
        try:
            position = self._mirror.position(self._journal)
            if position is None or position != self._position:
                # The registry of now: frames that are still to come change it once more.
                self._learn_registry()
                if position is None:
                    position = self._fill("it has no position in this journal")
                elif position > self._reader.head():
                    position = self._fill("it is ahead of the journal")
        except StorageError:
            self._position = None
            raise
        self._position = position
        return position

    def apply(self, frames: _Frames) -> None:
        """Show ``frames`` and move the cursor in one transaction."""
        try:
            self._apply(frames)
        except StorageError:
            self._position = None
            raise

    def _apply(self, frames: _Frames) -> None:
        if self._position is None:
            self._position = self.position()
        frames = _after(self._position, frames)
        if frames and frames[0][0] != self._position + 1:
            self._learn_registry()
            self._position = self._fill("the journal has moved on")
            frames = _after(self._position, frames)
            if frames and frames[0][0] != self._position + 1:
                raise StorageError("The mirror waits until the history has been folded so far.")
        if not frames:
            return
        update = self._update(self._position, frames)
        if not self._mirror.apply(update):
            raise StorageError("The mirror was changed by someone else; it is looked at anew.")
        self._position = update.end
        self._written += len(update.values)

    def _update(self, start: int, frames: _Frames) -> MirrorUpdate:
        changed: dict[int, Device] = {}
        removed: list[int] = []
        released: dict[int, int] = {}
        for position, frame in frames:
            if frame.damaged:
                self._learn_registry()
            self._learn(frame.entries)
            for entry in frame.entries:
                if isinstance(entry, DeviceChanged):
                    changed[entry.device.id] = entry.device
                elif isinstance(entry, DeviceRemoved):
                    changed.pop(entry.device, None)
                    removed.append(entry.device)
                elif isinstance(entry, HeldReleased):
                    released[entry.device] = position
        newest = _newest(frames)
        for device, position in released.items():
            for series, moment, value in self._released(device, position):
                if series not in newest or newest[series][0] < moment:
                    newest[series] = moment, value
        values = self._reflections((one, *reading) for one, reading in newest.items())
        return MirrorUpdate(
            start=start,
            end=frames[-1][0],
            time=frames[-1][1].time,
            changed=list(changed.values()),
            removed=removed,
            values=sorted(values, key=lambda one: one.time),
            readings=self._last_readings(frames),
        )

    def _released(self, device: int, position: int) -> list[tuple[int, int, float | str]]:
        """Return the newest readings of a device that was accepted at ``position``."""
        if device not in self._devices:
            return []
        with self._history() as history:
            deadline = time.monotonic() + _HISTORY_SECONDS
            while history.position() < position:
                if time.monotonic() > deadline:
                    raise StorageError("The mirror waits until the history has what was held.")
                time.sleep(0.02)
            return history.latest(device)

    def _last_readings(self, frames: _Frames) -> list[Reflection]:
        """Return the last readings in the order of arrival, as many as the mirror keeps."""
        room = self._mirror.stream_length
        parts: list[list[Reflection]] = []
        for _, frame in reversed(frames):
            if room <= 0:
                break
            part = list(self._reflections(_last(frame, room)))
            parts.append(part)
            room -= len(part)
        return [one for part in reversed(parts) for one in part]

    def _fill(self, reason: str) -> int:
        """Show all that the history has; return the position from which frames go on."""
        _logger.info("mirror is filled from the history", reason=reason)
        with self._history() as history:
            # The position first: readings that are folded meanwhile come once more, unharmed.
            position = history.position()
            latest = history.latest()
        # In the order of time, so that of two that share a place the newer one stays.
        latest.sort(key=lambda row: row[1])
        self._mirror.fill(self._journal, position, self._reflections(latest))
        self._written += len(latest)
        self._fillings += 1
        _logger.info("mirror is filled", series=len(latest), position=position)
        return position

    @contextmanager
    def _history(self) -> Iterator[HistoryStore]:
        # Opened when it is needed, which is rare: its driver may take more memory than all else.
        with closing(self._open_history()) as history:
            yield history

    def _reflections(self, rows: Iterable[tuple[int, int, float | str]]) -> Iterator[Reflection]:
        """Give readings their names; those of devices that were removed meanwhile are left out."""
        for number, moment, value in rows:
            series = self._series.get(number)
            device = self._devices.get(series.device) if series else None
            if series and device:
                yield Reflection(device, series.metric, moment, value)

    def _learn_registry(self) -> None:
        self._devices.clear()
        self._series.clear()
        self._learn(Registry.from_state(self._reader.state()).entries())

    def _learn(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if isinstance(entry, DeviceChanged):
                self._devices[entry.device.id] = entry.device
            elif isinstance(entry, SeriesAdded):
                self._series[entry.series.id] = entry.series
            elif isinstance(entry, DeviceRemoved):
                self._devices.pop(entry.device, None)
                for series in [s.id for s in self._series.values() if s.device == entry.device]:
                    del self._series[series]


def _after(position: int, frames: _Frames) -> _Frames:
    return [one for one in frames if one[0] > position]


def _newest(frames: _Frames) -> dict[int, tuple[int, float | str]]:
    """Return time and value of each series' newest reading; of equal times the first."""
    newest: dict[int, tuple[int, float | str]] = {}

    def take(series: int, times: Sequence[int], values: Sequence[float | str]) -> None:
        last = max(times)
        if series not in newest or newest[series][0] < last:
            newest[series] = last, values[times.index(last)]

    for _, frame in frames:
        columns, start = frame.readings, 0
        for series, count in zip(columns.series, columns.counts, strict=True):
            end = start + count
            if count:
                take(series, columns.times[start:end], columns.values[start:end])
            start = end
        for entry in frame.entries:
            if isinstance(entry, TextReadings) and entry.times and not entry.held:
                take(entry.series, entry.times, entry.values)
    return newest


def _last(frame: Frame, most: int) -> Iterator[tuple[int, int, float | str]]:
    """Yield series, time and value of the last readings of a frame, texts after numbers."""
    texts = [e for e in frame.entries if isinstance(e, TextReadings) and not e.held]
    skip = len(frame.readings) + sum(len(entry.times) for entry in texts) - most
    columns, start = frame.readings, 0
    for series, count in zip(columns.series, columns.counts, strict=True):
        first, start = start, start + count
        for place in range(first + max(0, min(skip, count)), start):
            yield series, columns.times[place], columns.values[place]
        skip -= count
    for entry in texts:
        rows = zip(entry.times, entry.values, strict=True)
        for moment, text in islice(rows, max(0, skip), None):
            yield entry.series, moment, text
        skip -= len(entry.times)
