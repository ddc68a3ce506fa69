"""What a history has counted by hour: readings as they arrived, and when the hub was not there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class HourCounts(msgspec.Struct, frozen=True):
    """What of a device came to the hub, or was decided about, in an hour that begins at ``start``.

    That is in UTC µs. What is late counts when it came, not at its own time. As with a device's
    counters, ``received = stored + duplicate + rejected + discarded`` but for readings that wait
    for the owner, or have waited.
    """

    start: int
    received: int
    stored: int
    duplicate: int
    rejected: int
    discarded: int


class Counted(Protocol):
    """Part of what a store promises; see :class:`motehub.history_contract.HistoryStore`."""

    def counts(self, device: int, since: int, until: int) -> list[HourCounts]:
        """Return the hours of a device that begin in ``[since, until)`` (µs), oldest first.

        There is none in which nothing came.
        """
        ...

    def counted_since(self, device: int) -> int | None:
        """Return when the first hour begins (µs) that has been counted of a device."""
        ...

    def forget_counts(self, devices: Sequence[int], until: int) -> None:
        """Delete the hours of these devices that begin before ``until`` (µs), in a transaction."""
        ...

    def away(self, since: int, until: int) -> list[tuple[int, int]]:
        """Return when in ``[since, until)`` the hub was not there (µs), in the order of time.

        Of more than 10,000 such times the oldest are forgotten.
        """
        ...
