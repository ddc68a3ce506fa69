"""The tables of rollups in SQLite; see :mod:`motehub.rolling`."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final

import apsw

from motehub.expiring import FIRST_WHOLE_DAY, time_column
from motehub.history_contract import NumberColumns
from motehub.rollups import (
    LARGEST_TOTAL,
    NEVER,
    SUMMABLE,
    TIERS,
    Grid,
    Kept,
    Rollup,
    RollupColumns,
    Settled,
    columns_of,
)
from motehub.stores._sqlite_states import SqliteStates

_ROWS_AT_ONCE: Final = 50
_MERGED: Final = (
    " ON CONFLICT (series, start) DO UPDATE SET count = count + excluded.count, "
    "low = min(low, excluded.low), high = max(high, excluded.high), "
    f"total = CASE WHEN abs(total + excluded.total) < {LARGEST_TOTAL} "
    "THEN total + excluded.total END, "
    "last = CASE WHEN excluded.last_time > last_time THEN excluded.last ELSE last END, "
    "last_time = max(last_time, excluded.last_time)"
)


class SqliteRollups:
    """See :class:`motehub.rolling.Tables` and :class:`motehub.expiring.Tables`."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    @property
    def states(self) -> SqliteStates:
        """Return the tables of states."""
        return SqliteStates(self._db)

    def unrolled(self) -> dict[int, int]:
        """Return the series that are rolled up only before a time."""
        return dict(self._db.execute("SELECT series, since FROM reading_unrolled"))

    def readings(self, series: int, since: int, until: int) -> NumberColumns:
        """Return the readings of a series in ``[since, until)``, oldest first."""
        rows = list(
            self._db.execute(
                "SELECT time, value FROM reading "
                "WHERE series = ? AND time >= ? AND time < ? ORDER BY time",
                (series, since, until),
            )
        )
        times, values = zip(*rows, strict=True) if rows else ((), ())
        return array("q", times), array("d", values)

    def first_reading(self, series: int, since: int) -> int | None:
        """Return the time of the first reading at ``since`` or later."""
        found = self._db.execute(
            "SELECT min(time) FROM reading WHERE series = ? AND time >= ?", (series, since)
        ).get
        return None if found is None else int(found)

    def rollups(self, tier: str, series: int, since: int, until: int) -> list[Rollup]:
        """Return the rollups that begin in ``[since, until)``, oldest first."""
        return list(
            self._db.execute(
                f"SELECT * FROM reading_{tier} "
                "WHERE series = ? AND start >= ? AND start < ? ORDER BY start",
                (series, since, until),
            )
        )

    def columns(
        self, tier: str, series: int, since: int, until: int, limit: int
    ) -> RollupColumns | None:
        """Return the first rollups that begin in ``[since, until)``, if there are any."""
        rows: list[tuple[Any, ...]] = list(
            self._db.execute(
                "SELECT start, count, low, high, coalesce(total, 9e999), last, last_time "
                f"FROM reading_{tier} WHERE series = ? AND start >= ? AND start < ? "
                "ORDER BY start LIMIT ?",
                (series, since, until, limit),
            )
        )
        return columns_of(rows) if rows else None

    def sums(
        self, tier: str, series: int, since: int, until: int, grid: Grid
    ) -> RollupColumns | None:
        """Return what the rollups that begin in ``[since, until)`` come to, if there are any."""
        rows: list[tuple[Any, ...]] = list(
            self._db.execute(
                "SELECT first, counts, lowest, highest, totals, own.last, own.last_time FROM ("
                "SELECT (start - ?4) / ?5 AS bucket, min(start) AS first, max(start) AS newest, "
                "sum(count) AS counts, min(low) AS lowest, max(high) AS highest, "
                f"total(CASE WHEN abs(total) < {SUMMABLE} THEN total ELSE 9e999 END) AS totals "
                f"FROM reading_{tier} WHERE series = ?1 AND start >= ?2 AND start < ?3 "
                f"GROUP BY bucket) CROSS JOIN reading_{tier} AS own "
                "ON own.series = ?1 AND own.start = newest ORDER BY bucket",
                (series, since, until, grid.origin, grid.width),
            )
        )
        return columns_of(rows) if rows else None

    def start_after(
        self, tier: str, series: int, since: int, until: int, number: int
    ) -> int | None:
        """Return where the rollup begins that follows ``number`` others from ``since``."""
        found = self._db.execute(
            f"SELECT start FROM reading_{tier} WHERE series = ? AND start >= ? AND start < ? "
            "ORDER BY start LIMIT 1 OFFSET ?",
            (series, since, until, number),
        ).get
        return None if found is None else int(found)

    def merge(self, tier: str, rollups: Sequence[Rollup]) -> None:
        """Add what is summed up of readings that are new."""
        whole = len(rollups) - len(rollups) % _ROWS_AT_ONCE
        rows = ",".join(["(?,?,?,?,?,?,?,?)"] * _ROWS_AT_ONCE)
        many = f"INSERT INTO reading_{tier} VALUES {rows}{_MERGED}"
        for start in range(0, whole, _ROWS_AT_ONCE):
            some = rollups[start : start + _ROWS_AT_ONCE]
            self._db.execute(many, tuple(chain.from_iterable(some)))
        single = f"INSERT INTO reading_{tier} VALUES (?,?,?,?,?,?,?,?){_MERGED}"
        self._db.executemany(single, rollups[whole:])

    def replace(self, tier: str, rollups: Sequence[Rollup]) -> None:
        """Put rollups in the place of those with the same beginning."""
        self._db.executemany(
            f"INSERT OR REPLACE INTO reading_{tier} VALUES (?,?,?,?,?,?,?,?)", rollups
        )

    def forget(self, series: int, since: int, until: int) -> None:
        """Delete the rollups of all tiers that begin in ``[since, until)``."""
        for tier in TIERS:
            self._db.execute(
                f"DELETE FROM reading_{tier} WHERE series = ? AND start >= ? AND start < ?",
                (series, since, until),
            )

    def settled(self) -> Settled:
        """Return how far hours and days have been made."""
        row = self._db.execute("SELECT until, next, series FROM reading_settled").fetchone()
        return Settled() if row is None else Settled(*row)

    def settle(self, settled: Settled) -> None:
        """Note how far hours and days have been made."""
        self._db.execute("DELETE FROM reading_settled")
        self._db.execute(
            "INSERT INTO reading_settled VALUES (?, ?, ?)",
            (settled.until, settled.next, settled.series),
        )

    def kept(self, series: Iterable[int]) -> dict[int, Kept]:
        """Return what is deleted of these series."""
        found = {}
        for one in series:
            query = "SELECT raw, minute, hour, day FROM reading_kept WHERE series = ?"
            row = self._db.execute(query, (one,)).fetchone()
            if row is not None:
                found[one] = Kept(*row)
        return found

    def keep(self, series: int, kept: Kept) -> None:
        """Note what is deleted of a series."""
        self._db.execute(
            "INSERT OR REPLACE INTO reading_kept VALUES (?, ?, ?, ?, ?)",
            (series, kept.raw, kept.minute, kept.hour, kept.day),
        )

    def latest_edge(self) -> int:
        """Return the latest time before which readings of any series are deleted."""
        found = self._db.execute("SELECT max(raw) FROM reading_kept").get
        return NEVER if found is None else int(found)

    def newest(self, table: str, series: int) -> int | None:
        """Return the time of the newest reading."""
        found = self._db.execute(f"SELECT max(time) FROM {table} WHERE series = ?", (series,)).get
        return None if found is None else int(found)

    def nth(self, table: str, series: int, until: int, number: int) -> int | None:
        """Return the time of a row before ``until``, of which the oldest has the number 0."""
        time = time_column(table)
        found = self._db.execute(
            f"SELECT {time} FROM {table} WHERE series = ? AND {time} < ? "
            f"ORDER BY {time} LIMIT 1 OFFSET ?",
            (series, until, number),
        ).get
        return None if found is None else int(found)

    def delete(self, table: str, series: int, until: int) -> int:
        """Delete the rows before ``until``; return how many there were."""
        before = self._db.total_changes()
        time = time_column(table)
        self._db.execute(f"DELETE FROM {table} WHERE series = ? AND {time} < ?", (series, until))
        return self._db.total_changes() - before

    def first_minute(self, since: int) -> int | None:
        """Return the beginning of the first minute of all series at ``since`` or later."""
        found = self._db.execute(
            "SELECT min((SELECT min(start) FROM reading_minute "
            "WHERE series = known.id AND start >= ?)) FROM series AS known",
            (since,),
        ).get
        return None if found is None else int(found)

    def series(self, after: int, limit: int) -> list[int]:
        """Return the next series, ascending."""
        query = "SELECT id FROM series WHERE id > ? ORDER BY id LIMIT ?"
        return [row[0] for row in self._db.execute(query, (after, limit))]

    def rollups_of_all(
        self, tier: str, after: int, upto: int, since: int, until: int
    ) -> list[Rollup]:
        """Return what ``rollups`` does of every series of ``(after, upto]``."""
        return list(
            self._db.execute(
                # The outer table first: of each series a stretch of the key.
                f"SELECT finer.* FROM series CROSS JOIN reading_{tier} AS finer "
                "ON finer.series = series.id AND finer.start >= ?3 AND finer.start < ?4 "
                "WHERE series.id > ?1 AND series.id <= ?2 ORDER BY series.id, finer.start",
                (after, upto, since, until),
            )
        )

    def mark(self, series: int, until: int | None) -> None:
        """Note that a series is rolled up before ``until``, or as a whole (None)."""
        if until is None:
            self._db.execute("DELETE FROM reading_unrolled WHERE series = ?", (series,))
        else:
            self._db.execute(
                "UPDATE reading_unrolled SET since = ? WHERE series = ?", (until, series)
            )


