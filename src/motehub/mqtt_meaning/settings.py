"""Section ``[mqtt]`` of the configuration: what topics mean beside the hub's own."""

from __future__ import annotations

import enum
import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from motehub.mqtt_meaning.objects import parse_path
from motehub.protocols.mqtt.topics import filter_fault, name_fault

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
    """One value in a payload: where it is, and what it means."""

    path: Annotated[
        str,
        Meta(description='Where the value is in a JSON payload: "sensors[0].temperature".'),
    ] = ""
    metric: Annotated[str, Meta(description='Its metric; "{level}" is a level of the topic.')] = ""
    unit: Annotated[str, Meta(description="Its unit; °F is converted to °C.")] = ""
    scale: Annotated[float, Meta(description="What the number is multiplied by.")] = 1.0
    offset: Annotated[float, Meta(description="What is added to it then.")] = 0.0
    values: Annotated[
        dict[str, float], Meta(description='Numbers for texts: {"ON" = 1, "OFF" = 0}.')
    ] = {}

    def __post_init__(self) -> None:
        """Check the path.

        Raises:
            ValueError: it is none.
        """
        if self.path:
            parse_path(self.path)


class MappingSettings(FieldSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A section ``[[mqtt.mapping]]``: topics, and what their payloads mean."""

    topic: Annotated[
        str,
        Meta(description='Its topics, with names for levels: "weather/{device}/{metric}"; +, #.'),
    ]
    device: Annotated[
        str,
        Meta(description='The device: of levels of the topic, or "{$.path}" of a JSON payload.'),
    ] = "{device}"
    time: Annotated[
        str, Meta(description="Where the time is in a JSON payload (ISO 8601 or seconds).")
    ] = ""
    online: Annotated[
        str, Meta(description="The payload that tells that the device is connected.")
    ] = ""
    offline: Annotated[str, Meta(description="And that it is not; such topics have no values.")] = (
        ""
    )
    fields: Annotated[
        list[FieldSettings],
        Meta(
            description='Several values: [{path = "t", metric = "temperature"}], and each may have '
            "unit, scale, offset, values."
        ),
    ] = []

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
            description="Other topics, and what they mean: one such section for each, "
            'without the "#".'
        ),
    ] = []

    def __post_init__(self) -> None:
        """Check the topics.

        Raises:
            ValueError: one is none.
        """
        for key in ("zigbee2mqtt_topic", "discovery_prefix"):
            if fault := name_fault(getattr(self, key)):
                raise ValueError(f"{key}: {fault}")
