"""States of devices in buckets of time, as JSON and CSV have them."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any, Final

from motehub.core.moments import iso
from motehub.core.queries import MOST_READINGS, Readings
from motehub.core.shapes import StateColumns
from motehub.core.state_buckets import StateBuckets, reduce_states
from motehub.errors import OwnerError
from motehub.history_contract import HistoryStore
from motehub.model import MICROSECONDS, Series

MOST_NAMED: Final = 12
"""States of a series that an answer names; all others are one."""

STATE_NAMES: Final = ("time", "device", "metric", "state", "seconds", "changes", "count")
"""Columns of CSV: a row for each state in a bucket; changes and count are of the bucket."""

OTHERS: Final = "*"
"""What all states are called in CSV that are not named."""

Reduced = Sequence[tuple[Series, StateBuckets]]


def check_points(points: int, numbers: int, states: int) -> None:
    """See that an answer is not too long.

    Raises:
        OwnerError: it is.
    """
    # Mostly a few states of a series are all that there are.
    if (numbers + 2 * states) * points > MOST_READINGS:
        raise OwnerError(
            f"{points} points of {numbers + states} metrics are more than {MOST_READINGS}, if one "
            "with states counts as two. Ask for fewer points or fewer metrics."
        )


def reduce_all_states(
    store: HistoryStore, question: Readings, wanted: Sequence[Series]
) -> Generator[None, None, list[tuple[Series, StateBuckets]]]:
    """Return the states of each series in buckets; yield at times."""
    reduced = []
    for one in wanted:
        assert question.points is not None
        end = question.until if question.now is None else question.now
        bounds = question.since, question.until, question.points
        buckets = yield from reduce_states(store, one, *bounds, end)
        reduced.append((one, buckets))
    return reduced


def show_states(series: Series, buckets: StateBuckets) -> StateColumns:
    """Return the states of a series as JSON has them."""
    names = buckets.states(MOST_NAMED)
    return StateColumns(
        metric=series.metric,
        unit=series.unit,
        kind=series.kind,
        width=buckets.width / MICROSECONDS,
        times=[start / MICROSECONDS for start in buckets.starts],
        count=buckets.counts.tolist(),
        changes=buckets.changes.tolist(),
        states=names,
        seconds=[[one.get(name, 0) / MICROSECONDS for one in buckets.durations] for name in names],
        other=[other / MICROSECONDS for other in _others(buckets, names)],
    )


def state_rows(device: str, reduced: Reduced) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of CSV, series by series."""
    for series, buckets in reduced:
        names = buckets.states(MOST_NAMED)
        others = _others(buckets, names)
        for place, start in enumerate(buckets.starts):
            counts = buckets.changes[place], buckets.counts[place]
            pairs = [(name, buckets.durations[place].get(name, 0)) for name in names]
            for name, duration in [*pairs, (OTHERS, others[place])]:
                if duration:
                    seconds = duration / MICROSECONDS
                    yield iso(start), device, series.metric, name, seconds, *counts


def _others(buckets: StateBuckets, names: Sequence[str]) -> list[int]:
    named = set(names)
    return [
        sum(duration for name, duration in one.items() if name not in named)
        for one in buckets.durations
    ]
