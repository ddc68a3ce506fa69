"""The servers under test: how each is started, and how what it has stored is counted."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol, Self

import apsw

from bench.original import FILE_NAME as ORIGINAL_FILE
from bench.processes import ProcessFailed, tree
from bench.records import READINGS_PER_RECORD
from motehub.frames import decode_frame
from motehub.journals.sqlite import FILE_NAME as JOURNAL_FILE
from motehub.model import MICROSECONDS
from motehub.sqlite_files import open_database
from motehub.stores.sqlite import FILE_NAME as HISTORY_FILE

ROOT: Final = Path(__file__).parent.parent
"""Where ``python -m bench.…`` works."""

_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 120.0

_CONFIGURATION: Final = """\
[hub]
admission = "open"
log_level = "warning"
[journal]
size = "8 GiB"
[retention]
raw = "forever"
minute = "forever"
"""

TEXT_STREAM: Final = """\
[transport.dht_stream]
host = "127.0.0.1"
port = 0
"""
"""Section of the text stream's listener."""

CLIENT: Final = "bench"
"""Name in the client certificate that is made beforehand."""


class Stores(Protocol):
    """A running server whose stored readings can be counted."""

    port: int

    def finished(self) -> int:
        """Return how many readings are where queries find them."""
        ...


class Server(Stores, Protocol):
    """A running server; readings are counted in the files that it writes."""

    name: str
    newline: bool

    @property
    def process_id(self) -> int:
        """The server's own process; others are its children."""
        ...

    def __enter__(self) -> Self:
        """Start it; it accepts connections when this returns."""
        ...

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        ...

    def durable(self) -> int:
        """Return how many readings would survive a crash now."""
        ...


class _Process:
    """A child process in a folder of its own, with certificates made beforehand."""

    def __init__(self, folder: Path, certificates: Path) -> None:
        self.folder = folder
        shutil.copytree(certificates, folder, dirs_exist_ok=True)
        self._process: subprocess.Popen[str] | None = None

    @property
    def process_id(self) -> int:
        """The server's own process; others are its children."""
        assert self._process is not None
        return self._process.pid

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Python with ``arguments``; what it says to standard error goes into a file."""
        with open(self.folder / "errors.txt", "w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
            )
        return self._process

    def failure(self) -> ProcessFailed:
        """Return the error that says what the process said last."""
        said = (self.folder / "errors.txt").read_text().strip()[-500:]
        return ProcessFailed(f"{type(self).__name__} did not start. {said or 'It said nothing.'}")

    def kill(self) -> None:
        """End it with its children at once, whatever it was doing."""
        for one in reversed(tree(self.process_id)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)

    def __exit__(self, *_: object) -> None:
        """Stop it: SIGTERM, and SIGKILL when that takes too long."""
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.communicate(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.communicate()


class PrintsPort(_Process):
    """A server of the bench, which prints its port once it listens."""

    module: str
    arguments: Sequence[str] = ()

    def __enter__(self) -> Self:
        """Start it and read its port."""
        process = self.start("-m", self.module, str(self.folder), *self.arguments)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise self.failure()
        self.port = int(line)
        return self


class Sink(PrintsPort):
    """Reads and discards; with the argument ``acknowledge`` it answers JSON objects."""

    name = "generator alone"
    newline = False
    module = "bench.sink"

    def __init__(self, folder: Path, certificates: Path, *arguments: str) -> None:
        super().__init__(folder, certificates)
        self.arguments = arguments

    def durable(self) -> int:
        """Nothing is stored."""
        return 0

    def finished(self) -> int:
        """Nothing is stored."""
        return 0


class Original(PrintsPort):
    """The original's way; see :mod:`bench.original`."""

    name = "original"
    newline = True
    module = "bench.original"

    def durable(self) -> int:
        """Return the readings that are committed."""
        path = self.folder / ORIGINAL_FILE
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as d:
            try:
                (rows,) = d.execute("SELECT coalesce(max(rowid), 0) FROM sensor_data").fetchone()
            except sqlite3.OperationalError:
                return 0  # the table is not made yet
        return int(rows) * READINGS_PER_RECORD

    def finished(self) -> int:
        """Return the readings that are committed: there is no second stage."""
        return self.durable()


