"""What base units elsewhere pass on of a unit."""

from __future__ import annotations

from array import array

from motehub.model import MICROSECONDS, Clock, Joined, Left, Malformed, Record
from motehub.protocols.unit_lines import LINE_LIMIT
from motehub.silence import IdleWatch
from motehub.transports._units_common import Common, source_of
from motehub.transports._units_settings import conversion_of
from motehub.units import Unit, UnitKind


class PassedOn:
    """Reads what a unit wrote as its owner says; a remote unit is online while readings come."""

    def __init__(self, unit: Unit, common: Common) -> None:
        self._unit = unit
        self._common = common
        self._conversion = conversion_of(unit)
        self._watch: IdleWatch | None = None
        self.readings = 0

    def take(self, text: str, moment: int, clock: Clock) -> list[Record]:
        """Return the records of ``text``, written at ``moment`` (µs) by that clock."""
        text = text.strip()
        value = self._conversion.read(text.encode())
        if isinstance(value, str):
            return [Malformed(text.encode()[:LINE_LIMIT], value)]
        self.readings += 1
        ground = self._common.ground
        written = [text] if ground.passes_on else []
        times, values = array("q", [moment]), array("d", [value])
        samples = self._conversion.samples(times, values, written, clock)
        silence = self._unit.longest_silence
        if self._unit.kind is not UnitKind.REMOTE:
            return [samples]
        if ground.clock() - moment > silence * MICROSECONDS:
            # It waited for this hub: nobody knows how the unit is now.
            return [samples]
        if self._watch is None:
            self._watch = IdleWatch(silence, lambda: False, self._miss)
        self._watch.hear()
        device = ground.devices.by_identity(self._unit.identity)
        return [samples] if device is not None and device.online else [Joined(), samples]

    def stop(self, reason: str) -> None:
        """Take no more: whether the unit is there is not known from now on."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
            self._leave(reason)

    def _miss(self) -> None:
        self._watch = None
        self._leave(f"nothing has come of it for {self._unit.longest_silence:g} s")

    def _leave(self, reason: str) -> None:
        device = self._common.ground.devices.by_identity(self._unit.identity)
        if device is not None and device.online:
            self._common.pump.put(source_of(self._unit), [Left(reason)])
