"""Makes a data folder of an archive, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Final, Self

import apsw
import msgspec
import zstandard

from motehub import data_folder
from motehub.backup.contents import (
    ABOUT,
    CHECKSUMS,
    DATA,
    FORMAT,
    SCHEMAS,
    WORK_PREFIX,
    About,
)
from motehub.backup.packing import unpacked
from motehub.errors import BackupError, NewerSchema, StorageError
from motehub.journals.sqlite import FILE_NAME as JOURNAL_FILE
from motehub.sqlite_files import (
    check_database,
    open_database,
    plain_errors,
    schema_scripts,
    schema_version,
    transaction,
)

_CHUNK: Final = 1024 * 1024
_LONGEST_TEXT: Final = 64 * 1024 * 1024
_LONGEST_HEADER: Final = 64 * 1024
_DEEPEST: Final = 10
_IGNORED: Final = {"lost+found", "lock"}
# Of headers and texts that make no sense the readers say ValueError, one of which is Unicode's.
_DAMAGE: Final = (
    tarfile.TarError,
    zstandard.ZstdError,
    zlib.error,
    EOFError,
    ValueError,
    OverflowError,
    RecursionError,
    msgspec.MsgspecError,
)


def restore(archive: Path, folder: Path, told: Callable[[int], None] = lambda _: None) -> About:
    """Make ``folder``, which must be empty or missing, what it was; return what is in it.

    ``told`` gets the bytes that are written.

    Raises:
        BackupError: the archive is none, is damaged or of a later motehub, or the folder is not
            empty.
        StorageError: the disk refuses, or a database in the archive is damaged.
    """
    _check_empty(folder)
    data_folder.prepare(folder)
    with (
        data_folder.locked(folder),
        tempfile.TemporaryDirectory(prefix=WORK_PREFIX, dir=folder) as name,
    ):
        place = Path(name)
        with _plain_damage(archive):
            about = _unpack(archive, place, told)
        _check_databases(place, about)
        _begin_anew(place, about)
        _put_in_place(place, folder)
    return about


def _check_empty(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise BackupError(f"{folder} is no folder. Name another one with --data.")
    if data_folder.exists(folder):
        found = sorted(one.name for one in folder.iterdir() if one.name not in _IGNORED)
        if found:
            raise BackupError(
                f"{folder} is not empty: it has {found[0]}. A back-up is restored into an empty or "
                "new folder; move away what is there, or name another one with --data."
            )


def _unpack(archive: Path, place: Path, told: Callable[[int], None]) -> About:
    """Write the files of an archive into ``place`` and compare them with their checksums."""
    about: About | None = None
    checksums: dict[str, str] | None = None
    found: dict[str, str] = {}
    with unpacked(archive) as stream, _opened_tar(stream) as tar:
        for member in tar:
            plain = member.isfile() and not member.issparse()
            content = tar.extractfile(member) if plain else None
            if content is None or checksums is not None:
                raise BackupError(f"{archive} is no back-up of motehub: {member.name!r} is in it.")
            if about is None:
                about = _about(archive, member, content)
            elif member.name == CHECKSUMS:
                checksums = msgspec.json.decode(_text(member, content), type=dict[str, str])
            else:
                name = _name(archive, member)
                found[name] = _write(content, place / name, member.mode, told)
    if about is None or checksums is None:
        raise BackupError(f"{archive} is not complete: its end is missing.")
    wrong = sorted(name for name in found | checksums if found.get(name) != checksums.get(name))
    if wrong:
        raise BackupError(f"{archive} is damaged: {wrong[0]} is not what was backed up.")
    return about


class _Header(tarfile.TarInfo):
    """A header of a file, or one that is about the next: those are read as a whole."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Return what a block says.

        Raises:
            ReadError: it says that it is longer than any that was written.
        """
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or (not header.isfile() and header.size > _LONGEST_HEADER):
            raise tarfile.ReadError(f"a header of {header.size} bytes")
        return header


def _opened_tar(stream: IO[bytes]) -> tarfile.TarFile:
    return tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header)


def _about(archive: Path, member: tarfile.TarInfo, content: IO[bytes]) -> About:
    if member.name != ABOUT:
        raise BackupError(f"{archive} is no back-up of motehub: it begins with {member.name!r}.")
    text = _text(member, content)
    number = msgspec.json.decode(text, type=_Numbered).format
    if number > FORMAT:
        raise BackupError(
            f"{archive} has format {number}; this motehub knows {FORMAT}. Install the motehub that "
            "wrote it, or a later one."
        )
    return msgspec.json.decode(text, type=About)


class _Numbered(msgspec.Struct, frozen=True):
    """The one thing that is the same in all formats."""

    format: int


def _text(member: tarfile.TarInfo, content: IO[bytes]) -> bytes:
    if member.size > _LONGEST_TEXT:
        raise tarfile.TarError(f"{member.name} is too long")
    return content.read()


def _name(archive: Path, member: tarfile.TarInfo) -> str:
    """Return where a file belongs in the data folder, nowhere else."""
    name = member.name.removeprefix(DATA)
    path = PurePosixPath(name)
    fits = name != member.name and not path.is_absolute() and "\0" not in name
    if not fits or not path.parts or ".." in path.parts or len(path.parts) > _DEEPEST:
        raise BackupError(f"{archive} is no back-up of motehub: {member.name!r} is in it.")
    return str(path)


def _write(content: IO[bytes], path: Path, mode: int, told: Callable[[int], None]) -> str:
    """Write a file that is its owner's alone, unless it was more; return its SHA-256."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    hashed = hashlib.sha256()
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while data := content.read(_CHUNK):
            hashed.update(data)
            file.write(data)
            told(len(data))
        os.fchmod(file.fileno(), mode & 0o644 | 0o600)
        file.flush()
        os.fsync(file.fileno())
    return hashed.hexdigest()


