"""What server and client remember of each other beyond one connection (§4.1).

Subscriptions are not here: they belong to the tree that finds them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from motehub.protocols.mqtt.packets import NO_PUBLISH, Connect, Publish, PubRel, Version

MICROSECONDS: Final = 1_000_000

PACKET_IDS: Final = 65_535
"""How many packet identifiers there are; 0 is none."""


# What a queued message takes beside its contents, and a user property beside its own.
_OVERHEAD: Final = 200
_OVERHEAD_OF_PROPERTY: Final = 150

SHORT: Final = 256
"""Bytes of a payload that is not worth sharing among those that it waits for."""


def size_of(message: Publish) -> int:
    """Return about how many bytes a message takes in memory."""
    size = len(message.payload) + len(message.topic) + _OVERHEAD
    properties = message.properties
    if properties is not NO_PUBLISH:
        texts = (properties.response_topic, properties.correlation_data, properties.content_type)
        size += sum(len(one) for one in texts if one is not None)
        size += sum(
            len(key) + len(value) + _OVERHEAD_OF_PROPERTY for key, value in properties.user_property
        )
    return size


class Queued(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A message that waits to be sent; ``expires`` is UTC µs, or None for never.

    ``publisher`` is the client id of who has sent one that is retained.
    """

    message: Publish
    expires: int | None = None
    publisher: str = ""

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return size_of(self.message)


class Tally:
    """About how many ``bytes`` the messages take that wait for clients or are in flight to them.

    A long payload is the same bytes for all sessions that get it, so it counts once.
    """

    __slots__ = ("_times", "bytes")

    def __init__(self) -> None:
        self.bytes = 0
        # How often a payload is counted in, by identity: it stays alive as long.
        self._times: dict[int, int] = {}

    def add(self, message: Publish, size: int) -> None:
        """Count in a message of about ``size`` bytes."""
        payload = message.payload
        if len(payload) > SHORT:
            times = self._times.get(id(payload), 0)
            self._times[id(payload)] = times + 1
            if times:
                size -= len(payload)
        self.bytes += size

    def remove(self, message: Publish, size: int) -> None:
        """Count out a message that was counted in."""
        payload = message.payload
        if len(payload) > SHORT:
            times = self._times[id(payload)] - 1
            if times:
                self._times[id(payload)] = times
                size -= len(payload)
            else:
                del self._times[id(payload)]
        self.bytes -= size

    def more(self, message: Publish, size: int) -> int:
        """Return how many bytes ``add`` would count in."""
        return size - len(message.payload) if id(message.payload) in self._times else size


class Session:
    """The deliveries of one client that are not complete, in both directions.

    ``outgoing`` holds by packet identifier, in the order of sending, each PUBLISH that has not
    been acknowledged, without alias; and, once it has its PUBREC, the PUBREL in its place.
    ``incoming`` are the identifiers of QoS 2 messages that were taken and not yet released,
    ``keeping`` those of messages that are being kept, perhaps since a connection before this one.
    ``queue`` are messages that found no room in flight; whoever sends keeps it bounded:
    ``queued_bytes`` is about what they take; with what is in flight they are in ``tally``, which
    sessions share. A message in it may have its packet identifier
    already, which is ``reserved`` for it. ``settled`` is called with the identifier of each
    message that has been acknowledged, or that is dropped.

    For a session that outlives the hub, ``incoming`` with the identifiers of the messages being
    kept belongs into the same commit as those messages, and what a PUBREC or PUBREL changes is
    committed before it is acknowledged: so a crash makes nothing come twice at QoS 2.
    """

    __slots__ = (
        "_last_id",
        "client_id",
        "incoming",
        "keeping",
        "outgoing",
        "queue",
        "queued_bytes",
        "reserved",
        "settled",
        "tally",
    )

    def __init__(self, client_id: str, tally: Tally | None = None) -> None:
        self.client_id = client_id
        self.outgoing: dict[int, Publish | PubRel] = {}
        self.incoming: set[int] = set()
        self.keeping: set[int] = set()
        self.queue: deque[Queued] = deque()
        self.queued_bytes = 0
        self.reserved: set[int] = set()
        self.settled: Callable[[int], None] | None = None
        self.tally = tally or Tally()
        self._last_id = 0

    def free_packet_id(self) -> int:
        """Return a packet identifier that is not in use [MQTT-2.2.1-4]; there is one."""
        packet_id = self._last_id
        while True:
            packet_id = packet_id + 1 if packet_id < PACKET_IDS else 1
            if packet_id not in self.outgoing and packet_id not in self.reserved:
                self._last_id = packet_id
                return packet_id

    def reserve_packet_id(self) -> int:
        """Return a packet identifier that is kept for a message until it is taken back."""
        packet_id = self.free_packet_id()
        self.reserved.add(packet_id)
        return packet_id

    def put(self, queued: Queued) -> None:
        """Let a message wait behind the others."""
        size = queued.size
        self.queue.append(queued)
        self.queued_bytes += size
        self.tally.add(queued.message, size)

    def pull(self) -> Queued:
        """Take the message that has waited longest."""
        queued = self.queue.popleft()
        size = queued.size
        self.queued_bytes -= size
        self.tally.remove(queued.message, size)
        return queued

    def start(self, packet_id: int, message: Publish) -> None:
        """Note that a message of QoS 1 or 2 is in flight."""
        self.outgoing[packet_id] = message
        self.tally.add(message, size_of(message))

    def finish(self, packet_id: int) -> None:
        """Note that a message is in flight no more."""
        sent = self.outgoing.pop(packet_id, None)
        if isinstance(sent, Publish):
            self.tally.remove(sent, size_of(sent))

    def clear(self) -> None:
        """Forget all messages, since the session is over."""
        while self.queue:
            self.pull()
        for packet_id in list(self.outgoing):
            self.finish(packet_id)

    def release(self, packet_id: int) -> None:
        """Note that the client has a QoS 2 message, which must not be sent again.

        At the end: PUBRELs keep the order of the PUBRECs [MQTT-4.6.0-4].
        """
        self.finish(packet_id)
        self.outgoing[packet_id] = PubRel(packet_id)

    def released(self) -> list[int]:
        """Return the identifiers of the QoS 2 messages that the client has taken."""
        return [one for one, packet in self.outgoing.items() if isinstance(packet, PubRel)]


def session_expiry(connect: Connect) -> int | None:
    """Return how many seconds the session outlives its connection, None without end."""
    if connect.version is Version.V3_1_1:
        return 0 if connect.clean_start else None
    return seconds_kept(connect.properties.session_expiry_interval or 0)


def seconds_kept(interval: int) -> int | None:
    """Return a session expiry interval with None for the one that never ends (§3.1.2.11.2)."""
    return None if interval == 0xFFFFFFFF else interval
