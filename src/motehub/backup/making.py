"""Writes a back-up into a file, which is there when it is complete."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from motehub import data_folder, parts
from motehub.backup.archive import copied, remember, write_archive
from motehub.backup.contents import WORK_PREFIX
from motehub.backup.packing import packed
from motehub.errors import BackupError, StorageError


class Made(msgspec.Struct, frozen=True):
    """A back-up that was written: the type of store, and where the history is.

    ``links`` of the folder were left out.
    """

    store: str
    where: str
    links: tuple[str, ...] = ()


def back_up(folder: Path, file: Path, told: Callable[[int, int], None] = lambda *_: None) -> Made:
    """Write everything in ``folder`` into the new ``file``, readable to its owner alone.

    ``told`` gets bytes done and bytes in all.

    Raises:
        BackupError: no hub has run on the folder, or the file is there already.
        StorageError: something can't be read, or the disk is full.
    """
    if file.exists():
        raise BackupError(f"{file} is there already. Name another file, or remove it.")
    try:
        number, name = tempfile.mkstemp(prefix=WORK_PREFIX, dir=file.parent)
    except OSError as error:
        raise StorageError(f"{file} can't be written: {error.strerror}.") from error
    try:
        with open(number, "wb") as output:
            with (
                packed(output, file.name) as packing,
                copied(folder, file.parent) as copies,
            ):
                note = write_archive(copies, packing, told)
            output.flush()
            os.fsync(output.fileno())
        Path(name).rename(file)
    except OSError as error:
        raise _refused(file, error) from error
    finally:
        Path(name).unlink(missing_ok=True)
    remember(folder, note)
    store = data_folder.remembered_store(folder)
    if store is None:
        return Made("", str(folder), note.links)
    return Made(store.type, parts.store(store.type).where(folder, store.url), note.links)


def _refused(file: Path, error: OSError) -> StorageError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageError(f"The disk is full: {file} can't be written. Free some space.")
    return StorageError(f"{file} can't be written: {error.strerror or error}.")
