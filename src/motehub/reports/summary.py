"""What is in a report: numbers of each series, limits, gaps, availability, charts."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from math import isfinite
from typing import Final, TypeVar

import msgspec

from motehub.alerts.matching import Matching
from motehub.alerts.rule import Facts, Kind, Rule
from motehub.core.buckets import reduce_series
from motehub.core.days import Day
from motehub.core.quality import quality_of
from motehub.history_contract import HistoryStore
from motehub.model import MICROSECONDS, Admission, Device, Series
from motehub.model import Kind as SeriesKind
from motehub.reports.contents import (
    AlertPart,
    Beyond,
    Chart,
    Contents,
    DevicePart,
    Limit,
    Line,
    SeriesPart,
    StatePart,
)
from motehub.reports.spans import longest_step, sweep
from motehub.schedules.report import Report

MOST_SERIES: Final = 500
"""Series in one report; of more it says that they were left out."""

MOST_ALERTS: Final = 12
"""Alerts that a report names; it counts all."""

MOST_CHARTS: Final = 12
"""Charts in one report, each of one metric in one unit."""

MOST_LINES: Final = 8
"""Devices in one chart."""

_Result = TypeVar("_Result")

MOST_STATES: Final = 5
"""Texts of a series of which is told how long they were said."""

_STATE_CHARACTERS: Final = 100
_MOST_NAMES: Final = 1_000
_POINTS: Final = 320
_MOST_TEXTS: Final = 100_000


class Known(msgspec.Struct, frozen=True):
    """What the history does not know: rules, what is said of devices by id, and alerts.

    Of the series of ``spared`` not every reading is stored.
    """

    rules: Sequence[Rule] = ()
    said: Mapping[int, Facts] = {}
    alerts: Sequence[AlertPart] = ()
    spared: Sequence[int] = ()


class Selection(msgspec.Struct, frozen=True):
    """What a report is about: devices by name with those of their series that are in it."""

    devices: tuple[tuple[Device, tuple[Series, ...]], ...]
    left_out: int = 0


def select(store: HistoryStore, report: Report, said: Mapping[int, Facts]) -> Selection:
    """Return what ``report`` is about, by name."""
    devices, all_series = store.registry()
    found: list[tuple[Device, tuple[Series, ...]]] = []
    room, left_out = MOST_SERIES, 0
    for device in sorted(devices, key=lambda one: one.name):
        labels = said.get(device.id, _NOTHING).labels
        if device.admission is Admission.PENDING or not report.is_about(device.name, labels):
            continue
        own = [
            one for one in all_series if one.device == device.id and report.has_metric(one.metric)
        ]
        own.sort(key=lambda one: one.metric)
        left_out += max(0, len(own) - room)
        found.append((device, tuple(own[:room])))
        room -= len(own[:room])
    return Selection(tuple(found), left_out)


def summarise(
    store: HistoryStore,
    report: Report,
    selection: Selection,
    known: Known,
    span: tuple[int, int],
    hub: str,
    zone: str,
) -> Contents:
    """Return all of a report about ``span`` (from, to in µs).

    Raises:
        StorageError: the history can't be read now.
    """
    limits = {
        series.id: _limits(report, known, device, series)
        for device, all_series in selection.devices
        for series in all_series
    }
    parts = [
        _device_part(store, device, all_series, limits, known, span)
        for device, all_series in selection.devices
    ]
    names = {device.name for device, _ in selection.devices}
    alerts = [one for one in known.alerts if one.device in names]
    alerts.sort(key=lambda one: (one.ended is not None, -one.began))
    charts, uncharted = _charts(store, selection, limits, span) if report.charts else ([], 0)
    return Contents(
        name=report.name,
        hub=hub,
        since=span[0],
        until=span[1],
        zone=zone,
        devices=tuple(parts),
        alerts=tuple(alerts[:MOST_ALERTS]),
        alert_count=len(alerts),
        charts=tuple(charts),
        remarks=tuple(_remarks(selection, uncharted)),
    )


def _remarks(selection: Selection, uncharted: int) -> Iterable[str]:
    if selection.left_out:
        yield f"{selection.left_out} metrics more than {MOST_SERIES} were left out."
    if uncharted:
        yield f"{uncharted} metrics more than {MOST_CHARTS} have no chart."


def _device_part(
    store: HistoryStore,
    device: Device,
    all_series: Sequence[Series],
    limits: Mapping[int, Sequence[Limit]],
    known: Known,
    span: tuple[int, int],
) -> DevicePart:
    series = tuple(_series_part(store, one, limits[one.id], span) for one in all_series)
    interval = known.said.get(device.id, _NOTHING).interval
    days = (Day("", *span),)
    going = quality_of(store, device, all_series, days, span[1], interval, known.spared)
    quality = drain(going)
    share = None if quality.share is None else quality.share / 100
    return DevicePart(device.name, series, share, quality.missing)


def _series_part(
    store: HistoryStore, series: Series, limits: Sequence[Limit], span: tuple[int, int]
) -> SeriesPart:
    since, until = span
    if series.kind is SeriesKind.TEXT:
        return _text_part(store, series, since, until)
    buckets = drain(reduce_series(store, series.id, since, until, 1))
    count = sum(buckets.counts)
    if not count:
        return SeriesPart(series.metric, series.unit, series.kind, 0)
    longest = longest_step(store, series.id, since, until)
    swept = sweep(store, series.id, since, until, limits, longest, count=count)
    return SeriesPart(
        metric=series.metric,
        unit=series.unit,
        kind=series.kind,
        count=count,
        low=min(buckets.low),
        high=max(buckets.high),
        mean=buckets.mean[-1],
        last=buckets.last[-1],
        beyond=tuple(
            Beyond(limit, held / MICROSECONDS, held / swept.held if swept.held else 0.0)
            for limit, held in zip(limits, swept.beyond, strict=True)
        ),
        gaps=swept.gaps,
        longest_gap=swept.longest_gap / MICROSECONDS,
        longest_step=longest / MICROSECONDS,
    )


def _text_part(store: HistoryStore, series: Series, since: int, until: int) -> SeriesPart:
    """Return how long a series said what: each text holds until the next one."""
    count = changes = 0
    last: str | None = None
    begin = since
    held: dict[str, int] = {}
    for times, values in store.texts(series.id, since, until):
        for time, value in zip(times, values, strict=True):
            if last is not None:
                _hold(held, last, time - begin)
                changes += value != last
            begin, last = time, value
        count += len(times)
        if count >= _MOST_TEXTS:
            until = begin
            break
    if last is not None:
        _hold(held, last, until - begin)
    total = sum(held.values()) or 1
    longest = sorted(held.items(), key=lambda one: -one[1])[:MOST_STATES]
    states = tuple(StatePart(name, one / MICROSECONDS, one / total) for name, one in longest)
    return SeriesPart(
        series.metric, series.unit, series.kind, count, last=last, states=states, changes=changes
    )


def _hold(held: dict[str, int], text: str, time: int) -> None:
    name = text[:_STATE_CHARACTERS]
    if name in held or len(held) < _MOST_NAMES:
        held[name] = held.get(name, 0) + time


def _limits(report: Report, known: Known, device: Device, series: Series) -> tuple[Limit, ...]:
    """Return the limits that are the report's own, or else those of rules, each value once."""
    if series.kind is not SeriesKind.GAUGE:
        return ()
    if report.has_limits:
        return _finite([Limit(report.above, above=True), Limit(report.below, above=False)])
    labels = known.said.get(device.id, _NOTHING).labels
    found: dict[tuple[float, bool], Limit] = {}
    for rule in Matching(known.rules).of_series(device, series, labels):
        if rule.kind is Kind.LEVEL:
            for one in (Limit(rule.above, True, rule.name), Limit(rule.below, False, rule.name)):
                found.setdefault((one.value, one.above), one)
    return _finite(found.values())


