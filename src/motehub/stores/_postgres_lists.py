"""What the history in PostgreSQL lists: devices, events, rejected payloads, newest readings."""

from __future__ import annotations

from typing import Any, Final

from motehub.history_contract import DeviceRow, EventRow, RejectedRow
from motehub.model import Admission, Device, Kind, Series
from motehub.stores._postgres_connection import Connection
from motehub.stores._postgres_counts import newest_spared
from motehub.tally import with_later

_DEVICES: Final = """
SELECT id, name, dialect, admission, first_seen, last_seen,
    received, stored, duplicate, rejected, discarded, online,
    ARRAY(SELECT identity FROM identity WHERE device = device_row.id
        ORDER BY identity COLLATE "C"),
    (SELECT count(*) FROM held_reading JOIN series ON series.id = held_reading.series
        WHERE series.device = device_row.id)
    + (SELECT count(*) FROM held_text JOIN series ON series.id = held_text.series
        WHERE series.device = device_row.id)
FROM device AS device_row ORDER BY name COLLATE "C"
"""


def devices(db: Connection) -> list[DeviceRow]:
    """Return every device with its counts, by name."""
    # One statement sees one moment: the counters add up while the writer is at work.
    return [_device_row(row) for row in db.execute(_DEVICES)]


def rejected(db: Connection, limit: int) -> list[RejectedRow]:
    """Return the newest rejected payloads, newest first."""
    return [
        RejectedRow(*row)
        for row in db.execute(
            "SELECT time, device.name, source, reason, payload, count FROM rejected "
            "LEFT JOIN device ON device.id = rejected.device "
            "ORDER BY rejected.id DESC LIMIT %s",
            (limit,),
        )
    ]


def events(db: Connection, device: int | None, limit: int) -> list[EventRow]:
    """Return the newest events, newest first."""
    return [
        EventRow(*row)
        for row in db.execute(
            "SELECT time, device.name, kind, text FROM event "
            "JOIN device ON device.id = event.device "
            "WHERE %(device)s::bigint IS NULL OR event.device = %(device)s "
            "ORDER BY event.id DESC LIMIT %(limit)s",
            {"device": device, "limit": limit},
        )
    ]


def latest(
    db: Connection, device: int | None = None, *, held: bool = False
) -> list[tuple[int, int, float | str]]:
    """Return series, time and value of the newest reading of each series."""
    found: list[tuple[int, int, float | str]] = []
    for table in ("held_reading", "held_text") if held else ("reading", "text_reading"):
        found += [
            (row[0], row[1], row[2])
            for row in db.execute(
                # Of each series one row by the key, from the newest partition that has it.
                "SELECT known.id, newest.time, newest.value FROM series AS known "
                f"CROSS JOIN LATERAL (SELECT time, value FROM {table} "
                "WHERE series = known.id ORDER BY time DESC LIMIT 1) AS newest "
                "WHERE %(device)s::bigint IS NULL OR known.device = %(device)s",
                {"device": device},
            )
        ]
    spared = {} if held else newest_spared(db, device)
    return with_later(found, spared)


def newest(db: Connection, series: Series, count: int) -> list[tuple[int, float | str]]:
    """Return time and value of the newest ``count`` readings or texts, newest first."""
    table = "text_reading" if series.kind is Kind.TEXT else "reading"
    query = f"SELECT time, value FROM {table} WHERE series = %s ORDER BY time DESC LIMIT %s"
    return [(row[0], row[1]) for row in db.execute(query, (series.id, count))]


def _device_row(row: tuple[Any, ...]) -> DeviceRow:
    device = Device(
        id=row[0],
        name=row[1],
        dialect=row[2],
        identities=tuple(row[12]),
        admission=Admission(row[3]),
        first_seen=row[4],
        held=row[13],
        online=None if row[11] is None else bool(row[11]),
    )
    return DeviceRow(device, row[5], *row[6:11])
