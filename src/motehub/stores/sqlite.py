"""The history in an SQLite file, ``motehub.db``: one writer process, any number of readers."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apsw

from motehub.archived import ArchiveFile, ArchivePart
from motehub.errors import StorageError
from motehub.expiring import expire_some
from motehub.frames import EventOccurred
from motehub.history_contract import (
    DeviceRow,
    EventRow,
    Expiring,
    Fold,
    FoldResult,
    NumberColumns,
    RejectedRow,
    StorePart,
    TextColumns,
    check_free,
    check_next,
    check_same,
)
from motehub.model import Device, Kind, Series
from motehub.rolling import rebuild_some, settle_some
from motehub.rollups import TIERS, Grid, Kept, RollupColumns, Settled
from motehub.sqlite_files import (
    SqliteFile,
    check_schema,
    transaction,
    upgrade_schema,
)
from motehub.stores import _sqlite_archive as archive
from motehub.stores import _sqlite_copy as whole
from motehub.stores import _sqlite_lists as lists
from motehub.stores import _sqlite_rollups as rolled
from motehub.stores._sqlite_counts import SqliteCounts
from motehub.stores._sqlite_fold import fold_into, note_event
from motehub.stores._sqlite_states import SqliteStates
from motehub.summed import StatesOfStore, rollups_in_parts, sums_in_parts
from motehub.tables import TABLES, Row

FILE_NAME: Final = "motehub.db"

SPARE_PAGES: Final = 4_096
"""Free pages that stay in the file for what comes; others are given back."""

_VACUUM_PAGES: Final = 1_024
_CHUNK: Final = 5_000
_CHECKPOINT_PAGES: Final = 8_000
_CACHE_KIB: Final = 16_000
_READER_CACHE_KIB: Final = 2_000


class SqliteHistory(SqliteFile):
    """See :class:`motehub.history_contract.HistoryStore`."""

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        super().__init__(folder / FILE_NAME, read_only=read_only)
        self._inode = 0
        self._journal: str | None = None
        with self._storage():
            pass

    def position(self) -> int:
        """Return the journal position up to which everything is folded in."""
        with self._storage() as db:
            return self._cursor(db)

    def bind(self, journal: str) -> None:
        """Write the history of the journal with this id from now on, and no other."""
        with self._storage() as db, transaction(db):
            mark = db.execute("SELECT journal FROM cursor WHERE consumer = 'history'").get
            check_free(mark, journal, str(self._path))
            db.execute("UPDATE cursor SET journal = ? WHERE consumer = 'history'", (journal,))
        self._journal = journal

    def fold(self, fold: Fold) -> FoldResult:
        """Store ``fold`` and its end position in one transaction."""
        with self._storage() as db:
            self._check_not_replaced()
            with transaction(db):
                check_next(self._cursor(db), fold)
                return fold_into(db, fold)

    def registry(self) -> tuple[list[Device], list[Series]]:
        """Return all devices and series."""
        with self._storage() as db:
            series = [
                Series(row[0], row[1], row[2], row[3], Kind(row[4]))
                for row in _rows(db, "SELECT * FROM series ORDER BY id")
            ]
        return [row.device for row in self.devices()], series

    def devices(self) -> list[DeviceRow]:
        """Return every device with its counts, by name."""
        with self._storage() as db:
            return lists.devices(db)

    def readings(self, series: int, since: int, until: int) -> Iterator[NumberColumns]:
        """Yield columns (times, values) of one series in ``[since, until)``, oldest first."""
        for times, values in self._columns("reading", series, since, until):
            yield times, array("d", values)

    def texts(self, series: int, since: int, until: int) -> Iterator[TextColumns]:
        """Yield columns (times, values) of one text series, as ``readings`` does."""
        for times, values in self._columns("text", series, since, until):
            yield times, list(values)

    def _columns(
        self, table: str, series: int, since: int, until: int
    ) -> Iterator[tuple[array[int], tuple[Any, ...]]]:
        """Read in parts, each a query of its own: a slow reader holds no snapshot of the file."""
        query = (
            f"SELECT time, value FROM {table} "
            "WHERE series = ? AND time >= ? AND time < ? ORDER BY time LIMIT ?"
        )
        while True:
            with self._storage() as db:
                rows = list(_rows(db, query, (series, since, until, _CHUNK)))
            if not rows:
                return
            times, values = zip(*rows, strict=True)
            yield array("q", times), values
            since = times[-1] + 1

    def rollups(self, series: int, tier: str, since: int, until: int) -> Iterator[RollupColumns]:
        """Yield the rollups of a tier that begin in ``[since, until)``, oldest first."""
        return rollups_in_parts(self._storage, rolled.SqliteRollups, tier, series, since, until)

    def sums(
        self, series: int, tier: str, since: int, until: int, grid: Grid
    ) -> Iterator[RollupColumns]:
        """Yield what the rollups that begin in ``[since, until)`` come to by buckets of a grid."""
        return sums_in_parts(self._storage, rolled.SqliteRollups, tier, series, since, until, grid)

    def unrolled(self) -> set[int]:
        """Return the series whose rollups are still to be made, or to be made again."""
        with self._storage() as db:
            return set(rolled.SqliteRollups(db).unrolled())

    def settled(self) -> Settled:
        """Tell how far there are hours and days; later readings are in minutes only."""
        with self._storage() as db:
            return rolled.SqliteRollups(db).settled()

    def settle_some(self, until: int) -> bool:
        """Make some hours and days that end at ``until`` or before; tell whether more are left."""
        with self._storage() as db:
            if rolled.SqliteRollups(db).settled().until >= until:
                return False
            with transaction(db):
                return settle_some(rolled.SqliteRollups(db), until)

    @property
    def states(self) -> StatesOfStore[apsw.Connection]:
        """Return what reads states that are summed up."""
        return StatesOfStore(self._storage, SqliteStates)

    @property
    def counted(self) -> SqliteCounts:
        """Return what tells of counts by hour, and when the hub was not there."""
        return SqliteCounts(self._storage)

    def kept(self, series: int) -> Kept:
        """Tell from when on there are readings and rollups of a series."""
        with self._storage() as db:
            return rolled.SqliteRollups(db).kept([series]).get(series, Kept())

    def expire_some(self, todo: Sequence[Expiring], rows: int) -> tuple[int, int]:
        """Delete what is too old of the first of ``todo``, about ``rows`` rows."""
        with self._storage() as db, transaction(db):
            return expire_some(rolled.SqliteRollups(db), todo, rows)

    def whole_before(self, until: int) -> int:
        """Return the time to which readings may best be deleted: a midnight of UTC."""
        return until // TIERS["day"] * TIERS["day"]

    def whole_after(self, time: int) -> int:
        """Return the midnight after ``time``."""
        return self.whole_before(time) + TIERS["day"]

    def drop_whole(self, until: int) -> bool:
        """Delete nothing: row by row is how it is done here."""
        return False

    def oldest_reading(self) -> int | None:
        """Return the time of the oldest reading of a number that was not kept as the newest."""
        with self._storage() as db:
            return rolled.oldest_reading(db)

    def note_event(self, devices: Sequence[int], time: int, kind: str, text: str) -> None:
        """Add an event, which no frame of the journal has, to each of these devices."""
        with self._storage() as db, transaction(db):
            for device in devices:
                note_event(db, EventOccurred(device, time, kind, text))

    def archive_files(self) -> list[ArchiveFile]:
        """Return all files of the archive, in the order in which they were noted."""
        with self._storage() as db:
            return archive.files(db)

    def archive_parts(self, series: int, since: int, until: int) -> list[ArchivePart]:
        """Return what files have of a series in ``[since, until)``, by where that begins."""
        with self._storage() as db:
            return archive.parts(db, series, since, until)

    def note_archived(self, file: ArchiveFile, parts: Sequence[ArchivePart]) -> None:
        """Note a file of the archive that is there, complete and durable."""
        with self._storage() as db, transaction(db):
            archive.note(db, file, parts)

    def first_time(self, series: Series, since: int) -> int | None:
        """Return the time of the first reading, or text, at ``since`` or later."""
        with self._storage() as db:
            return archive.first_time(db, series, since)

    def used_bytes(self) -> int:
        """Return how many bytes the file needs, without its free pages."""
        with self._storage() as db:
            pages, free, size = (
                int(db.execute(f"PRAGMA {name}").get)
                for name in ("page_count", "freelist_count", "page_size")
            )
        return (pages - free) * size

    def give_back(self) -> bool:
        """Shorten the file by some free pages, of which some stay for what comes."""
        with self._storage() as db:
            if int(db.execute("PRAGMA freelist_count").get) <= SPARE_PAGES:
                return False
            # It frees one page for each row that is fetched.
            db.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
            return int(db.execute("PRAGMA freelist_count").get) > SPARE_PAGES

    def begin_rebuild(self) -> int:
        """Let all rollups be made again, unless that is going on; return the readings left."""
        with self._storage() as db, transaction(db):
            rolled.begin_rebuild(db)
            return rolled.readings_left(db)

    def rebuild_some(self) -> int:
        """Make some rollups that are still to be made; return of how many readings."""
        with self._storage() as db:
            if not rolled.SqliteRollups(db).unrolled():
                return 0
            with transaction(db):
                return rebuild_some(rolled.SqliteRollups(db))

    def rejected(self, limit: int) -> list[RejectedRow]:
        """Return the newest rejected payloads, newest first."""
        with self._storage() as db:
            return lists.rejected(db, limit)

    def events(self, device: int | None, limit: int) -> list[EventRow]:
        """Return the newest events, newest first."""
        with self._storage() as db:
            return lists.events(db, device, limit)

    def latest(
        self, device: int | None = None, *, held: bool = False
    ) -> list[tuple[int, int, float | str]]:
        """Return series, time and value of the newest reading of each series."""
        with self._storage() as db:
            return lists.latest(db, device, held=held)

    def newest(self, series: Series, count: int) -> list[tuple[int, float | str]]:
        """Return time and value of the newest ``count`` readings or texts, newest first."""
        with self._storage() as db:
            return lists.newest(db, series, count)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all that is read within the block be as it is now."""
        with self._storage() as db:
            db.execute("BEGIN")
            # SQLite fixes the moment with the first thing that is read.
            db.execute("SELECT position FROM cursor").get  # noqa: B018
        try:
            yield
        finally:
            # After an error it is closed already, and the moment with it.
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def count_rows(self, table: str) -> int:
        """Return how many rows a table of ``motehub.tables`` has."""
        with self._storage() as db:
            return whole.count(db, table)

    def dump(self, table: str) -> Iterator[list[Row]]:
        """Yield all rows of a table of ``motehub.tables`` in the order of its key, in pages."""
        after = None
        while True:
            with self._storage() as db:
                rows = whole.page(db, table, after)
            if not rows:
                return
            yield rows
            after = rows[-1][: TABLES[table].key]

    def load(self, table: str, rows: Sequence[Row]) -> None:
        """Add rows of another history, which must not be there yet, in one transaction."""
        with self._storage() as db, transaction(db):
            whole.insert(db, table, rows)

    def clear(self, position: int) -> None:
        """Delete everything, and put the cursor to ``position``, in one transaction."""
        self._journal = None
        with self._storage() as db, transaction(db):
            whole.clear(db)
            whole.set_position(db, position)

    def set_position(self, position: int) -> None:
        """Put the cursor to ``position``, when all that belongs to it has been loaded."""
        self._journal = None
        with self._storage() as db, transaction(db):
            whole.set_position(db, position)

    def _cursor(self, db: apsw.Connection) -> int:
        query = "SELECT position, journal FROM cursor WHERE consumer = 'history'"
        position, mark = db.execute(query).get
        check_same(mark, self._journal, str(self._path))
        return int(position)

    def _check_not_replaced(self) -> None:
        """Notice that someone put another file in the place of the open one."""
        if not self._path.exists() or self._path.stat().st_ino != self._inode:
            raise StorageError(f"{self._path} was replaced while it was open; opening it anew.")

    def _prepare(self, connection: apsw.Connection) -> None:
        self._inode = self._path.stat().st_ino
        bring_up_to_date = check_schema if self._read_only else upgrade_schema
        bring_up_to_date(connection, self._path, "motehub.stores.schema.sqlite")
        connection.wal_autocheckpoint(_CHECKPOINT_PAGES)
        # Whoever only reads has the system's cache behind its own.
        cache = _READER_CACHE_KIB if self._read_only else _CACHE_KIB
        connection.execute(f"PRAGMA cache_size=-{cache}")
        connection.execute("PRAGMA foreign_keys=ON")


def _rows(
    db: apsw.Connection, query: str, bindings: tuple[int, ...] = ()
) -> Iterator[tuple[Any, ...]]:
    return iter(db.execute(query, bindings))


PART = StorePart(
    open=lambda folder, _, read_only: SqliteHistory(folder, read_only=read_only),
    where=lambda folder, _: str((folder / FILE_NAME).absolute()),
)
