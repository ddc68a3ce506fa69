"""Reads a table or view of an SQLite file in pages, beside whoever writes it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import apsw
import msgspec

from motehub.errors import OwnerError
from motehub.reports.original import BUSY_TIMEOUT, LONGEST_CELL, plain_error
from motehub.transfer.pieces import Place

Cells = tuple["apsw.SQLiteValue", ...]


class Page(msgspec.Struct, frozen=True):
    """Rows of a table; ``after`` is the place of the last one, where rows have places."""

    rows: list[Cells]
    after: Place | None


class SqliteRows:
    """The table or view ``table`` of the file ``path``.

    Raises:
        OwnerError: there is no such file, no SQLite database, or no such table in it.
        StorageError: the file can't be read.
    """

    def __init__(self, path: Path, table: str, columns: int) -> None:
        """See that ``table`` has at least so many ``columns``."""
        if not path.is_file():
            raise OwnerError(f"There is no file {path}: check the name and the folder.")
        self._path = path
        self._table = table
        with self._plain_errors():
            self._db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            self._db.set_busy_timeout(BUSY_TIMEOUT)
            self._db.limit(apsw.SQLITE_LIMIT_LENGTH, LONGEST_CELL)
            shape = self._db.execute(
                "SELECT ncol, type = 'table' AND NOT wr FROM pragma_table_list(?)", (table,)
            ).fetchone()
        if shape is None:
            raise OwnerError(f"{path} has no table or view {table}: is it the right file?")
        if int(str(shape[0])) < columns:
            raise OwnerError(
                f"{table} in {path} has {shape[0]} columns, and {columns} are needed: is it the "
                "right file?"
            )
        self._has_places = bool(shape[1])

    def total(self) -> int | None:
        """Return how many rows a table has; a view may have no end."""
        if not self._has_places:
            return None
        with self._plain_errors():
            return int(self._db.execute(f"SELECT count(*) FROM {self._table}").get)  # noqa: S608

    def pages(self, after: Place | None, size: int) -> Iterator[Page]:
        """Yield all rows, or those after a place where the same row is still found."""
        with self._plain_errors():
            if self._has_places:
                yield from self._pages_of_table(after, size)
            else:
                rows = self._db.execute(f"SELECT * FROM {self._table}")  # noqa: S608
                while page := list(islice(rows, size)):
                    yield Page(page, None)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _pages_of_table(self, after: Place | None, size: int) -> Iterator[Page]:
        """Read in parts, each a query of its own: the program that writes is not held up."""
        query = f"SELECT rowid, * FROM {self._table} WHERE rowid {{}} ORDER BY rowid LIMIT ?"  # noqa: S608
        last = _FIRST
        if after is not None:
            row = self._db.execute(query.format("= ?"), (after.row, 1)).fetchone()
            if row is not None and _digest(row) == after.digest:
                last = after.row
        where = "> ?" if last > _FIRST else ">= ?"
        while found := list(self._db.execute(query.format(where), (last, size))):
            last, where = int(str(found[-1][0])), "> ?"
            yield Page([row[1:] for row in found], Place(last, _digest(found[-1])))

    @contextlib.contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            raise plain_error(self._path, error) from error


def tables_of(path: Path) -> set[str]:
    """Return the tables and views of an SQLite file; nothing where it is none."""
    try:
        with contextlib.closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
            return {str(name) for (name,) in db.execute("SELECT name FROM sqlite_schema")}
    except apsw.Error:
        return set()


_FIRST: Final = -(2**63)


def _digest(row: Cells) -> str:
    return hashlib.blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
