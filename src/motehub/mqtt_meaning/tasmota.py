"""Topics of Tasmota: ``tele/<topic>/SENSOR`` and its like."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from motehub.mqtt_meaning.hearing import Hearing, Take
from motehub.mqtt_meaning.naming import is_name, metric_and_unit, normal_unit
from motehub.mqtt_meaning.objects import decode_object, members, time_of
from motehub.mqtt_meaning.values import NoReading, is_text_of, switch_of

_KINDS: Final = {
    "tele": frozenset({"SENSOR", "STATE", "LWT"}),
    "stat": frozenset({"STATUS8", "STATUS10", "STATUS11"}),
}
_POWER: Final = frozenset({"POWER", *(f"POWER{number}" for number in range(1, 33))})

# The year 2000 in UTC µs: a clock counts from 1970 until it is set.
_CLOCK_NOT_SET: Final = 946_684_800_000_000

# What says how the others are to be read, or what only identifies a part.
_ABOUT: Final = frozenset(
    {"Time", "TempUnit", "PressureUnit", "SpeedUnit", "TotalStartTime", "Id", "Address"}
)

# Of the many things in STATE, those that change and say something about the device.
_STATE: Final = {
    ("Dimmer",): "%",
    ("Heap",): "kB",
    ("LoadAvg",): "%",
    ("UptimeSec",): "s",
    ("Vcc",): "V",
    ("Wifi", "RSSI"): "%",
    ("Wifi", "Signal"): "dBm",
}

_ENERGY: Final = {
    "Total": "kWh",
    "Yesterday": "kWh",
    "Today": "kWh",
    "ExportActive": "kWh",
    "Period": "Wh",
    "Voltage": "V",
    "Factor": "",
}


class Tasmota:
    """Both orders of prefix and topic: ``%prefix%/%topic%`` and ``%topic%/%prefix%``."""

    filters: Final = (
        *("tele/+/SENSOR", "tele/+/STATE", "tele/+/LWT"),
        *("+/tele/SENSOR", "+/tele/STATE", "+/tele/LWT"),
        *("stat/+/+", "+/stat/+"),
    )

    def route(self, levels: list[str]) -> Take | None:
        """Return what a topic means, if it is one of Tasmota's."""
        if len(levels) < 3:
            return None
        if levels[0] in _KINDS:
            prefix, device = levels[0], "/".join(levels[1:-1])
        else:
            prefix, device = levels[-2], "/".join(levels[:-2])
        last = levels[-1]
        if not is_name(device):
            return None
        if prefix == "stat" and last in _POWER:
            return partial(_take_power, device, last.lower())
        if last not in _KINDS.get(prefix, ()):
            return None
        if last == "LWT":
            return partial(_take_presence, device)
        return partial(_take_state if last in ("STATE", "STATUS11") else _take_sensors, device)


def _take_presence(device: str, hearing: Hearing) -> None:
    for text, online in (("Online", True), ("Offline", False)):
        if is_text_of(hearing.payload, text):
            hearing.tell_presence(device, online)
            return
    if hearing.payload:
        hearing.reject(device, "the payload is neither Online nor Offline")


def _take_power(device: str, metric: str, hearing: Hearing) -> None:
    if not hearing.payload:
        return
    try:
        text = hearing.payload.decode()
    except UnicodeDecodeError:
        hearing.reject(device, "the payload is not UTF-8")
        return
    hearing.hear(device)
    hearing.put(device, metric, "", switch_of(text))


def _take_sensors(device: str, hearing: Hearing) -> None:
    fields = _fields(device, hearing, "StatusSNS")
    if fields is None:
        return
    time = _time_of(fields)
    hearing.hear(device)
    for path, phase, value in _values(fields):
        metric, unit = metric_and_unit(*path)
        metric += phase
        if path[0] == "ENERGY":
            unit = unit or _ENERGY.get(path[-1], "")
        elif unit == "hPa":
            unit = str(fields.get("PressureUnit") or unit)
        elif unit == "°C" and fields.get("TempUnit") == "F":
            unit = "°F"
        if isinstance(value, float | int) and not isinstance(value, bool):
            value, unit = normal_unit(value, unit)
        hearing.put_member(device, metric, unit, value, time)


def _take_state(device: str, hearing: Hearing) -> None:
    fields = _fields(device, hearing, "StatusSTS")
    if fields is None:
        return
    time = _time_of(fields)
    hearing.hear(device)
    for path, _, value in _values(fields):
        if path[0] in _POWER:
            hearing.put_member(device, path[0].lower(), "", value, time)
        elif path in _STATE:
            hearing.put_member(device, metric_and_unit(*path)[0], _STATE[path], value, time)


def _fields(device: str, hearing: Hearing, wrapper: str) -> dict[str, Any] | None:
    """Return what is in the message; answers to the command ``Status`` have it in a member."""
    if not hearing.payload:
        # A retained message is deleted.
        return None
    try:
        fields = decode_object(hearing.payload)
    except NoReading as fault:
        hearing.reject(device, str(fault))
        return None
    inner = fields.get(wrapper)
    return inner if isinstance(inner, dict) else fields


def _values(fields: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    """Yield paths and readings; ON and OFF are 1 and 0.

    Between them is "", or for the phases of a meter "_1" and so on.
    """
    for path, value in members(fields):
        if path[-1] in _ABOUT or value is None:
            continue
        if isinstance(value, list):
            for number, one in enumerate(value, 1):
                yield path, f"_{number}", one
        else:
            yield path, "", switch_of(value) if isinstance(value, str) else value


def _time_of(fields: dict[str, Any]) -> int | None:
    """Return the time of the readings, if the device says its zone and has a set clock."""
    try:
        time = time_of(fields.get("Time"))
    except NoReading:
        return None
    return time if time > _CLOCK_NOT_SET else None
