"""What is counted by hour in SQLite; see :class:`motehub.counted.Counted`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

import apsw

from motehub.counted import HourCounts
from motehub.frames import HubAway
from motehub.sqlite_files import transaction
from motehub.tally import AWAY_ROWS


class SqliteCounts:
    """See :class:`motehub.counted.Counted`; ``use`` gives the connection."""

    def __init__(self, use: Callable[[], AbstractContextManager[apsw.Connection]]) -> None:
        self._use = use

    def counts(self, device: int, since: int, until: int) -> list[HourCounts]:
        """Return the hours of a device that begin in ``[since, until)``, oldest first."""
        query = (
            "SELECT start, received, stored, duplicate, rejected, discarded FROM device_hour "
            "WHERE device = ? AND start >= ? AND start < ? ORDER BY start"
        )
        with self._use() as db:
            return [HourCounts(*row) for row in db.execute(query, (device, since, until))]

    def counted_since(self, device: int) -> int | None:
        """Return when the first hour begins that has been counted of a device."""
        with self._use() as db:
            query = "SELECT min(start) FROM device_hour WHERE device = ?"
            found: int | None = db.execute(query, (device,)).get
            return found

    def forget_counts(self, devices: Sequence[int], until: int) -> None:
        """Delete the hours of these devices that begin before ``until``."""
        with self._use() as db, transaction(db):
            db.executemany(
                "DELETE FROM device_hour WHERE device = ? AND start < ?",
                [(device, until) for device in devices],
            )

    def away(self, since: int, until: int) -> list[tuple[int, int]]:
        """Return when in ``[since, until)`` the hub was not there, in the order of time."""
        query = (
            "SELECT max(since, ?1), min(until, ?2) FROM hub_away "
            "WHERE until > ?1 AND since < ?2 ORDER BY since"
        )
        with self._use() as db:
            return [(row[0], row[1]) for row in db.execute(query, (since, until))]


def add_counts(db: apsw.Connection, hour: int, counts: Mapping[int, Sequence[int]]) -> None:
    """Add counts by device to those of the hour that begins at ``hour``."""
    db.executemany(
        "INSERT INTO device_hour SELECT id, ?, ?, ?, ?, ?, ? FROM device WHERE id = ? "
        "ON CONFLICT (device, start) DO UPDATE SET received = received + excluded.received, "
        "stored = stored + excluded.stored, duplicate = duplicate + excluded.duplicate, "
        "rejected = rejected + excluded.rejected, discarded = discarded + excluded.discarded",
        ((hour, *added, device) for device, added in counts.items()),
    )


def note_away(db: apsw.Connection, entry: HubAway) -> None:
    """Note when the hub was not there; at ``until`` it is, so nothing goes on beyond that."""
    db.execute("DELETE FROM hub_away WHERE since >= ?", (entry.until,))
    db.execute("UPDATE hub_away SET until = ?1 WHERE until > ?1", (entry.until,))
    if entry.since < entry.until:
        db.execute("INSERT OR REPLACE INTO hub_away VALUES (?, ?)", (entry.since, entry.until))
        db.execute(
            "DELETE FROM hub_away WHERE since <= "
            "(SELECT since FROM hub_away ORDER BY since DESC LIMIT 1 OFFSET ?)",
            (AWAY_ROWS,),
        )


def note_spared(db: apsw.Connection, newest: Mapping[int, tuple[int, float]]) -> None:
    """Note time and value of readings by series that are not stored, unless later ones are."""
    db.executemany(
        "INSERT INTO spared_newest SELECT id, ?, ? FROM series WHERE id = ? "
        "ON CONFLICT (series) DO UPDATE SET time = excluded.time, value = excluded.value "
        "WHERE excluded.time >= time",
        ((time, value, series) for series, (time, value) in newest.items()),
    )


def newest_spared(db: apsw.Connection, device: int | None) -> dict[int, tuple[int, float]]:
    """Return time and value of the newest of the series of a device, or of all, by series."""
    query = (
        "SELECT series, time, value FROM spared_newest JOIN series ON id = series "
        "WHERE ?1 IS NULL OR device = ?1"
    )
    return {row[0]: (row[1], row[2]) for row in db.execute(query, (device,))}
