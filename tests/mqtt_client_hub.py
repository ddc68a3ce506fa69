"""A hub that takes part in another broker, and what others say there."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Any, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.harness import PATIENCE, Settings
from tests.mqtt_hub import MqttHub, Subscriber, run
from tests.servers import MosquittoServer


class ClientHub(MqttHub):
    """A hub with ``[transport.mqtt_client]`` at ``broker``; ``keys`` are of that section."""

    def __init__(
        self, data: Path, broker: MosquittoServer, settings: Settings, **keys: object
    ) -> None:
        self.broker = broker
        section = {"url": f"mqtt://127.0.0.1:{broker.port}", **keys}
        super().__init__(data, {**settings, "transport.mqtt_client": section})

    @property
    def counters(self) -> dict[str, int]:
        """What the transport has counted."""
        counted: dict[str, int] = self.status()["transports"]["mqtt_client"]
        return counted

    def connected(self) -> ClientHub:
        """Return when the hub has subscribed to everything."""
        self.wait_until(
            lambda: bool(self.counters["connected"] and self.counters.get("subscriptions")),
            "it has subscribed at the broker",
        )
        return self

    def mosquitto_pub(self, *options: str, given: str = "", port: int | None = None) -> Any:
        """Run ``mosquitto_pub`` at the broker."""
        done = run("mosquitto_pub", *self._where(port or self.broker.port), *options, given=given)
        assert done.returncode == 0, done.stderr
        return done

    def subscriber(self, *options: str, port: int | None = None) -> Subscriber:
        """Return a ``mosquitto_sub`` at the broker, to be used with ``with``."""
        return Subscriber([*self._where(port or self.broker.port), *options])

    def state(self) -> dict[str, bytes]:
        """Return what the journal keeps of the transport."""
        from motehub.journals.sqlite import SqliteLogReader

        state = SqliteLogReader(self.data).state()
        mark = "mqtt_client/"
        return {k.removeprefix(mark): v for k, v in state.items() if k.startswith(mark)}


class Board:
    """A board's connection at a broker, of paho's; what it hears waits in ``heard``."""

    def __init__(
        self, port: int, version: MQTTProtocolVersion, client_id: str = "", will: str | None = None
    ) -> None:
        self.heard: queue.Queue[tuple[str, str]] = queue.Queue()
        self._subscribed: queue.Queue[None] = queue.Queue()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=version)
        self._client.on_message = self._hear
        self._client.on_subscribe = lambda *_: self._subscribed.put(None)
        if will is not None:
            self._client.will_set("state/leave", will, 2)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _hear(self, _client: Client, _: object, message: MQTTMessage) -> None:
        self.heard.put((message.topic, message.payload.decode()))

    def subscribe(self, topic: str, qos: int = 1) -> None:
        """Return when the subscription holds."""
        self._client.subscribe(topic, qos)
        self._subscribed.get(timeout=PATIENCE)

    def say(self, topic: str, payload: str, qos: int = 1, *, retain: bool = False) -> None:
        """Return when the broker has acknowledged the message."""
        self._client.publish(topic, payload, qos, retain).wait_for_publish(PATIENCE)

    def send(self, topic: str, payload: str, qos: int) -> None:
        """Publish and go on."""
        self._client.publish(topic, payload, qos)

    def next(self) -> tuple[str, str]:
        """Return what is heard next."""
        return self.heard.get(timeout=PATIENCE)

    def break_off(self) -> None:
        """Lose the connection, as without power: nothing is said any more."""
        connection = self._client.socket()
        self._client.loop_stop()
        if connection is not None:
            connection.close()


def claimed(board: Board, mac: str) -> str:
    """Have a board ask until it is answered, as the firmware does; return ``<name>;<session>``."""
    board.subscribe("state/nameAssign", 0)
    while True:
        board.say("state/join", mac)
        try:
            topic, payload = board.heard.get(timeout=5)
        except queue.Empty:
            continue
        answered, _, claim = payload.partition(";")
        if (topic, answered) == ("state/nameAssign", mac):
            return claim
