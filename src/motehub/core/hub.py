"""The one door: everything that any device says comes in through ``Hub.accept``."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from motehub.contracts import Note
from motehub.core.admission import Doorkeeper, Policy, Refusal, RegistryLimits, accept_device
from motehub.core.journal import Journal
from motehub.core.registry import Registry
from motehub.frames import Batch, Entry, EventOccurred, HeldDropped, Rejected, TextReadings
from motehub.logs import Logger
from motehub.model import (
    MICROSECONDS,
    Admission,
    Clock,
    Delivery,
    Device,
    Diagnostic,
    Malformed,
    Receipt,
    Record,
    Samples,
    Series,
    Source,
    Texts,
)

_PAYLOAD_BYTES: Final = 200

_logger = Logger("motehub.hub")


class Hub:
    """Admits, stamps and journals what devices say, and carries out the owner's decisions.

    ``clock`` returns UTC microseconds.
    """

    def __init__(
        self,
        registry: Registry,
        journal: Journal,
        policy: Policy,
        limits: RegistryLimits,
        clock: Callable[[], int],
    ) -> None:
        self.registry = registry
        self._journal = journal
        self._doorkeeper = Doorkeeper(policy, limits, registry)
        self._clock = clock
        self._last_stamps: dict[int, int] = {}

    @property
    def held_back(self) -> str | None:
        """Why the journal takes nothing at the moment, or None."""
        return self._journal.held_back

    async def accept(
        self, deliveries: Sequence[Delivery], note: Note | None = None
    ) -> list[Receipt]:
        """Return, when all of it is durable in the journal, what became of each delivery.

        Records of a device that is pending are held, those of one that may not write are
        rejected; either way they are counted. See :class:`motehub.contracts.Acceptor`.

        Raises:
            StorageError: the hub is stopping and the journal can't be written.
        """
        batch = Batch()
        now = self._clock()
        receipts = [self._take(batch, one.source, one.records, now) for one in deliveries]
        if note is not None:
            batch.state.update(note(receipts))
        if batch:
            await self._journal.append(batch)
        return receipts

    def _take(self, batch: Batch, source: Source, records: Sequence[Record], now: int) -> Receipt:
        numbers, entries = len(batch.readings) + len(batch.held), len(batch.entries)
        device = self._doorkeeper.admit(batch, source, now)
        if isinstance(device, Refusal):
            self._refuse(batch, source, device, records, now)
        else:
            for record in records:
                if isinstance(record, Samples):
                    device = self._take_samples(batch, source, device, record, now)
                elif isinstance(record, Texts):
                    device = self._take_texts(batch, source, device, record, now)
                elif isinstance(record, Malformed):
                    self._take_malformed(batch, source, device.id, record, now)
                else:
                    device = self._take_diagnostic(batch, device, record, now)
        taken = len(batch.readings) + len(batch.held) - numbers
        return _receipt(taken, batch.entries[entries:])

    async def accept_device(self, name: str, new_name: str | None = None) -> Device:
        """Let the device write, under ``new_name`` if one is given; store what was held.

        Raises:
            UnknownDevice: no device is called ``name``.
            InvalidName: ``new_name`` is taken or breaks the rules for names.
        """
        batch = Batch()
        device = self.registry.by_name(name)
        device = accept_device(self.registry, batch, device, new_name, self._clock())
        await self._journal.append(batch)
        return device

    async def rename_device(self, name: str, new_name: str) -> Device:
        """Give the device another name.

        Raises:
            UnknownDevice: no device is called ``name``.
            InvalidName: ``new_name`` is taken or breaks the rules for names.
        """
        old = self.registry.by_name(name)
        if name == new_name:
            return old
        batch = Batch()
        device = msgspec.structs.replace(old, name=self.registry.check_new_name(new_name))
        self.registry.replace(batch, device)
        self._note_event(batch, device, "renamed", f"renamed from {name} to {new_name}")
        await self._journal.append(batch)
        return device

    async def block_device(self, name: str) -> Device:
        """Refuse everything that the device sends from now on; reject what was held.

        Raises:
            UnknownDevice: no device is called ``name``.
        """
        batch = Batch()
        old = self.registry.by_name(name)
        device = msgspec.structs.replace(old, admission=Admission.BLOCKED, held=0)
        self.registry.replace(batch, device)
        self._note_event(batch, device, "blocked", "blocked")
        batch.entries.append(HeldDropped(device.id))
        await self._journal.append(batch)
        return device

    async def remove_device(self, name: str) -> Device:
        """Remove the device with everything that is stored of it.

        Raises:
            UnknownDevice: no device is called ``name``.
        """
        batch = Batch()
        device = self.registry.by_name(name)
        self.registry.remove(batch, device)
        await self._journal.append(batch)
        return device

    def _take_samples(
        self, batch: Batch, source: Source, device: Device, samples: Samples, now: int
    ) -> Device:
        series = self._series(batch, source, device, samples, now)
        if series is None:
            return device
        if series.unit != samples.unit:
            reason = f"{samples.metric} is kept in {series.unit}, not in {samples.unit}"
            self._reject_samples(batch, source, device, samples, reason, now)
            return device
        times, values = samples.times, samples.values
        if samples.clock is Clock.HUB:
            times = self._stamp(series.id, times)
        if device.admission is Admission.ACCEPTED:
            batch.readings.add(series.id, times, values)
            return device
        room, device = self._room_to_hold(batch, source, device, samples, now)
        if room:
            batch.held.add(series.id, times[:room], values[:room])
        return device

    def _take_texts(
        self, batch: Batch, source: Source, device: Device, texts: Texts, now: int
    ) -> Device:
        series = self._series(batch, source, device, texts, now)
        if series is None:
            return device
        times = texts.times
        if texts.clock is Clock.HUB:
            times = self._stamp(series.id, times)
        held = device.admission is not Admission.ACCEPTED
        room = len(times)
        if held:
            room, device = self._room_to_hold(batch, source, device, texts, now)
        if room:
            entry = TextReadings(series.id, times[:room].tolist(), texts.values[:room], held)
            batch.entries.append(entry)
        return device

    def _series(
        self, batch: Batch, source: Source, device: Device, record: Samples | Texts, now: int
    ) -> Series | None:
        """Return the series of the record, registered when it is new; None if it may not be."""
        if series := self.registry.series(device, record):
            return series
        most = self._doorkeeper.limits.series
        if self.registry.series_count(device) < most:
            return self.registry.add_series(batch, device, record)
        reason = f"the device has {most} metrics already"
        self._reject_samples(batch, source, device, record, reason, now)
        return None

    def _room_to_hold(
        self, batch: Batch, source: Source, device: Device, record: Samples | Texts, now: int
    ) -> tuple[int, Device]:
        """Return how many of the record's readings fit into quarantine; reject the others."""
        count = len(record.times)
        room = min(count, max(0, self._doorkeeper.limits.held - device.held))
        if room < count:
            rest = msgspec.structs.replace(
                record, times=record.times[room:], values=record.values[room:]
            )
            reason = "the quarantine of this device is full; accept or block it"
            self._reject_samples(batch, source, device, rest, reason, now)
        if room:
            device = msgspec.structs.replace(device, held=device.held + room)
            self.registry.replace_quietly(batch, device)
        return room, device

    def _stamp(self, series: int, times: array[int]) -> array[int]:
        """Return ``times`` made distinct among all that the hub has stamped for this series."""
        last = self._last_stamps.get(series, 0)
        if last - times[-1] > MICROSECONDS:
            # The hub's clock was set back: going on from the old time would stop the clock.
            last = 0
        distinct = array("q")
        for time in times:
            last = max(time, last + 1)
            distinct.append(last)
        self._last_stamps[series] = last
        return distinct

    def _take_malformed(
        self, batch: Batch, source: Source, device: int | None, record: Malformed, now: int
    ) -> None:
        batch.entries.append(
            Rejected(device, source.peer, now, record.payload, record.reason, record.count)
        )

    def _take_diagnostic(
        self, batch: Batch, device: Device, record: Diagnostic, now: int
    ) -> Device:
        if record.once:
            if record.kind in device.noted:
                return device
            device = msgspec.structs.replace(device, noted=(*device.noted, record.kind))
            self.registry.replace_quietly(batch, device)
        batch.entries.append(EventOccurred(device.id, now, record.kind, record.text))
        return device

    def _refuse(
        self, batch: Batch, source: Source, refusal: Refusal, records: Sequence[Record], now: int
    ) -> None:
        _logger.debug("refused", peer=source.peer, reason=refusal.reason)
        count = sum(_weight(record) for record in records)
        if count:
            device = refusal.device.id if refusal.device else None
            payload = repr(records[0]).encode()[:_PAYLOAD_BYTES]
            batch.entries.append(Rejected(device, source.peer, now, payload, refusal.reason, count))

    def _reject_samples(
        self,
        batch: Batch,
        source: Source,
        device: Device,
        record: Samples | Texts,
        reason: str,
        now: int,
    ) -> None:
        payload = f"{record.metric} {record.values[0]}".encode()[:_PAYLOAD_BYTES]
        count = len(record.times)
        batch.entries.append(Rejected(device.id, source.peer, now, payload, reason, count))

    def _note_event(self, batch: Batch, device: Device, kind: str, text: str) -> None:
        batch.entries.append(EventOccurred(device.id, self._clock(), kind, text))


def _receipt(taken: int, entries: Sequence[Entry]) -> Receipt:
    rejected = [entry for entry in entries if isinstance(entry, Rejected)]
    taken += sum(len(entry.times) for entry in entries if isinstance(entry, TextReadings))
    reason = rejected[0].reason if rejected else None
    return Receipt(taken, sum(entry.count for entry in rejected), reason)


def _weight(record: Record) -> int:
    """Return how many readings or records a record stands for."""
    if isinstance(record, Samples | Texts):
        return len(record.times)
    return record.count if isinstance(record, Malformed) else 1
