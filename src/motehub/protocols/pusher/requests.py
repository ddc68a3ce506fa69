"""What a dashboard asks of a base unit: the event ``update.request`` on ``private-requests``."""

from __future__ import annotations

from typing import Final

import msgspec

from motehub.protocols.pusher.messages import Message, Unreadable

REQUESTS: Final = "private-requests"
"""The channel on which base units are told what to do."""

UPDATE: Final = "update.request"
"""The event that asks for a payload to be given to a unit."""

PAYLOAD_BYTES: Final = 1_024
"""Longest payload in UTF-8 bytes."""

_ADDRESS: Final = 64
_ID: Final = 64
_EXCERPT: Final = 60


class UpdateRequest(msgspec.Struct, frozen=True):
    """Give ``payload`` to the unit at ``ip``.

    ``id`` is motehub's addition: one that comes twice has the same. "" for none.
    """

    ip: str
    payload: str
    id: str = ""


class _Fields(msgspec.Struct, frozen=True):
    ip: str
    payload: str
    id: str | int | None = None


def read_request(message: Message) -> UpdateRequest:
    """Return what ``message`` asks for; its data is an object, or one in a string.

    Raises:
        Unreadable: it is not that, or the payload can't be given to a unit.
    """
    fields = message.read(_Fields)
    id_ = "" if fields.id is None else str(fields.id)
    if len(id_) > _ID or not (id_.isascii() and id_.isprintable()):
        raise Unreadable(f"id has more than {_ID} characters, or some that can't be seen")
    if len(fields.ip) > _ADDRESS:
        raise Unreadable(f"ip is no address: {fields.ip[:_EXCERPT]!r}…")
    if fault := _fault_of(fields.payload):
        raise Unreadable(f"payload for {fields.ip!r:.80}: {fault}")
    return UpdateRequest(fields.ip, fields.payload, id_)


def _fault_of(payload: str) -> str | None:
    try:
        size = len(payload.encode())
    except UnicodeEncodeError:
        return "it is not text: it has half of a character"
    if not 0 < size <= PAYLOAD_BYTES:
        return f"it has {size} bytes in UTF-8; it may have 1 to {PAYLOAD_BYTES}"
    # Another line would be another payload.
    if any(ord(character) < 0x20 or character == "\x7f" for character in payload):
        return "it is not one line of text: it has line ends or controls"
    return None
