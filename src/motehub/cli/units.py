"""``motehub units``: boards to which the hub connects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from motehub.cli.options import Format, data_option, format_option

_Function = TypeVar("_Function", bound=Callable[..., Any])

COLUMNS: Final = (
    "name",
    "address",
    "port",
    "kind",
    "state",
    "trouble",
    "readings",
    "commands",
    "origin",
    "metric",
    "unit",
    "scale",
    "offset",
    "input_range",
    "output_range",
    "minimum",
    "maximum",
    "expected_interval",
    "newest_wins",
)

_NOT_IN_TABLE: Final = COLUMNS[COLUMNS.index("scale") :]
_PORT: Final = click.IntRange(1, 65535)

unit_argument = click.argument("name", metavar="UNIT")


def _limit(_context: click.Context, _option: click.Parameter, text: str | None) -> object:
    """Return a number, or the text ``none``."""
    if text is None or text == "none":
        return text
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither a number nor 'none'.") from None


def definition_options(command: _Function) -> _Function:
    """Give a command the options that describe a unit."""
    options = (
        click.option(
            "--kind",
            type=click.Choice(["read", "updatable", "both", "remote"]),
            help="read (it sends), updatable (it is told), both; remote: of a base elsewhere.",
        ),
        click.option("--metric", metavar="NAME", help="What its readings are called."),
        click.option("--unit", "unit_", metavar="UNIT", help="Unit of its readings: '%', 'lx'."),
        click.option("--scale", type=float, help="Factor of its numbers."),
        click.option("--offset", type=float, help="What is added to them after that."),
        click.option(
            "--input-range", type=float, nargs=2, help="What its numbers range over: 0 1023."
        ),
        click.option("--output-range", type=float, nargs=2, help="What they mean there: 0 100."),
        click.option(
            "--minimum", metavar="NUMBER", callback=_limit, help="Lowest reading, or 'none'."
        ),
        click.option(
            "--maximum", metavar="NUMBER", callback=_limit, help="Highest reading, or 'none'."
        ),
        click.option(
            "--expected-interval", metavar="TIME", help="Longest usual time between two: '10s'."
        ),
        click.option(
            "--newest-wins/--all-in-turn",
            default=None,
            help="Whether a new command takes the place of those that wait.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    """Return what was given of a unit; ranges take the place of scale and offset, and back."""
    given["unit"] = given.pop("unit_")
    fields = {key: value for key, value in given.items() if value is not None}
    if "input_range" in fields or "output_range" in fields:
        fields = {"scale": 1.0, "offset": 0.0} | fields
    elif "scale" in fields or "offset" in fields:
        fields = {"input_range": [], "output_range": []} | fields
    return {key: None if value == "none" else value for key, value in fields.items()}


@click.group("units")
def group() -> None:
    """List, add, test, change, rename, remove and look for boards to which the hub connects."""


@group.command("list")
@data_option
@format_option
def list_units(data: Path, format_: Format) -> None:
    """List all units of the running hub, and how they are."""
    from motehub.cli.printing import print_rows
    from motehub.unit_requests import ListUnits

    rows = _ask(data, ListUnits())["units"]
    print_rows(COLUMNS, rows, format_, empty="There are no units.", not_in_table=_NOT_IN_TABLE)


@group.command()
@click.argument("address")
@click.option("--name", metavar="NAME", help="Name of its device; its address if not given.")
@click.option("--port", type=_PORT, help="Its port; that of [transport.units] if not given.")
@definition_options
@data_option
def add(address: str, data: Path, **given: Any) -> None:
    """Connect to the board at ADDRESS from now on, or say what a remote one sends."""
    from motehub.cli.printing import shown
    from motehub.unit_requests import AddUnit

    unit = _ask(data, AddUnit({"address": address, **_fields(given)}))
    hint = "" if unit["kind"] == "remote" else " 'motehub units test' shows what it says."
    click.echo(f"{shown(unit['name'])} is added.{hint}")


@group.command()
@unit_argument
@definition_options
@data_option
def change(name: str, data: Path, **given: Any) -> None:
    """Change what is given of a unit; what is stored of it stays as it is."""
    from motehub.cli.printing import shown
    from motehub.unit_requests import ChangeUnit

    unit = _ask(data, ChangeUnit(name, _fields(given)))
    click.echo(f"{shown(unit['name'])} is changed.")


@group.command()
@unit_argument
@click.argument("new_name")
@data_option
def rename(name: str, new_name: str, data: Path) -> None:
    """Give a unit's device another name, at most 29 bytes; its history stays with it."""
    from motehub.cli.printing import shown
    from motehub.unit_requests import ChangeUnit

    unit = _ask(data, ChangeUnit(name, {}, new_name))
    click.echo(f"{shown(name)} is now called {shown(unit['name'])}.")


@group.command()
@unit_argument
@data_option
def remove(name: str, data: Path) -> None:
    """Connect to a unit no more; its device and what is stored of it stay."""
    from motehub.cli.printing import shown
    from motehub.unit_requests import RemoveUnit

    left = _ask(data, RemoveUnit(name))["unit"]
    if left is None:
        click.echo(f"{shown(name)} is removed. What is stored of it stays.")
    else:
        click.echo(f"{shown(name)} is as the configuration says again.")


@group.command()
@unit_argument
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 20),
    default=3.0,
    show_default=True,
    help="How long to listen to it.",
)
@data_option
def test(name: str, seconds: float, data: Path) -> None:
    """Connect to a unit now and show what it says; exit 1 when it can't be reached."""
    from motehub.cli.printing import shown
    from motehub.unit_requests import TryUnit

    found = _ask(data, TryUnit(name, seconds))
    if not found["connected"]:
        click.echo(f"{shown(name)}: {shown(found['trouble'])}", err=True)
        raise SystemExit(1)
    for line in found["lines"]:
        click.echo(shown(line))
    if not found["lines"]:
        click.echo(f"{shown(name)} is connected, and says nothing.", err=True)


@group.command()
@click.argument("addresses")
@click.option("--port", type=_PORT, default=8888, show_default=True, help="Where boards listen.")
@data_option
@format_option
def scan(addresses: str, port: int, data: Path, format_: Format) -> None:
    """Look for boards in ADDRESSES: 192.168.1.0/24 or 192.168.1.10-192.168.1.40.

    The running hub connects to each once, except to those that are units already.
    """
    from motehub.cli.printing import print_rows
    from motehub.unit_requests import ScanUnits

    rows = _ask(data, ScanUnits(addresses, port))["found"]
    columns = ("address", "port", "name", "line")
    print_rows(columns, rows, format_, empty=f"Nothing listens on port {port} there.")


def _ask(data: Path, request: Any) -> dict[str, Any]:
    """Have the running hub carry out ``request``: without one, nothing is connected to."""
    from motehub.cli.opening import check_folder
    from motehub.control import ask

    check_folder(data)
    return ask(data, request)
