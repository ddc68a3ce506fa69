"""Units: boards on the LAN that listen, to which the hub connects; ``docs/protocols/units.md``."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec

from motehub.command import Command
from motehub.contracts import Ground, Listener, TransportPart
from motehub.errors import InvalidUnit, UnitExists, UnknownUnit
from motehub.logs import Logger
from motehub.model import Assignment, Clock, Device, Left, Record
from motehub.quantities import Duration
from motehub.transports._units_common import NAME, Common, source_of
from motehub.transports._units_passed_on import PassedOn
from motehub.transports._units_pump import Pump
from motehub.transports._units_reader import Reader
from motehub.transports._units_scan import addresses_of, scan
from motehub.transports._units_settings import SECTION, Settings
from motehub.transports._units_writer import Writer
from motehub.units import LONGEST_TEST, FoundUnit, Unit, UnitKind, UnitState, UnitTest

COUNTERS: Final = (
    "units",
    "connected",
    "connections",
    "connections_failed",
    "connections_lost",
    "bytes",
    "readings",
    "commands_waiting",
    "commands_sent",
    "commands_failed",
    "attempts_failed",
)

_STATE: Final = "units/"
_ATTEMPTS: Final = 64
_STOPPED: Final = "the hub has closed the connection"
_ONLY_SENDS: Final = (
    "this unit only sends readings; if it takes payloads too, change its kind to both"
)

_ELSEWHERE: Final = "a base unit elsewhere speaks with it, this hub does not connect to it"
_LOOK_SECONDS: Final = 1.0

_logger: Final = Logger("motehub.units")
_encode = msgspec.msgpack.Encoder(enc_hook=float).encode
_decode = msgspec.msgpack.Decoder(
    Unit, dec_hook=lambda kind, value: kind(value) if kind is Duration else value
).decode


class _Run:
    """A unit with what speaks with it."""

    def __init__(self, unit: Unit, origin: str, common: Common) -> None:
        self.unit = unit
        self.origin = origin
        self.reader = Reader(unit, common) if unit.kind.reads else None
        self.writer = Writer(unit, common, self.reader) if unit.kind.takes else None
        self.passed_on = PassedOn(unit, common) if unit.kind is not UnitKind.UPDATABLE else None
        if self.reader is not None:
            self.reader.start()

    @property
    def state(self) -> str:
        if self.unit.kind is UnitKind.REMOTE:
            return "elsewhere"
        if self.reader is not None:
            return self.reader.state
        return "sending" if self.writer is not None and self.writer.waiting else "idle"

    @property
    def trouble(self) -> str:
        part = self.reader or self.writer
        return part.trouble if part is not None else ""

    @property
    def readings(self) -> int:
        return sum(part.readings for part in (self.reader, self.passed_on) if part is not None)

    async def test(self, seconds: float) -> UnitTest:
        part = self.reader or self.writer
        if part is None:
            raise InvalidUnit(f"{self.unit.key}: {_ELSEWHERE}.")
        return await part.test(min(seconds, LONGEST_TEST))

    async def stop(self, connection: str, commands: str | None) -> None:
        """End all connections; with a text ``commands`` what waits fails for that."""
        if self.writer is not None:
            await self.writer.stop(commands)
        if self.reader is not None:
            await self.reader.stop(connection)
        if self.passed_on is not None:
            self.passed_on.stop(connection)


class Units:
    """See :class:`motehub.contracts.Transport` and :class:`motehub.units.UnitDesk`.

    It opens no port, and dials no address but those of its units and of a scan.
    """

    def __init__(self, settings: Settings, ground: Ground) -> None:
        self._settings = settings
        self._ground = ground
        self._counts: Counter[str] = Counter()
        self._pump = Pump(ground.hub)
        gate = asyncio.Semaphore(_ATTEMPTS)
        self._common = Common(settings, ground, self._pump, self._counts, gate)
        self._configured = settings.configured()
        self._kept = _kept_units(ground.state())
        self._runs: dict[str, _Run] = {}
        self._changing = asyncio.Lock()
        self._watch: asyncio.Task[None] | None = None
        self.listeners: dict[str, Listener] = {}

    @property
    def counters(self) -> Mapping[str, int]:
        """Connections, what came on them, and what became of commands."""
        waiting = sum(run.writer.waiting for run in self._runs.values() if run.writer)
        known = {"units": len(self._runs), "commands_waiting": waiting}
        return {name: known.get(name, self._counts[name]) for name in COUNTERS}

    async def __aenter__(self) -> Units:
        """Begin to connect to the units that send, and take commands for the others."""
        await self._ground.hub.interrupt(NAME)
        self._pump.start()
        for unit in (self._configured | self._kept).values():
            self._begin(unit)
        for key in self._configured.keys() & self._kept.keys():
            _logger.info("as changed, not as configured", unit=key)
        self._ground.commands.attach(NAME, self)
        self._watch = asyncio.create_task(self._see_devices(), name="devices of units")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections, and store what has come; commands wait for the next start."""
        if self._watch is not None:
            self._watch.cancel()
        await asyncio.gather(*(run.stop(_STOPPED, None) for run in self._runs.values()))
        await self._pump.stop()

    def carry(self, command: Command, device: Device, session: Assignment | None) -> bool:
        """Take ``command`` if its device is a unit; see :class:`motehub.command.Carrier`."""
        for run in filter(None, map(self._by_identity, device.identities)):
            if run.writer is not None:
                run.writer.take(command)
                return True
            if run.reader is not None and len(device.identities) == 1:
                self._ground.commands.failed(command.id, _ONLY_SENDS)
                return True
        return False

    def units(self) -> list[UnitState]:
        """Return all units, by address."""
        return [self._show(self._runs[key]) for key in sorted(self._runs)]

    def unit(self, name: str) -> UnitState:
        """Return the unit of that name or address."""
        return self._show(self._find(name))

    async def add_unit(self, unit: Unit) -> UnitState:
        """Speak with ``unit`` from now on."""
        unit = unit.at(self._settings.port)
        async with self._changing:
            if unit.key in self._runs:
                raise UnitExists(f"There is a unit at {unit.key} already. Change that one.")
            if unit.name and self._ground.devices.has_name(unit.name):
                named = self._ground.devices.by_name(unit.name)
                if unit.identity not in named.identities:
                    raise UnitExists(
                        f"Another device is called {unit.name!r} already. Choose another name."
                    )
            if len(self._runs) >= self._settings.units:
                raise InvalidUnit(
                    f"There are {len(self._runs)} units already; the key units of {SECTION} "
                    "allows no more."
                )
            await self._keep(unit.key, unit)
            self._kept[unit.key] = unit
            run = self._begin(unit)
        # Whoever is told so may command its device at once: there has to be one.
        await self._pump.take(source_of(unit), [])
        return self._show(run)

    async def change_unit(self, name: str, unit: Unit) -> UnitState:
        """Let a unit be as ``unit`` says; it stays where it is."""
        async with self._changing:
            run = self._find(name)
            place = {"address": run.unit.address, "port": run.unit.port}
            unit = msgspec.structs.replace(unit, **place)
            if unit == run.unit:
                return self._show(run)
            await self._keep(unit.key, unit)
            self._kept[unit.key] = unit
            await self._end(run, "the unit was changed")
            return self._show(self._begin(unit))

    async def remove_unit(self, name: str) -> UnitState | None:
        """Speak with a unit no more, or again as the configuration says."""
        async with self._changing:
            run = self._find(name)
            key = run.unit.key
            configured = self._configured.get(key)
            if configured is not None and key not in self._kept:
                raise InvalidUnit(
                    f"{key} is named in {SECTION} of the configuration: take it out there, and "
                    "start the hub again."
                )
            await self._keep(key, None)
            self._kept.pop(key, None)
            await self._end(run, "the unit was removed")
            return None if configured is None else self._show(self._begin(configured))

    async def test_unit(self, name: str, seconds: float) -> UnitTest:
        """Connect now, unless there is a connection, and return what the unit says."""
        return await self._find(name).test(seconds)

    def passed_on(self, key: str, text: str, moment: int, clock: Clock) -> list[Record] | None:
        """Return what it means that a unit has written ``text``, as its owner says."""
        run = self._runs.get(key)
        if run is None or run.passed_on is None:
            return None
        return run.passed_on.take(text, moment, clock)

    async def scan_units(self, addresses: str, port: int) -> list[FoundUnit]:
        """Return who listens; who is a unit already is named, and not connected to."""
        known: list[FoundUnit] = []
        others: list[str] = []
        for address in addresses_of(addresses):
            key = Unit(address=address, port=port).key
            if (run := self._runs.get(key)) is not None:
                known.append(FoundUnit(address, port, self._name(run.unit), ""))
            else:
                others.append(address)
        return known + await scan(others, port)

    def _begin(self, unit: Unit) -> _Run:
        """Speak with a unit from now on, and see that there is a device of it."""
        origin = "added"
        if unit.key in self._configured:
            origin = "changed" if unit.key in self._kept else "configuration"
        run = self._runs[unit.key] = _Run(unit, origin, self._common)
        device = self._ground.devices.by_identity(unit.identity)
        # A device that came by another dialect may still be online of the last time.
        was_online = device is not None and device.online
        self._pump.put(source_of(unit), [Left(_STOPPED)] if was_online else [])
        return run

    async def _see_devices(self) -> None:
        """See that units whose devices were removed have devices again."""
        devices = self._ground.devices
        edition = devices.edition
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if devices.edition != edition:
                edition = devices.edition
                for run in self._runs.values():
                    if devices.by_identity(run.unit.identity) is None:
                        self._pump.put(source_of(run.unit), [])

    async def _end(self, run: _Run, reason: str) -> None:
        del self._runs[run.unit.key]
        await run.stop(reason, reason)

    async def _keep(self, key: str, unit: Unit | None) -> None:
        value = None if unit is None else _encode(unit)
        await self._ground.hub.accept([], lambda _: {f"{_STATE}{key}": value})

    def _find(self, name: str) -> _Run:
        run = self._runs.get(name)
        if run is None:
            called = (one for one in self._runs.values() if self._name(one.unit) == name)
            run = next(called, None)
        if run is None:
            known = ", ".join(one.name for one in self.units()[:10]) or "none yet"
            raise UnknownUnit(f"There is no unit {name[:100]!r}. Known units: {known}.")
        return run

    def _by_identity(self, identity: str) -> _Run | None:
        return self._runs.get(identity.removeprefix("unit:"))

    def _name(self, unit: Unit) -> str:
        device = self._ground.devices.by_identity(unit.identity)
        return unit.first_name if device is None else device.name

    def _show(self, run: _Run) -> UnitState:
        return UnitState(
            name=self._name(run.unit),
            definition=run.unit,
            origin=run.origin,
            state=run.state,
            trouble=run.trouble,
            readings=run.readings,
            commands=run.writer.waiting if run.writer is not None else 0,
        )


def _kept_units(state: Mapping[str, bytes]) -> dict[str, Unit]:
    """Return the units that were added or changed while a hub ran."""
    found: dict[str, Unit] = {}
    for key, value in state.items():
        if key.startswith(_STATE):
            unit = _decode(value)
            found[unit.key] = unit
    return found


PART: Final = TransportPart(Settings, Units, listens=False)
