"""Section ``[mqtt]`` of the configuration: what topics mean beside the hub's own."""

from __future__ import annotations

import enum
import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from motehub.mqtt_meaning.objects import parse_path
from motehub.protocols.mqtt.topics import filter_fault

LEVEL: Final = re.compile(r"\{([a-z_]+)\}")
"""A level of a mapping's topic that has a name."""

PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
"""What stands in a device or metric for a level or, after ``$``, for something in the payload."""


class Preset(enum.Enum):
    """Programs whose topics the hub understands by itself."""

    TASMOTA = "tasmota"
    ZIGBEE2MQTT = "zigbee2mqtt"
    ESPHOME = "esphome"
    HOME_ASSISTANT = "home_assistant"


class FieldSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One value in a payload: where it is, and what it means.

    The number is multiplied by ``scale``, then ``offset`` is added. ``values`` are the numbers
    for certain texts.
    """

    path: str = ""
    metric: str = ""
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    values: dict[str, float] = {}

    def __post_init__(self) -> None:
        """Check the path.

        Raises:
            ValueError: it is none.
        """
        if self.path:
            parse_path(self.path)


class MappingSettings(FieldSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A section ``[[mqtt.mapping]]``: topics, and what their payloads mean.

    ``time`` is the path of the time in the payload. ``fields`` are for payloads with several
    values. ``online`` and ``offline`` are payloads that tell whether the device is connected.
    """

    topic: str
    device: str = "{device}"
    time: str = ""
    online: str = ""
    offline: str = ""
    fields: list[FieldSettings] = []

    @property
    def filter(self) -> str:
        """The topic filter of all that the mapping is about."""
        return LEVEL.sub("+", self.topic)

    @property
    def levels(self) -> list[str]:
        """The names of levels."""
        return LEVEL.findall(self.topic)

    def __post_init__(self) -> None:
        """Check that topic, names and paths fit together.

        Raises:
            ValueError: they don't; the message says which.
        """
        super().__post_init__()
        if fault := filter_fault(self.filter):
            raise ValueError(f"topic {self.topic!r}: {fault}")
        if len(set(self.levels)) < len(self.levels):
            raise ValueError(f"topic {self.topic!r} has two levels of one name")
        for template in (self.device, self.metric, *(one.metric for one in self.fields)):
            self._check_template(template)
        if self.time:
            parse_path(self.time)
        if self.fields and (self.path or self.metric):
            raise ValueError("path and metric belong into the fields where there are fields")
        if any(not one.path or not one.metric for one in self.fields):
            raise ValueError("each of the fields needs a path and a metric")
        if bool(self.online) != bool(self.offline):
            raise ValueError("online and offline are needed together")
        whole = not (self.metric or self.fields or "metric" in self.levels)
        if whole and (self.path or self.unit or self.values or (self.scale, self.offset) != (1, 0)):
            raise ValueError("metric is missing: path, unit, scale, offset and values are of one")

    def _check_template(self, template: str) -> None:
        for name in PLACEHOLDER.findall(template):
            if name.startswith("$"):
                parse_path(name)
            elif name not in self.levels:
                raise ValueError(
                    f"{{{name}}} is no level of the topic {self.topic!r}; {{$.path}} would be "
                    "something in the payload"
                )


class MqttSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[mqtt]``."""

    presets: Annotated[
        list[Preset],
        Meta(
            description="Programs whose topics are understood: tasmota, zigbee2mqtt, esphome, "
            "home_assistant (discovery)."
        ),
    ] = []
    zigbee2mqtt_topic: Annotated[str, Meta(description="The base topic of Zigbee2MQTT.")] = (
        "zigbee2mqtt"
    )
    discovery_prefix: Annotated[
        str, Meta(description="Where programs describe themselves for Home Assistant.")
    ] = "homeassistant"
    mapping: Annotated[
        list[MappingSettings],
        Meta(
            description="Other topics, best written as sections [[mqtt.mapping]]: topic, device, "
            "metric, path, unit, scale, offset, values, time, online, offline, fields."
        ),
    ] = []
