"""The real program in a process of its own, and real clients that talk to it over loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Self

import psutil

from motehub.control import Status, ask
from tests import prepared
from tests.prepared import Running

Settings = Mapping[str, Mapping[str, object]]
Stored = dict[tuple[str, str], list[tuple[int, float]]]

START_SECONDS = 120.0
"""Longest wait for a hub to start or to end."""

PATIENCE = 150.0
"""Longest wait for a condition, in seconds: far longer than a busy machine needs.

Other tests run at the same time, in other processes, and what is of low priority (alerts, reports,
archives) gets what they leave.
"""

OPEN: Settings = {"hub": {"admission": "open"}}
"""Settings of a hub that accepts unknown devices at once."""


class HubProcess:
    """``motehub serve`` on the folder ``data``, from ``start`` (or ``with``) until its end.

    ``settings`` are sections of the configuration; the text stream listens on a free port of
    127.0.0.1 unless they say otherwise. ``options`` go to the command line. Whatever happens
    inside the ``with`` block, no process of the hub is left after it.

    The hub is a fork of a prepared process, unless it is ``fresh``: started as its owner does.
    """

    fresh = False

    def __init__(self, data: Path, settings: Settings | None = None, *options: str) -> None:
        self.data = data
        self.config = data.with_name(f"{data.name}.toml")
        self.log_file = data.with_name(f"{data.name}.log")
        self.arguments = ["serve", "--config", str(self.config), "--data", str(data), *options]
        self.environment: dict[str, str] = {}
        self._process: Running | None = None
        # Tests write of times long past, and count what is there.
        kept: Settings = {"retention": {"raw": "forever", "minute": "forever"}}
        self.config.write_text(_toml({**kept, **(settings or {})}), "utf-8")

    def __enter__(self) -> Self:
        """Start the hub unless it runs."""
        if self._process is None:
            self.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Kill what is left; after a failure show the log."""
        if kind is not None:
            sys.stdout.write(f"--- log of the hub\n{self.log}---\n")
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def start(self) -> Self:
        """Start the hub and wait until it accepts connections."""
        self.launch()
        deadline = time.monotonic() + START_SECONDS
        while not self.run_file_path.exists():
            if (status := self.process.poll()) is not None:
                raise AssertionError(f"the hub ended with {status}:\n{self.log}")
            if time.monotonic() > deadline:
                raise AssertionError(f"the hub did not start:\n{self.log}")
            time.sleep(0.01)
        return self

    def launch(self) -> Running:
        """Start the hub and return at once."""
        # A hub that was killed leaves its run.json behind.
        self.run_file_path.unlink(missing_ok=True)
        start = prepared.start_fresh if self.fresh else prepared.start
        with open(self.log_file, "ab") as log, open(os.devnull, "rb") as nothing:
            files = (nothing.fileno(), log.fileno(), log.fileno())
            # A group of its own, in which the writer is too: all of it can be killed.
            given = environment() | self.environment
            self._process = start(self.arguments, files, given, new_session=True)
        return self._process

    @property
    def process(self) -> Running:
        """The hub's process."""
        assert self._process is not None, "the hub was not started"
        return self._process

    @property
    def pid(self) -> int:
        """Process id of the hub."""
        return self.process.pid

    @property
    def run_file_path(self) -> Path:
        """Where a running hub describes itself."""
        return self.data / "run.json"

    @property
    def run_file(self) -> dict[str, Any]:
        """What ``run.json`` says."""
        content: dict[str, Any] = json.loads(self.run_file_path.read_bytes())
        return content

    @property
    def port(self) -> int:
        """Port of the text stream."""
        return int(self.run_file["listeners"]["dht_stream"]["port"])

    @property
    def ca(self) -> Path:
        """The certificate that devices trust."""
        return self.data / "ca.crt"

    @property
    def log(self) -> str:
        """Everything the hub has printed, on both outputs."""
        return self.log_file.read_text("utf-8") if self.log_file.exists() else ""

    @property
    def writer_pid(self) -> int:
        """Process id of the writer that runs now."""
        found: list[int] = []

        def there() -> bool:
            found[:] = [pid] if (pid := self.status()["writer"]["pid"]) else []
            return bool(found)

        self.wait_until(there, "a writer runs")
        return found[0]

    def status(self) -> dict[str, Any]:
        """Return what the hub answers on its control socket."""
        return ask(self.data, Status())

    def terminate(self) -> None:
        """Ask the hub to stop."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the hub alone as a power cut would, and wait; the writer lives on for a moment."""
        self.process.kill()
        self.process.wait()

    def kill_writer(self) -> int:
        """End the writer alone as a power cut would; return its process id."""
        pid = self.writer_pid
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return pid

    def wait(self, seconds: float = START_SECONDS) -> int:
        """Return the exit status once the hub has ended."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"the hub does not end:\n{self.log}") from error

    def stop(self) -> int:
        """Ask the hub to stop and return its exit status."""
        self.terminate()
        return self.wait()

    def cli(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run ``motehub …`` on the hub's folder, with ``given`` on its standard input."""
        return cli(*arguments, data=self.data, given=given)

    def json(self, *arguments: str) -> list[dict[str, Any]]:
        """Run a command that lists something, and return its rows."""
        done = self.cli(*arguments, "--format", "json")
        assert done.returncode == 0, done.stderr
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows

    def device(self, name: str) -> dict[str, Any]:
        """Return the row of ``devices list`` of one device, once it is there; its counts add up."""
        rows: dict[str, dict[str, Any]] = {}

        def there() -> bool:
            rows.update((row["name"], row) for row in self.json("devices", "list"))
            return name in rows

        self.wait_until(there, f"{name!r} is listed")
        row = rows[name]
        parts = ("stored", "duplicate", "rejected", "discarded", "waiting")
        assert row["received"] == sum(row[part] for part in parts), row
        return row

    def wait_until(
        self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE
    ) -> None:
        """Return as soon as ``condition`` holds; fail with the hub's log when it doesn't."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds:g} s: {what}\n{self.log[-5000:]}")
            time.sleep(0.02)

    def wait_stored(self, device: str, metric: str, count: int, seconds: float = PATIENCE) -> None:
        """Return as soon as the history has ``count`` readings of a series."""

        def there() -> bool:
            return len(stored(self.data).get((device, metric), ())) >= count

        self.wait_until(there, f"{count} readings of {device} {metric} are stored", seconds)

    def wait_folded(self) -> None:
        """Return as soon as the history has everything that the journal has."""

        def done() -> bool:
            status = self.status()
            return bool(status["writer"]["behind"] == 0 and status["journal"]["held_back"] is None)

        self.wait_until(done, "the history has everything")


class FreshHub(HubProcess):
    """A hub with a Python of its own; tests that weigh its memory need that, for one."""

    fresh = True


def environment() -> dict[str, str]:
    """Return this process's environment without settings for a hub."""
    return {key: text for key, text in os.environ.items() if not key.startswith("MOTEHUB_")}