def _check_databases(place: Path, about: About) -> None:
    if JOURNAL_FILE not in about.databases:
        raise BackupError("The back-up has no journal, without which nothing can be restored.")
    for name in about.databases:
        if name not in SCHEMAS:
            raise BackupError(
                f"The back-up has a database that this motehub does not know: {name}."
            )
        check_database(place / name)
        connection = open_database(place / name, read_only=True)
        try:
            with plain_errors(place / name):
                version = schema_version(connection)
        finally:
            connection.close()
        newest = max(schema_scripts(SCHEMAS[name]))
        if version > newest:
            raise NewerSchema(
                f"{name} in the back-up has schema version {version}; this motehub knows {newest}. "
                "Install the motehub that wrote it, or a later one."
            )


def _begin_anew(place: Path, about: About) -> None:
    """Give the journal another mark, and its followers here with it.

    Positions after the back-up mean other frames from now on than they did for whoever followed
    the journal that was lost: a mirror is filled anew. A history on a server keeps its mark: it
    is restored beside this, and can't be asked here.
    """
    if about.store == "postgres":
        return
    mark = secrets.token_hex(8)
    with _opened(place / JOURNAL_FILE) as journal, transaction(journal):
        old = journal.execute("SELECT id FROM journal").get
        journal.execute("UPDATE journal SET id = ?", (mark,))
    for name in about.databases:
        if name != JOURNAL_FILE:
            with _opened(place / name) as follower, transaction(follower):
                follower.execute("UPDATE cursor SET journal = ? WHERE journal = ?", (mark, old))


@contextmanager
def _opened(path: Path) -> Iterator[apsw.Connection]:
    connection = open_database(path)
    try:
        with plain_errors(path):
            yield connection
    finally:
        connection.close()


def _put_in_place(place: Path, folder: Path) -> None:
    """Move everything up; the journal last, without which it is no hub's folder."""
    try:
        for one in sorted(place.iterdir(), key=lambda one: (one.name == JOURNAL_FILE, one.name)):
            one.rename(folder / one.name)
        shutil.rmtree(place)
        place.mkdir()
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
    except OSError as error:
        raise StorageError(f"{folder} can't be written: {error.strerror}.") from error


@contextmanager
def _plain_damage(archive: Path) -> Iterator[None]:
    """Turn what readers of archives raise into sentences that name the archive.

    Raises:
        BackupError: it is damaged, or none.
        StorageError: the disk refuses.
    """
    try:
        yield
    except _DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise BackupError(f"{archive} is no back-up, or is damaged: {reason}.") from error
    except OSError as error:
        what = error.strerror or str(error)
        if isinstance(error.filename, str) and error.filename == str(archive):
            raise BackupError(f"{archive} can't be read: {what}.") from error
        raise StorageError(f"The back-up can't be unpacked: {what}.") from error
