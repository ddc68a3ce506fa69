"""What the history knows of its archive: files of readings that were moved out of the store."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

import msgspec

from motehub.model import MICROSECONDS, Series
from motehub.rollups import NEVER

FOLDER: Final = "archive"
"""Where the files are, in the data folder."""

EARLY: Final = "early"
"""What the month of all times before 1970 is called."""

_LAST: Final = int(datetime(9999, 12, 1, tzinfo=UTC).timestamp()) * MICROSECONDS


class ArchiveFile(msgspec.Struct, frozen=True):
    """A complete file of readings of one month, in ``[since, until)`` (µs).

    ``size`` is in bytes, ``checksum`` the SHA-256 of the whole file in hexadecimal.
    """

    name: str
    since: int
    until: int
    rows: int
    size: int
    checksum: str


class ArchivePart(msgspec.Struct, frozen=True):
    """What a file has of one series: ``rows`` readings.

    The first is at ``since``, the last just before ``until`` (µs).
    """

    file: str
    series: int
    since: int
    until: int
    rows: int


class ArchiveNotes(Protocol):
    """What a history store knows of the archive."""

    def archive_files(self) -> list[ArchiveFile]:
        """Return all files, in the order in which they were noted."""
        ...

    def archive_parts(self, series: int, since: int, until: int) -> list[ArchivePart]:
        """Return what files have of a series in ``[since, until)``, by where that begins."""
        ...

    def note_archived(self, file: ArchiveFile, parts: Sequence[ArchivePart]) -> None:
        """Note a file that is there, complete and durable; what is noted already is no error.

        Parts of series that were removed meanwhile are left out.
        """
        ...

    def first_time(self, series: Series, since: int) -> int | None:
        """Return the time of the first reading, or text, at ``since`` or later."""
        ...


class Raw(Protocol):
    """Where readings themselves are read: a store, or a store with its archive."""

    def readings(
        self, series: int, since: int, until: int
    ) -> Iterator[tuple[array[int], array[float]]]:
        """Yield columns (times, values) of one series in ``[since, until)``, oldest first."""
        ...

    def texts(self, series: int, since: int, until: int) -> Iterator[tuple[array[int], list[str]]]:
        """Yield columns (times, values) of one text series, as ``readings`` does."""
        ...


def month_of(time: int) -> int:
    """Return when the month (of UTC) of a time began (µs); all before 1970 are one."""
    if time < 0:
        return NEVER
    moment = datetime.fromtimestamp(min(time, _LAST) // MICROSECONDS, UTC)
    return _begin(moment.year, moment.month)


def month_after(time: int) -> int:
    """Return when the month after that of a time begins (µs)."""
    if time < 0:
        return 0
    moment = datetime.fromtimestamp(min(time, _LAST) // MICROSECONDS, UTC)
    if (moment.year, moment.month) == (9999, 12):
        return 2**63 - 1
    years, index = divmod(moment.month, 12)
    return _begin(moment.year + years, index + 1)


def month_name(time: int) -> str:
    """Return the month of a time as ``2026-08``."""
    if time < 0:
        return EARLY
    moment = datetime.fromtimestamp(min(time, _LAST) // MICROSECONDS, UTC)
    return f"{moment.year:04}-{moment.month:02}"


def _begin(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * MICROSECONDS
