"""`motehub simulate json_socket` against the running program."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.harness import HubProcess, cli

LISTEN = {"host": "127.0.0.1", "port": 0}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub with the JSON port."""
    folder = tmp_path_factory.mktemp("simulate") / "data"
    with HubProcess(folder, {"transport.json_socket": LISTEN}) as hub:
        yield hub


def readings(data: Path) -> int:
    with closing(sqlite3.connect(f"file:{data / 'motehub.db'}?mode=ro", uri=True)) as db:
        (count,) = db.execute("SELECT coalesce(sum(stored), 0) FROM device").fetchone()
    return int(count)


def test_every_acknowledged_object_is_stored(hub: HubProcess) -> None:
    """Programs get certificates of their own, are accepted at once, and each object counts."""
    # There is room for all of it, however busy the machine is.
    options = ("--devices", "3", "--rate", "50", "--batch", "1", "--duration", "2")
    done = hub.cli("simulate", "json_socket", *options, "--acknowledge")
    assert done.returncode == 0, done.stderr
    objects = int(done.stdout.split()[0])
    assert objects == 3 * 101
    assert f"({objects} acknowledged, 0 refused)" in done.stdout
    assert "0 failures" in done.stdout
    hub.wait_folded()
    # A nested object has two values, every tenth is flat and has three.
    assert readings(hub.data) == 3 * (2 * 91 + 3 * 10)
    names = {row["name"] for row in hub.json("devices", "list")}
    assert names == {"simulated-1", "simulated-2", "simulated-3"}
    # The certificates are there already.
    assert hub.cli("simulate", "json_socket", "--duration", "0.1").returncode == 0


def test_options_of_the_other_dialect_are_refused(hub: HubProcess) -> None:
    """An option that would do nothing is a mistake."""
    done = hub.cli("simulate", "json_socket", "--truncate", "0.5")
    assert done.returncode == 2
    assert "--truncate is an option of dht_stream" in done.stderr
    done = hub.cli("simulate", "dht_stream", "--acknowledge")
    assert done.returncode == 2
    assert "--acknowledge is an option of json_socket" in done.stderr


def test_without_an_authority_nothing_is_made(tmp_path: Path) -> None:
    """A folder without a hub gets no authority by the way."""
    done = cli("simulate", "json_socket", "--port", "1", data=tmp_path / "none")
    assert done.returncode == 1
    assert "give --certificate" in done.stderr
    assert not (tmp_path / "none").exists()
