"""A colour from the dashboard's API over Pusher Channels and a base unit to a lamp, on loopback."""

from __future__ import annotations

import http.client
import json
import queue
import socket
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from bench.harness import Case, Sample, Settings
from bench.processes import ProcessFailed, cpu_seconds, memory
from bench.servers import Hub
from motehub.control import Status, ask
from motehub.errors import ControlError

COMMANDS: Final = 1_000
QUICK_COMMANDS: Final = 100

_LAMP: Final = "127.20.1.1"
_START_SECONDS: Final = 30.0
_ARRIVE_SECONDS: Final = 30.0
_WARM_UP: Final = 20
_DASHBOARD: Final = """\
[web]
host = "127.0.0.1"
port = 0
tls = "off"
[transport.units]
[[transport.units.unit]]
address = "{lamp}"
port = {port}
name = "lamp"
kind = "remote"
"""
_BASE: Final = """\
[transport.units]
port = {port}
updatable_units = ["{lamp}"]
[transport.pusher_client]
api_url = "http://127.0.0.1:{web}"
api_token = "{token}"
key = "{key}"
host = "127.0.0.1"
port = {web}
tls = false
"""


def cases(settings: Settings) -> Sequence[Case]:
    """One command after the other; each is given when the last has arrived."""
    return [Case("colour, dashboard to lamp", {"motehub": _measure})]


class _Base(Hub):
    """A base unit alone; it listens nowhere."""

    def __enter__(self) -> Self:
        """Start it and wait until it hears its dashboard."""
        settings = self.configure()
        process = self.start(
            "-m", "motehub", "base", "--config", str(settings), "--data", str(self.folder)
        )
        deadline = time.monotonic() + _START_SECONDS
        while not self._hears():
            if process.poll() is not None or time.monotonic() > deadline:
                raise self.failure()
            time.sleep(0.01)
        return self

    def _hears(self) -> bool:
        try:
            return bool(ask(self.folder, Status())["transports"]["pusher_client"]["subscribed"])
        except ControlError:
            return False


class _Lamp:
    """Reads a colour up to the return, and closes; ``came`` has each with its moment."""

    def __init__(self) -> None:
        self._board = socket.create_server((_LAMP, 0))
        self.port: int = self._board.getsockname()[1]
        self.came: queue.Queue[tuple[str, float]] = queue.Queue()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Switch it off."""
        self._board.shutdown(socket.SHUT_RDWR)
        self._board.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._board.accept()
            except OSError:
                return
            with connection:
                heard = b""
                while not heard.endswith(b"\n") and (more := connection.recv(64)):
                    heard += more
                self.came.put((heard.decode().strip(), time.perf_counter()))


@contextmanager
def _lamp() -> Iterator[_Lamp]:
    lamp = _Lamp()
    try:
        yield lamp
    finally:
        lamp.close()


def _measure(settings: Settings) -> Sample:
    count = QUICK_COMMANDS if settings.quick else COMMANDS
    with settings.fresh_folder() as folder, settings.fresh_folder() as other, _lamp() as lamp:
        sections = _DASHBOARD.format(lamp=_LAMP, port=lamp.port)
        hub = Hub(folder, settings.certificates, sections=sections, listener="web")
        with hub, _base(hub, other, settings.certificates, lamp.port) as base:
            token = hub.command("token", "create", "bench", "--scope", "control").strip()
            connection = http.client.HTTPConnection("127.0.0.1", hub.port)
            _tell(connection, token, lamp, _WARM_UP)
            cpu = cpu_seconds(hub.process_id), cpu_seconds(base.process_id)
            times, answers = _tell(connection, token, lamp, count)
            connection.close()
            size = memory(base.process_id)
            return {
                "p50, ms": 1e3 * statistics.median(times),
                "p99, ms": 1e3 * _p99(times),
                "API's answer p50, ms": 1e3 * statistics.median(answers),
                "dashboard's CPU ms per command": _each(hub.process_id, cpu[0], count),
                "base unit's CPU ms per command": _each(base.process_id, cpu[1], count),
                "base unit's PSS, MB": size.pss / 1e6,
                "base unit's RSS, MB": size.rss / 1e6,
            }


def _base(hub: Hub, folder: Path, certificates: Path, port: int) -> _Base:
    token = hub.command("token", "create", "base", "--scope", "write,control").strip()
    key = json.loads(hub.command("pusher", "show", "--json"))["key"]
    sections = _BASE.format(lamp=_LAMP, port=port, web=hub.port, token=token, key=key)
    return _Base(folder, certificates, sections=sections)


def _tell(
    connection: http.client.HTTPConnection, token: str, lamp: _Lamp, count: int
) -> tuple[list[float], list[float]]:
    """Return for each command the seconds to the lamp, and those to the answer."""
    times, answers = [], []
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    for number in range(count):
        colour = f"#{number:06x}"
        began = time.perf_counter()
        body = json.dumps({"payload": colour})
        connection.request("POST", "/api/v1/devices/lamp/commands", body, headers)
        response = connection.getresponse()
        response.read()
        answers.append(time.perf_counter() - began)
        if response.status != 202:
            raise ProcessFailed(f"The dashboard answers {response.status}.")
        heard, moment = lamp.came.get(timeout=_ARRIVE_SECONDS)
        if heard != colour:
            raise ProcessFailed(f"The lamp was told {heard} and not {colour}.")
        times.append(moment - began)
    return times, answers


def _p99(times: Sequence[float]) -> float:
    return sorted(times)[round(0.99 * (len(times) - 1))]


def _each(process: int, before: float, count: int) -> float:
    return 1e3 * (cpu_seconds(process) - before) / count
