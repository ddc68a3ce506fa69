"""``motehub simulate``: devices of a dialect that talk to a hub as real ones do."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import click

from motehub.cli.options import data_option
from motehub.errors import NoHub, OwnerError

if TYPE_CHECKING:
    from motehub.simulate.fleet import FleetTotals
    from motehub.simulate.json_socket import Identity

_Totals = TypeVar("_Totals", bound="FleetTotals")
_Run = Callable[[Callable[[_Totals], None]], Coroutine[Any, Any, _Totals]]

Dialect = Literal["dht_stream", "json_socket"]

ONLY: Final[dict[str, Dialect]] = {
    "keep_open": "dht_stream",
    "no_clock": "dht_stream",
    "truncate": "dht_stream",
    "errors": "dht_stream",
    "acknowledge": "json_socket",
    "certificate": "json_socket",
}
"""Options that one dialect alone has."""


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
@click.argument("dialect", type=click.Choice(["dht_stream", "json_socket"]), metavar="DIALECT")
@click.option("--devices", type=click.IntRange(1, 60_000), default=1, help="Number of devices.")
@click.option(
    "--rate",
    type=AMOUNT,
    default=0.5,
    help="Readings (JSON: objects) per second and device.  [default: 0.5]",
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
@click.option("--keep-open", is_flag=True, help="Keep the connection between batches (dht_stream).")
@click.option(
    "--no-clock",
    is_flag=True,
    help="Count seconds from boot, as without network time (dht_stream).",
)
@click.option(
    "--truncate", type=SHARE, default=0.0, help="Share of batches that break off (dht_stream)."
)
@click.option(
    "--errors", type=SHARE, default=0.0, help="Share of measurements that fail (dht_stream)."
)
@click.option("--acknowledge", is_flag=True, help="Ask for an answer to each object (json_socket).")
@click.option(
    "--certificate",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Certificate of all devices, its key in the .key file beside it (json_socket); "
    "if not given, each gets one from the hub's authority.",
)
@data_option
@click.pass_context
def simulate(ctx: click.Context, /, dialect: Dialect, data: Path, **given: Any) -> None:
    """Run simulated devices against a hub, over the real protocol of DIALECT.

    DIALECT is dht_stream (boards with text records) or json_socket (programs with JSON objects).
    """
    for name, owner in ONLY.items():
        if owner != dialect and given[name]:
            option = name.replace("_", "-")
            raise click.UsageError(f"--{option} is an option of {owner}, not of {dialect}.", ctx)
    port, ca = given["port"], given["ca"]
    if port is None:
        port, found = _listener(data, dialect)
        ca = ca or found
    common = {
        "host": given["host"],
        "port": port,
        "ca": ca,
        "devices": given["devices"],
        "rate": given["rate"],
        "batch_seconds": given["batch"],
        "duration": given["duration"],
        "source_addresses": _addresses(given["devices"]) if given["host"] == "127.0.0.1" else (),
    }
    run = _run_dht_stream if dialect == "dht_stream" else _run_json_socket
    totals = run(common, given, data)
    if totals.failures and not totals.connections:
        raise OwnerError(
            f"Nothing answers on {given['host']}:{port} ({totals.last_failure}). "
            f"Is the hub running? 'motehub doctor --data {data}' tells more."
        )


def _run_dht_stream(common: Mapping[str, Any], given: Mapping[str, Any], data: Path) -> FleetTotals:
    from motehub.simulate.dht_stream import DhtOptions, Totals, run

    own = {name: given[name] for name, dialect in ONLY.items() if dialect == "dht_stream"}
    options = DhtOptions(**common, **own)

    def summary(totals: Totals) -> str:
        return _sentence(f"{totals.records} records", totals)

    return _watch(lambda progress: run(options, progress), Totals(), summary)


def _run_json_socket(
    common: Mapping[str, Any], given: Mapping[str, Any], data: Path
) -> FleetTotals:
    from motehub.simulate.json_socket import JsonOptions, Totals, run

    identities = _identities(data, given["devices"], given["certificate"])
    options = JsonOptions(**common, identities=identities, acknowledge=given["acknowledge"])

    def summary(totals: Totals) -> str:
        sent = f"{totals.objects} objects"
        if options.acknowledge:
            sent += f" ({totals.acknowledged} acknowledged, {totals.refused} refused)"
        if totals.refused:
            sent += f" [{totals.last_refusal}]"
        return _sentence(sent, totals)

    return _watch(lambda progress: run(options, progress), Totals(), summary)


def _watch(run: _Run[_Totals], totals: _Totals, summary: Callable[[_Totals], str]) -> _Totals:
    """Run the devices, show what they do, print what they did and return it."""
    import asyncio

    def progress(now: _Totals) -> None:
        nonlocal totals
        totals = now
        click.echo(f"\r{summary(now)}", nl=False, err=True)

    try:
        totals = asyncio.run(run(progress))
    except KeyboardInterrupt:
        pass
    finally:
        click.echo(err=True)
    click.echo(summary(totals))
    return totals


def _sentence(sent: str, totals: FleetTotals) -> str:
    text = (
        f"{sent} in {totals.batches} batches over {totals.connections} connections, "
        f"{totals.failures} failures"
    )
    return f"{text} ({totals.last_failure})" if totals.last_failure else text


def _identities(data: Path, devices: int, certificate: Path | None) -> tuple[Identity, ...]:
    """Return with what each device logs in; a certificate that is missing is made."""
    from motehub.security.authority import Authority
    from motehub.simulate.json_socket import Identity

    names = [f"simulated-{number}" for number in range(1, devices + 1)]
    if certificate is not None:
        key = certificate.with_suffix(".key")
        return tuple(Identity(name, certificate, key) for name in names)
    if not (data / "ca.key").exists():
        raise OwnerError(
            f"{data} has no authority that could issue certificates to the devices. "
            "Name the hub's folder with --data, or give --certificate."
        )
    authority = Authority(data)
    known = {one.name: one.file for one in authority.list() if one.kind == "client"}
    found = []
    for name in names:
        file = known.get(name)
        if file is None or not file.with_suffix(".key").exists():
            file = authority.issue_client(name, force=True).file
        found.append(Identity(name, file, file.with_suffix(".key")))
    return tuple(found)


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


def _addresses(devices: int) -> tuple[str, ...]:
    """Give each device a loopback address of its own, so that the hub can tell them apart."""
    from ipaddress import IPv4Address

    first = IPv4Address("127.0.1.1")
    return tuple(str(first + number) for number in range(min(devices, 60_000)))
