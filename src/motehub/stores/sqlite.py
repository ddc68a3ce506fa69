"""The history in an SQLite file, ``motehub.db``: one writer process, any number of readers."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Final

import apsw

from motehub.contracts import (
    DeviceRow,
    EventRow,
    Fold,
    FoldResult,
    RejectedRow,
    StorePart,
)
from motehub.errors import StorageError
from motehub.frames import (
    DeviceChanged,
    DeviceRemoved,
    Entry,
    EventOccurred,
    HeldDropped,
    HeldReleased,
    Rejected,
    SeriesAdded,
)
from motehub.model import Admission, Device, Series
from motehub.sqlite_files import open_database, plain_errors, transaction, upgrade_schema

FILE_NAME: Final = "motehub.db"

REJECTED_ROWS: Final = 1_000
"""Rejected payloads that are kept of each device, and of all unknown senders together."""

EVENT_ROWS: Final = 10_000
"""Events that are kept of each device; like rejected payloads, the newest stay."""

_CHUNK: Final = 20_000
# One statement of many rows spares the driver's work for each: a third of the fold's time.
_ROWS_AT_ONCE: Final = 100
_CHECKPOINT_PAGES: Final = 8_000
_CACHE_KIB: Final = 16_000


class SqliteHistory:
    """See :class:`motehub.contracts.HistoryStore`."""

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self._path = folder / FILE_NAME
        self._read_only = read_only
        self._connection: apsw.Connection | None = None
        with self._storage():
            pass

    def position(self) -> int:
        """Return the journal position up to which everything is folded in."""
        with self._storage() as db:
            return int(db.execute("SELECT position FROM cursor WHERE consumer = 'history'").get)

    def fold(self, fold: Fold) -> FoldResult:
        """Store ``fold`` and its end position in one transaction."""
        with self._storage() as db, transaction(db):
            _move_cursor(db, fold)
            for entry in fold.entries:
                _apply_to_registry(db, entry)
            tally = _Tally()
            for series, held, inserted in _insert(db, "held_reading", fold.held):
                tally.add(fold.devices[series], received=held, duplicate=held - inserted)
            for entry in fold.entries:
                _apply(db, entry, tally)
            for series, given, inserted in _insert(db, "reading", fold.readings):
                tally.add(
                    fold.devices[series],
                    received=given,
                    stored=inserted,
                    duplicate=given - inserted,
                )
            tally.write(db, fold.seen)
            for entry in fold.entries:
                if isinstance(entry, DeviceRemoved):
                    _remove_device(db, entry.device)
            for device in {e.device for e in fold.entries if isinstance(e, Rejected)}:
                _keep_newest(db, "rejected", device, REJECTED_ROWS)
            for device in {e.device for e in fold.entries if isinstance(e, EventOccurred)}:
                _keep_newest(db, "event", device, EVENT_ROWS)
        return tally.result

    def registry(self) -> tuple[list[Device], list[Series]]:
        """Return all devices and series."""
        with self._storage() as db:
            series = [Series(*row) for row in db.execute("SELECT * FROM series ORDER BY id")]
        return [row.device for row in self.devices()], series

    def devices(self) -> list[DeviceRow]:
        """Return every device with its counts, by name."""
        with self._storage() as db:
            identities: dict[int, tuple[str, ...]] = {}
            query = "SELECT device, identity FROM identity ORDER BY identity"
            for device, identity in _rows(db, query):
                identities[device] = (*identities.get(device, ()), identity)
            waiting = dict(
                db.execute(
                    "SELECT series.device, count(*) FROM held_reading "
                    "JOIN series ON series.id = held_reading.series GROUP BY 1"
                )
            )
            return [
                _device_row(row, identities.get(row[0], ()), waiting.get(row[0], 0))
                for row in db.execute(
                    "SELECT id, name, dialect, admission, first_seen, last_seen, "
                    "received, stored, duplicate, rejected FROM device ORDER BY name"
                )
            ]

    def readings(
        self, series: int, since: int, until: int
    ) -> Iterator[tuple[array[int], array[float]]]:
        """Yield columns (times, values) of one series in ``[since, until)``, oldest first.

        Each part is a query of its own, so a slow reader holds no snapshot of the file.
        """
        while True:
            with self._storage() as db:
                rows = list(
                    _rows(
                        db,
                        "SELECT time, value FROM reading "
                        "WHERE series = ? AND time >= ? AND time < ? ORDER BY time LIMIT ?",
                        (series, since, until, _CHUNK),
                    )
                )
            if not rows:
                return
            yield array("q", (row[0] for row in rows)), array("d", (row[1] for row in rows))
            since = rows[-1][0] + 1

    def rejected(self, limit: int) -> list[RejectedRow]:
        """Return the newest rejected payloads, newest first."""
        with self._storage() as db:
            return [
                RejectedRow(*row)
                for row in db.execute(
                    "SELECT time, device.name, source, reason, payload, count FROM rejected "
                    "LEFT JOIN device ON device.id = rejected.device "
                    "ORDER BY rejected.id DESC LIMIT ?",
                    (limit,),
                )
            ]

    def events(self, device: int | None, limit: int) -> list[EventRow]:
        """Return the newest events, newest first."""
        with self._storage() as db:
            return [
                EventRow(*row)
                for row in db.execute(
                    "SELECT time, device.name, kind, text FROM event "
                    "JOIN device ON device.id = event.device "
                    "WHERE ?1 IS NULL OR event.device = ?1 ORDER BY event.id DESC LIMIT ?2",
                    (device, limit),
                )
            ]

    def close(self) -> None:
        """Close the file; harmless when it is closed."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _storage(self) -> Iterator[apsw.Connection]:
        """Give the connection; after an error the next use opens the file anew."""
        try:
            if self._connection is None:
                self._connection = self._open()
            with plain_errors(self._path):
                yield self._connection
        except StorageError:
            self.close()
            raise

    def _open(self) -> apsw.Connection:
        connection = open_database(self._path, read_only=self._read_only)
        try:
            if not self._read_only:
                upgrade_schema(connection, self._path, "motehub.stores.schema.sqlite")
            with plain_errors(self._path):
                connection.wal_autocheckpoint(_CHECKPOINT_PAGES)
                connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
                connection.execute("PRAGMA foreign_keys=ON")
        except StorageError:
            connection.close()
            raise
        return connection


