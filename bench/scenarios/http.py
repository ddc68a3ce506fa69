"""Posts over HTTP: single readings and batches, against InfluxDB and the original's way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from bench.harness import Case, Generator, Sample, Settings
from bench.http_load import CONNECTION, TIME, Order
from bench.http_peers import DATABASE, FlaskApp, Influx, flask_python, sink
from bench.peers import postgres_server
from bench.processes import ProcessFailed, cpu_seconds, peak_memory
from bench.scenarios.burst import wait_until_stored
from bench.servers import Hub, Stores

SECONDS: Final = 10.0
QUICK_SECONDS: Final = 2.0

BATCH: Final = 100
"""Readings of a large post."""

CONNECTIONS: Final = (10, 100)
BATCH_CONNECTIONS: Final = 10

_SECTIONS: Final = """\
[web]
host = "127.0.0.1"
port = 0
tls = "off"
[pimonitor]
time_zone = "UTC"
"""
_PIMONITOR: Final = json.dumps(
    {
        "location": f"pi-{CONNECTION}",
        "timestamp": TIME,
        "sensors": [{"sensorType": "DHT22", "temperature": 71.96, "humidity": 40.5}],
    }
)
_JSON: Final = {"Content-Type": "application/json"}
_MILLION: Final = 1e6

_Running = AbstractContextManager[tuple[Stores, Sequence[int], dict[str, str]]]
"""A server that runs, the processes that it needs, and headers that it wants."""


def cases(settings: Settings) -> Sequence[Case]:
    """Compare posts of one reading and of a hundred, and show what the generator can do."""
    return [
        *[_pimonitor(connections) for connections in CONNECTIONS],
        *[_readings(_SINGLE, connections) for connections in CONNECTIONS],
        _readings(_OF_ONE, BATCH_CONNECTIONS),
        _readings(OF_MANY, BATCH_CONNECTIONS),
        *[_alone(_SINGLE, connections) for connections in CONNECTIONS],
        _alone(_OF_ONE, BATCH_CONNECTIONS),
    ]


def _pimonitor(connections: int) -> Case:
    order = partial(
        Order, connections=connections, target="/", body=_PIMONITOR, headers=_JSON, us_time=True
    )
    return Case(
        f"pimonitor posts, {connections} connections",
        {
            "motehub": partial(_run, _hub, order, 2),
            "Flask": partial(_run, _flask, order, 2),
        },
    )


def _readings(shape: _Shape, connections: int) -> Case:
    lines = partial(shape.order, connections=connections, body=shape.lines(), headers={})
    items = partial(
        shape.order,
        connections=connections,
        target="/api/v1/readings",
        body=shape.items(),
        headers=_JSON,
    )
    ours = partial(lines, target="/api/v1/write?precision=s")
    theirs = partial(lines, target=f"/write?db={DATABASE}&precision=s")
    return Case(
        f"HTTP, {shape.name}, {connections} connections",
        {
            "motehub, lines": partial(_run, _hub, ours, shape.readings),
            "InfluxDB": partial(_run, _influx, theirs, shape.readings),
            "motehub, JSON": partial(_run, _hub, items, shape.readings),
        },
    )


def _alone(shape: _Shape, connections: int) -> Case:
    order = partial(
        shape.order, connections=connections, target="/", body=shape.lines(), headers={}
    )
    return Case(
        f"HTTP generator alone, {shape.name}, {connections} connections",
        {"sink": partial(_sink, order, shape.readings)},
    )


@dataclass(frozen=True)
class _Shape:
    """What a post holds: so many readings, of a device each or all of the connection's own."""

    name: str
    readings: int
    own: bool

    @property
    def order(self) -> Callable[..., Order]:
        """Return what makes the order; times are such that no reading is written twice."""
        return partial(Order, shared=not self.own, span=self.readings if self.own else 1)

    def lines(self) -> str:
        """Return the body in line protocol."""
        return "".join(
            f"weather,device={device} temperature={value} {moment}\n"
            for device, value, moment in self._rows()
        )

    def items(self) -> str:
        """Return the same readings in JSON; times are numbers there."""
        items = [
            {"device": device, "metric": "temperature", "value": value, "time": moment}
            for device, value, moment in self._rows()
        ]
        text = json.dumps(items if len(items) > 1 else items[0])
        return re.sub(f'"({TIME}\\d*)"', r"\1", text)

    def _rows(self) -> Iterator[tuple[str, float, str]]:
        for n in range(self.readings):
            device = f"mote-{CONNECTION}" if self.own else f"mote-{n}"
            # Further digits where a body has many times of one series.
            yield device, 15 + n / 10, f"{TIME}{n:02}" if self.own and self.readings > 1 else TIME


