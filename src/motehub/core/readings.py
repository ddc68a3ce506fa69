"""Looks up readings of a device, whole or reduced, and writes them as JSON or CSV."""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Generator, Iterable, Iterator
from itertools import chain, islice, starmap
from typing import Any, Final

import msgspec

from motehub.archived import Raw
from motehub.core.buckets import Buckets, reduce_series
from motehub.core.cells import harmless
from motehub.core.moments import iso
from motehub.core.queries import Readings
from motehub.core.shapes import RawColumns, ReadingsShape, ReducedColumns, StateColumns
from motehub.core.state_answers import (
    STATE_NAMES,
    check_points,
    reduce_all_states,
    show_states,
    state_rows,
)
from motehub.errors import OwnerError, UnknownDevice
from motehub.history_contract import HistoryStore
from motehub.model import MICROSECONDS, Device, Kind, Series

NAMES_ARE_AT: Final = "GET /api/v1/devices lists the names."

_TEXT_BYTES: Final = 8 * 1024 * 1024
"""Most bytes of texts in one answer: a single text may be long."""

_CSV_ROWS: Final = 1_000
_ROW: Final = ("time", "device", "metric", "value", "unit")
_REDUCED: Final = ("time", "device", "metric", "min", "max", "mean", "last", "count", "unit")


class _Found:
    """Readings of one series: times in µs, and numbers or texts."""

    __slots__ = ("series", "times", "values")

    def __init__(self, series: Series) -> None:
        self.series = series
        self.times = array("q")
        self.values: list[Any] = []

    def cut(self, until: int) -> None:
        """Leave out what is at ``until`` or later."""
        keep = len(self.times)
        while keep and self.times[keep - 1] >= until:
            keep -= 1
        del self.times[keep:], self.values[keep:]

    @property
    def text_bytes(self) -> int:
        return sum(map(len, self.values)) if self.series.kind is Kind.TEXT else 0


def find_device(store: HistoryStore, name: str) -> tuple[Device, list[Series]]:
    """Return the device called ``name`` and its series.

    Raises:
        UnknownDevice: there is no such device.
    """
    devices, all_series = store.registry()
    for device in devices:
        if device.name == name:
            return device, [one for one in all_series if one.device == device.id]
    raise UnknownDevice(f"There is no device called {name!r}. {NAMES_ARE_AT}")


def look_up(
    store: HistoryStore, raw: Raw, question: Readings, complete: bool
) -> Generator[None, None, tuple[str | None, Iterator[bytes]]]:
    """Return where the rest begins, if there is one, and the answer's bytes; yield at times.

    Readings themselves are from ``raw``, what they are reduced to from the ``store``.

    Raises:
        UnknownDevice: there is no such device, or it has no such metric.
        OwnerError: it would be too long, or have other columns for some metrics than for others.
    """
    wanted = _wanted(store, question)
    if question.points is not None:
        numbers, with_states = _reducible(store, question, wanted)
        check_points(question.points, len(numbers), len(with_states))
        states = yield from reduce_all_states(store, question, with_states)
        if question.csv and with_states:
            return None, _csv(STATE_NAMES, state_rows(question.device, states))
        reduced = yield from _reduce(store, question, numbers, question.points)
        if question.csv:
            return None, _csv(_REDUCED, _reduced_rows(question.device, reduced))
        shown: list[RawColumns | ReducedColumns | StateColumns]
        shown = [*map(_reduced_shown, reduced), *starmap(show_states, states)]
        return None, _json(question, complete, None, shown)
    found, cut = yield from _gather(raw, question, wanted)
    next_ = None if cut is None else iso(cut)
    if question.csv:
        return next_, _csv(_ROW, _rows(question.device, found))
    return next_, _json(question, complete, next_, map(_shown, found))


def _wanted(store: HistoryStore, question: Readings) -> list[Series]:
    _, series = find_device(store, question.device)
    if question.metrics:
        missing = sorted(set(question.metrics) - {one.metric for one in series})
        if missing:
            known = ", ".join(one.metric for one in series[:20]) or "none yet"
            raise UnknownDevice(f"{question.device} has no metric {missing[0]!r}. It has: {known}.")
        series = [one for one in series if one.metric in question.metrics]
    return series


def _reducible(
    store: HistoryStore, question: Readings, series: list[Series]
) -> tuple[list[Series], list[Series]]:
    """Return the series to be reduced as numbers, and those as states.

    Raises:
        OwnerError: both would be in one CSV file.
    """
    numbers = [one for one in series if one.kind is Kind.GAUGE]
    states = [one for one in series if one.kind is Kind.TEXT]
    if not question.states:
        # Whoever asks so expects numbers, unless a name is that of texts alone.
        names = {one.metric for one in numbers}
        states = [one for one in states if question.metrics and one.metric not in names]
    else:
        known = store.states.numbers()
        states += [one for one in numbers if one.id in known]
        numbers = [one for one in numbers if one.id not in known]
    if question.csv and states and numbers:
        if question.metrics:
            raise OwnerError(
                f"{numbers[0].metric} is numbers and {states[0].metric} is states: their columns "
                "differ, so ask for them apart."
            )
        numbers = []
    return numbers, states


