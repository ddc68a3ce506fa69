"""What a configuration message of Home Assistant's discovery says, long or abbreviated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from motehub.mqtt_meaning.naming import is_name, metric_and_unit, snake_case
from motehub.mqtt_meaning.templates import Evaluate, NotUnderstood, parse_template, text_of
from motehub.protocols.mqtt.topics import name_fault

COMPONENTS: Final = frozenset({"sensor", "binary_sensor", "switch", "number"})
"""Those that have readings; others are not looked at."""

ENTITIES: Final = 500
"""Most components of a device that are taken from one message."""

_LONG: Final = {
    "avty": "availability",
    "avty_t": "availability_topic",
    "avty_tpl": "availability_template",
    "cmps": "components",
    "dev": "device",
    "dev_cla": "device_class",
    "ids": "identifiers",
    "p": "platform",
    "pl_avail": "payload_available",
    "pl_not_avail": "payload_not_available",
    "pl_off": "payload_off",
    "pl_on": "payload_on",
    "stat_off": "state_off",
    "stat_on": "state_on",
    "stat_t": "state_topic",
    "t": "topic",
    "unit_of_meas": "unit_of_measurement",
    "val_tpl": "value_template",
}
_UNIT_BYTES: Final = 32


class Availability(msgspec.Struct, frozen=True):
    """A topic that tells whether a device is connected, and with which two texts."""

    device: str
    topic: str
    evaluate: Evaluate
    online: str
    offline: str


class Entity(msgspec.Struct, frozen=True):
    """A sensor: where it speaks, and what is made of it.

    ``switch`` has the numbers of the two states of what has only those. ``other_metric`` is for
    when the metric is taken.
    """

    device: str
    metric: str
    other_metric: str
    unit: str
    topic: str
    evaluate: Evaluate
    switch: dict[str, float] | None
    availability: list[Availability]


class Bad(msgspec.Struct, frozen=True):
    """A component that can't be taken, and why."""

    name: str
    reason: str


class _Fault(ValueError):
    """Why a component can't be taken."""


def entities_in(levels: list[str], fields: dict[str, Any]) -> Iterator[Entity | Bad]:
    """Yield what a configuration tells of.

    ``levels`` are those of its topic between prefix and ``config``: the component, perhaps a
    node, and the object. The component ``device`` has several components in it.
    """
    component, node, name = levels[0], levels[-2] if len(levels) == 3 else "", levels[-1]
    config = _expand(fields)
    if component != "device":
        if component in COMPONENTS:
            yield _entity(component, node, name, config)
        return
    shared = {key: value for key, value in config.items() if key != "components"}
    parts = config.get("components")
    for key, part in list(parts.items() if isinstance(parts, dict) else ())[:ENTITIES]:
        if isinstance(part, dict):
            own = shared | _expand(part)
            platform = own.get("platform")
            # Without anything but its platform, a component is deleted.
            if platform in COMPONENTS and part.keys() - {"p", "platform"}:
                yield _entity(str(platform), node or name, key, own)


def _expand(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the members by their long names, with the base topic put in."""
    base = fields.get("~")
    found = {}
    for key, value in fields.items():
        name = _LONG.get(key, key)
        if isinstance(base, str) and name.endswith("topic"):
            value = _with_base(value, base)
        elif name == "device" and isinstance(value, dict):
            value = {_LONG.get(key, key): one for key, one in value.items()}
        elif name == "availability" and isinstance(value, list):
            entries = [_expand({"~": base} | one) for one in value if isinstance(one, dict)]
            value = entries
        found[name] = value
    return found


def _with_base(topic: Any, base: str) -> Any:
    if isinstance(topic, str) and topic.startswith("~"):
        return base + topic[1:]
    if isinstance(topic, str) and topic.endswith("~"):
        return topic[:-1] + base
    return topic


def _entity(component: str, node: str, name: str, config: dict[str, Any]) -> Entity | Bad:
    try:
        return _checked(component, node, name, config)
    except _Fault as fault:
        return Bad(name, str(fault))


def _checked(component: str, node: str, name: str, config: dict[str, Any]) -> Entity:
    topic = config.get("state_topic")
    if not isinstance(topic, str) or name_fault(topic):
        raise _Fault("it has no state topic")
    device = _device_of(config, node, name)
    prefixes = [device, node, *_identifiers(config)]
    other = metric_and_unit(_without(name, prefixes))[0]
    given = config.get("name")
    metric = metric_and_unit(_without(given, prefixes))[0] if isinstance(given, str) else other
    unit = config.get("unit_of_measurement")
    switch = None
    if component in ("binary_sensor", "switch"):
        on, off = (
            config.get(f"state_{one}", config.get(f"payload_{one}", one)) for one in ("on", "off")
        )
        switch = {str(on).casefold(): 1.0, str(off).casefold(): 0.0}
    return Entity(
        device,
        metric or other or snake_case(str(config.get("device_class") or "")) or component,
        other or component,
        unit[:_UNIT_BYTES] if isinstance(unit, str) and unit.isprintable() else "",
        topic,
        _template(config.get("value_template")),
        switch,
        list(_availability_of(device, config)),
    )


def _device_of(config: dict[str, Any], node: str, name: str) -> str:
    """Return the name of the device, or the best key that there is."""
    told = config.get("device")
    called = told.get("name") if isinstance(told, dict) else None
    for one in (called, *_identifiers(config), node, name):
        if isinstance(one, str) and is_name(one.strip()):
            return one.strip()
    raise _Fault("it has no device that could be named")


def _identifiers(config: dict[str, Any]) -> list[str]:
    told = config.get("device")
    found = told.get("identifiers") if isinstance(told, dict) else None
    several = found if isinstance(found, list) else [found]
    return [one for one in several[:10] if isinstance(one, str)]


def _without(name: str, prefixes: list[str]) -> str:
    """Return a name of a sensor without that of its device before it."""
    plain = snake_case(name)
    for prefix in map(snake_case, prefixes):
        if prefix and plain.startswith(f"{prefix}_"):
            return plain[len(prefix) + 1 :]
    return plain


def _template(text: object) -> Evaluate:
    if text is None or text == "":
        return text_of
    try:
        return parse_template(str(text))
    except NotUnderstood as fault:
        message = f"the template {str(text)[:80]!r} is not understood: {fault}"
        raise _Fault(message) from None


def _availability_of(device: str, config: dict[str, Any]) -> Iterator[Availability]:
    """Yield the topics; one whose template is not understood is left out."""
    listed = config.get("availability")
    entries = listed if isinstance(listed, list) else [listed] if isinstance(listed, dict) else []
    if topic := config.get("availability_topic"):
        template = config.get("availability_template")
        entries = [config | {"topic": topic, "value_template": template}]
    for entry in entries[:10]:
        topic = entry.get("topic")
        if not isinstance(topic, str) or name_fault(topic):
            continue
        try:
            evaluate = _template(entry.get("value_template"))
        except _Fault:
            continue
        online = str(entry.get("payload_available", "online")).casefold()
        offline = str(entry.get("payload_not_available", "offline")).casefold()
        yield Availability(device, topic, evaluate, online, offline)
