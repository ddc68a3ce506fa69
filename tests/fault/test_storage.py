"""Storage that fails while the hub runs: it says so, goes on, and recovers by itself."""

import os
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.fault.disks import small_disk
from tests.fault.load import Sender
from tests.harness import OPEN, HubProcess, recent, records, send, stored

DEVICE = "dht-127.0.0.1"


def trouble(hub: HubProcess) -> str:
    """Return what keeps the writer from storing, or an empty text."""
    return str(hub.status()["writer"]["trouble"] or "")


def held_back(hub: HubProcess) -> str:
    """Return why senders are held back, or an empty text."""
    return str(hub.status()["journal"]["held_back"] or "")


def test_a_full_disk_holds_senders_back(tmp_path: Path) -> None:
    """Journal and history on a full disk: both are named; with space again all is stored."""
    with small_disk(tmp_path / "disk") as disk, HubProcess(disk.folder / "data", OPEN) as hub:
        send(hub.port, hub.ca, records(recent(1), 1))
        hub.wait_stored(DEVICE, "temperature", 1)
        disk.fill(hub)
        with Sender(hub.port, hub.ca, "127.0.0.2", pause=0.01) as sender:
            hub.wait_until(lambda: held_back(hub).startswith(disk.sentence), "it is held back")
            assert "journal.db" in held_back(hub)
            assert disk.sentence in hub.cli("status").stdout
            assert "senders are held back" in hub.log
            disk.free(hub)
            hub.wait_until(lambda: not held_back(hub), "senders go on")
            sent = sender.finish()
        assert sender.failed is None
        hub.wait_stored("dht-127.0.0.2", "temperature", sent)
        assert hub.device("dht-127.0.0.2")["stored"] == 2 * sent
        assert hub.device(DEVICE)["stored"] == 2
        hub.wait_until(lambda: not trouble(hub), "the writer is well")


def test_a_full_disk_does_not_keep_the_hub_from_ending(tmp_path: Path) -> None:
    """SIGTERM while the journal can't grow: the hub gives up what nobody was promised."""
    with small_disk(tmp_path / "disk") as disk, HubProcess(disk.folder / "data", OPEN) as hub:
        send(hub.port, hub.ca, records(recent(1), 1))
        hub.wait_stored(DEVICE, "temperature", 1)
        disk.fill(hub)
        with Sender(hub.port, hub.ca, "127.0.0.2", pause=0.01) as sender:
            hub.wait_until(lambda: held_back(hub).startswith(disk.sentence), "it is held back")
            hub.terminate()
            hub.wait()
            assert "Traceback" not in hub.log
        disk.free()
        assert sender.sent
        hub.start()
        assert hub.device(DEVICE)["stored"] == 2


def test_a_full_disk_of_the_history_fills_the_journal(tmp_path: Path, folder: Path) -> None:
    """Only the history's disk is full: devices don't notice; it is folded when there is space."""
    with small_disk(tmp_path / "disk") as disk, HubProcess(folder, OPEN) as hub:
        assert hub.stop() == 0
        for file in folder.glob("motehub.db*"):
            shutil.move(file, disk.folder / file.name)
        (folder / "motehub.db").symlink_to(disk.folder / "motehub.db")
        hub.start()
        disk.fill_for_writer(hub)
        with Sender(hub.port, hub.ca, most=20_000) as sender:
            hub.wait_until(lambda: trouble(hub).startswith(disk.sentence), "the writer says so")
            assert "motehub.db" in trouble(hub)
            hub.wait_until(lambda: sender.sent == 20_000, "the device is not held up")
        assert not held_back(hub)
        disk.free(hub)
        hub.wait_stored(DEVICE, "temperature", 20_000)
        hub.wait_until(lambda: not trouble(hub), "the trouble is over")


