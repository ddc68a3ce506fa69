"""The HTTP servers that the hub is compared with: Flask under gunicorn, InfluxDB, a sink."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

import psycopg

from bench.harness import Settings, Skipped
from bench.peers import free_port
from bench.processes import ProcessFailed
from bench.servers import ROOT

GUNICORN_WORKERS: Final = 2

TABLE: Final = (
    "CREATE TABLE home_data (location text, timestamp timestamp, "
    "temperature double precision, humidity double precision)"
)
"""Where the original's way puts its readings."""

DATABASE: Final = "bench"
"""Name of the database in InfluxDB."""

_START_SECONDS: Final = 30.0
_READINGS_PER_ROW: Final = 2


class _Program:
    """A server's process; what it says goes into a file of ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()

    @property
    def process_id(self) -> int:
        """The server's own process; others are its children."""
        return self._process.pid

    def start(self, command: Sequence[str], **environment: str) -> None:
        """Start it and wait until it answers."""
        with open(self.folder / "errors.txt", "w") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                cwd=ROOT,
                env=os.environ | environment,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / "errors.txt").read_text().strip()[-500:]
                raise ProcessFailed(f"{command[0]} did not start. {said}")
            time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ping", timeout=5):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False


class FlaskApp(_Program):
    """The original HTTP system's way; see :mod:`bench.original_http`."""

    def __init__(self, folder: Path, python: Path, url: str) -> None:
        super().__init__(folder)
        self._python = python
        self._url = url

    def __enter__(self) -> Self:
        """Make the table and start the workers."""
        with psycopg.connect(self._url) as connection:
            connection.execute(TABLE)
        command = [str(self._python), "-m", "gunicorn", "--workers", str(GUNICORN_WORKERS)]
        command += ["--bind", f"127.0.0.1:{self.port}", "bench.original_http:app"]
        self.start(command, BENCH_DATABASE=self._url)
        return self

    def finished(self) -> int:
        """Return the readings that are committed."""
        with psycopg.connect(self._url) as connection:
            row = connection.execute("SELECT count(*) FROM home_data").fetchone()
        assert row is not None
        return int(row[0]) * _READINGS_PER_ROW


class Influx(_Program):
    """InfluxDB 1.x with its usual durability: each write is synchronised to its log."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        program = shutil.which("influxd")
        if program is None:
            raise Skipped("there is no influxd here; Debian's package is called influxdb")
        self._program = program

    def __enter__(self) -> Self:
        """Start it and make the database."""
        configuration = self.folder / "influxdb.conf"
        configuration.write_text(
            f'reporting-disabled = true\nbind-address = "127.0.0.1:{free_port()}"\n'
            f'[meta]\ndir = "{self.folder}/meta"\n'
            f'[data]\ndir = "{self.folder}/data"\nwal-dir = "{self.folder}/wal"\n'
            f'[http]\nbind-address = "127.0.0.1:{self.port}"\nlog-enabled = false\n'
            "[monitor]\nstore-enabled = false\n"
        )
        self.start([self._program, "-config", str(configuration)])
        self._query(f"CREATE DATABASE {DATABASE}")
        return self

    def finished(self) -> int:
        """Return the readings that queries find."""
        answer = self._query("SELECT count(temperature) FROM weather")
        series = answer["results"][0].get("series")
        return int(series[0]["values"][0][1]) if series else 0

    def _query(self, text: str) -> dict[str, list[dict[str, list[dict[str, list[list[int]]]]]]]:
        form = urllib.parse.urlencode({"db": DATABASE, "q": text}).encode()
        address = f"http://127.0.0.1:{self.port}/query"
        with urllib.request.urlopen(address, form, timeout=60) as answer:
            found: dict[str, list[dict[str, list[dict[str, list[list[int]]]]]]] = json.load(answer)
        return found


@contextmanager
def sink() -> Iterator[int]:
    """Run a server that discards; give its port."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.http_sink"], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def flask_python(settings: Settings) -> Path:
    """Return a Python with Flask and gunicorn, which is made at the first call.

    Raises:
        Skipped: the packages can't be had.
    """
    folder = settings.folder / "flask"
    python = folder / "bin" / "python"
    if not python.exists():
        install = [str(python), "-m", "pip", "install", "--quiet"]
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [*install, "flask", "gunicorn", "psycopg[binary]"],
        ):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                shutil.rmtree(folder, ignore_errors=True)
                raise Skipped(
                    f"Flask and gunicorn can't be installed: {done.stderr.strip()[-200:]}"
                )
    return python
