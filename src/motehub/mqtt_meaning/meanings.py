"""From messages to what they mean: the one entry for the transports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from motehub.mqtt_meaning import own_topics
from motehub.mqtt_meaning.esphome import EspHome
from motehub.mqtt_meaning.gathering import READINGS, Client, Gathered, Message, Speaker, is_own
from motehub.mqtt_meaning.hearing import Hearing, Presences, Take
from motehub.mqtt_meaning.home_assistant import HomeAssistant
from motehub.mqtt_meaning.mappings import Rule
from motehub.mqtt_meaning.own_topics import Group, Series, Stamps
from motehub.mqtt_meaning.session_topics import HEARD
from motehub.mqtt_meaning.settings import MqttSettings, Preset
from motehub.mqtt_meaning.tasmota import Tasmota
from motehub.mqtt_meaning.values import numbers_of
from motehub.mqtt_meaning.zigbee2mqtt import Zigbee2Mqtt
from motehub.protocols import device_session

TOPICS: Final = 16_384
"""Most topics of which is remembered what they mean."""

TOPIC_LENGTH: Final = 256
"""Longest topic that is remembered."""


_ORDER: Final = (Preset.HOME_ASSISTANT, Preset.ZIGBEE2MQTT, Preset.TASMOTA, Preset.ESPHOME)


def _ignore(hearing: Hearing) -> None:
    """Take a message that means nothing to the hub."""


class _Part(Protocol):
    """A preset or a mapping: which topics it is about, and what they mean."""

    @property
    def filters(self) -> Sequence[str]:
        """Topic filters of all that it wants to hear."""
        ...

    def route(self, levels: list[str]) -> Take | None:
        """Return what a topic means, None if that is not for this part to say."""
        ...


class Meanings:
    """What topics mean, as the settings have it; one for each transport.

    The hub's own topics come first, then the owner's mappings in their order, then what
    programs have told about their topics, then the other presets.
    """

    def __init__(self, settings: MqttSettings | None = None) -> None:
        settings = settings or MqttSettings()
        self._routes: dict[str, Take] = {}
        self._renewed: set[str] = set()
        self._presences = Presences()
        self._parts: list[_Part] = [Rule(one) for one in settings.mapping]
        # What is learnt from messages that brokers retain.
        self._lessons: list[str] = []
        for preset in sorted(set(settings.presets), key=_ORDER.index):
            self._add(preset, settings)

    def _add(self, preset: Preset, settings: MqttSettings) -> None:
        if preset is Preset.HOME_ASSISTANT:
            discovery = HomeAssistant(settings.discovery_prefix, self._forget)
            self._parts.append(discovery)
            self._lessons += discovery.lessons
        elif preset is Preset.ZIGBEE2MQTT:
            zigbee = Zigbee2Mqtt(settings.zigbee2mqtt_topic)
            self._parts.append(zigbee)
            self._lessons += zigbee.lessons
        else:
            self._parts.append(Tasmota() if preset is Preset.TASMOTA else EspHome())

    @property
    def filters(self) -> list[str]:
        """Topic filters of all that means something: what to subscribe to at another broker.

        With discovery there may be more after any ``gather``.
        """
        own = [f"{READINGS}/#", *sorted(HEARD)]
        return [*own, *dict.fromkeys(f for part in self._parts for f in part.filters)]

    @property
    def lessons(self) -> list[str]:
        """Topic filters of what ``learn`` is to be given."""
        return self._lessons

    def learn(self, messages: Sequence[Message]) -> None:
        """Take what a broker has retained of ``lessons``, as when a transport begins.

        Only how to understand other messages is learnt of it.
        """
        client = Client("", "", vouched=False, may_write=lambda device: False, subscription=True)
        hearing = Hearing(Gathered(messages), client, 0, {}, Presences())
        for number, message in enumerate(messages):
            hearing.listen(number, message)
            self._find(message.topic)(hearing)

    def interrupted(self) -> None:
        """Forget who is online: the hub has been told that nobody is any more."""
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
            self._take_others(
                messages, others, Hearing(gathered, client, now, speakers, self._presences)
            )
        return gathered.finish()

    def _take_series(
        self,
        messages: Sequence[Message],
        client: Client,
        now: int,
        gathered: Gathered,
        speakers: dict[str, Speaker],
    ) -> dict[str, Take]:
        """Take the hub's own topics of which all messages are alike; return what others there are.

        Nearly all that ever comes is taken here, topic by topic.
        """
        payloads = [message.payload for message in messages]
        groups: dict[str, list[Any]] = {}
        # Mostly all are numbers, which is found out at once.
        numbers = numbers_of(payloads)
        for message, item in zip(messages, numbers or payloads, strict=True):
            topic = message.topic
            if topic in groups:
                groups[topic].append(item)
            else:
                groups[topic] = [item]
        others: dict[str, Take] = {}
        routes, may_write = self._routes, client.may_write
        stamps = Stamps(now)
        for topic, items in groups.items():
            take = routes[topic] if topic in routes else self._find(topic)
            if not isinstance(take, (Series, Group)):
                if take is not _ignore:
                    others[topic] = take
                continue
            device = take.device
            records = take.records_of(items, numbers is None, stamps) if may_write(device) else None
            if records is None:
                others[topic] = take
                continue
            speaker = speakers.get(device)
            if speaker is None:
                speaker = speakers[device] = gathered.speaker(take.source_of(client))
            for record in records:
                speaker.said.append(record)
                speaker.numbers.append(topic)
        return others

    def _take_others(
        self, messages: Sequence[Message], others: dict[str, Take], hearing: Hearing
    ) -> None:
        """Take the messages on ``others`` one by one, in their order."""
        self._renewed.clear()
        for number, message in enumerate(messages):
            topic = message.topic
            # One message may have told what those behind it mean.
            take = self._find(topic) if topic in self._renewed else others.get(topic)
            if take is not None:
                hearing.listen(number, message)
                take(hearing)

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
        if levels[0] == READINGS:
            take = own_topics.route(levels)
            if take is not None:
                return take
        # As for wildcards [MQTT-4.7.2-1]: what a broker says about itself is no device's.
        if not topic.startswith("$") and topic not in device_session.TOPICS:
            for part in self._parts:
                take = part.route(levels)
                if take is not None:
                    return take
        return _ignore

    def _forget(self, topic: str) -> None:
        """Look anew what the topic means, unless that can't be told."""
        if not is_own(topic):
            self._routes.pop(topic, None)
            self._renewed.add(topic)
