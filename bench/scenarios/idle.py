"""From the start of the process to the first TLS connection, and memory at rest."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from bench.harness import Case, Sample, Settings
from bench.processes import cpu_seconds, memory, tree
from bench.records import client_context
from bench.servers import Hub, Original, Server

REST_SECONDS: Final = 5.0


def cases(settings: Settings) -> Sequence[Case]:
    """Compare a start with certificates; then the hub's first start, which makes them."""
    return [
        Case("idle", {"motehub": partial(_run, Hub), "original": partial(_run, Original)}),
        Case("first start", {"motehub": _first_start}),
    ]


def _run(make: Callable[[Path, Path], Server], settings: Settings) -> Sample:
    with settings.fresh_folder() as folder:
        server = make(folder, settings.certificates)
        began = time.monotonic()
        with server:
            _connect(server.port, settings.authority)
            started = time.monotonic() - began
            time.sleep(REST_SECONDS)
            cpu = cpu_seconds(server.process_id)
            time.sleep(REST_SECONDS)
            at_rest = memory(server.process_id)
            return {
                "start to first TLS connection, s": started,
                "PSS at rest, MB": at_rest.pss / 1e6,
                "RSS at rest, MB": at_rest.rss / 1e6,
                "processes": len(tree(server.process_id)),
                "CPU at rest, %": 100 * (cpu_seconds(server.process_id) - cpu) / REST_SECONDS,
            }


def _first_start(settings: Settings) -> Sample:
    with settings.fresh_folder() as folder, settings.fresh_folder() as nothing:
        hub = Hub(folder, nothing)
        began = time.monotonic()
        with hub:
            _connect(hub.port, str(folder / "ca.crt"))
            return {"start to first TLS connection, s": time.monotonic() - began}


def _connect(port: int, authority: str) -> None:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
        client_context(authority).wrap_socket(plain, server_hostname="127.0.0.1"),
    ):
        pass
