"""To which topic filters the hub subscribes at another broker, and what came twice for that."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

from motehub.mqtt_meaning.session_topics import HEARD
from motehub.protocols.mqtt.topics import SHARE_PREFIX, split_share
from motehub.security.mqtt_patterns import TopicSet
from motehub.transports._mqtt_client_messages import Arrived

_REMEMBERED: Final = 16_384
# §3.8.2.1.2: the greatest subscription identifier.
_GREATEST: Final = 268_435_455


def identifier_of(topic_filter: str) -> int:
    """Return the subscription identifier of a filter: always the same, also after a restart."""
    return zlib.crc32(topic_filter.encode()) % _GREATEST + 1


def wanted(
    filters: Sequence[str], lessons: Sequence[str], share: str, *, device_sessions: bool
) -> list[str]:
    """Return what to subscribe to, for all that means something.

    With the name of a group in ``share``, each message goes to one of its hubs; only what a hub
    learns from goes to all, and device sessions to whoever asks for them.
    """
    plain = [one for one in filters if one not in HEARD or device_sessions]
    if not share:
        return _without_covered(plain)
    alone = [*lessons, *(one for one in plain if one in HEARD)]
    others = [one for one in plain if one not in alone]
    prefix = f"{SHARE_PREFIX}{share}/"
    return [*_without_covered(alone), *(f"{prefix}{one}" for one in _without_covered(others))]


def overlapping(filters: Sequence[str]) -> set[str]:
    """Return the filters that match topics of which another one matches some too.

    Only these need identifiers, which cost the driver as much as the rest of a message.
    """
    plain = [split_share(one)[1] for one in filters]
    wide = [number for number, one in enumerate(plain) if "+" in one or "#" in one]
    sets = {number: TopicSet(None, [plain[number]]) for number in wide}
    found: set[str] = set()
    for number, one in enumerate(plain):
        for other in wide:
            if other != number and sets[other].denies(one):
                found |= {filters[number], filters[other]}
    return found


class Repeats:
    """Finds messages that come once for each of several subscriptions that overlap.

    Brokers may send one copy for each [MQTT-3.3.4-3]. Only that for the oldest subscription
    counts: whatever has waited in the session has come for that too. ``filters`` are in that
    order; those that are not shared come before the shared ones.
    """

    def __init__(self, filters: Sequence[str] = ()) -> None:
        ordered = sorted(filters, key=lambda one: one.startswith(SHARE_PREFIX))
        self._identifiers = [identifier_of(one) for one in ordered]
        self._known = set(self._identifiers)
        plain = [split_share(one)[1] for one in ordered]
        # There may be thousands without wildcards, which need not be tried one after the other.
        self._exact = {one: place for place, one in reversed([*enumerate(plain)])}
        self._wide = [
            (place, TopicSet([one])) for place, one in enumerate(plain) if "+" in one or "#" in one
        ]
        self._first: dict[str, int] = {}

    def is_repeated(self, message: Arrived) -> bool:
        """Tell whether another copy of the message counts."""
        came_for = message.subscriptions
        if not came_for or not self._known.issuperset(came_for):
            # Of a subscription that is no more: there may be no other copy.
            return False
        return self._first_for(message.topic) not in came_for

    def _first_for(self, topic: str) -> int:
        first = self._first.get(topic)
        if first is None:
            places = [place for place, topics in self._wide if topics.has(topic)][:1]
            if topic in self._exact:
                places.append(self._exact[topic])
            first = self._identifiers[min(places)] if places else 0
            if len(self._first) >= _REMEMBERED:
                self._first.clear()
            self._first[topic] = first
        return first


def _without_covered(filters: Sequence[str]) -> list[str]:
    """Return the filters without those whose topics all match another one."""
    wide = [one for one in dict.fromkeys(filters) if "+" in one or "#" in one]
    kept: list[str] = []
    for number, one in enumerate(wide):
        # Of two that match the same topics, the first stays.
        others = [*kept, *(later for later in wide[number + 1 :])]
        if not TopicSet(others).covers(one) or not others:
            kept.append(one)
    covered = TopicSet(kept)
    return [one for one in dict.fromkeys(filters) if one in kept or not covered.has(one)]
