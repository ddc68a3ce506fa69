"""Starting and stopping: files, signals, exit codes, and sentences where it can't start."""

import signal
import socket
from pathlib import Path

import pytest
from tests.harness import OPEN, FreshHub, alive, cli, connect, recent, records, send, stored


def test_run_json_is_there_while_the_hub_runs(folder: Path) -> None:
    """``run.json`` names process, database, CA and listeners, and goes at shutdown."""
    with FreshHub(folder) as hub:
        content = hub.run_file
        assert content["pid"] == hub.pid
        assert content["writer_pid"] == hub.writer_pid
        assert Path(content["database"]) == folder / "motehub.db"
        assert Path(content["ca"]).read_text().startswith("-----BEGIN CERTIFICATE-----")
        listener = content["listeners"]["dht_stream"]
        assert listener == {"host": "127.0.0.1", "port": hub.port, "tls": True}
        with socket.create_connection(("127.0.0.1", hub.port)):
            pass
        hub.stop()
        assert not hub.run_file_path.exists()
        assert not (folder / "control.sock").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_hub_with_status_0(folder: Path, number: signal.Signals) -> None:
    """SIGTERM and SIGINT store what was received, end both processes, and are no failure."""
    with FreshHub(folder, OPEN) as hub:
        pids = (hub.pid, hub.writer_pid)
        with connect(hub.port, hub.ca) as connection:
            connection.sendall(records(recent(9), 9))
            hub.wait_stored("dht-127.0.0.1", "temperature", 9)
            hub.process.send_signal(number)
            assert hub.wait() == 0
        assert alive(pids) == []
        assert "Traceback" not in hub.log


def test_a_restarted_hub_knows_its_devices(folder: Path) -> None:
    """Names, admission and series survive a restart; readings go on in the same series."""
    start = recent(2)
    with FreshHub(folder) as hub:
        send(hub.port, hub.ca, records(start, 1))
        hub.wait_until(lambda: hub.status()["devices_pending"] == 1, "the device is pending")
        assert hub.cli("devices", "accept", "dht-127.0.0.1", "--name", "hall").returncode == 0
        assert hub.stop() == 0
        hub.start()
        send(hub.port, hub.ca, records(start + 1, 1))
        hub.wait_stored("hall", "temperature", 2)
        assert [row["name"] for row in hub.json("devices", "list")] == ["hall"]


def test_a_second_hub_on_the_folder_is_refused(folder: Path) -> None:
    """One sentence, exit status 1, and the first hub is not disturbed."""
    with FreshHub(folder, OPEN) as hub:
        config = ("--config", str(hub.config))
        second = cli("serve", *config, "--data", str(folder))
        assert second.returncode == 1
        assert second.stderr.startswith("motehub: A hub is running on ")
        assert "Traceback" not in second.stderr
        send(hub.port, hub.ca, records(recent(1), 1))
        hub.wait_stored("dht-127.0.0.1", "temperature", 1)


def test_a_port_in_use_is_a_sentence(folder: Path) -> None:
    """A taken port is a configuration error: exit status 2, port and setting named."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        hub = FreshHub(folder, {"transport.dht_stream": {"port": port}})
        done = cli("serve", "--config", str(hub.config), "--data", str(folder))
    assert done.returncode == 2
    assert f"transport.dht_stream: can't listen on 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "run.json").exists()


def test_an_unknown_setting_is_a_sentence(folder: Path) -> None:
    """A misspelt key ends with status 2 and the name of the nearest one; nothing is made."""
    hub = FreshHub(folder, {"hub": {"admision": "open"}})
    done = cli("serve", "--config", str(hub.config), "--data", str(folder))
    assert done.returncode == 2
    assert "hub.admision is not a setting. Did you mean admission?" in done.stderr
    assert not folder.exists()


def test_options_open_accepts_at_once(folder: Path) -> None:
    """``serve --open`` is admission = "open"."""
    with FreshHub(folder, None, "--open") as hub:
        send(hub.port, hub.ca, records(recent(1), 1))
        hub.wait_stored("dht-127.0.0.1", "temperature", 1)
    assert len(stored(folder)) == 2
