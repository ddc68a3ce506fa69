"""A board of the device sessions over MQTT, with its will; ``python -m`` it to kill it."""

from __future__ import annotations

import queue
import sys
from typing import Final

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from tests.harness import PATIENCE

MAC: Final = "61:EC:ED:3B:25:B1"


class Board:
    """A board with a LED that obeys when it is told to."""

    def __init__(self, port: int, keep_alive: int = 5) -> None:
        self.claim = ""
        self._keep_alive = keep_alive
        self.heard: queue.Queue[tuple[str, str]] = queue.Queue()
        self._port = port
        self._subscribed: queue.Queue[None] = queue.Queue()
        self._client = self._connected()
        self._subscribe("state/nameAssign")

    def ask(self) -> None:
        """Ask for a name; an unknown board gets it once it is accepted."""
        self.say("state/join", MAC)

    def join(self) -> None:
        """Begin a session with the name that was heard, with the LED off."""
        topic, answer = self.next()
        assert topic == "state/nameAssign"
        self.claim = answer.partition(";")[2]
        self.close()
        self._client = self._connected()
        self.say("state/join", self.claim)
        self._subscribe("led/command")
        self.report("0")

    def report(self, led: str) -> None:
        self.say("led/status", f"{self.claim};{led}")

    def say(self, topic: str, payload: str) -> None:
        self._client.publish(topic, payload, 1).wait_for_publish(PATIENCE)

    def next(self) -> tuple[str, str]:
        return self.heard.get(timeout=PATIENCE)

    def freeze(self) -> None:
        """Say nothing more, and leave the connection as it is: as if the cable were cut."""
        self._client.loop_stop()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self) -> Client:
        client = Client(CallbackAPIVersion.VERSION2)
        client.on_message = self._hear
        if self.claim:
            client.will_set("state/leave", self.claim, 1)
        client.on_subscribe = lambda *_: self._subscribed.put(None)
        client.connect("127.0.0.1", self._port, self._keep_alive)
        client.loop_start()
        return client

    def _subscribe(self, topic: str) -> None:
        self._client.subscribe(topic, 1)
        self._subscribed.get(timeout=PATIENCE)

    def _hear(self, _: Client, __: object, message: MQTTMessage) -> None:
        self.heard.put((message.topic, message.payload.decode()))


if __name__ == "__main__":
    one = Board(int(sys.argv[1]))
    one.ask()
    one.join()
    sys.stdin.read()
