"""A history in PostgreSQL that is away, dies or stands still: nothing is lost, nothing doubled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from tests.fault.load import FIRST, Sender
from tests.harness import START_SECONDS, HubProcess, Stored, recent, records, send
from tests.servers import PASSWORD, PostgresServer

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


@pytest.fixture
def hub(folder: Path, url: str) -> Iterator[HubProcess]:
    """A running hub that keeps its history there."""
    settings = {"store": {"type": "postgres", "url": url}, "hub": {"admission": "open"}}
    with HubProcess(folder, settings) as started:
        yield started


def stored(url: str) -> Stored:
    """Return what the history has: (µs, value) by (device, metric), oldest first."""
    found: Stored = {}
    with psycopg.connect(url) as connection:
        for device, metric, moment, value in connection.execute(
            "SELECT device.name, series.metric, reading.time, reading.value FROM reading "
            "JOIN series ON series.id = reading.series JOIN device ON device.id = series.device "
            "ORDER BY reading.time"
        ):
            found.setdefault((device, metric), []).append((moment, value))
    return found


def trouble(hub: HubProcess) -> str:
    """Return what keeps the writer from storing, or an empty text."""
    return str(hub.status()["writer"]["trouble"] or "")


def wait_for_more(hub: HubProcess, sender: Sender, records: int) -> None:
    """Return when the hub has taken more."""
    wanted = sender.sent + records
    hub.wait_until(lambda: sender.sent >= wanted, f"{records} more are taken")


def check_stored(hub: HubProcess, url: str, sent: int) -> None:
    """Every record that was sent is there exactly once, and the counters say so."""
    hub.wait_folded()
    times = [FIRST * 1_000_000 + n * 1_000_000 for n in range(sent)]
    found = stored(url)
    for metric in ("temperature", "relative_humidity"):
        assert [moment for moment, _ in found[DEVICE, metric]] == times
    row = hub.device(DEVICE)
    assert (row["received"], row["stored"], row["duplicate"]) == (2 * sent, 2 * sent, 0)
    assert trouble(hub) == ""


def check_secret(hub: HubProcess) -> None:
    """Nothing that people can see has the password in it."""
    status = hub.cli("status").stdout
    shown = [hub.log, status, hub.run_file_path.read_text("utf-8")]
    assert not [text for text in shown if PASSWORD in text or "pass%20word" in text]


def test_commands_find_the_store_of_the_hub(hub: HubProcess, url: str) -> None:
    """They read ``store.json``, which is the owner's alone; the hub may run or not."""
    assert hub.stop() == 0
    # So that its process is called what it is in a list of processes.
    hub.fresh = True
    hub.start()
    start = recent(3)
    send(hub.port, hub.ca, records(start, 3))
    hub.wait_until(lambda: len(stored(url).get((DEVICE, "temperature"), ())) == 3, "it is stored")
    assert hub.device(DEVICE)["stored"] == 6
    assert (hub.data / "store.json").stat().st_mode & 0o777 == 0o600
    assert not (hub.data / "motehub.db").exists()
    for process in (psutil.Process(hub.pid), psutil.Process(hub.writer_pid)):
        assert "pass" not in " ".join(process.cmdline())
    check_secret(hub)
    examined = hub.cli("doctor").stdout
    assert "history: postgresql://motehub:***@127.0.0.1" in examined
    assert "answers; it is at position" in examined
    checked = hub.cli("check-config", "--config", str(hub.config))
    assert json.loads(checked.stdout)["store"]["url"].startswith("postgresql://motehub:***@127")
    assert hub.stop() == 0
    assert hub.cli("devices", "rename", DEVICE, "hall").returncode == 0
    assert len(hub.json("readings", "hall", "temperature")) == 3
    assert hub.device("hall")["stored"] == 6


def test_the_health_says_how_large_the_database_is(hub: HubProcess, url: str) -> None:
    """As large as the server says that it is, and larger when there is more in it."""

    def size() -> int:
        return int(hub.status()["sizes"]["history"] or 0)

    def on_server() -> int:
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
            assert row is not None
            return int(row[0])

    hub.wait_until(lambda: size() > 0, "the writer has measured it")
    first = size()
    assert abs(first - on_server()) < first / 2
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE more AS SELECT generate_series(1, 300000) AS number")
    hub.wait_until(
        lambda: size() > first + 5_000_000 and abs(size() - on_server()) < 1_000_000,
        "it has measured it again",
    )


def test_the_hub_starts_while_the_database_is_away(
    hub: HubProcess, server: PostgresServer, url: str
) -> None:
    """Readings are taken into the journal; the status says what is the matter."""
    assert hub.stop() == 0
    server.stop()
    try:
        hub.start()
        with Sender(hub.port, hub.ca, most=20_000) as sender:
            hub.wait_until(lambda: sender.sent == 20_000, "the device is not held up")
        hub.wait_until(lambda: "does not run" in trouble(hub), "the status says so")
        listed = hub.cli("devices", "list")
        assert listed.returncode == 1
        assert listed.stderr.startswith("motehub: The PostgreSQL database")
        assert "Traceback" not in hub.log + listed.stderr
    finally:
        server.start()
    check_stored(hub, url, 20_000)
    check_secret(hub)


