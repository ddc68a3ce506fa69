"""A PostgreSQL that is away for long: ``python -m tests.fault.outage --away 3600 --rate 5000``.

A program posts readings over HTTP at a steady rate, and sends again what was not acknowledged.
Meanwhile the database is stopped, comes back and dies, and the hub and its writer are killed at
random. In the end every reading must be in PostgreSQL exactly once, and the program must never
have been held back for longer than a restart takes.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import psycopg
from tests.harness import HubProcess, Settings
from tests.servers import PostgresServer

SERIES: Final = 100
"""Series that the readings are spread over."""

FIRST: Final = 1_700_000_000_000_000
"""Time of the first reading in UTC µs; each series has one a millisecond."""

POSTS: Final = 10
"""Posts a second."""

PATIENCE: Final = 600.0


class Program:
    """Posts readings until told to stop; ``with`` starts it and stops it.

    ``rate`` is readings a second. ``posted`` counts acknowledged rounds, ``slowest`` is the
    longest time in seconds from the first attempt to the acknowledgement.
    """

    def __init__(self, hub: HubProcess, token: str, rate: int) -> None:
        self._hub = hub
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.rounds = max(1, rate // POSTS // SERIES)
        self.posted = 0
        self.again = 0
        self.slowest = 0.0
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name="program")

    @property
    def readings(self) -> int:
        """Acknowledged readings."""
        return self.posted * self.rounds * SERIES

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the last post is never acknowledged"

    def _run(self) -> None:
        began = time.monotonic()
        connection = self._connect()
        while not self._enough.wait(max(0.0, began + self.posted / POSTS - time.monotonic())):
            body = self._body(self.posted)
            first = time.monotonic()
            while not self._post(connection, body):
                self.again += 1
                time.sleep(0.05)
                connection.close()
                connection = self._connect()
            self.slowest = max(self.slowest, time.monotonic() - first)
            self.posted += 1
        connection.close()

    def _post(self, connection: http.client.HTTPConnection, body: bytes) -> bool:
        """Post once; tell whether it was acknowledged."""
        try:
            connection.request("POST", "/api/v1/readings", body, self._headers)
            with connection.getresponse() as answer:
                answer.read()
                return answer.status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False

    def _connect(self) -> http.client.HTTPConnection:
        """Return a connection to the hub that runs now, or ran last; nothing is sent yet."""
        port = 1
        with suppress(OSError, ValueError, KeyError):
            port = self._hub.run_file["listeners"]["web"]["port"]
        return http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def _body(self, number: int) -> bytes:
        readings = [
            {
                "device": f"d{one}",
                "metric": "level",
                "time": moment / 1e6,
                "value": one + moment % 997,
            }
            for step in range(self.rounds)
            for moment in [FIRST + (number * self.rounds + step) * 1000]
            for one in range(SERIES)
        ]
        return json.dumps(readings).encode()


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    readings: int
    again: int
    slowest: float
    most_journal: int
    drained: float
    kills: int

    def __str__(self) -> str:
        """Sum it up in a sentence."""
        return (
            f"{self.readings} readings, each stored exactly once; {self.again} posts sent again "
            f"over {self.kills} kills of hub or writer; slowest post {self.slowest:.1f} s; the "
            f"journal grew to {self.most_journal / 1e6:.0f} MB and was drained "
            f"{self.drained:.1f} s after the database was back"
        )


def run(folder: Path, server: PostgresServer, *, rate: int, away: float, kills: int) -> Outcome:
    """Keep ``server`` away for ``away`` seconds while ``rate`` readings a second arrive.

    Raises:
        AssertionError: something was lost, doubled or changed.
    """
    url = server.new_database()
    settings: Settings = {
        "store": {"type": "postgres", "url": url},
        "web": {"host": "127.0.0.1", "port": 0},
    }
    with HubProcess(folder, settings) as hub:
        token = hub.cli("token", "create", "program", "--scope", "write").stdout.strip()
        with Program(hub, token, rate) as program:
            hub.wait_until(lambda: program.posted >= POSTS, "the program posts")
            # First it stands still, connections open; then it is dead.
            server.pause()
            _wait_and_kill(hub, away / 2, kills)
            server.resume()
            server.kill()
            _wait_and_kill(hub, away / 2, kills)
            most = int(hub.status()["journal"]["size"])
            server.start()
            back = time.monotonic()
            # While new readings keep coming.
            hub.wait_until(lambda: _caught_up(hub), "the history catches up", PATIENCE)
            drained = time.monotonic() - back
        hub.wait_folded()
        _check(url, program)
    return Outcome(program.readings, program.again, program.slowest, most, drained, 2 * kills)


def _wait_and_kill(hub: HubProcess, seconds: float, kills: int) -> None:
    for _ in range(kills):
        time.sleep(seconds / (kills + 1))
        if random.random() < 0.5:
            hub.kill()
            hub.start()
        else:
            os.kill(hub.writer_pid, signal.SIGKILL)
    time.sleep(seconds / (kills + 1))


def _caught_up(hub: HubProcess) -> bool:
    return bool(hub.status()["writer"]["behind"] < POSTS)


def _check(url: str, program: Program) -> None:
    steps = program.posted * program.rounds
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*), count(DISTINCT (series, time)), min(time), max(time), "
            "sum((value <> substr(device.name, 2)::int + time % 997)::int) FROM reading "
            "JOIN series ON series.id = reading.series JOIN device ON device.id = series.device"
        ).fetchone()
    last = FIRST + (steps - 1) * 1000
    assert row == (program.readings, program.readings, FIRST, last, 0), (row, program.readings)


def main() -> None:
    """Run one outage and say what it came to."""
    parser = argparse.ArgumentParser(prog="tests.fault.outage", description=__doc__)
    parser.add_argument("--rate", type=int, default=5000, help="readings a second")
    parser.add_argument("--away", type=float, default=3600, help="seconds without database")
    parser.add_argument("--kills", type=int, default=20, help="kills in each half")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, PostgresServer() as server:
        data = Path(folder) / "hub"
        done = run(data, server, rate=options.rate, away=options.away, kills=options.kills)
    print(done)  # noqa: T201


if __name__ == "__main__":
    main()
