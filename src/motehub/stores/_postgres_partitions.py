"""The partitions of readings in PostgreSQL, one for each month."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from motehub.model import MICROSECONDS
from motehub.stores._postgres_connection import Connection

# Whole months of UTC have a partition each, between the two for what lies outside.
_FIRST_MONTH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_END_OF_MONTHS: Final = datetime(2100, 1, 1, tzinfo=UTC)


def make_partitions(db: Connection, columns: Iterable[tuple[array[int], Any]]) -> None:
    """Make the partitions that are not there yet for columns of readings, ascending in time."""
    names = {f"reading_{month:%Y_%m}": month for month in sorted(_months(columns))}
    missing = db.execute(
        "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NULL",
        (list(names),),
    ).fetchall()
    for (name,) in missing:
        begin, end = bounds_of(names[name])
        # Made first and attached then: other than PARTITION OF, that keeps no reader waiting.
        db.execute(f"CREATE TABLE {name} (LIKE reading INCLUDING ALL)")
        db.execute(
            f"ALTER TABLE reading ATTACH PARTITION {name} FOR VALUES FROM ({begin}) TO ({end})"
        )


def bounds_of(month: datetime) -> tuple[int, int]:
    """Return where a month that begins at ``month`` begins and ends (µs)."""
    return _microseconds(month), _microseconds(_next(month))


def _months(columns: Iterable[tuple[array[int], Any]]) -> set[datetime]:
    """Return the first moment of each month in which there is a reading."""
    found: set[datetime] = set()
    first, end = _microseconds(_FIRST_MONTH), _microseconds(_END_OF_MONTHS)
    for times, _ in columns:
        place, stop = bisect_left(times, first), bisect_left(times, end)
        while place < stop:
            moment = datetime.fromtimestamp(times[place] // MICROSECONDS, UTC)
            month = moment.replace(day=1, hour=0, minute=0, second=0)
            found.add(month)
            place = bisect_left(times, _microseconds(_next(month)), place)
    return found


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * MICROSECONDS


def _next(month: datetime) -> datetime:
    years, index = divmod(month.month, 12)
    return month.replace(year=month.year + years, month=index + 1)
