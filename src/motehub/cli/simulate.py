"""``motehub simulate``: devices of a dialect that talk to a hub as real ones do."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args

import click

from motehub.cli._simulate_units import run_units
from motehub.cli.options import data_option
from motehub.errors import NoHub, OwnerError

if TYPE_CHECKING:
    from motehub.simulate.fleet import FleetTotals
    from motehub.simulate.json_socket import Identity
    from motehub.simulate.mqtt_client import MqttTotals

_Totals = TypeVar("_Totals", bound="FleetTotals")
_Run = Callable[[Callable[[_Totals], None]], Coroutine[Any, Any, _Totals]]
_Start = Callable[[Mapping[str, Any], Mapping[str, Any], Path], "FleetTotals"]

Dialect = Literal["dht_stream", "json_socket", "mqtt", "device_session", "units"]

DIALECTS: Final[tuple[Dialect, ...]] = get_args(Dialect)

_MQTT: Final[tuple[Dialect, ...]] = ("mqtt", "device_session")

ONLY: Final[dict[str, tuple[Dialect, ...]]] = {
    "keep_open": ("dht_stream",),
    "no_clock": ("dht_stream",),
    "truncate": ("dht_stream",),
    "errors": ("dht_stream",),
    "acknowledge": ("json_socket",),
    "certificate": ("json_socket",),
    "batch": ("dht_stream", "json_socket", "mqtt"),
    "mqtt_version": _MQTT,
    "keep_alive": _MQTT,
    "tls": _MQTT,
    "token_file": _MQTT,
    "lamps": ("units",),
    "fault": ("units",),
}
"""Options that not all dialects have."""

BATCH: Final = 20.0
"""Seconds between two batches, where nothing else is said."""


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

SHOW_EVERY: Final = 0.1
"""Least seconds between two looks at what the devices do."""


@click.command()
@click.argument("dialect", type=click.Choice(DIALECTS), metavar="DIALECT")
@click.option("--devices", type=click.IntRange(1, 60_000), default=1, help="Number of devices.")
@click.option(
    "--rate",
    type=AMOUNT,
    default=0.5,
    help="Readings (JSON: objects) per second and device.  [default: 0.5]",
)
@click.option(
    "--batch",
    type=AMOUNT,
    help="Seconds between two batches; boards of device_session have none.  "
    "[default: 20; mqtt: each reading at once]",
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
@click.option(
    "--mqtt-version",
    type=click.Choice(["3.1.1", "5"]),
    help="Version of the protocol (mqtt, device_session).  [default: 3.1.1]",
)
@click.option(
    "--keep-alive",
    type=click.IntRange(0, 65535),
    help="Seconds; 0 for none (mqtt, device_session).  [default: 5]",
)
@click.option(
    "--tls", is_flag=True, help="Speak TLS, to the hub's port for that (mqtt, device_session)."
)
@click.option(
    "--token-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="File with the token that all devices show (mqtt, device_session); if neither it nor "
    "--port is given, mqtt gets one from the hub, for as long as it runs.",
)
@click.option("--lamps", type=click.IntRange(0, 10_000), help="Further boards: lamps (units).")
@click.option(
    "--fault", type=click.Choice(["hang", "reboot", "flood"]), help="What is wrong (units)."
)
@data_option
@click.pass_context
def simulate(ctx: click.Context, /, dialect: Dialect, data: Path, **given: Any) -> None:
    """Run simulated devices against a hub, over the real protocol of DIALECT.

    DIALECT is dht_stream (boards with text records), json_socket (programs with JSON objects),
    mqtt (sensors that publish on readings/…), device_session (boards with a LED, over MQTT) or
    units (boards that listen, at --host and the addresses after it, on port 8888).
    """
    for name, owners in ONLY.items():
        if dialect not in owners and given[name]:
            option = name.replace("_", "-")
            whose = " and ".join((", ".join(owners[:-1]), owners[-1])[len(owners) == 1 :])
            raise click.UsageError(f"--{option} is an option of {whose}, not of {dialect}.", ctx)
    if dialect == "units":
        run_units(given)
        return
    port, ca = given["port"], given["ca"]
    if port is None:
        port, found = _listener(data, dialect, tls=given["tls"])
        ca = ca or found
    common = {
        "host": given["host"],
        "port": port,
        "ca": ca,
        "devices": given["devices"],
        "rate": given["rate"],
        "batch_seconds": given["batch"] or _batch(dialect, given["rate"]),
        "duration": given["duration"],
        "source_addresses": _addresses(given["devices"]) if given["host"] == "127.0.0.1" else (),
    }
    totals = _RUN[dialect](common, given, data)
    if totals.failures and not totals.connections:
        raise OwnerError(
            f"Nothing answers on {given['host']}:{port} ({totals.last_failure}). "
            f"Is the hub running? 'motehub doctor --data {data}' tells more."
        )


def _run_dht_stream(common: Mapping[str, Any], given: Mapping[str, Any], data: Path) -> FleetTotals:
    from motehub.simulate.dht_stream import DhtOptions, Totals, run

    own = {name: given[name] for name in ("keep_open", "no_clock", "truncate", "errors")}
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


def _run_mqtt(common: Mapping[str, Any], given: Mapping[str, Any], data: Path) -> FleetTotals:
    from motehub.simulate.mqtt import MqttOptions, run
    from motehub.simulate.mqtt_client import MqttTotals

    with _token(given, data) as token:
        options = MqttOptions(**common, **_mqtt_options(given), token=token)
        return _watch(
            lambda progress: run(options, progress),
            MqttTotals(),
            lambda totals: _sentence(_messages(totals), totals),
        )


def _run_device_session(
    common: Mapping[str, Any], given: Mapping[str, Any], _: Path
) -> FleetTotals:
    from motehub.simulate.device_session import Totals, run
    from motehub.simulate.mqtt import MqttOptions

    file = given["token_file"]
    token = None if file is None else _read_token(file)
    options = MqttOptions(**common, **_mqtt_options(given), token=token)

    def summary(totals: Totals) -> str:
        did = f"{_messages(totals)}, {totals.sessions} sessions, {totals.commands} commands obeyed"
        return _failures(f"{did}, {totals.connections} connections", totals)

    return _watch(lambda progress: run(options, progress), Totals(), summary)


def _mqtt_options(given: Mapping[str, Any]) -> dict[str, Any]:
    from motehub.protocols.mqtt.packets import Version

    found: dict[str, Any] = {"tls": given["tls"]}
    if given["mqtt_version"] == "5":
        found["version"] = Version.V5
    if given["keep_alive"] is not None:
        found["keep_alive"] = given["keep_alive"]
    return found


def _messages(totals: MqttTotals) -> str:
    text = f"{totals.messages} messages ({totals.acknowledged} acknowledged"
    text += f", {totals.refused} refused)"
    return f"{text} [{totals.last_refusal}]" if totals.refused else text


@contextmanager
def _token(given: Mapping[str, Any], data: Path) -> Iterator[str | None]:
    """Yield the token that was given, or one of the running hub's for this run, or None."""
    if given["token_file"] is not None or given["port"] is not None:
        yield None if given["token_file"] is None else _read_token(given["token_file"])
        return
    from motehub.control import CreateToken, RevokeToken, ask
    from motehub.model import Scope

    name = f"simulated-{secrets.token_hex(4)}"
    secret: str = ask(data, CreateToken(name, (Scope.WRITE,)))["secret"]
    try:
        yield secret
    finally:
        # A hub that has stopped meanwhile can't be asked; the next one lists the token.
        with suppress(OwnerError):
            ask(data, RevokeToken(name))


