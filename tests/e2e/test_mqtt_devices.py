"""The life of boards that remember nothing, in MQTT 3.1.1 and 5, as their firmware lives it."""

from __future__ import annotations

import queue
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any, Final, Self

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from tests.harness import OPEN, PATIENCE, environment, reset
from tests.mqtt_hub import BROKER, MqttHub, connect, publish, subscribe

both_versions = pytest.mark.parametrize("version", [4, 5])

# The firmware's library for 3.1.1 subscribes at QoS 0 and publishes at 1.
_HEARS: Final = {4: 0, 5: 2}
_SAYS: Final = {4: 1, 5: 2}
_macs = count(1)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MqttHub]:
    """An open hub for all tests here, each with boards of its own."""
    with MqttHub(tmp_path_factory.mktemp("devices") / "data", {**OPEN, **BROKER}) as running:
        yield running


@pytest.fixture
def mac() -> str:
    """The address of a board that no other test has."""
    return f"61:EC:ED:3B:25:{next(_macs):02X}"


class Board:
    """One connection of a board; what it hears waits in ``heard``."""

    def __init__(self, hub: MqttHub, version: int, claim: str | None = None) -> None:
        self.version = version
        self.heard: queue.Queue[tuple[str, str]] = queue.Queue()
        self._subscribed: queue.Queue[None] = queue.Queue()
        # The client id is empty, as in the library's examples.
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion(version)
        )
        self.client.on_message = self._hear
        self.client.on_subscribe = lambda *_: self._subscribed.put(None)
        if claim is not None:
            self.client.will_set("state/leave", claim, _SAYS[version])
        self.client.connect("127.0.0.1", hub.mqtt_port)
        self.client.loop_start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def listen(self, topic: str, qos: int | None = None) -> None:
        """Subscribe."""
        self.client.subscribe(topic, _HEARS[self.version] if qos is None else qos)
        self._subscribed.get(timeout=PATIENCE)

    def say(self, topic: str, payload: str, qos: int | None = None) -> None:
        """Publish; at QoS 1 and 2 until it is acknowledged."""
        sent = self.client.publish(topic, payload, _SAYS[self.version] if qos is None else qos)
        sent.wait_for_publish(PATIENCE)

    def next(self) -> tuple[str, str]:
        """Return topic and payload of the next message."""
        return self.heard.get(timeout=PATIENCE)

    def cut(self) -> None:
        """Lose the connection, as with the power."""
        self.client.loop_stop()
        connection: Any = self.client.socket()
        reset(connection)

    def _hear(self, _: object, __: object, message: paho.MQTTMessage) -> None:
        self.heard.put((message.topic, message.payload.decode()))


def ask(hub: MqttHub, mac: str, version: int) -> str:
    """Return ``<name>;<session>`` that a board is given, on a connection that it then closes."""
    with Board(hub, version) as board:
        board.listen("state/nameAssign")
        board.say("state/join", mac)
        topic, payload = board.next()
        assert topic == "state/nameAssign"
        assert payload.startswith(f"{mac};")
        return payload.partition(";")[2]


@contextmanager
def joined(hub: MqttHub, mac: str, version: int) -> Iterator[tuple[Board, str, str]]:
    """A board that is online, its name and its session."""
    claim = ask(hub, mac, version)
    with Board(hub, version, claim) as board:
        board.say("state/join", claim)
        name, _, session = claim.partition(";")
        yield board, name, session


def online(hub: MqttHub, name: str) -> bool | None:
    (row,) = (row for row in hub.json("devices", "list") if row["name"] == name)
    found: bool | None = row["online"]
    return found


def wait_online(hub: MqttHub, name: str, wanted: bool) -> None:
    hub.wait_until(lambda: online(hub, name) is wanted, f"{name} online is {wanted}")


def kinds(hub: MqttHub, name: str) -> list[str]:
    """Return the kinds of a device's events, oldest first."""
    return [row["kind"] for row in reversed(hub.json("events", name))]