def _gather(
    raw: Raw, question: Readings, wanted: list[Series]
) -> Generator[None, None, tuple[list[_Found], int | None]]:
    """Read the oldest readings of all series together, and where those begin that don't fit.

    Each series is read only up to where the answer ends so far, so no more than twice the
    limit is ever in memory.
    """
    gathered: list[_Found] = []
    until = question.until
    for series in wanted:
        found = _Found(series)
        gathered.append(found)
        parts = raw.texts if series.kind is Kind.TEXT else raw.readings
        for times, values in parts(series.id, question.since, until):
            found.times.extend(times)
            found.values.extend(values)
            yield None
            if len(found.times) > question.limit or found.text_bytes > _TEXT_BYTES:
                until = min(until, found.times[-1] + 1)
                break
        until = _shorten(gathered, question.limit, until)
    return gathered, None if until == question.until else until


def _shorten(gathered: list[_Found], limit: int, until: int) -> int:
    """Leave out the latest readings until the rest is within bounds; return where it ends.

    Readings of one moment stay together, or the next answer could not begin between them.
    """
    while True:
        count = sum(len(found.times) for found in gathered)
        heavy = sum(found.text_bytes for found in gathered) > _TEXT_BYTES
        if heavy:
            limit = max(1, min(limit, count // 2))
        if count > limit:
            times = sorted(chain.from_iterable(found.times for found in gathered))
            until = min(until, max(times[limit], times[0] + 1))
        for found in gathered:
            found.cut(until)
        if not heavy or sum(len(found.times) for found in gathered) == count:
            return until


def _reduce(
    store: HistoryStore, question: Readings, wanted: list[Series], points: int
) -> Generator[None, None, list[tuple[Series, Buckets]]]:
    reduced = []
    for series in wanted:
        bounds = question.since, question.until
        buckets = yield from reduce_series(store, series.id, *bounds, points)
        reduced.append((series, buckets))
    return reduced


def _json(
    question: Readings,
    complete: bool,
    next_: str | None,
    series: Iterable[RawColumns | ReducedColumns | StateColumns],
) -> Iterator[bytes]:
    """Write the answer series by series: together they would take their memory once more."""
    since, until = iso(question.since), iso(question.until)
    head = ReadingsShape(question.device, since, until, complete, next_, [])
    start = msgspec.json.encode(head).removesuffix(b"]}")
    for one in series:
        yield start + msgspec.json.encode(one)
        start = b","
    yield b"]}" if start == b"," else start + b"]}"


def _shown(found: _Found) -> RawColumns:
    one = found.series
    return RawColumns(one.metric, one.unit, one.kind, _seconds(found.times), found.values)


def _reduced_shown(reduced: tuple[Series, Buckets]) -> ReducedColumns:
    one, buckets = reduced
    return ReducedColumns(
        metric=one.metric,
        unit=one.unit,
        kind=one.kind,
        width=buckets.width / MICROSECONDS,
        times=_seconds(buckets.starts),
        min=buckets.low.tolist(),
        max=buckets.high.tolist(),
        mean=buckets.mean.tolist(),
        last=buckets.last.tolist(),
        count=buckets.counts.tolist(),
    )


def _seconds(times: array[int]) -> list[float]:
    return [time / MICROSECONDS for time in times]


def _rows(device: str, gathered: list[_Found]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of all series in the order of their times."""
    busy = [found for found in gathered if found.times]
    columns = [
        zip(
            found.times,
            [found.series.metric] * len(found.times),
            found.values,
            [found.series.unit] * len(found.times),
            strict=True,
        )
        for found in busy
    ]
    rows: Iterable[tuple[int, str, Any, str]] = chain.from_iterable(columns)
    if len(busy) > 1:
        rows = sorted(rows, key=lambda row: row[0])
    for moment, metric, value, unit in rows:
        yield iso(moment), device, metric, value, unit


def _reduced_rows(device: str, reduced: list[tuple[Series, Buckets]]) -> Iterator[tuple[Any, ...]]:
    for series, buckets in reduced:
        for start, *numbers in zip(
            buckets.starts,
            buckets.low,
            buckets.high,
            buckets.mean,
            buckets.last,
            buckets.counts,
            strict=True,
        ):
            yield iso(int(start)), device, series.metric, *numbers, series.unit


def _csv(names: tuple[str, ...], rows: Iterator[tuple[Any, ...]]) -> Iterator[bytes]:
    some: list[tuple[Any, ...]] = [names]
    while some:
        text = io.StringIO()
        csv.writer(text).writerows(some)
        yield text.getvalue().encode()
        some = [tuple(map(harmless, row)) for row in islice(rows, _CSV_ROWS)]
