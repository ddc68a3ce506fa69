"""What is counted by hour in PostgreSQL; see :class:`motehub.counted.Counted`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from motehub.counted import HourCounts
from motehub.frames import HubAway
from motehub.stores._postgres_connection import Connection
from motehub.tally import AWAY_ROWS, COUNTERS


class PostgresCounts:
    """See :class:`motehub.counted.Counted`; ``use`` gives the connection."""

    def __init__(self, use: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._use = use

    def counts(self, device: int, since: int, until: int) -> list[HourCounts]:
        """Return the hours of a device that begin in ``[since, until)``, oldest first."""
        query = (
            "SELECT start, received, stored, duplicate, rejected, discarded FROM device_hour "
            "WHERE device = %s AND start >= %s AND start < %s ORDER BY start"
        )
        with self._use() as db:
            return [HourCounts(*row) for row in db.execute(query, (device, since, until))]

    def counted_since(self, device: int) -> int | None:
        """Return when the first hour begins that has been counted of a device."""
        with self._use() as db:
            query = "SELECT min(start) FROM device_hour WHERE device = %s"
            row = db.execute(query, (device,)).fetchone()
        return None if row is None or row[0] is None else int(row[0])

    def forget_counts(self, devices: Sequence[int], until: int) -> None:
        """Delete the hours of these devices that begin before ``until``."""
        query = "DELETE FROM device_hour WHERE device = ANY(%s::bigint[]) AND start < %s"
        with self._use() as db:
            db.execute(query, (list(devices), until))

    def away(self, since: int, until: int) -> list[tuple[int, int]]:
        """Return when in ``[since, until)`` the hub was not there, in the order of time."""
        query = (
            "SELECT greatest(since, %(since)s), least(until, %(until)s) FROM hub_away "
            "WHERE until > %(since)s AND since < %(until)s ORDER BY since"
        )
        with self._use() as db:
            rows = db.execute(query, {"since": since, "until": until})
            return [(int(row[0]), int(row[1])) for row in rows]


def add_counts(db: Connection, hour: int, counts: Mapping[int, Sequence[int]]) -> None:
    """Add counts by device to those of the hour that begins at ``hour``."""
    rows = list(counts.values())
    db.execute(
        "INSERT INTO device_hour SELECT new.id, %s, new.received, new.stored, new.duplicate, "
        "new.rejected, new.discarded FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], "
        "%s::bigint[], %s::bigint[], %s::bigint[]) "
        "AS new (id, received, stored, duplicate, rejected, discarded) "
        "JOIN device ON device.id = new.id ON CONFLICT (device, start) DO UPDATE SET "
        "received = device_hour.received + excluded.received, "
        "stored = device_hour.stored + excluded.stored, "
        "duplicate = device_hour.duplicate + excluded.duplicate, "
        "rejected = device_hour.rejected + excluded.rejected, "
        "discarded = device_hour.discarded + excluded.discarded",
        (hour, list(counts), *([row[n] for row in rows] for n in range(COUNTERS))),
    )


def note_away(db: Connection, entry: HubAway) -> None:
    """Note when the hub was not there; at ``until`` it is, so nothing goes on beyond that."""
    db.execute("DELETE FROM hub_away WHERE since >= %s", (entry.until,))
    db.execute("UPDATE hub_away SET until = %(until)s WHERE until > %(until)s", _bindings(entry))
    if entry.since < entry.until:
        db.execute(
            "INSERT INTO hub_away VALUES (%(since)s, %(until)s) "
            "ON CONFLICT (since) DO UPDATE SET until = excluded.until",
            _bindings(entry),
        )
        db.execute(
            "DELETE FROM hub_away WHERE since <= "
            "(SELECT since FROM hub_away ORDER BY since DESC LIMIT 1 OFFSET %s)",
            (AWAY_ROWS,),
        )


def note_spared(db: Connection, newest: Mapping[int, tuple[int, float]]) -> None:
    """Note time and value of readings by series that are not stored, unless later ones are."""
    if newest:
        db.execute(
            "INSERT INTO spared_newest SELECT new.* FROM unnest(%s::bigint[], %s::bigint[], "
            "%s::double precision[]) AS new (series, time, value) "
            "JOIN series ON series.id = new.series ON CONFLICT (series) DO UPDATE "
            "SET time = excluded.time, value = excluded.value "
            "WHERE excluded.time >= spared_newest.time",
            (
                list(newest),
                [time for time, _ in newest.values()],
                [value for _, value in newest.values()],
            ),
        )


def newest_spared(db: Connection, device: int | None) -> dict[int, tuple[int, float]]:
    """Return time and value of the newest of the series of a device, or of all, by series."""
    query = (
        "SELECT series, time, value FROM spared_newest JOIN series ON id = series "
        "WHERE %(device)s::bigint IS NULL OR device = %(device)s"
    )
    rows = db.execute(query, {"device": device})
    return {row[0]: (int(row[1]), float(row[2])) for row in rows}


def _bindings(entry: HubAway) -> dict[str, int]:
    return {"since": entry.since, "until": entry.until}
