"""What ``motehub devices quality`` looks up, and how it prints it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Final

import click
import msgspec

from motehub.cli.opening import find_series, history_of
from motehub.cli.options import Format
from motehub.cli.printing import local_time, print_json, print_rows, shown
from motehub.core.calibrations import Calibrations, spared_of
from motehub.core.days import Day
from motehub.core.profiles import Profiles
from motehub.core.quality import QualityDay, QualityGap, QualityShape, quality_of
from motehub.core.steps import drain
from motehub.journals.sqlite import SqliteLogReader
from motehub.model import MICROSECONDS

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
_GAPS_SHOWN: Final = 10


def quality_in(data: Path, name: str, days: Sequence[Day], now: int) -> tuple[QualityShape, bool]:
    """Return what is there of a device's readings, and whether the history is complete.

    Raises:
        OwnerError: there is no such device, or no history.
    """
    with history_of(data) as (store, complete):
        device, series = find_series(store, name, [])
        with closing(SqliteLogReader(data)) as log:
            state = log.state()
        interval = Profiles.from_state(state).of(device.id).interval
        spared = spared_of(Calibrations.from_state(state).all())
        going = quality_of(store, device, series, days, now, interval, spared)
        return drain(going), complete


def print_quality(found: QualityShape, format_: Format) -> None:
    """Print days and gaps; in JSON all that the API says."""
    if format_ is Format.JSON:
        print_json(msgspec.json.encode(found))
        return
    rows = [msgspec.structs.asdict(day) for day in found.days]
    print_rows(QualityDay.__struct_fields__, rows, format_, empty="")
    if format_ is Format.CSV:
        return
    metric = "Nothing" if found.metric is None else shown(found.metric)
    click.echo(_BASIS[found.basis].format(metric=metric, interval=found.interval))
    if found.share is not None:
        click.echo(f"{found.share:g} % of {found.expected:,} expected readings are there.")
    largest = sorted(found.gaps, key=lambda gap: gap.missing, reverse=True)[:_GAPS_SHOWN]
    if largest:
        click.echo(f"Gaps: {found.gap_count}. Most is missing")
    for gap in largest:
        click.echo(f"  {_span(gap)}: {gap.missing:,}")


def _span(gap: QualityGap) -> str:
    return f"{_local(gap.since)} to {'now' if gap.until is None else _local(gap.until)}"


def _local(moment: str) -> str:
    return local_time(round(datetime.fromisoformat(moment).timestamp() * MICROSECONDS))
