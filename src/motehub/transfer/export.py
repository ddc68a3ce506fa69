"""Readings in long form, a row for each: as CSV, JSON lines or Parquet, in bounded memory."""

from __future__ import annotations

import csv
import enum
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import repeat
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from motehub.archived import Raw
from motehub.errors import OwnerError, UnknownDevice
from motehub.history_contract import HistoryStore
from motehub.model import Device, Kind, Series

COLUMNS: Final = ("device", "metric", "unit", "time", "value")

Progress = Callable[[int], None]
"""Gets how many readings have been written."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES_SHOWN: Final = 10


class Format(enum.Enum):
    """What an export is written as."""

    CSV = "csv"
    JSON_LINES = "jsonl"
    PARQUET = "parquet"


class Selection(msgspec.Struct, frozen=True):
    """Which readings: of all devices and metrics, or those named, in ``[since, until)`` (µs)."""

    devices: Sequence[str]
    metrics: Sequence[str]
    since: int
    until: int


class Part(msgspec.Struct, frozen=True):
    """Readings of one series; times are UTC microseconds."""

    device: str
    series: Series
    times: Sequence[int]
    values: Sequence[float | str]


class _Row(msgspec.Struct, frozen=True):
    device: str
    metric: str
    unit: str
    time: str
    value: float | str


def parts_of(store: HistoryStore, raw: Raw, selection: Selection) -> Iterator[Part]:
    """Yield readings of ``raw`` by device, series and time; the caller holds a snapshot.

    Raises:
        UnknownDevice: there is no device of a name that was given.
        OwnerError: none of them has a metric that was given.
    """
    names = {device.id: device.name for device in _devices(store, selection)}
    for series in _series(store, selection, names):
        read = raw.texts if series.kind is Kind.TEXT else raw.readings
        for times, values in read(series.id, selection.since, selection.until):
            yield Part(names[series.device], series, times, values)


def write(parts: Iterator[Part], format_: Format, output: Path | None, progress: Progress) -> int:
    """Write to a file, which appears when it is complete, or to standard output.

    Returns the number of readings.

    Raises:
        OwnerError: the file can't be written, or DuckDB is missing.
    """
    if output is None:
        return _write_stream(parts, format_, sys.stdout.buffer, progress)
    if _is_fixed(output):
        with open(output, "ab") as file:
            return _write_stream(parts, format_, file, progress)
    try:
        with _complete_or_not_there(output.resolve()) as new:
            if format_ is Format.PARQUET:
                from motehub.transfer.parquet import write_parquet

                count = write_parquet(parts, new, progress)
            else:
                with open(new, "wb") as file:
                    count = _write_stream(parts, format_, file, progress)
    except OSError as error:
        raise OwnerError(f"{output} can't be written: {error.strerror}.") from error
    return count


def _write_stream(
    parts: Iterator[Part], format_: Format, output: BinaryIO, progress: Progress
) -> int:
    if format_ is Format.PARQUET:
        raise OwnerError("Parquet can only be written to a file.")
    way = write_csv if format_ is Format.CSV else write_json_lines
    return way(parts, output, progress)


def _is_fixed(path: Path) -> bool:
    """Tell whether nothing can take the place of ``path``: a pipe, a device, /dev/stdout."""
    special = any(path.absolute().is_relative_to(folder) for folder in ("/dev", "/proc"))
    return special or (path.exists() and not path.is_file())


@contextmanager
def _complete_or_not_there(path: Path) -> Iterator[Path]:
    """Give another name in the same folder; move it to ``path`` at the end, if all goes well."""
    new = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield new
        with open(new, "rb") as file:
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def write_csv(parts: Iterator[Part], output: BinaryIO, progress: Progress) -> int:
    """Write CSV (RFC 4180, UTF-8) and return the number of readings.

    Every text is in quotes and no number is: so whoever reads it knows which a value was.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(COLUMNS)
    done = 0
    for part in parts:
        series = part.series
        fixed = (repeat(part.device), repeat(series.metric), repeat(series.unit))
        writer.writerows(zip(*fixed, map(exact_iso, part.times), part.values, strict=False))
        done += len(part.times)
        _pass_on(text, output)
        progress(done)
    _pass_on(text, output)
    return done


def _pass_on(text: io.StringIO, output: BinaryIO) -> None:
    output.write(text.getvalue().encode())
    text.seek(0)
    text.truncate()


def write_json_lines(parts: Iterator[Part], output: BinaryIO, progress: Progress) -> int:
    """Write a JSON object with the keys ``COLUMNS`` on each line; return how many."""
    encoder = msgspec.json.Encoder()
    done = 0
    for part in parts:
        series = part.series
        rows = [
            _Row(part.device, series.metric, series.unit, exact_iso(time), value)
            for time, value in zip(part.times, part.values, strict=True)
        ]
        output.write(encoder.encode_lines(rows))
        done += len(rows)
        progress(done)
    return done


def exact_iso(time: int) -> str:
    """Return UTC microseconds as ISO 8601 with six decimals and ``Z``.

    A time for which a calendar has no year stands as its number of microseconds.
    """
    try:
        moment = _EPOCH + timedelta(microseconds=time)
    except OverflowError:
        return str(time)
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"


def _devices(store: HistoryStore, selection: Selection) -> list[Device]:
    devices = store.registry()[0]
    if missing := set(selection.devices) - {device.name for device in devices}:
        known = ", ".join(device.name for device in devices[:_NAMES_SHOWN]) or "none yet"
        raise UnknownDevice(f"There is no device called {min(missing)!r}. Known devices: {known}.")
    return [one for one in devices if not selection.devices or one.name in selection.devices]


def _series(store: HistoryStore, selection: Selection, names: dict[int, str]) -> list[Series]:
    """Return the series that are wanted, by the names of their devices."""
    found = [series for series in store.registry()[1] if series.device in names]
    if missing := set(selection.metrics) - {series.metric for series in found}:
        known = ", ".join(sorted({series.metric for series in found})[:_NAMES_SHOWN]) or "none yet"
        raise OwnerError(f"There is no metric {min(missing)!r}. There are: {known}.")
    found = [one for one in found if not selection.metrics or one.metric in selection.metrics]
    return sorted(found, key=lambda one: (names[one.device], one.metric, one.id))
