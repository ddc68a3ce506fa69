"""MQTT: published to durable, routed, idle; against Mosquitto alone and what stores behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from bench.harness import Case, Sample, Settings
from bench.mqtt_peers import Flood, Subscriber, mosquitto
from bench.processes import ProcessFailed, cpu_seconds, memory, peak_memory
from bench.servers import TEXT_STREAM, Hub, Stores

SECONDS: Final = 10.0
QUICK_SECONDS: Final = 2.0

CONNECTIONS: Final = (1, 10, 100)
WINDOW: Final = 100
"""Messages of a connection that wait for their acknowledgement."""

UNDER_WAY: Final = {1: 500, 1000: 20}
"""Messages that not all subscribers have yet, by the number of subscribers: few enough that
neither broker drops one."""

IDLE: Final = 10_000
IDLE_ADDRESSES: Final = 500
REST_SECONDS: Final = 10.0

_LISTENER: Final = "mqtt_broker"
_SECTION: Final = f"""\
[transport.{_LISTENER}]
host = "127.0.0.1"
port = 0
tls_port = 0
websocket_port = 0
"""
_UNBOUNDED: Final = "max_queued_messages 0"
_ROUTED: Final = {"topic": "route/dev%05u/temperature", "filter": "route/#"}
"""Topics that mean nothing to the hub: they are passed on only."""

_START_SECONDS: Final = 30.0
_QUIET_SECONDS: Final = 3.0
_MILLION: Final = 1e6


@dataclass(frozen=True)
class _Side:
    """A broker that runs, its processes, what counts its readings, and what clients must say.

    ``acknowledges`` says that a message is stored when it is acknowledged.
    """

    port: int
    processes: Sequence[int]
    store: Stores | None = None
    login: dict[str, str] = field(default_factory=dict)
    acknowledges: bool = False


_Start = Callable[[Settings, Path], AbstractContextManager[_Side]]


def cases(settings: Settings) -> Sequence[Case]:
    """Compare what is stored, what is passed on, and what idle connections cost."""
    return [
        *[_published(connections) for connections in CONNECTIONS],
        *[_routed(subscribers, qos) for subscribers in UNDER_WAY for qos in (0, 1)],
        Case(
            f"MQTT, {IDLE:,} idle connections",
            {"motehub": partial(_rest, hub), "Mosquitto": partial(_rest, _alone)},
        ),
    ]


def _published(connections: int) -> Case:
    return Case(
        f"MQTT, QoS 1, {connections} connection{'s' if connections > 1 else ''}",
        {
            "motehub": partial(measure, hub, connections),
            "Mosquitto, nothing stored": partial(measure, _alone, connections),
            "Mosquitto and paho": partial(measure, _subscribed, connections),
            "Mosquitto, unbounded, and paho": partial(measure, _queued, connections),
            "Mosquitto and motehub": partial(measure, _connected, connections),
            "Mosquitto, unbounded, and motehub": partial(measure, _queued_for_hub, connections),
        },
    )


def _routed(subscribers: int, qos: int) -> Case:
    return Case(
        f"MQTT, one publisher to {subscribers:,} subscriber{'s' if subscribers > 1 else ''}, "
        f"QoS {qos}",
        {
            "motehub": partial(_route, hub, subscribers, qos),
            "Mosquitto": partial(_route, _alone, subscribers, qos),
        },
    )


@contextmanager
def hub(settings: Settings, folder: Path, wrapper: Sequence[str] = ()) -> Iterator[_Side]:
    """Run motehub with SQLite; ``wrapper`` as for :class:`bench.servers.Hub`."""
    with Hub(
        folder, settings.certificates, wrapper, sections=_SECTION, listener=_LISTENER
    ) as running:
        token = running.command("token", "create", "bench", "--scope", "admin").strip()
        login = {"user": "bench", "password": token}
        yield _Side(running.port, [running.process_id], running, login, acknowledges=True)


@contextmanager
def _alone(settings: Settings, folder: Path) -> Iterator[_Side]:
    with mosquitto() as server:
        yield _Side(server.port, [server.process_id])


@contextmanager
def _subscribed(settings: Settings, folder: Path, *lines: str) -> Iterator[_Side]:
    with mosquitto(*lines) as server, Subscriber(folder, settings.certificates, server) as store:
        yield _Side(server.port, [server.process_id, store.process_id], store)


def _queued(settings: Settings, folder: Path) -> AbstractContextManager[_Side]:
    return _subscribed(settings, folder, _UNBOUNDED)


@contextmanager
def _connected(settings: Settings, folder: Path, *lines: str) -> Iterator[_Side]:
    """Run motehub as a client of Mosquitto, with another transport that nobody uses."""
    with mosquitto("log_type subscribe", *lines) as server:
        sections = f'{TEXT_STREAM}[transport.mqtt_client]\nurl = "mqtt://127.0.0.1:{server.port}"\n'
        sections += "trusted = true\n"
        with Hub(folder, settings.certificates, sections=sections) as running:
            deadline = time.monotonic() + _START_SECONDS
            while "readings/#" not in server.log:
                if time.monotonic() > deadline:
                    raise ProcessFailed("The hub has not subscribed at Mosquitto.")
                time.sleep(0.02)
            yield _Side(server.port, [server.process_id, running.process_id], running)


def _queued_for_hub(settings: Settings, folder: Path) -> AbstractContextManager[_Side]:
    return _connected(settings, folder, _UNBOUNDED)


def measure(start: _Start, connections: int, settings: Settings) -> Sample:
    """Keep a window of messages under way on each connection, then send at a quarter of the rate.

    The CPU seconds are those until everything that was acknowledged is stored, or is lost.
    """
    with settings.fresh_folder() as folder, start(settings, folder) as side:
        send = partial(
            Flood, settings, port=side.port, publishers=connections, window=WINDOW, **side.login
        )
        seconds = _seconds(settings)
        with peak_memory(*side.processes) as peak:
            cpu = cpu_seconds(*side.processes)
            with send(seconds=seconds) as flood:
                flood.go()
                outcome = flood.outcome()
            in_time = side.store.finished() if side.store else 0
            acknowledged = int(outcome["acknowledged"])
            stored = _wait_until_quiet(side.store, acknowledged) if side.store else 0
            cpu = cpu_seconds(*side.processes) - cpu
        _check(outcome)
        rate = outcome["acknowledged_in_time"] / outcome["seconds"]
        with send(seconds=seconds, rate=rate / 4) as paced:
            paced.go()
            latency = paced.outcome()
    sample = {"messages/s acknowledged": rate}
    if side.store is not None:
        durable = rate if side.acknowledges else in_time / outcome["seconds"]
        sample |= {"messages/s stored": durable}
    sample |= {
        "CPU s per million messages": cpu / ((stored or acknowledged) / _MILLION),
        "peak PSS, MB": peak.pss / _MILLION,
        "p50 to PUBACK at a quarter, ms": latency["p50_us"] / 1000,
        "p99 to PUBACK at a quarter, ms": latency["p99_us"] / 1000,
        "longest, ms": latency["longest_us"] / 1000,
    }
    if side.store is not None:
        sample |= {"messages lost": acknowledged - stored}
    return sample | {"generator CPU s per million messages": _generator_cpu(outcome)}


def _route(start: _Start, subscribers: int, qos: int, settings: Settings) -> Sample:
    """Pass messages on; a new one goes off when enough of those before have arrived."""
    with settings.fresh_folder() as folder, start(settings, folder) as side:
        with Flood(
            settings,
            port=side.port,
            publishers=1,
            subscribers=subscribers,
            under_way=UNDER_WAY[subscribers],
            qos=qos,
            seconds=_seconds(settings),
            **_ROUTED,
            **side.login,
        ) as flood:
            cpu = cpu_seconds(*side.processes)
            flood.go()
            outcome = flood.outcome()
            cpu = cpu_seconds(*side.processes) - cpu
        _check(outcome)
    received = outcome["received"]
    return {
        "messages/s delivered": received / outcome["receiving_seconds"],
        "CPU s per million delivered": cpu / (received / _MILLION),
        "messages lost": outcome["sent"] * subscribers - received,
        "generator CPU s per million delivered": outcome["cpu"] / (received / _MILLION),
    }


def _rest(start: _Start, settings: Settings) -> Sample:
    """Connect many, look at memory and at the CPU that their pings take, cut and connect again."""
    with settings.fresh_folder() as folder, start(settings, folder) as side:
        before = memory(*side.processes)
        flood = Flood(
            settings,
            port=side.port,
            idle=IDLE,
            addresses=IDLE_ADDRESSES,
            burst=IDLE,
            keep_alive=REST_SECONDS,
            **side.login,
        )
        with flood:
            time.sleep(REST_SECONDS / 2)
            cpu = cpu_seconds(*side.processes)
            time.sleep(REST_SECONDS)
            cpu = cpu_seconds(*side.processes) - cpu
            after = memory(*side.processes)
            flood.go()
            flood.go("storm")
            storm = flood.outcome()
            later = memory(*side.processes)
            flood.go("end")
            end = flood.outcome()
    return {
        "kB per connection (PSS)": (after.pss - before.pss) / 1000 / IDLE,
        "CPU % while each pings every 5 s": 100 * cpu / REST_SECONDS,
        "s until all are connected again": storm["connect_seconds"],
        "kB per connection then": (later.pss - before.pss) / 1000 / IDLE,
        "connections lost": IDLE - end["connected"],
    }


def _wait_until_quiet(store: Stores, readings: int) -> int:
    """Wait until ``readings`` are stored or, since some are lost, no more arrive."""
    stored, heard = store.finished(), time.monotonic()
    while stored < readings and time.monotonic() - heard < _QUIET_SECONDS:
        time.sleep(0.1)
        if (now := store.finished()) != stored:
            stored, heard = now, time.monotonic()
    return stored


def _check(outcome: dict[str, float]) -> None:
    if outcome["refused"] or outcome["broken"]:
        raise ProcessFailed(
            f"The broker refused {outcome['refused']} messages and cut {outcome['broken']} "
            f"connections: {outcome['first_refusal'] or 'it did not say why'}."
        )


def _generator_cpu(outcome: dict[str, float]) -> float:
    return outcome["cpu"] / (outcome["sent"] / _MILLION)


def _seconds(settings: Settings) -> float:
    return QUICK_SECONDS if settings.quick else SECONDS
