"""What server and client remember of each other beyond one connection (§4.1).

Subscriptions are not here: they belong to the tree that finds them.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from motehub.protocols.mqtt.packets import Publish, PubRel

PACKET_IDS: Final = 65_535
"""How many packet identifiers there are; 0 is none."""


class Queued(msgspec.Struct, frozen=True, gc=False):
    """A message that waits to be sent; ``expires`` is UTC µs, or None for never."""

    message: Publish
    expires: int | None = None


class Session:
    """The deliveries of one client that are not complete, in both directions.

    ``outgoing`` holds by packet identifier, in the order of sending, each PUBLISH that has not
    been acknowledged, without alias; and, once it has its PUBREC, the PUBREL in its place.
    ``incoming`` are the identifiers of QoS 2 messages that were taken and not yet released.
    ``queue`` are messages that found no room in flight; whoever sends keeps it bounded.
    """

    __slots__ = ("_last_id", "client_id", "incoming", "outgoing", "queue")

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id
        self.outgoing: dict[int, Publish | PubRel] = {}
        self.incoming: set[int] = set()
        self.queue: deque[Queued] = deque()
        self._last_id = 0

    def free_packet_id(self) -> int:
        """Return a packet identifier that is not in use [MQTT-2.2.1-4]; there is one."""
        packet_id = self._last_id
        while True:
            packet_id = packet_id + 1 if packet_id < PACKET_IDS else 1
            if packet_id not in self.outgoing:
                self._last_id = packet_id
                return packet_id