_SINGLE: Final = _Shape("one reading a post", 1, own=True)
_OF_ONE: Final = _Shape(f"{BATCH} readings of a device a post", BATCH, own=True)
OF_MANY: Final = _Shape(f"a reading of each of {BATCH} devices a post", BATCH, own=False)


@contextmanager
def _hub(
    settings: Settings, folder: Path
) -> Iterator[tuple[Stores, Sequence[int], dict[str, str]]]:
    with Hub(folder, settings.certificates, sections=_SECTIONS, listener="web") as hub:
        token = hub.command("token", "create", "bench", "--scope", "write").strip()
        yield hub, [hub.process_id], {"Authorization": f"Bearer {token}"}


@contextmanager
def _flask(
    settings: Settings, folder: Path
) -> Iterator[tuple[Stores, Sequence[int], dict[str, str]]]:
    python = flask_python(settings)
    with postgres_server() as server, FlaskApp(folder, python, server.new_database()) as flask:
        yield flask, [flask.process_id, server.process_id], {}


@contextmanager
def _influx(
    settings: Settings, folder: Path
) -> Iterator[tuple[Stores, Sequence[int], dict[str, str]]]:
    with Influx(folder) as influx:
        yield influx, [influx.process_id], {}


def _run(
    start: Callable[[Settings, Path], _Running],
    make_order: Callable[..., Order],
    readings: int,
    settings: Settings,
) -> Sample:
    """Post for a while; every post that was accepted must be stored in the end."""
    with (
        settings.fresh_folder() as folder,
        start(settings, folder) as (server, processes, headers),
    ):
        order = make_order(port=server.port, seconds=_seconds(settings))
        order = replace(order, headers=order.headers | headers)
        with Generator("bench.http_load", order) as generator, peak_memory(*processes) as peak:
            cpu = cpu_seconds(*processes)
            generator.go()
            outcome = generator.outcome()
            accepted = int(outcome["accepted"]) * readings
            stored = wait_until_stored(server, accepted)
            cpu = cpu_seconds(*processes) - cpu
    if not outcome["accepted"]:
        raise ProcessFailed(f"No post was accepted: {outcome['first_refusal']}")
    return {
        "posts/s": outcome["accepted_in_time"] / outcome["seconds"],
        "readings/s": outcome["accepted_in_time"] * readings / outcome["seconds"],
        "CPU s per million readings": cpu / (stored / _MILLION) if stored else 0.0,
        "peak PSS, MB": peak.pss / _MILLION,
        "readings lost": accepted - stored,
        "posts refused or failed": outcome["refused"] + outcome["failed"],
        "connections made": outcome["connects"],
        "generator CPU s per million readings": outcome["cpu"] / (accepted / _MILLION),
    }


def _sink(make_order: Callable[..., Order], readings: int, settings: Settings) -> Sample:
    with sink() as port:
        order = make_order(port=port, seconds=_seconds(settings))
        with Generator("bench.http_load", order) as generator:
            generator.go()
            outcome = generator.outcome()
    return {
        "posts/s": outcome["accepted_in_time"] / outcome["seconds"],
        "readings/s": outcome["accepted_in_time"] * readings / outcome["seconds"],
        "generator CPU s per million readings": outcome["cpu"]
        / (outcome["accepted"] * readings / _MILLION),
    }


def _seconds(settings: Settings) -> float:
    return QUICK_SECONDS if settings.quick else SECONDS
