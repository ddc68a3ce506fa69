"""Flood the JSON socket and compare answers with the history: ``python -m tests.fault.json_flood``.

Clients in a process of their own send objects as fast as they are let, and ask for acknowledgement.
Afterwards the value of every object that was acknowledged must be in the history exactly once, and
none that was never sent.
"""

from __future__ import annotations

import argparse
import resource
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import msgspec
import psutil
from tests.fault.json_flooder import SPAN, Order, Report
from tests.harness import FreshHub, HubProcess, environment

ROOT: Final = Path(__file__).resolve().parents[2]

LISTEN: Final = {"host": "127.0.0.1", "port": 0}

_CONNECT_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.25


class Flood:
    """Clients that flood a running hub; ``with`` connects them, ``begin`` lets them send."""

    def __init__(
        self, hub: HubProcess, connections: int, seconds: float, size: int = 0, first: int = 0
    ) -> None:
        clients = hub.data / "certificates" / "clients"
        if not (clients / "flood.crt").exists():
            done = hub.cli("certs", "client", "flood")
            assert done.returncode == 0, done.stderr
        self._order = Order(
            int(hub.run_file["listeners"]["json_socket"]["port"]),
            str(hub.ca),
            str(clients / "flood.crt"),
            str(clients / "flood.key"),
            connections,
            seconds,
            size,
            first,
        )

    def __enter__(self) -> Self:
        """Start the clients and wait until all are connected."""
        order = msgspec.json.encode(self._order).decode()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fault.json_flooder", order],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(),
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", "the clients could not connect"
        return self

    def __exit__(self, *_: object) -> None:
        """End the clients, whatever they do."""
        self._process.kill()
        self._process.communicate()

    def begin(self) -> None:
        """Let them send from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def report(self) -> Report:
        """Wait until they are done and return what became of it."""
        assert self._process.stdout is not None
        return msgspec.json.decode(self._process.stdout.readline(), type=Report)


@dataclass(slots=True)
class Condition:
    """How the hub was: greatest memory of all its processes (bytes), slowest answer (s)."""

    memory: int = 0
    slowest: float = 0.0
    answers: int = 0


@contextmanager
def watched(hub: HubProcess) -> Iterator[Condition]:
    """Ask the hub for its status again and again, and look at its memory."""
    condition = Condition()
    over = threading.Event()
    failed: list[Exception] = []

    def watch() -> None:
        while not over.wait(_POLL_SECONDS):
            asked = time.monotonic()
            try:
                hub.status()
            except Exception as error:
                failed.append(error)
                return
            condition.slowest = max(condition.slowest, time.monotonic() - asked)
            condition.answers += 1
            condition.memory = max(condition.memory, _memory(hub.pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield condition
    finally:
        over.set()
        thread.join()
    assert not failed, failed


def _memory(pid: int) -> int:
    hub = psutil.Process(pid)
    total = 0
    for one in (hub, *hub.children(recursive=True)):
        # Some live only for a moment.
        with suppress(psutil.NoSuchProcess):
            total += one.memory_info().rss
    return total


def compare(data: Path, *reports: tuple[int, Report]) -> int:
    """Compare the history with reports, each with the number of its first connection.

    Returns the number of acknowledged objects. Fails when one of them is missing, when a value is
    there twice, or when one was never sent.
    """
    found: dict[int, list[int]] = {}
    with closing(sqlite3.connect(f"file:{data / 'motehub.db'}?mode=ro", uri=True)) as db:
        for (value,) in db.execute("SELECT value FROM reading"):
            connection, number = divmod(int(value), SPAN)
            found.setdefault(connection, []).append(number)
    for first, report in reports:
        counts = zip(report.sent, report.acknowledged, strict=True)
        for connection, (sent, acknowledged) in enumerate(counts, first):
            numbers = sorted(found.pop(connection, []))
            # Objects are stored in their order: what is there is the beginning of what was sent.
            assert numbers == list(range(len(numbers))), f"connection {connection}: lost or doubled"
            assert acknowledged <= len(numbers) <= sent, (
                f"connection {connection}: {acknowledged} acknowledged, {len(numbers)} stored, "
                f"{sent} sent"
            )
    assert not found, f"values of connections that were never made: {sorted(found)[:5]}"
    return sum(sum(report.acknowledged) for _, report in reports)


@contextmanager
def many_files(connections: int) -> Iterator[None]:
    """Let this process, and those that it starts, open more files than connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(2 * connections + 1000, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def flood(folder: Path, connections: int, seconds: float, size: int) -> str:
    """Flood a new hub in ``folder``, compare, and say what was found."""
    with (
        many_files(connections),
        FreshHub(folder, {"transport.json_socket": LISTEN}) as hub,
        Flood(hub, connections, seconds, size) as clients,
    ):
        began = time.monotonic()
        with watched(hub) as condition:
            clients.begin()
            report = clients.report()
        passed = time.monotonic() - began
        assert not report.refused, report.refused
        assert not report.gone, f"{report.gone} connections were ended"
        assert report.acknowledged == report.sent
        hub.wait_folded()
        acknowledged = compare(hub.data, (0, report))
    return (
        f"{connections} connections, objects of {size or 'about 30'} bytes: {acknowledged} sent, "
        f"acknowledged and stored once in {passed:.1f} s; senders had to wait {report.blocked} "
        f"times; at most {condition.memory / 1e6:.0f} MB; slowest of {condition.answers} status "
        f"answers {condition.slowest:.2f} s"
    )


def main() -> int:
    """Flood with one connection and with many, and print what was found."""
    parser = argparse.ArgumentParser(prog="tests.fault.json_flood", description=__doc__)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--size", type=int, default=1000, help="bytes of an object (default: 1000)")
    options = parser.parse_args()
    for connections, size in (
        (1, 0),
        (options.connections, 0),
        (options.connections, options.size),
    ):
        with tempfile.TemporaryDirectory(prefix="motehub-flood-") as folder:
            sys.stdout.write(
                f"{flood(Path(folder) / 'data', connections, options.seconds, size)}\n"
            )
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
