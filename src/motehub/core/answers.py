"""Answers to questions about the history, as the bytes that a client gets.

An answer is a generator. It yields ``None`` while it works and ``Wait`` while the history is
behind, so that whoever runs it can turn to others; then its head, then its bytes in pieces.
Everything is looked up before the head: what goes wrong can still be said.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, Final

import msgspec

from motehub.alerts.rule import decode
from motehub.archived import Raw
from motehub.core import readings
from motehub.core.calibrations import AS_IT_IS, Calibration
from motehub.core.going import going
from motehub.core.preview import preview
from motehub.core.quality import quality_of
from motehub.core.queries import (
    MOST_ROWS,
    PIECE_BYTES,
    Devices,
    Events,
    Going,
    Head,
    NewestOf,
    OneDevice,
    Overview,
    Quality,
    Query,
    Question,
    Readings,
    RejectedPayloads,
    RulePreview,
    SeriesOf,
)
from motehub.core.retention import Retention
from motehub.core.shapes import (
    RawColumns,
    show_device,
    show_event,
    show_overview,
    show_rejected,
    show_series,
)
from motehub.errors import StorageError, UnknownDevice
from motehub.history_contract import DeviceRow, EventRow, HistoryStore, RejectedRow
from motehub.model import MICROSECONDS, Admission, Series

JSON: Final = "application/json"
CSV: Final = "text/csv; charset=utf-8"


class Pause(enum.Enum):
    """What an answer yields beside its content."""

    WAIT = enum.auto()
    """The history is behind: ask again in a moment."""


Step = None | Pause | Head | bytes
Steps = Generator[Step, None, None]


def answer(
    store: HistoryStore,
    query: Query,
    now: Callable[[], float] = time.monotonic,
    raw: Raw | None = None,
) -> Steps:
    """Answer ``query`` from ``store``; ``now`` returns seconds.

    Readings that are not reduced are from ``raw``, if it is given: it may have older ones.

    Raises:
        OwnerError: there is no such device or metric, or it can't be shown like this.
        StorageError: the history can't be read now.
    """
    complete = yield from _wait_for_fold(store, query, now)
    try:
        yield from _answer(store, raw or store, query.question, complete)
    except UnknownDevice as error:
        if complete:
            raise
        raise StorageError(
            "The history is behind what the hub has acknowledged, and may not know the device yet."
        ) from error


def _answer(store: HistoryStore, raw: Raw, question: Question, complete: bool) -> Steps:
    match question:
        case Readings():
            next_, content = yield from readings.look_up(store, raw, question, complete)
            yield Head(CSV if question.csv else JSON, complete, next_)
            yield from _pieces(content)
        case OneDevice(name, said):
            shown = msgspec.json.encode(show_device(_row_of(store, name), said))
            yield Head(JSON, complete)
            yield shown
        case NewestOf(name, count):
            found = []
            for series in readings.find_device(store, name)[1]:
                found.append(_newest(store, series, count))
                yield None
            yield Head(JSON, complete)
            yield from _pieces(iter([msgspec.json.encode(found)]))
        case Quality(name, days, now, interval, spared):
            own = readings.find_device(store, name)
            found_of_days = yield from quality_of(store, *own, days, now, interval, spared)
            yield Head(JSON, complete)
            yield from _pieces(iter([msgspec.json.encode(found_of_days)]))
        case RulePreview(rule, since, until, said):
            shape = yield from preview(store, decode(rule), since, until, said)
            yield Head(JSON, complete)
            yield msgspec.json.encode(shape)
        case Going(before, after, now):
            loss = yield from going(store, Retention(*before), Retention(*after), now)
            yield Head(JSON, complete)
            yield msgspec.json.encode(loss)
        case _:
            rows = _rows(store, question)
            yield Head(JSON, complete)
            yield from _pieces(iter([msgspec.json.encode(rows)]))


def _wait_for_fold(
    store: HistoryStore, query: Query, now: Callable[[], float]
) -> Generator[Step, None, bool]:
    """Wait until the history has what was acknowledged; tell whether that was so in time."""
    deadline = now() + query.fold_seconds
    while store.position() < query.position:
        if now() >= deadline:
            return False
        yield Pause.WAIT
    return True


def _pieces(content: Iterator[bytes]) -> Iterator[bytes]:
    for part in content:
        for start in range(0, len(part), PIECE_BYTES):
            yield part[start : start + PIECE_BYTES]


def _rows(
    store: HistoryStore, question: Devices | Overview | SeriesOf | RejectedPayloads | Events
) -> list[Any]:
    match question:
        case Devices(names, said):
            return [
                show_device(row, said)
                for row in store.devices()
                if names is None or row.device.name in names
            ]
        case Overview():
            return _overview(store, question)
        case SeriesOf(name, calibrations):
            return _series_rows(store, name, calibrations)
        case Events(limit, names):
            return [show_event(row) for row in _events(store, limit, names)]
        case RejectedPayloads(limit, names):
            return [show_rejected(row) for row in _rejected(store, limit, names)]


def _row_of(store: HistoryStore, name: str) -> DeviceRow:
    rows = store.devices()
    for row in rows:
        if row.device.name == name:
            return row
    raise UnknownDevice(f"There is no device called {name!r}. {readings.NAMES_ARE_AT}")


def _series_rows(
    store: HistoryStore,
    name: str,
    calibrations: Mapping[int, Calibration],
) -> list[Any]:
    device, all_series = readings.find_device(store, name)
    # Who decides about a device sees what it has said so far.
    held = device.admission is Admission.PENDING
    found = store.latest(device.id, held=held)
    latest = {series: (moment, value) for series, moment, value in found}
    return [
        show_series(series, latest.get(series.id), calibrations.get(series.id, AS_IT_IS))
        for series in all_series
    ]


def _overview(store: HistoryStore, question: Overview) -> list[Any]:
    series: dict[int, list[Series]] = {}
    for one in store.registry()[1]:
        series.setdefault(one.device, []).append(one)
    # What waits for approval is kept apart.
    found = [*store.latest(held=True), *store.latest()]
    latest = {number: (moment, value) for number, moment, value in found}
    rank = {device: i for i, device in enumerate(question.order)}
    rows = sorted(store.devices(), key=lambda row: rank.get(row.device.id, len(rank)))
    return [
        show_overview(row, question.said, series.get(row.device.id, ()), latest)
        for row in rows
        if question.names is None or row.device.name in question.names
    ]


def _newest(store: HistoryStore, series: Series, count: int) -> RawColumns:
    rows = store.newest(series, count)[::-1]
    times = [moment / MICROSECONDS for moment, _ in rows]
    return RawColumns(series.metric, series.unit, series.kind, times, [one for _, one in rows])


def _events(store: HistoryStore, limit: int, names: tuple[str, ...] | None) -> list[EventRow]:
    if names is None:
        return store.events(None, limit)
    found = [
        event
        for device in store.registry()[0]
        if device.name in names
        for event in store.events(device.id, limit)
    ]
    found.sort(key=lambda event: event.time, reverse=True)
    return found[:limit]


def _rejected(store: HistoryStore, limit: int, names: tuple[str, ...] | None) -> list[RejectedRow]:
    if names is None:
        return store.rejected(limit)
    # The list itself is bounded for each device, and there is no other way to those of a few.
    return [row for row in store.rejected(MOST_ROWS) if row.device in names][:limit]
