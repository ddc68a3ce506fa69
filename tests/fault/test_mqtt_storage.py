"""Publishers while nothing can be stored: they are held, and nothing of theirs is lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import paho.mqtt.client as paho
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from tests.fault.disks import small_disk
from tests.harness import OPEN, HubProcess, Settings
from tests.mqtt_hub import BROKER, MqttHub
from tests.servers import PostgresServer

START: Final = 1_770_000_000
"""Time of the first reading, in seconds since 1970; each has its own second."""

WINDOW: Final = 20
LONG: Final = "x" * 400
"""Something that fills a disk."""


class Publisher:
    """A client of paho's that publishes as fast as it is acknowledged, until ``finish``."""

    def __init__(self, hub: MqttHub, device: str, version: int, qos: int) -> None:
        self.device = device
        self.sent = 0
        self.acknowledged = 0
        self.losses = 0
        self._qos = qos
        self._room = threading.Semaphore(WINDOW)
        self._enough = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, device, protocol=MQTTProtocolVersion(version)
        )
        self._client.max_inflight_messages_set(WINDOW)
        self._client.on_publish = self._count
        self._client.on_disconnect = self._lost
        self._client.connect("127.0.0.1", hub.mqtt_port, 60)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._publish)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()
        self._client.disconnect()
        self._client.loop_stop()

    def finish(self) -> None:
        """Publish no more."""
        self._enough.set()
        self._room.release()
        self._thread.join()

    def _publish(self) -> None:
        while self._room.acquire() and not self._enough.is_set():
            reading = {"count": self.sent, "note": LONG, "time": START + self.sent}
            self._client.publish(f"readings/{self.device}", json.dumps(reading), self._qos)
            self.sent += 1

    def _count(self, *_: Any) -> None:
        self.acknowledged += 1
        self._room.release()

    def _lost(self, *_: Any) -> None:
        if not self._enough.is_set():
            self.losses += 1


@contextmanager
def publishing(hub: MqttHub) -> Iterator[list[Publisher]]:
    """Publishers of both versions, at QoS 1 and 2."""
    with (
        Publisher(hub, "one", 4, 1) as one,
        Publisher(hub, "two", 5, 2) as two,
    ):
        yield [one, two]


def held_back(hub: HubProcess) -> str:
    return str(hub.status()["journal"]["held_back"] or "")


def wait_for_more(hub: MqttHub, publishers: list[Publisher], count: int = 100) -> None:
    """Return when each has been told of so many more."""
    wanted = [one.acknowledged + count for one in publishers]
    hub.wait_until(
        lambda: all(p.acknowledged >= w for p, w in zip(publishers, wanted, strict=True)),
        f"{count} more are acknowledged",
    )


def finish(hub: MqttHub, publishers: list[Publisher]) -> None:
    """Have all acknowledged that was published, and look whether the hub has it, once."""
    for one in publishers:
        one.finish()
    hub.wait_until(lambda: all(p.acknowledged == p.sent for p in publishers), "all is acknowledged")
    hub.wait_folded()
    for one in publishers:
        assert one.losses == 0
        row = hub.device(one.device)
        # The number and the text of each.
        expected = (2 * one.sent, 2 * one.sent, 0, 0)
        found = (row["received"], row["stored"], row["duplicate"], row["rejected"])
        assert found == expected


def test_a_full_disk_holds_publishers(tmp_path: Path) -> None:
    """Nobody gets an acknowledgement or loses a connection; with space again all is stored."""
    settings = {**OPEN, **BROKER}
    with (
        small_disk(tmp_path / "disk") as disk,
        MqttHub(disk.folder / "data", settings) as hub,
        publishing(hub) as publishers,
    ):
        wait_for_more(hub, publishers, 20)
        disk.fill(hub)
        hub.wait_until(lambda: held_back(hub).startswith(disk.sentence), "they are held")
        assert "journal.db" in held_back(hub)
        # What was acknowledged before may still be on its way to them.
        most = [one.acknowledged + WINDOW for one in publishers]
        hub.wait_until(
            lambda: all(p.acknowledged < p.sent <= p.acknowledged + WINDOW for p in publishers),
            "they wait",
        )
        # Another try of the journal, and they are held still.
        hub.wait_until(lambda: held_back(hub).startswith(disk.sentence), "they are held")
        assert all(p.acknowledged <= n for p, n in zip(publishers, most, strict=True))
        disk.free(hub)
        hub.wait_until(lambda: not held_back(hub), "they go on")
        wait_for_more(hub, publishers, 20)
        finish(hub, publishers)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that may be killed without disturbing other tests."""
    with PostgresServer() as own:
        yield own


def test_a_database_that_is_away_holds_nobody(folder: Path, server: PostgresServer) -> None:
    """Publishers are acknowledged from the journal; all is in the history once it is back."""
    url = server.new_database()
    store: Settings = {"store": {"type": "postgres", "url": url}}
    with MqttHub(folder, {**OPEN, **BROKER, **store}) as hub, publishing(hub) as publishers:
        wait_for_more(hub, publishers)
        server.kill()
        try:
            hub.wait_until(lambda: bool(hub.status()["writer"]["trouble"]), "the writer says so")
            wait_for_more(hub, publishers)
            assert not held_back(hub)
        finally:
            server.start()
        wait_for_more(hub, publishers)
        finish(hub, publishers)
        with psycopg.connect(url) as connection:
            values = connection.execute(
                "SELECT device.name, count(*), min(value), max(value) FROM reading "
                "JOIN series ON series.id = reading.series "
                "JOIN device ON device.id = series.device "
                "WHERE series.metric = 'count' GROUP BY device.name ORDER BY device.name"
            ).fetchall()
        assert values == [(one.device, one.sent, 0, one.sent - 1) for one in publishers]
