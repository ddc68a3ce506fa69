"""Rounds and sides: what is compared alternates, so that a noisy minute meets both."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from bench.processes import ProcessFailed
from bench.servers import CLIENT, ROOT


class Skipped(Exception):
    """A side can't be measured on this machine; the message says what is missing."""


Sample = Mapping[str, float]
"""One run of one side: figures by their names, which say the units."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How much to measure, and where the servers keep their files."""

    rounds: int
    quick: bool
    folder: Path
    certificates: Path

    @property
    def authority(self) -> str:
        """The PEM file of the authority that clients trust."""
        return str(self.certificates / "ca.crt")

    @property
    def client(self) -> Path:
        """The PEM file of a client's certificate; its key lies beside it, ``.key``."""
        return self.certificates / "certificates" / "clients" / f"{CLIENT}.crt"

    @contextmanager
    def fresh_folder(self) -> Iterator[Path]:
        """Give an empty folder that is removed after the block."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


@dataclasses.dataclass(frozen=True)
class Case:
    """Sides that are measured in turn; ratios are of the first side to the second."""

    name: str
    sides: Mapping[str, Callable[[Settings], Sample]]


Scenario = Callable[[Settings], Sequence[Case]]


@dataclasses.dataclass(frozen=True)
class Spread:
    """The median of the rounds and their extremes."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of ``values``."""
        return cls(statistics.median(values), min(values), max(values))


@dataclasses.dataclass(frozen=True)
class Result:
    """All samples of a case, by side."""

    case: str
    samples: Mapping[str, Sequence[Sample]]

    def figures(self) -> dict[str, dict[str, Spread]]:
        """Return figure → side → spread, in the order in which they were measured."""
        found: dict[str, dict[str, Spread]] = {}
        for side, samples in self.samples.items():
            for figure in samples[0]:
                spread = Spread.of([sample[figure] for sample in samples])
                found.setdefault(figure, {})[side] = spread
        return found

    def ratio(self, figure: str) -> float | None:
        """Return the first side's median to the second's, where both have the figure."""
        medians = [self.figures()[figure].get(side) for side in itertools.islice(self.samples, 2)]
        if len(medians) < 2 or medians[0] is None or medians[1] is None or not medians[1].median:
            return None
        return medians[0].median / medians[1].median


def run(case: Case, settings: Settings, tell: Callable[[str], None]) -> Result:
    """Measure the sides of ``case`` in turn: A B, then A B again."""
    samples: dict[str, list[Sample]] = {side: [] for side in case.sides}
    for number in range(settings.rounds):
        for side, measure in case.sides.items():
            if side not in samples:
                continue
            tell(f"{case.name}: {side}, round {number + 1} of {settings.rounds}")
            try:
                samples[side].append(measure(settings))
            except Skipped as reason:
                tell(f"{case.name}: {side} is left out: {reason}")
                del samples[side]
    return Result(case.name, samples)


class LoadProgram:
    """A load generator's process: says a line when it is ready, waits for one, prints JSON."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Start it and wait until it is ready to send."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise ProcessFailed("The load generator did not start; its own message is above.")
        return self

    def __exit__(self, *_: object) -> None:
        """End it, if it has not ended by itself."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    def go(self, command: str = "") -> None:
        """Let it send from now on, or carry out a ``command`` that it knows."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()

    def outcome(self) -> dict[str, float]:
        """Wait until it has sent and closed everything; return what it did."""
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ProcessFailed("The load generator failed; its own message is above.")
        outcome: dict[str, float] = json.loads(line)
        return outcome


class Generator(LoadProgram):
    """A load generator that is a module: ``bench.load``, ``bench.visits`` and others."""

    def __init__(self, module: str, order: Any) -> None:
        super().__init__([sys.executable, "-m", module, json.dumps(dataclasses.asdict(order))])