class _Tally:
    """Adds up what a fold does to each device's counters."""

    def __init__(self) -> None:
        self._devices: dict[int, list[int]] = {}
        self.result = FoldResult(0, 0)

    def add(
        self,
        device: int,
        *,
        received: int = 0,
        stored: int = 0,
        duplicate: int = 0,
        rejected: int = 0,
    ) -> None:
        counts = self._devices.setdefault(device, [0, 0, 0, 0])
        counts[0] += received
        counts[1] += stored
        counts[2] += duplicate
        counts[3] += rejected
        self.result = FoldResult(self.result.stored + stored, self.result.duplicate + duplicate)

    def write(self, db: apsw.Connection, seen: dict[int, int]) -> None:
        db.executemany(
            "UPDATE device SET received = received + ?, stored = stored + ?, "
            "duplicate = duplicate + ?, rejected = rejected + ? WHERE id = ?",
            ((*counts, device) for device, counts in self._devices.items()),
        )
        db.executemany(
            "UPDATE device SET last_seen = max(last_seen, ?) WHERE id = ?",
            ((time, device) for device, time in seen.items()),
        )


def _rows(
    db: apsw.Connection, query: str, bindings: tuple[int, ...] = ()
) -> Iterator[tuple[Any, ...]]:
    return iter(db.execute(query, bindings))


def _move_cursor(db: apsw.Connection, fold: Fold) -> None:
    """Advance the cursor, unless another process has done so since ``fold`` was read."""
    position = db.execute("SELECT position FROM cursor WHERE consumer = 'history'").get
    if position > fold.start:
        raise StorageError(
            f"Another process writes the history: it is at {position}, not at {fold.start}."
        )
    db.execute("UPDATE cursor SET position = ? WHERE consumer = 'history'", (fold.end,))


def _insert(
    db: apsw.Connection, table: str, columns: dict[int, tuple[array[int], array[float]]]
) -> Iterator[tuple[int, int, int]]:
    """Insert what is not there yet; yield series, readings given and readings inserted."""
    rows = ",".join(f"(?1,?{2 * n + 2},?{2 * n + 3})" for n in range(_ROWS_AT_ONCE))
    many = f"INSERT OR IGNORE INTO {table} VALUES {rows}"
    single = f"INSERT OR IGNORE INTO {table} VALUES (?, ?, ?)"
    for series, (times, values) in columns.items():
        before = db.total_changes()
        whole = len(times) - len(times) % _ROWS_AT_ONCE
        pairs = list(chain.from_iterable(zip(times[:whole], values[:whole], strict=True)))
        for start in range(0, len(pairs), 2 * _ROWS_AT_ONCE):
            db.execute(many, (series, *pairs[start : start + 2 * _ROWS_AT_ONCE]))
        db.executemany(single, zip(repeat(series), times[whole:], values[whole:], strict=False))
        yield series, len(times), db.total_changes() - before


