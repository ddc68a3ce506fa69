"""From the columns of a body to deliveries, and from their receipts back to its lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from heapq import nsmallest
from operator import itemgetter
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

MOST_DEVICES: Final = 1_000
"""Devices that one body may speak for; lines of further ones are rejected."""

NameOf = Callable[[str], str | None]
"""Returns the present name of the device to which an identity is bound."""

IDENTITY: Final = "http:"
"""What the identities of devices begin with that are named in bodies."""


def may_write(token: Token, device: str, name_of: NameOf) -> bool:
    """Tell whether ``token``, which is good for writing, is so for what a body calls ``device``."""
    return not token.devices or token.may_write(name_of(IDENTITY + device) or device)


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
        self._unlisted = body.unlisted
        self._forbidden = False
        self._columns: dict[str, list[Column]] = {}
        self._sort()
        self.deliveries = list(self._deliver())

    def outcome(self, receipts: Sequence[Receipt]) -> Outcome:
        """Return what became of every line."""
        stored = 0
        rejected = len(self._bad) + self._unlisted
        errors = [(bad.line, bad.reason) for bad in self._bad]
        for columns, receipt in zip(self._columns.values(), receipts, strict=False):
            stored += receipt.taken
            for refused in receipt.refused:
                if refused.record < len(columns):
                    lines = columns[refused.record].lines[refused.start : refused.stop]
                    rejected += len(lines)
                    errors += [(line, refused.reason) for line in lines[:LISTED]]
        if not rejected:
            return Outcome(stored)
        first = nsmallest(LISTED, errors, key=itemgetter(0))
        return Outcome(stored, rejected, [LineError(*error) for error in first], self._forbidden)

    def _sort(self) -> None:
        """Sort the columns by device; those that can't be taken become bad lines."""
        refused: list[tuple[Column, str]] = []
        for column in self._body.columns:
            device = column.device or self._default
            if device in self._columns:
                self._columns[device].append(column)
            elif device is None:
                reason = "the device is not named, and the token is not bound to one"
                refused.append((column, reason))
            elif not may_write(self._token, device, self._name_of):
                refused.append((column, f"the token {self._token.name} may not write {device}"))
                self._forbidden = True
            elif len(self._columns) >= MOST_DEVICES:
                refused.append((column, f"{MOST_DEVICES} other devices are in the body before it"))
            else:
                self._columns[device] = [column]
        if refused:
            self._add_bad(refused)

    def _add_bad(self, refused: list[tuple[Column, str]]) -> None:
        """List the first lines of columns that can't be taken, and count the others."""
        lines = (
            (line, number)
            for number, (column, _) in enumerate(refused)
            for line in column.lines[:LISTED]
        )
        first = nsmallest(LISTED, lines)
        for line, number in first:
            column, reason = refused[number]
            device = column.device or self._default
            self._bad.append(BadLine(line, column.record.metric.encode(), reason, device))
        self._unlisted += sum(len(column.lines) for column, _ in refused) - len(first)

    def _deliver(self) -> Iterator[Delivery]:
        """Yield a delivery for each device, and one of nobody for what is left."""
        malformed = self._malformed() if self._bad else {}
        for device, columns in self._columns.items():
            records: list[Record] = [column.record for column in columns]
            if device in malformed:
                records += malformed.pop(device)
            yield Delivery(_source(self._dialect, device, self._peer), records)
        left: list[Record] = [record for records in malformed.values() for record in records]
        if self._unlisted:
            left.append(Malformed(b"", "these lines too can't be taken", self._unlisted))
        if left:
            yield Delivery(Source(self._dialect, "", "", self._peer), left)

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
    return Source(dialect, IDENTITY + device, name, peer, vouched=True)
