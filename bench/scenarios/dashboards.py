"""What open dashboards cost those who send readings: none, one and 500 of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from bench.harness import Case, Generator, Sample, Settings
from bench.http_load import Order
from bench.lookers import Order as Looking
from bench.mqtt_peers import Flood
from bench.processes import ProcessFailed, cpu_seconds, memory
from bench.scenarios.http import BATCH, OF_MANY
from bench.servers import Hub

SECONDS: Final = 8.0
QUICK_SECONDS: Final = 3.0

DASHBOARDS: Final = (500, 0, 1)
DEVICES: Final = 100
WINDOW: Final = 100
QUIET_RATE: Final = 2_000
"""Messages a second over MQTT at which the time to PUBACK is measured: 20 of each device."""

HTTP_CONNECTIONS: Final = 10

_SECTIONS: Final = """\
[web]
host = "127.0.0.1"
port = 0
tls = "off"
[transport.mqtt_broker]
host = "127.0.0.1"
port = 0
tls_port = 0
websocket_port = 0
"""
_MILLION: Final = 1e6


def cases(settings: Settings) -> Sequence[Case]:
    """Compare 500 dashboards with none and with one, over MQTT and over HTTP."""
    return [
        Case(
            f"dashboards beside {name}",
            {_called(count): partial(_run, measure, count) for count in DASHBOARDS},
        )
        for name, measure in (
            (f"MQTT, QoS 1, {DEVICES} devices, as fast as they can", _flooded),
            (f"MQTT, QoS 1, {DEVICES} devices, {QUIET_RATE:,} messages/s", _quiet),
            (f"HTTP, {BATCH} readings a post, {HTTP_CONNECTIONS} connections", _posted),
        )
    ]


def _called(count: int) -> str:
    return f"{count or 'no'} dashboard{'' if count == 1 else 's'}"


@dataclass(frozen=True)
class _Side:
    """A hub, and the token of everybody."""

    settings: Settings
    hub: Hub
    token: str

    @property
    def seconds(self) -> float:
        return QUICK_SECONDS if self.settings.quick else SECONDS

    @property
    def mqtt_port(self) -> int:
        run_file = json.loads((self.hub.folder / "run.json").read_bytes())
        return int(run_file["listeners"]["mqtt_broker"]["port"])


def _run(measure: Callable[[_Side], Sample], count: int, settings: Settings) -> Sample:
    with settings.fresh_folder() as folder:
        sections = {"sections": _SECTIONS, "listener": "web"}
        with Hub(folder, settings.certificates, **sections) as hub:
            token = hub.command("token", "create", "bench", "--scope", "admin").strip()
            side = _Side(settings, hub, token)
            before = memory(hub.process_id).pss
            with _looking(hub, token, count) as dashboards:
                time.sleep(1)
                held = memory(hub.process_id).pss - before
                dashboards.begin()
                cpu = cpu_seconds(hub.process_id)
                taken = measure(side)
                cpu = cpu_seconds(hub.process_id) - cpu
                full = memory(hub.process_id).pss
                seen = dashboards.end()
            rate = hub.durable() / (taken.get("seconds", 0) or side.seconds)
    sample = {name: value for name, value in taken.items() if name != "seconds"}
    return (
        {"readings/s": rate}
        | sample
        | {"CPU of the hub, %": 100 * cpu / side.seconds}
        | dict(seen)
        | ({"PSS per dashboard at rest, kB": held / count / 1e3} if count > 1 else {})
        | {"PSS at the end, MB": full / _MILLION}
    )


class _Dashboards:
    """The process of those who look on, if there are any."""

    def __init__(self, program: Generator | None, count: int) -> None:
        self._program = program
        self._count = count

    def begin(self) -> None:
        """Count from now on."""
        if self._program is not None:
            self._program.go()

    def end(self) -> Sample:
        """Return what each has seen."""
        if self._program is None:
            return {}
        self._program.go()
        outcome = self._program.outcome()
        return {
            "news/s of a dashboard": outcome["news"] / outcome["seconds"] / self._count,
            "kB/s of a dashboard": outcome["bytes"] / outcome["seconds"] / self._count / 1e3,
            "news missed": outcome["lost"],
            "CPU of the dashboards, %": 100 * outcome["cpu"] / outcome["seconds"],
        }


@contextmanager
def _looking(hub: Hub, token: str, count: int) -> Iterator[_Dashboards]:
    if not count:
        yield _Dashboards(None, 0)
        return
    with Generator("bench.lookers", Looking(hub.port, token, count)) as program:
        yield _Dashboards(program, count)


def _flooded(side: _Side) -> Sample:
    with _flood(side) as flood:
        flood.go()
        outcome = flood.outcome()
    return {"seconds": outcome["seconds"], "generator CPU, %": _share(outcome)}


def _quiet(side: _Side) -> Sample:
    with _flood(side, rate=QUIET_RATE) as flood:
        flood.go()
        outcome = flood.outcome()
    return {
        "seconds": outcome["seconds"],
        "p50 to PUBACK, ms": outcome["p50_us"] / 1000,
        "p99 to PUBACK, ms": outcome["p99_us"] / 1000,
        "longest, ms": outcome["longest_us"] / 1000,
    }


def _flood(side: _Side, **more: float) -> Flood:
    return Flood(
        side.settings,
        port=side.mqtt_port,
        publishers=DEVICES,
        window=WINDOW,
        seconds=side.seconds,
        user="bench",
        password=side.token,
        **more,
    )


def _share(outcome: dict[str, float]) -> float:
    return 100 * outcome["cpu"] / outcome["seconds"]


def _posted(side: _Side) -> Sample:
    order = Order(
        side.hub.port,
        side.seconds,
        HTTP_CONNECTIONS,
        "/api/v1/write?precision=s",
        {"Authorization": f"Bearer {side.token}"},
        OF_MANY.lines(),
        shared=True,
    )
    with Generator("bench.http_load", order) as generator:
        generator.go()
        outcome = generator.outcome()
    if not outcome["accepted"] or outcome["refused"]:
        raise ProcessFailed(f"A post was refused: {outcome['first_refusal']}")
    return {"seconds": outcome["seconds"], "generator CPU, %": _share(outcome)}
