"""From messages to what they mean: the one entry for the transports."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

from motehub.model import Clock, Samples
from motehub.mqtt_meaning import own_topics
from motehub.mqtt_meaning.gathering import Client, Gathered, Message, Speaker
from motehub.mqtt_meaning.hearing import Hearing, Presences, Take
from motehub.mqtt_meaning.own_topics import Series
from motehub.mqtt_meaning.session_topics import HEARD
from motehub.mqtt_meaning.values import numbers_of

TOPICS: Final = 16_384
"""Most topics of which is remembered what they mean."""

TOPIC_LENGTH: Final = 256
"""Longest topic that is remembered."""


def _ignore(hearing: Hearing) -> None:
    """Take a message that means nothing to the hub."""


class Meanings:
    """What topics mean, as the settings have it; one for each transport."""

    def __init__(self) -> None:
        self._routes: dict[str, Take] = {}
        self._presences = Presences()

    @property
    def remembered(self) -> int:
        """How many topics are remembered."""
        return len(self._routes)

    def gather(self, messages: Sequence[Message], client: Client, now: int) -> Gathered:
        """Return what ``messages``, which ``client`` published and ``now`` (UTC µs) came, say.

        A message that means nothing to the hub is in no delivery.
        """
        gathered = Gathered(messages)
        speakers: dict[str, Speaker] = {}
        if client.subscription and any(message.retain for message in messages):
            # What is old has to be told apart: each message is looked at.
            others = {topic: self._find(topic) for topic in {one.topic for one in messages}}
        else:
            others = self._take_series(messages, client, now, gathered, speakers)
        if others:
            hearing = Hearing(gathered, client, now, speakers, self._presences)
            for number, message in enumerate(messages):
                take = others.get(message.topic)
                if take is not None:
                    hearing.listen(number, message)
                    take(hearing)
        return gathered.finish()

    def _take_series(
        self,
        messages: Sequence[Message],
        client: Client,
        now: int,
        gathered: Gathered,
        speakers: dict[str, Speaker],
    ) -> dict[str, Take]:
        """Take the topics of which all messages are numbers; return what others there are.

        Nearly all that ever comes is taken here, topic by topic.
        """
        groups: dict[str, list[bytes]] = {}
        for message in messages:
            topic = message.topic
            if topic in groups:
                groups[topic].append(message.payload)
            else:
                groups[topic] = [message.payload]
        others: dict[str, Take] = {}
        routes = self._routes
        # One moment for all; columns of one length share theirs.
        stamps: dict[int, array[int]] = {}
        for topic, payloads in groups.items():
            take = routes[topic] if topic in routes else self._find(topic)
            if not isinstance(take, Series):
                if take is not _ignore:
                    others[topic] = take
                continue
            values = numbers_of(payloads) if client.may_write(take.device) else None
            if values is None:
                others[topic] = take
                continue
            device, count = take.device, len(payloads)
            speaker = speakers.get(device)
            if speaker is None:
                speaker = speakers[device] = gathered.speaker(take.source_of(client))
            times = stamps.get(count)
            if times is None:
                times = stamps[count] = array("q", (now,)) * count
            speaker.say(Samples(take.metric, "", times, values, Clock.HUB), topic)
        return others

    def _find(self, topic: str) -> Take:
        """Return what a topic means, and remember it."""
        take = self._route(topic)
        if len(topic) <= TOPIC_LENGTH:
            if len(self._routes) >= TOPICS:
                self._routes.clear()
            self._routes[topic] = take
        return take

    def _route(self, topic: str) -> Take:
        if topic in HEARD:
            return Hearing.take_session
        levels = topic.split("/")
        if levels[0] == own_topics.READINGS:
            return own_topics.route(levels) or _ignore
        return _ignore
