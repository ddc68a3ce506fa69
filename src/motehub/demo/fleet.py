"""The devices of a demonstration: what they are, how the hub knows them, and their past."""

from __future__ import annotations

import asyncio
import math
import random
import socket
import time
from array import array
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec

from motehub.contracts import Listener
from motehub.model import MICROSECONDS, Samples
from motehub.simulate import device_session, dht_stream, json_socket, mqtt, pimonitor
from motehub.simulate.json_socket import Identity
from motehub.simulate.units import Behaviour, Lamp, ReadBoard
from motehub.simulate.weather import DAY, Light, Room
from motehub.transfer.pieces import DeviceReadings

DAYS: Final = 7
"""How far the past of the devices goes back."""

STEP: Final = 60
"""Seconds between two readings of the past."""

HERE: Final = "127.0.0.1"
ALERT: Final = "workshop on battery"
"""The rule that fires a little after the start."""

NEWCOMER_AT: Final = "127.0.0.2"
"""From where the board speaks that nobody has accepted; Linux has such addresses, others not."""

BOARD: Final = "board01"
"""The device that joins with its MAC address alone, and has to be accepted."""

CERTIFIED: Final = "workshop"
"""The device that shows a certificate."""

_PI: Final = "living-room"
_SENSOR: Final = "balcony"
WITH_TOKEN: Final = (_PI, _SENSOR)
"""Devices that show a token of their own."""

DEVICES: Final = {
    "greenhouse": "an ESP32 with a DHT11: text records over TLS",
    CERTIFIED: "a program with a certificate: JSON objects over mutual TLS",
    _PI: "a Raspberry Pi with a DHT22: HTTP posts",
    _SENSOR: "a sensor with a token: MQTT",
    BOARD: "a board with a LED to switch, a button and a photoresistor: MQTT sessions",
    "soil": "a board to which the hub connects: a number a line over TCP",
    "lamp": "a lamp whose colour you choose, over TCP",
}
"""Names of the devices, and what they are, as people are told."""

SAID: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "greenhouse": ("garden", {}),
    "soil": ("garden", {}),
    _SENSOR: ("garden", {"temperature": "°C", "relative_humidity": "%"}),
    CERTIFIED: ("house", {"temperature": "°C", "relative_humidity": "%", "battery": "V"}),
    _PI: ("house", {}),
    BOARD: ("house", {}),
    "lamp": ("house", {}),
}
"""What an owner would say of the devices: a label, and units that they do not say themselves."""

_EACH: Final = 2.0
_WATERED_EACH: Final = 2.6 * DAY
_FULL: Final = 1000


class Plan(msgspec.Struct, frozen=True):
    """Everything that one demonstration's devices have in common; ``seed`` decides the weather."""

    seed: int
    has_newcomer: bool

    def rng(self, what: str, number: int = 0) -> random.Random:
        """Return what decides the weather of a device, as in ``FleetOptions.rng_of``."""
        return random.Random(f"{self.seed_of(what)} {number}")  # noqa: S311 - weather

    def seed_of(self, what: str) -> int:
        """Return the seed of the devices of one dialect."""
        return self.seed + len(what) * 1_000 + sum(what.encode())


class Boards:
    """The boards that listen: they are there before the hub is."""

    def __init__(self) -> None:
        noise = random.Random(7)  # noqa: S311 - earth, not a secret

        def moisture() -> int:
            return round(soil(time.time(), noise) / 100 * _FULL)

        self.soil = ReadBoard(HERE, 0, Behaviour(rate=1 / _EACH), converter=moisture)
        self.lamp = Lamp(HERE)


def plan() -> Plan:
    """Return a plan; a machine without further loopback addresses gets no board to accept."""
    with closing(socket.socket()) as probe:
        try:
            probe.bind((NEWCOMER_AT, 0))
        except OSError:
            return Plan(random.randrange(10**6), has_newcomer=False)  # noqa: S311 - weather
    return Plan(random.randrange(10**6), has_newcomer=True)  # noqa: S311 - weather


def newcomer() -> str:
    """Return how the hub calls the board that nobody has accepted."""
    return f"dht-{NEWCOMER_AT}"


def configuration(port: int, boards: Boards) -> str:
    """Return that of the hub, whose pages are at ``port``; 0 is any free one."""
    listen = f'host = "{HERE}"\nport = 0\n'
    return f"""
[hub]
name = "motehub demo"
[web]
host = "{HERE}"
port = {port}
[pimonitor]
time_zone = "UTC"
[device_sessions]
name_pattern = "board{{number:02}}"
[transport.dht_stream]
{listen}devices = {{"{HERE}" = "greenhouse"}}
[transport.json_socket]
{listen}[transport.mqtt_broker]
{listen}tls_port = 0
websocket_port = 0
[transport.units]
[[transport.units.unit]]
address = "{HERE}"
port = {boards.soil.port}
name = "soil"
metric = "soil_moisture"
unit = "%"
input_range = [0, {_FULL}]
output_range = [0, 100]
[[transport.units.unit]]
address = "{HERE}"
port = {boards.lamp.port}
name = "lamp"
kind = "updatable"
newest_wins = true
[[rule]]
name = "{ALERT}"
devices = ["workshop"]
metric = "state"
equals = "on battery"
severity = "info"
"""


