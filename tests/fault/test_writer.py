"""The writer process is stopped, killed, or not alone; the hub goes on and nothing is lost."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from tests.fault.load import Sender
from tests.fault.recorder import configuration
from tests.harness import OPEN, FreshHub, HubProcess, memory, recent, records, send, stored

from motehub import data_folder
from motehub.core.consumer import Consumer
from motehub.core.history import FoldIntoHistory
from motehub.journals.sqlite import SqliteLogReader
from motehub.model import Delivery, Samples, Source
from motehub.storage import open_hub
from motehub.stores.sqlite import SqliteHistory


def test_a_stopped_writer_holds_senders_back(folder: Path) -> None:
    """A full journal stalls the sending socket; memory stays small; later all is stored."""
    settings = {"journal": {"size": "300 kB"}, **OPEN}
    with FreshHub(folder, settings) as hub:
        writer = hub.writer_pid
        os.kill(writer, signal.SIGSTOP)
        with Sender(hub.port, hub.ca) as sender:
            hub.wait_until(lambda: bool(hub.status()["journal"]["held_back"]), "it is held back")
            before = memory(hub.pid)
            assert sender.stalls()
            assert "The journal is full" in hub.status()["journal"]["held_back"]
            assert hub.status()["journal"]["size"] < 3_000_000
            assert memory(hub.pid) - before < 20_000_000
            os.kill(writer, signal.SIGCONT)
            sent = sender.finish()
        assert sender.failed is None
        hub.wait_stored("dht-127.0.0.1", "temperature", sent)
        row = hub.device("dht-127.0.0.1")
        assert (row["stored"], row["duplicate"], row["rejected"]) == (2 * sent, 0, 0)
        assert hub.status()["journal"]["held_back"] is None


def test_a_full_journal_does_not_hold_up_the_end(folder: Path) -> None:
    """SIGTERM while senders are held back: the hub ends, and the history has the journal."""
    settings = {"journal": {"size": "100 kB"}, **OPEN}
    with FreshHub(folder, settings) as hub:
        writer = hub.writer_pid
        os.kill(writer, signal.SIGSTOP)
        with Sender(hub.port, hub.ca) as sender:
            hub.wait_until(lambda: bool(hub.status()["journal"]["held_back"]), "it is held back")
            assert sender.stalls(1.0)
            hub.terminate()
            hub.wait_until(lambda: "Stopping" in hub.log, "it begins to stop")
            os.kill(writer, signal.SIGCONT)
            assert hub.wait() == 0
        _check_prefix(folder, "dht-127.0.0.1", sender.sent)


def test_a_killed_writer_is_replaced(folder: Path) -> None:
    """SIGKILL for the writer under load, four times: a new one goes on; each reading once."""
    with HubProcess(folder, OPEN) as hub:
        with Sender(hub.port, hub.ca, pause=0.02) as sender:
            killed = set()
            for number in range(4):
                reached = sender.sent + 5 * 500
                hub.wait_until(lambda: sender.sent >= reached, "more is sent")  # noqa: B023
                killed.add(hub.kill_writer())
                hub.wait_until(
                    lambda: hub.status()["writer"]["restarts"] > number,  # noqa: B023
                    "it is replaced",
                )
            sent = sender.finish()
        hub.wait_stored("dht-127.0.0.1", "temperature", sent)
        row = hub.device("dht-127.0.0.1")
        assert len(killed) == 4
        assert (row["stored"], row["duplicate"]) == (2 * sent, 0)
        assert "writer died, starting it again" in hub.log


def test_a_hub_without_writer_ends_with_a_full_history(folder: Path) -> None:
    """SIGTERM in the pause before a dead writer is replaced: what is left is folded first."""
    with HubProcess(folder, OPEN) as hub:

        def is_missed_again() -> bool:
            writer = hub.status()["writer"]
            if writer["pid"] is not None:
                with suppress(ProcessLookupError):
                    os.kill(writer["pid"], signal.SIGKILL)
            return writer["pid"] is None and writer["restarts"] >= 4

        # From the fourth death on the pause is two seconds.
        hub.wait_until(is_missed_again, "it has died for the fourth time")
        head = hub.status()["journal"]["head"]
        send(hub.port, hub.ca, records(1_600_000_000, 9))
        hub.wait_until(lambda: hub.status()["journal"]["head"] > head, "the batch is durable")
        hub.terminate()
        assert hub.wait() == 0
    _check_prefix(folder, "dht-127.0.0.1", 9)


def test_sigterm_under_load_folds_all_that_was_committed(folder: Path) -> None:
    """The hub ends with status 0, and its history is level with its journal."""
    with HubProcess(folder, OPEN) as hub:
        senders = [Sender(hub.port, hub.ca, f"127.0.0.{n}") for n in range(2, 6)]
        for sender in senders:
            sender.__enter__()
        hub.wait_until(lambda: all(s.sent >= 5000 for s in senders), "all have sent")
        for number in range(2, 6):
            hub.wait_stored(f"dht-127.0.0.{number}", "temperature", 1)
        hub.terminate()
        assert hub.wait() == 0
        for sender in senders:
            sender.finish()
        assert "Traceback" not in hub.log
    for number, sender in enumerate(senders, 2):
        _check_prefix(folder, f"dht-127.0.0.{number}", sender.sent + 500)


def test_a_second_interrupt_ends_the_hub_at_once(folder: Path) -> None:
    """Whoever presses Ctrl+C again does not want to wait for the writer."""
    with HubProcess(folder, OPEN) as hub:
        writer = hub.writer_pid
        os.kill(writer, signal.SIGSTOP)
        hub.process.send_signal(signal.SIGINT)
        hub.wait_until(lambda: "Stopping" in hub.log, "it begins to stop")
        assert hub.process.poll() is None
        hub.process.send_signal(signal.SIGINT)
        assert hub.wait() == 1
        assert "second signal, stopped at once" in hub.log


def test_a_killed_hub_loses_nothing_it_had_taken(folder: Path) -> None:
    """SIGKILL for the hub alone: after a restart the history is level with the journal."""
    with HubProcess(folder, OPEN) as hub:
        with Sender(hub.port, hub.ca) as sender:
            hub.wait_until(lambda: sender.sent >= 5000, "it has sent")
            hub.wait_stored("dht-127.0.0.1", "temperature", 1)
            hub.kill()
        hub.start()
        send(hub.port, hub.ca, records(recent(1), 1), "127.0.0.2")
        hub.wait_stored("dht-127.0.0.2", "temperature", 1)
        assert hub.stop() == 0
    _check_prefix(folder, "dht-127.0.0.1", sender.sent + 500)


@pytest.mark.parametrize("known", [True, False], ids=["known device", "new device"])
async def test_a_writer_that_is_overtaken_catches_up(folder: Path, known: bool) -> None:
    """A dead hub's writer folds on for a moment; the new one then goes on from where it ended."""
    data_folder.prepare(folder)
    settings = configuration(folder)

    async def accept(name: str, moment: int) -> None:
        from array import array

        async with asyncio.TaskGroup() as tasks:
            with open_hub(settings, tasks) as (hub, journal):
                async with journal:
                    samples = Samples("level", "m", array("q", [moment]), array("d", [1.0]))
                    source = Source("test", f"test:{name}", name, "127.0.0.1")
                    await hub.accept([Delivery(source, [samples])])

    def writer() -> Consumer:
        reader = SqliteLogReader(folder)
        return Consumer(
            "history", reader, FoldIntoHistory(SqliteHistory(folder), reader, reader.journal())
        )

    await accept("one", 1)
    first = writer()
    assert first.catch_up()
    second = writer()
    await accept("one" if known else "two", 2)
    assert first.catch_up()
    await accept("one" if known else "two", 3)
    assert second.catch_up() or second.catch_up(), second.trouble
    assert sorted(t for rows in stored(folder).values() for t, _ in rows) == [1, 2, 3]


def _check_prefix(folder: Path, device: str, most: int) -> None:
    """Check that the history is level with the journal and has the first records sent."""
    reader = SqliteLogReader(folder)
    history = SqliteHistory(folder, read_only=True)
    assert history.position() == reader.head()
    reader.close()
    history.close()
    found = stored(folder)
    for metric in ("temperature", "relative_humidity"):
        times = [moment for moment, _ in found[device, metric]]
        assert times == [times[0] + number * 1_000_000 for number in range(len(times))]
        assert 0 < len(times) <= most
        assert times[0] == 1_600_000_000 * 1_000_000
