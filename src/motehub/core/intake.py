"""From deliveries to a batch for the journal: what is taken, held or rejected, and why."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import msgspec

from motehub.core.admission import Doorkeeper, Refusal
from motehub.core.calibrations import Run, calibrate
from motehub.core.receipts import all_taken, receipt_of, refused_of
from motehub.core.registry import Registry
from motehub.core.rejections import PAYLOAD_BYTES, add_rejected, discard, excerpt, weight
from motehub.core.sessions import Sessions
from motehub.core.sparing import Sparing
from motehub.frames import Batch, EventOccurred, Rejected, TextReadings, Written
from motehub.logs import Logger
from motehub.model import (
    MICROSECONDS,
    Admission,
    Announced,
    Assignment,
    Clock,
    Device,
    Diagnostic,
    Joined,
    Known,
    Left,
    Malformed,
    Receipt,
    Record,
    RefusedRecord,
    Samples,
    Series,
    Source,
    Texts,
    WrittenSamples,
)

_logger = Logger("motehub.hub")


class Intake:
    """Puts what sources say into batches, as the registry and the doorkeeper allow."""

    def __init__(self, registry: Registry, sessions: Sessions, doorkeeper: Doorkeeper) -> None:
        self._registry = registry
        self._sessions = sessions
        self._doorkeeper = doorkeeper
        self._last_stamps: dict[int, int] = {}
        self.sparing = Sparing()

    def take(self, batch: Batch, source: Source, records: Sequence[Record], now: int) -> Receipt:
        """Put ``records``, which arrived at ``now`` (µs), into ``batch``; say what became of them.

        Nothing is durable before the batch is.
        """
        # Nearly all that ever comes are numbers of series that are known, of an accepted device.
        known = self._registry.open_gauges(source.identity)
        if known is None and (known := self._sessions.open_gauges(source)) is None:
            return self._take_each(batch, source, records, now)
        readings = batch.readings
        taken = 0
        for number, record in enumerate(records):
            if (
                type(record) is not Samples
                or (series := known.get(record.metric)) is None
                or (series.unit != record.unit and not _same_unit(series, record))
            ):
                return self._take_each(batch, source, records, now, number, taken)
            times = record.times
            if record.clock is Clock.HUB:
                times = self._stamp(series.id, times)
            readings.add(series.id, times, record.values)
            taken += len(times)
        return all_taken(taken)

    def take_known(self, batch: Batch, known: Known, now: int) -> Receipt:
        """Do the same with readings whose series were looked up when they arrived."""
        if known.edition != self._registry.edition:
            parts = [self.take(batch, o.source, o.records, now) for o in known.otherwise()]
            taken, rejected = sum(p.taken for p in parts), sum(p.rejected for p in parts)
            return Receipt(taken, rejected, parts=tuple(parts))
        runs, readings = known.runs, batch.readings
        if runs.clock is Clock.DEVICE:
            readings.extend(runs)
        else:
            start = 0
            for series, count in zip(runs.series, runs.counts, strict=True):
                end = start + count
                times = self._stamp(series, runs.times[start:end])
                readings.add(series, times, runs.values[start:end])
                start = end
        return all_taken(len(runs.times))

    def _take_each(
        self,
        batch: Batch,
        source: Source,
        records: Sequence[Record],
        now: int,
        start: int = 0,
        taken: int = 0,
    ) -> Receipt:
        """Take the records from ``start`` on, whatever they are; ``taken`` readings are before."""
        device = self._admit(batch, source, now)
        if isinstance(device, Refusal):
            if device.discarded:
                return discard(batch, source, device, records, now)
            return self._refuse(batch, source, device, records, now)
        if source.session is not None and records and isinstance(records[0], Samples | Texts):
            device = self._sessions.hear(batch, device, source, now)
        numbers, entries = len(batch.readings) + len(batch.held), len(batch.entries)
        refused: list[RefusedRecord] = []
        assigned: Assignment | None = None
        for number in range(start, len(records)):
            record = records[number]
            known = len(batch.entries)
            if isinstance(record, Samples):
                if (runs := self._calibrated(device, record)) is not None:
                    device, lost = self._take_runs(batch, source, device, runs, now)
                    refused += [RefusedRecord(number, *one) for one in lost]
                    continue
                device = self._take_samples(batch, source, device, record, now)
            elif isinstance(record, Texts):
                device = self._take_texts(batch, source, device, record, now)
            elif isinstance(record, Malformed):
                self._take_malformed(batch, source, device.id, record, now)
                continue
            elif isinstance(record, Diagnostic):
                device = self._take_diagnostic(batch, device, record, now)
                continue
            else:
                answer = self._take_presence(batch, source, device, record, now)
                device = self._registry.by_id(device.id)
                if isinstance(answer, Refusal):
                    refused.append(RefusedRecord(number, 0, answer.reason))
                else:
                    assigned = answer or assigned
                continue
            if len(batch.entries) > known:
                refused += refused_of(number, record, batch.entries[known:])
        taken += len(batch.readings) + len(batch.held) - numbers
        if len(batch.entries) == entries:
            return all_taken(taken)
        return receipt_of(taken, batch.entries[entries:], refused, assigned)

    def _admit(self, batch: Batch, source: Source, now: int) -> Device | Refusal:
        if source.session is not None:
            return self._sessions.find(source)
        if not source.identity:
            return Refusal("nobody knows whose readings these are")
        if source.suggested_name or self._registry.by_identity(source.identity):
            return self._doorkeeper.admit(batch, source, now)
        name, number = self._sessions.next_name()
        named = msgspec.structs.replace(source, suggested_name=name)
        device = self._doorkeeper.admit(batch, named, now)
        if isinstance(device, Device) and device.name == name:
            self._sessions.count(batch, number)
        return device

    def _take_samples(
        self, batch: Batch, source: Source, device: Device, samples: Samples, now: int
    ) -> Device:
        series = self._series(batch, source, device, samples, now)
        if series is None:
            return device
        if not _same_unit(series, samples):
            reason = f"{samples.metric} is kept in {series.unit}, not in {samples.unit}"
            self._reject_samples(batch, source, device, samples, reason, now)
            return device
        times, values = samples.times, samples.values
        if samples.clock is Clock.HUB:
            times = self._stamp(series.id, times)
        if device.admission is Admission.ACCEPTED:
            batch.readings.add(series.id, times, values)
            calibration = self._registry.calibrations.of(series.id)
            self.sparing.note(batch, series.id, calibration, times, values)
            if isinstance(samples, WrittenSamples):
                batch.entries.append(Written(series.id, times.tolist(), list(samples.written)))
            return device
        room, device = self._room_to_hold(batch, source, device, samples, now)
        if room:
            batch.held.add(series.id, times[:room], values[:room])
        return device

    def _calibrated(self, device: Device, samples: Samples) -> list[Run] | None:
        """Return the runs of ``samples`` whose series is calibrated; None for any other."""
        series = self._registry.series(device, samples)
        if series is None or not _same_unit(series, samples):
            return None
        calibration = self._registry.calibrations.of(series.id)
        return None if calibration is None else calibrate(samples, calibration)

    def _take_runs(
        self, batch: Batch, source: Source, device: Device, runs: Sequence[Run], now: int
    ) -> tuple[Device, list[tuple[int, str, int]]]:
        """Take runs of one metric; return (start, reason, stop) of the readings not taken."""
        lost: list[tuple[int, str, int]] = []
        faults: dict[str, Rejected] = {}
        for run in runs:
            if not run.fault:
                known = len(batch.entries)
                device = self._take_samples(batch, source, device, run.samples, now)
                for one in batch.entries[known:]:
                    if isinstance(one, Rejected):
                        lost.append((run.stop - one.count, one.reason, run.stop))
                continue
            reason = f"{run.samples.metric} {run.fault}"
            lost.append((run.start, reason, run.stop))
            count = run.stop - run.start
            if (first := faults.get(reason)) is not None:
                faults[reason] = msgspec.structs.replace(first, count=first.count + count)
                continue
            sample = excerpt(run.samples)
            faults[reason] = Rejected(device.id, source.peer, now, sample, reason, count)
        batch.entries += faults.values()
        return device, lost

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
        if series := self._registry.series(device, record):
            return series
        most = self._doorkeeper.limits.series
        if self._registry.series_count(device) < most:
            return self._registry.add_series(batch, device, record)
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
            self._registry.replace_quietly(batch, device)
        return room, device

    def _stamp(self, series: int, times: array[int]) -> array[int]:
        """Return ``times`` made distinct among all that the hub has stamped for this series."""
        last = self._last_stamps.get(series, 0)
        if last - times[-1] > MICROSECONDS:
            # The hub's clock was set back: going on from the old time would stop the clock.
            last = 0
        first = times[0]
        if len(times) == 1 and first > last:
            self._last_stamps[series] = first
            return times
        if times.count(first) == len(times):
            # One moment, as a read has: the loop below, in C.
            first = max(first, last + 1)
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
            self._registry.replace_quietly(batch, device)
        batch.entries.append(EventOccurred(device.id, now, record.kind, record.text))
        return device

    def _take_presence(
        self,
        batch: Batch,
        source: Source,
        device: Device,
        record: Announced | Joined | Left,
        now: int,
    ) -> Assignment | Refusal | None:
        if isinstance(record, Joined):
            self._sessions.join(batch, device, source, now)
            return None
        if isinstance(record, Left):
            self._sessions.leave(batch, device, record, now)
            return None
        answer = self._sessions.announce(batch, device, source, record, now)
        if isinstance(answer, Refusal):
            payload = source.identity.encode()[:PAYLOAD_BYTES]
            batch.entries.append(Rejected(device.id, source.peer, now, payload, answer.reason))
        return answer

    def _refuse(
        self, batch: Batch, source: Source, refusal: Refusal, records: Sequence[Record], now: int
    ) -> Receipt:
        _logger.debug("refused", peer=source.peer, reason=refusal.reason)
        device = refusal.device.id if refusal.device else None
        first = None
        count = total = 0
        reason: str | None = None
        for record in records:
            lost = weight(record)
            if isinstance(record, Left) and refusal.device:
                # Blocked, but not online any more.
                self._sessions.leave(batch, refusal.device, record, now)
                continue
            total += lost
            if isinstance(record, Malformed) and not source.identity:
                # It would not have been taken from anybody: that is the better reason.
                self._take_malformed(batch, source, device, record, now)
                reason = reason or record.reason
            elif lost:
                first = first or record
                count += lost
        if first is not None:
            reason = reason or refusal.reason
            rejected = Rejected(device, source.peer, now, excerpt(first), refusal.reason, count)
            add_rejected(batch.entries, rejected)
        refused = [RefusedRecord(number, 0, refusal.reason) for number in range(len(records))]
        return Receipt(0, total, reason, tuple(refused) if total else ())

    def _reject_samples(
        self,
        batch: Batch,
        source: Source,
        device: Device,
        record: Samples | Texts,
        reason: str,
        now: int,
    ) -> None:
        count = len(record.times)
        batch.entries.append(Rejected(device.id, source.peer, now, excerpt(record), reason, count))


def _same_unit(series: Series, samples: Samples) -> bool:
    # Many dialects say nothing of units.
    return series.unit == samples.unit or not series.unit or not samples.unit
