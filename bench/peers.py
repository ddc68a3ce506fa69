"""Servers of other makes that the hub stands on, private and on free ports, and hubs on them."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

import psycopg
import redis
from tests.servers import PostgresServer

from bench.harness import Skipped
from bench.processes import ProcessFailed
from bench.servers import TEXT_STREAM, Hub, PrintsPort

_START_SECONDS: Final = 30.0


class PostgresHub(Hub):
    """motehub with its history in the PostgreSQL database at ``url``."""

    name = "motehub, PostgreSQL"

    def __init__(
        self,
        folder: Path,
        certificates: Path,
        url: str,
        *,
        sections: str = TEXT_STREAM,
        listener: str = "dht_stream",
    ) -> None:
        store = f'[store]\ntype = "postgres"\nurl = "{url}"\n'
        super().__init__(folder, certificates, sections=store + sections, listener=listener)
        self._url = url

    def history(self) -> tuple[int, int]:
        """Return the history's position and its number of readings, of the same moment."""
        return postgres_history(self._url)


def postgres_history(url: str) -> tuple[int, int]:
    """Return the position and the number of readings of the history at ``url``."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT position, (SELECT coalesce(sum(stored + duplicate), 0) FROM device) "
            "FROM cursor WHERE consumer = 'history'"
        ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Give a PostgreSQL server with the usual durability.

    Raises:
        Skipped: there is none on this machine.
    """
    try:
        server = PostgresServer()
    except AssertionError as error:
        raise Skipped("there is no PostgreSQL server here") from error
    with server:
        yield server


class RedisServer:
    """A Redis with its usual settings in ``folder``."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("redis-server") is None:
            raise Skipped("there is no redis-server here")
        self._folder = folder
        self.port = free_port()
        self.client = redis.Redis(port=self.port)

    @property
    def process_id(self) -> int:
        """The server's process."""
        return self._process.pid

    def __enter__(self) -> Self:
        """Start it and wait until it answers."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1"]
        self._process = subprocess.Popen(
            [*command, "--dir", str(self._folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(redis.ConnectionError):
                self.client.ping()
                return self
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ProcessFailed("redis-server did not start.")
            time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.client.close()
        self._process.terminate()
        self._process.wait()

    def calls(self, command: str) -> int:
        """Return how often ``command`` was carried out."""
        statistics = self.client.info("commandstats")
        assert isinstance(statistics, dict)
        return int(statistics.get(f"cmdstat_{command}", {}).get("calls", 0))


class OriginalJson(PrintsPort):
    """The original JSON daemon's way on ``database``; see :mod:`bench.original_json`."""

    name = "original"
    module = "bench.original_json"

    def __init__(self, folder: Path, certificates: Path, database: RedisServer) -> None:
        super().__init__(folder, certificates)
        self.arguments = [str(database.port)]
        self._database = database

    def finished(self) -> int:
        """Return the readings that were written to Redis."""
        return self._database.calls("hset")


def free_port() -> int:
    """Return a port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
