"""Writes an archive, a piece at a time: memory does not grow with the history."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final, Protocol

import msgspec

from motehub import __version__, data_folder
from motehub.backup.contents import (
    ABOUT,
    CHECKSUMS,
    DATA,
    FORMAT,
    NOTE_FILE,
    SCHEMAS,
    WORK_PREFIX,
    About,
    links,
    small_files,
)
from motehub.backup.snapshot import copy_database, pinned
from motehub.errors import BackupError, StorageError
from motehub.journals.sqlite import FILE_NAME as JOURNAL_FILE
from motehub.logs import Logger
from motehub.stores.sqlite import FILE_NAME as HISTORY_FILE

_SPARE: Final = 64 * 1024 * 1024
_WORK_LASTS: Final = 86_400.0
_MOST_LINKS: Final = 20

_logger = Logger("motehub.backup")


class Output(Protocol):
    """Where an archive goes."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""
        ...


class Note(msgspec.Struct, frozen=True):
    """The last back-up: when it was begun (ISO 8601), and how many bytes of data are in it.

    ``links`` were in the folder, some of them at least; what they lead to is not in it.
    """

    time: str
    size: int
    links: tuple[str, ...] = ()


class Copies(msgspec.Struct, frozen=True):
    """The databases of ``folder`` as of one moment, in ``place``."""

    folder: Path
    place: Path
    about: About


@contextmanager
def copied(folder: Path, work: Path) -> Iterator[Copies]:
    """Copy the databases in ``folder`` into a new folder in ``work``, for the block.

    A hub that writes meanwhile can't reuse their logs for as long as they are read, and whoever
    takes the archive may be slow.

    Raises:
        BackupError: no hub has run on the folder.
        StorageError: something can't be read, or the disk is full.
    """
    about = _about(folder)
    _check_room(work, sum(_size(folder / name) for name in about.databases))
    with _working_in(work) as place:
        followers = [name for name in about.databases if name != JOURNAL_FILE]
        with pinned(folder, followers) as databases:
            for name in about.databases:
                copy_database(databases[name], place / name)
                databases[name].close()
        yield Copies(folder, place, about)


def write_archive(
    copies: Copies, output: Output, told: Callable[[int, int], None] = lambda *_: None
) -> Note:
    """Write the copies, and everything else in their folder, into ``output`` as a tar file.

    ``told`` gets bytes done and bytes in all.

    Raises:
        StorageError: something can't be read.
    """
    databases = {name: copies.place / name for name in copies.about.databases}
    total = sum(path.stat().st_size for path in databases.values())
    with tarfile.open(fileobj=output, mode="w|") as tar:  # type: ignore[call-overload]
        parts = _Parts(tar, lambda done: told(done, max(done, total)))
        parts.add_bytes(ABOUT, msgspec.json.format(msgspec.json.encode(copies.about)))
        for name, path in databases.items():
            parts.add_file(name, path)
            path.unlink()
        for name in small_files(copies.folder):
            parts.add_file(name, copies.folder / name)
        parts.add_bytes(CHECKSUMS, msgspec.json.format(msgspec.json.encode(parts.checksums)))
    left_out = links(copies.folder)[:_MOST_LINKS]
    return Note(copies.about.created, parts.done, tuple(left_out))


def remember(folder: Path, note: Note) -> None:
    """Write down that there is a back-up, for the health page."""
    new = folder / f"{NOTE_FILE}.new"
    try:
        new.write_bytes(msgspec.json.encode(note) + b"\n")
        new.chmod(0o600)
        new.replace(folder / NOTE_FILE)
    except OSError as error:
        _logger.warning("back-up not noted", reason=str(error))


def remembered(folder: Path) -> Note | None:
    """Return what is known of the last back-up, None if there is nothing."""
    try:
        return msgspec.json.decode((folder / NOTE_FILE).read_bytes(), type=Note)
    except (OSError, msgspec.MsgspecError):
        return None


def _about(folder: Path) -> About:
    if not data_folder.exists(folder, JOURNAL_FILE):
        raise BackupError(f"There is nothing to back up in {folder}: no hub has run on it.")
    store = data_folder.remembered_store(folder)
    kind = store.type if store is not None else ""
    names = tuple(
        name
        for name in SCHEMAS
        if (folder / name).exists() and (name != HISTORY_FILE or kind in {"", "sqlite"})
    )
    created = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return About(FORMAT, __version__, created, kind, names)


class _Parts:
    """Adds files to a tar file, and keeps what they add up to."""

    def __init__(self, tar: tarfile.TarFile, told: Callable[[int], None]) -> None:
        self.checksums: dict[str, str] = {}
        self.done = 0
        self._tar = tar
        self._told = told

    def add_bytes(self, name: str, content: bytes) -> None:
        """Add what is no file."""
        self._tar.addfile(_info(name, len(content), time.time(), 0o600), io.BytesIO(content))

    def add_file(self, name: str, path: Path) -> None:
        """Add a file of the folder, as long as it is now.

        Raises:
            StorageError: it became shorter meanwhile.
        """
        try:
            file = path.open("rb")
        except FileNotFoundError:
            # It was of the moment, or belongs to something that is just being removed.
            return
        with file:
            status = os.fstat(file.fileno())
            reader = _Hashed(file, self._count)
            info = _info(DATA + name, status.st_size, status.st_mtime, status.st_mode & 0o644)
            try:
                self._tar.addfile(info, reader)
            except OSError as error:
                if error.errno is None:
                    raise StorageError(f"{path} changed while it was backed up.") from error
                raise
        self.checksums[name] = reader.digest

    def _count(self, size: int) -> None:
        self.done += size
        self._told(self.done)


class _Hashed:
    """Reads a file, and knows what was read."""

    def __init__(self, file: IO[bytes], told: Callable[[int], None]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._told = told

    @property
    def digest(self) -> str:
        """SHA-256 of all that was read, in hexadecimal."""
        return self._hash.hexdigest()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        data = self._file.read(size)
        self._hash.update(data)
        self._told(len(data))
        return data


def _info(name: str, size: int, modified: float, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, int(modified), mode
    return info


@contextmanager
def _working_in(folder: Path) -> Iterator[Path]:
    """Make a folder for copies, and remove it, with those that were left by a power cut."""
    for old in folder.glob(f"{WORK_PREFIX}*"):
        if time.time() - old.stat().st_mtime > _WORK_LASTS:
            shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=WORK_PREFIX, dir=folder) as place:
        yield Path(place)


def _size(path: Path) -> int:
    files = [path, Path(f"{path}-wal")]
    return sum(one.stat().st_size for one in files if one.exists())


def _check_room(work: Path, needed: int) -> None:
    free = shutil.disk_usage(work).free
    if free < needed + _SPARE:
        raise StorageError(
            f"There are {free // 10**6:,} MB free in {work}; a copy of the history needs "
            f"{(needed + _SPARE) // 10**6:,} MB while it is backed up. Free some space, or write "
            "the back-up to another disk."
        )
