"""The history in a PostgreSQL database: one writer process, any number of readers."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

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
    TextColumns,
    check_free,
    check_next,
    check_same,
)
from motehub.model import Device, Kind, Series
from motehub.rolling import rebuild_some, settle_some
from motehub.rollups import TIERS, Grid, Kept, RollupColumns, Settled
from motehub.stores import _postgres_archive as archive
from motehub.stores import _postgres_copy as whole
from motehub.stores import _postgres_lists as lists
from motehub.stores import _postgres_rollups as rolled
from motehub.stores._postgres_connection import Connection, Database
from motehub.stores._postgres_counts import PostgresCounts
from motehub.stores._postgres_fold import fold_into, lock_cursor, note_event
from motehub.stores._postgres_months import drop_month, month_of
from motehub.stores._postgres_schema import check_schema, make_ready
from motehub.stores._postgres_states import PostgresStates
from motehub.summed import StatesOfStore, rollups_in_parts, sums_in_parts
from motehub.tables import TABLES, Row

_CHUNK: Final = 20_000


class PostgresHistory:
    """See :class:`motehub.history_contract.HistoryStore`.

    Raises:
        OwnerError: ``url`` is no PostgreSQL address, or the database is not in UTF-8.
        NewerSchema: a later motehub has written it.
        StorageError: the server can't be reached or used now.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self._newest: dict[int, int] = {}
        self._read_only = read_only
        self._journal: str | None = None
        self._database = Database(url, prepare=self._prepare)
        with self._database.use():
            pass

    def position(self) -> int:
        """Return the journal position up to which everything is folded in."""
        with self._database.use() as db:
            query = "SELECT position, journal FROM cursor WHERE consumer = 'history'"
            return self._checked(db.execute(query).fetchone())

    def bind(self, journal: str) -> None:
        """Write the history of the journal with this id from now on, and no other."""
        with self._database.use() as db, db.transaction():
            if (row := lock_cursor(db)) is not None:
                check_free(row[1], journal, self._database.where)
            db.execute("UPDATE cursor SET journal = %s WHERE consumer = 'history'", (journal,))
        self._journal = journal

    def fold(self, fold: Fold) -> FoldResult:
        """Store ``fold`` and its end position in one transaction."""
        with self._database.use() as db, db.transaction():
            check_next(self._checked(lock_cursor(db)), fold)
            return fold_into(db, fold, self._newest)

    def registry(self) -> tuple[list[Device], list[Series]]:
        """Return all devices and series."""
        with self._database.use() as db:
            series = [
                Series(row[0], row[1], row[2], row[3], Kind(row[4]))
                for row in db.execute(
                    "SELECT id, device, metric, unit, kind FROM series ORDER BY id"
                )
            ]
        return [row.device for row in self.devices()], series

    def devices(self) -> list[DeviceRow]:
        """Return every device with its counts, by name."""
        with self._database.use() as db:
            return lists.devices(db)

    def readings(self, series: int, since: int, until: int) -> Iterator[NumberColumns]:
        """Yield columns (times, values) of one series in ``[since, until)``, oldest first."""
        for times, values in self._columns("reading", series, since, until):
            yield times, array("d", values)

    def texts(self, series: int, since: int, until: int) -> Iterator[TextColumns]:
        """Yield columns (times, values) of one text series, as ``readings`` does."""
        for times, values in self._columns("text_reading", series, since, until):
            yield times, list(values)

    def _columns(
        self, table: str, series: int, since: int, until: int
    ) -> Iterator[tuple[array[int], tuple[Any, ...]]]:
        """Read in parts, each a query of its own: a slow reader holds no snapshot."""
        query = (
            f"SELECT time, value FROM {table} "
            "WHERE series = %s AND time >= %s AND time < %s ORDER BY time LIMIT %s"
        )
        while True:
            with self._database.use() as db:
                rows = db.execute(query, (series, since, until, _CHUNK), binary=True).fetchall()
            if not rows:
                return
            times, values = zip(*rows, strict=True)
            yield array("q", times), values
            since = times[-1] + 1

    def rollups(self, series: int, tier: str, since: int, until: int) -> Iterator[RollupColumns]:
        """Yield the rollups of a tier that begin in ``[since, until)``, oldest first."""
        return rollups_in_parts(
            self._database.use, rolled.PostgresRollups, tier, series, since, until
        )

    def sums(
        self, series: int, tier: str, since: int, until: int, grid: Grid
    ) -> Iterator[RollupColumns]:
        """Yield what the rollups that begin in ``[since, until)`` come to by buckets of a grid."""
        return sums_in_parts(
            self._database.use, rolled.PostgresRollups, tier, series, since, until, grid
        )

    def unrolled(self) -> set[int]:
        """Return the series whose rollups are still to be made, or to be made again."""
        with self._database.use() as db:
            return set(rolled.PostgresRollups(db).unrolled())

    def settled(self) -> Settled:
        """Tell how far there are hours and days; later readings are in minutes only."""
        with self._database.use() as db:
            return rolled.PostgresRollups(db).settled()

    def settle_some(self, until: int) -> bool:
        """Make some hours and days that end at ``until`` or before; tell whether more are left."""
        with self._database.use() as db:
            if rolled.PostgresRollups(db).settled().until >= until:
                return False
            with db.transaction():
                # A fold meanwhile would not be in them.
                lock_cursor(db)
                return settle_some(rolled.PostgresRollups(db), until)

    @property
    def states(self) -> StatesOfStore[Connection]:
        """Return what reads states that are summed up."""
        return StatesOfStore(self._database.use, PostgresStates)

    @property
    def counted(self) -> PostgresCounts:
        """Return what tells of counts by hour, and when the hub was not there."""
        return PostgresCounts(self._database.use)

    def kept(self, series: int) -> Kept:
        """Tell from when on there are readings and rollups of a series."""
        with self._database.use() as db:
            return rolled.PostgresRollups(db).kept([series]).get(series, Kept())

    def expire_some(self, todo: Sequence[Expiring], rows: int) -> tuple[int, int]:
        """Delete what is too old of the first of ``todo``, about ``rows`` rows."""
        with self._database.use() as db, db.transaction():
            lock_cursor(db)
            return expire_some(rolled.PostgresRollups(db), todo, rows)

    def whole_before(self, until: int) -> int:
        """Return the time to which readings may best be deleted: the beginning of a month."""
        return month_of(until)

    def whole_after(self, time: int) -> int:
        """Return the end of the month of ``time``."""
        return month_of(month_of(time) + 31 * TIERS["day"])

    def drop_whole(self, until: int) -> bool:
        """Delete the readings of a whole month before ``until``, if there is one."""
        with self._database.use() as db:
            return drop_month(db, until)

    def oldest_reading(self) -> int | None:
        """Return the time of the oldest reading of a number that was not kept as the newest."""
        with self._database.use() as db:
            return rolled.oldest_reading(db)

    def note_event(self, devices: Sequence[int], time: int, kind: str, text: str) -> None:
        """Add an event, which no frame of the journal has, to each of these devices."""
        with self._database.use() as db, db.transaction():
            for device in devices:
                note_event(db, EventOccurred(device, time, kind, text))

    def archive_files(self) -> list[ArchiveFile]:
        """Return all files of the archive, in the order in which they were noted."""
        with self._database.use() as db:
            return archive.files(db)

    def archive_parts(self, series: int, since: int, until: int) -> list[ArchivePart]:
        """Return what files have of a series in ``[since, until)``, by where that begins."""
        with self._database.use() as db:
            return archive.parts(db, series, since, until)

    def note_archived(self, file: ArchiveFile, parts: Sequence[ArchivePart]) -> None:
        """Note a file of the archive that is there, complete and durable."""
        with self._database.use() as db, db.transaction():
            archive.note(db, file, parts)

    def first_time(self, series: Series, since: int) -> int | None:
        """Return the time of the first reading, or text, at ``since`` or later."""
        with self._database.use() as db:
            return archive.first_time(db, series, since)

    def used_bytes(self) -> int:
        """Return the size of the database."""
        with self._database.use() as db:
            row = db.execute("SELECT pg_database_size(current_database())").fetchone()
            return int(row[0]) if row else 0

    def give_back(self) -> bool:
        """Do nothing: a month's file goes with it, and of other rows the server's vacuum sees."""
        return False

    def begin_rebuild(self) -> int:
        """Let all rollups be made again, unless that is going on; return the readings left."""
        with self._database.use() as db, db.transaction():
            lock_cursor(db)
            rolled.begin_rebuild(db)
            return rolled.readings_left(db)

    def rebuild_some(self) -> int:
        """Make some rollups that are still to be made; return of how many readings."""
        with self._database.use() as db:
            if not rolled.PostgresRollups(db).unrolled():
                return 0
            with db.transaction():
                # A fold meanwhile would not be in them.
                lock_cursor(db)
                return rebuild_some(rolled.PostgresRollups(db))

    def rejected(self, limit: int) -> list[RejectedRow]:
        """Return the newest rejected payloads, newest first."""
        with self._database.use() as db:
            return lists.rejected(db, limit)

    def events(self, device: int | None, limit: int) -> list[EventRow]:
        """Return the newest events, newest first."""
        with self._database.use() as db:
            return lists.events(db, device, limit)

    def latest(
        self, device: int | None = None, *, held: bool = False
    ) -> list[tuple[int, int, float | str]]:
        """Return series, time and value of the newest reading of each series."""
        with self._database.use() as db:
            return lists.latest(db, device, held=held)

    def newest(self, series: Series, count: int) -> list[tuple[int, float | str]]:
        """Return time and value of the newest ``count`` readings or texts, newest first."""
        with self._database.use() as db:
            return lists.newest(db, series, count)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all that is read within the block be as it is now."""
        with self._database.use() as db:
            db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            # Whoever gets what is read may be slow; a reader's transaction locks nobody out.
            db.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            db.execute("SELECT position FROM cursor")
        try:
            yield
        finally:
            # After an error it is closed already, and the moment with it.
            if not db.closed:
                with self._database.use():
                    db.execute("ROLLBACK")

    def count_rows(self, table: str) -> int:
        """Return how many rows a table of ``motehub.tables`` has."""
        with self._database.use() as db:
            return whole.count(db, table)

    def dump(self, table: str) -> Iterator[list[Row]]:
        """Yield all rows of a table of ``motehub.tables`` in the order of its key, in pages."""
        after = None
        while True:
            with self._database.use() as db:
                rows = whole.page(db, table, after)
            if not rows:
                return
            yield rows
            after = rows[-1][: TABLES[table].key]

    def load(self, table: str, rows: Sequence[Row]) -> None:
        """Add rows of another history, which must not be there yet, in one transaction."""
        with self._database.use() as db, db.transaction():
            whole.insert(db, table, rows)

    def clear(self, position: int) -> None:
        """Delete everything, and put the cursor to ``position``, in one transaction."""
        self._newest.clear()
        self._journal = None
        with self._database.use() as db, db.transaction():
            whole.clear(db)
            whole.set_position(db, position)

    def set_position(self, position: int) -> None:
        """Put the cursor to ``position``, when all that belongs to it has been loaded."""
        self._newest.clear()
        self._journal = None
        with self._database.use() as db, db.transaction():
            whole.set_position(db, position)

    def close(self) -> None:
        """Close the connection; harmless when it is closed."""
        self._database.close()

    def _checked(self, row: tuple[int, str] | None) -> int:
        """Return the position in the cursor's row, if that is there and the expected one."""
        if row is None:
            raise StorageError(f"{self._database.where} has lost its cursor: restore a backup.")
        check_same(row[1], self._journal, self._database.where)
        return row[0]

    def _prepare(self, connection: Connection, where: str) -> None:
        # What was folded may have been rolled back, or another process may have folded since.
        self._newest.clear()
        (check_schema if self._read_only else make_ready)(connection, where)
