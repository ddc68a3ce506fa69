"""Home Assistant's discovery: programs tell on which topics their sensors speak, and how."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from motehub.mqtt_meaning.discovery import Availability, Bad, Entity, entities_in
from motehub.mqtt_meaning.hearing import Hearing, Take
from motehub.mqtt_meaning.naming import normal_unit
from motehub.mqtt_meaning.objects import decode_object, reading_of
from motehub.mqtt_meaning.templates import Payload
from motehub.mqtt_meaning.values import NoReading, number_of

CONFIGS: Final = 5_000
"""Most configurations that are known at a time; further ones are not taken."""

ENTITIES: Final = 20_000
"""Most sensors of all of them together."""

_UNKNOWN: Final = frozenset({"", "none", "null", "nan", "unknown", "unavailable"})


class _Config(msgspec.Struct, frozen=True):
    """What one configuration message says."""

    digest: bytes
    entities: list[Entity]


class HomeAssistant:
    """What configurations say, for as long as they are not replaced or deleted.

    ``changed`` is called with each topic that means something else from now on.
    """

    def __init__(self, prefix: str, changed: Callable[[str], object]) -> None:
        self._prefix = prefix.split("/")
        self._changed = changed
        self._configs: dict[str, _Config] = {}
        self._entities: dict[str, list[Entity]] = {}
        self._metrics: set[tuple[str, str]] = set()
        self._availability: dict[str, list[Availability]] = {}
        # By device, what each of its availability topics has said.
        self._available: dict[str, dict[str, bool]] = {}
        self.lessons: Final = (f"{prefix}/+/+/config", f"{prefix}/+/+/+/config")

    @property
    def filters(self) -> tuple[str, ...]:
        """The configurations, and the topics that they have told of."""
        return (*self.lessons, *sorted({*self._entities, *self._availability}))

    def route(self, levels: list[str]) -> Take | None:
        """Return what a topic means, if it is a configuration or one has told of it."""
        base = len(self._prefix)
        if levels[:base] == self._prefix and levels[-1] == "config":
            rest = levels[base:-1]
            if len(rest) in (2, 3):
                return partial(self._learn, rest)
        topic = "/".join(levels)
        if topic in self._entities or topic in self._availability:
            return self._take
        return None

    def _learn(self, levels: list[str], hearing: Hearing) -> None:
        """Take a configuration; an empty one deletes that of the topic."""
        topic = hearing.topic
        digest = hashlib.sha256(hearing.payload).digest()
        known = self._configs.get(topic)
        if known is not None:
            if known.digest == digest:
                return
            del self._configs[topic]
            for entity in known.entities:
                self._unlink(entity)
        if not hearing.payload:
            return
        if len(self._configs) >= CONFIGS or len(self._metrics) >= ENTITIES:
            hearing.reject(None, f"there are {len(self._configs):,} configurations already")
            return
        try:
            fields = decode_object(hearing.payload)
        except NoReading as fault:
            hearing.reject(None, str(fault))
            return
        found = list(entities_in(levels, fields))
        for bad in found:
            if isinstance(bad, Bad):
                hearing.reject(None, f"{bad.name[:80]!r} is left out: {bad.reason}")
        entities = [self._link(one) for one in found if isinstance(one, Entity)]
        self._configs[topic] = _Config(digest, entities)

    def _link(self, entity: Entity) -> Entity:
        """Index an entity; a metric that another of the device has gets the entity's own id."""
        if (entity.device, entity.metric) in self._metrics:
            entity = msgspec.structs.replace(entity, metric=entity.other_metric)
        self._metrics.add((entity.device, entity.metric))
        self._entities.setdefault(entity.topic, []).append(entity)
        self._changed(entity.topic)
        for one in entity.availability:
            self._availability.setdefault(one.topic, []).append(one)
            self._changed(one.topic)
        return entity

    def _unlink(self, entity: Entity) -> None:
        self._metrics.discard((entity.device, entity.metric))
        self._remove(self._entities, entity.topic, entity)
        for one in entity.availability:
            self._remove(self._availability, one.topic, one)

    def _remove(self, table: dict[str, list[Any]], topic: str, one: object) -> None:
        table[topic].remove(one)
        if not table[topic]:
            del table[topic]
            self._changed(topic)

    def _take(self, hearing: Hearing) -> None:
        """Take a message on a topic that configurations have told of."""
        payload = Payload(hearing.payload)
        for told in {one.device: one for one in self._availability.get(hearing.topic, ())}.values():
            self._take_availability(told, payload, hearing)
        for entity in self._entities.get(hearing.topic, ()):
            try:
                _take_state(entity, payload, hearing)
            except NoReading as fault:
                hearing.reject(entity.device, f"{entity.metric}: {fault}")

    def _take_availability(self, told: Availability, payload: Payload, hearing: Hearing) -> None:
        try:
            text = _text(told.evaluate(payload))
        except NoReading:
            return
        if text not in (told.online, told.offline):
            return
        said = self._available.setdefault(told.device, {})
        said[hearing.topic] = text == told.online
        hearing.tell_presence(told.device, all(said.values()))


def _take_state(entity: Entity, payload: Payload, hearing: Hearing) -> None:
    value = entity.evaluate(payload)
    if value is None or (isinstance(value, str) and value.strip().lower() in _UNKNOWN):
        return
    hearing.hear(entity.device)
    if entity.switch is not None:
        state = entity.switch.get(_text(value))
        if state is None:
            raise NoReading(f"{_text(value)[:40]!r} is neither of its two states")
        hearing.put(entity.device, entity.metric, "", state)
        return
    if isinstance(value, str):
        try:
            value = number_of(value)
        except NoReading:
            if entity.unit:
                raise
    reading = reading_of(value)
    if isinstance(reading, str):
        hearing.put(entity.device, entity.metric, "", reading)
    else:
        number, unit = normal_unit(reading, entity.unit)
        hearing.put(entity.device, entity.metric, unit, number)


def _text(value: object) -> str:
    """Return a value as states are compared: Home Assistant writes booleans with a capital."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).casefold().strip()
