"""How a fold goes into the PostgreSQL history: the statements of one transaction."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import islice, repeat
from operator import eq
from typing import Any, Final

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
from motehub.stores._postgres_binary import COPY_END, COPY_HEADER, packed_rows
from motehub.stores._postgres_connection import Connection
from motehub.stores._postgres_counts import add_counts, note_away, note_spared
from motehub.stores._postgres_partitions import make_partitions
from motehub.stores._postgres_rollups import STAGED_ROLLUPS, PostgresRollups
from motehub.tally import COUNTERS, EVENT_ROWS, REJECTED_ROWS, Tally

_TABLES: Final = ("held_reading", "held_text", "reading", "text_reading")

STAGING: Final = ";".join(
    [
        f"CREATE TEMPORARY TABLE staged_{table} (series bigint, time bigint, value "
        f"{'text' if 'text' in table else 'double precision'}) ON COMMIT DELETE ROWS"
        for table in _TABLES
    ]
    + STAGED_ROLLUPS
)
"""Makes the tables of a session through which readings go: COPY itself knows no duplicates."""

_ROWS_AT_ONCE: Final = 50_000

# Earlier than every time that a column of 64 bits can hold.
_EVER: Final = -(2**63) - 1


def fold_into(db: Connection, fold: Fold, newest: dict[int, int]) -> FoldResult:
    """Apply ``fold`` in the order that :class:`motehub.history_contract.Fold` describes.

    ``newest`` is the time of each series' last reading, as far as this connection knows them;
    it is kept up to date. It may be too late a time, but must not be too early.
    """
    db.execute("UPDATE cursor SET position = %s WHERE consumer = 'history'", (fold.end,))
    with db.pipeline():
        for entry in fold.entries:
            _apply_to_registry(db, entry)
    tally = Tally(fold.devices)
    tally.spare(fold.discarded)
    tally.hold(_insert_numbers(db, "held_reading", fold.held))
    tally.hold(_insert_texts(db, "held_text", fold.held_texts))
    with db.pipeline():
        for entry in fold.entries:
            _apply(db, entry, tally)
    readings, late = part_late(PostgresRollups(db), fold.readings)
    new = {series: one.columns for series, one in late.items() if one.columns[0]}
    make_partitions(db, [*readings.values(), *new.values()])
    if any(isinstance(entry, HeldReleased) for entry in fold.entries):
        newest.clear()
    ahead, other = _split(db, readings, newest)
    inserted = [*_append(db, ahead), *_insert_numbers(db, "reading", other)]
    tally.keep(inserted)
    if late:
        stored = {series: count for series, _, count in _insert_numbers(db, "reading", new)}
        tally.keep((series, one.given, stored.get(series, 0)) for series, one in late.items())
    roll_up(PostgresRollups(db), readings, inserted, new)
    new_texts = list(_insert_texts(db, "text_reading", fold.texts))
    tally.keep(new_texts)
    roll_up_states(PostgresRollups(db), fold.texts, readings, [*new_texts, *inserted], new)
    with db.pipeline():
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


def lock_cursor(db: Connection) -> tuple[int, str] | None:
    """Return position and journal of the cursor, which stay so until the transaction ends."""
    query = "SELECT position, journal FROM cursor WHERE consumer = 'history' FOR UPDATE"
    row = db.execute(query).fetchone()
    return None if row is None else (int(row[0]), str(row[1]))


def note_event(db: Connection, event: EventOccurred) -> None:
    """Add an event, and leave no more of its device than are kept."""
    _apply(db, event, Tally({}))
    _keep_newest(db, "event", event.device, EVENT_ROWS)


def _count(db: Connection, tally: Tally, seen: dict[int, int]) -> None:
    counts = list(tally.devices.values())
    db.execute(
        "UPDATE device SET received = device.received + new.received, "
        "stored = device.stored + new.stored, duplicate = device.duplicate + new.duplicate, "
        "rejected = device.rejected + new.rejected, "
        "discarded = device.discarded + new.discarded FROM unnest(%s::bigint[], "
        "%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[]) "
        "AS new (id, received, stored, duplicate, rejected, discarded) WHERE device.id = new.id",
        (list(tally.devices), *([row[n] for row in counts] for n in range(COUNTERS))),
    )
    db.execute(
        "UPDATE device SET last_seen = greatest(last_seen, new.time) "
        "FROM unnest(%s::bigint[], %s::bigint[]) AS new (id, time) WHERE device.id = new.id",
        (list(seen), list(seen.values())),
    )


def _insert_numbers(
    db: Connection, table: str, columns: dict[int, NumberColumns]
) -> Iterator[tuple[int, int, int]]:
    """Insert what is not there yet; yield series, readings given and readings inserted."""
    if columns:
        _copy(db, f"staged_{table}", columns)
        yield from _take_staged(db, table, columns)


def _split(
    db: Connection, columns: dict[int, NumberColumns], newest: dict[int, int]
) -> tuple[dict[int, NumberColumns], dict[int, NumberColumns]]:
    """Part the series of which all is later than what is stored from those where it is not."""
    unknown = [series for series in columns if series not in newest]
    found = db.execute(
        "SELECT series, (SELECT max(time) FROM reading WHERE reading.series = given.series) "
        "FROM unnest(%s::bigint[]) AS given (series)",
        (unknown,),
    )
    newest |= {series: _EVER if time is None else time for series, time in found}
    ahead: dict[int, NumberColumns] = {}
    other: dict[int, NumberColumns] = {}
    for series, (times, values) in columns.items():
        (ahead if times[0] > newest[series] else other)[series] = (times, values)
        newest[series] = max(newest[series], times[-1])
    return ahead, other


def _append(db: Connection, columns: dict[int, NumberColumns]) -> Iterator[tuple[int, int, int]]:
    """Insert what can't be there yet, straight into the history: twice as fast."""
    if columns:
        for series, count in _copy(db, "reading", columns).items():
            yield series, len(columns[series][0]), count