def cli(
    *arguments: str, data: Path | None = None, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run ``motehub …`` and return how it ended and what it printed."""
    where = {"MOTEHUB_DATA": str(data)} if data else {}
    return prepared.run(arguments, environment() | where, given, 2 * PATIENCE)


def stored(data: Path) -> Stored:
    """Return what the history has: (µs, value) by (device, metric), oldest first."""
    found: Stored = {}
    with closing(sqlite3.connect(f"file:{data / 'motehub.db'}?mode=ro", uri=True)) as db:
        for device, metric, moment, value in db.execute(
            "SELECT device.name, series.metric, reading.time, reading.value FROM reading "
            "JOIN series ON series.id = reading.series JOIN device ON device.id = series.device "
            "ORDER BY reading.time"
        ):
            found.setdefault((device, metric), []).append((moment, value))
    return found


def records(start: int, count: int, humidity: float = 50.0) -> bytes:
    """Return ``count`` records a second apart from ``start`` (unix seconds) on.

    The temperature is unlike in neighbours, so that a mix-up shows.
    """
    lines = []
    for number in range(count):
        celsius = 20 + number % 100 / 10
        lines.append(f"[{start + number}],{humidity:g},{celsius:g},{celsius * 1.8 + 32:g}|")
    return "".join(lines).encode("ascii")


def recent(count: int) -> int:
    """Return unix seconds such that ``count`` records from there on end a little before now."""
    return int(time.time()) - count - 5


def openssl_send(
    port: int,
    payload: bytes,
    *options: str,
    source: str = "127.0.0.1",
    ca: Path | None = None,
    parts: Sequence[bytes] = (),
    pause: float = 0.0,
) -> subprocess.CompletedProcess[bytes]:
    """Send ``payload``, then ``parts`` with ``pause`` seconds before each, as a device would.

    The client is OpenSSL's own, so nothing of the hub's or of Python's TLS is on this side.
    """
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-bind", source]
    command += ["-quiet", "-no_ign_eof", *options]
    if ca is not None:
        command += ["-CAfile", str(ca), "-verify_return_error", "-verify_ip", "127.0.0.1"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.write(payload)
            process.stdin.flush()
            for part in parts:
                time.sleep(pause)
                process.stdin.write(part)
                process.stdin.flush()
        output, errors = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def connect(
    port: int,
    ca: Path,
    source: str = "127.0.0.1",
    certificate: tuple[Path, Path] | None = None,
    send_buffer: int | None = None,
) -> ssl.SSLSocket:
    """Return a TLS connection from the address ``source``; it checks the hub's certificate."""
    context = ssl.create_default_context(cafile=ca)
    if certificate is not None:
        context.load_cert_chain(*certificate)
    raw = socket.socket()
    try:
        if send_buffer is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        raw.settimeout(PATIENCE)
        raw.bind((source, 0))
        raw.connect(("127.0.0.1", port))
        return context.wrap_socket(raw, server_hostname="127.0.0.1")
    except BaseException:
        raw.close()
        raise


def send(port: int, ca: Path, payload: bytes, source: str = "127.0.0.1") -> None:
    """Send ``payload`` over a connection of its own and close it without close_notify."""
    with connect(port, ca, source) as connection:
        connection.sendall(payload)


def reset(connection: socket.socket) -> None:
    """End a connection with RST, as a device that loses power or its stack does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def is_closed(connection: socket.socket, seconds: float = PATIENCE) -> bool:
    """Tell whether the hub closes the connection within ``seconds``."""
    connection.settimeout(seconds)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def memory(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    return int(psutil.Process(pid).memory_info().rss)


def alive(pids: Collection[int]) -> list[int]:
    """Return which of the processes still run."""
    found = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return found


def _toml(settings: Settings) -> str:
    sections: dict[str, dict[str, object]] = {
        "transport.dht_stream": {"host": "127.0.0.1", "port": 0}
    }
    for name, values in settings.items():
        sections.setdefault(name, {}).update(values)
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {_toml_value(v)}\n" for key, v in values.items())
        for name, values in sections.items()
    )


def _toml_value(value: object) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(f"{json.dumps(key)} = {_toml_value(v)}" for key, v in value.items())
        return f"{{{inside}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml_value, value))}]"
    return json.dumps(value)
