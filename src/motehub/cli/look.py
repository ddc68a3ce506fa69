"""Commands that show what the hub has stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from motehub.cli.options import Format, data_option, format_option, limit_option, since_option

if TYPE_CHECKING:
    from motehub.reports.figure import Curve, Figure


@click.command()
@click.argument("device")
@click.argument("metric", required=False)
@since_option
@format_option
@data_option
def readings(device: str, metric: str | None, since: str, format_: Format, data: Path) -> None:
    """Print a device's readings, oldest first."""
    from motehub.archive.history import WholeHistory
    from motehub.cli.opening import find_series, history_of, parse_since, rows_of
    from motehub.cli.printing import print_rows, shown, warn_incomplete

    start = parse_since(since)
    rows: list[tuple[int, str, float | str, str]] = []
    with history_of(data) as (store, complete):
        _, found = find_series(store, device, [metric] if metric else [])
        raw = WholeHistory(store, data)
        for series in found:
            rows += ((t, series.metric, v, series.unit) for t, v in rows_of(raw, series, start))
    warn_incomplete(complete)
    rows.sort(key=lambda row: row[0])
    columns = ("time", "metric", "value", "unit")
    print_rows(
        columns,
        [dict(zip(columns, row, strict=True)) for row in rows],
        format_,
        empty=f"{shown(device)} has no readings since {since}.",
    )


@click.command()
@click.argument("device", required=False)
@click.argument("metrics", nargs=-1)
@click.option("--since", metavar="TIME", help="As for readings.  [default: 24h; all of a --db]")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Draw to a PNG, SVG or PDF file instead of a window.",
)
@click.option(
    "--db",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Plot the sensor_data table of an SQLite file instead.",
)
@click.option("--time-zone", metavar="ZONE", help="Zone of the time axis, as Europe/Paris.")
@data_option
def plot(
    device: str | None,
    metrics: tuple[str, ...],
    since: str | None,
    output: Path | None,
    db: Path | None,
    time_zone: str | None,
    data: Path,
) -> None:
    """Draw readings: one panel for each unit, gaps as gaps.

    Without DEVICE every device is drawn, without METRICS every metric.
    """
    import time

    from motehub.cli.opening import parse_since
    from motehub.model import MICROSECONDS
    from motehub.reports.figure import Figure
    from motehub.reports.plot import plot_in_child

    if db is not None:
        if device is not None:
            raise click.UsageError("--db plots a whole file: leave out DEVICE and METRICS.")
        figure = _figure_of_file(db, parse_since(since) if since else None)
    else:
        start, end = parse_since(since or "24h"), round(time.time() * MICROSECONDS)
        curves = _curves_of_hub(data, device, list(metrics), start)
        figure = Figure(device or "All devices", tuple(curves), start, end)
    plot_in_child(figure, output, time_zone)
    if output is not None:
        click.echo(f"Drew {sum(len(c.times) for c in figure.curves)} readings to {output}.")


@click.command()
@click.argument("device", required=False)
@limit_option
@format_option
@data_option
def events(device: str | None, limit: int, format_: Format, data: Path) -> None:
    """Print what happened to devices, newest first."""
    import msgspec

    from motehub.cli.opening import find_series, history_of
    from motehub.cli.printing import print_rows, warn_incomplete
    from motehub.history_contract import EventRow

    with history_of(data) as (store, complete):
        device_id = find_series(store, device, [])[0].id if device else None
        rows = store.events(device_id, limit)
    warn_incomplete(complete)
    print_rows(
        EventRow.__struct_fields__,
        [msgspec.structs.asdict(row) for row in rows],
        format_,
        empty="No events.",
    )


@click.command()
@limit_option
@format_option
@data_option
def rejected(limit: int, format_: Format, data: Path) -> None:
    """Print what could not be accepted, with the reason, newest first."""
    from motehub.cli.opening import history_of
    from motehub.cli.printing import print_rows, warn_incomplete

    with history_of(data) as (store, complete):
        rows = store.rejected(limit)
    warn_incomplete(complete)
    print_rows(
        ("time", "device", "source", "count", "reason", "payload"),
        [
            {
                "time": row.time,
                "device": row.device,
                "source": row.source,
                "count": row.count,
                "reason": row.reason,
                "payload": row.payload.decode("utf-8", "backslashreplace"),
            }
            for row in rows
        ],
        format_,
        empty="Nothing was rejected.",
    )


def _curves_of_hub(data: Path, device: str | None, metrics: list[str], start: int) -> list[Curve]:
    from motehub.archive.history import WholeHistory
    from motehub.cli.opening import columns, find_series, history_of
    from motehub.cli.printing import warn_incomplete
    from motehub.model import Kind
    from motehub.reports.figure import Curve

    curves = []
    with history_of(data) as (store, complete):
        names = [device] if device else [one.name for one in store.registry()[0]]
        for name in names:
            for series in find_series(store, name, metrics if device else [])[1]:
                if series.kind is Kind.GAUGE:
                    readings = columns(WholeHistory(store, data), series, start)
                    curves.append(Curve(name, series.metric, series.unit, *readings))
    warn_incomplete(complete)
    return curves


def _figure_of_file(file: Path, start: int | None) -> Figure:
    from motehub.reports.figure import Figure
    from motehub.reports.original import read_original

    original = read_original(file, start)
    if original.unreadable:
        click.echo(f"{original.unreadable} rows of {file} could not be read.", err=True)
    return Figure(file.name, (original.humidity, original.temperature), start)