def _copy(db: Connection, table: str, columns: dict[int, NumberColumns]) -> dict[int, int]:
    """Copy the first reading of each time into ``table``; return how many by series."""
    all_series, all_times, all_values = array("q"), array("q"), array("d")
    counts = {}
    for series, (times, values) in columns.items():
        some_times, some_values = _first_of_each_time(times, values)
        all_series.extend(array("q", [series]) * len(some_times))
        all_times.extend(some_times)
        all_values.extend(some_values)
        counts[series] = len(some_times)
    with db.cursor().copy(f"COPY {table} (series, time, value) FROM STDIN (FORMAT binary)") as copy:
        copy.write(COPY_HEADER)
        for start in range(0, len(all_times), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            copy.write(packed_rows(all_series[part], all_times[part], all_values[part]))
        copy.write(COPY_END)
    return counts


def _insert_texts(
    db: Connection, table: str, columns: dict[int, TextColumns]
) -> Iterator[tuple[int, int, int]]:
    """As ``_insert_numbers``, for texts."""
    if not columns:
        return
    with db.cursor().copy(f"COPY staged_{table} FROM STDIN") as copy:
        for series, (times, values) in columns.items():
            for row in zip(repeat(series), *_first_of_each_time(times, values), strict=False):
                copy.write_row(row)
    yield from _take_staged(db, table, columns)


def _take_staged(
    db: Connection, table: str, columns: dict[int, Any]
) -> Iterator[tuple[int, int, int]]:
    new: dict[int, int] = dict(
        db.execute(
            f"WITH new AS (INSERT INTO {table} SELECT series, time, value FROM staged_{table} "
            "ON CONFLICT DO NOTHING RETURNING series) "
            "SELECT series, count(*) FROM new GROUP BY series"
        ).fetchall()
    )
    for series, (times, _) in columns.items():
        yield series, len(times), new.get(series, 0)


def _first_of_each_time(times: array[int], values: Any) -> tuple[array[int], Any]:
    """Leave out all but the first of equal times, which are neighbours."""
    if not any(map(eq, times, islice(times, 1, None))):
        return times, values
    kept = [n for n, time in enumerate(times) if not n or time != times[n - 1]]
    return array("q", (times[n] for n in kept)), [values[n] for n in kept]


def _apply_to_registry(db: Connection, entry: Entry) -> None:
    if isinstance(entry, DeviceChanged):
        device = entry.device
        # Only after a lost history: names of now meet names of then. The frames will settle it.
        db.execute(
            "UPDATE device SET name = '/moved/' || id WHERE name = %s AND id <> %s",
            (device.name, device.id),
        )
        db.execute(
            "INSERT INTO device (id, name, dialect, admission, first_seen, last_seen, online) "
            "VALUES (%(id)s, %(name)s, %(dialect)s, %(admission)s, %(seen)s, %(seen)s, "
            "%(online)s) ON CONFLICT (id) DO UPDATE SET name = excluded.name, "
            "admission = excluded.admission, online = excluded.online",
            {
                "id": device.id,
                "name": device.name,
                "dialect": device.dialect,
                "admission": device.admission.value,
                "seen": device.first_seen,
                "online": None if device.online is None else int(device.online),
            },
        )
        db.execute("DELETE FROM identity WHERE device = %s", (device.id,))
        for identity in device.identities:
            db.execute(
                "INSERT INTO identity VALUES (%s, %s) "
                "ON CONFLICT (identity) DO UPDATE SET device = excluded.device",
                (identity, device.id),
            )
    elif isinstance(entry, PresenceChanged):
        db.execute("UPDATE device SET online = %s WHERE id = %s", (int(entry.online), entry.device))
    elif isinstance(entry, SeriesAdded):
        series = entry.series
        db.execute(
            "WITH new AS (INSERT INTO series SELECT %s, device.id, %s, %s, %s FROM device "
            "WHERE device.id = %s ON CONFLICT DO NOTHING RETURNING id) "
            "INSERT INTO state_number SELECT id FROM new WHERE %s ON CONFLICT DO NOTHING",
            (
                series.id,
                series.metric,
                series.unit,
                series.kind.value,
                series.device,
                may_be_states(series),
            ),
        )
        db.execute(
            "UPDATE series SET unit = %(unit)s "
            "WHERE id = %(id)s AND device = %(device)s AND unit <> %(unit)s",
            {"unit": series.unit, "id": series.id, "device": series.device},
        )
    elif isinstance(entry, DeviceRemoved):
        # The row goes last, but its name is free now. No device can be called like this.
        db.execute("UPDATE device SET name = '/removed/' || id WHERE id = %s", (entry.device,))


def _apply(db: Connection, entry: Entry, tally: Tally) -> None:
    if isinstance(entry, EventOccurred):
        db.execute(
            "INSERT INTO event (device, time, kind, text) "
            "SELECT id, %s, %s, %s FROM device WHERE id = %s",
            (entry.time, entry.kind, entry.text, entry.device),
        )
    elif isinstance(entry, Rejected):
        db.execute(
            "INSERT INTO rejected (device, source, time, reason, payload, count) "
            "VALUES ((SELECT id FROM device WHERE id = %s), %s, %s, %s, %s, %s)",
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


_HELD_TABLES: Final = (("held_reading", "reading"), ("held_text", "text_reading"))
_OF_DEVICE: Final = "WHERE series IN (SELECT id FROM series WHERE device = %s)"


def _release_held(db: Connection, device: int) -> tuple[int, int]:
    """Move a device's held readings into history; return how many there were and were new."""
    times: dict[int, array[int]] = {}
    states: dict[int, array[int]] = {}
    for table, found in (("held_reading", times), ("held_text", states)):
        query = f"SELECT series, time FROM {table} {_OF_DEVICE} ORDER BY series, time"
        for series, time in db.execute(query, (device,)).fetchall():
            found.setdefault(series, array("q")).append(time)
    make_partitions(db, [(moments, ()) for moments in times.values()])
    stored = 0
    for held, kept in _HELD_TABLES:
        stored += _affected(
            db,
            f"INSERT INTO {kept} SELECT series, time, value FROM {held} {_OF_DEVICE} "
            "ON CONFLICT DO NOTHING",
            device,
        )
    sum_up_anew(PostgresRollups(db), times)
    release_states(PostgresRollups(db), times | states)
    return _drop_held(db, device), stored


def _drop_held(db: Connection, device: int) -> int:
    return sum(
        _affected(db, f"DELETE FROM {held} {_OF_DEVICE}", device) for held, _ in _HELD_TABLES
    )


def _affected(db: Connection, statement: str, device: int) -> int:
    """Return how many rows ``statement`` touches; a pipeline does not tell by itself."""
    query = f"WITH touched AS ({statement} RETURNING 1) SELECT count(*) FROM touched"
    row = db.execute(query, (device,)).fetchone()
    return int(row[0]) if row else 0


def _remove_device(db: Connection, device: int) -> None:
    for _, kept in _HELD_TABLES:
        db.execute(f"DELETE FROM {kept} {_OF_DEVICE}", (device,))
    for table in (*TIERS, "unrolled", "kept"):
        db.execute(f"DELETE FROM reading_{table} {_OF_DEVICE}", (device,))
    db.execute(f"DELETE FROM archive_part {_OF_DEVICE}".encode(), (device,))
    for table in (*TIERS, "number"):
        db.execute(f"DELETE FROM state_{table} {_OF_DEVICE}", (device,))
    _drop_held(db, device)
    db.execute("DELETE FROM device WHERE id = %s", (device,))


def _keep_newest(db: Connection, table: str, device: int | None, rows: int) -> None:
    """Bound a list by device, so that a noisy one can't push out what others have said."""
    # IS NOT DISTINCT FROM would say both, but not use the index.
    whose = "device IS NULL" if device is None else f"device = {device:d}"
    db.execute(
        f"DELETE FROM {table} WHERE {whose} AND id <= "
        f"(SELECT id FROM {table} WHERE {whose} ORDER BY id DESC LIMIT 1 OFFSET %s)",
        (rows,),
    )
