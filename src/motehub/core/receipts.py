"""What a sender is told of what was taken and what was not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from motehub.frames import Entry, Rejected, TextReadings
from motehub.model import Assignment, Receipt, RefusedRecord, Samples, Texts


@lru_cache(1024)
def all_taken(count: int) -> Receipt:
    """Return the receipt of so many readings that were all taken."""
    return Receipt(count, 0)


def receipt_of(
    taken: int,
    entries: Sequence[Entry],
    refused: Sequence[RefusedRecord],
    assigned: Assignment | None,
) -> Receipt:
    """Return the receipt of ``taken`` numbers, and of the texts and refusals in ``entries``."""
    rejected = [entry for entry in entries if isinstance(entry, Rejected)]
    taken += sum(len(entry.times) for entry in entries if isinstance(entry, TextReadings))
    reason = rejected[0].reason if rejected else None
    count = sum(entry.count for entry in rejected)
    return Receipt(taken, count, reason, tuple(refused), assigned)


def refused_of(
    number: int, record: Samples | Texts, entries: Sequence[Entry]
) -> Iterator[RefusedRecord]:
    """Say which readings of a record were rejected: all, or the last ones."""
    for entry in entries:
        if isinstance(entry, Rejected):
            yield RefusedRecord(number, len(record.times) - entry.count, entry.reason)
