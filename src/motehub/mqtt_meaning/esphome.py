"""Topics of ESPHome: ``<prefix>/<component>/<object id>/state`` and ``<prefix>/status``."""

from __future__ import annotations

from functools import partial
from typing import Final

from motehub.mqtt_meaning.hearing import Hearing, Take
from motehub.mqtt_meaning.naming import is_name, metric_and_unit
from motehub.mqtt_meaning.objects import decode_object
from motehub.mqtt_meaning.values import NoReading, is_text_of, switch_of, value_of

_COMPONENTS: Final = frozenset(
    {"sensor", "binary_sensor", "text_sensor", "switch", "number", "select", "light", "lock"}
)
# What a component says of which nothing is known yet.
_UNKNOWN: Final = frozenset({b"", b"nan", b"NaN", b"NA", b"unknown", b"None"})

# Home Assistant tells on a topic of the same form that it has started.
_NOT_DEVICES: Final = frozenset({"homeassistant"})


class EspHome:
    """Devices under any prefix, which may have several levels."""

    filters: Final = (*(f"+/{one}/+/state" for one in sorted(_COMPONENTS)), "+/status")

    def route(self, levels: list[str]) -> Take | None:
        """Return what a topic means, if it is of this form."""
        if levels[-1] == "status":
            prefix = "/".join(levels[:-1])
            if is_name(prefix) and prefix not in _NOT_DEVICES:
                return partial(_take_presence, prefix)
        if len(levels) < 4 or levels[-1] != "state" or levels[-3] not in _COMPONENTS:
            return None
        prefix, component, name = "/".join(levels[:-3]), levels[-3], levels[-2]
        if not (is_name(prefix) and is_name(name)):
            return None
        # Object ids are in snake case; their units are not told here.
        return partial(_take, prefix, component, metric_and_unit(name)[0])


def _take(device: str, component: str, metric: str, hearing: Hearing) -> None:
    payload = hearing.payload.strip()
    if payload in _UNKNOWN:
        return
    try:
        if component == "light":
            state = decode_object(payload).get("state")
            value: float | str = state if isinstance(state, str) else ""
        elif component in ("text_sensor", "select"):
            value = payload.decode()
        else:
            value = value_of(payload)
    except NoReading as fault:
        hearing.reject(device, str(fault))
        return
    except UnicodeDecodeError:
        hearing.reject(device, "the payload is not UTF-8")
        return
    if isinstance(value, str) and component in ("sensor", "number"):
        hearing.reject(device, f"{value[:40]!r} is not a number")
        return
    hearing.hear(device)
    if component not in ("text_sensor", "select") and isinstance(value, str):
        value = switch_of(value)
    hearing.put_member(device, metric, "", value)


def _take_presence(device: str, hearing: Hearing) -> None:
    for text, online in (("online", True), ("offline", False)):
        if is_text_of(hearing.payload, text):
            hearing.tell_presence(device, online)
