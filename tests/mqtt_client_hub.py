"""A hub that takes part in another broker, and what others say there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.harness import Settings
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

    def mosquitto_pub(
        self, *options: str, given: str = "", port: int | None = None
    ) -> Any:
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

    def command(self, id_: str) -> dict[str, Any]:
        """Return where a command stands."""
        found: dict[str, Any] = json.loads(self.cli("send", "--id", id_).stdout)
        return found
