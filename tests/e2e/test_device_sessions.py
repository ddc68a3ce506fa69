"""Boards of the session protocol at the running program, with a client library of others."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from tests.harness import OPEN, PATIENCE, HubProcess

BROKER: Final = {
    "transport.mqtt_broker": {
        "host": "127.0.0.1",
        "port": 0,
        "tls_port": 0,
        "websocket_port": 0,
    }
}
MAC: Final = "61:EC:ED:3B:25:B1"
VERSIONS: Final = (MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5)


class Board:
    """A board's connection; ``heard`` are topics and payloads in their order."""

    def __init__(self, port: int, version: MQTTProtocolVersion, will: str | None = None) -> None:
        self.heard: queue.Queue[tuple[str, str]] = queue.Queue()
        self._subscribed: queue.Queue[None] = queue.Queue()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=version)
        self._client.on_message = self._hear
        self._client.on_subscribe = lambda *_: self._subscribed.put(None)
        if will is not None:
            self._client.will_set("state/leave", will, 2)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _hear(self, _client: Client, _: object, message: MQTTMessage) -> None:
        self.heard.put((message.topic, message.payload.decode()))

    def subscribe(self, topic: str, qos: int) -> None:
        """Return when the subscription holds."""
        self._client.subscribe(topic, qos)
        self._subscribed.get(timeout=PATIENCE)

    def say(self, topic: str, payload: str, qos: int = 1) -> None:
        """Return when the message is acknowledged."""
        self._client.publish(topic, payload, qos).wait_for_publish(PATIENCE)

    def next(self) -> tuple[str, str]:
        """Return what is heard next."""
        return self.heard.get(timeout=PATIENCE)

    def break_off(self) -> None:
        """Lose the connection, as without power: nothing is said any more."""
        connection = self._client.socket()
        self._client.loop_stop()
        # It has none when the hub was gone first.
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Disconnect in order: no will."""
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubProcess]:
    """A hub with a broker, at which every device is accepted."""
    with HubProcess(tmp_path / "data", {**OPEN, **BROKER}) as running:
        yield running


def port_of(hub: HubProcess) -> int:
    return int(hub.run_file["listeners"]["mqtt_broker"]["port"])


@contextmanager
def board(
    hub: HubProcess, version: MQTTProtocolVersion, will: str | None = None
) -> Iterator[Board]:
    """A connection, closed in order at the end."""
    opened = Board(port_of(hub), version, will)
    try:
        yield opened
    finally:
        opened.close()


def assigned(hub: HubProcess, version: MQTTProtocolVersion, mac: str = MAC) -> str:
    """Have a board ask for its name; return ``<name>;<session>``."""
    with board(hub, version) as asking:
        asking.subscribe("state/nameAssign", 2)
        asking.say("state/join", mac, 2)
        topic, payload = asking.next()
    answered, _, claim = payload.partition(";")
    assert (topic, answered) == ("state/nameAssign", mac)
    return claim


@pytest.mark.parametrize("version", VERSIONS, ids=lambda one: one.name)
def test_a_board_from_its_first_word_to_its_will(
    hub: HubProcess, version: MQTTProtocolVersion
) -> None:
    """It is named, online while it reports, and offline when its will speaks for it."""
    claim = assigned(hub, version)
    name = claim.partition(";")[0]
    assert name == "capteur01"
    assert hub.device(name)["online"] is False
    joined = Board(port_of(hub), version, claim)
    joined.say("state/join", claim, 2)
    joined.say("led/status", f"{claim};0")
    joined.say("photoresistor/status", f"{claim};55", 0)
    joined.say("button/status", f"{claim};1")
    row = hub.device(name)
    assert (row["online"], row["stored"], row["discarded"]) == (True, 3, 0)
    assert "yes" in hub.cli("devices", "list").stdout
    joined.break_off()
    hub.wait_until(lambda: hub.device(name)["online"] is False, "its will has spoken")
    kinds = [row["kind"] for row in hub.json("events", name)]
    assert kinds == ["left", "joined", "announced"]


def test_what_an_older_session_says_is_discarded(hub: HubProcess) -> None:
    """The late will of a connection that hung does not mark a board offline that is back."""
    version = MQTTProtocolVersion.MQTTv5
    old = assigned(hub, version)
    hanging = Board(port_of(hub), version, old)
    hanging.say("state/join", old, 2)
    new = assigned(hub, version)
    assert old.partition(";")[0] == new.partition(";")[0]
    with board(hub, version, new) as joined:
        joined.say("state/join", new, 2)
        hanging.say("led/status", f"{old};1")
        hanging.break_off()
        hub.wait_until(lambda: hub.device("capteur01")["discarded"] == 2, "both are discarded")
        row = hub.device("capteur01")
        assert (row["online"], row["stored"], row["rejected"]) == (True, 0, 0)
        reasons = {row["reason"] for row in hub.json("rejected")}
        assert len(reasons) == 1
        assert "its session is over" in reasons.pop()
        contested = [row for row in hub.json("events") if row["kind"] == "contested"]
        assert len(contested) == 1


def test_sessions_go_on_after_a_power_cut(hub: HubProcess) -> None:
    """After kill -9 the boards are offline, and known by name and session as before."""
    version = MQTTProtocolVersion.MQTTv311
    claim = assigned(hub, version)
    lost = Board(port_of(hub), version, claim)
    lost.say("state/join", claim, 2)
    hub.kill()
    lost.break_off()
    hub.start()
    assert hub.device("capteur01")["online"] is False
    with board(hub, version, claim) as joined:
        joined.say("led/status", f"{claim};1")
        joined.say("state/join", claim, 2)
        row = hub.device("capteur01")
        assert (row["online"], row["stored"]) == (True, 1)
    assert assigned(hub, version, "61:EC:ED:3B:25:B2").startswith("capteur02;")


def test_a_new_name_reaches_the_board_when_it_asks_again(hub: HubProcess) -> None:
    """Until then it goes on under the old one, in the same session."""
    version = MQTTProtocolVersion.MQTTv5
    claim = assigned(hub, version)
    with board(hub, version, claim) as joined:
        joined.say("state/join", claim, 2)
        assert hub.cli("devices", "rename", "capteur01", "LeBron").returncode == 0
        joined.say("led/status", f"{claim};1")
        assert hub.device("LeBron")["stored"] == 1
    assert assigned(hub, version).startswith("LeBron;")


def test_a_board_that_waits_for_the_owner_is_answered_when_it_is_accepted(tmp_path: Path) -> None:
    """It asks again and again by itself; there is nothing to answer before."""
    with (
        HubProcess(tmp_path / "data", BROKER) as hub,
        board(hub, MQTTProtocolVersion.MQTTv311) as asking,
    ):
        asking.subscribe("state/nameAssign", 0)
        asking.say("state/join", MAC, 1)
        asking.say("state/join", MAC, 1)
        (row,) = hub.json("devices", "list")
        assert (row["admission"], row["online"]) == ("pending", None)
        assert hub.cli("devices", "accept", row["name"], "--name", "desk").returncode == 0
        asking.say("state/join", MAC, 1)
        assert asking.next()[1].startswith(f"{MAC};desk;")
        assert asking.heard.empty()


def test_the_owner_has_names_by_his_pattern_and_rivals_refused(tmp_path: Path) -> None:
    """A second board with one MAC is not answered while the first is online."""
    version = MQTTProtocolVersion.MQTTv5
    chosen = {"name_pattern": "light-{number}", "contested": "refuse"}
    with HubProcess(tmp_path / "data", {**OPEN, **BROKER, "device_sessions": chosen}) as hub:
        claim = assigned(hub, version)
        first = Board(port_of(hub), version, claim)
        first.say("state/join", claim, 2)
        with board(hub, version) as rival:
            rival.subscribe("state/nameAssign", 2)
            rival.say("state/join", MAC)
            (refused,) = hub.json("rejected")
            assert (refused["device"], refused["payload"]) == ("light-1", f"mac:{MAC}")
            first.break_off()
            hub.wait_until(lambda: hub.device("light-1")["online"] is False, "the first is gone")
            rival.say("state/join", MAC)
            assert rival.next()[1].startswith(f"{MAC};light-1;")
            assert rival.heard.empty()
