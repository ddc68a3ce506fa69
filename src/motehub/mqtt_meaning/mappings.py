"""The owner's mappings: topics with named levels, and paths into their payloads."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from motehub.mqtt_meaning.hearing import Hearing, Take
from motehub.mqtt_meaning.naming import is_name, normal_unit
from motehub.mqtt_meaning.objects import (
    at_path,
    decode_json,
    decode_object,
    parse_path,
    reading_of,
    time_of,
)
from motehub.mqtt_meaning.own_topics import metrics_of, put_all
from motehub.mqtt_meaning.settings import LEVEL, PLACEHOLDER, FieldSettings, MappingSettings
from motehub.mqtt_meaning.values import NoReading, is_text_of, number_of, value_of

_WHOLE: Final[tuple[str | int, ...]] = ()


class _Template:
    """A name in which levels of the topic and parts of the payload are filled in."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._paths = {
            name: parse_path(name) for name in PLACEHOLDER.findall(text) if name.startswith("$")
        }
        self.needs_payload = bool(self._paths)

    def fill(self, levels: Mapping[str, str], payload: Any) -> str:
        """Return the name.

        Raises:
            NoReading: the payload has not what belongs into it.
        """
        found = dict(levels)
        for name, path in self._paths.items():
            try:
                value = at_path(payload, path)
            except LookupError:
                value = None
            if isinstance(value, bool) or not isinstance(value, str | int):
                raise NoReading(f"{name} names the device or metric, but is no text there")
            found[name] = str(value)
        return PLACEHOLDER.sub(lambda match: found[match[1]], self._text)


class _Field:
    """One value in a payload."""

    def __init__(self, settings: FieldSettings, metric: str) -> None:
        self._settings = settings
        self.metric = _Template(metric)
        self.path = parse_path(settings.path) if settings.path else _WHOLE
        self._is_number = bool(
            settings.unit or settings.values or (settings.scale, settings.offset) != (1, 0)
        )

    def convert(self, reading: float | str) -> tuple[float | str, str]:
        """Return the value in its unit.

        Raises:
            NoReading: it is a text where a number is expected.
        """
        settings = self._settings
        if settings.values:
            text = reading if isinstance(reading, str) else f"{reading:g}"
            if text in settings.values:
                return settings.values[text], settings.unit
        if isinstance(reading, str):
            if not self._is_number:
                return reading, ""
            reading = number_of(reading)
        value = reading * settings.scale + settings.offset
        return normal_unit(value, settings.unit)


class Rule:
    """A mapping, ready for use."""

    def __init__(self, settings: MappingSettings) -> None:
        self._settings = settings
        self._levels = settings.topic.split("/")
        self.filters: Final = (settings.filter,)
        self._device = _Template(settings.device)
        self._time = parse_path(settings.time) if settings.time else None
        metric = settings.metric or ("{metric}" if "metric" in settings.levels else "")
        self._fields = [_Field(one, one.metric) for one in settings.fields]
        if metric:
            self._fields = [_Field(settings, metric)]
        self._needs_json = bool(
            settings.fields
            or settings.path
            or settings.time
            or self._device.needs_payload
            or any(field.metric.needs_payload for field in self._fields)
        )

    def route(self, levels: list[str]) -> Take | None:
        """Return what a topic means, if it is one of the mapping's."""
        named: dict[str, str] = {}
        for position, pattern in enumerate(self._levels):
            if pattern == "#":
                return partial(self._take, named)
            if position == len(levels):
                return None
            level = levels[position]
            if name := LEVEL.fullmatch(pattern):
                if not is_name(level):
                    return None
                named[name[1]] = level
            elif pattern not in ("+", level):
                return None
        return partial(self._take, named) if len(levels) == len(self._levels) else None

    def _take(self, levels: dict[str, str], hearing: Hearing) -> None:
        device = None
        try:
            if self._settings.online:
                self._take_presence(self._name(levels, None), hearing)
                return
            payload = decode_json(hearing.payload) if self._needs_json else None
            device = self._name(levels, payload)
            self._take_readings(device, levels, payload, hearing)
        except NoReading as fault:
            hearing.reject(device, str(fault))

    def _name(self, levels: dict[str, str], payload: Any) -> str:
        device = self._device.fill(levels, payload)
        if not is_name(device):
            raise NoReading(f"{device[:40]!r} is no name for a device")
        return device

    def _take_presence(self, device: str, hearing: Hearing) -> None:
        for text, online in ((self._settings.online, True), (self._settings.offline, False)):
            if is_text_of(hearing.payload, text):
                hearing.tell_presence(device, online)
                return
        expected = f"{self._settings.online!r} or {self._settings.offline!r}"
        raise NoReading(f"the payload is not {expected}")

    def _take_readings(
        self, device: str, levels: dict[str, str], payload: Any, hearing: Hearing
    ) -> None:
        time = None
        if self._time is not None:
            try:
                time = time_of(at_path(payload, self._time))
            except LookupError:
                raise NoReading(f"there is no {self._settings.time} in it") from None
        hearing.hear(device)
        if not self._fields:
            put_all(hearing, device, metrics_of(decode_object(hearing.payload)), time)
        for field in self._fields:
            try:
                self._take_field(device, field, levels, payload, time, hearing)
            except NoReading as fault:
                hearing.reject(device, str(fault))

    def _take_field(
        self,
        device: str,
        field: _Field,
        levels: dict[str, str],
        payload: Any,
        time: int | None,
        hearing: Hearing,
    ) -> None:
        """Take one value, unless it is not there: programs leave out what they don't know.

        Raises:
            NoReading: it can't be taken.
        """
        metric = field.metric.fill(levels, payload)
        if not self._needs_json:
            reading = value_of(hearing.payload)
        else:
            try:
                value = at_path(payload, field.path)
            except LookupError:
                return
            if value is None:
                return
            try:
                reading = reading_of(value)
            except NoReading as fault:
                raise NoReading(f"{metric[:40]!r} {fault}") from None
        converted, unit = field.convert(reading)
        if not is_name(metric):
            raise NoReading(f"{metric[:40]!r} is no name for a metric")
        hearing.put(device, metric, unit, converted, time)
