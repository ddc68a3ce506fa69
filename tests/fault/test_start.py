"""Databases that a hub can't start with: one sentence, exit status 1, nothing changed."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.harness import OPEN, HubProcess, cli, recent, records, send


@pytest.fixture
def stopped(folder: Path) -> HubProcess:
    """A hub that has stored a reading and was stopped."""
    with HubProcess(folder, OPEN) as hub:
        send(hub.port, hub.ca, records(recent(1), 1))
        hub.wait_stored("dht-127.0.0.1", "temperature", 1)
        assert hub.stop() == 0
    return hub


def fails_with(hub: HubProcess, sentence: str) -> None:
    """Start the hub and check that it ends with status 1 and says ``sentence`` last."""
    done = cli("serve", "--config", str(hub.config), "--data", str(hub.data))
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("motehub: ")
    assert sentence in last
    assert "Traceback" not in done.stderr
    assert not hub.run_file_path.exists()
    assert not (hub.data / "control.sock").exists()


def test_a_journal_that_is_no_database(stopped: HubProcess) -> None:
    """Garbage in place of journal.db is named, and left as it is."""
    for file in stopped.data.glob("journal.db-*"):
        file.unlink()
    journal = stopped.data / "journal.db"
    journal.write_bytes(b"garbage " * 1000)
    fails_with(stopped, "journal.db is damaged or not a database. Restore it from a backup.")
    assert journal.read_bytes() == b"garbage " * 1000


@pytest.mark.parametrize("name", ["journal.db", "motehub.db"])
def test_a_database_of_a_later_motehub(stopped: HubProcess, name: str) -> None:
    """A schema version that is not known yet is named beside the one that is."""
    with closing(sqlite3.connect(stopped.data / name)) as db:
        known = db.execute("PRAGMA user_version").fetchone()[0]
        db.execute("PRAGMA user_version=99")
    fails_with(stopped, f"{name} has schema version 99; this motehub knows {known}.")
    with closing(sqlite3.connect(stopped.data / name)) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == 99
        db.execute(f"PRAGMA user_version={known}")
    with stopped:
        stopped.start()
        assert stopped.device("dht-127.0.0.1")["stored"] == 2


def test_commands_say_it_too(stopped: HubProcess) -> None:
    """``devices list`` on a history of a later motehub is a sentence, not a stack trace."""
    with closing(sqlite3.connect(stopped.data / "motehub.db")) as db:
        db.execute("PRAGMA user_version=99")
    done = stopped.cli("devices", "list")
    assert done.returncode == 1
    assert "has schema version 99" in done.stderr
    assert "Traceback" not in done.stderr
