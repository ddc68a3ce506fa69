"""Months of readings that are deleted as wholes: the partition goes, and its file with it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from motehub.model import MICROSECONDS
from motehub.rollups import NEVER
from motehub.stores._postgres_connection import Connection
from motehub.stores._postgres_partitions import bounds_of
from motehub.stores._postgres_rollups import PostgresRollups

_PARTITION: Final = re.compile(r"reading_(\d{4})_(\d{2})")

# Years of which datetime has no idea have no partition of their own either.
_FIRST: Final = 946_684_800 * MICROSECONDS
_END: Final = 4_102_444_800 * MICROSECONDS

# Whoever reads the table for long is waited for at another time.
_PATIENCE: Final = "SET LOCAL lock_timeout = '500ms'"


def month_of(time: int) -> int:
    """Return when the month of a time (µs) began."""
    if not _FIRST <= time < _END:
        return _FIRST if time < _FIRST else _END
    moment = datetime.fromtimestamp(time // MICROSECONDS, UTC)
    return int(moment.replace(day=1, hour=0, minute=0, second=0).timestamp()) * MICROSECONDS


def drop_month(db: Connection, until: int) -> bool:
    """Delete the oldest month that ends at ``until`` or before; tell whether there was one.

    The newest reading of each series stays. A month of series that are not summed up yet stays
    as a whole.
    """
    names = db.execute(
        "SELECT child.relname FROM pg_inherits "
        "JOIN pg_class AS child ON child.oid = inhrelid WHERE inhparent = 'reading'::regclass "
        "ORDER BY child.relname"
    ).fetchall()
    for (name,) in names:
        found = _PARTITION.fullmatch(name)
        if found is None:
            continue
        _, end = bounds_of(datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC))
        if end > until:
            return False
        if _drop(db, name, end):
            return True
    return False


def _drop(db: Connection, name: str, end: int) -> bool:
    with db.transaction():
        db.execute("SELECT position FROM cursor WHERE consumer = 'history' FOR UPDATE")
        db.execute(_PATIENCE)
        present = [
            row[0]
            for row in db.execute(
                f"SELECT id FROM series WHERE EXISTS (SELECT 1 FROM {name} "
                "WHERE series = series.id)".encode()
            )
        ]
        tables = PostgresRollups(db)
        if not tables.unrolled().keys().isdisjoint(present):
            return False
        newest = db.execute(
            f"SELECT last.series, last.time, last.value FROM unnest(%s::bigint[]) AS known (id), "
            f"LATERAL (SELECT * FROM {name} AS one WHERE one.series = known.id "
            "ORDER BY time DESC LIMIT 1) AS last WHERE NOT EXISTS "
            "(SELECT 1 FROM reading WHERE reading.series = known.id AND time >= %s)".encode(),
            (present, end),
        ).fetchall()
        some = db.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM {name} LIMIT %s) AS first_rows".encode(),
            (len(newest) + 1,),
        ).fetchone()
        if some is not None and 0 < some[0] <= len(newest):
            return False
        db.execute(
            "INSERT INTO reading_kept SELECT id, %(end)s, %(never)s, %(never)s, %(never)s "
            "FROM unnest(%(present)s::bigint[]) AS known (id) ON CONFLICT (series) DO UPDATE "
            "SET raw = greatest(reading_kept.raw, excluded.raw)",
            {"present": present, "end": end, "never": NEVER},
        )
        if newest:
            db.execute(f"TRUNCATE {name}".encode())
            db.cursor().executemany(f"INSERT INTO {name} VALUES (%s, %s, %s)".encode(), newest)
        else:
            db.execute(f"DROP TABLE {name}".encode())
    return True
