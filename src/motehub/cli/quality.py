"""What ``motehub devices quality`` looks up, and how it prints it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from motehub import data_folder
from motehub.cli.opening import find_series, history_of
from motehub.cli.options import Format
from motehub.cli.printing import print_json, print_rows, shown
from motehub.core.attendance import last_there
from motehub.core.calibrations import Calibrations, spared_of
from motehub.core.days import Day
from motehub.core.losses import QualityDay, QualityGap, QualityShape
from motehub.core.profiles import Profiles
from motehub.core.quality import quality_of
from motehub.core.steps import drain
from motehub.journals.sqlite import SqliteLogReader

_BASIS: Final = {
    "given": "{metric} is expected every {interval:.3g} s.",
    "estimated": (
        "{metric} comes every {interval:.3g} s: estimated from the newest readings, since no "
        "interval is given."
    ),
    "unknown": (
        "Nobody has said how often {metric} is expected, and it comes at no regular interval: "
        "what is missing is not known."
    ),
    "spared": (
        "{metric} is stored only when it changes, or now and then: what is missing is not known."
    ),
}
_ARRIVED: Final = (
    "Of all its metrics {received:,} readings came in these days: {stored:,} were stored, "
    "{duplicate:,} were there already, {rejected:,} rejected, {discarded:,} discarded."
)
_ARRIVED_COLUMNS: Final = ("duplicate", "rejected", "discarded")
_COLUMNS: Final = (
    "date",
    "received",
    "expected",
    "missing",
    "share",
    "hub_down",
    "hub_missing",
    *_ARRIVED_COLUMNS,
)
_GAPS_SHOWN: Final = 10


def quality_in(data: Path, name: str, days: Sequence[Day], now: int) -> tuple[QualityShape, bool]:
    """Return what is there of a device's readings, and whether the history is complete.

    Raises:
        OwnerError: there is no such device, or no history.
    """
    with history_of(data) as (store, complete):
        device, series = find_series(store, name, [])
        with closing(SqliteLogReader(data)) as log:
            state, newest = log.state(), log.newest()
        down_since = None if data_folder.is_owned(data) else last_there(state, newest)
        interval = Profiles.from_state(state).of(device.id).interval
        spared = spared_of(Calibrations.from_state(state).all())
        going = quality_of(store, device, series, days, now, interval, spared, down_since)
        return drain(going), complete


def print_quality(found: QualityShape, format_: Format, zone: tzinfo) -> None:
    """Print days and gaps, at times of ``zone``; in JSON all that the API says."""
    if format_ is Format.JSON:
        print_json(msgspec.json.encode(found))
        return
    print_rows(_COLUMNS, [_row(day) for day in found.days], format_, empty="")
    if format_ is Format.CSV:
        return
    metric = "Nothing" if found.metric is None else shown(found.metric)
    click.echo(_BASIS[found.basis].format(metric=metric, interval=found.interval))
    if found.share is not None:
        click.echo(f"{found.share:g} % of {found.expected:,} expected readings are there.")
    if found.hub_down:
        missed = f", and missed {found.hub_missing:,} readings" if found.hub_missing else ""
        click.echo(f"The hub itself was down for {_lasting(found.hub_down)}{missed}.")
    if found.arrived is not None:
        click.echo(_ARRIVED.format(**msgspec.structs.asdict(found.arrived)))
    largest = sorted(found.gaps, key=_weight, reverse=True)[:_GAPS_SHOWN]
    if largest:
        click.echo(f"Gaps: {found.gap_count}. Most is missing")
    for gap in largest:
        click.echo(f"  {_span(gap, zone)}: {_missing(gap)}")


def _row(day: QualityDay) -> dict[str, Any]:
    row = {name: getattr(day, name) for name in _COLUMNS if hasattr(day, name)}
    for name in _ARRIVED_COLUMNS:
        row[name] = None if day.arrived is None else getattr(day.arrived, name)
    return row


def _weight(gap: QualityGap) -> int:
    return gap.missing + gap.hub_missing


def _missing(gap: QualityGap) -> str:
    if not gap.hub_missing:
        return f"{gap.missing:,}"
    return f"{gap.missing:,}, and {gap.hub_missing:,} while the hub was down"


def _lasting(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.3g} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _span(gap: QualityGap, zone: tzinfo) -> str:
    until = "now" if gap.until is None else _local(gap.until, zone)
    return f"{_local(gap.since, zone)} to {until}"


def _local(moment: str, zone: tzinfo) -> str:
    return f"{datetime.fromisoformat(moment).astimezone(zone):%Y-%m-%d %H:%M:%S}"
