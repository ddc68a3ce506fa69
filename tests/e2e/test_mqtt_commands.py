"""Commands that reach devices over the broker, with clients of others."""

from __future__ import annotations

import json
import queue
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from tests.harness import OPEN, PATIENCE
from tests.web_hub import WEB, WebHub

BROKER: Final = {
    "transport.mqtt_broker": {"host": "127.0.0.1", "port": 0, "tls_port": 0, "websocket_port": 0}
}
VERSIONS: Final = (MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5)


class Device:
    """A connection of paho's; what it hears waits in ``heard``.

    ``kept`` is the client id of a 3.1.1 client that goes on with its session.
    """

    def __init__(
        self, port: int, version: MQTTProtocolVersion, will: str | None = None, kept: str = ""
    ) -> None:
        self.heard: queue.Queue[tuple[str, str]] = queue.Queue()
        self._subscribed: queue.Queue[None] = queue.Queue()
        self._client = Client(
            CallbackAPIVersion.VERSION2, kept, not kept if kept else None, protocol=version
        )
        self._client.on_message = self._hear
        self._client.on_subscribe = lambda *_: self._subscribed.put(None)
        if will is not None:
            self._client.will_set("state/leave", will, 2)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _hear(self, _: Client, __: object, message: MQTTMessage) -> None:
        self.heard.put((message.topic, message.payload.decode()))

    def subscribe(self, topic: str) -> None:
        self._client.subscribe(topic, 1)
        self._subscribed.get(timeout=PATIENCE)

    def say(self, topic: str, payload: str) -> None:
        self._client.publish(topic, payload, 1).wait_for_publish(PATIENCE)

    def next(self) -> tuple[str, str]:
        return self.heard.get(timeout=PATIENCE)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Stand:
    """A hub with a broker and a web port, and a token for commands."""

    def __init__(self, hub: WebHub) -> None:
        self.hub = hub
        self.token = hub.token("phone", "control")

    @property
    def port(self) -> int:
        return int(self.hub.run_file["listeners"]["mqtt_broker"]["port"])

    @contextmanager
    def device(
        self,
        version: MQTTProtocolVersion = VERSIONS[1],
        will: str | None = None,
        kept: str = "",
    ) -> Iterator[Device]:
        opened = Device(self.port, version, will, kept)
        try:
            yield opened
        finally:
            opened.close()

    @contextmanager
    def board(self, mac: str, version: MQTTProtocolVersion) -> Iterator[tuple[Device, str]]:
        """A board that has joined, and ``<name>;<session>``; it has subscribed to nothing yet."""
        with self.device(version) as asking:
            asking.subscribe("state/nameAssign")
            asking.say("state/join", mac)
            claim = asking.next()[1].partition(";")[2]
        with self.device(version, claim) as joined:
            joined.say("state/join", claim)
            yield joined, claim

    def command(self, device: str, **order: Any) -> str:
        status, _, body = self.hub.curl(
            f"/api/v1/devices/{device}/commands",
            *("-H", "Content-Type: application/json"),
            body=json.dumps(order).encode(),
            token=self.token,
        )
        assert status == 202, body
        return str(json.loads(body)["id"])

    def state(self, command: str) -> str:
        _, _, body = self.hub.curl(f"/api/v1/commands/{command}", token=self.token)
        return str(json.loads(body)["state"])

    def wait_for(self, command: str, state: str) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def there() -> bool:
            _, _, body = self.hub.curl(f"/api/v1/commands/{command}", token=self.token)
            found.update(json.loads(body))
            return bool(found["state"] == state)

        self.hub.wait_until(there, f"the command is {state}")
        return found


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """A hub at which every device is accepted."""
    with WebHub(tmp_path / "data", {**OPEN, **WEB, **BROKER}) as hub:
        yield Stand(hub)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda one: one.name)
def test_a_board_switches_its_led(stand: Stand, version: MQTTProtocolVersion) -> None:
    """A board gets the command in its present session, and its own report confirms it."""
    with stand.board("61:EC:ED:3B:25:B1", version) as (board, claim):
        board.subscribe("led/command")
        board.say("led/status", f"{claim};0")
        command = stand.command("capteur01", name="led", value=1)
        assert board.next() == ("led/command", f"{claim};1")
        stand.wait_for(command, "sent")
        board.say("led/status", f"{claim};0")
        board.say("led/status", f"{claim};1")
        assert stand.wait_for(command, "confirmed")["over"] is True


def test_a_board_that_joins_gets_what_waits(stand: Stand) -> None:
    """A command waits while its board is away, and until the board listens for commands."""
    other = "61:EC:ED:3B:25:B2"
    with stand.board(other, VERSIONS[0]) as (listening, _):
        # Another board listens on the same topic all the time.
        listening.subscribe("led/command")
        with stand.board("61:EC:ED:3B:25:B1", VERSIONS[0]) as (board, old):
            board.say("state/leave", old)
        command = stand.command("capteur02", name="led", value=1)
        with stand.board("61:EC:ED:3B:25:B1", VERSIONS[0]) as (board, claim):
            assert claim != old
            # It may have missed the command, which it was sent when it joined.
            board.subscribe("led/command")
            board.say("led/status", f"{claim};0")
            assert board.next() == ("led/command", f"{claim};1")
            board.say("led/status", f"{claim};1")
            stand.wait_for(command, "confirmed")


