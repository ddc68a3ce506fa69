"""``motehub migrate-store``: a history moves between stores, and its hub goes on with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.harness import (
    OPEN,
    PATIENCE,
    HubProcess,
    Settings,
    cli,
    environment,
    recent,
    records,
    send,
)
from tests.servers import PASSWORD, PostgresServer

from motehub import parts
from motehub.history_contract import UNFINISHED
from motehub.tables import TABLES

DEVICE = "dht-127.0.0.1"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that may be killed without disturbing other tests."""
    with PostgresServer() as own:
        yield own


@pytest.fixture
def url(server: PostgresServer) -> Iterator[str]:
    """Address of a new database."""
    made = server.new_database()
    yield made
    server.drop(made)


def at(url: str) -> Settings:
    """Settings of a hub that keeps its history in a database."""
    return {"store": {"type": "postgres", "url": url}, "hub": {"admission": "open"}}


@pytest.fixture
def filled(folder: Path) -> Path:
    """The folder of a hub that has stopped, with some readings in SQLite."""
    with HubProcess(folder, OPEN) as hub:
        send(hub.port, hub.ca, records(recent(1_000), 1_000))
        hub.wait_stored(DEVICE, "temperature", 1_000)
        assert hub.stop() == 0
    return folder


def dump(kind: str, folder: Path, url: str = "") -> dict[str, Any]:
    """Return everything that a store holds."""
    with closing(parts.store(kind).open(folder, url, True)) as store:
        tables = {name: [row for page in store.dump(name) for row in page] for name in TABLES}
        return tables | {"position": store.position()}


def test_a_history_goes_to_postgresql_and_back(filled: Path, url: str) -> None:
    """Bit for bit, with what the hub adds between; commands find it wherever it is."""
    before = dump("sqlite", filled)
    done = cli("migrate-store", "--to", url, data=filled)
    assert done.returncode == 0, done.stderr
    assert "2,000 reading" in done.stdout
    assert PASSWORD not in done.stdout
    assert "pass%20word" not in done.stdout
    assert dump("postgres", filled, url) == before
    assert dump("sqlite", filled) == before
    with HubProcess(filled, at(url)) as hub:
        assert hub.device(DEVICE)["stored"] == 2_000
        send(hub.port, hub.ca, records(recent(20) + 3_600, 20))
        hub.wait_until(lambda: hub.device(DEVICE)["stored"] == 2_040, "more is stored")
        assert hub.stop() == 0
    later = dump("postgres", filled, url)
    in_the_way = cli("migrate-store", "--to", "sqlite", data=filled)
    assert in_the_way.returncode == 1
    assert "holds a history already" in in_the_way.stderr
    assert str(filled / "motehub.db") in in_the_way.stderr
    (filled / "motehub.db").rename(filled / "old.db")
    back = cli("migrate-store", "--to", "sqlite", data=filled)
    assert back.returncode == 0, back.stderr
    assert dump("sqlite", filled) == dump("postgres", filled, url) == later
    again = cli("migrate-store", "--to", "sqlite", data=filled)
    assert (again.returncode, "already" in again.stdout) == (0, True)
    with HubProcess(filled, OPEN) as hub:
        assert hub.device(DEVICE)["stored"] == 2_040


def test_a_hub_does_not_go_on_with_the_history_that_was_left(filled: Path, url: str) -> None:
    """Its configuration must say where the history is now; also after it has run there."""
    assert cli("migrate-store", "--to", url, data=filled).returncode == 0

    def refused() -> None:
        old = HubProcess(filled, OPEN)
        old.launch()
        assert old.wait() == 2
        assert "has moved the history" in old.log
        assert "[store]" in old.log
        assert PASSWORD not in old.log
        assert "pass%20word" not in old.log

    refused()
    with HubProcess(filled, at(url)) as hub:
        assert hub.stop() == 0
    refused()
    # However the database is written in the configuration.
    (filled / "motehub.db").unlink()
    assert cli("migrate-store", "--to", "sqlite", data=filled).returncode == 0
    other = HubProcess(filled, at(url.replace("postgresql:", "postgres:") + "?sslmode=prefer"))
    other.launch()
    assert other.wait() == 2
    with HubProcess(filled, OPEN) as hub:
        assert hub.device(DEVICE)["stored"] == 2_000


def test_what_still_lies_in_the_journal_moves_too(folder: Path, url: str) -> None:
    """A hub that was killed has not folded everything; the migration does so first."""
    with HubProcess(folder, OPEN) as hub:
        send(hub.port, hub.ca, records(recent(5), 5))
        hub.wait_stored(DEVICE, "temperature", 5)
        os.kill(hub.writer_pid, signal.SIGSTOP)
        send(hub.port, hub.ca, records(recent(5) + 3_600, 5))
        hub.wait_until(lambda: hub.status()["writer"]["behind"] > 0, "it is in the journal")
        os.killpg(hub.pid, signal.SIGKILL)
        hub.process.wait()
    done = cli("migrate-store", "--to", url, data=folder)
    assert done.returncode == 0, done.stderr
    assert len(dump("postgres", folder, url)["reading"]) == 20


