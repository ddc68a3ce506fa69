"""The ``sensor_data`` table of the original text-stream server: one board in an SQLite file."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from itertools import repeat
from operator import mul
from pathlib import Path
from typing import Final

from motehub.model import MICROSECONDS, Samples
from motehub.reports.original import (
    COLUMNS,
    FIRST_SECOND,
    LAST_SECOND,
    parse_time,
    parse_value,
)
from motehub.transfer.fahrenheit import celsius
from motehub.transfer.pieces import (
    PIECE_READINGS,
    DeviceReadings,
    Piece,
    Place,
    Rejections,
)
from motehub.transfer.sqlite_rows import Cells, SqliteRows

TABLE: Final = "sensor_data"

_Columns = tuple["array[int]", "array[float]"]


class SensorData:
    """The readings of ``device``; see :class:`motehub.transfer.pieces.Origin`.

    Columns count by position, time, humidity, temperature, as :mod:`motehub.reports.original`
    explains. Metrics and units are those that the same board's stream has.
    """

    def __init__(self, path: Path, device: str, *, fahrenheit: bool) -> None:
        self._rows = SqliteRows(path, TABLE, COLUMNS)
        self.device: str | None = device
        self._name = device
        self._fahrenheit = fahrenheit
        self.rejections = Rejections()

    def total(self) -> int | None:
        """Return how many rows there are; None for a view."""
        return self._rows.total()

    def pieces(self, after: Place | None) -> Iterator[Piece]:
        """Yield the readings in the order of their rows."""
        for page in self._rows.pages(after, PIECE_READINGS // 2):
            humidity, temperature = _plain_columns(page.rows) or self._parsed(page.rows)
            if self._fahrenheit:
                temperature = temperature[0], array("d", map(celsius, temperature[1]))
            records = [
                Samples(metric, unit, *columns)
                for metric, unit, columns in (
                    ("relative_humidity", "%", humidity),
                    ("temperature", "°C", temperature),
                )
                if columns[0]
            ]
            readings = [DeviceReadings(self._name, [*records])] if records else []
            yield Piece(readings, len(page.rows), page.after)

    def close(self) -> None:
        """Close the file."""
        self._rows.close()

    def _parsed(self, rows: Sequence[Cells]) -> tuple[_Columns, _Columns]:
        """Read rows one by one: of each what can be read, and a note of what can't."""
        found: tuple[_Columns, _Columns] = (array("q"), array("d")), (array("q"), array("d"))
        for row in rows:
            try:
                time = parse_time(row[0])
                values = parse_value(row[1]), parse_value(row[2])
            except (ValueError, OverflowError) as error:
                self.rejections.add(f"row {row[:COLUMNS]!r}", str(error))
                continue
            if values == (None, None):
                self.rejections.add(f"row {row[:COLUMNS]!r}", "it has no value")
            for (times, column), value in zip(found, values, strict=True):
                if value is not None:
                    times.append(time)
                    column.append(value)
        return found


def _plain_columns(rows: Sequence[Cells]) -> tuple[_Columns, _Columns] | None:
    """Return the columns of rows in which all is plain numbers, several times as fast."""
    seconds, humidity, temperature = (column for column in [*zip(*rows, strict=True)][:COLUMNS])
    if set(map(type, seconds)) != {int} or not {*map(type, humidity + temperature)} <= {int, float}:
        return None
    if min(seconds) < FIRST_SECOND or max(seconds) > LAST_SECOND:
        return None
    if not all(map(math.isfinite, humidity)) or not all(map(math.isfinite, temperature)):
        return None
    times = array("q", map(mul, seconds, repeat(MICROSECONDS)))
    return (times, array("d", humidity)), (times, array("d", temperature))