def test_a_board_has_only_an_led(stand: Stand) -> None:
    """What a board can't be told fails with the reason."""
    with stand.board("61:EC:ED:3B:25:B1", VERSIONS[1]) as (board, _):
        board.subscribe("led/command")
        done = stand.hub.cli("send", "capteur01", "--name", "led", "--value", "5", "--wait")
        assert done.returncode == 1
        assert "failed, " in done.stdout
        assert "0 or 1" in done.stdout


def test_a_device_of_any_kind_gets_the_payload(stand: Stand) -> None:
    """A command on commands/<device> is what was sent; with mosquitto's own client."""
    with stand.device() as publisher:
        publisher.say("readings/lamp/brightness", "0")
    command = stand.command("lamp", payload="#ff8800")
    listening = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(stand.port), "-q", "1"]
    done = subprocess.run(
        [*listening, "-t", "commands/lamp", "-C", "1", "-W", str(int(PATIENCE))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "#ff8800\n"), done.stderr
    assert stand.wait_for(command, "sent")["over"] is True


def test_a_device_of_any_kind_confirms(stand: Stand) -> None:
    """A value is sent as a JSON object, and the device's reading of it confirms it."""
    with stand.device() as lamp:
        lamp.say("readings/lamp/brightness", "0")
        lamp.subscribe("commands/lamp")
        command = stand.command("lamp", name="brightness", value=70)
        topic, payload = lamp.next()
        assert (topic, json.loads(payload)) == (
            "commands/lamp",
            {"name": "brightness", "value": 70},
        )
        lamp.say("readings/lamp", '{"brightness": 70, "power": 4.5}')
        stand.wait_for(command, "confirmed")


def test_a_command_waits_over_a_power_cut(stand: Stand) -> None:
    """A command that was accepted before kill -9 reaches its device after the start."""
    with stand.device() as lamp:
        lamp.say("readings/lamp/brightness", "0")
    command = stand.command("lamp", payload="red")
    stand.hub.kill()
    stand.hub.start()
    with stand.device() as lamp:
        lamp.subscribe("commands/lamp")
        assert lamp.next() == ("commands/lamp", "red")
        stand.wait_for(command, "sent")


def test_who_only_looks_on_is_not_the_device(stand: Stand) -> None:
    """A command is not on its way while others than its device listen: it waits."""
    with stand.device() as lamp:
        lamp.say("readings/lamp/brightness", "0")
    with (
        stand.device() as onlooker,
        stand.board("61:EC:ED:3B:25:B1", VERSIONS[1]) as (board, claim),
    ):
        onlooker.subscribe("#")
        onlooker.say("readings/door/open", "0")
        onlooker.subscribe("commands/+")
        led = stand.command("capteur01", name="led", value=1)
        red = stand.command("lamp", payload="red")
        # A command to a device that speaks over this connection leaves at once.
        stand.wait_for(stand.command("door", payload="shut"), "sent")
        for waiting in (led, red):
            assert stand.state(waiting) == "queued"
        board.subscribe("led/command")
        assert board.next() == ("led/command", f"{claim};1")
        stand.wait_for(led, "sent")
        with stand.device() as lamp:
            lamp.subscribe("commands/lamp/#")
            assert lamp.next() == ("commands/lamp", "red")
            stand.wait_for(red, "sent")


def test_a_wildcard_is_enough_for_who_speaks_for_the_device(stand: Stand) -> None:
    """A gateway that listens on all commands gets those of a device once it has its readings."""
    with stand.device() as gateway:
        gateway.say("readings/lamp/brightness", "0")
    command = stand.command("lamp", payload="red")
    with stand.device() as gateway:
        gateway.subscribe("commands/#")
        assert stand.state(command) == "queued"
        gateway.say("readings/lamp/brightness", "1")
        assert gateway.next() == ("commands/lamp", "red")
        stand.wait_for(command, "sent")


def test_a_token_of_the_device_is_enough(stand: Stand) -> None:
    """Whoever has shown it is the device, beside the connection over which that has joined."""
    with stand.board("61:EC:ED:3B:25:B1", VERSIONS[1]) as (_, claim):
        command = stand.command("capteur01", name="led", value=1)
        token = stand.hub.cli("token", "create", "key", "--device", "capteur01").stdout.strip()
        listening = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(stand.port), "-q", "1"]
        listening += ["-u", "board", "-P", token, "-t", "led/command", "-C", "1", "-W", "30"]
        done = subprocess.run(listening, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, f"{claim};1\n"), done.stderr
        stand.wait_for(command, "sent")


def test_a_session_that_goes_on_gets_what_waits(stand: Stand) -> None:
    """A client that comes back need not subscribe again to be commanded."""
    with stand.device() as lamp:
        lamp.say("readings/lamp/brightness", "0")
    listening = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(stand.port), "-q", "1", "-c"]
    listening += ["-i", "lamp", "-t", "commands/lamp"]
    assert subprocess.run([*listening, "-E"], check=False).returncode == 0
    command = stand.command("lamp", payload="red")
    assert stand.state(command) == "queued"
    with stand.device(VERSIONS[0], kept="lamp") as lamp:
        assert lamp.next() == ("commands/lamp", "red")
        # The library acknowledges it only after it was heard: not when it leaves before.
        stand.wait_for(command, "sent")