def test_a_locked_history_is_waited_for(folder: Path) -> None:
    """Another program locks motehub.db: readings wait in the journal and are stored after."""
    with HubProcess(folder, OPEN) as hub:
        send(hub.port, hub.ca, records(recent(1), 1))
        hub.wait_stored(DEVICE, "temperature", 1)
        with closing(sqlite3.connect(folder / "motehub.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            send(hub.port, hub.ca, records(recent(2), 2), "127.0.0.2")
            hub.wait_until(lambda: "locked by another program" in trouble(hub), "it says so")
            assert hub.status()["writer"]["behind"] > 0
            other.execute("ROLLBACK")
        hub.wait_stored("dht-127.0.0.2", "temperature", 2)
        hub.wait_until(lambda: not trouble(hub), "the trouble is over")


def test_a_damaged_history_leaves_readings_in_the_journal(folder: Path) -> None:
    """A history that is no database: the hub runs, says so, and goes on with a good copy."""
    with HubProcess(folder, OPEN) as hub:
        send(hub.port, hub.ca, records(recent(1), 1))
        hub.wait_stored(DEVICE, "temperature", 1)
        assert hub.stop() == 0
        history, copy = folder / "motehub.db", folder / "copy"
        shutil.copy(history, copy)
        for file in folder.glob("motehub.db-*"):
            file.unlink()
        history.write_bytes(b"garbage " * 10_000)
        hub.start()
        hub.wait_until(lambda: "damaged or not a database" in trouble(hub), "it says so")
        head = hub.status()["journal"]["head"]
        send(hub.port, hub.ca, records(recent(5), 5), "127.0.0.2")
        hub.wait_until(lambda: hub.status()["journal"]["head"] > head, "it still accepts")
        listed = hub.cli("readings", DEVICE)
        assert listed.returncode == 1
        assert listed.stderr.startswith("motehub: ")
        assert "damaged or not a database" in listed.stderr
        copy.replace(history)
        hub.wait_stored("dht-127.0.0.2", "temperature", 5)
        assert len(stored(folder)[DEVICE, "temperature"]) == 1
        hub.wait_until(lambda: not trouble(hub), "the trouble is over")


def test_a_lost_history_is_begun_anew(folder: Path) -> None:
    """motehub.db was deleted: its past is gone, but known devices are stored again."""
    with HubProcess(folder, OPEN) as hub:
        for number in range(3):
            send(hub.port, hub.ca, records(recent(9) + number, 1))
            hub.wait_stored(DEVICE, "temperature", number + 1)
        assert hub.stop() == 0
        for file in folder.glob("motehub.db*"):
            file.unlink()
        hub.start()
        send(hub.port, hub.ca, records(recent(2), 2))
        hub.wait_stored(DEVICE, "temperature", 2)
        assert "Traceback" not in hub.log


def test_a_lost_journal_is_begun_anew(folder: Path) -> None:
    """journal.db was deleted: devices, series and positions go on after the history."""
    start = recent(2)
    with HubProcess(folder) as hub:
        send(hub.port, hub.ca, records(start, 1))
        hub.wait_until(lambda: hub.status()["devices_pending"] == 1, "the device is pending")
        assert hub.cli("devices", "accept", DEVICE, "--name", "hall").returncode == 0
        assert hub.stop() == 0
        for file in folder.glob("journal.db*"):
            file.unlink()
        hub.start()
        assert "journal.db is missing" in hub.log
        send(hub.port, hub.ca, records(start + 1, 1))
        hub.wait_stored("hall", "temperature", 2)
        assert hub.device("hall")["stored"] == 4


def test_a_removed_device_may_return_at_once(folder: Path) -> None:
    """Removed and heard again before the writer looked: the new device has its own readings."""
    with HubProcess(folder, OPEN) as hub:
        send(hub.port, hub.ca, records(recent(9), 9))
        hub.wait_stored(DEVICE, "temperature", 9)
        writer = hub.writer_pid
        os.kill(writer, signal.SIGSTOP)
        assert hub.cli("devices", "remove", DEVICE, "--yes").returncode == 0
        head = hub.status()["journal"]["head"]
        send(hub.port, hub.ca, records(recent(2), 2))
        hub.wait_until(lambda: hub.status()["journal"]["head"] > head, "it is heard again")
        os.kill(writer, signal.SIGCONT)
        hub.wait_folded()
        assert hub.device(DEVICE)["stored"] == 4
        assert len(stored(folder)[DEVICE, "temperature"]) == 2


def test_the_name_of_a_removed_device_is_free_at_once(folder: Path) -> None:
    """Removing one device and giving its name to another need no pause between them."""
    with HubProcess(folder, OPEN) as hub:
        for number in (1, 2):
            send(hub.port, hub.ca, records(recent(number), number), f"127.0.0.{number}")
            hub.wait_stored(f"dht-127.0.0.{number}", "temperature", number)
        writer = hub.writer_pid
        os.kill(writer, signal.SIGSTOP)
        assert hub.cli("devices", "remove", DEVICE, "--yes").returncode == 0
        assert hub.cli("devices", "rename", "dht-127.0.0.2", DEVICE).returncode == 0
        os.kill(writer, signal.SIGCONT)
        hub.wait_folded()
        assert {name: len(rows) for (name, _), rows in stored(folder).items()} == {DEVICE: 2}


def test_ids_of_removed_devices_are_not_used_again(folder: Path) -> None:
    """The newest device is removed and the hub restarted: a later one can't be mistaken for it.

    The writer is stopped meanwhile, so removal and newcomer meet in one fold.
    """
    with HubProcess(folder, OPEN) as hub:
        send(hub.port, hub.ca, records(recent(3), 3))
        hub.wait_stored(DEVICE, "temperature", 3)
        writer = hub.writer_pid
        os.kill(writer, signal.SIGSTOP)
        assert hub.cli("devices", "remove", DEVICE, "--yes").returncode == 0
        hub.kill()
        os.kill(writer, signal.SIGKILL)
        with closing(sqlite3.connect(folder / "motehub.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            hub.start()
            head = hub.status()["journal"]["head"]
            send(hub.port, hub.ca, records(recent(2), 2), "127.0.0.2")
            hub.wait_until(
                lambda: hub.status()["journal"]["head"] > head, "both are in the journal"
            )
            other.execute("ROLLBACK")
        hub.wait_folded()
        assert {name: len(rows) for (name, _), rows in stored(folder).items()} == {
            "dht-127.0.0.2": 2
        }
