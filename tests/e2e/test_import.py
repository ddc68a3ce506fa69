"""``motehub import``: databases of the original systems, beside a running hub and without one."""

from __future__ import annotations

import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.harness import (
    OPEN,
    PATIENCE,
    HubProcess,
    cli,
    environment,
    recent,
    records,
    send,
    stored,
)
from tests.servers import PASSWORD, PostgresServer, RedisServer

START = 1_700_000_000
SECOND = 1_000_000


def make(path: Path, count: int, start: int = START) -> Path:
    """Write a ``sensor_data`` file of the original server, as it filled the columns."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE sensor_data (timestamp INTEGER, temperature REAL, humidity REAL)")
        db.executemany(
            "INSERT INTO sensor_data VALUES (?, ?, ?)",
            ((start + n, 40 + n % 50, n % 300 / 10) for n in range(count)),
        )
    return path


def check(data: Path, device: str, count: int) -> None:
    """Every reading of the file is there, once."""
    found = stored(data)
    times = [(START + n) * SECOND for n in range(count)]
    assert found[device, "temperature"] == [(t, n % 300 / 10) for n, t in enumerate(times)]
    assert found[device, "relative_humidity"] == [(t, 40.0 + n % 50) for n, t in enumerate(times)]


def bring(data: Path, *arguments: str) -> dict[str, Any]:
    done = cli("import", *arguments, "--json", data=data)
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def wait_until_begun(data: Path, process: subprocess.Popen[bytes]) -> None:
    """Return when an import has noted how far it came."""
    deadline = time.monotonic() + PATIENCE
    while not any(b"digest" in one.read_bytes() for one in data.glob("import-*.json")):
        assert process.poll() is None, "it has ended already"
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def stopped(folder: Path) -> Path:
    """The folder of a hub that has run."""
    with HubProcess(folder, OPEN) as hub:
        assert hub.stop() == 0
    return folder


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """A Redis server."""
    with RedisServer() as server:
        yield server


def test_a_file_comes_in_beside_a_running_hub(lab: HubProcess, tmp_path: Path) -> None:
    """Twice the same is stored once, and the counts say so."""
    path = make(tmp_path / "porch.db", 25_000)
    first = bring(lab.data, str(path))
    assert (first["rows"], first["readings"], first["duplicate"]) == (25_000, 50_000, 0)
    second = bring(lab.data, str(path))
    assert (second["rows"], second["readings"], second["duplicate"]) == (25_000, 50_000, 50_000)
    check(lab.data, "porch", 25_000)
    assert lab.device("porch")["received"] == 100_000
    assert not [*lab.data.glob("import-*")]


def test_a_file_comes_in_without_a_hub(stopped: Path, tmp_path: Path) -> None:
    """The history has it at once, and a hub that starts then too."""
    path = make(tmp_path / "x.db", 25_000)
    done = cli("import", str(path), "--device", "porch", data=stopped)
    assert done.returncode == 0, done.stderr
    assert "25,000 rows read" in done.stdout
    assert "50,000 readings new" in done.stdout
    check(stopped, "porch", 25_000)
    with HubProcess(stopped, OPEN) as hub:
        assert hub.device("porch")["stored"] == 50_000


def test_a_board_that_is_known_gets_its_history(
    lab: HubProcess, address: str, tmp_path: Path
) -> None:
    """Named with --device, old and new readings are of one series, and what overlaps is one."""
    start = recent(3)
    send(lab.port, lab.ca, records(start, 3), address)
    name = f"dht-{address}"
    lab.wait_stored(name, "temperature", 3)
    path = make(tmp_path / "x.db", 10, start - 8)
    outcome = bring(lab.data, str(path), "--device", name)
    assert outcome["duplicate"] == 4
    times = [moment for moment, _ in stored(lab.data)[name, "temperature"]]
    assert times == [(start - 8 + n) * SECOND for n in range(11)]
    row = lab.device(name)
    assert (row["dialect"], row["admission"], len(row["identities"])) == (
        "dht_stream",
        "accepted",
        1,
    )


@pytest.mark.parametrize("beside", [True, False])
def test_an_import_that_is_killed_goes_on(stopped: Path, tmp_path: Path, beside: bool) -> None:
    """Nothing is lost and nothing is doubled, and it does not begin at the beginning."""
    count = 200_000
    path = make(tmp_path / "x.db", count)
    with HubProcess(stopped, OPEN) if beside else nullcontext():
        command = [sys.executable, "-m", "motehub", "import", str(path), "--device", "a"]
        with subprocess.Popen(
            command, env=environment() | {"MOTEHUB_DATA": str(stopped)}, stdout=subprocess.PIPE
        ) as process:
            wait_until_begun(stopped, process)
            process.send_signal(signal.SIGKILL)
            process.wait()
        outcome = bring(stopped, str(path), "--device", "a")
        assert outcome["resumed"]
        assert 0 < outcome["rows"] < count
        check(stopped, "a", count)
        assert not [*stopped.glob("import-*")]


def test_an_interrupted_import_says_that_it_may_go_on(stopped: Path, tmp_path: Path) -> None:
    """Ctrl+C ends it with a sentence; what was read is stored."""
    path = make(tmp_path / "x.db", 300_000)
    command = [sys.executable, "-m", "motehub", "import", str(path), "--device", "a"]
    with subprocess.Popen(
        command, env=environment() | {"MOTEHUB_DATA": str(stopped)}, stderr=subprocess.PIPE
    ) as process:
        wait_until_begun(stopped, process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert b"start it again" in errors
    assert b"Traceback" not in errors
    bring(stopped, str(path), "--device", "a")
    check(stopped, "a", 300_000)


def test_a_terminal_gets_a_progress_bar(stopped: Path, tmp_path: Path) -> None:
    """On standard error; a pipe gets none."""
    path = make(tmp_path / "x.db", 5_000)
    outer, inner = pty.openpty()
    command = [sys.executable, "-m", "motehub", "import", str(path)]
    done = subprocess.run(
        command,
        env=environment() | {"MOTEHUB_DATA": str(stopped), "TERM": "xterm"},
        stderr=inner,
        stdout=subprocess.PIPE,
        check=True,
    )
    os.close(inner)
    assert b"Importing" in os.read(outer, 100_000)
    os.close(outer)
    assert b"5,000 rows read" in done.stdout
    assert cli("import", str(path), data=stopped).stderr == ""


def test_homes_come_from_postgresql(stopped: Path, postgres: PostgresServer) -> None:
    """One device for each location; the repeated hour is resolved by the order of rows."""
    url = postgres.new_database()
    with psycopg.connect(url) as db:
        db.execute(
            "CREATE TABLE home_data (location text, timestamp timestamp, "
            "temperature numeric, humidity double precision)"
        )
        rows = [
            ("attic", "2026-11-01 00:30:00", 71.96, 40.5),
            ("attic", "2026-11-01 01:30:00", 50, 41),
            ("cellar", "2026-11-01 01:30:00", 32, 90),
            ("attic", "2026-11-01 01:00:00", 51.8, 42),
            ("attic", "2026-03-08 02:30:00", 1, 1),
            ("attic", "infinity", 1, 1),
            ("attic", "2026-11-01 02:00:00", "NaN", 43),
        ]
        db.cursor().executemany("INSERT INTO home_data VALUES (%s, %s, %s, %s)", rows)
    wanting = cli("import", url, data=stopped)
    assert wanting.returncode == 1
    assert "--zone Europe/Paris" in wanting.stderr
    outcome = bring(stopped, url, "--zone", "US/Eastern")
    assert (outcome["rows"], outcome["rejected_rows"]) == (7, 3)
    base = 1_793_507_400 * SECOND  # 2026-11-01T04:30:00Z
    hour = 3600 * SECOND
    assert stored(stopped)["attic", "temperature"] == [
        (base, 22.2),
        (base + hour, 10.0),
        (base + 3 * hour // 2, 11.0),
    ]
    assert stored(stopped)["cellar", "temperature"] == [(base + hour, 0.0)]
    again = bring(stopped, url, "--zone", "US/Eastern")
    assert again["duplicate"] == again["readings"] == outcome["readings"]
    no_table = postgres.new_database()
    done = cli("import", no_table, data=stopped)
    assert "has no table home_data" in done.stderr
    assert PASSWORD not in done.stderr
    postgres.drop(url)
    postgres.drop(no_table)


def test_a_redis_database_comes_in(stopped: Path, redis: RedisServer) -> None:
    """Hashes are devices, single keys are of one device; numbers are numbers, the rest texts."""
    with redis.connect() as client:
        client.flushall()
        client.set("door", "open")
        client.set("level", "12.5")
        client.set("big", "x" * (2**20 + 1))
        client.hset("room 1", mapping={"temperature": "21", "note": "dry", "nan": "nan"})
        client.hset("a/b", mapping={str(n): n for n in range(3_000)})
        client.rpush("list", "x")
        client.set("motehub:cursor", "5")
        client.execute_command("SET", b"\xff", b"1")
    outcome = bring(stopped, redis.url)
    assert (outcome["rows"], outcome["rejected_rows"]) == (8, 4)
    # A device has at most a thousand metrics unless the configuration says otherwise.
    assert (outcome["readings"], outcome["rejected"]) == (5 + 1_000, 2_000)
    assert PASSWORD not in json.dumps(outcome)
    found = {key: [value for _, value in pairs] for key, pairs in stored(stopped).items()}
    assert found["redis", "level"] == [12.5]
    assert found["room 1", "temperature"] == [21.0]
    texts = json.loads(cli("readings", "room 1", "--format", "json", data=stopped).stdout)
    assert {(row["metric"], row["value"]) for row in texts} == {
        ("temperature", 21.0),
        ("note", "dry"),
        ("nan", "nan"),
    }
    assert len({row["time"] for row in texts}) == 1


def test_a_redis_that_is_away_is_told(stopped: Path) -> None:
    """Without its password."""
    done = cli("import", "redis://:secret@127.0.0.1:1/0", data=stopped)
    assert done.returncode == 1
    assert "The Redis at 127.0.0.1:1/0 can't be read" in done.stderr
    assert "secret" not in done.stderr
