"""The journal's log in an SQLite file: ``journal.db``, one row for each commit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import apsw

from motehub.sqlite_files import SqliteFile, transaction, upgrade_schema

FILE_NAME: Final = "journal.db"

# A checkpoint costs two fsyncs; 2,000 pages are 8 MB of frames.
_CHECKPOINT_PAGES: Final = 2_000
# Free pages are reused; beyond 64 MB of them the file is shortened, a little with each trim.
_SPARE_PAGES: Final = 16_384
_VACUUM_PAGES: Final = 512


class SqliteLog(SqliteFile):
    """Writes ``journal.db``; one per data folder. See :class:`motehub.contracts.Log`.

    ``first`` is the position that the first frame of a new journal gets: one more than the
    cursor of a history that is there already.
    """

    def __init__(self, folder: Path, first: int = 1) -> None:
        super().__init__(folder / FILE_NAME)
        self._first = first
        self._doubtful = 0
        self._head = self._size = 0
        with self._storage():
            pass

    @property
    def head(self) -> int:
        """Position of the newest frame; 0 when nothing was ever written."""
        return self._head

    @property
    def size(self) -> int:
        """Bytes of all frames that are kept."""
        return self._size

    def time_after(self, position: int) -> int | None:
        """Return the commit time (µs) of the first frame after ``position``, or None."""
        with self._storage() as db:
            return _time_after(db, position)

    def append(self, frame: bytes, time: int, state: Mapping[str, bytes | None]) -> int:
        """Make ``frame`` and the changes of ``state`` durable together; return its position."""
        with self._storage() as db:
            if self._doubtful and self._was_written(db, frame):
                return self._head
            position = max(self._head + 1, self._first)
            self._doubtful = position
            if state:
                with transaction(db):
                    _insert(db, position, time, frame)
                    _put_state(db, state)
            else:
                # A single statement commits by itself: one change of the GIL instead of three.
                _insert(db, position, time, frame)
        self._doubtful = 0
        self._head = position
        self._size += len(frame)
        return position

    def trim(self, consumed: int, frames: int) -> int:
        """Delete up to ``frames`` frames at or before ``consumed``; return how many went.

        The newest frame always stays, since positions go on from it.
        """
        with self._storage() as db:
            upto, size, count = _one_row(
                db,
                "SELECT max(position), sum(length(body)), count(*) FROM "
                "(SELECT position, body FROM frame WHERE position <= ? ORDER BY position LIMIT ?)",
                (min(consumed, self._head - 1), frames),
            )
            # Nobody need wait for the disk: what a power cut brings back is trimmed once more.
            # An error closes the connection, and with it this setting.
            db.execute("PRAGMA synchronous=NORMAL")
            if count:
                db.execute("DELETE FROM frame WHERE position <= ?", (upto,))
                self._size -= size
            if int(db.execute("PRAGMA freelist_count").get) > _SPARE_PAGES:
                db.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
            db.execute("PRAGMA synchronous=FULL")
        return int(count)

    def state(self) -> dict[str, bytes]:
        """Return every key's newest value."""
        with self._storage() as db:
            return dict(db.execute("SELECT key, value FROM state"))

    def _prepare(self, connection: apsw.Connection) -> None:
        upgrade_schema(connection, self._path, "motehub.journals.schema")
        connection.wal_autocheckpoint(_CHECKPOINT_PAGES)
        self._head, self._size = _one_row(
            connection,
            "SELECT coalesce(max(position), 0), coalesce(sum(length(body)), 0) FROM frame",
        )

    def _was_written(self, db: apsw.Connection, frame: bytes) -> bool:
        """Tell whether the commit that reported an error is in the file all the same."""
        row = db.execute("SELECT body FROM frame WHERE position = ?", (self._doubtful,)).get
        self._doubtful = 0
        return bool(row == frame)


class SqliteLogReader(SqliteFile):
    """Reads ``journal.db`` beside the process that writes it; see ``contracts.LogReader``."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / FILE_NAME, read_only=True)

    def head(self) -> int:
        """Return the position of the newest durable frame; 0 when there is none."""
        if not self._path.exists():
            return 0
        with self._storage() as db:
            return int(db.execute("SELECT coalesce(max(position), 0) FROM frame").get)

    def state(self) -> dict[str, bytes]:
        """Return every key's newest value."""
        with self._storage() as db:
            return dict(db.execute("SELECT key, value FROM state"))

    def state_of(self, prefix: str) -> dict[str, bytes]:
        """Return the newest values of the keys that begin with ``prefix``, in ASCII."""
        after = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        with self._storage() as db:
            query = "SELECT key, value FROM state WHERE key >= ? AND key < ?"
            return dict(db.execute(query, (prefix, after)))

    def journal(self) -> str:
        """Return what tells this journal from any other, in which positions mean other frames."""
        with self._storage() as db:
            return str(db.execute("SELECT id FROM journal").get)

    def time_after(self, position: int) -> int | None:
        """Return the commit time (µs) of the first frame after ``position``, or None."""
        with self._storage() as db:
            return _time_after(db, position)

    def newest(self) -> int | None:
        """Return when the newest frame was committed (µs), or None."""
        with self._storage() as db:
            newest: int | None = db.execute("SELECT max(time) FROM frame").get
            return newest

    def read(self, after: int, size: int) -> list[tuple[int, bytes]]:
        """Return the frames after position ``after``, at least one if there is one, ≈ ``size``."""
        frames: list[tuple[int, bytes]] = []
        with self._storage() as db:
            for position, body in db.execute(
                "SELECT position, body FROM frame WHERE position > ? ORDER BY position", (after,)
            ):
                frames.append((position, body))
                size -= len(body)
                if size <= 0:
                    break
        return frames


def _one_row(db: apsw.Connection, query: str, bindings: tuple[int, ...] = ()) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = db.execute(query, bindings).fetchone()
    assert row is not None
    return row


def _time_after(db: apsw.Connection, position: int) -> int | None:
    query = "SELECT time FROM frame WHERE position > ? ORDER BY position LIMIT 1"
    time: int | None = db.execute(query, (position,)).get
    return time


def _insert(db: apsw.Connection, position: int, time: int, frame: bytes) -> None:
    db.execute("INSERT INTO frame VALUES (?, ?, ?)", (position, time, frame))


def _put_state(db: apsw.Connection, state: Mapping[str, bytes | None]) -> None:
    for key, value in state.items():
        if value is None:
            db.execute("DELETE FROM state WHERE key = ?", (key,))
        else:
            db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, value))
