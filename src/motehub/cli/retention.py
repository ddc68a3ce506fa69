"""``motehub retention``: for how long readings and their sums are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from motehub.cli.options import Format, data_option, format_option

COLUMNS: Final = ("device", "metric", "raw", "minute", "hour", "day")


@click.group("retention")
def group() -> None:
    """Show and set for how long readings and their sums are kept."""


@group.command()
@data_option
@format_option
def show(data: Path, format_: Format) -> None:
    """Show all rules; the one without a device is from the configuration."""
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import print_rows
    from motehub.retention_requests import ShowRetention

    found = tell_hub(data, ShowRetention())
    rows = [{"device": None, "metric": None, **found["default"]}, *found["rules"]]
    print_rows(COLUMNS, rows, format_, empty="")
    if found["disk_budget"] is not None:
        click.echo(f"Disk budget: {found['disk_budget']:,} bytes.", err=True)


@group.command("set")
@click.argument("device")
@click.argument("metric", required=False)
@click.option("--raw", metavar="PERIOD", help="The readings themselves: 30d, 2y, forever.")
@click.option("--minute", metavar="PERIOD", help="Their sums by minute.")
@click.option("--hour", metavar="PERIOD", help="Their sums by hour.")
@click.option("--day", metavar="PERIOD", help="Their sums by day.")
@data_option
def set_(
    device: str,
    metric: str | None,
    raw: str | None,
    minute: str | None,
    hour: str | None,
    day: str | None,
    data: Path,
) -> None:
    """Keep readings of a DEVICE, or of one METRIC of it, for so long.

    What is not given is as of the device, or as of all others; without any option the rule goes.
    """
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import shown
    from motehub.core.retention import Rule
    from motehub.retention_requests import SetRetention

    rule = Rule(raw, minute, hour, day)
    tell_hub(data, SetRetention(device, metric, rule))
    whose = f"{metric} of {device}" if metric else device
    if rule == Rule():
        click.echo(f"{shown(whose)} has no rule of its own any more.")
    else:
        click.echo(f"{shown(whose)} has a rule of its own: 'motehub retention show'.")


@group.command("confirm-clock")
@data_option
def confirm_clock(data: Path) -> None:
    """Say that the clock of the hub's machine is right.

    A hub whose clock has jumped ahead, or that was away for long, deletes nothing by age for a
    day; this ends that. If the clock is wrong, set it right instead.
    """
    from motehub.cli.opening import tell_hub
    from motehub.retention_requests import ConfirmClock

    clock = tell_hub(data, ConfirmClock())["clock"]
    click.echo(f"It is {clock}: what is old by that is deleted from now on.")
