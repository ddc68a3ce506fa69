"""What the broker tells about itself on ``$SYS/broker/``, under the names that others use too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from motehub import __version__
from motehub.model import MICROSECONDS
from motehub.protocols.mqtt.broker import Broker
from motehub.protocols.mqtt.packets import Publish

_ROOT: Final = "$SYS/broker/"


class Statistics:
    """Counts since the broker began at ``started`` (UTC µs).

    ``wire`` returns what the listeners counted.
    """

    def __init__(self, broker: Broker, wire: Callable[[], Mapping[str, int]], started: int) -> None:
        self._broker = broker
        self._wire = wire
        self._started = started
        self._told: dict[str, bytes] = {}

    def changed(self, now: int) -> list[Publish]:
        """Return the topics whose value is another than when this was asked last, retained."""
        messages = []
        for name, value in self._values(now).items():
            payload = str(value).encode()
            if self._told.get(name) != payload:
                self._told[name] = payload
                messages.append(Publish(_ROOT + name, payload, 0, True))
        return messages

    def _values(self, now: int) -> dict[str, int | str]:
        broker, counters, wire = self._broker, self._broker.counters, self._wire()
        kept = len(broker.members)
        return {
            "version": f"motehub {__version__}",
            "uptime": f"{(now - self._started) // MICROSECONDS} seconds",
            "clients/connected": broker.connected,
            "clients/disconnected": kept - broker.connected,
            "clients/total": kept,
            "messages/received": counters["messages_received"],
            "messages/sent": counters["messages_sent"],
            "publish/messages/dropped": counters["dropped"],
            "publish/messages/refused": counters["refused"],
            "retained messages/count": len(broker.retained),
            "store/messages/bytes": broker.tally.bytes,
            "subscriptions/count": broker.routes.count,
            "bytes/received": wire.get("bytes", 0),
        }
