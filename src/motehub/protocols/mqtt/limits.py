"""What a client may ask of the broker over one connection, and what the broker remembers."""

from __future__ import annotations

import enum

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """What a client is told and held to; sizes in bytes, the time-out in seconds.

    ``window`` bounds the messages in flight to a client, which may ask for fewer.
    """

    receive_maximum: int = 100
    maximum_packet_size: int = 1_048_576
    topic_alias_maximum: int = 10
    connect_timeout: int = 10
    window: int = 100


class Overflow(enum.Enum):
    """What becomes of messages for a client whose queue is full; either way they are counted."""

    DROP_OLDEST = "drop oldest"
    DROP_NEWEST = "drop newest"


class BrokerLimits(msgspec.Struct, frozen=True):
    """Bounds of what the broker remembers.

    ``sessions`` in all, ``subscriptions`` of each, ``messages`` and ``bytes`` waiting for each
    with what happens beyond, ``retained`` messages of ``retained_bytes`` in all;
    ``session_expiry`` is the longest time in seconds that a session outlives its connection.
    ``total_bytes`` may wait for all clients together, or be in flight to them.
    """

    sessions: int = 20_000
    subscriptions: int = 1_000
    messages: int = 10_000
    bytes: int = 16_000_000
    overflow: Overflow = Overflow.DROP_OLDEST
    retained: int = 10_000
    session_expiry: int = 30 * 86_400
    retained_bytes: int = 64_000_000
    total_bytes: int = 268_435_456
