"""Kill a writing hub again and again, and count what it lost: ``python -m tests.fault.crash``.

Each round starts a hub on the same data folder, lets it accept readings from many tasks, and at
a random moment sends SIGKILL to the hub, to its writer process or to both. Then everything whose
``accept`` had returned must be in the history exactly once, with its value, and nothing that was
never sent. A kill does not try the disk's own cache; that takes a power cut.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from tests.fault.recorder import ROUND, TASKS, configuration, value_at
from tests.harness import PATIENCE, environment

from motehub import data_folder
from motehub.storage import fold_offline

ROOT: Final = Path(__file__).resolve().parents[2]

LONGEST: Final = 0.5
"""Longest life of a hub after it is ready, in seconds."""


class Lost(AssertionError):
    """The history is not what the hub had acknowledged."""


@dataclass(slots=True)
class Tally:
    """What a run has done and found so far."""

    rounds: int = 0
    kills_of_hub: int = 0
    kills_of_writer: int = 0
    before_ready: int = 0
    batches: int = 0
    readings: int = 0
    unacknowledged: int = 0

    def __str__(self) -> str:
        """Sum it up in a sentence."""
        return (
            f"{self.rounds} rounds: hub killed {self.kills_of_hub} times ({self.before_ready} of "
            f"them while it started), writer {self.kills_of_writer} times; {self.batches} "
            f"acknowledged batches with {self.readings} readings, all stored once; "
            f"{self.unacknowledged} readings more were stored before their acknowledgement."
        )


class Crashes:
    """A data folder and the hubs that die on it; ``seed`` decides when and how."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.tally = Tally()
        self._folder = folder
        self._data = folder / "data"
        self._rng = random.Random(seed)
        self._unchecked: list[tuple[int, Path]] = []
        self._orphans: set[int] = set()

    def round(self) -> None:
        """Start a hub, kill it, and most times check the history before the next one.

        Raises:
            Lost: the history is not what it must be.
        """
        self.live_and_die()
        # Otherwise the next hub starts while the old writer may still be busy.
        if self._rng.random() < 0.7:
            self.check()

    def live_and_die(self) -> None:
        """Run a hub and kill it; what it had acknowledged is to be checked later."""
        self.tally.rounds += 1
        number = self.tally.rounds
        report = self._folder / f"report-{number}"
        self._kill(number, report)
        self._unchecked.append((number, report))

    def check(self) -> None:
        """Fold what is in the journal and compare the history with all unchecked reports.

        Raises:
            Lost: it differs.
        """
        self._wait_for_orphans()
        if not (self._data / "journal.db").exists():
            # The first hub died before it had made anything.
            return
        with data_folder.locked(self._data):
            fold_offline(configuration(self._data))
        with closing(sqlite3.connect(self._data / "motehub.db")) as db:
            for number, report in self._unchecked:
                self._compare(db, number, report)
                report.unlink()
        self._unchecked.clear()

    def check_counters(self) -> None:
        """Compare each device's counters with the number of its rows.

        Raises:
            Lost: a counter is wrong, or a reading was folded twice.
        """
        query = (
            "SELECT device.name, received, stored, duplicate, rejected, (SELECT count(*) FROM "
            "reading JOIN series ON series.id = reading.series WHERE series.device = device.id) "
            "FROM device"
        )
        with closing(sqlite3.connect(self._data / "motehub.db")) as db:
            for name, received, stored, duplicate, rejected, rows in db.execute(query):
                if not received == stored == rows or duplicate or rejected:
                    raise Lost(
                        f"{name}: received {received}, stored {stored}, duplicate {duplicate}, "
                        f"rejected {rejected}, but {rows} rows"
                    )
            if (problem := db.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
                raise Lost(f"motehub.db is damaged: {problem}")

    def _kill(self, number: int, report: Path) -> None:
        """Run a hub that writes ``report`` and kill it, and perhaps its writer."""
        rng = self._rng
        with open(report, "wb") as out, open(self._folder / "log", "ab") as log:
            hub = subprocess.Popen(
                [sys.executable, "-m", "tests.fault.recorder", str(self._data), str(number)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                cwd=ROOT,
                env=environment(),
                start_new_session=True,
            )
        try:
            if rng.random() < 0.1:
                time.sleep(rng.random() * LONGEST)
                self.tally.before_ready += not report.stat().st_size
            else:
                self._live(hub, report)
        finally:
            hub.kill()
            hub.wait()
        self.tally.kills_of_hub += 1
        self._orphans.add(hub.pid)
        if rng.random() < 0.5:
            # The group outlives the hub as long as its writer does.
            with suppress(ProcessLookupError):
                os.killpg(hub.pid, signal.SIGKILL)
                self.tally.kills_of_writer += 1

    def _live(self, hub: subprocess.Popen[bytes], report: Path) -> None:
        """Let the hub work for a while; in some rounds its writer dies meanwhile."""
        _wait(lambda: b"\n" in report.read_bytes()[:100] or hub.poll() is not None)
        if hub.poll() is not None:
            log = (self._folder / "log").read_text("utf-8")[-3000:]
            raise Lost(f"the hub ended by itself with {hub.returncode}:\n{log}")
        writer = int(report.read_bytes().split(maxsplit=2)[1])
        time.sleep(self._rng.random() * LONGEST)
        if self._rng.random() < 0.3:
            with suppress(ProcessLookupError):
                os.kill(writer, signal.SIGKILL)
                self.tally.kills_of_writer += 1
            time.sleep(self._rng.random() * LONGEST)

    def _wait_for_orphans(self) -> None:
        """Wait until the writers of dead hubs have folded what they could and ended."""
        _wait(lambda: not self._orphans & _living_groups())
        self._orphans.clear()

    def _compare(self, db: sqlite3.Connection, number: int, report: Path) -> None:
        tried, acknowledged = _read(report)
        for task in range(TASKS):
            query = (
                "SELECT time, value FROM reading JOIN series ON series.id = reading.series "
                "JOIN device ON device.id = series.device "
                "WHERE device.name = ? AND time >= ? AND time < ?"
            )
            bounds = (f"task-{task}", number * ROUND, (number + 1) * ROUND)
            found = dict(db.execute(query, bounds))
            wanted, possible = _times(acknowledged[task]), _times(tried[task])
            if missing := wanted - found.keys():
                raise Lost(f"round {number}, task {task}: {len(missing)} lost: {min(missing)} …")
            if strange := found.keys() - possible:
                raise Lost(f"round {number}, task {task}: {len(strange)} were never sent")
            if any(found[moment] != value_at(task, moment) for moment in found):
                raise Lost(f"round {number}, task {task}: a value is not the one sent")
            self.tally.batches += len(acknowledged[task])
            self.tally.readings += len(wanted)
            self.tally.unacknowledged += len(found) - len(wanted)


_Batches = list[list[tuple[int, int]]]


def _read(report: Path) -> tuple[_Batches, _Batches]:
    """Return the batches (first, count) of each task that were tried and acknowledged."""
    tried: _Batches = [[] for _ in range(TASKS)]
    acknowledged: _Batches = [[] for _ in range(TASKS)]
    for line in report.read_bytes().splitlines():
        word, *numbers = line.split()
        if word in {b"try", b"ack"}:
            task, first, count = map(int, numbers)
            (tried if word == b"try" else acknowledged)[task].append((first, count))
    return tried, acknowledged


def _living_groups() -> set[int]:
    """Return the process groups in which anything runs; init may be slow to bury the dead."""
    groups = set()
    for process in psutil.process_iter(["status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE:
            with suppress(ProcessLookupError):
                groups.add(os.getpgid(process.pid))
    return groups


def _times(batches: list[tuple[int, int]]) -> set[int]:
    return {time for first, count in batches for time in range(first, first + count)}


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise Lost(f"nothing happened for {PATIENCE:g} s")
        time.sleep(0.01)


def run(folder: Path, rounds: int, seed: int, progress: Callable[[Tally], None]) -> Tally:
    """Do ``rounds`` rounds on the empty ``folder`` and return what was found.

    Raises:
        Lost: the history is not what the hub had acknowledged.
    """
    crashes = Crashes(folder, seed)
    for number in range(1, rounds + 1):
        crashes.round()
        progress(crashes.tally)
        if number % 100 == 0:
            crashes.check()
            crashes.check_counters()
    crashes.check()
    crashes.check_counters()
    return crashes.tally


def main() -> int:
    """Parse the arguments, run, and print what was found; 0 when nothing was lost."""
    parser = argparse.ArgumentParser(prog="tests.fault.crash", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    options = parser.parse_args()
    began = time.monotonic()

    def progress(tally: Tally) -> None:
        if tally.rounds % 10 == 0:
            seconds = time.monotonic() - began
            sys.stdout.write(f"{tally.rounds}/{options.rounds} rounds in {seconds:.0f} s\n")
            sys.stdout.flush()

    sys.stdout.write(f"seed {options.seed}\n")
    folder = Path(tempfile.mkdtemp(prefix="motehub-crash-"))
    try:
        tally = run(folder, options.rounds, options.seed, progress)
    except Lost as lost:
        sys.stdout.write(f"LOST: {lost}\nWhat is left lies in {folder}.\n")
        return 1
    shutil.rmtree(folder)
    sys.stdout.write(f"{tally}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
