"""Commands beside a running hub and without one."""

import json
import sqlite3
import stat
import subprocess
import sys
import unicodedata
from contextlib import closing, suppress
from pathlib import Path

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

from motehub import data_folder

PNG = b"\x89PNG\r\n\x1a\n"


def test_plot_draws_a_device(lab: HubProcess, address: str, tmp_path: Path) -> None:
    """``plot DEVICE -o x.png`` writes a PNG of its readings."""
    send(lab.port, lab.ca, records(recent(50), 50), address)
    lab.wait_stored(f"dht-{address}", "temperature", 50)
    file = tmp_path / "x.png"
    done = lab.cli("plot", f"dht-{address}", "-o", str(file))
    assert done.returncode == 0, done.stderr
    assert file.read_bytes().startswith(PNG)
    assert "Drew 100 readings" in done.stdout


def test_plot_opens_our_own_database(lab: HubProcess, address: str, tmp_path: Path) -> None:
    """``plot --db`` draws motehub.db as it draws a file of the original program."""
    send(lab.port, lab.ca, records(recent(5), 5), address)
    lab.wait_stored(f"dht-{address}", "temperature", 5)
    file = tmp_path / "x.png"
    done = cli("plot", "--db", str(lab.data / "motehub.db"), "-o", str(file))
    assert done.returncode == 0, done.stderr
    assert file.read_bytes().startswith(PNG)


def test_sensor_data_reads_by_position(folder: Path) -> None:
    """The view gives unix seconds, humidity, temperature, as the original viewer expects."""
    start = recent(3)
    with HubProcess(folder, OPEN) as hub:
        send(hub.port, hub.ca, records(start, 3, 57))
        hub.wait_stored("dht-127.0.0.1", "temperature", 3)
        with closing(sqlite3.connect(folder / "motehub.db")) as db:
            rows = db.execute("SELECT * FROM sensor_data").fetchall()
    assert rows == [(start, 57.0, 20.0), (start + 1, 57.0, 20.1), (start + 2, 57.0, 20.2)]


def test_a_renamed_device_keeps_its_history(lab: HubProcess, address: str) -> None:
    """Old and new readings stand under the new name; a name in use is refused."""
    name = f"cellar {address}"
    start = recent(2)
    send(lab.port, lab.ca, records(start, 1), address)
    lab.wait_stored(f"dht-{address}", "temperature", 1)
    assert lab.cli("devices", "rename", f"dht-{address}", name).returncode == 0
    send(lab.port, lab.ca, records(start + 1, 1), address)
    lab.wait_stored(name, "temperature", 2)
    refused = lab.cli("devices", "rename", name, name + ";")
    assert refused.returncode == 1
    assert "can't contain ';'" in refused.stderr


def test_a_removed_device_is_gone(lab: HubProcess, address: str) -> None:
    """Removing deletes readings and events; the next batch makes a new device."""
    name = f"dht-{address}"
    send(lab.port, lab.ca, records(recent(9), 9), address)
    lab.wait_stored(name, "temperature", 9)
    assert lab.cli("devices", "remove", name, "--yes").returncode == 0
    lab.wait_folded()
    assert (name, "temperature") not in stored(lab.data)
    assert lab.cli("readings", name).returncode == 1
    send(lab.port, lab.ca, records(recent(2), 2), address)
    lab.wait_stored(name, "temperature", 2)
    assert lab.device(name)["received"] == 4


def test_commands_work_without_a_hub(folder: Path) -> None:
    """Listing, accepting and renaming work on the folder of a stopped hub."""
    with HubProcess(folder) as hub:
        send(hub.port, hub.ca, records(recent(3), 3))
        hub.wait_until(lambda: hub.status()["devices_pending"] == 1, "the device is pending")
        hub.stop()
        assert hub.device("dht-127.0.0.1")["waiting"] == 6
        accepted = hub.cli("devices", "accept", "dht-127.0.0.1", "--name", "roof")
        assert accepted.stdout == "roof is accepted.\n"
        assert hub.device("roof")["stored"] == 6
        assert len(hub.json("readings", "roof", "temperature")) == 3
        status = hub.cli("status")
        assert status.returncode == 1
        assert status.stderr.startswith(f"motehub: No hub runs on {folder}. ")
        hub.start()
        assert hub.status()["devices_pending"] == 0


def test_a_folder_without_data_is_a_sentence(folder: Path) -> None:
    """Commands on a folder where no hub ever ran say so, and make nothing."""
    for arguments in (("devices", "list"), ("readings", "x"), ("devices", "accept", "x")):
        done = cli(*arguments, data=folder)
        assert done.returncode == 1
        assert done.stderr.startswith("motehub: There is no hub data in ")
    assert not folder.exists()


def test_unknown_names_are_sentences(lab: HubProcess, address: str) -> None:
    """A device or metric that does not exist is answered with those that do."""
    send(lab.port, lab.ca, records(recent(1), 1), address)
    lab.wait_stored(f"dht-{address}", "temperature", 1)
    for arguments in (("readings", "nobody"), ("devices", "accept", "nobody")):
        done = lab.cli(*arguments)
        assert done.returncode == 1
        assert "There is no device called 'nobody'. Known devices: " in done.stderr
    done = lab.cli("readings", f"dht-{address}", "pressure")
    assert "It has: relative_humidity, temperature." in done.stderr


def test_status_is_json(lab: HubProcess) -> None:
    """``motehub status`` prints what the hub knows of its parts."""
    done = lab.cli("status")
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert status["writer"]["trouble"] is None
    assert status["journal"]["held_back"] is None