class Backlog:
    """What waits in the hub's journal for its history: frames, bytes, age in seconds."""

    def __init__(self, frames: int, size: int, age: float) -> None:
        self.frames = frames
        self.size = size
        self.age = age


class Hub(_Process):
    """motehub with the listeners of ``sections``; ``port`` is that of ``listener``.

    ``wrapper`` goes between the interpreter and ``-m motehub`` (a profiler).
    """

    name = "motehub"
    newline = False

    def __init__(
        self,
        folder: Path,
        certificates: Path,
        wrapper: Sequence[str] = (),
        *,
        sections: str = TEXT_STREAM,
        listener: str = "dht_stream",
    ) -> None:
        super().__init__(folder, certificates)
        self._wrapper = wrapper
        self._sections = sections
        self._listener = listener

    def __enter__(self) -> Self:
        """Start it and wait for ``run.json``."""
        settings = self.configure()
        command = ["-m", "motehub", "serve", "--config", str(settings), "--data", str(self.folder)]
        process = self.start(*self._wrapper, *command)
        run_file = self.folder / "run.json"
        deadline = time.monotonic() + _START_SECONDS
        while not run_file.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise self.failure()
            time.sleep(0.005)
        self.port = json.loads(run_file.read_text())["listeners"][self._listener]["port"]
        return self

    def configure(self) -> Path:
        """Write the configuration and return its file."""
        settings = self.folder / "motehub.toml"
        settings.write_text(_CONFIGURATION + self._sections)
        return settings

    def command(self, *arguments: str, given: str | None = None) -> str:
        """Run ``motehub …`` on the hub's folder and return what it prints.

        ``given`` is what it reads.

        Raises:
            ProcessFailed: it does not succeed.
        """
        command = [sys.executable, "-m", "motehub", *arguments, "--data", str(self.folder)]
        done = subprocess.run(command, input=given, capture_output=True, text=True, cwd=ROOT)
        if done.returncode:
            raise ProcessFailed(f"motehub {arguments[0]} failed. {done.stderr.strip()}")
        return done.stdout

    def durable(self) -> int:
        """Return the readings in the history and in the journal behind it."""
        journal = open_database(self.folder / JOURNAL_FILE, read_only=True)
        try:
            # The journal's snapshot comes first: what is trimmed later is in the history by then.
            journal.execute("BEGIN")
            journal.execute("SELECT max(position) FROM frame").fetchall()
            position, stored = self.history()
            waiting = journal.execute("SELECT body FROM frame WHERE position > ?", (position,))
            return stored + sum(len(decode_frame(body).readings) for (body,) in waiting)
        finally:
            journal.close()

    def finished(self) -> int:
        """Return the readings in the history."""
        return self.history()[1]

    def backlog(self) -> Backlog:
        """Return what waits in the journal now."""
        position, _ = self.history()
        journal = open_database(self.folder / JOURNAL_FILE, read_only=True)
        try:
            frames, size, oldest = _row(
                journal,
                "SELECT count(*), coalesce(sum(length(body)), 0), coalesce(min(time), 0) "
                "FROM frame WHERE position > ?",
                position,
            )
        finally:
            journal.close()
        age = time.time() - oldest / MICROSECONDS if frames else 0.0
        return Backlog(frames, size, age)

    def history(self) -> tuple[int, int]:
        """Return the history's position and its number of readings, of the same moment."""
        history = open_database(self.folder / HISTORY_FILE, read_only=True)
        try:
            position, stored = _row(
                history,
                "SELECT position, (SELECT coalesce(sum(stored + duplicate), 0) FROM device) "
                "FROM cursor WHERE consumer = 'history'",
            )
        finally:
            history.close()
        return position, stored


def make_certificates(folder: Path) -> None:
    """Make an authority, a certificate for 127.0.0.1 and one for a client, as the hub does.

    Raises:
        ProcessFailed: they can't be made.
    """
    folder.mkdir()
    server = ["motehub.security", "--data", str(folder), "--address", "127.0.0.1"]
    client = ["motehub", "certs", "client", CLIENT, "--data", str(folder)]
    for arguments in (server, client):
        command = [sys.executable, "-m", *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise ProcessFailed(f"No certificates could be made. {done.stderr.strip()}")


def _row(database: apsw.Connection, query: str, *bindings: int) -> tuple[int, ...]:
    row: tuple[int, ...] | None = database.execute(query, bindings).fetchone()
    assert row is not None
    return row
