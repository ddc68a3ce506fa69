"""``motehub devices``: who may write."""

from __future__ import annotations

from typing import Annotated

import typer

from motehub.cli.options import DEFAULT_DATA, DataOption, Format, FormatOption

app = typer.Typer(help="List, accept, rename, block and remove devices.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the device.")]


@app.command("list")
def list_devices(data: DataOption = DEFAULT_DATA, format_: FormatOption = Format.TABLE) -> None:
    """List every device that was ever seen, with its counts."""
    from motehub.cli.opening import history_of
    from motehub.cli.printing import print_rows, warn_incomplete

    with history_of(data) as (store, complete):
        rows = store.devices()
    warn_incomplete(complete)
    print_rows(
        [
            {
                "name": row.device.name,
                "admission": row.device.admission.value,
                "dialect": row.device.dialect,
                "identities": list(row.device.identities),
                "first_seen": row.device.first_seen,
                "last_seen": row.last_seen,
                "received": row.received,
                "stored": row.stored,
                "duplicate": row.duplicate,
                "rejected": row.rejected,
                "waiting": row.device.held,
            }
            for row in rows
        ],
        format_,
        empty="No device has been seen yet.",
        not_in_table=("dialect", "identities", "first_seen"),
    )


@app.command()
def accept(
    name: Name,
    new_name: Annotated[str | None, typer.Option("--name", help="New name.")] = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Let a device write; what it has sent so far is stored."""
    from motehub.cli.opening import tell_hub
    from motehub.control import AcceptDevice

    result = tell_hub(data, AcceptDevice(name, new_name))
    typer.echo(f"{result['name']} is accepted.")


@app.command()
def rename(
    name: Name,
    new_name: Annotated[str, typer.Argument(help="New name, at most 29 bytes.")],
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Give a device another name; its history stays with it."""
    from motehub.cli.opening import tell_hub
    from motehub.control import RenameDevice

    result = tell_hub(data, RenameDevice(name, new_name))
    typer.echo(f"{name} is now called {result['name']}.")


@app.command()
def block(name: Name, data: DataOption = DEFAULT_DATA) -> None:
    """Refuse everything that a device sends; 'accept' undoes it."""
    from motehub.cli.opening import tell_hub
    from motehub.control import BlockDevice

    result = tell_hub(data, BlockDevice(name))
    typer.echo(f"{result['name']} is blocked.")


@app.command()
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Remove a device and everything that is stored of it."""
    from motehub.cli.opening import tell_hub
    from motehub.control import RemoveDevice

    if not yes:
        typer.confirm(f"Remove {name} and all its readings?", abort=True)
    result = tell_hub(data, RemoveDevice(name))
    typer.echo(f"{result['name']} is removed.")
