"""Topics of Zigbee2MQTT: ``zigbee2mqtt/<friendly name>`` and its like."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from motehub.mqtt_meaning.hearing import Hearing, Take
from motehub.mqtt_meaning.naming import is_name, metric_and_unit, normal_unit
from motehub.mqtt_meaning.objects import decode_json, decode_object, members
from motehub.mqtt_meaning.values import NoReading, is_text_of, switch_of

DEVICES: Final = 5_000
"""Most devices of which units are known."""

_COMMANDS: Final = frozenset({"set", "get"})

# About the device or the message rather than readings of it.
_ABOUT: Final = frozenset(
    {"last_seen", "elapsed", "update", "update_available", "device", "definition"}
)


class Zigbee2Mqtt:
    """Devices below the base topic; the bridge tells in which units they measure."""

    def __init__(self, base: str) -> None:
        self._base = base.split("/")
        self._units: dict[str, dict[str, str]] = {}
        self.filters: Final = (f"{base}/#",)
        self.lessons: Final = (f"{base}/bridge/devices",)

    def route(self, levels: list[str]) -> Take | None:
        """Return what a topic means, if it is one of a device, or the bridge's list of them."""
        base = len(self._base)
        if levels[:base] != self._base or len(levels) == base:
            return None
        name = levels[base:]
        if name == ["bridge", "devices"]:
            return self._learn
        if name[0] == "bridge" or name[-1] in _COMMANDS or (len(name) > 1 and name[-2] == "set"):
            return None
        if name[-1] == "availability":
            device = "/".join(name[:-1])
            return partial(_take_presence, device) if is_name(device) else None
        device = "/".join(name)
        return partial(self._take, device) if is_name(device) else None

    def _take(self, device: str, hearing: Hearing) -> None:
        if not hearing.payload:
            # A retained message is deleted.
            return
        try:
            fields = decode_object(hearing.payload)
        except NoReading as fault:
            hearing.reject(device, str(fault))
            return
        units = self._units.get(device, {})
        hearing.hear(device)
        for path, value in members(fields):
            # An action is over when its text is empty.
            if path[0] in _ABOUT or value is None or value == "" or isinstance(value, list):
                continue
            metric, unit = metric_and_unit(*path)
            unit = units.get(path[0], unit)
            if isinstance(value, str):
                value = switch_of(value)
            elif not isinstance(value, bool):
                value, unit = normal_unit(value, unit)
            hearing.put_member(device, metric, unit, value)

    def _learn(self, hearing: Hearing) -> None:
        """Take the list of devices; what is not as expected in it is left out."""
        try:
            devices = decode_json(hearing.payload)
        except NoReading as fault:
            hearing.reject(None, str(fault))
            return
        if not isinstance(devices, list):
            return
        self._units = {
            name: dict(_units_in((device.get("definition") or {}).get("exposes")))
            for device in devices[:DEVICES]
            if isinstance(device, dict) and isinstance(name := device.get("friendly_name"), str)
            if isinstance(device.get("definition") or {}, dict)
        }


def _units_in(exposes: Any) -> Iterator[tuple[str, str]]:
    """Yield the units by property; what belongs together is listed under ``features``."""
    for one in exposes if isinstance(exposes, list) else ():
        if not isinstance(one, dict):
            continue
        name, unit = one.get("property"), one.get("unit")
        if isinstance(name, str) and isinstance(unit, str) and unit.isprintable():
            yield name, unit[:32]
        yield from _units_in(one.get("features"))


def _take_presence(device: str, hearing: Hearing) -> None:
    """Take ``{"state": "online"}``, or as before version 1.29 the plain word."""
    for text, online in (("online", True), ("offline", False)):
        if is_text_of(hearing.payload, text) or _state_of(hearing.payload) == text:
            hearing.tell_presence(device, online)
            return
    if hearing.payload:
        hearing.reject(device, "the payload is neither online nor offline")


def _state_of(payload: bytes) -> object:
    try:
        return decode_object(payload).get("state")
    except NoReading:
        return None
