"""What MQTT is measured with: the compiled generator, Mosquitto, and a subscriber that stores."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.servers import MosquittoServer

from bench.harness import LoadProgram, Settings, Skipped
from bench.mqtt_subscriber import FILE_NAME
from bench.processes import ProcessFailed
from bench.servers import ROOT, PrintsPort

_SOURCE: Final = ROOT / "bench" / "mqtt_flood.c"


class Flood(LoadProgram):
    """``bench/mqtt_flood.c``, compiled at first use; ``options`` are those that it prints.

    Raises:
        Skipped: there is no C compiler here.
        ProcessFailed: it can't be compiled.
    """

    def __init__(self, settings: Settings, **options: float | str) -> None:
        words = [f"{name}={value}" for name, value in options.items()]
        super().__init__([str(_program(settings)), *words])


def _program(settings: Settings) -> Path:
    program = settings.folder / "mqtt_flood"
    if not program.exists():
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            raise Skipped("there is no C compiler here; Debian's package is called gcc")
        command = [compiler, "-O2", "-o", str(program), str(_SOURCE)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise ProcessFailed(f"{_SOURCE.name} can't be compiled. {done.stderr.strip()[-500:]}")
    return program


@contextmanager
def mosquitto(*settings: str) -> Iterator[MosquittoServer]:
    """Give a Mosquitto with its own defaults and further ``settings``; it logs errors only.

    Raises:
        Skipped: there is none on this machine.
    """
    if shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin") is None:
        raise Skipped("there is no mosquitto here")
    with MosquittoServer(settings=("log_type error", *settings)) as server:
        yield server


class Subscriber(PrintsPort):
    """What people build: a subscriber in Python; see :mod:`bench.mqtt_subscriber`."""

    module = "bench.mqtt_subscriber"

    def __init__(self, folder: Path, certificates: Path, broker: MosquittoServer) -> None:
        super().__init__(folder, certificates)
        self.arguments: Sequence[str] = [str(broker.port)]

    def finished(self) -> int:
        """Return the readings that are committed."""
        path = self.folder / FILE_NAME
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as d:
            (rows,) = d.execute("SELECT coalesce(max(rowid), 0) FROM reading").fetchone()
        return int(rows)