def begin_rebuild(db: apsw.Connection) -> None:
    """Note that no series is rolled up, unless some are not already."""
    db.execute(
        f"INSERT INTO reading_unrolled SELECT id, coalesce({FIRST_WHOLE_DAY}, {NEVER}) "
        "FROM series LEFT JOIN reading_kept ON reading_kept.series = series.id "
        "WHERE NOT EXISTS (SELECT 1 FROM reading_unrolled)"
    )


def readings_left(db: apsw.Connection) -> int:
    """Return how many readings are not rolled up."""
    return int(
        db.execute(
            "SELECT coalesce(sum((SELECT count(*) FROM reading WHERE series = todo.series "
            "AND time >= todo.since) + (SELECT count(*) FROM text WHERE series = todo.series "
            "AND time >= todo.since)), 0) FROM reading_unrolled AS todo"
        ).get
    )


def oldest_reading(db: apsw.Connection) -> int | None:
    """Return the time of the oldest reading that is not the newest of its series."""
    found = db.execute(
        "SELECT min(oldest) FROM (SELECT "
        "(SELECT min(time) FROM reading WHERE series = known.id) AS oldest, "
        "(SELECT max(time) FROM reading WHERE series = known.id) AS newest "
        "FROM series AS known) WHERE oldest < newest"
    ).get
    return None if found is None else int(found)
