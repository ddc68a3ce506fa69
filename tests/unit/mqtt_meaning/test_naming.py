"""Names and units of what programs report, and what is remembered of devices."""

from __future__ import annotations

import pytest

from motehub.mqtt_meaning.hearing import Presences
from motehub.mqtt_meaning.naming import metric_and_unit, normal_unit


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("DewPoint",), ("dew_point", "°C")),
        (("AM2301", "Humidity"), ("am2301_relative_humidity", "%")),
        (("DS18B20-1", "Temperature"), ("ds18b20_1_temperature", "°C")),
        (("PM2.5",), ("pm2_5", "µg/m³")),
        (("eCO2",), ("e_co2", "ppm")),
        (("größe",), ("größe", "")),
        (("--", "a"), ("", "")),
        (("",), ("", "")),
        (("a" * 129,), ("", "")),
        (("a" * 100, "b" * 100), ("", "")),
        ((), ("", "")),
    ],
)
def test_metrics(path: tuple[str, ...], expected: tuple[str, str]) -> None:
    """A metric is the names that lead to it in snake case; well-known ones have a unit."""
    assert metric_and_unit(*path) == expected


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (71.96, "°F", (22.2, "°C")),
        (32, "F", (0, "°C")),
        (5, "C", (5, "°C")),
        (5, "W", (5, "W")),
    ],
)
def test_units(value: float, unit: str, expected: tuple[float, str]) -> None:
    """Temperatures are in °C."""
    assert normal_unit(value, unit) == expected


def test_presence_is_not_remembered_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many devices there are, what is kept of them is bounded."""
    monkeypatch.setattr("motehub.mqtt_meaning.hearing.PRESENCES", 10)
    presences = Presences()
    for number in range(35):
        presences.tell(str(number), online=True)
        presences.hear(str(number))
        assert max(len(presences.told), len(presences.heard)) <= 10
