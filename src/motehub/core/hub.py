"""The one door: everything that any device says comes in through ``Hub.accept``."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from motehub.contracts import Note
from motehub.core.admission import Doorkeeper, Policy, Refusal, RegistryLimits, accept_device
from motehub.core.journal import Journal
from motehub.core.registry import Registry
from motehub.core.tokens import Tokens
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
    RefusedRecord,
    Samples,
    Scope,
    Series,
    Source,
    Texts,
    Token,
    given_name,
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
        tokens: Tokens,
        journal: Journal,
        policy: Policy,
        limits: RegistryLimits,
        clock: Callable[[], int],
    ) -> None:
        self.registry = registry
        self.tokens = tokens
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
        refused: list[RefusedRecord] = []
        device = self._admit(batch, source, now)
        if isinstance(device, Refusal):
            self._refuse(batch, source, device, records, now)
            refused = [RefusedRecord(number, 0, device.reason) for number in range(len(records))]
        else:
            for number, record in enumerate(records):
                known = len(batch.entries)
                if isinstance(record, Samples):
                    device = self._take_samples(batch, source, device, record, now)
                elif isinstance(record, Texts):
                    device = self._take_texts(batch, source, device, record, now)
                elif isinstance(record, Malformed):
                    self._take_malformed(batch, source, device.id, record, now)
                    continue
                else:
                    device = self._take_diagnostic(batch, device, record, now)
                    continue
                if len(batch.entries) > known:
                    refused += _refused(number, record, batch.entries[known:])
        taken = len(batch.readings) + len(batch.held) - numbers
        return _receipt(taken, batch.entries[entries:], refused)

    def _admit(self, batch: Batch, source: Source, now: int) -> Device | Refusal:
        if not source.identity:
            return Refusal("nobody knows whose readings these are")
        return self._doorkeeper.admit(batch, source, now)

    async def accept_device(self, name: str, new_name: str | None = None) -> Device:
        """Let the device write, under ``new_name`` if one is given; store what was held.

        Raises:
            UnknownDevice: no device is called ``name``.
            InvalidName: ``new_name`` is taken or breaks the rules for names.
        """
        batch = Batch()
        device = self.registry.by_name(name)
        device = accept_device(self.registry, batch, device, new_name, self._clock())
        self.tokens.follow(batch, name, device.name)
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
        self.tokens.follow(batch, name, device.name)
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

    async def create_token(
        self,
        name: str,
        scopes: Sequence[Scope],
        devices: Sequence[str] = (),
        secret: str | None = None,
        expires: int | None = None,
    ) -> str:
        """Return the secret of a new token once the token is durable; it is not kept.

        ``devices`` are names of those that it is bound to, which need not exist yet. ``secret``
        is a key that devices have already; without it one is made. ``expires`` is in µs.

        Raises:
            InvalidName: ``name`` is taken, or this or a device's name breaks the rules.
            InvalidToken: the key, the scopes or the time can't be, or there are too many.
        """
        batch = Batch()
        bound = [one if self.registry.has_name(one) else given_name(one) for one in devices]
        secret = self.tokens.add(batch, name, scopes, bound, self._clock(), secret, expires)
        await self._journal.append(batch)
        _logger.info("token created", name=name, scopes=",".join(one.value for one in scopes))
        return secret

    async def revoke_token(self, name: str) -> Token:
        """Let a token be good for nothing from now on.

        Raises:
            UnknownToken: there is none of that name.
        """
        batch = Batch()
        token = self.tokens.revoke(batch, name)
        await self._journal.append(batch)
        _logger.info("token revoked", name=token.name)
        return token

    def _take_samples(
        self, batch: Batch, source: Source, device: Device, samples: Samples, now: int
    ) -> Device:
        series = self._series(batch, source, device, samples, now)
        if series is None:
            return device
        # Many dialects say nothing of units.
        if series.unit != samples.unit and series.unit and samples.unit:
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
        if times.count(times[0]) == len(times):
            # One moment, as a read has: the loop below, in C.
            first = max(times[0], last + 1)
            distinct = array("q", range(first, first + len(times)))
        else:
            distinct = array("q")
            for time in times:
                last = max(time, last + 1)
                distinct.append(last)
        self._last_stamps[series] = distinct[-1]
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
        device = refusal.device.id if refusal.device else None
        rest = []
        for record in records:
            if isinstance(record, Malformed) and not source.identity:
                # It would not have been taken from anybody: that is the better reason.
                self._take_malformed(batch, source, device, record, now)
            else:
                rest.append(record)
        if count := sum(_weight(record) for record in rest):
            payload = repr(rest[0]).encode()[:_PAYLOAD_BYTES]
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


def _receipt(taken: int, entries: Sequence[Entry], refused: Sequence[RefusedRecord]) -> Receipt:
    if not entries:
        return Receipt(taken, 0)
    rejected = [entry for entry in entries if isinstance(entry, Rejected)]
    taken += sum(len(entry.times) for entry in entries if isinstance(entry, TextReadings))
    reason = rejected[0].reason if rejected else None
    return Receipt(taken, sum(entry.count for entry in rejected), reason, tuple(refused))


def _refused(
    number: int, record: Samples | Texts, entries: Sequence[Entry]
) -> Iterator[RefusedRecord]:
    """Say which readings of a record were rejected: all, or the last ones."""
    for entry in entries:
        if isinstance(entry, Rejected):
            yield RefusedRecord(number, len(record.times) - entry.count, entry.reason)


def _weight(record: Record) -> int:
    """Return how many readings or records a record stands for."""
    if isinstance(record, Samples | Texts):
        return len(record.times)
    return record.count if isinstance(record, Malformed) else 1
