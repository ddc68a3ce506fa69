"""``motehub export``: readings for other programs."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from array import array
from pathlib import Path
from typing import Any

import duckdb
import pytest
from tests.harness import OPEN, HubProcess, cli, environment, recent, records, send

from motehub.control import ImportReadings, ask
from motehub.model import Samples, Texts
from motehub.transfer.pieces import DeviceReadings, pack

START = 1_750_000_000_000_000
ODD = ['say "hi", x', "two\r\nlines\n", "", "=1+2", "12", "naïve ☃", "\t", "a\0b"]
NUMBERS = [0.1, -1e300, 5e-324, 3.0, 1 / 3]


@pytest.fixture
def hub(folder: Path) -> Any:
    """A hub with numbers and texts of two devices, backdated and odd ones among them."""
    with HubProcess(folder, OPEN) as running:
        numbers = Samples(
            "level", "m", array("q", [START + n for n in range(5)]), array("d", NUMBERS)
        )
        old = Samples("level", "m", array("q", [-1]), array("d", [7.0]))
        texts = Texts("note", array("q", [START + n for n in range(len(ODD))]), ODD)
        content = pack(
            [DeviceReadings("b", [numbers, old, texts]), DeviceReadings("a, b", [numbers])]
        )
        ask(folder, ImportReadings(content))
        yield running


EXPECTED: list[tuple[str, str, str, int, float | str]] = [
    *(("a, b", "level", "m", START + n, value) for n, value in enumerate(NUMBERS)),
    ("b", "level", "m", -1, 7.0),
    *(("b", "level", "m", START + n, value) for n, value in enumerate(NUMBERS)),
    *(("b", "note", "", START + n, text) for n, text in enumerate(ODD)),
]


def iso(time: int) -> str:
    return "1969-12-31T23:59:59.999999Z" if time < 0 else f"2025-06-15T15:06:40.00000{time % 10}Z"


def raw(hub: HubProcess, *arguments: str) -> bytes:
    """Return what is printed, byte by byte, in a place whose character set is ASCII."""
    return subprocess.run(
        [sys.executable, "-m", "motehub", "export", *arguments],
        env=environment() | {"MOTEHUB_DATA": str(hub.data), "LC_ALL": "C", "PYTHONUTF8": "0"},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout


def test_csv_holds_every_value_exactly(hub: HubProcess) -> None:
    """Texts are in quotes and numbers are not, so that a reader gets both as they were."""
    text = io.StringIO(raw(hub).decode("utf-8"), newline="")
    rows = list(csv.reader(text, quoting=csv.QUOTE_NONNUMERIC))
    assert rows[0] == ["device", "metric", "unit", "time", "value"]
    assert [tuple(row) for row in rows[1:]] == [
        (device, metric, unit, iso(time), value) for device, metric, unit, time, value in EXPECTED
    ]


def test_json_lines_hold_every_value_exactly(hub: HubProcess) -> None:
    """One object on each line."""
    lines = raw(hub, "--format", "jsonl").decode("utf-8").split("\n")
    assert lines.pop() == ""
    assert [tuple(json.loads(line).values()) for line in lines] == [
        (device, metric, unit, iso(time), value) for device, metric, unit, time, value in EXPECTED
    ]


def test_a_part_can_be_chosen(hub: HubProcess) -> None:
    """By device, by metric, and by time: from --since on, before --until."""

    def chosen(*arguments: str) -> list[float | str]:
        lines = raw(hub, "--format", "jsonl", *arguments).decode("utf-8").splitlines()
        return [json.loads(line)["value"] for line in lines]

    assert chosen("b", "--metric", "note") == ODD
    assert chosen("a, b", "b", "--metric", "level", "--until", "1970-01-01T00:00:00Z") == [7.0]
    since, until = "2025-06-15T15:06:40.000001Z", "2025-06-15T15:06:40.000003Z"
    assert chosen("a, b", "--since", since, "--until", until) == NUMBERS[1:3]
    assert chosen("--since", "1h") == []
    unknown = hub.cli("export", "c")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "no device called 'c'" in unknown.stderr
    assert "no metric 'x'" in hub.cli("export", "--metric", "x").stderr


def test_a_file_is_there_when_it_is_complete(hub: HubProcess, tmp_path: Path) -> None:
    """Whatever was under that name stays until then, and a failure leaves nothing behind."""
    file = tmp_path / "x.csv"
    file.write_text("old", "utf-8")
    failed = hub.cli("export", "nobody", "-o", str(file))
    assert failed.returncode == 1
    assert file.read_text("utf-8") == "old"
    done = hub.cli("export", "-o", str(file))
    assert (done.returncode, done.stdout) == (0, "")
    assert f"Wrote {len(EXPECTED)} readings to {file}." in done.stderr
    assert file.read_bytes() == raw(hub)
    missing = hub.cli("export", "-o", str(tmp_path / "no" / "x.csv"))
    assert (missing.returncode, "can't be written" in missing.stderr) == (1, True)
    assert sorted(one.name for one in tmp_path.iterdir() if "x.csv" in one.name) == ["x.csv"]


def test_a_pipe_is_written_through(hub: HubProcess, tmp_path: Path) -> None:
    """Nothing takes its place."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        assert hub.cli("export", "-o", str(pipe)).returncode == 0
        assert reader.communicate()[0] == raw(hub)
    assert pipe.is_fifo()


