"""An import while the history is away, and while its hub is killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.e2e.test_import import bring, check, make, wait_until_begun
from tests.harness import OPEN, PATIENCE, HubProcess, environment
from tests.servers import PostgresServer

COUNT = 200_000


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that may be stopped without disturbing other tests."""
    with PostgresServer() as own:
        yield own


def begin(folder: Path, path: Path) -> subprocess.Popen[bytes]:
    """Start an import of a file into the device ``a``."""
    return subprocess.Popen(
        [sys.executable, "-m", "motehub", "import", str(path), "--device", "a"],
        env=environment() | {"MOTEHUB_DATA": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_an_import_waits_while_the_journal_is_full(
    folder: Path, tmp_path: Path, server: PostgresServer
) -> None:
    """It is held back like every sender, and goes on when the history is back."""
    path = make(tmp_path / "x.db", COUNT)
    url = server.new_database()
    settings = {
        "store": {"type": "postgres", "url": url},
        "journal": {"size": "1 MiB"},
        "hub": {"admission": "open"},
    }
    with HubProcess(folder, settings) as hub:
        bring(folder, str(make(tmp_path / "first.db", 10)))
        server.stop()
        with begin(folder, path) as process:
            hub.wait_until(
                lambda: hub.status()["journal"]["held_back"] is not None, "senders are held back"
            )
            assert process.poll() is None
            server.start()
            output, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
        assert b"200,000 rows read" in output
        hub.wait_folded()
        with psycopg.connect(url) as db:
            found = db.execute("SELECT count(*) FROM reading").fetchone()
        assert found == (2 * (COUNT + 10),)
        assert hub.stop() == 0
    server.drop(url)


def test_a_hub_that_is_killed_costs_an_import_nothing(folder: Path, tmp_path: Path) -> None:
    """The command says that the hub is gone; begun again, it finishes."""
    path = make(tmp_path / "x.db", COUNT)
    with HubProcess(folder, OPEN) as hub:
        with begin(folder, path) as process:
            wait_until_begun(folder, process)
            hub.kill()
            _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
        assert b"The hub has stopped, or ended the connection." in errors
        assert b"start it again" in errors
        hub.start()
        bring(folder, str(path), "--device", "a")
        check(folder, "a", COUNT)


def test_a_removed_device_gets_all_of_its_readings_again(folder: Path, tmp_path: Path) -> None:
    """What an interrupted import has noted counts for nothing when its device is gone."""
    path = make(tmp_path / "x.db", COUNT)
    with HubProcess(folder, OPEN) as hub:
        with begin(folder, path) as process:
            wait_until_begun(folder, process)
            process.kill()
            process.communicate()
        assert hub.cli("devices", "remove", "a", "--yes").returncode == 0
        outcome = bring(folder, str(path), "--device", "a")
        assert (outcome["rows"], outcome["resumed"]) == (COUNT, False)
        check(folder, "a", COUNT)