def _finite(limits: Iterable[Limit]) -> tuple[Limit, ...]:
    return tuple(one for one in limits if isfinite(one.value))


def _charts(
    store: HistoryStore,
    selection: Selection,
    limits: Mapping[int, Sequence[Limit]],
    span: tuple[int, int],
) -> tuple[list[Chart], int]:
    groups: dict[tuple[str, str], list[tuple[Device, Series]]] = {}
    for device, all_series in selection.devices:
        for one in all_series:
            if one.kind is SeriesKind.GAUGE:
                groups.setdefault((one.metric, one.unit), []).append((device, one))
    charts: list[Chart] = []
    left_out = 0
    for (metric, unit), members in sorted(groups.items()):
        if len(charts) >= MOST_CHARTS:
            left_out += 1
            continue
        lines = [
            line
            for device, one in members[:MOST_LINES]
            if (line := _line(store, device.name, one.id, span)) is not None
        ]
        if lines:
            values = {limit.value for _, one in members for limit in limits[one.id]}
            more = max(0, len(members) - MOST_LINES)
            charts.append(Chart(metric, unit, tuple(lines), tuple(sorted(values)), more))
    return charts, left_out


def _line(store: HistoryStore, label: str, series: int, span: tuple[int, int]) -> Line | None:
    buckets = drain(reduce_series(store, series, *span, _POINTS))
    if not buckets.starts:
        return None
    return Line(
        label,
        buckets.starts.tolist(),
        buckets.low.tolist(),
        buckets.high.tolist(),
        buckets.mean.tolist(),
        buckets.width,
    )


def drain(steps: Generator[None, None, _Result]) -> _Result:
    """Return what is worked out step by step; nobody else waits meanwhile."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: _Result = end.value
            return found


_NOTHING: Final = Facts()
