"""All databases of a data folder as they were at one moment, whether a hub writes them or not.

Each is read in a transaction, which SQLite keeps from seeing anything later. They are opened in
such an order that no reading can be missing between them: first those that follow the journal,
then the journal, which has then all that they have. What it has beyond is folded when the hub
starts on the restored folder. Were frames between trimmed meanwhile, it is tried once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import apsw

from motehub.errors import StorageError
from motehub.journals.sqlite import FILE_NAME as JOURNAL_FILE
from motehub.sqlite_files import open_database, plain_errors

_TRIES: Final = 20
_PAGES: Final = 1_000
_CURSORS: Final = "SELECT position FROM cursor WHERE journal = ?"


@contextmanager
def pinned(folder: Path, followers: Sequence[str]) -> Iterator[dict[str, apsw.Connection]]:
    """Open ``followers`` and the journal, as of one moment; the connections by file name.

    Raises:
        StorageError: one can't be read.
    """
    for _ in range(_TRIES):
        with ExitStack() as stack:
            oldest = _oldest_frame(folder)
            found = {name: _pin(folder / name, stack) for name in followers}
            journal = found[JOURNAL_FILE] = _pin(folder / JOURNAL_FILE, stack)
            with plain_errors(folder / JOURNAL_FILE):
                mark = str(journal.execute("SELECT id FROM journal").get)
                first = int(journal.execute("SELECT coalesce(min(position), 1) FROM frame").get)
            positions = [_position(folder / name, found[name], mark) for name in followers]
            if all(one is None or one + 1 >= first or one + 1 < oldest for one in positions):
                yield found
                return
    raise StorageError(f"The databases in {folder} change too fast to be backed up. Try later.")


def copy_database(source: apsw.Connection, target: Path) -> None:
    """Write what ``source`` sees into the new file ``target``.

    Raises:
        StorageError: the disk refuses.
    """
    with plain_errors(target):
        copy = apsw.Connection(str(target))
        try:
            # A copy that is not finished is thrown away.
            copy.execute("PRAGMA journal_mode=OFF")
            copy.execute("PRAGMA synchronous=OFF")
            with copy.backup("main", source, "main") as backup:
                while not backup.done:
                    backup.step(_PAGES)
        finally:
            copy.close()
    target.chmod(0o600)


def _pin(path: Path, stack: ExitStack) -> apsw.Connection:
    connection = open_database(path, read_only=True)
    stack.callback(connection.close)
    with plain_errors(path):
        connection.execute("BEGIN")
        # SQLite fixes the moment with the first thing that is read.
        connection.execute("SELECT count(*) FROM sqlite_schema").get  # noqa: B018
    return connection


def _oldest_frame(folder: Path) -> int:
    path = folder / JOURNAL_FILE
    connection = open_database(path, read_only=True)
    try:
        with plain_errors(path):
            return int(connection.execute("SELECT coalesce(min(position), 1) FROM frame").get)
    finally:
        connection.close()


def _position(path: Path, connection: apsw.Connection, journal: str) -> int | None:
    """Return the cursor of a follower; None when it has none in this journal."""
    with plain_errors(path):
        position: int | None = connection.execute(_CURSORS, (journal,)).get
        return position
