"""Long contents of messages that wait for several sessions: kept once, whoever they wait for.

A firmware image for three hundred sessions would otherwise be three hundred images in one commit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

from motehub.protocols.mqtt.packets import NO_PUBLISH, Publish
from motehub.protocols.mqtt.session import SHORT, Queued

PREFIX: Final = "mqtt/body/"

Changes = dict[str, bytes | None]


class Body(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What of a message may be long."""

    payload: bytes
    user_property: tuple[tuple[str, str], ...] = ()


class Row(Queued, frozen=True, gc=False, omit_defaults=True):
    """A message as it is kept for one session; its ``body`` is kept under that number, if not 0."""

    body: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Body).decode


class Bodies:
    """Counts which bodies are kept, and how many messages refer to each.

    A body comes with the commit of all messages that refer to it and goes with that of the
    last: whatever a crash leaves fits together.
    """

    def __init__(self) -> None:
        self._uses: Counter[int] = Counter()
        self._last = 0
        self._restored: dict[int, Body] = {}

    def rows(self, chunks: Iterable[list[Queued]], changes: Changes) -> list[list[Row | Queued]]:
        """Return the messages of one commit as they are to be kept, with bodies in ``changes``.

        A body to which only one refers stays in it: that is one thing less to write.
        """
        chunks = list(chunks)
        shared = Counter(
            _identity(queued.message)
            for chunk in chunks
            for queued in chunk
            if _is_long(queued.message)
        )
        numbers: dict[tuple[int, int], int] = {}
        for identity, times in shared.items():
            if times > 1:
                self._last += 1
                numbers[identity] = self._last
                self._uses[self._last] = times
        if not numbers:
            return [[*chunk] for chunk in chunks]
        return [[self._row(queued, numbers, changes) for queued in chunk] for chunk in chunks]

    def release(self, numbers: Iterable[int], changes: Changes) -> None:
        """Note that messages are gone which referred to these bodies, each once."""
        for number in numbers:
            self._uses[number] -= 1
            if not self._uses[number]:
                del self._uses[number]
                changes[_key(number)] = None

    def restore(self, key: str, value: bytes) -> None:
        """Take back a body; ``whole`` is asked then for the messages that refer to it."""
        number = int(key[len(PREFIX) :], 16)
        self._restored[number] = _decode(value)
        self._last = max(self._last, number)

    def whole(self, row: Row) -> Queued:
        """Return a message that was kept, with its body."""
        if not row.body:
            return row
        self._uses[row.body] += 1
        body = self._restored[row.body]
        message, properties = row.message, row.message.properties
        if body.user_property:
            properties = replace(properties, user_property=body.user_property)
        return Queued(replace(message, payload=body.payload, properties=properties), row.expires)

    def end_restore(self) -> None:
        """Hold no contents any more: the messages do."""
        self._restored.clear()

    def _row(
        self, queued: Queued, numbers: dict[tuple[int, int], int], changes: Changes
    ) -> Row | Queued:
        message = queued.message
        number = numbers.get(_identity(message))
        if number is None:
            return queued
        properties = message.properties
        if _key(number) not in changes:
            changes[_key(number)] = _encode(Body(message.payload, properties.user_property))
        if properties.user_property:
            properties = replace(properties, user_property=())
        rest = replace(message, payload=b"", properties=properties)
        return Row(rest, queued.expires, body=number)


def bodies_of(rows: Iterable[Queued]) -> tuple[int, ...]:
    """Return the numbers of the bodies to which messages refer, each as often as they do."""
    return tuple(row.body for row in rows if isinstance(row, Row) and row.body)


def _identity(message: Publish) -> tuple[int, int]:
    """Return what the copies of a message have in common, however they differ in small things."""
    return id(message.payload), id(message.properties.user_property)


def _is_long(message: Publish) -> bool:
    if len(message.payload) > SHORT:
        return True
    properties = message.properties
    if properties is NO_PUBLISH or not properties.user_property:
        return False
    return sum(len(name) + len(value) for name, value in properties.user_property) > SHORT


def _key(number: int) -> str:
    return f"{PREFIX}{number:x}"
