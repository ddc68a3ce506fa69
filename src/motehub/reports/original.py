"""Reads ``sensor_data`` out of a database file: the original system's table, or our view.

Columns count by position: time, relative humidity, temperature. The original program named
its columns ``timestamp, temperature, humidity`` and filled them in the other order, so a name
there says nothing. The hub's own database has a view of the same name in the same order.
"""

from __future__ import annotations

import contextlib
import math
import re
import time
from array import array
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import apsw
import msgspec

from motehub.errors import DamagedDatabase, MotehubError, OwnerError, StorageError
from motehub.model import MICROSECONDS
from motehub.reports.figure import Curve

COLUMNS: Final = 3
"""Time, relative humidity, temperature; whatever follows is not read."""

BUSY_TIMEOUT: Final = 5_000
"""How long to wait for a program that is writing the file, in milliseconds."""

LONGEST_READ: Final = 30.0
"""Seconds after which a file is given up."""

STEPS_BETWEEN_LOOKS: Final = 10_000
"""Steps of SQLite's machine between two looks at the clock: well under a millisecond."""

LONGEST_CELL: Final = 1_000_000
"""Bytes of the longest cell or row that SQLite may make."""

# A text of digits alone is seconds since 1970, as a number would be.
SECONDS_IN_TEXT: Final = re.compile(r"[+-]?\d+(\.\d*)?", re.ASCII)
NUMBER_IN_TEXT: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)

# Seconds of the years 1 to 9999, what a calendar can show; milliseconds fall outside.
FIRST_SECOND: Final = datetime(1, 1, 1, tzinfo=UTC).timestamp()
LAST_SECOND: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


class OriginalData(msgspec.Struct, frozen=True):
    """Readings of an original file, in the order of its rows.

    ``unreadable`` counts the rows that were skipped, because their time or a value is no such
    thing, or because they hold no value at all.
    """

    humidity: Curve
    temperature: Curve
    unreadable: int


def read_original(path: Path, since: int | None = None) -> OriginalData:
    """Return relative humidity (%) and temperature (°C) from the database file ``path``.

    A time may be a number of seconds since 1970, such a number as text, or ISO 8601 text with
    a ``T`` or a space; without a zone it is UTC. A row with one of the two values is kept.
    ``since`` (UTC µs) leaves out what is older. The file is only read, and may be in use.

    Raises:
        OwnerError: there is no such file, it is no SQLite database, or has no ``sensor_data``.
        DamagedDatabase: SQLite finds the content broken.
        StorageError: the file can't be read, or another program keeps it locked.

    """
    if not path.is_file():
        raise OwnerError(f"There is no file {path}: check the name and the folder.")
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        with contextlib.closing(connection):
            connection.set_busy_timeout(BUSY_TIMEOUT)
            _bound(connection)
            return _read(path, _rows(path, connection), since)
    except apsw.Error as error:
        raise plain_error(path, error) from error


def _bound(connection: apsw.Connection) -> None:
    """Let a file that holds a view without an end, or a gigantic cell, take only so much."""
    end = time.monotonic() + LONGEST_READ
    connection.set_progress_handler(lambda: time.monotonic() > end, STEPS_BETWEEN_LOOKS)
    connection.limit(apsw.SQLITE_LIMIT_LENGTH, LONGEST_CELL)


def _rows(path: Path, connection: apsw.Connection) -> Iterable[tuple[apsw.SQLiteValue, ...]]:
    columns = list(connection.execute("SELECT name FROM pragma_table_info('sensor_data')"))
    if not columns:
        raise OwnerError(f"{path} has no table or view called sensor_data: is it the right file?")
    if len(columns) < COLUMNS:
        raise OwnerError(
            f"sensor_data in {path} has {len(columns)} columns and not the three of time, "
            "humidity and temperature: is it the right file?"
        )
    return connection.execute("SELECT * FROM sensor_data")


def _read(
    path: Path, rows: Iterable[tuple[apsw.SQLiteValue, ...]], since: int | None
) -> OriginalData:
    humidity = Curve(path.stem, "relative_humidity", "%", array("q"), array("d"))
    temperature = Curve(path.stem, "temperature", "°C", array("q"), array("d"))
    unreadable = 0
    for row in rows:
        try:
            time = parse_time(row[0])
            values = parse_value(row[1]), parse_value(row[2])
        except ValueError:
            unreadable += 1
            continue
        if values == (None, None):
            unreadable += 1
        elif since is None or time >= since:
            for curve, value in zip((humidity, temperature), values, strict=True):
                if value is not None:
                    curve.times.append(time)
                    curve.values.append(value)
    return OriginalData(humidity, temperature, unreadable)


def parse_time(cell: apsw.SQLiteValue) -> int:
    """Return the UTC microseconds that a cell means.

    Raises:
        ValueError: it is no time.

    """
    if isinstance(cell, str):
        text = cell.strip()
        if not SECONDS_IN_TEXT.fullmatch(text):
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            # In whole numbers: a float of seconds can't hold every microsecond.
            passed = moment - datetime(1970, 1, 1, tzinfo=UTC)
            return (passed.days * 86_400 + passed.seconds) * MICROSECONDS + passed.microseconds
        cell = float(text)
    # The comparison is false for NaN too.
    if not isinstance(cell, int | float) or not FIRST_SECOND <= cell <= LAST_SECOND:
        raise ValueError(f"{cell!r} is no time")
    return round(cell * MICROSECONDS)


def parse_value(cell: apsw.SQLiteValue) -> float | None:
    """Return the number in a cell, ``None`` for NULL.

    Raises:
        ValueError: it is neither.

    """
    if cell is None:
        return None
    if isinstance(cell, str) and NUMBER_IN_TEXT.fullmatch(cell.strip()):
        cell = float(cell)
    if not isinstance(cell, int | float) or not math.isfinite(cell):
        raise ValueError(f"{cell!r} is no number")
    return float(cell)


def plain_error(path: Path, error: apsw.Error) -> MotehubError:
    """Return ``error`` of SQLite as a sentence about ``path``."""
    if isinstance(error, apsw.NotADBError):
        return OwnerError(f"{path} is not an SQLite database: is it the right file?")
    if isinstance(error, apsw.CorruptError):
        return DamagedDatabase(
            f"The database {path} is damaged: use a copy of it, if you have one."
        )
    if isinstance(error, apsw.InterruptError):
        return OwnerError(
            f"Reading sensor_data in {path} took longer than {LONGEST_READ:g} s: is it a view "
            "without an end? Plot a copy that holds less."
        )
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return StorageError(f"Another program keeps {path} locked: stop it, or use a copy.")
    return StorageError(f"Can't read {path}: {error}.")
