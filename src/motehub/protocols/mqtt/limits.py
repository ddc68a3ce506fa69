"""What a client may ask of the broker over one connection."""

from __future__ import annotations

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
