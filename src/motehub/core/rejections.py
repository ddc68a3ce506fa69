"""What becomes of records that are not taken: counted whole, and shown to the owner in short."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from motehub.core.admission import Refusal
from motehub.frames import Batch, Entry, Rejected
from motehub.model import Diagnostic, Malformed, Receipt, Record, Samples, Source, Texts

PAYLOAD_BYTES: Final = 200
"""What the list of rejected payloads shows of each at most."""


def add_rejected(entries: list[Entry], rejected: Rejected) -> None:
    """Append ``rejected``, or count it with the entry before if that says the same.

    A body may speak for a thousand devices that are all refused for one reason: they are
    counted whole, with the first as a sample.
    """
    last = entries[-1] if entries else None
    if (
        isinstance(last, Rejected)
        and (last.device, last.source, last.time)
        == (rejected.device, rejected.source, rejected.time)
        and last.reason == rejected.reason
    ):
        entries[-1] = msgspec.structs.replace(last, count=last.count + rejected.count)
    else:
        entries.append(rejected)


def discard(
    batch: Batch, source: Source, refusal: Refusal, records: Sequence[Record], now: int
) -> Receipt:
    """Count what belongs to no present session, and keep a sample of it for the owner."""
    count = sum(map(weight, records))
    if count:
        device = refusal.device.id if refusal.device else None
        claimed = f"{source.suggested_name};{source.session} ".encode()
        sample = (claimed + excerpt(records[0]))[:PAYLOAD_BYTES]
        rejected = Rejected(device, source.peer, now, sample, refusal.reason, count, discarded=True)
        add_rejected(batch.entries, rejected)
    return Receipt(0, 0, discarded=count)


def weight(record: Record) -> int:
    """Return how many readings or records a record stands for."""
    if isinstance(record, Samples | Texts):
        return len(record.times)
    return record.count if isinstance(record, Malformed) else 1


def excerpt(record: Record) -> bytes:
    """Return what the list of rejected payloads shows of a record, however long that is."""
    if isinstance(record, Malformed):
        return record.payload[:PAYLOAD_BYTES]
    if isinstance(record, Diagnostic):
        head, value = record.kind, record.text
    elif isinstance(record, Samples | Texts):
        head, value = record.metric, str(record.values[0])
    else:
        return type(record).__name__.lower().encode()
    return f"{head[:PAYLOAD_BYTES]} {value[:PAYLOAD_BYTES]}".encode()[:PAYLOAD_BYTES]
