"""From the columns of a body to deliveries, and from their receipts back to its lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from motehub.model import (
    Delivery,
    Malformed,
    Receipt,
    Record,
    Source,
    Token,
    derived_device_name,
)
from motehub.points import BadLine, Body, Column

LISTED: Final = 1_000
"""Bad lines that an answer names; the others are only counted."""

NameOf = Callable[[str], str | None]
"""Returns the present name of the device to which an identity is bound."""

_IDENTITY: Final = "http:"


class LineError(msgspec.Struct, frozen=True):
    """What is wrong with a line of a body, counted from 1."""

    line: int
    reason: str


class Outcome(msgspec.Struct):
    """What became of a body: readings stored (or held), lines rejected, the first of these."""

    stored: int = 0
    rejected: int = 0
    errors: list[LineError] = []
    forbidden: bool = False

    def add(self, other: Outcome) -> None:
        """Add what became of the next part of the same body."""
        self.stored += other.stored
        self.rejected += other.rejected
        self.errors += other.errors[: LISTED - len(self.errors)]
        self.forbidden = self.forbidden or other.forbidden


class Filing:
    """The deliveries of one body from one sender.

    ``token`` limits whose readings they may be; a column without device is ``default``'s.
    ``dialect`` is what the devices are said to speak.
    """

    def __init__(
        self,
        body: Body,
        token: Token,
        default: str | None,
        dialect: str,
        peer: str,
        name_of: NameOf,
    ) -> None:
        self._body = body
        self._token = token
        self._default = default
        self._dialect = dialect
        self._peer = peer
        self._name_of = name_of
        self._bad = list(body.bad)
        self._forbidden = False
        self._columns: dict[str, list[Column]] = {}
        for column in body.columns:
            self._sort_in(column)
        self.deliveries = list(self._deliver())

    def outcome(self, receipts: Sequence[Receipt]) -> Outcome:
        """Return what became of every line."""
        outcome = Outcome(forbidden=self._forbidden)
        errors = [LineError(bad.line, bad.reason) for bad in self._bad]
        for columns, receipt in zip(self._columns.values(), receipts, strict=False):
            outcome.stored += receipt.taken
            for refused in receipt.refused:
                if refused.record < len(columns):
                    lines = columns[refused.record].lines[refused.start :]
                    errors += [LineError(line, refused.reason) for line in lines]
        errors.sort(key=lambda error: error.line)
        outcome.rejected = len(errors) + self._body.unlisted
        outcome.errors = errors[:LISTED]
        return outcome

    def _sort_in(self, column: Column) -> None:
        device = column.device or self._default
        reason = None
        if device is None:
            reason = "the device is not named, and the token is not bound to one"
        elif device not in self._columns and not self._may_write(device):
            reason = f"the token {self._token.name} may not write {device}"
            self._forbidden = True
        if reason is None and device is not None:
            self._columns.setdefault(device, []).append(column)
            return
        for line in column.lines:
            self._bad.append(BadLine(line, column.record.metric.encode(), reason or "", device))

    def _may_write(self, device: str) -> bool:
        if not self._token.devices:
            return True
        return self._token.may_write(self._name_of(_IDENTITY + device) or device)

    def _deliver(self) -> Iterator[Delivery]:
        """Yield a delivery for each device, and one of nobody for what is left."""
        malformed = self._malformed() if self._bad else {}
        for device, columns in self._columns.items():
            records: list[Record] = [column.record for column in columns]
            if device in malformed:
                records += malformed.pop(device)
            yield Delivery(_source(self._dialect, device, self._peer), records)
        left = [record for records in malformed.values() for record in records]
        if self._body.unlisted:
            reason = "these lines too can't be read"
            left.append(Malformed(b"", reason, self._body.unlisted))
        if left:
            yield Delivery(Source(self._dialect, "", "", self._peer), list(left))

    def _malformed(self) -> dict[str | None, list[Malformed]]:
        """Return the bad lines by the device that they would have been of."""
        found: dict[str | None, list[Malformed]] = {}
        for bad in self._bad:
            record = Malformed(bad.payload, f"{bad.reason} (line {bad.line})")
            found.setdefault(bad.device, []).append(record)
        return found


@lru_cache(4096)
def _source(dialect: str, device: str, peer: str) -> Source:
    name = derived_device_name(device)
    return Source(dialect, _IDENTITY + device, name, peer, vouched=True)