def test_who_reads_no_more_ends_the_export(hub: HubProcess) -> None:
    """``| head -1`` is no failure."""
    command = (
        f"{sys.executable} -m motehub export --data {hub.data} | head -1; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == '"device","metric","unit","time","value"\n0\n'
    assert done.stderr == ""


def test_an_export_has_what_was_there_at_its_start(hub: HubProcess) -> None:
    """However long it takes: readings that come meanwhile, late ones too, are not in it."""
    count = 100_000
    times = array("q", (n * 1_000_000 for n in range(count)))
    for start in range(0, count, 20_000):
        part = times[start : start + 20_000]
        ask(
            hub.data,
            ImportReadings(
                pack(
                    [
                        DeviceReadings(
                            "z", [Samples("m", "", part, array("d", bytes(8 * len(part))))]
                        )
                    ]
                )
            ),
        )
    command = [sys.executable, "-m", "motehub", "export", "z", "--data", str(hub.data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as export:
        assert export.stdout is not None
        first = export.stdout.readline() + export.stdout.readline()
        # It waits for its reader now: the pipe has room for a small part.
        late = array("q", (n * 1_000_000 + 5 for n in range(90_000, 91_000)))
        more = Samples("m", "", late, array("d", bytes(8 * len(late))))
        ask(hub.data, ImportReadings(pack([DeviceReadings("z", [more])])))
        hub.wait_stored("z", "m", count + len(late))
        lines = (first + export.stdout.read()).splitlines()
        assert export.wait() == 0
    assert len(lines) == count + 1


def test_parquet_holds_every_value_exactly(hub: HubProcess, tmp_path: Path) -> None:
    """Numbers and texts have a column each; the time is a moment."""
    file = tmp_path / "it's.parquet"
    done = hub.cli("export", "--format", "parquet", "-o", str(file))
    assert done.returncode == 0, done.stderr
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT device, metric, unit, epoch_us(time), value, text FROM read_parquet(?)",
            [str(file)],
        ).fetchall()
    assert rows == [
        (*rest, *((None, value) if isinstance(value, str) else (value, None)))
        for *rest, value in EXPECTED
    ]


def test_parquet_needs_a_file(hub: HubProcess) -> None:
    """Standard output is no place for it."""
    done = cli("export", "--format", "parquet", data=hub.data)
    assert (done.returncode, done.stdout) == (2, "")
    assert "-o" in done.stderr


def test_live_readings_are_exported(hub: HubProcess) -> None:
    """What a device was told to be stored is in an export that begins then."""
    send(hub.port, hub.ca, records(recent(50), 50))
    hub.wait_stored("dht-127.0.0.1", "temperature", 50)
    assert len(raw(hub, "dht-127.0.0.1").splitlines()) == 101
