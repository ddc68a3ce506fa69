"""What the history in SQLite lists: devices, events, rejected payloads, newest readings."""

from __future__ import annotations

from typing import Any

import apsw

from motehub.history_contract import DeviceRow, EventRow, RejectedRow
from motehub.model import Admission, Device, Kind, Series
from motehub.stores._sqlite_counts import newest_spared
from motehub.tally import with_later


def devices(db: apsw.Connection) -> list[DeviceRow]:
    """Return every device with its counts, by name."""
    identities: dict[int, tuple[str, ...]] = {}
    query = "SELECT device, identity FROM identity ORDER BY identity"
    for device, identity in db.execute(query):
        identities[device] = (*identities.get(device, ()), identity)
    waiting = dict(
        db.execute(
            "SELECT series.device, count(*) FROM series JOIN "
            "(SELECT series FROM held_reading UNION ALL SELECT series FROM held_text) "
            "AS held ON held.series = series.id GROUP BY 1"
        )
    )
    return [
        _device_row(row, identities.get(row[0], ()), waiting.get(row[0], 0))
        for row in db.execute(
            "SELECT id, name, dialect, admission, first_seen, last_seen, "
            "received, stored, duplicate, rejected, discarded, online "
            "FROM device ORDER BY name"
        )
    ]


def rejected(db: apsw.Connection, limit: int) -> list[RejectedRow]:
    """Return the newest rejected payloads, newest first."""
    return [
        RejectedRow(*row)
        for row in db.execute(
            "SELECT time, device.name, source, reason, payload, count FROM rejected "
            "LEFT JOIN device ON device.id = rejected.device "
            "ORDER BY rejected.id DESC LIMIT ?",
            (limit,),
        )
    ]


def events(db: apsw.Connection, device: int | None, limit: int) -> list[EventRow]:
    """Return the newest events, newest first."""
    return [
        EventRow(*row)
        for row in db.execute(
            "SELECT time, device.name, kind, text FROM event "
            "JOIN device ON device.id = event.device "
            "WHERE ?1 IS NULL OR event.device = ?1 ORDER BY event.id DESC LIMIT ?2",
            (device, limit),
        )
    ]


def latest(
    db: apsw.Connection, device: int | None = None, *, held: bool = False
) -> list[tuple[int, int, float | str]]:
    """Return series, time and value of the newest reading of each series."""
    found: list[tuple[int, int, float | str]] = []
    for table in ("held_reading", "held_text") if held else ("reading", "text"):
        found += db.execute(
            # The outer table first, and of each series one row by the key.
            "SELECT known.id, newest.time, newest.value FROM series AS known "
            f"CROSS JOIN {table} AS newest ON newest.series = known.id AND newest.time = "
            f"(SELECT max(time) FROM {table} WHERE series = known.id) "
            "WHERE ?1 IS NULL OR known.device = ?1",
            (device,),
        )
    spared = {} if held else newest_spared(db, device)
    return with_later(found, spared)


def newest(db: apsw.Connection, series: Series, count: int) -> list[tuple[int, float | str]]:
    """Return time and value of the newest ``count`` readings or texts, newest first."""
    table = "text" if series.kind is Kind.TEXT else "reading"
    query = f"SELECT time, value FROM {table} WHERE series = ? ORDER BY time DESC LIMIT ?"
    return [(row[0], row[1]) for row in db.execute(query, (series.id, count))]


def _device_row(
    row: tuple[Any, ...],
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
        online=None if row[11] is None else bool(row[11]),
    )
    return DeviceRow(device, row[5], *row[6:11])
