"""A whole history, table by table, out of and into SQLite."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from motehub.tables import PAGE, TABLES, Row, page_query


def page(db: apsw.Connection, table: str, after: Row | None) -> list[Row]:
    """Return the next rows of ``table`` in the order of its key; none when there are no more."""
    query = page_query(table, table, "?", first=after is None)
    return list(db.execute(query, (*(after or ()), PAGE)))


def count(db: apsw.Connection, table: str) -> int:
    """Return how many rows a table has."""
    return int(db.execute(f"SELECT count(*) FROM {table}").get)


def insert(db: apsw.Connection, table: str, rows: Sequence[Row]) -> None:
    """Insert rows that are not there yet."""
    columns = TABLES[table].columns
    marks = ", ".join("?" * len(columns))
    db.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)


def clear(db: apsw.Connection) -> None:
    """Delete every row of every table."""
    for table in reversed(TABLES):
        db.execute(f"DELETE FROM {table}")


def set_position(db: apsw.Connection, position: int) -> None:
    """Put the cursor to ``position``, of whatever journal comes next."""
    db.execute(
        "UPDATE cursor SET position = ?, journal = '' WHERE consumer = 'history'", (position,)
    )
