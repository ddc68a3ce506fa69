"""The devices and series that frames are about, as far as the journal has told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from motehub.core.registry import Registry
from motehub.frames import (
    DeviceChanged,
    DeviceRemoved,
    Entry,
    Frame,
    PresenceChanged,
    SeriesAdded,
    TextReadings,
)
from motehub.model import Admission, Device, Series

Run = tuple[int, Sequence[int], Sequence[float | str]]
"""Number of a series, times (µs) and values."""


class Names:
    """Devices and series by number; ``edition`` is another number after each change."""

    def __init__(self) -> None:
        self._devices: dict[int, Device] = {}
        self._series: dict[int, Series] = {}
        self.edition = 0

    def learn_anew(self, state: Mapping[str, bytes]) -> None:
        """Forget all, and learn what a journal keeps for good."""
        self._devices.clear()
        self._series.clear()
        self.edition += 1
        self.learn(Registry.from_state(state).entries())

    def learn(self, entries: Iterable[Entry]) -> None:
        """Take in what the entries of a frame change."""
        for entry in entries:
            if isinstance(entry, DeviceChanged):
                self._devices[entry.device.id] = entry.device
            elif isinstance(entry, SeriesAdded):
                self._series[entry.series.id] = entry.series
            elif isinstance(entry, PresenceChanged) and entry.device in self._devices:
                device = self._devices[entry.device]
                self._devices[entry.device] = msgspec.structs.replace(device, online=entry.online)
                continue
            elif isinstance(entry, DeviceRemoved):
                self._devices.pop(entry.device, None)
                for series in [s.id for s in self._series.values() if s.device == entry.device]:
                    del self._series[series]
            else:
                continue
            self.edition += 1

    def device(self, number: int) -> Device | None:
        """Return a device, if there is one of that number that the owner has accepted."""
        device = self._devices.get(number)
        return device if device and device.admission is Admission.ACCEPTED else None

    def of_series(self, number: int) -> tuple[Device, Series] | None:
        """Return a series and its device, unless that was removed or is not accepted."""
        series = self._series.get(number)
        device = self.device(series.device) if series else None
        return (device, series) if device and series else None


def runs_of(frame: Frame) -> Iterator[Run]:
    """Yield the readings of a frame that are not held, numbers first."""
    columns, start = frame.readings, 0
    for series, count in zip(columns.series, columns.counts, strict=True):
        end = start + count
        yield series, columns.times[start:end], columns.values[start:end]
        start = end
    for entry in frame.entries:
        if isinstance(entry, TextReadings) and not entry.held:
            yield entry.series, entry.times, entry.values
