"""What a connection asks of whoever uses it: packets to act on, and its end."""

from __future__ import annotations

import msgspec

from motehub.protocols.mqtt.packets import (
    Auth,
    Connect,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
    Unsubscribe,
)
from motehub.protocols.mqtt.reason_codes import ReasonCode


class Closed(msgspec.Struct, frozen=True):
    """The connection is over: write what is left, then close. ``will`` tells whether to publish it.

    ``session_expiry`` is how many seconds the session stays, None without end: a DISCONNECT may
    have changed it, and a 3.1.1 session that is kept has no end of its own.
    """

    reason_code: ReasonCode
    text: str
    will: bool
    session_expiry: int | None


Wanted = Publish | PubRec | PubRel
"""Packets that ``acknowledge`` answers."""

Event = (
    Connect | Auth | Publish | PubAck | PubRec | PubRel | PubComp | Subscribe | Unsubscribe | Closed
)
