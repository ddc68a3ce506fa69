"""Payloads as Zigbee2MQTT sends them."""

from __future__ import annotations

import json

import pytest
from tests.mqtt_hearing import REMOTE, presence, publish, readings, rejected

from motehub.mqtt_meaning.meanings import Meanings
from motehub.mqtt_meaning.settings import MqttSettings, Preset

SETTINGS = MqttSettings(presets=[Preset.ZIGBEE2MQTT])

DEVICES = json.dumps(
    [
        {"friendly_name": "Coordinator", "type": "Coordinator", "definition": None},
        {
            "friendly_name": "desk",
            "ieee_address": "0x00124b00",
            "definition": {
                "model": "TS011F",
                "exposes": [
                    {
                        "type": "switch",
                        "features": [
                            {"access": 7, "name": "state", "property": "state", "type": "binary"}
                        ],
                    },
                    "nonsense",
                    {"type": "numeric", "name": "power", "property": "power", "unit": "W"},
                    {"type": "numeric", "name": "voltage", "property": "voltage", "unit": "V"},
                    {
                        "type": "composite",
                        "property": "limits",
                        "features": [
                            {"type": "numeric", "property": "temperature_max", "unit": "°C"}
                        ],
                    },
                ],
            },
        },
        "nonsense",
        {"friendly_name": 5, "definition": {}},
        {"friendly_name": "odd", "definition": "odd"},
    ]
)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (
            '{"battery":64,"humidity":47.21,"linkquality":139,"temperature":19.63,"voltage":2900}',
            {
                ("battery", "%"): [64],
                ("relative_humidity", "%"): [47.21],
                ("linkquality", ""): [139],
                ("temperature", "°C"): [19.63],
                ("voltage", ""): [2900],
            },
        ),
        (
            '{"contact":false,"battery":null,"last_seen":"2024-05-01T10:00:00+02:00",'
            '"update":{"installed_version":16777241,"state":"idle"},"update_available":false}',
            {("contact", ""): [0]},
        ),
        (
            '{"occupancy":true,"illuminance":17,"last_seen":1714550400000,"elapsed":53}',
            {("occupancy", ""): [1], ("illuminance", "lx"): [17]},
        ),
        (
            '{"state":"ON","brightness":215,"color":{"x":0.4599,"y":0.4106},"color_mode":"xy"}',
            {
                ("state", ""): [1],
                ("brightness", ""): [215],
                ("color_x", ""): [0.4599],
                ("color_y", ""): [0.4106],
                ("color_mode", ""): ["xy"],
            },
        ),
        ('{"action":"single"}', {("action", ""): ["single"]}),
        ('{"action":""}', {}),
        ("{}", {}),
        ("", {}),
    ],
)
def test_a_device(payload: str, expected: dict[tuple[str, str], list[float]]) -> None:
    """Every value is a metric, switches are 1 or 0; what is about the message is left out."""
    gathered = publish(Meanings(SETTINGS), ("zigbee2mqtt/0x00124b001b78047b", payload))
    assert readings(gathered) == {
        ("0x00124b001b78047b", *series): values for series, values in expected.items()
    }
    assert rejected(gathered) == []


def test_units_that_the_bridge_tells() -> None:
    """The list of devices that the bridge retains says in what each of them measures."""
    meanings = Meanings(SETTINGS)
    publish(meanings, ("zigbee2mqtt/bridge/devices", DEVICES, 0, True), client=REMOTE)
    payload = '{"state":"OFF","power":12.5,"voltage":230}'
    assert readings(publish(meanings, ("zigbee2mqtt/desk", payload))) == {
        ("desk", "state", ""): [0],
        ("desk", "power", "W"): [12.5],
        ("desk", "voltage", "V"): [230],
    }


def test_units_that_were_retained_here() -> None:
    """What the broker has kept is learnt when it begins."""
    from motehub.protocols.mqtt.packets import Publish

    meanings = Meanings(SETTINGS)
    assert meanings.lessons == ["zigbee2mqtt/bridge/devices"]
    meanings.learn([Publish(meanings.lessons[0], DEVICES.encode(), retain=True)])
    gathered = publish(meanings, ("zigbee2mqtt/desk", '{"voltage":230}'))
    assert readings(gathered) == {("desk", "voltage", "V"): [230]}


def test_a_friendly_name_with_levels() -> None:
    """A name may have slashes; the device is called otherwise, and stays the same one."""
    gathered = publish(
        Meanings(SETTINGS),
        ("zigbee2mqtt/kitchen/floor_light", '{"state":"ON"}'),
        ("zigbee2mqtt/kitchen/floor_light/availability", '{"state":"online"}'),
    )
    assert readings(gathered) == {("kitchen/floor_light", "state", ""): [1]}
    assert presence(gathered) == [("kitchen/floor_light", True)]
    (delivery,) = gathered.deliveries
    assert delivery.source.suggested_name.startswith("kitchen_floor_light-")


@pytest.mark.parametrize("online", ["online", '{"state":"online"}'])
def test_availability(online: str) -> None:
    """Availability is told as an object, and by older versions as a word."""
    meanings = Meanings(SETTINGS)
    gathered = publish(
        meanings,
        ("zigbee2mqtt/desk", '{"power":1}'),
        ("zigbee2mqtt/desk/availability", online, 1, True),
        ("zigbee2mqtt/desk/availability", online.replace("online", "offline"), 1, True),
    )
    assert presence(gathered) == [("desk", True), ("desk", False)]


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("zigbee2mqtt/bridge/state", '{"state":"online"}'),
        ("zigbee2mqtt/bridge/info", '{"version":"1.40.0"}'),
        ("zigbee2mqtt/desk/set", '{"state":"ON"}'),
        ("zigbee2mqtt/desk/set/state", "ON"),
        ("zigbee2mqtt/desk/get", '{"state":""}'),
        ("zigbee2mqtt", "{}"),
        ("other/desk", '{"power":1}'),
        ("zigbee2mqtt/desk/availability", ""),
        ("zigbee2mqtt/bridge/devices", "{}"),
    ],
)
def test_what_means_nothing(topic: str, payload: str) -> None:
    """What the bridge says of itself, and commands, are no readings."""
    assert publish(Meanings(SETTINGS), (topic, payload)).deliveries == []


def test_another_base_topic() -> None:
    """The base topic is a setting."""
    settings = MqttSettings(presets=[Preset.ZIGBEE2MQTT], zigbee2mqtt_topic="house/zigbee")
    gathered = publish(Meanings(settings), ("house/zigbee/desk", '{"power":1}'))
    assert readings(gathered) == {("desk", "power", "W"): [1]}


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("zigbee2mqtt/desk", "21.5"),
        ("zigbee2mqtt/desk", '{"power":1'),
        ("zigbee2mqtt/desk/availability", "perhaps"),
        ("zigbee2mqtt/bridge/devices", "["),
    ],
)
def test_what_is_rejected(topic: str, payload: str) -> None:
    """What can't be read is shown to the owner."""
    assert len(rejected(publish(Meanings(SETTINGS), (topic, payload)))) == 1