def test_everything_the_simulator_sent_is_stored(folder: Path) -> None:
    """Five simulated devices for two seconds: each record they handed over is in the history."""
    with HubProcess(folder, OPEN) as hub:
        done = cli(
            *("simulate", "dht_stream", "--devices", "5", "--duration", "2"),
            *("--rate", "50", "--batch", "0.5"),
            data=folder,
        )
        assert done.returncode == 0, done.stderr
        sent, _, batches, *_ = done.stdout.split()
        assert int(sent) >= 200
        assert "0 failures" in done.stdout, (batches, done.stdout)

        def count() -> int:
            return sum(map(len, stored(folder).values()))

        hub.wait_until(lambda: count() >= 2 * int(sent), f"{sent} records are stored")
        assert count() == 2 * int(sent)
        rows = hub.json("devices", "list")
        assert len(rows) == 5
        assert all(row["received"] == row["stored"] for row in rows), rows


@pytest.mark.parametrize("format_", ["table", "csv", "json"])
def test_the_text_of_a_stranger_is_harmless(
    approving: HubProcess, address: str, format_: str
) -> None:
    """Terminal escapes, new lines and changes of direction of a pending device don't act."""
    hostile = "\x1b]0;OWNED\x07\x1b[2J\nFAKE ROW\x9b31m \u202egnp.exe\x00"
    send(approving.port, approving.ca, f"[ERROR] {hostile}|{hostile}|".encode(), address)
    name = f"dht-{address}"
    approving.wait_until(lambda: approving.device(name)["rejected"] > 0, "it is rejected")
    for command in ("events", "rejected"):
        done = approving.cli(command, "--format", format_)
        assert done.returncode == 0, done.stderr
        assert "FAKE ROW" in done.stdout
        kinds = {unicodedata.category(c) for c in done.stdout.replace("\n", "")}
        assert not kinds & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
        assert not any(line.startswith("FAKE") for line in done.stdout.splitlines())


def launch(data: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start ``motehub …`` on ``data`` and return at once."""
    return subprocess.Popen(
        [sys.executable, "-m", "motehub", *arguments, "--data", str(data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def test_many_commands_at_once_without_a_hub(folder: Path) -> None:
    """Commands that need the folder for themselves take turns; none of them fails."""
    with HubProcess(folder, OPEN) as hub:
        for number in range(1, 4):
            send(hub.port, hub.ca, records(recent(2), 2), f"127.0.3.{number}")
            hub.wait_stored(f"dht-127.0.3.{number}", "temperature", 2)
        hub.stop()
        commands = [("devices", "block", f"dht-127.0.3.{number}") for number in range(1, 4)]
        started = [launch(folder, *command) for command in [*commands, ("devices", "list")]]
        for one in started:
            _, errors = one.communicate(timeout=PATIENCE)
            assert (one.returncode, errors) == (0, "")
        rows = hub.json("devices", "list")
        assert {row["admission"] for row in rows} == {"blocked"}


def test_a_hub_starts_beside_a_command(folder: Path) -> None:
    """A command that owns the folder for a moment only delays the start."""
    data_folder.prepare(folder)
    hub = HubProcess(folder, OPEN)
    with data_folder.locked(folder):
        hub.launch()
        hub.wait_until(lambda: "Waiting for another motehub" in hub.log, "the hub waits")
    with hub:
        hub.wait_until(hub.run_file_path.exists, "the hub runs")


def test_a_command_beside_a_hub_that_starts(folder: Path) -> None:
    """Between lock and socket of a hub, a command waits for the socket."""
    with HubProcess(folder, OPEN) as hub:
        send(hub.port, hub.ca, records(recent(2), 2))
        hub.wait_stored("dht-127.0.0.1", "temperature", 2)
        hub.stop()
        hub.launch()
        for name in ("a", "b", "dht-127.0.0.1"):
            old = {"a": "dht-127.0.0.1", "b": "a"}.get(name, "b")
            done = hub.cli("devices", "rename", old, name)
            assert done.returncode == 0, done.stderr


def test_what_a_hub_writes_is_private(folder: Path) -> None:
    """Databases, journal, certificates' keys and sockets have no rights for other users."""
    with HubProcess(folder, OPEN) as hub:
        send(hub.port, hub.ca, records(recent(2), 2))
        hub.wait_stored("dht-127.0.0.1", "temperature", 2)
        modes: dict[str, int] = {}
        for file in folder.iterdir():
            # A database that is just being made has a journal of its own for a moment.
            with suppress(FileNotFoundError):
                modes[file.name] = stat.S_IMODE(file.stat().st_mode)
    public = {"ca.crt"}
    assert {"journal.db", "motehub.db", "control.sock", "lock", "run.json"} <= modes.keys()
    assert {name for name, mode in modes.items() if mode & 0o077} <= public
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_simulate_without_a_hub_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    """Neither a folder without a hub nor a port where nothing answers is a success."""
    done = cli("simulate", "dht_stream", data=folder)
    assert done.returncode == 1
    assert f"Start one with 'motehub serve --data {folder}'" in done.stderr
    for host in ("127.0.0.1", "a" * 300):
        options = ("--host", host, "--port", "1", "--duration", "1", "--batch", "0.1")
        done = cli("simulate", "dht_stream", *options, data=folder)
        assert done.returncode == 1
        assert "Is the hub running?" in done.stderr
