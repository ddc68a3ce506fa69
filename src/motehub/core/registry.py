"""Which devices and series exist. In memory; every change is also an entry of the journal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from motehub.core.calibrations import Calibration, Calibrations
from motehub.core.profiles import Profiles, checked_unit
from motehub.errors import InvalidName, InvalidProfile, UnknownDevice
from motehub.frames import (
    Batch,
    DeviceChanged,
    DeviceRemoved,
    Entry,
    PresenceChanged,
    SeriesAdded,
)
from motehub.model import (
    NAME_BYTES,
    Admission,
    Device,
    Kind,
    Samples,
    Series,
    Texts,
    given_name,
)

_DEVICE_KEY = "device/"
_SERIES_KEY = "series/"
_LAST_IDS_KEY = "registry/last_ids"

_encode = msgspec.msgpack.Encoder().encode
_decode_device = msgspec.msgpack.Decoder(Device).decode
_decode_series = msgspec.msgpack.Decoder(Series).decode


class Registry:
    """Devices by id, name and identity, and their series by metric.

    Each method that changes something adds the entries and the state of that change to the
    batch that it is given, so both become durable with the readings that caused it.
    """

    def __init__(self, devices: Iterable[Device] = (), series: Iterable[Series] = ()) -> None:
        self._devices: dict[int, Device] = {}
        self._names: dict[str, int] = {}
        self._identities: dict[str, int] = {}
        self._gauges: dict[int, dict[str, Series]] = {}
        self._texts: dict[int, dict[str, Series]] = {}
        self._pending: set[int] = set()
        # The gauges again but those that are calibrated, also by each identity of the devices
        # that may write.
        self._plain: dict[int, dict[str, Series]] = {}
        self._open: dict[str, dict[str, Series]] = {}
        self._last_device = self._last_series = 0
        self.profiles = Profiles()
        """What the owner says of devices beside their names."""
        self.calibrations = Calibrations()
        """What the owner makes of the numbers of series."""
        self.edition = 0
        """Another number whenever what was asked about a device may be wrong since."""
        for device in devices:
            self._index(device)
        for one in series:
            self._index_series(one)

    @classmethod
    def from_state(cls, state: Mapping[str, bytes]) -> Registry:
        """Build the registry from what a journal keeps for good."""
        registry = cls(
            [_decode_device(value) for key, value in state.items() if key.startswith(_DEVICE_KEY)]
        )
        registry.profiles = Profiles.from_state(state)
        registry.calibrations = Calibrations.from_state(state)
        for key, value in state.items():
            if key.startswith(_SERIES_KEY):
                registry._index_series(_decode_series(value))
        if last := state.get(_LAST_IDS_KEY):
            device, series = msgspec.msgpack.decode(last, type=tuple[int, int])
            registry._last_device = max(registry._last_device, device)
            registry._last_series = max(registry._last_series, series)
        return registry

    def entries(self) -> list[Entry]:
        """Return the whole registry as entries: what a history that was lost must learn again."""
        return [
            *map(DeviceChanged, self._devices.values()),
            *map(SeriesAdded, self._all_series()),
        ]

    def describe(self, batch: Batch) -> None:
        """Put the whole registry into ``batch``: the beginning of a new journal."""
        for device in self._devices.values():
            batch.state[f"{_DEVICE_KEY}{device.id}"] = _encode(device)
        for series in self._all_series():
            batch.state[f"{_SERIES_KEY}{series.id}"] = _encode(series)

    def devices(self) -> list[Device]:
        """Return all devices, by id."""
        return list(self._devices.values())

    def count(self) -> int:
        """Return how many devices there are."""
        return len(self._devices)

    def by_identity(self, identity: str) -> Device | None:
        """Return the device to which ``identity`` is bound."""
        device = self._identities.get(identity)
        return None if device is None else self._devices[device]

    def by_id(self, device: int) -> Device:
        """Return the device with that id, which exists."""
        return self._devices[device]

    def by_name(self, name: str) -> Device:
        """Return the device called ``name``.

        Raises:
            UnknownDevice: there is none.
        """
        if name not in self._names:
            known = ", ".join(sorted(self._names)[:10]) or "none yet"
            raise UnknownDevice(f"There is no device called {name!r}. Known devices: {known}.")
        return self._devices[self._names[name]]

    def series_count(self, device: Device) -> int:
        """Return how many series the device has."""
        return sum(len(table.get(device.id, ())) for table in (self._gauges, self._texts))

    def has_name(self, name: str) -> bool:
        """Tell whether a device is called ``name``."""
        return name in self._names

    def pending(self) -> int:
        """Return how many devices wait for the owner's approval."""
        return len(self._pending)

    def add(
        self, batch: Batch, name: str, dialect: str, identity: str, admission: Admission, now: int
    ) -> Device:
        """Register a device seen for the first time at ``now``; a taken name gets a number."""
        self._last_device += 1
        device = Device(
            id=self._last_device,
            name=self.free_name(name),
            dialect=dialect,
            identities=(identity,),
            admission=admission,
            first_seen=now,
        )
        self.replace(batch, device)
        return device

    def replace(self, batch: Batch, device: Device) -> None:
        """Put ``device`` in the place of the one with its id, in history too."""
        self.replace_quietly(batch, device)
        batch.entries.append(DeviceChanged(device))

    def replace_quietly(self, batch: Batch, device: Device) -> None:
        """Replace a device when only what the hub itself needs has changed, not the history."""
        old = self._devices.get(device.id)
        if old:
            self._forget(old)
        self._index(device)
        if old and _standing(old) != _standing(device):
            # Afterwards: who asks in another thread may be told an edition that is too old.
            self.edition += 1
        batch.state[f"{_DEVICE_KEY}{device.id}"] = _encode(device)

    def set_online(self, batch: Batch, device: Device, *, online: bool) -> Device:
        """Note that the device is online or offline; nothing else about it may change with it."""
        changed = msgspec.structs.replace(device, online=online)
        self._devices[device.id] = changed
        batch.state[f"{_DEVICE_KEY}{device.id}"] = _encode(changed)
        batch.entries.append(PresenceChanged(device.id, online))
        return changed

    def remove(self, batch: Batch, device: Device) -> None:
        """Forget the device and its series; its identities are unknown from now on."""
        self._forget(device)
        self.profiles.forget(batch, device.id)
        del self._devices[device.id]
        batch.state[f"{_DEVICE_KEY}{device.id}"] = None
        self._plain.pop(device.id, None)
        for table in (self._gauges, self._texts):
            for series in table.pop(device.id, {}).values():
                self.calibrations.forget(batch, series.id)
                batch.state[f"{_SERIES_KEY}{series.id}"] = None
        self.edition += 1
        # Without this, removing the newest device would let the next one have its ids.
        batch.state[_LAST_IDS_KEY] = _encode((self._last_device, self._last_series))
        batch.entries.append(DeviceRemoved(device.id))

    def check_new_name(self, name: str) -> str:
        """Return ``name`` in composed form when a device may be given it.

        Raises:
            InvalidName: it breaks the rules for names, or another device has it.
        """
        name = given_name(name)
        if name in self._names:
            raise InvalidName(f"Another device is already called {name!r}. Choose another name.")
        return name

    def free_name(self, wanted: str) -> str:
        """Return ``wanted``, or with a number after it when a device has that name."""
        name, number = wanted, 1
        while name in self._names:
            number += 1
            ending = f"-{number}"
            room = NAME_BYTES - len(ending)
            name = wanted.encode()[:room].decode("utf-8", "ignore") + ending
        return name

    def open_gauges(self, identity: str) -> Mapping[str, Series] | None:
        """Return the number series by metric of the device of ``identity``, if it may write.

        Those that are calibrated are left out: their numbers are not values yet.
        """
        return self._open.get(identity)

    def gauges_of(self, device: Device) -> Mapping[str, Series] | None:
        """Return the number series of the device by metric as ``open_gauges`` does."""
        return self._plain.get(device.id) if device.admission is Admission.ACCEPTED else None

    def series(self, device: Device, record: Samples | Texts) -> Series | None:
        """Return the device's series of that metric and kind, if it is known."""
        table = self._texts if isinstance(record, Texts) else self._gauges
        known = table.get(device.id)
        return known.get(record.metric) if known else None

    def find_series(self, device: int, metric: str, kind: Kind) -> Series | None:
        """Return the series of that metric and kind of the device with that id, if it is known."""
        table = self._texts if kind is Kind.TEXT else self._gauges
        return table.get(device, {}).get(metric)

    def add_series(self, batch: Batch, device: Device, record: Samples | Texts) -> Series:
        """Register the series of a metric that the device reports for the first time."""
        self._last_series += 1
        unit, kind = ("", Kind.TEXT) if isinstance(record, Texts) else (record.unit, Kind.GAUGE)
        series = Series(self._last_series, device.id, record.metric, unit, kind)
        self._index_series(series)
        batch.state[f"{_SERIES_KEY}{series.id}"] = _encode(series)
        batch.entries.append(SeriesAdded(series))
        return series

    def set_unit(self, batch: Batch, series: Series, unit: str) -> None:
        """Let the numbers of a series be in another unit: those that are stored stay as they are.

        ``unit`` is what whoever asks for readings is told from now on.
        """
        changed = msgspec.structs.replace(series, unit=unit)
        self._index_series(changed)
        self.edition += 1
        batch.state[f"{_SERIES_KEY}{series.id}"] = _encode(changed)
        batch.entries.append(SeriesAdded(changed))

    def give_units(self, batch: Batch, device: Device, units: Mapping[str, str]) -> tuple[str, ...]:
        """Give series units, all or none; return the metrics whose unit the owner has given.

        Raises:
            InvalidProfile: there is no such metric, the device says its unit, or it can't be.
        """
        given = dict.fromkeys(self.profiles.of(device.id).units)
        changes = []
        for metric, written in units.items():
            unit = checked_unit(written)
            series = self.numbers_of(device, metric)
            if unit == series.unit:
                continue
            if series.unit and metric not in given:
                raise InvalidProfile(
                    f"{device.name} says itself that its {metric} is in {series.unit}."
                )
            changes.append((series, unit))
        for series, unit in changes:
            self.set_unit(batch, series, unit)
            given.pop(series.metric, None)
            if unit:
                given[series.metric] = None
        return tuple(given)

    def numbers_of(self, device: Device, metric: str) -> Series:
        """Return the series of a device's numbers.

        Raises:
            InvalidProfile: there is no such metric.
        """
        series = self.find_series(device.id, metric, Kind.GAUGE)
        if series is None:
            raise InvalidProfile(f"{device.name} has no numbers called {metric[:64]!r}.")
        return series

    def series_of(self, device: Device) -> list[Series]:
        """Return the series of a device, numbers first."""
        tables = (self._gauges, self._texts)
        return [one for table in tables for one in table.get(device.id, {}).values()]

    def calibrations_of(self, device: Device) -> dict[int, Calibration]:
        """Return how those series of the device are calibrated that are, by their ids."""
        known = self._gauges.get(device.id, {}).values()
        found = {series.id: self.calibrations.of(series.id) for series in known}
        return {series: one for series, one in found.items() if one is not None}

    def calibrate(self, batch: Batch, series: Series, calibration: Calibration) -> None:
        """Let the numbers of a series that come from now on be calibrated so."""
        self.calibrations.put(batch, series.id, calibration)
        self._index_series(series)
        self.edition += 1

    def _index(self, device: Device) -> None:
        self._devices[device.id] = device
        self._names[device.name] = device.id
        for identity in device.identities:
            self._identities[identity] = device.id
        if device.admission is Admission.PENDING:
            self._pending.add(device.id)
        elif device.admission is Admission.ACCEPTED:
            plain = self._plain.setdefault(device.id, {})
            self._open.update(dict.fromkeys(device.identities, plain))
        self._last_device = max(self._last_device, device.id)

    def _index_series(self, series: Series) -> None:
        table = self._texts if series.kind is Kind.TEXT else self._gauges
        table.setdefault(series.device, {})[series.metric] = series
        if series.kind is not Kind.TEXT:
            plain = self._plain.setdefault(series.device, {})
            if self.calibrations.of(series.id) is None:
                plain[series.metric] = series
            else:
                plain.pop(series.metric, None)
        self._last_series = max(self._last_series, series.id)

    def _all_series(self) -> Iterator[Series]:
        for table in (self._gauges, self._texts):
            for by_metric in table.values():
                yield from by_metric.values()

    def _forget(self, device: Device) -> None:
        self._names.pop(device.name, None)
        self._pending.discard(device.id)
        for identity in device.identities:
            self._identities.pop(identity, None)
            self._open.pop(identity, None)


def _standing(device: Device) -> tuple[str, tuple[str, ...], Admission]:
    """Return what decides who may write which series of a device."""
    return device.name, device.identities, device.admission