def _apply_to_registry(db: apsw.Connection, entry: Entry) -> None:
    if isinstance(entry, DeviceChanged):
        device = entry.device
        db.execute(
            "INSERT INTO device (id, name, dialect, admission, first_seen, last_seen) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE "
            "SET name = excluded.name, admission = excluded.admission",
            (
                device.id,
                device.name,
                device.dialect,
                device.admission.value,
                device.first_seen,
                device.first_seen,
            ),
        )
        db.execute("DELETE FROM identity WHERE device = ?", (device.id,))
        db.executemany(
            "INSERT OR REPLACE INTO identity VALUES (?, ?)",
            ((identity, device.id) for identity in device.identities),
        )
    elif isinstance(entry, SeriesAdded):
        series = entry.series
        db.execute(
            "INSERT OR IGNORE INTO series VALUES (?, ?, ?, ?)",
            (series.id, series.device, series.metric, series.unit),
        )
    elif isinstance(entry, DeviceRemoved):
        # The row goes last, but its name is free now. No device can be called like this.
        db.execute("UPDATE device SET name = '/removed/' || id WHERE id = ?", (entry.device,))


def _apply(db: apsw.Connection, entry: Entry, tally: _Tally) -> None:
    if isinstance(entry, EventOccurred):
        db.execute(
            "INSERT INTO event (device, time, kind, text) VALUES (?, ?, ?, ?)",
            (entry.device, entry.time, entry.kind, entry.text),
        )
    elif isinstance(entry, Rejected):
        db.execute(
            "INSERT INTO rejected (device, source, time, reason, payload, count) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (entry.device, entry.source, entry.time, entry.reason, entry.payload, entry.count),
        )
        if entry.device is not None:
            tally.add(entry.device, received=entry.count, rejected=entry.count)
    elif isinstance(entry, HeldReleased):
        held, stored = _release_held(db, entry.device)
        tally.add(entry.device, stored=stored, duplicate=held - stored)
    elif isinstance(entry, HeldDropped):
        tally.add(entry.device, rejected=_drop_held(db, entry.device))


_OF_DEVICE: Final = "WHERE series IN (SELECT id FROM series WHERE device = ?)"


def _release_held(db: apsw.Connection, device: int) -> tuple[int, int]:
    """Move a device's held readings into history; return how many there were and were new."""
    before = db.total_changes()
    db.execute(f"INSERT OR IGNORE INTO reading SELECT * FROM held_reading {_OF_DEVICE}", (device,))
    stored = db.total_changes() - before
    return _drop_held(db, device), stored


def _drop_held(db: apsw.Connection, device: int) -> int:
    before = db.total_changes()
    db.execute(f"DELETE FROM held_reading {_OF_DEVICE}", (device,))
    return db.total_changes() - before


def _remove_device(db: apsw.Connection, device: int) -> None:
    db.execute(f"DELETE FROM reading {_OF_DEVICE}", (device,))
    _drop_held(db, device)
    db.execute("DELETE FROM device WHERE id = ?", (device,))


def _keep_newest(db: apsw.Connection, table: str, device: int | None, rows: int) -> None:
    """Bound a list by device, so that a noisy one can't push out what others have said."""
    db.execute(
        f"DELETE FROM {table} WHERE device IS ?1 AND id <= "
        f"(SELECT id FROM {table} WHERE device IS ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        (device, rows),
    )


def _device_row(
    row: tuple[int, str, str, str, int, int, int, int, int, int],
    identities: tuple[str, ...],
    waiting: int,
) -> DeviceRow:
    device = Device(
        id=row[0],
        name=row[1],
        dialect=row[2],
        identities=identities,
        admission=Admission(row[3]),
        first_seen=row[4],
        held=waiting,
    )
    received, stored, duplicate, rejected = row[6:]
    return DeviceRow(device, row[5], received, stored, duplicate, rejected)


PART = StorePart(lambda folder, read_only: SqliteHistory(folder, read_only=read_only))
