"""Commands that show what the hub has stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from motehub.cli.options import DEFAULT_DATA, DataOption, Format, FormatOption, SinceOption

if TYPE_CHECKING:
    from motehub.reports.figure import Curve, Figure

LimitOption = Annotated[int, typer.Option("--limit", min=1, help="Most rows.")]


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    for command in (readings, plot, events, rejected):
        app.command()(command)


def readings(
    device: Annotated[str, typer.Argument(help="Name of the device.")],
    metric: Annotated[str | None, typer.Argument(help="Only this metric.")] = None,
    since: SinceOption = "24h",
    format_: FormatOption = Format.TABLE,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Print a device's readings, oldest first."""
    from motehub.cli.opening import columns, find_series, history_of, parse_since
    from motehub.cli.printing import print_rows, warn_incomplete

    start = parse_since(since)
    rows: list[tuple[int, str, float, str]] = []
    with history_of(data) as (store, complete):
        _, found = find_series(store, device, [metric] if metric else [])
        for series in found:
            times, values = columns(store, series, start, _FOREVER)
            rows += ((t, series.metric, v, series.unit) for t, v in zip(times, values, strict=True))
    warn_incomplete(complete)
    rows.sort(key=lambda row: row[0])
    print_rows(
        [dict(zip(("time", "metric", "value", "unit"), row, strict=True)) for row in rows],
        format_,
        empty=f"{device} has no readings since {since}.",
    )


def plot(
    device: Annotated[
        str | None, typer.Argument(help="Name of the device; every device when left out.")
    ] = None,
    metrics: Annotated[list[str] | None, typer.Argument(help="Only these metrics.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="As for readings. [default: 24h]")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="PNG, SVG or PDF; else a window."),
    ] = None,
    db: Annotated[
        Path | None,
        typer.Option("--db", metavar="FILE", help="Plot a sensor_data database file instead."),
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option("--time-zone", metavar="ZONE", help="Zone of the time axis.")
    ] = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Draw readings: one panel for each unit, gaps as gaps."""
    import time

    from motehub.cli.opening import parse_since
    from motehub.model import MICROSECONDS
    from motehub.reports.figure import Figure
    from motehub.reports.plot import plot_in_child

    if db is not None:
        figure = _figure_of_file(db, parse_since(since) if since else None)
    else:
        start, end = parse_since(since or "24h"), round(time.time() * MICROSECONDS)
        curves = _curves_of_hub(data, device, metrics or [], start)
        figure = Figure(device or "All devices", tuple(curves), start, end)
    plot_in_child(figure, output, time_zone)
    if output is not None:
        typer.echo(f"Drew {sum(len(c.times) for c in figure.curves)} readings to {output}.")


def events(
    device: Annotated[str | None, typer.Argument(help="Only this device.")] = None,
    limit: LimitOption = 50,
    format_: FormatOption = Format.TABLE,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Print what happened to devices, newest first."""
    import msgspec

    from motehub.cli.opening import find_series, history_of
    from motehub.cli.printing import print_rows, warn_incomplete

    with history_of(data) as (store, complete):
        device_id = find_series(store, device, [])[0].id if device else None
        rows = store.events(device_id, limit)
    warn_incomplete(complete)
    print_rows([msgspec.structs.asdict(row) for row in rows], format_, empty="No events.")


def rejected(
    limit: LimitOption = 50,
    format_: FormatOption = Format.TABLE,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Print what could not be accepted, with the reason, newest first."""
    from motehub.cli.opening import history_of
    from motehub.cli.printing import print_rows, warn_incomplete

    with history_of(data) as (store, complete):
        rows = store.rejected(limit)
    warn_incomplete(complete)
    print_rows(
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


_FOREVER = 2**62


def _curves_of_hub(data: Path, device: str | None, metrics: list[str], start: int) -> list[Curve]:
    from motehub.cli.opening import columns, find_series, history_of
    from motehub.cli.printing import warn_incomplete
    from motehub.reports.figure import Curve

    curves = []
    with history_of(data) as (store, complete):
        names = [device] if device else [one.name for one in store.registry()[0]]
        for name in names:
            for series in find_series(store, name, metrics if device else [])[1]:
                curves.append(
                    Curve(
                        name, series.metric, series.unit, *columns(store, series, start, _FOREVER)
                    )
                )
    warn_incomplete(complete)
    return curves


def _figure_of_file(file: Path, start: int | None) -> Figure:
    from motehub.reports.figure import Figure
    from motehub.reports.original import read_original

    original = read_original(file, start)
    if original.unreadable:
        typer.echo(f"{original.unreadable} rows of {file} could not be read.", err=True)
    return Figure(file.name, (original.humidity, original.temperature), start)