def test_a_database_that_is_killed_under_load(
    hub: HubProcess, server: PostgresServer, url: str
) -> None:
    """Killed and restarted again and again: each reading is there exactly once."""
    with Sender(hub.port, hub.ca, pause=0.005) as sender:
        for _ in range(4):
            wait_for_more(hub, sender, 8_000)
            server.kill()
            hub.wait_until(lambda: trouble(hub) != "", "the status says so")
            wait_for_more(hub, sender, 1)
            server.start()
        sent = sender.finish()
    check_stored(hub, url, sent)
    assert hub.status()["writer"]["restarts"] == 0


def test_another_database_in_the_place_of_the_history(
    hub: HubProcess, server: PostgresServer, url: str
) -> None:
    """A server that took the address while ours was down gets no reading, and frees none."""
    with Sender(hub.port, hub.ca, pause=0.01) as sender:
        wait_for_more(hub, sender, 1_000)
        server.kill()
        hub.wait_until(lambda: trouble(hub) != "", "the status says so")
        with PostgresServer(server.port) as other:
            while other.new_database() != url:
                pass
            hub.wait_until(lambda: "not the history" in trouble(hub), "the other one is noticed")
            wait_for_more(hub, sender, 1_000)
            with psycopg.connect(url) as connection:
                assert connection.execute("SELECT position FROM cursor").fetchone() == (0,)
                assert connection.execute("SELECT count(*) FROM device").fetchone() == (0,)
        server.start()
        sent = sender.finish()
    check_stored(hub, url, sent)
    assert "frames are missing" not in hub.log


def test_a_writer_that_is_killed_under_load(hub: HubProcess, url: str) -> None:
    """Its half-done folds are rolled back by the server; the next writer goes on after them."""
    with Sender(hub.port, hub.ca, pause=0.03) as sender:
        for _ in range(5):
            wait_for_more(hub, sender, 5_000)
            hub.kill_writer()
        sent = sender.finish()
    check_stored(hub, url, sent)
    assert hub.status()["writer"]["restarts"] >= 5


def test_a_database_that_stands_still(hub: HubProcess, server: PostgresServer, url: str) -> None:
    """Connections stay open and nobody answers: the hub notices, goes on, and catches up."""
    with Sender(hub.port, hub.ca, pause=0.05) as sender:
        hub.wait_until(lambda: len(stored(url)) == 2, "it is sending")
        server.pause()
        try:
            hub.wait_until(lambda: "does not answer" in trouble(hub), "the status says so")
            wait_for_more(hub, sender, 1)
        finally:
            server.resume()
        hub.wait_until(lambda: not trouble(hub), "the trouble is over")
        sent = sender.finish()
    check_stored(hub, url, sent)


def test_the_hub_ends_while_the_database_stands_still(
    hub: HubProcess, server: PostgresServer, url: str
) -> None:
    """SIGTERM is obeyed; what the history lacks is folded after the next start."""
    with Sender(hub.port, hub.ca, most=5_000, pause=0.01) as sender:
        hub.wait_until(lambda: sender.sent > 0, "it is sending")
        server.pause()
        try:
            hub.wait_until(lambda: sender.sent == 5_000, "all is taken")
            sender.finish()
            assert hub.stop() in (0, 1)
        finally:
            server.resume()
    hub.start()
    check_stored(hub, url, 5_000)


def test_a_wrong_password_is_named(folder: Path, server: PostgresServer, url: str) -> None:
    """The hub runs and takes readings; the status says what the owner has to mend."""
    settings = {"store": {"type": "postgres", "url": url}, "hub": {"admission": "open"}}
    with HubProcess(folder, settings) as first:
        assert first.stop() == 0
    wrong = url.replace("pass%20word", "another")
    with HubProcess(folder, {**settings, "store": {"type": "postgres", "url": wrong}}) as hub:
        hub.wait_until(lambda: "refuses the password" in trouble(hub), "the status says so")
        assert "another" not in hub.log + trouble(hub)


def test_a_lost_journal_is_begun_after_the_history(
    hub: HubProcess, server: PostgresServer, url: str
) -> None:
    """Devices and positions come from the database; while it is away the hub does not start."""
    start = recent(2)
    send(hub.port, hub.ca, records(start, 1))
    hub.wait_until(lambda: len(stored(url)) == 2, "it is stored")
    assert hub.stop() == 0
    for file in hub.data.glob("journal.db*"):
        file.unlink()
    server.stop()
    try:
        assert hub.launch().wait(START_SECONDS) == 1
        assert "does not run" in hub.log
        assert "Traceback" not in hub.log
        assert not (hub.data / "journal.db").exists()
    finally:
        server.start()
    hub.start()
    assert "journal.db is missing" in hub.log
    send(hub.port, hub.ca, records(start + 1, 1))
    hub.wait_until(lambda: len(stored(url)[DEVICE, "temperature"]) == 2, "it goes on")
    assert len(stored(url)) == 2
