"""What the hub must not forget about its session at another broker: kept in the journal."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from motehub.transports._mqtt_client_messages import Arrived, Event, Released

LESSONS: Final = 5_000
"""Most messages that are kept from which the hub has learnt what others mean."""

LESSON_BYTES: Final = 1_048_576
"""Longest such message."""

_KEY: Final = "mqtt_client/"
_CLIENT_ID: Final = f"{_KEY}client_id"
_SESSION: Final = f"{_KEY}session"
_FILTERS: Final = f"{_KEY}filters"
_RECEIVED: Final = f"{_KEY}received/"
_LESSON: Final = f"{_KEY}lesson/"

_encode = msgspec.msgpack.Encoder().encode
_decode_filters = msgspec.msgpack.Decoder(list[str]).decode

Changes = dict[str, bytes | None]


class Memory:
    """State that changes with the commits that it belongs to.

    ``received`` are the packet ids of messages of QoS 2 that are stored and not released yet: when
    the broker sends one again, it is not stored twice. ``filters`` are those of the session's
    subscriptions, in the order in which they were made.
    """

    def __init__(self, state: Mapping[str, bytes]) -> None:
        known = state.get(_CLIENT_ID)
        self.client_id = known.decode() if known else f"motehub-{secrets.token_hex(6)}"
        self._is_new = known is None
        self._session = state.get(_SESSION, b"")
        self.received = {
            int(key.removeprefix(_RECEIVED)) for key in state if key.startswith(_RECEIVED)
        }
        found = state.get(_FILTERS)
        self.filters = _decode_filters(found) if found else []
        self._lessons = {
            key.removeprefix(_LESSON): value
            for key, value in state.items()
            if key.startswith(_LESSON)
        }

    @property
    def lessons(self) -> list[Arrived]:
        """What has been learnt from, as it came."""
        return [Arrived(topic, payload, retain=True) for topic, payload in self._lessons.items()]

    def begin(self, session: str, *, is_resumed: bool) -> Changes:
        """Note which session it is; forget what belongs to another, or to one that is over."""
        changes: Changes = {}
        if self._is_new:
            changes[_CLIENT_ID] = self.client_id.encode()
            self._is_new = False
        name = session.encode()
        if not is_resumed or name != self._session:
            changes |= {f"{_RECEIVED}{packet_id}": None for packet_id in self.received}
            self.received.clear()
            if self.filters:
                changes |= self.keep_filters([])
        if name != self._session:
            changes[_SESSION] = self._session = name
        return changes

    def is_stored(self, message: Arrived) -> bool:
        """Tell whether the broker sends a message of QoS 2 again that is stored already.

        [MQTT-3.3.1-1]: it says so itself. A new one with the same packet id is no repetition.
        """
        return message.qos == 2 and message.dup and message.packet_id in self.received

    def keep(self, events: Iterable[Event]) -> Changes:
        """Note which messages of QoS 2 are stored from now on, and which are released."""
        changes: Changes = {}
        for one in events:
            if isinstance(one, Released):
                if one.packet_id in self.received:
                    self.received.discard(one.packet_id)
                    changes[f"{_RECEIVED}{one.packet_id}"] = None
            elif one.qos == 2 and one.packet_id not in self.received:
                self.received.add(one.packet_id)
                changes[f"{_RECEIVED}{one.packet_id}"] = b""
        return changes

    def keep_filters(self, filters: list[str]) -> Changes:
        """Note to what the session has subscribed."""
        self.filters = filters
        return {_FILTERS: _encode(filters)}

    def keep_lessons(self, messages: Iterable[Arrived]) -> Changes:
        """Keep what others are understood by; an empty payload takes one back."""
        changes: Changes = {}
        for one in messages:
            key = f"{_LESSON}{one.topic}"
            if not one.payload:
                if self._lessons.pop(one.topic, None) is not None:
                    changes[key] = None
            elif self._lessons.get(one.topic) != one.payload and self._has_room(one):
                self._lessons[one.topic] = one.payload
                changes[key] = one.payload
        return changes

    def _has_room(self, lesson: Arrived) -> bool:
        if len(lesson.payload) > LESSON_BYTES:
            return False
        return lesson.topic in self._lessons or len(self._lessons) < LESSONS
