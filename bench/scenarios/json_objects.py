"""JSON objects over mutual TLS, acknowledged, against the original's way with a real Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from bench.harness import Case, Generator, Sample, Settings
from bench.json_load import READINGS_PER_OBJECT, Order
from bench.peers import OriginalJson, PostgresHub, RedisServer, postgres_server
from bench.processes import cpu_seconds, peak_memory
from bench.scenarios.burst import wait_until_stored
from bench.servers import Hub, Sink, Stores

SECONDS: Final = 10.0
QUICK_SECONDS: Final = 2.0

WINDOWS: Final = {1: 20_000, 100: 300}
"""Objects of a connection that may wait for their answers, by the number of connections."""

PAUSES: Final = {1: 0.008, 100: 0.025}
"""Seconds between two objects of a connection that the original's way needs, by their number."""

_LISTENER: Final = "json_socket"
_SECTION: Final = f'[transport.{_LISTENER}]\nhost = "127.0.0.1"\nport = 0\n'
_PATIENCE: Final = 1.0
_MILLION: Final = 1e6


_Running = AbstractContextManager[tuple[Stores, Sequence[int]]]
"""A server that runs, and the processes that it needs."""


def cases(settings: Settings) -> Sequence[Case]:
    """Compare on one connection and on a hundred, and show what the generator can do."""
    return [
        case
        for connections in WINDOWS
        for case in (
            Case(
                f"JSON objects, {connections} connection{'s' if connections > 1 else ''}",
                {
                    "motehub": partial(measure, hub, connections),
                    "original, paced": partial(_paced, connections),
                    "original, flooded": partial(_flooded, connections),
                    "motehub, PostgreSQL": partial(measure, _on_postgres, connections),
                    "motehub, Redis mirror": partial(measure, _mirrored, connections),
                },
            ),
            Case(
                f"generator alone, {connections} connection{'s' if connections > 1 else ''}",
                {"sink": partial(_sink, connections)},
            ),
        )
    ]


def measure(
    start: Callable[[Settings, Path], _Running], connections: int, settings: Settings
) -> Sample:
    """Keep a window of objects under way on each connection; count what is acknowledged."""
    order = partial(_order, settings, connections, window=WINDOWS[connections])
    with (
        settings.fresh_folder() as folder,
        start(settings, folder) as (server, processes),
        Generator("bench.json_load", order(server.port)) as generator,
        peak_memory(*processes) as peak,
    ):
        cpu = cpu_seconds(*processes)
        generator.go()
        outcome = generator.outcome()
        sent = int(outcome["objects"]) * READINGS_PER_OBJECT
        stored = wait_until_stored(server, sent)
        cpu = cpu_seconds(*processes) - cpu
    return {
        "objects/s stored": outcome["answered_in_time"] / outcome["seconds"],
        "readings/s stored": outcome["answered_in_time"] * READINGS_PER_OBJECT / outcome["seconds"],
        "CPU s per million readings": cpu / (stored / _MILLION),
        "peak PSS, MB": peak.pss / _MILLION,
        "objects sent": outcome["objects"],
        "objects lost": (sent - stored) / READINGS_PER_OBJECT + outcome["refused"],
        "connections broken": outcome["broken"],
        "generator CPU s per million readings": outcome["cpu"] / (sent / _MILLION),
    }


@contextmanager
def hub(
    settings: Settings, folder: Path, wrapper: Sequence[str] = ()
) -> Iterator[tuple[Stores, Sequence[int]]]:
    """Run motehub with SQLite; ``wrapper`` as for :class:`bench.servers.Hub`."""
    with Hub(
        folder, settings.certificates, wrapper, sections=_SECTION, listener=_LISTENER
    ) as running:
        yield running, [running.process_id]


@contextmanager
def _on_postgres(settings: Settings, folder: Path) -> Iterator[tuple[Stores, Sequence[int]]]:
    with (
        postgres_server() as server,
        PostgresHub(
            folder,
            settings.certificates,
            server.new_database(),
            sections=_SECTION,
            listener=_LISTENER,
        ) as running,
    ):
        yield running, [running.process_id, server.process_id]


@contextmanager
def _mirrored(settings: Settings, folder: Path) -> Iterator[tuple[Stores, Sequence[int]]]:
    with RedisServer(folder) as server:
        sections = (
            f'{_SECTION}[[mirror]]\ntype = "redis"\nurl = "redis://127.0.0.1:{server.port}"\n'
        )
        with Hub(folder, settings.certificates, sections=sections, listener=_LISTENER) as running:
            yield running, [running.process_id, server.process_id]


def _paced(connections: int, settings: Settings) -> Sample:
    return _original(connections, PAUSES[connections], 1, settings)


def _flooded(connections: int, settings: Settings) -> Sample:
    return _original(connections, None, 1, settings)


def _original(connections: int, pause: float | None, chunk: int, settings: Settings) -> Sample:
    order = partial(_order, settings, connections, chunk=chunk, pause=pause)
    with (
        settings.fresh_folder() as folder,
        RedisServer(folder) as database,
        OriginalJson(folder, settings.certificates, database) as server,
        Generator("bench.json_load", order(server.port)) as generator,
        peak_memory(server.process_id, database.process_id) as peak,
    ):
        cpu = cpu_seconds(server.process_id, database.process_id)
        generator.go()
        outcome = generator.outcome()
        in_time = server.finished()
        sent = int(outcome["objects"]) * READINGS_PER_OBJECT
        stored = _wait_until_quiet(server)
        cpu = cpu_seconds(server.process_id, database.process_id) - cpu
    return {
        "objects/s stored": in_time / READINGS_PER_OBJECT / outcome["seconds"],
        "readings/s stored": in_time / outcome["seconds"],
        "CPU s per million readings": cpu / (stored / _MILLION) if stored else 0.0,
        "peak PSS, MB": peak.pss / _MILLION,
        "objects sent": outcome["objects"],
        "objects lost": (sent - stored) / READINGS_PER_OBJECT,
        "connections broken": outcome["broken"],
        "generator CPU s per million readings": outcome["cpu"] / (sent / _MILLION),
    }


def _wait_until_quiet(server: Stores) -> int:
    """Wait until nothing more arrives: what is lost never will; return how many are there."""
    stored, heard = server.finished(), time.monotonic()
    while time.monotonic() - heard < _PATIENCE:
        time.sleep(0.05)
        if (now := server.finished()) != stored:
            stored, heard = now, time.monotonic()
    return stored


def _sink(connections: int, settings: Settings) -> Sample:
    with (
        settings.fresh_folder() as folder,
        Sink(folder, settings.certificates, "acknowledge") as server,
    ):
        order = _order(settings, connections, server.port, window=WINDOWS[connections])
        with Generator("bench.json_load", order) as generator:
            generator.go()
            outcome = generator.outcome()
    readings = outcome["answered_in_time"] * READINGS_PER_OBJECT
    return {
        "objects/s answered": outcome["answered_in_time"] / outcome["seconds"],
        "generator CPU s per million readings": outcome["cpu"] / (readings / _MILLION),
    }


def _order(
    settings: Settings,
    connections: int,
    port: int,
    *,
    chunk: int = Order.chunk,
    window: int | None = None,
    pause: float | None = None,
) -> Order:
    return Order(
        port,
        settings.authority,
        str(settings.client),
        str(settings.client.with_suffix(".key")),
        QUICK_SECONDS if settings.quick else SECONDS,
        connections,
        chunk,
        window,
        pause,
    )
