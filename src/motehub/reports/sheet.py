"""The readings of a report as a CSV file of bounded size."""

from __future__ import annotations

import csv
import heapq
import io
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from motehub.core.buckets import reduce_series
from motehub.core.cells import harmless
from motehub.core.moments import iso
from motehub.history_contract import HistoryStore
from motehub.model import Device, Kind, Series
from motehub.reports.contents import Contents
from motehub.reports.summary import Selection, drain
from motehub.rollups import TIERS

MOST_ROWS: Final = 50_000
"""Rows of a file; where readings are more, there are their means by minute, hour or day."""

MOST_BYTES: Final = 5_000_000
"""Longest file; a longer one ends there, and says so."""

_RAW: Final = ("time", "device", "metric", "value", "unit")
_REDUCED: Final = ("time", "device", "metric", "min", "max", "mean", "last", "count", "unit")


class Sheet(msgspec.Struct, frozen=True):
    """A CSV file (RFC 4180) and what its rows are, in words."""

    content: bytes
    rows: str


def sheet_of(store: HistoryStore, selection: Selection, contents: Contents) -> Sheet:
    """Return the readings of a report, or their means where they are too many.

    Raises:
        StorageError: the history can't be read now.
    """
    total = sum(one.count for device in contents.devices for one in device.series)
    members = [(device, one) for device, own in selection.devices for one in own]
    if total <= MOST_ROWS:
        rows = _raw_rows(store, members, contents.since, contents.until)
        return Sheet(_written(_RAW, rows), "all readings")
    numbers = [(device, one) for device, one in members if one.kind is Kind.GAUGE]
    length = contents.until - contents.since
    tier = next(
        (one for one, size in TIERS.items() if length / size * len(numbers) <= MOST_ROWS), "day"
    )
    points = max(1, length // TIERS[tier])
    reduced = _reduced_rows(store, numbers, contents.since, contents.until, points)
    return Sheet(_written(_REDUCED, reduced), f"means by {tier}")


def _raw_rows(
    store: HistoryStore, members: Iterable[tuple[Device, Series]], since: int, until: int
) -> Iterator[tuple[Any, ...]]:
    columns = [_rows_of(store, device, one, since, until) for device, one in members]
    for time, *rest in heapq.merge(*columns, key=lambda row: row[0]):
        yield iso(time), *rest


def _rows_of(
    store: HistoryStore, device: Device, series: Series, since: int, until: int
) -> Iterator[tuple[int, str, str, float | str, str]]:
    parts = store.texts if series.kind is Kind.TEXT else store.readings
    name, metric, unit = map(harmless, (device.name, series.metric, series.unit))
    for times, values in parts(series.id, since, until):
        for time, value in zip(times, values, strict=True):
            yield time, name, metric, harmless(value), unit


def _reduced_rows(
    store: HistoryStore,
    members: Iterable[tuple[Device, Series]],
    since: int,
    until: int,
    points: int,
) -> Iterator[tuple[Any, ...]]:
    for device, series in members:
        buckets = drain(reduce_series(store, series.id, since, until, points))
        name, metric, unit = map(harmless, (device.name, series.metric, series.unit))
        for start, *numbers in zip(
            buckets.starts,
            buckets.low,
            buckets.high,
            buckets.mean,
            buckets.last,
            buckets.counts,
            strict=True,
        ):
            yield iso(int(start)), name, metric, *numbers, unit


def _written(names: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    for row in rows:
        writer.writerow(row)
        if text.tell() > MOST_BYTES:
            writer.writerow(["the rest is left out: the file would be too long"])
            break
    return text.getvalue().encode()