def _read_token(file: Path) -> str:
    try:
        token = file.read_text("utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise OwnerError(f"Can't read the token in {file}: {error}.") from error
    if not token:
        raise OwnerError(f"{file} holds no token.")
    return token


_RUN: Final[Mapping[Dialect, _Start]] = {
    "dht_stream": _run_dht_stream,
    "json_socket": _run_json_socket,
    "mqtt": _run_mqtt,
    "device_session": _run_device_session,
}


def _watch(run: _Run[_Totals], totals: _Totals, summary: Callable[[_Totals], str]) -> _Totals:
    """Run the devices, show what they do, print what they did and return it."""
    import asyncio

    shown = 0.0

    def progress(now: _Totals) -> None:
        nonlocal totals, shown
        totals = now
        # Thousands of devices may have something to tell in the same moment.
        if (moment := time.monotonic()) - shown >= SHOW_EVERY:
            shown = moment
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
    text = f"{sent} in {totals.batches} batches over {totals.connections} connections"
    return _failures(text, totals)


def _failures(text: str, totals: FleetTotals) -> str:
    text = f"{text}, {totals.failures} failures"
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


def _batch(dialect: Dialect, rate: float) -> float:
    """Return the seconds between two batches where none are given."""
    from motehub.simulate.fleet import SHORTEST_BATCH

    return max(1 / rate, SHORTEST_BATCH) if dialect in _MQTT else BATCH


def _listener(data: Path, dialect: Dialect, *, tls: bool) -> tuple[int, Path]:
    """Return the port and the CA file that ``run.json`` gives."""
    import msgspec

    from motehub.run_file import RUN_FILE, RunFile

    try:
        run_file = msgspec.json.decode((data / RUN_FILE).read_bytes(), type=RunFile)
    except (OSError, msgspec.MsgspecError) as error:
        raise NoHub(
            f"No hub runs on {data}. Start one with 'motehub serve --data {data}', "
            "name its folder with --data, or give --port and --ca."
        ) from error
    section = "mqtt_broker" if dialect in _MQTT else dialect
    name = f"{section}_tls" if tls else section
    if name not in run_file.listeners:
        raise OwnerError(
            f"The hub on {data} has no {name} listener. Add the section [transport.{section}] to "
            "its configuration, or give --port and --ca."
        )
    return run_file.listeners[name].port, Path(run_file.ca)


def _addresses(devices: int) -> tuple[str, ...]:
    """Give each device a loopback address of its own, so that the hub can tell them apart."""
    from ipaddress import IPv4Address

    first = IPv4Address("127.0.1.1")
    return tuple(str(first + number) for number in range(min(devices, 60_000)))
