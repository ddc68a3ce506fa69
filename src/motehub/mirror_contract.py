"""What a mirror promises, and what it is told: the fourth extension point.

A mirror is a consumer of the journal that shows the newest values to other programs. Adding one
is one file in ``mirrors/`` that ends with ``PART = …``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import msgspec

from motehub.model import Device


class Reflection(msgspec.Struct, frozen=True):
    """A reading with its names, as other programs know them; time in UTC µs."""

    device: Device
    metric: str
    time: int
    value: float | str


class MirrorUpdate(msgspec.Struct, frozen=True):
    """What frames ``start + 1`` to ``end`` of the journal mean for a mirror.

    ``time`` is when the last of them was committed, in µs. ``changed`` are devices that are new
    or have changed, ``removed`` the numbers of those that are gone. ``values`` has the newest
    reading of each series, ascending in time. ``readings`` are the last readings of all in the
    order of their arrival, as many as the mirror wants.
    """

    start: int
    end: int
    time: int
    changed: list[Device]
    removed: list[int]
    values: list[Reflection]
    readings: list[Reflection]


class MirrorStore(Protocol):
    """Shows the newest values to programs that read them elsewhere.

    Every method raises :class:`motehub.errors.StorageError` when the mirror's server is away; the
    next call begins with a new connection.
    """

    @property
    def stream_length(self) -> int:
        """How many of the last readings it keeps in the order of arrival."""
        ...

    @property
    def counts(self) -> Mapping[str, int]:
        """What it has done since it was opened, for people."""
        ...

    def position(self, journal: str) -> int | None:
        """Return the cursor in ``journal``; None when it has none, and must be filled."""
        ...

    def apply(self, update: MirrorUpdate) -> bool:
        """Show ``update`` and move the cursor in one transaction.

        False, and nothing done, when the cursor there is not at the beginning of ``update``.
        """
        ...

    def fill(self, journal: str, position: int, values: Iterable[Reflection]) -> None:
        """Show ``values`` and nothing else of ours, with the cursor at ``position``."""
        ...

    def close(self) -> None:
        """Close the connection; harmless when there is none."""
        ...


class MirrorPart(msgspec.Struct, frozen=True):
    """A mirror's entry: its settings, how to open it, its address without a password."""

    settings: type[msgspec.Struct]
    open: Callable[[Any], MirrorStore]
    where: Callable[[Any], str]
