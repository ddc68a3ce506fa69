"""The retained messages: one for each topic, until its time is over (§3.3.1.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from motehub.protocols.mqtt.deadlines import Deadlines
from motehub.protocols.mqtt.ledger import Ledger
from motehub.protocols.mqtt.limits import BrokerLimits
from motehub.protocols.mqtt.members import expires_at
from motehub.protocols.mqtt.packets import Publish
from motehub.protocols.mqtt.routing import plain
from motehub.protocols.mqtt.session import Queued, size_of
from motehub.protocols.mqtt.topics import depth_cost
from motehub.protocols.mqtt.trees import TopicTree

_OWN_TOPICS: Final = "$SYS/"


class Retained:
    """Keeps them within the limits; those on ``$SYS/`` are the hub's own and not durable."""

    def __init__(self, limits: BrokerLimits, ledger: Ledger, counters: Counter[str]) -> None:
        self._limits = limits
        self._ledger = ledger
        self._counters = counters
        self._tree: TopicTree[Queued] = TopicTree()
        self._bytes = 0
        # How many of them are the hub's own.
        self._own = 0
        self._expiring: Deadlines[str] = Deadlines()

    def __len__(self) -> int:
        return len(self._tree)

    def restore(self, messages: Iterable[Queued]) -> None:
        """Take back what a hub that ended had kept."""
        for queued in messages:
            self._set(queued)

    def find(self, topic_filter: str) -> Iterator[Queued]:
        """Yield those whose topic matches the filter; change nothing meanwhile."""
        return self._tree.find(topic_filter)

    def has_room(self, message: Publish) -> bool:
        """Tell whether there is room to retain the message, if it asks for that."""
        if not message.retain or not message.payload:
            return True
        known = self._tree.get(message.topic)
        size = size_of(message) + depth_cost(message.topic) - _cost(known)
        if self._bytes + size > self._limits.retained_bytes:
            return False
        return known is not None or len(self._tree) - self._own < self._limits.retained

    def retain(self, message: Publish, publisher: str, now: int) -> None:
        """Keep a message in place of the one of its topic; without payload it only ends that."""
        # [MQTT-3.3.1-6]
        if not message.payload:
            if self._tree.get(message.topic) is not None:
                self._forget(message.topic)
            return
        own = message.topic.startswith(_OWN_TOPICS)
        if not (own or self.has_room(message)):
            # Of a will, or among many of one read.
            self._counters["not_retained"] += 1
            return
        queued = Queued(plain(message), expires_at(message, now), publisher)
        new = self._set(queued)
        if own:
            self._own += new
        else:
            self._ledger.retained(message.topic, queued)

    def sweep(self, now: int) -> None:
        """Forget those whose time is over."""
        for topic in self._expiring.take(now):
            self._forget(topic)

    def _set(self, queued: Queued) -> bool:
        topic = queued.message.topic
        previous = self._tree.set(topic, queued)
        self._bytes += _cost(queued) - _cost(previous)
        if queued.expires is None:
            self._expiring.discard(topic)
        else:
            self._expiring.set(topic, queued.expires)
        return previous is None

    def _forget(self, topic: str) -> None:
        previous = self._tree.remove(topic)
        self._bytes -= _cost(previous)
        self._expiring.discard(topic)
        self._ledger.retained(topic, None)


def _cost(queued: Queued | None) -> int:
    """Return about how many bytes a retained message needs, with its place in the tree."""
    return 0 if queued is None else queued.size + depth_cost(queued.message.topic)
