"""Reads a table of a PostgreSQL database that is not motehub's, as of one moment, in pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, LiteralString

from motehub.errors import OwnerError, StorageError

try:
    import psycopg
    from psycopg import sql
except ImportError as error:
    raise OwnerError(
        f"The PostgreSQL driver can't be loaded ({error}). "
        "Install it with: pip install 'motehub[postgres]'"
    ) from error

_CONNECT_SECONDS: Final = 10


class PostgresRows:
    """The ``columns`` of ``table`` in the database ``url``, as texts.

    Raises:
        OwnerError: there is no such table, or it has not these columns.
        StorageError: the server can't be reached, or refuses.
    """

    def __init__(self, url: str, table: str, columns: Sequence[str]) -> None:
        self._table = table
        self._columns = columns
        with self._plain_errors():
            self._db = psycopg.connect(url, connect_timeout=_CONNECT_SECONDS)
            self._db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            # As texts, since psycopg has no object for infinity, or for a year before 1.
            self._db.execute("SET LOCAL datestyle = 'ISO'")
            self._db.execute(self._query("LIMIT 0"))

    def total(self) -> int | None:
        """Return how many rows the server believes there are."""
        with self._plain_errors():
            row = self._db.execute(
                "SELECT reltuples FROM pg_class WHERE oid = to_regclass(%s)", (self._table,)
            ).fetchone()
        return int(row[0]) if row and row[0] > 0 else None

    def pages(self, size: int) -> Iterator[Sequence[Sequence[object]]]:
        """Yield all rows in the order in which they lie there."""
        with self._plain_errors(), self._db.cursor(name="motehub_import") as cursor:
            cursor.execute(self._query(""))
            while rows := cursor.fetchmany(size):
                yield rows

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def _query(self, end: LiteralString) -> sql.Composed:
        columns = sql.SQL(", ").join(
            sql.SQL("{}::text").format(sql.Identifier(one)) for one in self._columns
        )
        return sql.SQL("SELECT {} FROM {} {}").format(
            columns, sql.Identifier(self._table), sql.SQL(end)
        )

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            raise OwnerError(
                f"The database has no table {self._table} with the columns "
                f"{', '.join(self._columns)}: is it the right one?"
            ) from error
        except psycopg.Error as error:
            detail = " ".join(str(error).split("\n", 1)[0].split())
            raise StorageError(f"The database can't be read: {detail}.") from error
