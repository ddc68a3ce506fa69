"""Commands that test a hub: simulated devices, its condition, and what to mend."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from motehub.cli.options import DEFAULT_DATA, DataOption
from motehub.errors import OwnerError

if TYPE_CHECKING:
    from motehub.simulate.dht_stream import Totals


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    for command in (simulate, status):
        app.command()(command)


def simulate(
    dialect: Annotated[str, typer.Argument(help="What the devices speak: dht_stream.")],
    devices: Annotated[int, typer.Option(min=1, help="Number of devices.")] = 1,
    rate: Annotated[float, typer.Option(help="Readings per second and device.")] = 0.5,
    batch: Annotated[float, typer.Option(help="Seconds between two batches of a device.")] = 20.0,
    duration: Annotated[
        float | None, typer.Option(help="Seconds; until Ctrl+C if not set.")
    ] = None,
    host: Annotated[str, typer.Option(help="Host of the hub.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="Port of the hub; from run.json if not set.")
    ] = None,
    ca: Annotated[Path | None, typer.Option(help="CA file; from run.json if not set.")] = None,
    keep_open: Annotated[bool, typer.Option(help="Keep the connection between batches.")] = False,
    no_clock: Annotated[
        bool, typer.Option(help="Count seconds from boot, as without NTP.")
    ] = False,
    truncate: Annotated[float, typer.Option(help="Share of batches that break off.")] = 0.0,
    errors: Annotated[float, typer.Option(help="Share of measurements that fail.")] = 0.0,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Run simulated devices against a hub, over the real protocol."""
    import asyncio

    from motehub.simulate.dht_stream import DhtOptions, Totals, run

    if dialect != "dht_stream":
        raise OwnerError(f"{dialect!r} can't be simulated. Known dialects: dht_stream.")
    found_port, found_ca = _listener(data, dialect) if port is None else (port, ca)
    options = DhtOptions(
        host=host,
        port=found_port,
        ca=ca or found_ca,
        devices=devices,
        rate=rate,
        batch_seconds=batch,
        duration=duration,
        keep_open=keep_open,
        no_clock=no_clock,
        truncate=truncate,
        errors=errors,
        source_addresses=tuple(_addresses(devices)) if host == "127.0.0.1" else (),
    )
    totals = Totals()

    def progress(now: Totals) -> None:
        nonlocal totals
        totals = now
        typer.echo(f"\r{_summary(now)}", nl=False, err=True)

    try:
        totals = asyncio.run(run(options, progress))
    except KeyboardInterrupt:
        pass
    finally:
        typer.echo(err=True)
    typer.echo(_summary(totals))


def status(data: DataOption = DEFAULT_DATA) -> None:
    """Print the condition of the running hub as JSON."""
    import msgspec

    from motehub.control import Status, ask

    result = ask(data, Status())
    typer.echo(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())


def _listener(data: Path, name: str) -> tuple[int, Path]:
    """Return the port and the CA file that ``run.json`` gives."""
    import msgspec

    from motehub.app import RUN_FILE, RunFile

    try:
        run_file = msgspec.json.decode((data / RUN_FILE).read_bytes(), type=RunFile)
        return run_file.listeners[name].port, Path(run_file.ca)
    except (OSError, msgspec.MsgspecError, KeyError) as error:
        raise OwnerError(
            f"No hub runs on {data} with a {name} listener. Start one, or give --port and --ca."
        ) from error


def _addresses(devices: int) -> list[str]:
    """Give each device a loopback address of its own, so that the hub can tell them apart."""
    from ipaddress import IPv4Address

    first = IPv4Address("127.0.1.1")
    return [str(first + number) for number in range(min(devices, 60_000))]


def _summary(totals: Totals) -> str:
    text = (
        f"{totals.records} records in {totals.batches} batches over "
        f"{totals.connections} connections, {totals.failures} failures"
    )
    return f"{text} ({totals.last_failure})" if totals.last_failure else text
