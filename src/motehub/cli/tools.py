"""Commands that test a hub: simulated devices, its condition, and what to mend."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from motehub.cli.options import config_option, data_option, data_override
from motehub.errors import NoHub, OwnerError

if TYPE_CHECKING:
    from motehub.simulate.dht_stream import Totals


class Number(click.FloatRange):
    """A finite number in a range."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number; fail on NaN too, which is in every range."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


AMOUNT: Final = Number(0, min_open=True)
SHARE: Final = Number(0, 1)


@click.command()
@click.argument("dialect", type=click.Choice(["dht_stream"]), metavar="DIALECT")
@click.option("--devices", type=click.IntRange(1, 60_000), default=1, help="Number of devices.")
@click.option(
    "--rate", type=AMOUNT, default=0.5, help="Readings per second and device.  [default: 0.5]"
)
@click.option(
    "--batch", type=AMOUNT, default=20.0, help="Seconds between two batches.  [default: 20]"
)
@click.option("--duration", type=AMOUNT, help="Seconds to run; until Ctrl+C if not given.")
@click.option("--host", default="127.0.0.1", help="Host of the hub.  [default: 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port of the hub; from run.json if not given."
)
@click.option(
    "--ca", type=click.Path(path_type=Path), help="CA file; from run.json if no port is given."
)
@click.option("--keep-open", is_flag=True, help="Keep the connection between batches.")
@click.option("--no-clock", is_flag=True, help="Count seconds from boot, as without network time.")
@click.option("--truncate", type=SHARE, default=0.0, help="Share of batches that break off.")
@click.option("--errors", type=SHARE, default=0.0, help="Share of measurements that fail.")
@data_option
def simulate(
    dialect: str,
    devices: int,
    rate: float,
    batch: float,
    duration: float | None,
    host: str,
    port: int | None,
    ca: Path | None,
    keep_open: bool,
    no_clock: bool,
    truncate: float,
    errors: float,
    data: Path,
) -> None:
    """Run simulated devices against a hub, over the real protocol of DIALECT (dht_stream)."""
    import asyncio

    from motehub.simulate.dht_stream import DhtOptions, Totals, run

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
        click.echo(f"\r{_summary(now)}", nl=False, err=True)

    try:
        totals = asyncio.run(run(options, progress))
    except KeyboardInterrupt:
        pass
    finally:
        click.echo(err=True)
    click.echo(_summary(totals))
    if totals.failures and not totals.connections:
        raise OwnerError(
            f"Nothing answers on {host}:{found_port} ({totals.last_failure}). Is the hub running? "
            f"'motehub doctor --data {data}' tells more."
        )


@click.command()
@config_option
@data_override
def doctor(config: Path | None, data: Path | None) -> None:
    """Check ports, certificates, disk, clock and databases, and say what to do."""
    from motehub.cli.opening import with_store_of_folder
    from motehub.cli.printing import shown
    from motehub.config import load
    from motehub.doctor import Level, examine

    worst = Level.OK
    colours = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}
    settings = load(config, data_dir=data)
    for finding in examine(settings if config else with_store_of_folder(settings)):
        mark = click.style(f"{finding.level.value:8}", fg=colours[finding.level])
        click.echo(f"{mark} {finding.subject}: {shown(finding.message)}")
        if finding.mend:
            click.echo(f"{'':8} → {finding.mend}")
        if finding.level is Level.PROBLEM:
            worst = Level.PROBLEM
    raise SystemExit(1 if worst is Level.PROBLEM else 0)


@click.command()
@data_option
def status(data: Path) -> None:
    """Print the condition of the running hub as JSON."""
    import msgspec

    from motehub.cli.printing import print_json
    from motehub.control import Status, ask

    print_json(msgspec.json.encode(ask(data, Status())))


def _listener(data: Path, name: str) -> tuple[int, Path]:
    """Return the port and the CA file that ``run.json`` gives."""
    import msgspec

    from motehub.app import RUN_FILE, RunFile

    try:
        run_file = msgspec.json.decode((data / RUN_FILE).read_bytes(), type=RunFile)
    except (OSError, msgspec.MsgspecError) as error:
        raise NoHub(
            f"No hub runs on {data}. Start one with 'motehub serve --data {data}', "
            "name its folder with --data, or give --port and --ca."
        ) from error
    if name not in run_file.listeners:
        raise OwnerError(
            f"The hub on {data} has no {name} listener. Add the section [transport.{name}] to "
            "its configuration, or give --port and --ca."
        )
    return run_file.listeners[name].port, Path(run_file.ca)


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
