"""Names and units: from what programs call a value to what the hub calls its series."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

NAME_BYTES: Final = 128
"""Longest device and metric, in UTF-8 bytes."""

_WORD_BOUNDARY: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])")
_NOT_WORD: Final = re.compile(r"[\W_]+")

# What the presets' programs measure in, where they do not say so themselves.
_UNITS: Final = {
    "temperature": "°C",
    "local_temperature": "°C",
    "device_temperature": "°C",
    "dew_point": "°C",
    "heat_index": "°C",
    "relative_humidity": "%",
    "soil_moisture": "%",
    "moisture": "%",
    "battery": "%",
    "pressure": "hPa",
    "sea_pressure": "hPa",
    "illuminance": "lx",
    "co2": "ppm",
    "carbon_dioxide": "ppm",
    "e_co2": "ppm",
    "tvoc": "ppb",
    "pm25": "µg/m³",
    "pm2_5": "µg/m³",
    "pm10": "µg/m³",
    "distance": "cm",
    "power": "W",
    "apparent_power": "VA",
    "reactive_power": "var",
    "current": "A",
    "frequency": "Hz",
    "energy": "kWh",
}


def is_name(text: str) -> bool:
    """Tell whether ``text`` may name a device in a topic, or a metric."""
    return bool(text) and text.isprintable() and len(text.encode()) <= NAME_BYTES


@lru_cache(4096)
def snake_case(name: str) -> str:
    """Return ``name`` in lower case with ``_`` between words: ``DewPoint`` is ``dew_point``."""
    if len(name) > NAME_BYTES:
        return ""
    return _NOT_WORD.sub("_", _WORD_BOUNDARY.sub("_", name)).strip("_").lower()


@lru_cache(4096)
def metric_and_unit(*path: str) -> tuple[str, str]:
    """Return the metric that a path of names in an object is, and its usual unit or "".

    The metric is empty where no name can be made of it.
    """
    words = [snake_case(name) for name in path]
    if not words or not all(words):
        return "", ""
    if words[-1] == "humidity":
        words[-1] = "relative_humidity"
    metric = "_".join(words)
    return (metric, _UNITS.get(words[-1], "")) if is_name(metric) else ("", "")


def normal_unit(value: float, unit: str) -> tuple[float, str]:
    """Return a value and its unit; °F become °C, rounded so that 71.96 °F are 22.2 °C."""
    if unit in ("°F", "F"):
        return round((value - 32) / 1.8, 9), "°C"
    return value, "°C" if unit == "C" else unit