def send_command(hub: MqttHub, *arguments: str) -> subprocess.Popen[str]:
    """Begin ``motehub send``."""
    return subprocess.Popen(
        [sys.executable, "-m", "motehub", "send", *arguments, "--data", str(hub.data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


@both_versions
def test_a_whole_life(hub: MqttHub, mac: str, version: int) -> None:
    """A board gets a name, joins, reports, is switched, and leaves; all of it is in the history."""
    claim = ask(hub, mac, version)
    name, _, session = claim.partition(";")
    assert name.startswith("capteur")
    assert 1 <= len(session) <= 17
    assert online(hub, name) is False
    with Board(hub, version, claim) as board:
        board.say("state/join", claim)
        wait_online(hub, name, True)
        board.listen("led/command", 1)
        board.say("led/status", f"{claim};0", 1)
        for percent in (0, 42, 100):
            board.say("photoresistor/status", f"{claim};{percent}", 0)
        board.say("button/status", f"{claim};1", 0)
        board.say("button/status", f"{claim};0", 0)
        with send_command(hub, name, "--name", "led", "--value", "1", "--wait") as command:
            assert board.next() == ("led/command", f"{claim};1")
            board.say("led/status", f"{claim};1", 1)
            output, errors = command.communicate(timeout=PATIENCE)
        assert command.returncode == 0, errors
        assert "confirmed" in output
        board.say("state/leave", claim)
        wait_online(hub, name, False)
    hub.wait_values(name, "led", [0, 1])
    hub.wait_values(name, "illuminance", [0, 42, 100])
    hub.wait_values(name, "button", [1, 0])
    seen = [kind for kind in kinds(hub, name) if kind in ("announced", "joined", "left")]
    assert seen == ["announced", "joined", "left"]
    row = hub.device(name)
    assert (row["stored"], row["discarded"], row["rejected"]) == (7, 0, 0)


@both_versions
def test_a_board_keeps_its_name(hub: MqttHub, mac: str, version: int) -> None:
    """The same MAC gets the same name and another session; another MAC another name."""
    first = ask(hub, mac, version)
    second = ask(hub, mac, version)
    assert first.partition(";")[0] == second.partition(";")[0]
    assert first != second
    other = ask(hub, f"62{mac[2:]}", version)
    assert other.partition(";")[0] != first.partition(";")[0]


@both_versions
def test_the_late_will_of_an_older_session(hub: MqttHub, mac: str, version: int) -> None:
    """What an older session still says is discarded, counted and shown; the board stays online."""
    with joined(hub, mac, version) as (old, name, session):
        with joined(hub, mac, version) as (board, same, newer):
            assert (same, newer != session) == (name, True)
            old.say("photoresistor/status", f"{name};{session};11", 1)
            board.say("photoresistor/status", f"{name};{newer};22", 1)
            old.cut()
            hub.wait_until(lambda: hub.device(name)["discarded"] == 2, "both are counted")
            assert online(hub, name) is True
            assert "contested" in kinds(hub, name)
            reasons = [row["reason"] for row in hub.json("rejected") if row["device"] == name]
            assert any("session is over" in reason for reason in reasons), reasons
            hub.wait_values(name, "illuminance", [22])
        wait_online(hub, name, True)


@both_versions
def test_a_new_name_comes_with_the_next_join(hub: MqttHub, mac: str, version: int) -> None:
    """A renamed board goes on under its old name until it asks again; so do its commands."""
    with joined(hub, mac, version) as (board, old, session):
        name = f"LeBron {version}"
        assert hub.cli("devices", "rename", old, name).returncode == 0
        board.listen("led/command", 1)
        board.say("photoresistor/status", f"{old};{session};5", 1)
        hub.wait_values(name, "illuminance", [5])
        with send_command(hub, name, "1", "--wait") as command:
            assert board.next() == ("led/command", f"{old};{session};1")
            board.say("led/status", f"{old};{session};1", 1)
            command.communicate(timeout=PATIENCE)
        assert command.returncode == 0
    assert ask(hub, mac, version).partition(";")[0] == name


def test_every_board_hears_every_answer(hub: MqttHub, mac: str) -> None:
    """Boards that ask at the same time find their own answer by their MAC."""
    macs = [f"{number:02X}{mac[2:]}" for number in range(5)]
    boards = [Board(hub, 4 + number % 2) for number in range(5)]
    try:
        for board in boards:
            board.listen("state/nameAssign")
        for board, own in zip(boards, macs, strict=True):
            board.say("state/join", own)
        heard = [{board.next()[1] for _ in macs} for board in boards]
    finally:
        for board in boards:
            board.__exit__(None)
    assert all(one == heard[0] for one in heard)
    assert {one.partition(";")[0] for one in heard[0]} == set(macs)
    assert len({one.split(";")[1] for one in heard[0]}) == 5


def test_every_byte_of_a_small_board(hub: MqttHub, mac: str) -> None:
    """The 3.1.1 firmware sees its answers byte by byte: four, five and four bytes, and QoS 0."""
    with hub.raw() as raw:
        raw.send(connect("", keep_alive=5))
        raw.expect("20020000")
        raw.send(subscribe("state/nameAssign", 0, 2))
        raw.expect("9003000200")
        raw.send(publish("state/join", mac.encode(), 1, 3))
        first, second = raw.packet(), raw.packet()
        # PUBACK and answer may come in either order.
        acknowledged, answer = (first, second) if first[0] == 0x40 else (second, first)
        assert acknowledged.hex() == "40020003"
        payload = answer[2 + 2 + len("state/nameAssign") :]
        assert answer == publish("state/nameAssign", payload)
        assert payload.decode().startswith(f"{mac};capteur")
        raw.expect_nothing()


def test_a_silent_board_is_missed(hub: MqttHub, mac: str) -> None:
    """Silence of a board with a keep alive of 5 s is noticed after 7.5 s.

    That is before another connection's 10 s are over, which began later and hasn't connected.
    """
    claim = ask(hub, mac, 4)
    name = claim.partition(";")[0]
    with hub.raw() as watcher, hub.raw() as board, ExitStack() as later:
        watcher.send(connect("watcher of boards"), subscribe("state/leave"))
        watcher.expect("200200009003000100")
        will = ("state/leave", claim.encode(), 1)
        board.send(connect("", keep_alive=5, will=will), publish("state/join", claim.encode(), 1))
        board.expect("2002000040020001")
        began = time.monotonic()
        half = later.enter_context(hub.raw())
        half.send(b"\x10")
        watcher.expect(publish("state/leave", claim.encode()))
        # Who was held up for long is no judge of it.
        assert half.is_silent() or time.monotonic() - began > 10
        board.expect_end()
    wait_online(hub, name, False)


def test_what_a_board_can_not_mean(hub: MqttHub, mac: str) -> None:
    """Payloads of another form are rejected with a reason that the owner finds."""
    with joined(hub, mac, 5) as (board, name, session):
        board.say("photoresistor/status", f"{name};{session};101", 1)
        board.say("led/status", f"{name};{session};on", 1)
        board.say("state/join", "61-EC-ED-3B-25-B1", 1)
        texts = repr(hub.json("rejected"))
    assert f"{name};{session};101" in texts
    assert f"{name};{session};on" in texts
    assert "61-EC-ED-3B-25-B1" in texts
