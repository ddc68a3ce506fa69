"""``motehub devices``: who may write, and what is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from motehub.cli.options import Format, data_option, format_option

COLUMNS: Final = (
    "name",
    "admission",
    "dialect",
    "identities",
    "first_seen",
    "last_seen",
    "online",
    "received",
    "stored",
    "duplicate",
    "rejected",
    "discarded",
    "waiting",
)

name_argument = click.argument("name")


@click.group("devices")
def group() -> None:
    """List, judge, accept, rename, calibrate, block and remove devices."""


@group.command("list")
@data_option
@format_option
def list_devices(data: Path, format_: Format) -> None:
    """List every device that was ever seen, with its counts."""
    from motehub.cli.opening import history_of
    from motehub.cli.printing import print_rows, warn_incomplete

    with history_of(data) as (store, complete):
        rows = store.devices()
    warn_incomplete(complete)
    print_rows(
        COLUMNS,
        [
            {
                "name": row.device.name,
                "admission": row.device.admission.value,
                "dialect": row.device.dialect,
                "identities": list(row.device.identities),
                "first_seen": row.device.first_seen,
                "last_seen": row.last_seen,
                "online": row.device.online,
                "received": row.received,
                "stored": row.stored,
                "duplicate": row.duplicate,
                "rejected": row.rejected,
                "discarded": row.discarded,
                "waiting": row.device.held,
            }
            for row in rows
        ],
        format_,
        empty="No device has been seen yet.",
        not_in_table=("dialect", "identities", "first_seen"),
    )


@group.command()
@name_argument
@click.option(
    "--since",
    metavar="TIME",
    default="6d",
    show_default=True,
    help="In the first day: '7d', a date or an ISO 8601 time.",
)
@click.option("--time-zone", metavar="ZONE", help="Zone of the days.  [default: the hub's]")
@format_option
@data_option
def quality(name: str, since: str, time_zone: str | None, format_: Format, data: Path) -> None:
    """Tell how many of the expected readings of a device are there, day by day."""
    import time

    from motehub.cli.opening import check_history, configuration_of, parse_since
    from motehub.cli.printing import warn_incomplete
    from motehub.cli.quality import print_quality, quality_in
    from motehub.core.days import days_of
    from motehub.model import MICROSECONDS
    from motehub.storage import hub_zone
    from motehub.zones import find_zone

    check_history(data)
    now = round(time.time() * MICROSECONDS)
    zone = find_zone(time_zone) if time_zone else hub_zone(configuration_of(data))
    days = days_of(parse_since(since), now + 1, zone)
    found, complete = quality_in(data, name, days, now)
    warn_incomplete(complete)
    print_quality(found, format_, zone)


@group.command()
@name_argument
@click.option("--name", "new_name", metavar="NEW", help="New name, at most 29 bytes.")
@data_option
def accept(name: str, new_name: str | None, data: Path) -> None:
    """Let a device write; what it has sent so far is stored."""
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import shown
    from motehub.control import AcceptDevice

    result = tell_hub(data, AcceptDevice(name, new_name))
    click.echo(f"{shown(result['name'])} is accepted.")


@group.command()
@name_argument
@click.argument("new_name")
@data_option
def rename(name: str, new_name: str, data: Path) -> None:
    """Give a device another name, at most 29 bytes; its history stays with it."""
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import shown
    from motehub.control import RenameDevice

    result = tell_hub(data, RenameDevice(name, new_name))
    click.echo(f"{shown(name)} is now called {shown(result['name'])}.")


@group.command()
@name_argument
@data_option
def block(name: str, data: Path) -> None:
    """Refuse everything that a device sends; 'accept' undoes it."""
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import shown
    from motehub.control import BlockDevice

    result = tell_hub(data, BlockDevice(name))
    click.echo(f"{shown(result['name'])} is blocked.")


@group.command()
@name_argument
@click.option("--yes", is_flag=True, help="Don't ask.")
@data_option
def remove(name: str, yes: bool, data: Path) -> None:
    """Remove a device and everything that is stored of it."""
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import shown
    from motehub.control import RemoveDevice

    if not yes:
        click.confirm(f"Remove {name} and all its readings?", abort=True)
    result = tell_hub(data, RemoveDevice(name))
    click.echo(f"{shown(result['name'])} is removed.")


@group.command()
@name_argument
@click.argument("metric")
@click.option("--offset", type=float, default=0.0, help="Added to every number, after the scale.")
@click.option("--scale", type=float, default=1.0, help="Every number is multiplied by it.")
@click.option("--low", type=float, help="Least valid value; what is below is rejected.")
@click.option("--high", type=float, help="Greatest valid value; what is above is rejected.")
@click.option("--deadband", type=float, default=0.0, help="Smaller changes are not stored.")
@click.option(
    "--spacing", metavar="SECONDS", type=float, default=0.0, help="Stored at most so often."
)
@data_option
def calibrate(
    name: str,
    metric: str,
    offset: float,
    scale: float,
    low: float | None,
    high: float | None,
    deadband: float,
    spacing: float,
    data: Path,
) -> None:
    """Say what is made of the numbers of a metric that come from now on.

    Without options they are values as they are sent, all valid.
    """
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import shown
    from motehub.control import CalibrateSeries
    from motehub.core.calibrations import Calibration

    calibration = Calibration(offset, scale, low, high, deadband, spacing)
    result = tell_hub(data, CalibrateSeries(name, metric, calibration))
    said = calibration.describe("")
    click.echo(f"{shown(metric)} of {shown(result['name'])} is taken from now on: {said}.")
