"""The charts of a report: lines of numbers and bands of states, a chart for each metric."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from motehub.core.buckets import reduce_series
from motehub.core.state_buckets import StateBuckets, reduce_states
from motehub.core.steps import drain
from motehub.history_contract import HistoryStore
from motehub.model import Device, Kind, Series
from motehub.reports.contents import Band, Chart, Limit, Line
from motehub.states import Durations, bounded

MOST_CHARTS: Final = 12
"""Charts in one report, each of one metric in one unit."""

MOST_LINES: Final = 8
"""Devices in one chart."""

MOST_NAMED: Final = 7
"""States that have a colour in a chart; all others have one together."""

_POINTS: Final = 320

Member = tuple[Device, Series]
Span = tuple[int, int]


def charts_of(
    store: HistoryStore,
    members: Iterable[Member],
    states: Collection[int],
    limits: Mapping[int, Sequence[Limit]],
    span: Span,
) -> tuple[list[Chart], int]:
    """Return the charts of ``span`` (from, to in µs), and how many more there would be.

    Those of numbers come first. Series of numbers that are in ``states`` have bands, as texts do.

    Raises:
        StorageError: the history can't be read now.
    """
    groups: dict[tuple[bool, str, str], list[Member]] = {}
    for device, one in members:
        has_bands = one.kind is Kind.TEXT or one.id in states
        groups.setdefault((has_bands, one.metric, one.unit), []).append((device, one))
    charts: list[Chart] = []
    left_out = 0
    for (has_bands, _, _), own in sorted(groups.items(), key=lambda group: group[0]):
        if len(charts) >= MOST_CHARTS:
            # Of states it is not known before whether there is anything to draw.
            left_out += not has_bands
            continue
        chart = _bands(store, own, span) if has_bands else _lines(store, own, limits, span)
        if chart is not None:
            charts.append(chart)
    return charts, left_out


def _lines(
    store: HistoryStore,
    members: Sequence[Member],
    limits: Mapping[int, Sequence[Limit]],
    span: Span,
) -> Chart | None:
    drawn = [
        line
        for device, one in members[:MOST_LINES]
        if (line := _line(store, device.name, one.id, span)) is not None
    ]
    if not drawn:
        return None
    values = {limit.value for _, one in members for limit in limits[one.id]}
    more = max(0, len(members) - MOST_LINES)
    _, first = members[0]
    return Chart(first.metric, first.unit, tuple(drawn), tuple(sorted(values)), more)


def _line(store: HistoryStore, label: str, series: int, span: Span) -> Line | None:
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


def _bands(store: HistoryStore, members: Sequence[Member], span: Span) -> Chart | None:
    """Return a chart of states, unless nothing changed: that is told in a line."""
    found = [
        (device.name, one, drain(reduce_states(store, one, *span, _POINTS, span[1])))
        for device, one in members[:MOST_LINES]
    ]
    found = [part for part in found if part[2].starts]
    if not any(sum(buckets.changes) for _, _, buckets in found):
        return None
    states = _longest(buckets for _, _, buckets in found)
    bands = tuple(
        Band(name, *_shares(buckets, states), are_numbers=one.kind is not Kind.TEXT)
        for name, one, buckets in found
    )
    _, first = members[0]
    more = max(0, len(members) - MOST_LINES)
    return Chart(first.metric, first.unit, bands=bands, states=states, left_out=more)


def _longest(all_buckets: Iterable[StateBuckets]) -> tuple[str | None, ...]:
    """Return the states with a colour of their own by name, and None at the end for others."""
    total: Durations = {}
    for buckets in all_buckets:
        for durations in buckets.durations:
            for name, duration in durations.items():
                total[name] = total.get(name, 0) + duration
    found = bounded(total, MOST_NAMED)
    named = sorted(name for name in found if name is not None)
    return (*named, None) if None in found else tuple(named)


def _shares(
    buckets: StateBuckets, states: Sequence[str | None]
) -> tuple[list[int], list[int], list[list[float]]]:
    """Return begin and end of each bucket, and for each of ``states`` its share of each."""
    starts = buckets.starts.tolist()
    known = [sum(durations.values()) for durations in buckets.durations]
    named = [name for name in states if name is not None]
    columns = []
    for name in named:
        times = (durations.get(name, 0) for durations in buckets.durations)
        columns.append([time / (whole or 1) for time, whole in zip(times, known, strict=True)])
    if None in states:
        columns.append([max(0.0, 1.0 - sum(shares)) for shares in zip(*columns, strict=True)])
    ends = [buckets.end_of(start) for start in starts]
    return starts, ends, columns
