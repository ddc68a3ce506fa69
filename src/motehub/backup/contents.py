"""What of a data folder belongs into a back-up, and what the archive looks like.

An archive is a tar file, compressed or not::

    motehub-backup/about.json       the format, who wrote it and when
    motehub-backup/data/…           the files of the folder
    motehub-backup/checksums.json   SHA-256 of each of these, in hexadecimal: its end
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from motehub.alerting.book import FILE_NAME as ALERTS_FILE
from motehub.journals.sqlite import FILE_NAME as JOURNAL_FILE
from motehub.run_file import RUN_FILE
from motehub.stores.sqlite import FILE_NAME as HISTORY_FILE
from motehub.webhooks.outbox import BASE_FILE_NAME
from motehub.webhooks.outbox import FILE_NAME as WEBHOOKS_FILE

FORMAT: Final = 1
"""Number of this layout."""

ROOT: Final = "motehub-backup"
ABOUT: Final = f"{ROOT}/about.json"
CHECKSUMS: Final = f"{ROOT}/checksums.json"
DATA: Final = f"{ROOT}/data/"

NOTE_FILE: Final = "backup.json"
"""What is known of the last back-up, in the data folder."""

WORK_PREFIX: Final = "backup-work-"
"""How files and folders begin that are there only while a back-up is made or restored."""

SCHEMAS: Final = {
    JOURNAL_FILE: "motehub.journals.schema",
    ALERTS_FILE: "motehub.alerting.schema",
    WEBHOOKS_FILE: "motehub.webhooks.schema",
    BASE_FILE_NAME: "motehub.webhooks.schema",
    HISTORY_FILE: "motehub.stores.schema.sqlite",
}
"""The databases, and where the scripts of their schemas are."""

_OF_A_RUN: Final = frozenset({RUN_FILE, f"{RUN_FILE}.new", NOTE_FILE, "lock"})
_PASSING: Final = re.compile(r".*(-wal|-shm|-journal|\.lock|\.sock|\.new)|\.lock")
_ARCHIVE: Final = re.compile(r".*\.(tar|tgz|tar\.gz|tar\.zst)")


class About(msgspec.Struct, frozen=True):
    """What an archive says of itself; ``created`` is ISO 8601 in UTC.

    ``store`` is where the history is. What is on a server is not in the archive.
    """

    format: int
    motehub: str
    created: str
    store: str
    databases: tuple[str, ...]


def small_files(folder: Path) -> Iterator[str]:
    """Yield the paths of all files that are no databases, relative to ``folder``."""
    for name in _own(folder):
        if (folder / name).is_file() and not _is_link(folder, name):
            yield name


def links(folder: Path) -> list[str]:
    """Return the paths of links, relative to ``folder``: what they lead to is left out."""
    return [name for name in _own(folder) if _is_link(folder, name)]


def _own(folder: Path) -> Iterator[str]:
    """Yield files that are no databases, and all links, but not what is of a run."""
    for at, folders, files in os.walk(folder):
        here = Path(at).relative_to(folder)
        folders[:] = sorted(one for one in folders if not one.startswith(WORK_PREFIX))
        linked = [one for one in folders if _is_link(folder, here / one)]
        for name in sorted([*files, *linked]):
            if here == Path() and (name in SCHEMAS or name in _OF_A_RUN or _is_archive(name)):
                continue
            if not name.startswith(WORK_PREFIX) and not _PASSING.fullmatch(name):
                yield str(here / name)


def _is_link(folder: Path, name: str | Path) -> bool:
    return (folder / name).is_symlink()


def _is_archive(name: str) -> bool:
    """Tell whether that may be a back-up itself, which would grow while it is read."""
    return _ARCHIVE.fullmatch(name) is not None
