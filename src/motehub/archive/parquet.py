"""Reads files of the archive with DuckDB, a bounded number of rows at a time."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from motehub.archived import ArchivePart
from motehub.errors import OwnerError

try:
    duckdb: Any = import_module("duckdb")
except ImportError as error:
    raise OwnerError(
        f"The archive of old readings needs DuckDB, which can't be loaded ({error}). Install it "
        "with: pip install 'motehub[parquet]'."
    ) from error

_ROWS: Final = 20_000
_MEMORY: Final = "256MB"

_SOME: Final = "FROM read_parquet(?) WHERE series = ? AND time >= make_timestamptz(?)"

_connections: list[Any] = []


def readings_in(
    part: ArchivePart, path: Path, since: int, until: int, column: str
) -> Iterator[tuple[array[int], Sequence[Any]]]:
    """Yield times (µs) and the ``column`` (value or text) of a series, oldest first.

    Raises:
        OwnerError: the file is missing or damaged.
    """
    query = f"SELECT epoch_us(time), {column} {_SOME} AND time < make_timestamptz(?)"
    # Years of which a timestamp has no idea are not in the file.
    bounds = max(since, part.since), min(until, part.until)
    with _reading(path) as cursor:
        # The file is written in this order, and one thread keeps to it.
        result = cursor.execute(query, [_literal(path), part.series, *bounds])
        while rows := result.fetchmany(_ROWS):
            times, values = zip(*rows, strict=True)
            yield array("q", times), values


def times_in(part: ArchivePart, path: Path, times: Sequence[int]) -> set[int]:
    """Return those of ``times`` (µs, ascending) at which the file has a reading of the series.

    Raises:
        OwnerError: the file is missing or damaged.
    """
    bounds = max(times[0], part.since), min(times[-1] + 1, part.until)
    if bounds[0] >= bounds[1]:
        return set()
    query = (
        f"SELECT epoch_us(time) {_SOME} AND time < make_timestamptz(?) "
        "AND list_contains(?::BIGINT[], epoch_us(time))"
        if len(times) == 1
        else f"SELECT epoch_us(time) {_SOME} AND time < make_timestamptz(?) "
        "AND epoch_us(time) IN (SELECT unnest(?::BIGINT[]))"
    )
    with _reading(path) as cursor:
        rows = cursor.execute(query, [_literal(path), part.series, *bounds, list(times)]).fetchall()
    return {row[0] for row in rows}


def contents_of(path: Path) -> dict[int, tuple[int, int, int]]:
    """Return of each series in a file how many readings there are, the first time and the last.

    Raises:
        OwnerError: the file is missing or damaged.
    """
    query = (
        "SELECT series, count(*), epoch_us(min(time)), epoch_us(max(time)) "
        "FROM read_parquet(?) WHERE value IS NOT NULL OR text IS NOT NULL GROUP BY series"
    )
    with _reading(path) as cursor:
        rows = cursor.execute(query, [_literal(path)]).fetchall()
    return {row[0]: tuple(row[1:]) for row in rows}


@contextmanager
def _reading(path: Path) -> Iterator[Any]:
    if not _connections:
        _connections.append(duckdb.connect(config={"threads": 1, "memory_limit": _MEMORY}))
    try:
        with closing(_connections[0].cursor()) as cursor:
            yield cursor
    except duckdb.Error as error:
        why = "is missing" if not path.exists() else "can't be read: " + _short(error)
        raise OwnerError(
            f"{path} {why}. It has readings that were moved out of the history: put the file back "
            "from a back-up. 'motehub archive verify' looks at all of them."
        ) from error


def _literal(path: Path) -> str:
    """Return a path as DuckDB takes it, which looks for patterns in it."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".")
