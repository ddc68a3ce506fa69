"""The tables of states in PostgreSQL; see :mod:`motehub.rolling_states`."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Sequence
from typing import Any, Final

from motehub.history_contract import NumberColumns, TextColumns
from motehub.model import Kind, Series
from motehub.rollups import TIERS
from motehub.states import StateRow
from motehub.stores._postgres_connection import Connection

_COLUMNS: Final = "series, start, count, changes, first_time, first, last_time, last, durations"


class PostgresStates:
    """See :class:`motehub.rolling_states.StateTables`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def texts(self) -> set[int]:
        """Return the series of texts."""
        return {row[0] for row in self._db.execute("SELECT id FROM series WHERE kind = 'text'")}

    def numbers(self) -> set[int]:
        """Return the series of numbers that have never been anything but states."""
        return {row[0] for row in self._db.execute("SELECT series FROM state_number")}

    def drop(self, series: Collection[int]) -> None:
        """Note that series of numbers have no states, and delete what was summed up of them."""
        for table in ("number", *TIERS):
            query = f"DELETE FROM state_{table} WHERE series = ANY(%s::bigint[])"
            self._db.execute(query.encode(), (list(series),))

    def first_reading(self, series: int, since: int) -> int | None:
        """Return the time of the first text at ``since`` or later."""
        query = "SELECT min(time) FROM text_reading WHERE series = %s AND time >= %s"
        row = self._db.execute(query, (series, since)).fetchone()
        return None if row is None or row[0] is None else int(row[0])

    def rows(
        self, tier: str, series: int, since: int, until: int, limit: int | None = None
    ) -> list[StateRow]:
        """Return the first ``limit`` rollups that begin in ``[since, until)``."""
        query = (
            f"SELECT {_COLUMNS} FROM state_{tier} "
            "WHERE series = %s AND start >= %s AND start < %s ORDER BY start LIMIT %s"
        )
        found: list[StateRow] = self._db.execute(
            query.encode(), (series, since, until, limit)
        ).fetchall()
        return found

    def rows_at(self, tier: str, places: Sequence[tuple[int, int]]) -> list[StateRow]:
        """Return the rollups of series that begin at these times."""
        if not places:
            return []
        query = (
            # OFFSET 0 keeps it a look into the key for each.
            "SELECT own.* FROM unnest(%s::bigint[], %s::bigint[]) AS place (series, start), "
            f"LATERAL (SELECT {_COLUMNS} FROM state_{tier} WHERE series = place.series "
            "AND start = place.start OFFSET 0) AS own"
        )
        columns = [list(column) for column in zip(*places, strict=True)]
        found: list[StateRow] = self._db.execute(query.encode(), columns).fetchall()
        return found

    def rows_of_all(
        self, tier: str, after: int, upto: int, since: int, until: int
    ) -> list[StateRow]:
        """Return what ``rows`` does of every series of ``(after, upto]``."""
        query = (
            # OFFSET 0 keeps it one stretch of the key for each series.
            "SELECT finer.* FROM (SELECT id FROM series WHERE id > %s AND id <= %s ORDER BY id) "
            f"AS known, LATERAL (SELECT {_COLUMNS} FROM state_{tier} WHERE series = known.id "
            "AND start >= %s AND start < %s ORDER BY start OFFSET 0) AS finer "
            "ORDER BY known.id, finer.start"
        )
        found: list[StateRow] = self._db.execute(
            query.encode(), (after, upto, since, until)
        ).fetchall()
        return found

    def replace(self, tier: str, rows: Sequence[StateRow]) -> None:
        """Put rollups in the place of those with the same beginning."""
        changes = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS.split(", ")[2:])
        query = (
            f"INSERT INTO state_{tier} SELECT * FROM unnest(%s::bigint[], %s::bigint[], "
            "%s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::bigint[], %s::text[], "
            f"%s::text[]) ON CONFLICT (series, start) DO UPDATE SET {changes}"
        )
        if rows:
            columns = zip(*rows, strict=True)
            self._db.execute(query.encode(), [list(column) for column in columns])

    def forget(self, series: int, since: int, until: int) -> None:
        """Delete the rollups of all tiers that begin in ``[since, until)``."""
        for tier in TIERS:
            query = f"DELETE FROM state_{tier} WHERE series = %s AND start >= %s AND start < %s"
            self._db.execute(query.encode(), (series, since, until))

    def first_minute(self, since: int) -> int | None:
        """Return the beginning of the first minute of all series at ``since`` or later."""
        row = self._db.execute(
            "SELECT min((SELECT min(start) FROM state_minute "
            "WHERE series = known.id AND start >= %s)) FROM series AS known",
            (since,),
        ).fetchone()
        return None if row is None or row[0] is None else int(row[0])

    def value_before(self, series: Series, time: int) -> tuple[int, float | str] | None:
        """Return time and value of the last reading before ``time``."""
        table = "text_reading" if series.kind is Kind.TEXT else "reading"
        query = (
            f"SELECT time, value FROM {table} WHERE series = %s AND time < %s "
            "ORDER BY time DESC LIMIT 1"
        )
        found: tuple[int, float | str] | None = self._db.execute(
            query.encode(), (series.id, time)
        ).fetchone()
        return found

    def last_before(self, tier: str, series: int, time: int) -> tuple[int, str] | None:
        """Return time and name of the last state of the last rollup that ends before ``time``."""
        query = (
            f"SELECT last_time, last FROM state_{tier} WHERE series = %s AND start < %s "
            "AND last_time < %s ORDER BY start DESC LIMIT 1"
        )
        found: tuple[int, str] | None = self._db.execute(
            query.encode(), (series, time, time)
        ).fetchone()
        return found

    def texts_in(self, series: int, since: int, until: int) -> TextColumns:
        """Return the texts of a series in ``[since, until)``."""
        times, values = self._read("text_reading", series, since, until)
        return times, list(values)

    def numbers_in(self, series: int, since: int, until: int) -> NumberColumns:
        """Return the numbers of a series in ``[since, until)``."""
        times, values = self._read("reading", series, since, until)
        return times, array("d", values)

    def has_states(self, series: int) -> bool:
        """Tell whether numbers of a series have never been anything but states."""
        query = "SELECT 1 FROM state_number WHERE series = %s"
        return self._db.execute(query, (series,)).fetchone() is not None

    def _read(
        self, table: str, series: int, since: int, until: int
    ) -> tuple[array[int], Sequence[Any]]:
        query = (
            f"SELECT time, value FROM {table} "
            "WHERE series = %s AND time >= %s AND time < %s ORDER BY time"
        )
        rows = self._db.execute(query.encode(), (series, since, until), binary=True).fetchall()
        times, values = zip(*rows, strict=True) if rows else ((), ())
        return array("q", times), values
