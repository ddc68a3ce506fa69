"""The tables of rollups in PostgreSQL; see :mod:`motehub.rolling`."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from math import nan
from typing import Any, Final

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
from motehub.stores._postgres_binary import COPY_END, COPY_HEADER, packed_rows
from motehub.stores._postgres_connection import Connection
from motehub.stores._postgres_states import PostgresStates

_COLUMNS: Final = "series, start, count, low, high, total, last_time, last"
_TYPES: Final = "qqqdddqd"
_STORED_AS: Final = {"text": "text_reading"}
_ROWS_AT_ONCE: Final = 20_000

STAGED_ROLLUPS: Final = [
    f"CREATE TEMPORARY TABLE staged_{tier} (LIKE reading_{tier}) ON COMMIT DELETE ROWS"
    for tier in TIERS
]
"""Makes the tables of a session through which rollups go: COPY itself can't add to a row."""

_GIVEN: Final = (
    "unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::float8[], %b::float8[], %b::float8[], "
    "%b::bigint[], %b::float8[])"
)


class PostgresRollups:
    """See :class:`motehub.rolling.Tables` and :class:`motehub.expiring.Tables`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    @property
    def states(self) -> PostgresStates:
        """Return the tables of states."""
        return PostgresStates(self._db)

    def unrolled(self) -> dict[int, int]:
        """Return the series that are rolled up only before a time."""
        return dict(self._db.execute("SELECT series, since FROM reading_unrolled").fetchall())

    def readings(self, series: int, since: int, until: int) -> NumberColumns:
        """Return the readings of a series in ``[since, until)``, oldest first."""
        rows = self._db.execute(
            "SELECT time, value FROM reading "
            "WHERE series = %s AND time >= %s AND time < %s ORDER BY time",
            (series, since, until),
            binary=True,
        ).fetchall()
        times, values = zip(*rows, strict=True) if rows else ((), ())
        return array("q", times), array("d", values)

    def first_reading(self, series: int, since: int) -> int | None:
        """Return the time of the first reading at ``since`` or later."""
        row = self._db.execute(
            "SELECT min(time) FROM reading WHERE series = %s AND time >= %s", (series, since)
        ).fetchone()
        return None if row is None or row[0] is None else int(row[0])

    def rollups(self, tier: str, series: int, since: int, until: int) -> list[Rollup]:
        """Return the rollups that begin in ``[since, until)``, oldest first."""
        query = (
            f"SELECT {_COLUMNS} FROM reading_{tier} "
            "WHERE series = %s AND start >= %s AND start < %s ORDER BY start"
        )
        rows: list[Rollup] = self._db.execute(
            query.encode(), (series, since, until), binary=True
        ).fetchall()
        return rows

    def columns(
        self, tier: str, series: int, since: int, until: int, limit: int
    ) -> RollupColumns | None:
        """Return the first rollups that begin in ``[since, until)``, if there are any."""
        query = (
            "SELECT start, count, low, high, coalesce(total, 'Infinity'), last, last_time "
            f"FROM reading_{tier} WHERE series = %s AND start >= %s AND start < %s "
            "ORDER BY start LIMIT %s"
        )
        rows = self._db.execute(
            query.encode(), (series, since, until, limit), binary=True
        ).fetchall()
        return columns_of(rows) if rows else None

    def sums(
        self, tier: str, series: int, since: int, until: int, grid: Grid
    ) -> RollupColumns | None:
        """Return what the rollups that begin in ``[since, until)`` come to, if there are any."""
        query = (
            "SELECT first, counts, lowest, highest, totals, own.last, own.last_time FROM ("
            "SELECT (start - %s::bigint) / %s::bigint AS bucket, min(start) AS first, "
            "max(start) AS newest, sum(count)::bigint AS counts, min(low) AS lowest, "
            "max(high) AS highest, "
            f"sum(CASE WHEN abs(total) < {SUMMABLE} THEN total ELSE 'Infinity' END) AS totals "
            f"FROM reading_{tier} WHERE series = %s AND start >= %s AND start < %s GROUP BY bucket"
            f") AS part JOIN reading_{tier} AS own ON own.series = %s AND own.start = newest "
            "ORDER BY bucket"
        )
        bindings = (grid.origin, grid.width, series, since, until, series)
        rows = self._db.execute(query.encode(), bindings, binary=True).fetchall()
        return columns_of(rows) if rows else None

    def start_after(
        self, tier: str, series: int, since: int, until: int, number: int
    ) -> int | None:
        """Return where the rollup begins that follows ``number`` others from ``since``."""
        query = (
            f"SELECT start FROM reading_{tier} WHERE series = %s AND start >= %s AND start < %s "
            "ORDER BY start LIMIT 1 OFFSET %s"
        )
        row = self._db.execute(query.encode(), (series, since, until, number)).fetchone()
        return None if row is None else int(row[0])

    def merge(self, tier: str, rollups: Sequence[Rollup]) -> None:
        """Add what is summed up of readings that are new."""
        with self._db.cursor().copy(f"COPY staged_{tier} FROM STDIN (FORMAT binary)") as copy:
            copy.write(COPY_HEADER)
            for start in range(0, len(rollups), _ROWS_AT_ONCE):
                some = zip(*rollups[start : start + _ROWS_AT_ONCE], strict=True)
                copy.write(packed_rows(*map(_column, _TYPES, some)))
            copy.write(COPY_END)
        own = f"reading_{tier}"
        total = f"{own}.total + excluded.total"
        query = (
            f"INSERT INTO {own} SELECT series, start, count, low, high, nullif(total, 'NaN'), "
            f"last_time, last FROM staged_{tier} ON CONFLICT (series, start) DO UPDATE SET "
            f"count = {own}.count + excluded.count, low = least({own}.low, excluded.low), "
            f"high = greatest({own}.high, excluded.high), "
            f"total = CASE WHEN abs({total}) < {LARGEST_TOTAL} THEN {total} END, "
            f"last = CASE WHEN excluded.last_time > {own}.last_time THEN excluded.last "
            f"ELSE {own}.last END, last_time = greatest({own}.last_time, excluded.last_time)"
        )
        self._db.execute(query.encode())

    def replace(self, tier: str, rollups: Sequence[Rollup]) -> None:
        """Put rollups in the place of those with the same beginning."""
        changes = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS.split(", ")[2:])
        query = (
            f"INSERT INTO reading_{tier} SELECT * FROM {_GIVEN} "
            f"ON CONFLICT (series, start) DO UPDATE SET {changes}"
        )
        if rollups:
            columns = zip(*rollups, strict=True)
            self._db.execute(query.encode(), [list(column) for column in columns])

    def forget(self, series: int, since: int, until: int) -> None:
        """Delete the rollups of all tiers that begin in ``[since, until)``."""
        for tier in TIERS:
            query = f"DELETE FROM reading_{tier} WHERE series = %s AND start >= %s AND start < %s"
            self._db.execute(query.encode(), (series, since, until))

    def settled(self) -> Settled:
        """Return how far hours and days have been made."""
        row = self._db.execute("SELECT until, next, series FROM reading_settled").fetchone()
        return Settled() if row is None else Settled(*row)

    def settle(self, settled: Settled) -> None:
        """Note how far hours and days have been made."""
        self._db.execute("DELETE FROM reading_settled")
        self._db.execute(
            "INSERT INTO reading_settled VALUES (%s, %s, %s)",
            (settled.until, settled.next, settled.series),
        )

    def kept(self, series: Iterable[int]) -> dict[int, Kept]:
        """Return what is deleted of these series."""
        rows = self._db.execute(
            "SELECT series, raw, minute, hour, day FROM reading_kept "
            "WHERE series = ANY(%s::bigint[])",
            (list(series),),
        ).fetchall()
        return {row[0]: Kept(*row[1:]) for row in rows}

    def keep(self, series: int, kept: Kept) -> None:
        """Note what is deleted of a series."""
        self._db.execute(
            "INSERT INTO reading_kept VALUES (%s, %s, %s, %s, %s) ON CONFLICT (series) DO UPDATE "
            "SET raw = excluded.raw, minute = excluded.minute, hour = excluded.hour, "
            "day = excluded.day",
            (series, kept.raw, kept.minute, kept.hour, kept.day),
        )

    def latest_edge(self) -> int:
        """Return the latest time before which readings of any series are deleted."""
        row = self._db.execute("SELECT max(raw) FROM reading_kept").fetchone()
        return NEVER if row is None or row[0] is None else int(row[0])

    def newest(self, table: str, series: int) -> int | None:
        """Return the time of the newest reading."""
        query = f"SELECT max(time) FROM {_STORED_AS.get(table, table)} WHERE series = %s"
        row = self._db.execute(query.encode(), (series,)).fetchone()
        return None if row is None or row[0] is None else int(row[0])

    def nth(self, table: str, series: int, until: int, number: int) -> int | None:
        """Return the time of a row before ``until``, of which the oldest has the number 0."""
        time = time_column(table)
        query = (
            f"SELECT {time} FROM {_STORED_AS.get(table, table)} WHERE series = %s AND {time} < %s "
            f"ORDER BY {time} LIMIT 1 OFFSET %s"
        )
        row = self._db.execute(query.encode(), (series, until, number)).fetchone()
        return None if row is None else int(row[0])

    def delete(self, table: str, series: int, until: int) -> int:
        """Delete the rows before ``until``; return how many there were."""
        stored_as, time = _STORED_AS.get(table, table), time_column(table)
        query = f"DELETE FROM {stored_as} WHERE series = %s AND {time} < %s"
        return self._db.execute(query.encode(), (series, until)).rowcount

    def first_minute(self, since: int) -> int | None:
        """Return the beginning of the first minute of all series at ``since`` or later."""
        row = self._db.execute(
            "SELECT min((SELECT min(start) FROM reading_minute "
            "WHERE series = known.id AND start >= %s)) FROM series AS known",
            (since,),
        ).fetchone()
        return None if row is None or row[0] is None else int(row[0])

    def series(self, after: int, limit: int) -> list[int]:
        """Return the next series, ascending."""
        query = "SELECT id FROM series WHERE id > %s ORDER BY id LIMIT %s"
        return [row[0] for row in self._db.execute(query, (after, limit))]

    def rollups_of_all(
        self, tier: str, after: int, upto: int, since: int, until: int
    ) -> list[Rollup]:
        """Return what ``rollups`` does of every series of ``(after, upto]``."""
        query = (
            # OFFSET 0 keeps it one stretch of the key for each series.
            "SELECT finer.* FROM (SELECT id FROM series WHERE id > %s AND id <= %s ORDER BY id) "
            f"AS known, LATERAL (SELECT {_COLUMNS} FROM reading_{tier} WHERE series = known.id "
            "AND start >= %s AND start < %s ORDER BY start OFFSET 0) AS finer "
            "ORDER BY known.id, finer.start"
        )
        rows: list[Rollup] = self._db.execute(
            query.encode(), (after, upto, since, until), binary=True
        ).fetchall()
        return rows

    def mark(self, series: int, until: int | None) -> None:
        """Note that a series is rolled up before ``until``, or as a whole (None)."""
        if until is None:
            self._db.execute("DELETE FROM reading_unrolled WHERE series = %s", (series,))
        else:
            self._db.execute(
                "UPDATE reading_unrolled SET since = %s WHERE series = %s", (until, series)
            )


def _column(code: str, values: Iterable[Any]) -> array[Any]:
    if code == "d":
        values = [nan if value is None else value for value in values]
    return array(code, values)


def begin_rebuild(db: Connection) -> None:
    """Note that no series is rolled up, unless some are not already."""
    db.execute(
        f"INSERT INTO reading_unrolled SELECT id, coalesce({FIRST_WHOLE_DAY}, {NEVER}) "
        "FROM series LEFT JOIN reading_kept ON reading_kept.series = series.id "
        "WHERE NOT EXISTS (SELECT 1 FROM reading_unrolled)".encode()
    )


def readings_left(db: Connection) -> int:
    """Return how many readings are not rolled up."""
    row = db.execute(
        "SELECT coalesce(sum((SELECT count(*) FROM reading WHERE series = todo.series "
        "AND time >= todo.since) + (SELECT count(*) FROM text_reading "
        "WHERE series = todo.series AND time >= todo.since)), 0)::bigint "
        "FROM reading_unrolled AS todo"
    ).fetchone()
    return int(row[0]) if row else 0


def oldest_reading(db: Connection) -> int | None:
    """Return the time of the oldest reading that is not the newest of its series."""
    row = db.execute(
        "SELECT min(oldest) FROM (SELECT "
        "(SELECT min(time) FROM reading WHERE series = known.id) AS oldest, "
        "(SELECT max(time) FROM reading WHERE series = known.id) AS newest "
        "FROM series AS known) AS ends WHERE oldest < newest"
    ).fetchone()
    return None if row is None or row[0] is None else int(row[0])
