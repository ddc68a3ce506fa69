"""What the broker remembers of a client beyond its connection: session, subscriptions, will."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import msgspec
from msgspec.structs import replace

from motehub.protocols.mqtt.packets import NO_PUBLISH, Publish, Subscription, Will
from motehub.protocols.mqtt.properties import PublishProperties
from motehub.protocols.mqtt.reason_codes import ReasonCode
from motehub.protocols.mqtt.session import MICROSECONDS, PACKET_IDS, Queued, Session, Tally, size_of

# Some are left for what is under way.
_MOST_IDS: Final = PACKET_IDS - 1_000


class Link(Protocol):
    """The connection of a member, as far as the broker cares."""

    def send(self, message: Publish, now: int, expires: int | None) -> bool:
        """Send a message or queue it in the session; False when it is dropped."""
        ...

    def supersede(self, now: int) -> None:
        """Send the client away, since another connection takes the session over."""
        ...

    def confirm(self, message: Publish, reason: ReasonCode) -> None:
        """Acknowledge a message that a connection before this one had kept, if it came again."""
        ...

    def dismiss(self, now: int) -> None:
        """Tell the client that the broker stops; what it has sent is stored all the same."""
        ...

    def look(self, now: int) -> None:
        """Send the client away if it has lost the rights that it connected with."""
        ...


class Grant(msgspec.Struct, frozen=True, gc=False):
    """A subscription in force; ``identifier`` is what its messages carry (§3.8.2.1.2)."""

    subscription: Subscription
    identifier: int | None = None


class Chunk(msgspec.Struct, gc=False):
    """Messages that became durable for a member in one commit.

    ``open`` are the packet identifiers of those that are not settled, ``done`` those that are:
    after a crash they must not be sent again while the chunk is there. ``bodies`` are the
    numbers of those that it refers to.
    """

    open: set[int]
    done: list[int]
    bodies: tuple[int, ...] = ()


class Testament:
    """What a client wants to be published if it goes without a word.

    ``due`` is when (UTC µs), None while it is connected; ``number`` under which it is kept, None
    while it is kept with the session.
    """

    __slots__ = ("due", "member", "number", "will")

    def __init__(
        self, member: Member, will: Will, due: int | None = None, number: int | None = None
    ) -> None:
        self.member = member
        self.will = will
        self.due = due
        self.number = number


class Member:
    """A client by its identifier; ``link`` is None while it is away.

    ``expiry`` is how many seconds the session outlives a connection, None without end. ``ends``
    is when a member that is away is forgotten (µs); ``testament`` is its will.
    ``planned`` messages are on their way to its session; ``dropped`` found no room there.
    ``user`` is whose session it is, ``context`` what the transport remembers of the client.
    ``may_receive`` tells for a topic whether its messages may be passed on, None for any.
    """

    __slots__ = (
        "_done",
        "_finished",
        "_next_chunk",
        "_planned_bytes",
        "chunks",
        "client_id",
        "context",
        "dropped",
        "ends",
        "expiry",
        "fresh",
        "grants",
        "keeping",
        "kept",
        "link",
        "longest",
        "may_receive",
        "planned",
        "releasing",
        "session",
        "testament",
        "user",
    )

    def __init__(self, client_id: str, expiry: int | None, tally: Tally | None = None) -> None:
        self.client_id = client_id
        self.expiry = expiry
        self.longest = expiry or 0
        self.session = Session(client_id, tally)
        self.grants: dict[str, Grant] = {}
        self.link: Link | None = None
        self.ends: int | None = None
        self.testament: Testament | None = None
        self.user = ""
        self.context: object = None
        self.may_receive: Callable[[str], bool] | None = None
        self.planned = self._planned_bytes = 0
        self.dropped = 0
        # QoS 2 identifiers from the client that are being kept, and those being released.
        self.keeping = self.session.keeping
        self.releasing: set[int] = set()
        # What has to be kept for the client: in the next commit, and what was before.
        self.fresh: list[Queued] = []
        self.chunks: dict[int, Chunk] = {}
        self.kept: dict[int, int] = {}
        # Of all chunks: what is done, and which are settled as a whole.
        self._done: set[int] = set()
        self._finished: list[int] = []
        self._next_chunk = 0

    def keep_for(self, expiry: int | None) -> None:
        """Let the session outlive its connection by ``expiry`` seconds, or as long as it may."""
        self.expiry = self.longest if expiry is None else min(expiry, self.longest)

    @property
    def is_durable(self) -> bool:
        """Whether the session outlives its connection, and so the hub."""
        return self.expiry != 0

    def is_over(self, now: int) -> bool:
        """Tell whether the session has outlived its connection for as long as it may."""
        return self.ends is not None and self.ends <= now

    @property
    def waiting(self) -> int:
        """How many messages wait for the client or its acknowledgement."""
        return len(self.session.queue) + len(self.session.outgoing) + self.planned

    @property
    def waiting_bytes(self) -> int:
        """About how many bytes those take that are not in flight."""
        return self.session.queued_bytes + self._planned_bytes

    @property
    def is_short_of_ids(self) -> bool:
        """Whether nearly all packet identifiers are taken.

        A client can bring that about that never acknowledges one of each commit's messages.
        """
        return len(self.session.reserved) >= _MOST_IDS

    def plan(self, message: Publish, expires: int | None, size: int) -> Publish:
        """Count a message in that will be delivered; one that has to be kept gets its number."""
        self.planned += 1
        self._planned_bytes += size
        self.session.tally.add(message, size)
        if not self.is_durable:
            return message
        packet_id = self.session.reserve_packet_id()
        message = replace(message, packet_id=packet_id)
        self.fresh.append(Queued(message, expires))
        return message

    def deliver(self, message: Publish, now: int, expires: int | None) -> None:
        """Send a planned message, or let it wait for the client."""
        if message.qos:
            size = size_of(message)
            self.planned -= 1
            self._planned_bytes -= size
            self.session.tally.remove(message, size)
        if self.link is not None:
            if not self.link.send(message, now, expires):
                self.dropped += 1
                if self.session.settled is not None:
                    self.session.settled(message.packet_id)
        elif message.qos and self.is_durable:
            self.session.put(Queued(message, expires))

    def drop_oldest(self) -> bool:
        """Make room for a newer message; False when everything is under way already."""
        queue = self.session.queue
        if not queue:
            return False
        self.settled(self.session.pull().message.packet_id)
        self.dropped += 1
        return True

    def begin_chunk(self) -> tuple[int, list[Queued]]:
        """Return the number of a new chunk, and what is in it."""
        fresh, self.fresh = self.fresh, []
        number = self._next_chunk
        self._next_chunk += 1
        self._index(number, fresh)
        return number, fresh

    def restore_chunk(
        self, number: int, queued: list[Queued], bodies: tuple[int, ...], released: set[int]
    ) -> None:
        """Take back what was kept under ``number``; ``released`` must not be sent again."""
        self._next_chunk = max(self._next_chunk, number + 1)
        self._index(number, queued)
        self.chunks[number].bodies = bodies
        for one in queued:
            old = one.message
            packet_id = old.packet_id
            self.session.reserved.add(packet_id)
            if packet_id not in released:
                # [MQTT-3.3.1-1]: it may have been sent.
                # Not ``replace``: there may be hundreds of thousands.
                topic, payload, told = old.topic, old.payload, old.properties
                again = Publish(topic, payload, old.qos, old.retain, True, packet_id, told)
                self.session.put(Queued(again, one.expires))
            elif old.qos == 2:
                self.session.release(packet_id)
            else:
                self.settled(packet_id)

    def settled(self, packet_id: int) -> None:
        """Take note that a message needs no more keeping."""
        number = self.kept.pop(packet_id, None)
        if number is None:
            return
        chunk = self.chunks[number]
        chunk.open.discard(packet_id)
        chunk.done.append(packet_id)
        self._done.add(packet_id)
        if not chunk.open:
            self._finished.append(number)

    def take_finished(self) -> dict[int, Chunk]:
        """Forget the chunks that are settled as a whole, and return them by their numbers."""
        finished = {number: self.chunks.pop(number) for number in self._finished}
        self._finished.clear()
        for chunk in finished.values():
            self.session.reserved.difference_update(chunk.done)
            self._done.difference_update(chunk.done)
        return finished

    def take_chunks(self) -> dict[int, Chunk]:
        """Forget all chunks, since nothing is kept for the client any more, and return them."""
        chunks, self.chunks = self.chunks, {}
        self.kept.clear()
        self._finished.clear()
        self._done.clear()
        return chunks

    def released(self) -> list[int]:
        """Return the identifiers of kept messages that must not be sent again."""
        return [*(one for one in self.session.released() if one in self.kept), *self._done]

    def incoming(self) -> list[int]:
        """Return the QoS 2 identifiers that are kept once the next commit is durable."""
        return sorted((self.session.incoming | self.keeping) - self.releasing)

    def _index(self, number: int, queued: list[Queued]) -> None:
        ids = {one.message.packet_id for one in queued}
        self.chunks[number] = Chunk(ids, [])
        self.kept.update(dict.fromkeys(ids, number))


def message_of(will: Will) -> Publish:
    """Return the message that a will is (§3.1.3.2)."""
    properties = will.properties
    told = PublishProperties(
        user_property=properties.user_property,
        payload_format_indicator=properties.payload_format_indicator,
        message_expiry_interval=properties.message_expiry_interval,
        content_type=properties.content_type,
        response_topic=properties.response_topic,
        correlation_data=properties.correlation_data,
    )
    if told == NO_PUBLISH:
        told = NO_PUBLISH
    return Publish(will.topic, will.payload, will.qos, will.retain, properties=told)


def expires_at(message: Publish, now: int) -> int | None:
    """Return when a message that arrives ``now`` is not worth delivering any more (µs)."""
    if message.properties is NO_PUBLISH:
        return None
    interval = message.properties.message_expiry_interval
    return None if interval is None else now + interval * MICROSECONDS
