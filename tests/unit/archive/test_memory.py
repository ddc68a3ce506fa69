"""How much memory it takes to write Parquet: archivers run on small machines."""

from __future__ import annotations

import subprocess
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path

from tests.harness import PATIENCE

from motehub.model import Kind, Series
from motehub.transfer.export import Part
from motehub.transfer.parquet import write_parquet

MOST = 160_000
"""kB that a process may have in memory: it takes about 110,000, without a bound twice as much."""

PROGRAM = """
import sys
from array import array
from pathlib import Path
from motehub.model import Series
from motehub.transfer.export import Part
from motehub.transfer.parquet import write_parquet

series = Series(1, 1, "m" * 60, "°C")
times = array("q", range(20_000))
values = array("d", (time % 977 / 7 for time in times))
parts = (Part("d" * 60, series, times, values) for _ in range(30))
assert write_parquet(parts, Path(sys.argv[1]), lambda _: None, with_series=True) == 600_000
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_memory_does_not_grow_with_the_readings(tmp_path: Path) -> None:
    """Several groups of rows take no more than one, with names as long as they may be."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "x.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < MOST


def test_long_texts_have_the_memory_that_they_need(tmp_path: Path) -> None:
    """Many times what numbers are bound to is gathered before the first row is written."""
    series = Series(1, 1, "t", "", Kind.TEXT)

    def parts() -> Iterator[Part]:
        for number in range(40):
            yield Part("d", series, array("q", [number]), ['"é' * 300_000])

    assert write_parquet(parts(), tmp_path / "x.parquet", lambda _: None) == 40