async def run(
    plan: Plan,
    listeners: Mapping[str, Listener],
    ca: Path,
    certificate: Path,
    tokens: Mapping[str, str],
) -> None:
    """Let the devices that connect to the hub do so, for ever."""
    addresses = (HERE, NEWCOMER_AT)[: 1 + plan.has_newcomer]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            dht_stream.run(
                dht_stream.DhtOptions(
                    **_common(plan, listeners, "dht_stream"),
                    ca=ca,
                    devices=len(addresses),
                    source_addresses=addresses,
                )
            )
        )
        identity = Identity(CERTIFIED, certificate, certificate.with_suffix(".key"))
        tasks.create_task(
            json_socket.run(
                json_socket.JsonOptions(
                    **_common(plan, listeners, "json_socket"), ca=ca, identities=(identity,)
                )
            )
        )
        http = _common(plan, listeners, "web")
        tasks.create_task(
            pimonitor.run(pimonitor.PimonitorOptions(**http, locations=(_PI,), key=tokens[_PI]))
        )
        tasks.create_task(
            mqtt.run(
                mqtt.MqttOptions(
                    **_common(plan, listeners, "mqtt_broker"),
                    names=(_SENSOR,),
                    token=tokens[_SENSOR],
                )
            )
        )
        tasks.create_task(device_session.run(session_options(plan, listeners)))


def session_options(plan: Plan, listeners: Mapping[str, Listener]) -> mqtt.MqttOptions:
    """Return those of the board with the LED."""
    return mqtt.MqttOptions(
        **(_common(plan, listeners, "mqtt_broker") | {"seed": plan.seed_of("device_session")})
    )


def past(plan: Plan, now: float) -> Iterator[DeviceReadings]:
    """Yield what the devices would have sent in the days before ``now`` (seconds since 1970)."""
    moments = range(int(now) - DAYS * int(DAY), int(now) - STEP, STEP)
    climates = {
        "greenhouse": ("dht_stream", "%", "°C"),
        _PI: ("web", "%", "°C"),
        CERTIFIED: ("json_socket", "", ""),
        _SENSOR: ("mqtt_broker", "", ""),
    }
    for device, (what, humidity_unit, celsius_unit) in climates.items():
        room = Room(plan.rng(what))
        # From now into the past, so that it fits to what they measure now.
        measured = [room.measure(moment) for moment in reversed(moments)][::-1]
        for metric, unit, column in (
            ("relative_humidity", humidity_unit, 0),
            ("temperature", celsius_unit, 1),
        ):
            yield _readings(device, metric, unit, moments, [one[column] for one in measured])
    yield _readings(CERTIFIED, "battery", "", moments, _volts(plan, moments))
    light = Light(plan.rng("device_session"))
    bright = [float(light.measure(moment)) for moment in moments]
    yield _readings(BOARD, "illuminance", "%", moments, bright)
    noise = random.Random(plan.seed)  # noqa: S311 - earth
    yield _readings("soil", "soil_moisture", "%", moments, [soil(one, noise) for one in moments])


def _volts(plan: Plan, moments: range) -> list[float]:
    """Return what the battery of the program had until now, when it is being used."""
    rng = plan.rng("json_socket")
    Room(rng)
    swing = json_socket.FULL_VOLTS - json_socket.EMPTY_VOLTS
    used = json_socket.VOLTS_PER_OBJECT / _EACH
    using, charging = swing / used, swing / used / json_socket.CHARGED_FASTER
    since_full = (json_socket.FULL_VOLTS - json_socket.first_volts(rng)) / used
    found = []
    for moment in moments:
        age = (since_full - (moments.stop - moment)) % (using + charging)
        over = max(0.0, age - using) * json_socket.CHARGED_FASTER
        found.append(round(json_socket.FULL_VOLTS - (min(age, using) - over) * used, 3))
    return found


def soil(moment: float, noise: random.Random) -> float:
    """Return how moist the earth of a plant is, in %: it dries, and is watered in time."""
    dry = (moment % _WATERED_EACH) / _WATERED_EACH
    return round(34 + 44 * math.exp(-2.2 * dry) + noise.gauss(0, 0.15), 1)


def _readings(
    device: str, metric: str, unit: str, moments: range, values: list[float]
) -> DeviceReadings:
    times = array("q", (moment * MICROSECONDS for moment in moments))
    return DeviceReadings(device, [Samples(metric, unit, times, array("d", values))])


def _common(plan: Plan, listeners: Mapping[str, Listener], what: str) -> dict[str, Any]:
    return {
        "host": HERE,
        "port": listeners[what].port,
        "rate": 1 / _EACH,
        "batch_seconds": _EACH,
        "seed": plan.seed_of(what),
    }
