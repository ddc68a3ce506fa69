"""The tables of states in SQLite; see :mod:`motehub.rolling_states`."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Sequence
from typing import Any

import apsw

from motehub.history_contract import NumberColumns, TextColumns
from motehub.model import Kind, Series
from motehub.rollups import TIERS
from motehub.states import StateRow


class SqliteStates:
    """See :class:`motehub.rolling_states.StateTables`."""

    def __init__(self, db: apsw.Connection) -> None:
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
            query = f"DELETE FROM state_{table} WHERE series = ?"
            self._db.executemany(query, [(one,) for one in series])

    def first_reading(self, series: int, since: int) -> int | None:
        """Return the time of the first text at ``since`` or later."""
        query = "SELECT min(time) FROM text WHERE series = ? AND time >= ?"
        found = self._db.execute(query, (series, since)).get
        return None if found is None else int(found)

    def rows(
        self, tier: str, series: int, since: int, until: int, limit: int = -1
    ) -> list[StateRow]:
        """Return the first ``limit`` rollups that begin in ``[since, until)``."""
        return list(
            self._db.execute(
                f"SELECT * FROM state_{tier} "
                "WHERE series = ? AND start >= ? AND start < ? ORDER BY start LIMIT ?",
                (series, since, until, limit),
            )
        )

    def rows_at(self, tier: str, places: Sequence[tuple[int, int]]) -> list[StateRow]:
        """Return the rollups of series that begin at these times."""
        query = f"SELECT * FROM state_{tier} WHERE series = ? AND start = ?"
        return list(self._db.executemany(query, places))

    def rows_of_all(
        self, tier: str, after: int, upto: int, since: int, until: int
    ) -> list[StateRow]:
        """Return what ``rows`` does of every series of ``(after, upto]``."""
        return list(
            self._db.execute(
                f"SELECT finer.* FROM series CROSS JOIN state_{tier} AS finer "
                "ON finer.series = series.id AND finer.start >= ?3 AND finer.start < ?4 "
                "WHERE series.id > ?1 AND series.id <= ?2 ORDER BY series.id, finer.start",
                (after, upto, since, until),
            )
        )

    def replace(self, tier: str, rows: Sequence[StateRow]) -> None:
        """Put rollups in the place of those with the same beginning."""
        query = f"INSERT OR REPLACE INTO state_{tier} VALUES (?,?,?,?,?,?,?,?,?)"
        self._db.executemany(query, rows)

    def forget(self, series: int, since: int, until: int) -> None:
        """Delete the rollups of all tiers that begin in ``[since, until)``."""
        for tier in TIERS:
            self._db.execute(
                f"DELETE FROM state_{tier} WHERE series = ? AND start >= ? AND start < ?",
                (series, since, until),
            )

    def first_minute(self, since: int) -> int | None:
        """Return the beginning of the first minute of all series at ``since`` or later."""
        found = self._db.execute(
            "SELECT min((SELECT min(start) FROM state_minute "
            "WHERE series = known.id AND start >= ?)) FROM series AS known",
            (since,),
        ).get
        return None if found is None else int(found)

    def value_before(self, series: Series, time: int) -> tuple[int, float | str] | None:
        """Return time and value of the last reading before ``time``."""
        table = "text" if series.kind is Kind.TEXT else "reading"
        query = (
            f"SELECT time, value FROM {table} WHERE series = ? AND time < ? "
            "ORDER BY time DESC LIMIT 1"
        )
        found: tuple[int, float | str] | None = self._db.execute(
            query, (series.id, time)
        ).fetchone()
        return found

    def last_before(self, tier: str, series: int, time: int) -> tuple[int, str] | None:
        """Return time and name of the last state of the last rollup that ends before ``time``."""
        query = (
            f"SELECT last_time, last FROM state_{tier} WHERE series = ? AND start < ? "
            "AND last_time < ? ORDER BY start DESC LIMIT 1"
        )
        found: tuple[int, str] | None = self._db.execute(query, (series, time, time)).fetchone()
        return found

    def texts_in(self, series: int, since: int, until: int) -> TextColumns:
        """Return the texts of a series in ``[since, until)``."""
        times, values = self._read("text", series, since, until)
        return times, list(values)

    def numbers_in(self, series: int, since: int, until: int) -> NumberColumns:
        """Return the numbers of a series in ``[since, until)``."""
        times, values = self._read("reading", series, since, until)
        return times, array("d", values)

    def has_states(self, series: int) -> bool:
        """Tell whether numbers of a series have never been anything but states."""
        query = "SELECT 1 FROM state_number WHERE series = ?"
        return self._db.execute(query, (series,)).get is not None

    def _read(
        self, table: str, series: int, since: int, until: int
    ) -> tuple[array[int], Sequence[Any]]:
        rows = list(
            self._db.execute(
                f"SELECT time, value FROM {table} "
                "WHERE series = ? AND time >= ? AND time < ? ORDER BY time",
                (series, since, until),
            )
        )
        times, values = zip(*rows, strict=True) if rows else ((), ())
        return array("q", times), values
