"""The ``home_data`` table of the original HTTP system: one device for each location."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from motehub.model import Samples, derived_device_name
from motehub.reports.original import parse_value
from motehub.transfer.fahrenheit import celsius
from motehub.transfer.local_times import LocalTimes
from motehub.transfer.pieces import (
    PIECE_READINGS,
    DeviceReadings,
    Piece,
    Place,
    Rejections,
)
from motehub.transfer.sqlite_rows import SqliteRows

TABLE: Final = "home_data"
COLUMNS: Final = ("location", "timestamp", "temperature", "humidity")

_METRICS: Final = (("temperature", "°C"), ("relative_humidity", "%"))

Cells = Sequence[object]
_Columns = dict[str, tuple["array[int]", "array[float]"]]


class Rows(Protocol):
    """Rows of ``COLUMNS``, in the order in which they were stored."""

    def total(self) -> int | None:
        """Return about how many there are, if that can be told quickly."""
        ...

    def pages(self, size: int) -> Iterator[Sequence[Cells]]:
        """Yield them all, ``size`` at a time."""
        ...

    def close(self) -> None:
        """Close the database."""
        ...


class SqliteTable:
    """The table in an SQLite file; columns count by position."""

    def __init__(self, path: Path) -> None:
        self._rows = SqliteRows(path, TABLE, len(COLUMNS))

    def total(self) -> int | None:
        """Return how many rows there are."""
        return self._rows.total()

    def pages(self, size: int) -> Iterator[Sequence[Cells]]:
        """Yield all rows."""
        for page in self._rows.pages(None, size):
            yield page.rows

    def close(self) -> None:
        """Close the file."""
        self._rows.close()


class HomeData:
    """Readings by location; see :class:`motehub.transfer.pieces.Origin`.

    It always begins at the beginning: which of two hours a row belongs to depends on the rows
    before it.
    """

    def __init__(self, rows: Rows, times: LocalTimes, *, fahrenheit: bool) -> None:
        self._rows = rows
        self._times = times
        self._fahrenheit = fahrenheit
        self.device: str | None = None
        self.rejections = Rejections()

    def total(self) -> int | None:
        """Return about how many rows there are."""
        return self._rows.total()

    def pieces(self, after: Place | None) -> Iterator[Piece]:
        """Yield the readings in the order of their rows."""
        for rows in self._rows.pages(PIECE_READINGS // 2):
            found: dict[str, _Columns] = {}
            for row in rows:
                self._take(row, found)
            readings = [
                DeviceReadings(
                    derived_device_name(location),
                    [
                        Samples(metric, unit, *columns[metric])
                        for metric, unit in _METRICS
                        if metric in columns
                    ],
                )
                for location, columns in found.items()
            ]
            yield Piece(readings, len(rows))

    def close(self) -> None:
        """Close the database."""
        self._rows.close()

    def _take(self, row: Cells, found: dict[str, _Columns]) -> None:
        location = row[0]
        try:
            if not isinstance(location, str) or not location.strip():
                return self._reject(row, "it has no location")
            time = self._times.utc(location, str(row[1]))
            temperature, humidity = _number(row[2]), _number(row[3])
        except (ValueError, OverflowError) as error:
            return self._reject(row, str(error))
        if temperature is None and humidity is None:
            return self._reject(row, "it has no value")
        if temperature is not None and self._fahrenheit:
            temperature = celsius(temperature)
        columns = found.setdefault(location, {})
        for (metric, _), value in zip(_METRICS, (temperature, humidity), strict=True):
            if value is not None:
                times, values = columns.setdefault(metric, (array("q"), array("d")))
                times.append(time)
                values.append(value)
        return None

    def _reject(self, row: Cells, reason: str) -> None:
        self.rejections.add(f"row {tuple(map(str, row[: len(COLUMNS)]))!r}", reason)


def _number(cell: object) -> float | None:
    return parse_value(cell if isinstance(cell, str | int | float) or cell is None else str(cell))
