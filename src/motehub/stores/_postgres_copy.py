"""A whole history, table by table, out of and into PostgreSQL."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

from motehub.stores._postgres_binary import COPY_END, COPY_HEADER, packed_rows
from motehub.stores._postgres_connection import Connection
from motehub.stores._postgres_partitions import make_partitions
from motehub.tables import PAGE, TABLES, Row, page_query

_NAMES: Final = {"text": "text_reading"}
_NUMBERS: Final = ("reading", "held_reading")
# As SQLite compares them: by their bytes, not as a language orders them.
_BY_BYTES: Final = {"identity": '(SELECT identity COLLATE "C", device FROM identity) AS identity'}


def page(db: Connection, table: str, after: Row | None) -> list[Row]:
    """Return the next rows of ``table`` in the order of its key; none when there are no more."""
    stored_as = _BY_BYTES.get(table, _NAMES.get(table, table))
    query = page_query(table, stored_as, "%s", first=after is None)
    return db.execute(query.encode(), (*(after or ()), PAGE), binary=True).fetchall()


def count(db: Connection, table: str) -> int:
    """Return how many rows a table has."""
    row = db.execute(f"SELECT count(*) FROM {_NAMES.get(table, table)}".encode()).fetchone()
    return int(row[0]) if row else 0


def insert(db: Connection, table: str, rows: Sequence[Row]) -> None:
    """Insert rows that are not there yet, in the order of their key."""
    columns = TABLES[table].columns
    into = f"COPY {_NAMES.get(table, table)} ({', '.join(columns)}) FROM STDIN"
    if table in _NUMBERS:
        _insert_numbers(db, table, into, rows)
        return
    with db.cursor().copy(into.encode()) as copy:
        for row in rows:
            copy.write_row(row)
    if columns[0] == "id" and table in ("event", "rejected"):
        # Ids were given; the next one is to come after them.
        db.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), %s)".encode(), (rows[-1][0],)
        )


def clear(db: Connection) -> None:
    """Delete every row of every table."""
    names = ", ".join(_NAMES.get(table, table) for table in TABLES)
    db.execute(f"TRUNCATE {names} RESTART IDENTITY".encode())


def set_position(db: Connection, position: int) -> None:
    """Put the cursor to ``position``, of whatever journal comes next."""
    db.execute(
        "UPDATE cursor SET position = %s, journal = '' WHERE consumer = 'history'", (position,)
    )


def _insert_numbers(db: Connection, table: str, into: str, rows: Sequence[Row]) -> None:
    series, times, values = zip(*rows, strict=True)
    if table == "reading":
        make_partitions(db, [(array("q", sorted(times)), ())])
    with db.cursor().copy(f"{into} (FORMAT binary)".encode()) as copy:
        copy.write(COPY_HEADER)
        copy.write(packed_rows(array("q", series), array("q", times), array("d", values)))
        copy.write(COPY_END)
