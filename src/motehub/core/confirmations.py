"""Which commands a device has carried out, as its own readings show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from motehub.command import Command
from motehub.core.registry import Registry
from motehub.frames import Batch, SeriesAdded, TextReadings
from motehub.model import MICROSECONDS, Kind

# Many a device stamps whole seconds: what it reports may be of up to a second later.
_STAMP_TOLERANCE: Final = MICROSECONDS


class Compared(NamedTuple):
    """Ids of commands, oldest first: what readings say of what the devices were told."""

    confirmed: list[str]
    denied: list[str]


class Confirmations:
    """Commands whose devices should report the value that they were told.

    A reading confirms a command when it has exactly that value and is not older than the
    command's leaving; what a device with a clock of its own had measured before does not.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._awaited: dict[str, tuple[Command, int]] = {}
        self._wanted: dict[int, list[str]] | None = None
        self.are_awaited = False
        """Whether there is any such command: otherwise nothing needs to be looked at."""

    def expect(self, command: Command, since: int) -> None:
        """Look for what confirms ``command`` among readings from ``since`` (µs) on.

        What is expected already stays so since then.
        """
        if command.id not in self._awaited:
            self._awaited[command.id] = command, since
            self._change()

    def forget(self, command: str) -> None:
        """Look no more for what confirms the command with that id."""
        if self._awaited.pop(command, None) is not None:
            self._change()

    def compare(self, batch: Batch) -> Compared:
        """Return which commands readings in ``batch`` confirm, and which only deny: other values.

        Nothing is found unless ``are_awaited``.
        """
        if self._wanted is None or any(type(entry) is SeriesAdded for entry in batch.entries):
            self._wanted = self._series_wanted()
        if not self._wanted:
            return _NOTHING
        said = set(self._compared(batch, self._wanted))
        confirmed = {id_ for id_, is_so in said if is_so}
        denied = {id_ for id_, is_so in said if not is_so} - confirmed
        return Compared(sorted(confirmed), sorted(denied))

    def _change(self) -> None:
        self._wanted = None
        self.are_awaited = bool(self._awaited)

    def _series_wanted(self) -> dict[int, list[str]]:
        """Return the commands that readings of a series may confirm, by the series' id."""
        wanted: dict[int, list[str]] = {}
        for command, _ in self._awaited.values():
            order = command.order
            kind = Kind.TEXT if isinstance(order.value, str) else Kind.GAUGE
            series = self._registry.find_series(command.device, str(order.name), kind)
            if series is not None:
                wanted.setdefault(series.id, []).append(command.id)
        return wanted

    def _compared(
        self, batch: Batch, wanted: Mapping[int, list[str]]
    ) -> Iterator[tuple[str, bool]]:
        readings = batch.readings
        if not wanted.keys().isdisjoint(readings.series):
            start = 0
            for series, count in zip(readings.series, readings.counts, strict=True):
                end = start + count
                if series in wanted:
                    times, values = readings.times[start:end], readings.values[start:end]
                    yield from self._said(wanted[series], times, values)
                start = end
        for entry in batch.entries:
            if isinstance(entry, TextReadings) and entry.series in wanted:
                yield from self._said(wanted[entry.series], entry.times, entry.values)

    def _said(
        self, commands: Sequence[str], times: Iterable[int], values: Iterable[float | str]
    ) -> Iterator[tuple[str, bool]]:
        """Yield which of ``commands`` a reading of their series confirms or denies."""
        for time, value in zip(times, values, strict=True):
            for id_ in commands:
                command, since = self._awaited[id_]
                if value == command.order.value:
                    if time >= since - _STAMP_TOLERANCE:
                        yield id_, True
                elif time >= since:
                    yield id_, False


_NOTHING: Final = Compared([], [])
