"""What is in a report: numbers of each series, limits, gaps, availability, charts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import isfinite
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from motehub.alerts.matching import Matching
from motehub.alerts.rule import Facts, Kind, Rule
from motehub.archived import Raw
from motehub.core.buckets import reduce_series
from motehub.core.days import Day, days_of
from motehub.core.quality import quality_of
from motehub.core.state_buckets import reduce_states
from motehub.core.steps import drain
from motehub.errors import OwnerError
from motehub.history_contract import HistoryStore
from motehub.model import MICROSECONDS, Admission, Device, Series
from motehub.model import Kind as SeriesKind
from motehub.reports.charts import Span, charts_of
from motehub.reports.contents import (
    AlertPart,
    Beyond,
    Contents,
    DayPart,
    DevicePart,
    Limit,
    Remark,
    SeriesPart,
    StatePart,
)
from motehub.reports.spans import longest_step, sweep
from motehub.schedules.report import Report
from motehub.states import Durations, bounded

MOST_SERIES: Final = 500
"""Series in one report; of more it says that they were left out."""

MOST_ALERTS: Final = 12
"""Alerts that a report names; it counts all."""

MOST_STATES: Final = 5
"""States of a series of which is told how long each lasted; all others are one."""


class Known(msgspec.Struct, frozen=True):
    """What the history does not know: rules, what is said of devices by id, and alerts.

    Of the series of ``spared`` not every reading is stored.
    """

    rules: Sequence[Rule] = ()
    said: Mapping[int, Facts] = {}
    alerts: Sequence[AlertPart] = ()
    spared: Sequence[int] = ()


class Selection(msgspec.Struct, frozen=True):
    """What a report is about: devices by name with those of their series that are in it.

    ``left_out`` are further series, ``others`` the names of devices of which nothing is in it.
    """

    devices: tuple[tuple[Device, tuple[Series, ...]], ...]
    left_out: int = 0
    others: tuple[str, ...] = ()


def select(store: HistoryStore, report: Report, said: Mapping[int, Facts]) -> Selection:
    """Return what ``report`` is about, by name."""
    devices, all_series = store.registry()
    by_device: dict[int, list[Series]] = {}
    for one in all_series:
        if report.has_metric(one.metric):
            by_device.setdefault(one.device, []).append(one)
    found: list[tuple[Device, tuple[Series, ...]]] = []
    others: list[str] = []
    room, left_out = MOST_SERIES, 0
    for device in sorted(devices, key=lambda one: one.name):
        labels = said.get(device.id, _NOTHING).labels
        if device.admission is Admission.PENDING or not report.is_about(device.name, labels):
            continue
        own = sorted(by_device.get(device.id, ()), key=lambda one: one.metric)
        left_out += max(0, len(own) - room)
        if (own and not room) or len(found) >= MOST_SERIES:
            others.append(device.name)
            continue
        found.append((device, tuple(own[:room])))
        room -= len(own[:room])
    return Selection(tuple(found), left_out, tuple(others))


def summarise(
    store: HistoryStore,
    raw: Raw,
    report: Report,
    selection: Selection,
    known: Known,
    span: Span,
    hub: str,
    zone: ZoneInfo,
) -> Contents:
    """Return all of a report about ``span`` (from, to in µs).

    ``raw`` is where readings are read that the store has deleted.

    Raises:
        StorageError: the history can't be read now.
    """
    matching = Matching(known.rules)
    limits = {
        series.id: _limits(report, known, matching, device, series)
        for device, all_series in selection.devices
        for series in all_series
    }
    history = _History(store, raw, store.states.numbers(), span, zone)
    parts = [
        _device_part(history, device, all_series, limits, known)
        for device, all_series in selection.devices
    ]
    names = {device.name for device, _ in selection.devices} | set(selection.others)
    alerts = [one for one in known.alerts if one.device in names]
    alerts.sort(key=lambda one: (one.ended is not None, -one.began))
    members = [(device, one) for device, own in selection.devices for one in own]
    charts, uncharted = (
        charts_of(store, members, history.states, limits, span) if report.charts else ([], 0)
    )
    return Contents(
        name=report.name,
        hub=hub,
        since=span[0],
        until=span[1],
        zone=zone.key or "",
        devices=tuple(parts),
        alerts=tuple(alerts[:MOST_ALERTS]),
        alert_count=len(alerts),
        charts=tuple(charts),
        remarks=tuple(_remarks(selection, uncharted, parts, span[0])),
    )


def _remarks(
    selection: Selection, uncharted: int, parts: Sequence[DevicePart], since: int
) -> Iterable[Remark]:
    if selection.left_out:
        yield Remark("few_metrics", selection.left_out)
    if selection.others:
        yield Remark("few_devices", len(selection.others))
    if uncharted:
        yield Remark("uncharted", uncharted)
    told = max((one.told for part in parts for one in part.series), default=since)
    if told > since:
        yield Remark("hours", time=told)


class _History(NamedTuple):
    """Where it is all from, and the time in question; ``states`` are numbers that are states."""

    store: HistoryStore
    raw: Raw
    states: Collection[int]
    span: Span
    zone: ZoneInfo


def _device_part(
    history: _History,
    device: Device,
    all_series: Sequence[Series],
    limits: Mapping[int, Sequence[Limit]],
    known: Known,
) -> DevicePart:
    series = tuple(_series_part(history, one, limits[one.id]) for one in all_series)
    interval = known.said.get(device.id, _NOTHING).interval
    days = _days(history.span, history.zone)
    until = history.span[1]
    going = quality_of(history.store, device, all_series, days, until, interval, known.spared)
    quality = drain(going)
    share = None if quality.share is None else quality.share / 100
    told = [DayPart(one.date, one.share / 100) for one in quality.days if one.share is not None]
    by_day = tuple(told) if len(days) > 1 else ()
    return DevicePart(device.name, series, share, quality.missing, by_day, quality.hub_down)


def _days(span: Span, zone: ZoneInfo) -> tuple[Day, ...]:
    """Return the days of ``span``, of which the first and the last may be parts; or it as one."""
    since, until = span
    try:
        days = days_of(since, until, zone)
    except OwnerError:
        # More than are looked at one by one.
        return (Day("", since, until),)
    return tuple(Day(one.date, max(one.start, since), min(one.end, until)) for one in days)


def _series_part(history: _History, series: Series, limits: Sequence[Limit]) -> SeriesPart:
    if series.kind is SeriesKind.TEXT or series.id in history.states:
        return _state_part(history, series, limits)
    store, raw, _, (since, until), _ = history
    buckets = drain(reduce_series(store, series.id, since, until, 1))
    count = sum(buckets.counts)
    if not count:
        return SeriesPart(series.metric, series.unit, series.kind, 0)
    told = _told_since(store, series.id, since, until)
    longest = longest_step(store, raw, series.id, told, until)
    swept = sweep(store, raw, series.id, told, until, limits, longest, count=count)
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
        told=told,
    )


def _told_since(store: HistoryStore, series: int, since: int, until: int) -> int:
    """Return from when on there are minutes or readings, and not only sums by hour (µs)."""
    kept = min(store.kept(series).minute, until)
    if kept <= since:
        return since
    archived = store.archive_parts(series, since, kept)
    return max(since, min([kept, *(part.since for part in archived)]))


def _state_part(history: _History, series: Series, limits: Sequence[Limit]) -> SeriesPart:
    """Return how long a series was in which state: each lasts until the next reading."""
    store, span = history.store, history.span
    buckets = drain(reduce_states(store, series, *span, 1, span[1]))
    before = store.states.before(series, span[1])
    if not buckets.starts or before is None:
        return SeriesPart(series.metric, series.unit, series.kind, 0)
    total: Durations = {}
    for durations in buckets.durations:
        for name, time in durations.items():
            total[name] = total.get(name, 0) + time
    whole = sum(total.values()) or 1
    states = bounded(total, MOST_STATES)
    beyond = []
    for limit in limits:
        held = sum(time for name, time in total.items() if limit.is_beyond(float(name or 0)))
        beyond.append(Beyond(limit, held / MICROSECONDS, held / whole))
    return SeriesPart(
        series.metric,
        series.unit,
        series.kind,
        sum(buckets.counts),
        last=before[1],
        beyond=tuple(beyond),
        states=tuple(
            StatePart(name, time / MICROSECONDS, time / whole) for name, time in states.items()
        ),
        changes=sum(buckets.changes),
    )


def _limits(
    report: Report, known: Known, matching: Matching, device: Device, series: Series
) -> tuple[Limit, ...]:
    """Return the limits that are the report's own, or else those of rules, each value once."""
    if series.kind is not SeriesKind.GAUGE:
        return ()
    if report.has_limits:
        return _finite([Limit(report.above, above=True), Limit(report.below, above=False)])
    labels = known.said.get(device.id, _NOTHING).labels
    found: dict[tuple[float, bool], Limit] = {}
    for rule in matching.of_series(device, series, labels):
        if rule.kind is Kind.LEVEL:
            for one in (Limit(rule.above, True, rule.name), Limit(rule.below, False, rule.name)):
                found.setdefault((one.value, one.above), one)
    return _finite(found.values())


def _finite(limits: Iterable[Limit]) -> tuple[Limit, ...]:
    return tuple(one for one in limits if isfinite(one.value))


_NOTHING: Final = Facts()