def test_a_running_hub_is_left_alone(lab: HubProcess, url: str) -> None:
    """The command says so, and nothing happens."""
    done = lab.cli("migrate-store", "--to", url)
    assert done.returncode == 1
    assert "A hub is running" in done.stderr
    assert json.loads((lab.data / "store.json").read_bytes())["type"] == "sqlite"


def test_a_database_of_another_hub_is_left_alone(filled: Path, url: str, tmp_path: Path) -> None:
    """Its history stays, and so does ours."""
    with HubProcess(tmp_path / "other", at(url)) as other:
        send(other.port, other.ca, records(recent(3), 3))
        other.wait_until(lambda: other.device(DEVICE)["stored"] == 6, "it is stored")
        assert other.stop() == 0
    before = dump("postgres", filled, url)
    done = cli("migrate-store", "--to", url, data=filled)
    assert done.returncode == 1
    assert "holds a history already" in done.stderr
    assert PASSWORD not in done.stderr
    assert dump("postgres", filled, url) == before
    with HubProcess(filled, OPEN) as hub:
        assert hub.device(DEVICE)["stored"] == 2_000


@pytest.mark.parametrize("place", ["mysql://x/y", "nowhere", "postgres", "sqlite://x", ""])
def test_a_place_that_is_none_is_told(filled: Path, place: str) -> None:
    """With what may be written."""
    done = cli("migrate-store", "--to", place, data=filled)
    assert done.returncode == 2
    assert "postgresql://USER:PASSWORD@HOST/DATABASE" in done.stderr


@pytest.fixture
def large(filled: Path, tmp_path: Path) -> Path:
    """The same with many readings: a migration takes a moment."""
    import sqlite3

    with closing(sqlite3.connect(filled / "motehub.db")) as db, db:
        rows = ((1, n * 1_000_000, n / 7) for n in range(300_000))
        db.executemany("INSERT INTO reading VALUES (?, ?, ?)", rows)
    return filled


def begin(folder: Path, url: str) -> subprocess.Popen[bytes]:
    """Start a migration and return when it is in the middle."""
    process = subprocess.Popen(
        [sys.executable, "-m", "motehub", "migrate-store", "--to", url],
        env=environment() | {"MOTEHUB_DATA": str(folder)},
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + PATIENCE
    with psycopg.connect(url, autocommit=True) as db:
        while True:
            there = db.execute("SELECT to_regclass('reading')").fetchone()
            if there and there[0]:
                count = db.execute("SELECT count(*) FROM reading").fetchone()
                if count and int(count[0]) > 20_000:
                    return process
            assert process.poll() is None
            assert time.monotonic() < deadline


def test_a_migration_that_is_killed_leaves_the_old_history(large: Path, url: str) -> None:
    """The hub goes on with it, none with the half; a repeat finishes."""
    before = dump("sqlite", large)
    process = begin(large, url)
    process.kill()
    process.communicate()
    assert dump("sqlite", large) == before
    with closing(parts.store("postgres").open(large, url, True)) as store:
        assert store.position() == UNFINISHED
    half = HubProcess(large, at(url))
    half.launch()
    assert half.wait() == 1
    assert "unfinished copy" in half.log
    assert json.loads((large / "store.json").read_bytes())["type"] == "sqlite"
    with HubProcess(large, OPEN) as hub:
        assert hub.device(DEVICE)["name"] == DEVICE
        assert hub.stop() == 0
    done = cli("migrate-store", "--to", url, data=large)
    assert done.returncode == 0, done.stderr
    assert dump("postgres", large, url) == dump("sqlite", large)


def test_a_database_that_dies_leaves_the_old_history(
    large: Path, url: str, server: PostgresServer
) -> None:
    """The command says what happened; a repeat finishes when the database is back."""
    process = begin(large, url)
    server.kill()
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert b"The connection to the PostgreSQL database" in errors or b"crashed" in errors
    assert b"Traceback" not in errors
    away = cli("migrate-store", "--to", url, data=large)
    assert (away.returncode, "does not run" in away.stderr) == (1, True)
    server.start()
    assert json.loads((large / "store.json").read_bytes())["type"] == "sqlite"
    done = cli("migrate-store", "--to", url, data=large)
    assert done.returncode == 0, done.stderr
    assert dump("postgres", large, url) == dump("sqlite", large)


def test_a_move_that_was_complete_but_for_its_last_step_is_finished(filled: Path, url: str) -> None:
    """The copy is found to be complete: it is not made again, and is in use from then on."""
    remembered = (filled / "store.json").read_bytes()
    assert cli("migrate-store", "--to", url, data=filled).returncode == 0
    (filled / "store.json").write_bytes(remembered)
    with psycopg.connect(url) as db:
        made = db.execute("SELECT min(xmin::text::bigint) FROM reading").fetchone()
    assert cli("migrate-store", "--to", url, data=filled).returncode == 0
    with psycopg.connect(url) as db:
        assert db.execute("SELECT min(xmin::text::bigint) FROM reading").fetchone() == made
    assert json.loads((filled / "store.json").read_bytes())["type"] == "postgres"
