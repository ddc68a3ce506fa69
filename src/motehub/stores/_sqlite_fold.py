"""How a fold goes into the SQLite history: the statements of one transaction."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Final

import apsw

from motehub.expiring import part_late
from motehub.frames import (
    DeviceChanged,
    DeviceRemoved,
    Entry,
    EventOccurred,
    HeldDropped,
    HeldReleased,
    HubAway,
    PresenceChanged,
    Rejected,
    SeriesAdded,
)
from motehub.history_contract import Fold, FoldResult, NumberColumns, TextColumns
from motehub.rolling import roll_up, sum_up_anew
from motehub.rolling_states import release_states, roll_up_states
from motehub.rollups import TIERS
from motehub.states import may_be_states
from motehub.stores._sqlite_counts import add_counts, note_away, note_spared
from motehub.stores._sqlite_rollups import SqliteRollups
from motehub.tally import EVENT_ROWS, REJECTED_ROWS, Tally

# One statement of many rows spares the driver's work for each: a third of the fold's time.
_ROWS_AT_ONCE: Final = 100


def fold_into(db: apsw.Connection, fold: Fold) -> FoldResult:
    """Apply ``fold`` in the order that :class:`motehub.history_contract.Fold` describes."""
    db.execute("UPDATE cursor SET position = ? WHERE consumer = 'history'", (fold.end,))
    for entry in fold.entries:
        _apply_to_registry(db, entry)
    tally = Tally(fold.devices)
    tally.spare(fold.discarded)
    tally.hold(_insert(db, "held_reading", fold.held))
    tally.hold(_insert(db, "held_text", fold.held_texts))
    for entry in fold.entries:
        _apply(db, entry, tally)
    readings, late = part_late(SqliteRollups(db), fold.readings)
    inserted = list(_insert(db, "reading", readings))
    tally.keep(inserted)
    new = {series: one.columns for series, one in late.items()}
    stored = {series: count for series, _, count in _insert(db, "reading", new)}
    tally.keep((series, one.given, stored[series]) for series, one in late.items())
    roll_up(SqliteRollups(db), readings, inserted, new)
    new_texts = list(_insert(db, "text", fold.texts))
    tally.keep(new_texts)
    roll_up_states(SqliteRollups(db), fold.texts, readings, [*new_texts, *inserted], new)
    _count(db, tally, fold.seen)
    add_counts(db, fold.hour, tally.devices)
    note_spared(db, fold.newest_spared)
    for entry in fold.entries:
        if isinstance(entry, DeviceRemoved):
            _remove_device(db, entry.device)
    for device in {e.device for e in fold.entries if isinstance(e, Rejected)}:
        _keep_newest(db, "rejected", device, REJECTED_ROWS)
    for device in {e.device for e in fold.entries if isinstance(e, EventOccurred)}:
        _keep_newest(db, "event", device, EVENT_ROWS)
    return tally.result


def note_event(db: apsw.Connection, event: EventOccurred) -> None:
    """Add an event, and leave no more of its device than are kept."""
    _apply(db, event, Tally({}))
    _keep_newest(db, "event", event.device, EVENT_ROWS)


def _count(db: apsw.Connection, tally: Tally, seen: dict[int, int]) -> None:
    db.executemany(
        "UPDATE device SET received = received + ?, stored = stored + ?, "
        "duplicate = duplicate + ?, rejected = rejected + ?, discarded = discarded + ? "
        "WHERE id = ?",
        ((*counts, device) for device, counts in tally.devices.items()),
    )
    db.executemany(
        "UPDATE device SET last_seen = max(last_seen, ?) WHERE id = ?",
        ((time, device) for device, time in seen.items()),
    )


def _insert(
    db: apsw.Connection, table: str, columns: dict[int, NumberColumns] | dict[int, TextColumns]
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
        # Only after a lost history: names of now meet names of then. The frames will settle it.
        db.execute(
            "UPDATE device SET name = '/moved/' || id WHERE name = ? AND id <> ?",
            (device.name, device.id),
        )
        db.execute(
            "INSERT INTO device (id, name, dialect, admission, first_seen, last_seen, online) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE "
            "SET name = excluded.name, admission = excluded.admission, online = excluded.online",
            (
                device.id,
                device.name,
                device.dialect,
                device.admission.value,
                device.first_seen,
                device.first_seen,
                device.online,
            ),
        )
        db.execute("DELETE FROM identity WHERE device = ?", (device.id,))
        db.executemany(
            "INSERT OR REPLACE INTO identity VALUES (?, ?)",
            ((identity, device.id) for identity in device.identities),
        )
    elif isinstance(entry, PresenceChanged):
        db.execute("UPDATE device SET online = ? WHERE id = ?", (entry.online, entry.device))
    elif isinstance(entry, SeriesAdded):
        series = entry.series
        before = db.total_changes()
        db.execute(
            "INSERT OR IGNORE INTO series SELECT ?1, ?2, ?3, ?4, ?5 "
            "WHERE EXISTS (SELECT 1 FROM device WHERE id = ?2)",
            (series.id, series.device, series.metric, series.unit, series.kind.value),
        )
        if may_be_states(series) and db.total_changes() > before:
            db.execute("INSERT OR IGNORE INTO state_number VALUES (?)", (series.id,))
        db.execute(
            "UPDATE series SET unit = ?2 WHERE id = ?1 AND device = ?3 AND unit <> ?2",
            (series.id, series.unit, series.device),
        )
    elif isinstance(entry, DeviceRemoved):
        # The row goes last, but its name is free now. No device can be called like this.
        db.execute("UPDATE device SET name = '/removed/' || id WHERE id = ?", (entry.device,))


def _apply(db: apsw.Connection, entry: Entry, tally: Tally) -> None:
    if isinstance(entry, EventOccurred):
        db.execute(
            "INSERT INTO event (device, time, kind, text) SELECT ?1, ?2, ?3, ?4 "
            "WHERE EXISTS (SELECT 1 FROM device WHERE id = ?1)",
            (entry.device, entry.time, entry.kind, entry.text),
        )
    elif isinstance(entry, Rejected):
        db.execute(
            "INSERT INTO rejected (device, source, time, reason, payload, count) "
            "VALUES ((SELECT id FROM device WHERE id = ?), ?, ?, ?, ?, ?)",
            (entry.device, entry.source, entry.time, entry.reason, entry.payload, entry.count),
        )
        if entry.device is not None:
            tally.reject(entry.device, entry)
    elif isinstance(entry, HeldReleased):
        held, stored = _release_held(db, entry.device)
        tally.add(entry.device, stored=stored, duplicate=held - stored)
    elif isinstance(entry, HeldDropped):
        tally.add(entry.device, rejected=_drop_held(db, entry.device))
    elif isinstance(entry, HubAway):
        note_away(db, entry)


_HELD_TABLES: Final = (("held_reading", "reading"), ("held_text", "text"))
_OF_DEVICE: Final = "WHERE series IN (SELECT id FROM series WHERE device = ?)"


def _release_held(db: apsw.Connection, device: int) -> tuple[int, int]:
    """Move a device's held readings into history; return how many there were and were new."""
    times: dict[int, array[int]] = {}
    states: dict[int, array[int]] = {}
    for table, found in (("held_reading", times), ("held_text", states)):
        query = f"SELECT series, time FROM {table} {_OF_DEVICE} ORDER BY series, time"
        for series, time in db.execute(query, (device,)):
            found.setdefault(series, array("q")).append(time)
    before = db.total_changes()
    for held, kept in _HELD_TABLES:
        db.execute(f"INSERT OR IGNORE INTO {kept} SELECT * FROM {held} {_OF_DEVICE}", (device,))
    stored = db.total_changes() - before
    sum_up_anew(SqliteRollups(db), times)
    release_states(SqliteRollups(db), times | states)
    return _drop_held(db, device), stored


def _drop_held(db: apsw.Connection, device: int) -> int:
    before = db.total_changes()
    for held, _ in _HELD_TABLES:
        db.execute(f"DELETE FROM {held} {_OF_DEVICE}", (device,))
    return db.total_changes() - before


def _remove_device(db: apsw.Connection, device: int) -> None:
    for _, kept in _HELD_TABLES:
        db.execute(f"DELETE FROM {kept} {_OF_DEVICE}", (device,))
    for table in (*TIERS, "unrolled", "kept"):
        db.execute(f"DELETE FROM reading_{table} {_OF_DEVICE}", (device,))
    db.execute(f"DELETE FROM archive_part {_OF_DEVICE}", (device,))
    for table in (*TIERS, "number"):
        db.execute(f"DELETE FROM state_{table} {_OF_DEVICE}", (device,))
    _drop_held(db, device)
    db.execute("DELETE FROM device WHERE id = ?", (device,))


def _keep_newest(db: apsw.Connection, table: str, device: int | None, rows: int) -> None:
    """Bound a list by device, so that a noisy one can't push out what others have said."""
    db.execute(
        f"DELETE FROM {table} WHERE device IS ?1 AND id <= "
        f"(SELECT id FROM {table} WHERE device IS ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        (device, rows),
    )
