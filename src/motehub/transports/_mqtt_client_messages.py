"""What comes from another broker and wants to be acknowledged."""

from __future__ import annotations

import msgspec


class Arrived(msgspec.Struct, frozen=True):
    """A PUBLISH; ``subscriptions`` are the identifiers of those that it came for, if known."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    subscriptions: tuple[int, ...] = ()


class Released(msgspec.Struct, frozen=True):
    """A PUBREL: the broker will not send the message of QoS 2 with that packet id again."""

    packet_id: int


Event = Arrived | Released
