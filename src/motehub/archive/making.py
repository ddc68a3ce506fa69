"""Writes a file of the archive: what is to be deleted of the oldest month, complete and durable."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec

from motehub.archived import FOLDER, ArchiveFile, ArchivePart, month_after, month_name, month_of
from motehub.errors import StorageError
from motehub.history_contract import Expiring, HistoryStore
from motehub.model import Kind, Series
from motehub.rollups import NEVER
from motehub.transfer.export import Part

ENDING: Final = ".parquet"
_UNFINISHED: Final = ".new"
_CHUNK: Final = 1024 * 1024


class Made(msgspec.Struct, frozen=True):
    """A file that is there now, if there was something to write, and what it has of which series.

    All that the store had before ``until`` (µs) of what was to be archived is in the archive:
    in this file or an earlier one. None: all of it, however late.
    """

    file: ArchiveFile | None
    parts: list[ArchivePart]
    until: int | None


class _Wanted(msgspec.Struct, frozen=True):
    device: str
    series: Series
    until: int


def make_month(
    store: HistoryStore,
    folder: Path,
    todo: Sequence[Expiring],
    go_on: Callable[[int], None] = lambda _: None,
) -> Made:
    """Write the oldest month of ``todo`` that has readings which are not in the archive yet.

    ``go_on`` is called now and then with how many readings are written, and may raise.

    Raises:
        OwnerError: DuckDB is missing, or an earlier file can't be read.
        StorageError: the store can't be read, or the file not written.
    """
    place = folder / FOLDER
    _tidy(place)
    wanted = _wanted(store, todo)
    since = NEVER
    while (first := _first_time(store, wanted, since)) is not None:
        end = month_after(first)
        rows = _new_rows(store, place, wanted, month_of(first), end)
        if (some := next(rows, None)) is not None:
            file, parts = _write(place, month_name(first), chain([some], rows), go_on)
            return Made(file, parts, end)
        since = end
    return Made(None, [], None)


def checksum_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while data := file.read(_CHUNK):
            digest.update(data)
    return digest.hexdigest()


def _tidy(place: Path) -> None:
    """Make the folder, readable to its owner alone, and remove what was begun in it."""
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        for path in place.glob(f"*{_UNFINISHED}"):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise _refused(place, error) from error


def _wanted(store: HistoryStore, todo: Sequence[Expiring]) -> list[_Wanted]:
    devices, all_series = store.registry()
    names = {device.id: device.name for device in devices}
    known = {one.id: one for one in all_series}
    found = [
        _Wanted(names[known[one.series].device], known[one.series], one.until.raw)
        for one in todo
        if one.series in known
    ]
    return sorted(found, key=lambda one: one.series.id)


def _first_time(store: HistoryStore, wanted: list[_Wanted], since: int) -> int | None:
    found = [
        time
        for one in wanted
        if (time := store.first_time(one.series, since)) is not None and time < one.until
    ]
    return min(found, default=None)


def _new_rows(
    store: HistoryStore, place: Path, wanted: list[_Wanted], since: int, end: int
) -> Iterator[Part]:
    """Yield what the store has, and the archive has not, by series and time."""
    for one in wanted:
        read = store.texts if one.series.kind is Kind.TEXT else store.readings
        for times, values in read(one.series.id, since, min(end, one.until)):
            known = _known(store, place, one.series.id, times)
            if not known:
                yield Part(one.device, one.series, times, values)
            elif len(known) < len(times):
                pairs = zip(times, values, strict=True)
                new = [pair for pair in pairs if pair[0] not in known]
                yield Part(one.device, one.series, *map(list, zip(*new, strict=True)))


def _known(store: HistoryStore, place: Path, series: int, times: Sequence[int]) -> set[int]:
    """Return at which of ``times`` the archive has a reading already."""
    found: set[int] = set()
    for part in store.archive_parts(series, times[0], times[-1] + 1):
        # The newest reading of a silent device is seen each time.
        if len(times) == 1 and times[0] in (part.since, part.until - 1):
            return set(times)
        from motehub.archive.parquet import times_in

        found |= times_in(part, place / part.file, times)
    return found


def _write(
    place: Path, month: str, rows: Iterator[Part], go_on: Callable[[int], None]
) -> tuple[ArchiveFile, list[ArchivePart]]:
    from motehub.transfer.parquet import write_parquet

    seen: dict[int, tuple[int, int, int]] = {}
    new = None
    try:
        number, name = tempfile.mkstemp(prefix=month, suffix=_UNFINISHED, dir=place)
        os.close(number)
        new = Path(name)
        count = write_parquet(_counted(rows, seen), new, go_on, with_series=True)
        _check(new, seen)
        with open(new, "rb") as file:
            os.fsync(file.fileno())
        checksum = checksum_of(new)
        path = place / f"{month}-{checksum[:12]}{ENDING}"
        size = new.stat().st_size
        new.replace(path)
        _sync(place)
        _sync(place.parent)
    except OSError as error:
        raise _refused(place, error) from error
    finally:
        # On a full disk, what could not be finished must not stay.
        if new is not None:
            new.unlink(missing_ok=True)
    parts = [
        ArchivePart(path.name, series, first, last + 1, rows_)
        for series, (rows_, first, last) in seen.items()
    ]
    since, until = min(one.since for one in parts), max(one.until for one in parts)
    return ArchiveFile(path.name, since, until, count, size, checksum), parts


def _counted(rows: Iterator[Part], seen: dict[int, tuple[int, int, int]]) -> Iterator[Part]:
    for part in rows:
        number, times = part.series.id, part.times
        count, first, _ = seen.get(number, (0, times[0], 0))
        seen[number] = count + len(times), first, times[-1]
        yield part


def _check(path: Path, seen: dict[int, tuple[int, int, int]]) -> None:
    """Read the file again: what is deleted for it can't be had back."""
    from motehub.archive.parquet import contents_of

    if contents_of(path) != seen:
        raise StorageError(f"{path} has not what was written into it. Is the disk all right?")


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _refused(place: Path, error: OSError) -> StorageError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageError(f"The disk is full: no archive can be written in {place}.")
    return StorageError(f"The archive in {place} can't be written: {error.strerror or error}.")
