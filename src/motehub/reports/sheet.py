"""The readings of a report as a CSV file of bounded size."""

from __future__ import annotations

import csv
import heapq
import io
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

import msgspec

from motehub.archived import Raw
from motehub.core.buckets import reduce_series
from motehub.core.cells import harmless
from motehub.core.moments import iso
from motehub.core.state_answers import state_rows
from motehub.core.state_buckets import reduce_states
from motehub.core.steps import drain
from motehub.history_contract import HistoryStore
from motehub.model import Device, Kind, Series
from motehub.reports.contents import Contents
from motehub.reports.summary import Selection
from motehub.rollups import TIERS
from motehub.states import stretch_of

MOST_ROWS: Final = 50_000
"""Rows of a file; where readings are more, there are their means by minute, hour or day."""

MOST_BYTES: Final = 5_000_000
"""Longest file; a longer one ends there, and says so."""

_RAW: Final = ("time", "device", "metric", "value", "unit")
_REDUCED: Final = (
    *("time", "device", "metric", "min", "max", "mean", "last", "count", "unit"),
    *("state", "seconds", "changes"),
)
_NO_NUMBERS: Final = ("", "", "", "")


class Sheet(msgspec.Struct, frozen=True):
    """A CSV file (RFC 4180) and what its ``rows`` are: ``all``, or means by a tier."""

    content: bytes
    rows: str


def sheet_of(store: HistoryStore, raw: Raw, selection: Selection, contents: Contents) -> Sheet:
    """Return the readings of a report, or their means where they are too many.

    ``raw`` is where readings are read that the store has deleted; where some are nowhere any more,
    there are means, too.

    Raises:
        StorageError: the history can't be read now.
    """
    total = sum(one.count for device in contents.devices for one in device.series)
    members = [(device, one) for device, own in selection.devices for one in own]
    bounds = contents.since, contents.until
    if total <= MOST_ROWS and all(_all_there(store, raw, one, *bounds) for _, one in members):
        rows = _raw_rows(raw, members, *bounds)
        return Sheet(_written(_RAW, rows), "all")
    states = store.states.numbers()
    length = bounds[1] - bounds[0]
    # Of a series of states there may be some rows for each piece of time.
    lines = sum(2 if _has_states(one, states) else 1 for _, one in members)
    tier = next((one for one, size in TIERS.items() if length / size * lines <= MOST_ROWS), "day")
    points = max(1, length // TIERS[tier])
    span = *bounds, points
    reduced = (
        row
        for device, one in members
        for row in (
            _state_rows(store, device, one, *span)
            if _has_states(one, states)
            else _reduced_rows(store, device, one, *span)
        )
    )
    return Sheet(_written(_REDUCED, reduced), tier)


def _has_states(series: Series, states: Collection[int]) -> bool:
    return series.kind is Kind.TEXT or series.id in states


def _all_there(store: HistoryStore, raw: Raw, series: Series, since: int, until: int) -> bool:
    """Tell whether there are the readings that were summed up, in the hours of that time."""
    hour = TIERS["hour"]
    since = -(-since // hour) * hour
    until = min(until, store.kept(series.id).raw) // hour * hour
    if since >= until:
        return True
    summed: int
    if series.kind is Kind.TEXT:
        summed = sum(
            stretch_of(row).count
            for rows in store.states.rows(series.id, "hour", since, until)
            for row in rows
        )
        return summed <= sum(len(times) for times, _ in raw.texts(series.id, since, until))
    summed = sum(sum(one.counts) for one in store.rollups(series.id, "hour", since, until))
    return summed <= sum(len(times) for times, _ in raw.readings(series.id, since, until))


def _raw_rows(
    raw: Raw, members: Iterable[tuple[Device, Series]], since: int, until: int
) -> Iterator[tuple[Any, ...]]:
    columns = [_rows_of(raw, device, one, since, until) for device, one in members]
    for time, *rest in heapq.merge(*columns, key=lambda row: row[0]):
        yield iso(time), *rest


def _rows_of(
    raw: Raw, device: Device, series: Series, since: int, until: int
) -> Iterator[tuple[int, str, str, float | str, str]]:
    parts = raw.texts if series.kind is Kind.TEXT else raw.readings
    name, metric, unit = map(harmless, (device.name, series.metric, series.unit))
    for times, values in parts(series.id, since, until):
        for time, value in zip(times, values, strict=True):
            yield time, name, metric, harmless(value), unit


def _reduced_rows(
    store: HistoryStore, device: Device, series: Series, since: int, until: int, points: int
) -> Iterator[tuple[Any, ...]]:
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
        yield iso(int(start)), name, metric, *numbers, unit, "", "", ""


def _state_rows(
    store: HistoryStore, device: Device, series: Series, since: int, until: int, points: int
) -> Iterator[tuple[Any, ...]]:
    buckets = drain(reduce_states(store, series, since, until, points, until))
    for time, name, metric, state, seconds, changes, count in state_rows(
        device.name, [(series, buckets)]
    ):
        names = map(harmless, (name, metric))
        own = harmless(series.unit), harmless(state), seconds, changes
        yield time, *names, *_NO_NUMBERS, count, *own


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
