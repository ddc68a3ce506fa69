"""Looks whether the files of the archive are there and whole."""

from __future__ import annotations

from pathlib import Path

from motehub.archive.making import ENDING, checksum_of
from motehub.archived import FOLDER, ArchiveFile


def trouble_of(file: ArchiveFile, folder: Path) -> str | None:
    """Return what is wrong with a file of the archive in the data folder ``folder``."""
    path = folder / FOLDER / file.name
    try:
        size = path.stat().st_size
        if size != file.size:
            return f"has {size} bytes instead of {file.size}"
        return None if checksum_of(path) == file.checksum else "has another checksum"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"can't be read: {error.strerror}"


def unknown_files(files: list[ArchiveFile], folder: Path) -> list[str]:
    """Return the names of files in the archive's folder which the history does not know."""
    known = {one.name for one in files}
    return sorted({one.name for one in (folder / FOLDER).glob(f"*{ENDING}")} - known)
