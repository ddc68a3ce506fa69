"""What a dashboard asks of a base unit: the event ``update.request`` on ``private-requests``.

A motehub answers another: what became of a request comes back as a client event.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from motehub.protocols.pusher.messages import Message, Unreadable

REQUESTS: Final = "private-requests"
"""The channel on which base units are told what to do."""

UPDATE: Final = "update.request"
"""The event that asks for a payload to be given to a unit."""

ANSWER: Final = "client-update.answer"
"""The event with which a base unit tells a dashboard what became of requests."""

ANSWERS: Final = "answers"
"""What a base unit's request for a signature says, and the dashboard's answer to that.

The one will answer requests, the other will listen. Either leaves the other alone without it.
"""

MOST_ANSWERS: Final = 50
"""Answers in one event."""

REASON_LENGTH: Final = 200
"""Longest reason in an answer, in characters."""

PAYLOAD_BYTES: Final = 1_024
"""Longest payload in UTF-8 bytes."""

_ADDRESS: Final = 64
_ID: Final = 64
_EXCERPT: Final = 60


class UpdateRequest(msgspec.Struct, frozen=True):
    """Give ``payload`` to the unit at ``ip``.

    ``id`` and ``seconds`` are motehub's additions: one that comes twice has the same id, "" for
    none, and it has so long to be carried out, None for the usual time.
    """

    ip: str
    payload: str
    id: str = ""
    seconds: float | None = None


class State(enum.Enum):
    """What became of a request; ``SENT`` and ``FAILED`` are its end."""

    TAKEN = "taken"
    """The base unit keeps it durably, and will say what becomes of it."""
    SENT = "sent"
    """The unit has got it."""
    FAILED = "failed"
    """The unit can't be told, and why."""
    UNKNOWN = "unknown"
    """The base unit has no such unit."""


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of the request with that id."""

    id: str
    state: State
    reason: str = ""


class _Answers(msgspec.Struct, frozen=True):
    answers: list[Answer]


class _Fields(msgspec.Struct, frozen=True):
    ip: str
    payload: str
    id: str | int | None = None
    # Of another dashboard it may mean anything.
    seconds: Any = None


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
    return UpdateRequest(fields.ip, fields.payload, id_, _seconds_of(fields.seconds))


def answers_data(answers: Iterable[Answer]) -> dict[str, Any]:
    """Return the data of an event with answers, ``MOST_ANSWERS`` at most."""
    return {"answers": list(answers)}


def read_answers(message: Message) -> Sequence[Answer]:
    """Return the answers in ``message``; reasons are one line of visible characters.

    Raises:
        Unreadable: there are none.
    """
    found = message.read(_Answers).answers
    if len(found) > MOST_ANSWERS:
        raise Unreadable(f"{len(found)} answers in one event; {MOST_ANSWERS} may be")
    return [msgspec.structs.replace(one, reason=_visible(one.reason)) for one in found]


def _visible(text: str) -> str:
    shown = (one if one.isprintable() else " " for one in text[:REASON_LENGTH])
    return "".join(shown)


def _seconds_of(found: object) -> float | None:
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found) if 0 < found < math.inf else None


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
