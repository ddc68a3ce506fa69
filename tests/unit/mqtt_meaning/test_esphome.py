"""Payloads as ESPHome sends them."""

from __future__ import annotations

import pytest
from tests.mqtt_hearing import REMOTE, presence, publish, readings, rejected

from motehub.mqtt_meaning.meanings import Meanings
from motehub.mqtt_meaning.settings import MqttSettings, Preset

SETTINGS = MqttSettings(presets=[Preset.ESPHOME])


@pytest.mark.parametrize(
    ("topic", "payload", "metric", "value"),
    [
        ("sensor/living_temperature/state", "21.5", "living_temperature", 21.5),
        ("sensor/bme280_humidity/state", "47", "bme280_humidity", 47),
        ("binary_sensor/pir/state", "ON", "pir", 1),
        ("switch/relay/state", "OFF", "relay", 0),
        ("text_sensor/version/state", "2024.6.0", "version", "2024.6.0"),
        ("text_sensor/number/state", "12", "number", "12"),
        ("number/setpoint/state", "19.5", "setpoint", 19.5),
        ("select/mode/state", "eco", "mode", "eco"),
        ("light/lamp/state", '{"state":"ON","brightness":255}', "lamp", 1),
    ],
)
@pytest.mark.parametrize("prefix", ["livingroom", "home/ground/livingroom"])
def test_a_state(prefix: str, topic: str, payload: str, metric: str, value: float | str) -> None:
    """The object id is the metric, whatever the prefix; switches are 1 or 0."""
    gathered = publish(Meanings(SETTINGS), (f"{prefix}/{topic}", payload))
    assert readings(gathered) == {(prefix, metric, ""): [value]}


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("livingroom/sensor/temperature/state", "nan"),
        ("livingroom/sensor/temperature/state", ""),
        ("livingroom/switch/relay/command", "ON"),
        ("livingroom/debug", "[I][app:029]: Running"),
        ("livingroom/status", "busy"),
        ("homeassistant/status", "online"),
        ("sensor/temperature/state", "21"),
        ("livingroom/camera/door/state", "ON"),
        ("livingroom/sensor//state", "1"),
    ],
)
def test_what_means_nothing(topic: str, payload: str) -> None:
    """A sensor that has no value yet, commands and other topics mean nothing."""
    assert publish(Meanings(SETTINGS), (topic, payload)).deliveries == []


def test_presence() -> None:
    """The birth message and the will tell whether the device is online."""
    meanings = Meanings(SETTINGS)
    gathered = publish(
        meanings,
        ("livingroom/status", "online", 0, True),
        ("livingroom/sensor/temperature/state", "21.5"),
        ("livingroom/status", "offline", 0, True),
    )
    assert presence(gathered) == [("livingroom", True), ("livingroom", False)]


def test_what_another_broker_has_retained() -> None:
    """A retained state is of any time before; presence still holds."""
    gathered = publish(
        Meanings(SETTINGS),
        ("livingroom/sensor/temperature/state", "21.5", 0, True),
        ("livingroom/status", "online", 0, True),
        client=REMOTE,
    )
    assert readings(gathered) == {}
    assert presence(gathered) == [("livingroom", True)]


@pytest.mark.parametrize("payload", ["warm", "1_0", "\xff"])
def test_what_is_rejected(payload: str) -> None:
    """What is no number from a sensor is shown to the owner."""
    topic = "livingroom/sensor/temperature/state"
    gathered = publish(Meanings(SETTINGS), (topic, payload.encode("latin-1")))
    assert len(rejected(gathered)) == 1


def test_a_text_that_is_not_utf8() -> None:
    """Nor is a text of other bytes."""
    gathered = publish(Meanings(SETTINGS), ("livingroom/text_sensor/version/state", b"\xff"))
    assert rejected(gathered) == ["livingroom/text_sensor/version/state: the payload is not UTF-8"]
