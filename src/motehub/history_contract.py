"""What a history store promises: the tables that readings are folded into, and read from.

Adding a store is one file in ``stores/`` that ends with ``PART = …``.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Protocol

import msgspec

from motehub.archived import ArchiveNotes
from motehub.counted import Counted
from motehub.errors import StaleJournal, StorageError
from motehub.frames import Entry
from motehub.model import Device, Series
from motehub.rollups import Grid, Kept, RollupColumns, Settled
from motehub.states import StateRow
from motehub.tables import Row

NumberColumns = tuple["array[int]", "array[float]"]
TextColumns = tuple["array[int]", list[str]]


class Fold(msgspec.Struct, frozen=True):
    """Many frames made ready for a store: columns by series, ascending in time, series ascending.

    ``start`` is the cursor before and ``end`` the cursor after it. ``devices`` gives the device
    of each series in it, ``seen`` the last contact (µs) of each device. ``discarded`` is how many
    readings by device were spared, and are not in it; fewer than none where more are in it that
    were spared before; ``newest_spared`` has time and value of the newest of them by series. All
    of it came in the hour that begins at ``hour`` (µs).

    The store applies device and series entries first, then what is held, then the other
    entries, then readings and texts, then removals: a device is never pending again, so this
    order is right for any number of frames at once. Entries of a device that it does not have
    are left out: after a history was lost, the journal may still speak of removed devices.
    """

    start: int
    end: int
    readings: dict[int, NumberColumns]
    held: dict[int, NumberColumns]
    texts: dict[int, TextColumns]
    held_texts: dict[int, TextColumns]
    devices: dict[int, int]
    entries: list[Entry]
    seen: dict[int, int]
    discarded: dict[int, int] = {}
    hour: int = 0
    newest_spared: dict[int, tuple[int, float]] = {}


class DeviceRow(msgspec.Struct, frozen=True):
    """A device with what history knows about it: the last contact (µs) and counts.

    ``received = stored + duplicate + rejected + discarded + device.held``.
    """

    device: Device
    last_seen: int
    received: int
    stored: int
    duplicate: int
    rejected: int
    discarded: int


class RejectedRow(msgspec.Struct, frozen=True):
    """An entry of the list of rejected payloads; ``device`` is a name where one is known."""

    time: int
    device: str | None
    source: str
    reason: str
    payload: bytes
    count: int


class EventRow(msgspec.Struct, frozen=True):
    """An event of a device, newest first in lists."""

    time: int
    device: str
    kind: str
    text: str


class FoldResult(msgspec.Struct, frozen=True):
    """How many readings a fold stored, and how many were there already."""

    stored: int
    duplicate: int


class Expiring(msgspec.Struct, frozen=True):
    """Until when a series, of ``texts`` or of numbers, is to be deleted."""

    series: int
    until: Kept
    texts: bool = False


UNFINISHED: Final = 2**62
"""Position of a history that is still being copied from another: no journal comes so far."""


def check_free(mark: str, journal: str, where: str) -> None:
    """See that a database with this ``mark`` may be, or become, the history of ``journal``.

    Raises:
        StaleJournal: it is the history of another one.
    """
    if mark not in {"", journal}:
        raise StaleJournal(
            f"The history in {where} was written after another journal: it is another hub's, or "
            "journal.db was replaced. Give this hub a database of its own, put back the journal "
            "that belongs to it, or move journal.db away to begin a new one after the history."
        )


def check_same(mark: str, journal: str | None, where: str) -> None:
    """See that the database is still the one that was bound to ``journal``.

    Raises:
        StorageError: another has taken its place.
    """
    if journal is not None and mark != journal:
        whose = "an empty one" if not mark else "the history of another hub"
        raise StorageError(
            f"{where} is {whose}, not the history that was there before. Readings wait in the "
            "journal until that is back; if it is lost, restart the hub to begin a new history "
            "in an empty database."
        )


def check_next(position: int, fold: Fold) -> None:
    """See that ``fold`` follows the cursor, which no other process may have moved.

    Raises:
        StorageError: it does not.
    """
    if position > fold.start:
        raise StorageError(
            f"Another process writes the history: it is at {position}, not at {fold.start}."
        )


class StateReader(Protocol):
    """Reads states that are summed up: those of texts, and of numbers that are only 0 and 1."""

    def numbers(self) -> set[int]:
        """Return the series of numbers that have never been anything but states."""
        ...

    def rows(self, series: int, tier: str, since: int, until: int) -> Iterator[list[StateRow]]:
        """Yield the rollups of a tier that begin in ``[since, until)``, oldest first.

        What is said of those of numbers (:meth:`HistoryStore.rollups`) holds for them, too.
        """
        ...

    def before(self, series: Series, time: int) -> tuple[int, str] | None:
        """Return time (µs) and name of the last state before ``time``, if there is one."""
        ...


class HistoryStore(ArchiveNotes, Protocol):
    """Keeps registry, readings, events and rejected payloads; one writer, many readers."""

    def position(self) -> int:
        """Return the journal position up to which everything is folded in.

        Raises:
            StorageError: another database has taken the place of the one that was bound.
        """
        ...

    def bind(self, journal: str) -> None:
        """Write the history of the journal with this id from now on, and no other.

        Raises:
            StaleJournal: it is the history of another journal.
        """
        ...

    def fold(self, fold: Fold) -> FoldResult:
        """Store ``fold`` and its end position in one transaction.

        Raises:
            StorageError: the cursor has passed the beginning of the fold; or as ``position``.
        """
        ...

    def registry(self) -> tuple[list[Device], list[Series]]:
        """Return all devices and series."""
        ...

    def devices(self) -> list[DeviceRow]:
        """Return every device with its counts, by name."""
        ...

    def readings(self, series: int, since: int, until: int) -> Iterator[NumberColumns]:
        """Yield columns (times, values) of one series in ``[since, until)``, oldest first."""
        ...

    def texts(self, series: int, since: int, until: int) -> Iterator[TextColumns]:
        """Yield columns (times, values) of one text series, as ``readings`` does."""
        ...

    def rollups(self, series: int, tier: str, since: int, until: int) -> Iterator[RollupColumns]:
        """Yield the rollups of a tier that begin in ``[since, until)``, oldest first.

        Each is exact, of all readings that are stored, unless the series is ``unrolled``. There
        are hours and days only as far as they are ``settled``.
        """
        ...

    def sums(
        self, series: int, tier: str, since: int, until: int, grid: Grid
    ) -> Iterator[RollupColumns]:
        """Yield what the rollups that begin in ``[since, until)`` come to by buckets of a grid.

        The ``start`` of a bucket is that of its first rollup. One may come in several parts; the
        two beside the grid's origin are one.
        """
        ...

    def settled(self) -> Settled:
        """Tell how far there are hours and days; later readings are in minutes only."""
        ...

    def settle_some(self, until: int) -> bool:
        """Make some hours and days that end at ``until`` (µs) or before, in one transaction.

        Tells whether more may be left.
        """
        ...

    def unrolled(self) -> set[int]:
        """Return the series whose rollups are still to be made, or to be made again."""
        ...

    @property
    def states(self) -> StateReader:
        """Return what reads states that are summed up."""
        ...

    @property
    def counted(self) -> Counted:
        """Return what tells of counts by hour, and when the hub was not there."""
        ...

    def kept(self, series: int) -> Kept:
        """Tell from when on there are readings and rollups of a series.

        Of readings the newest may stay that is older; late ones may be there for a while.
        """
        ...

    def expire_some(self, todo: Sequence[Expiring], rows: int) -> tuple[int, int]:
        """Delete what is too old of the first of ``todo``, about ``rows`` rows, in a transaction.

        Returns how many of ``todo`` are done, and how many rows were deleted. What is not summed
        up yet stays for now, and the newest reading of each series for good.
        """
        ...

    def whole_before(self, until: int) -> int:
        """Return the time to which readings may best be deleted, if ``until`` is the limit."""
        ...

    def whole_after(self, time: int) -> int:
        """Return the time to which readings may best be deleted, if that at ``time`` is to go."""
        ...

    def drop_whole(self, until: int) -> bool:
        """Delete at one stroke some readings of all series before ``until``, where that is cheap.

        Tells whether there may be more.
        """
        ...

    def oldest_reading(self) -> int | None:
        """Return the time of the oldest reading of a number that was not kept as the newest."""
        ...

    def note_event(self, devices: Sequence[int], time: int, kind: str, text: str) -> None:
        """Add an event, which no frame of the journal has, to each of these devices."""
        ...

    def used_bytes(self) -> int:
        """Return how many bytes of storage the history needs, without what it may use again."""
        ...

    def give_back(self) -> bool:
        """Give some storage back that is not needed any more; tell whether there is more."""
        ...

    def begin_rebuild(self) -> int:
        """Let all rollups be made again, unless that is going on; return the readings left."""
        ...

    def rebuild_some(self) -> int:
        """Make some rollups that are still to be made, in one transaction.

        Returns of how many readings; 0 when there is nothing left.
        """
        ...

    def rejected(self, limit: int) -> list[RejectedRow]:
        """Return the newest rejected payloads, newest first."""
        ...

    def events(self, device: int | None, limit: int) -> list[EventRow]:
        """Return the newest events, newest first."""
        ...

    def latest(
        self, device: int | None = None, *, held: bool = False
    ) -> list[tuple[int, int, float | str]]:
        """Return series, time and value of the newest reading of each series, of all devices.

        Texts are among them, and readings that were spared; with ``device`` only what that one
        has. ``held`` asks for what waits for the owner's approval instead.
        """
        ...

    def newest(self, series: Series, count: int) -> list[tuple[int, float | str]]:
        """Return time and value of the newest ``count`` readings or texts, newest first."""
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """Let all that is read within the block be as it is now, whatever is folded meanwhile.

        After an error within the block nothing more may be read in it.
        """
        ...

    def count_rows(self, table: str) -> int:
        """Return how many rows a table of :mod:`motehub.tables` has."""
        ...

    def dump(self, table: str) -> Iterator[list[Row]]:
        """Yield all rows of a table of :mod:`motehub.tables` in the order of its key, in pages.

        Other than a snapshot it may see what is folded meanwhile.
        """
        ...

    def load(self, table: str, rows: Sequence[Row]) -> None:
        """Add rows of another history, which must not be there yet, in one transaction."""
        ...

    def clear(self, position: int) -> None:
        """Delete everything, and put the cursor to ``position``, in one transaction."""
        ...

    def set_position(self, position: int) -> None:
        """Put the cursor to ``position``, when all that belongs to it has been loaded.

        Of which journal it is a position is open until it is bound.
        """
        ...

    def close(self) -> None:
        """Close the store; harmless when it is closed."""
        ...


class StorePart(msgspec.Struct, frozen=True):
    """A store's entry: how to open it, and what to call it.

    ``open`` takes the data folder, the URL of the store's server (or an empty text), and
    whether it is only for reading. ``where`` takes folder and URL, and returns for people where
    the history is, without a password. ``schemes`` are those of its URLs; without one, it has
    none.
    """

    open: Callable[[Path, str, bool], HistoryStore]
    where: Callable[[Path, str], str]
    schemes: tuple[str, ...] = ()
