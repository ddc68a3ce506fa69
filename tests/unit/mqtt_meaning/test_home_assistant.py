"""Discovery messages as programs send them for Home Assistant."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.mqtt_hearing import REMOTE, presence, publish, readings, rejected

from motehub.model import Receipt
from motehub.mqtt_meaning.meanings import Meanings
from motehub.mqtt_meaning.settings import MqttSettings, Preset
from motehub.protocols.mqtt.packets import Publish

SETTINGS = MqttSettings(presets=[Preset.HOME_ASSISTANT])

ZIGBEE = {
    "availability": [{"topic": "zigbee2mqtt/bridge/state"}],
    "device": {
        "identifiers": ["zigbee2mqtt_0x00158d0003a401e2"],
        "manufacturer": "Xiaomi",
        "model": "MiJia temperature & humidity sensor (WSDCGQ01LM)",
        "name": "Aqara-Sensor",
    },
    "device_class": "humidity",
    "json_attributes_topic": "zigbee2mqtt/Aqara-Sensor",
    "name": "Aqara-Sensor_humidity",
    "state_topic": "zigbee2mqtt/Aqara-Sensor",
    "unique_id": "0x00158d0003a401e2_humidity_zigbee2mqtt",
    "unit_of_measurement": "%",
    "value_template": "{{ value_json.humidity }}",
}
ESPHOME = {
    "dev_cla": "temperature",
    "unit_of_meas": "°C",
    "stat_cla": "measurement",
    "name": "Living Temperature",
    "stat_t": "livingroom/sensor/living_temperature/state",
    "avty_t": "livingroom/status",
    "uniq_id": "ESPsensorliving_temperature",
    "dev": {"ids": "a4cf12f03246", "name": "livingroom", "sw": "esphome v2021.9.1"},
}
TASMOTA = {
    "name": "WaterMeterLeak",
    "stat_t": "~stat/Moisture",
    "avty_t": "~tele/LWT",
    "pl_avail": "Online",
    "pl_not_avail": "Offline",
    "uniq_id": "18A6B3_SNS_1",
    "device": {"identifiers": ["18A6B3"]},
    "~": "tasmota_18A6B3/",
    "val_tpl": "{{value_json.Leak}}",
    "pl_off": "OFF",
    "pl_on": "ON",
    "dev_cla": "moisture",
}
RTL_433 = {
    "device_class": "temperature",
    "name": "Temperature",
    "unit_of_measurement": "°F",
    "value_template": "{{ value|float|round(1) }}",
    "state_topic": "rtl_433/rtl433/devices/Acurite-986/1R/51778/temperature_F",
    "unique_id": "Acurite-986-1R-51778-F",
    "device": {"identifiers": "Acurite-986-1R-51778", "name": "Acurite-986-1R-51778"},
}
KITCHEN = {
    "dev": {"ids": "ea334450945afc", "name": "Kitchen", "mf": "Bla electronics"},
    "o": {"name": "bla2mqtt", "sw": "2.1"},
    "cmps": {
        "some_unique_component_id1": {
            "p": "sensor",
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            "value_template": "{{ value_json.temperature}}",
            "unique_id": "temp01ae_t",
        },
        "relative": {
            "p": "sensor",
            "name": "Humidity",
            "unit_of_measurement": "%",
            "value_template": "{{ value_json.humidity}}",
        },
        "gone": {"p": "sensor"},
        "bla1": {"p": "device_automation", "automation_type": "trigger"},
    },
    "state_topic": "sensorBedroom/state",
    "qos": 2,
}


def configure(topic: str, config: Any) -> Meanings:
    """Return meanings that have heard one configuration, and had nothing to say about it."""
    meanings = Meanings(SETTINGS)
    payload = json.dumps(config)
    assert publish(meanings, (topic, payload, 1, True)).deliveries == []
    return meanings


@pytest.mark.parametrize(
    ("config_topic", "config", "topic", "payload", "expected"),
    [
        (
            "homeassistant/sensor/0x00158d0003a401e2/humidity/config",
            ZIGBEE,
            "zigbee2mqtt/Aqara-Sensor",
            '{"battery":64,"humidity":47.21}',
            {("Aqara-Sensor", "relative_humidity", "%"): [47.21]},
        ),
        (
            "homeassistant/sensor/livingroom/living_temperature/config",
            ESPHOME,
            "livingroom/sensor/living_temperature/state",
            "21.5",
            {("livingroom", "living_temperature", "°C"): [21.5]},
        ),
        (
            "homeassistant/binary_sensor/18A6B3_SNS_1/config",
            TASMOTA,
            "tasmota_18A6B3/stat/Moisture",
            '{"Leak":"ON"}',
            {("18A6B3", "water_meter_leak", ""): [1]},
        ),
        (
            "homeassistant/sensor/Acurite-986-1R-51778/Acurite-986-1R-51778-F/config",
            RTL_433,
            "rtl_433/rtl433/devices/Acurite-986/1R/51778/temperature_F",
            "71.96",
            {("Acurite-986-1R-51778", "temperature", "°C"): [22.222222222]},
        ),
        (
            "homeassistant/device/kitchen/config",
            KITCHEN,
            "sensorBedroom/state",
            '{"temperature": 21.5, "humidity": 40}',
            {
                ("Kitchen", "some_unique_component_id1", "°C"): [21.5],
                ("Kitchen", "relative_humidity", "%"): [40],
            },
        ),
        (
            "homeassistant/binary_sensor/0x01/contact/config",
            {
                "device": {"name": "door"},
                "payload_off": True,
                "payload_on": False,
                "state_topic": "zigbee2mqtt/door",
                "value_template": "{{ value_json.contact }}",
            },
            "zigbee2mqtt/door",
            '{"contact":false}',
            {("door", "contact", ""): [1]},
        ),
        (
            "homeassistant/sensor/node/version/config",
            {"state_topic": "node/version"},
            "node/version",
            "v1.2",
            {("node", "version", ""): ["v1.2"]},
        ),
        (
            "homeassistant/sensor/node/level/config",
            {"state_topic": "node/level", "name": None},
            "node/level",
            "12",
            {("node", "level", ""): [12]},
        ),
    ],
)
def test_a_sensor(
    config_topic: str, config: Any, topic: str, payload: str, expected: dict[Any, Any]
) -> None:
    """A configuration says what a topic means, in long and in short words."""
    gathered = publish(configure(config_topic, config), (topic, payload))
    assert readings(gathered) == expected
    assert rejected(gathered) == []


def test_a_topic_that_meant_nothing_before() -> None:
    """A configuration holds from its arrival on, until it is replaced or deleted."""
    meanings = Meanings(SETTINGS)
    config, state = "homeassistant/sensor/livingroom/t/config", ESPHOME["stat_t"]
    assert publish(meanings, (state, "1")).deliveries == []
    publish(meanings, (config, json.dumps(ESPHOME)))
    publish(meanings, (config, json.dumps(ESPHOME)))
    assert readings(publish(meanings, (state, "2"))) == {
        ("livingroom", "living_temperature", "°C"): [2]
    }
    publish(meanings, (config, json.dumps(ESPHOME | {"name": "Air", "unit_of_meas": "K"})))
    assert readings(publish(meanings, (state, "3"))) == {("livingroom", "air", "K"): [3]}
    assert state in meanings.filters
    publish(meanings, (config, b""))
    assert publish(meanings, (state, "4")).deliveries == []
    assert state not in meanings.filters


def test_a_configuration_and_a_state_in_one_read() -> None:
    """What stands behind a configuration means what it says, and what is before it nothing."""
    config, state = "homeassistant/sensor/livingroom/t/config", ESPHOME["stat_t"]
    description = (config, json.dumps(ESPHOME))
    gathered = publish(Meanings(SETTINGS), (state, "1"), description, (state, "2"))
    assert readings(gathered) == {("livingroom", "living_temperature", "°C"): [2]}


def test_own_topics_can_not_be_described() -> None:
    """What the hub's own topics mean is not for others to say."""
    description = json.dumps(ESPHOME | {"stat_t": "readings/den/t", "avty_t": "state/join"})
    config = "homeassistant/sensor/livingroom/t/config"
    gathered = publish(Meanings(SETTINGS), (config, description), ("readings/den/t", "2"))
    assert readings(gathered) == {("den", "t", ""): [2]}


def test_configurations_that_were_retained() -> None:
    """What the broker has kept, or another one sends at subscription, is learnt as well."""
    message = Publish("homeassistant/sensor/livingroom/t/config", json.dumps(ESPHOME).encode(),
                      retain=True)  # fmt: skip
    expected = {("livingroom", "living_temperature", "°C"): [2]}
    for learn in (
        lambda meanings: meanings.learn([message]),
        lambda meanings: publish(
            meanings, (message.topic, message.payload, 1, True), client=REMOTE
        ),
    ):
        meanings = Meanings(SETTINGS)
        learn(meanings)
        assert readings(publish(meanings, (ESPHOME["stat_t"], "2"))) == expected


def test_two_sensors_of_one_name() -> None:
    """The second one of a device is called by its own id."""
    meanings = Meanings(SETTINGS)
    for name in ("ai1", "ai2"):
        config = {"dev": {"name": "io"}, "name": "input", "stat_t": f"io/{name}"}
        publish(meanings, (f"homeassistant/sensor/io/{name}/config", json.dumps(config)))
    assert readings(publish(meanings, ("io/ai1", "1"), ("io/ai2", "2"))) == {
        ("io", "input", ""): [1],
        ("io", "ai2", ""): [2],
    }


def test_availability() -> None:
    """A device is online when none of its topics says otherwise."""
    config = ESPHOME | {
        "avty": [{"t": "bridge"}, {"t": "node", "val_tpl": "{{ value_json.state }}"}]
    }
    del config["avty_t"]
    meanings = configure("homeassistant/sensor/livingroom/t/config", config)
    gathered = publish(
        meanings,
        (ESPHOME["stat_t"], "2"),
        ("bridge", "online"),
        ("node", '{"state":"offline"}'),
        ("bridge", "online"),
        ("node", '{"state":"online"}'),
        ("node", "what"),
        ("bridge", "offline"),
    )
    expected = [("livingroom", one) for one in (True, False, True, False)]
    assert presence(gathered) == expected


def test_availability_that_is_not_understood() -> None:
    """Topics that can't be, and templates that are not understood, tell nothing."""
    config = ESPHOME | {
        "~": "node",
        "avty": [{"t": "~/#"}, {"t": 5}, {"t": "x", "val_tpl": "{% %}"}, {"t": "status/~"}],
    }
    del config["avty_t"]
    meanings = configure("homeassistant/sensor/livingroom/t/config", config)
    assert [topic for topic in meanings.filters if "node" in topic] == ["status/node"]
    gathered = publish(
        meanings, (ESPHOME["stat_t"], "1"), ("status/node", "online"), ("status/node", b"\xff")
    )
    assert presence(gathered) == [("livingroom", True)]


def test_availability_in_numbers() -> None:
    """A payload that tells presence may be a number."""
    config = ESPHOME | {
        "avty_tpl": "{{ value_json.up }}",
        "pl_avail": 1,
        "pl_not_avail": 0,
    }
    meanings = configure("homeassistant/sensor/livingroom/t/config", config)
    gathered = publish(
        meanings,
        (ESPHOME["stat_t"], "1"),
        ("livingroom/status", '{"up":1.0}'),
        ("livingroom/status", '{"up":0}'),
    )
    assert presence(gathered) == [("livingroom", True), ("livingroom", False)]


@pytest.mark.parametrize("state", ["unavailable", "unknown", "None", "", "nan"])
def test_a_sensor_that_knows_nothing(state: str) -> None:
    """What Home Assistant takes for no value is none here."""
    meanings = configure("homeassistant/sensor/livingroom/t/config", ESPHOME)
    assert publish(meanings, (ESPHOME["stat_t"], state)).deliveries == []


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (ESPHOME | {"val_tpl": "{% if value %}1{% endif %}"}, "not one expression"),
        (ESPHOME | {"val_tpl": "{{ value.split(';')[0] }}"}, "'.' in it"),
        (ESPHOME | {"stat_t": 5}, "no state topic"),
        (ESPHOME | {"stat_t": "a/+"}, "no state topic"),
        ({"stat_t": "a", "dev": {"name": "x" * 200}}, "no device that could be named"),
        ([], "an array"),
    ],
)
def test_what_is_not_understood(config: Any, reason: str) -> None:
    """It is shown to the owner; the message goes on to those for whom it was meant."""
    meanings = Meanings(SETTINGS)
    payload = json.dumps(config)
    node = "n" * 130 if "no device" in reason else "livingroom"
    gathered = publish(meanings, (f"homeassistant/sensor/{node}/{node}/config", payload))
    (said,) = rejected(gathered)
    assert reason in said
    assert gathered.outcomes([Receipt(0, 1, said)]) is None


@pytest.mark.parametrize(
    ("topic", "config"),
    [
        ("homeassistant/light/a/b/config", {"cmd_t": "x"}),
        ("homeassistant/sensor/config", ESPHOME),
        ("homeassistant/status", "online"),
    ],
)
def test_what_has_no_readings(topic: str, config: Any) -> None:
    """Components without readings are not looked at."""
    configure(topic, config)


def test_a_state_that_can_not_be() -> None:
    """A text where a number was told, and a third state of a switch, are shown to the owner."""
    meanings = configure("homeassistant/sensor/livingroom/t/config", ESPHOME)
    publish(meanings, ("homeassistant/binary_sensor/18A6B3/config", json.dumps(TASMOTA)))
    for topic, payload in (
        (ESPHOME["stat_t"], "warm"),
        ("tasmota_18A6B3/stat/Moisture", '{"Leak":"perhaps"}'),
        ("tasmota_18A6B3/stat/Moisture", "no JSON"),
    ):
        assert len(rejected(publish(meanings, (topic, payload)))) == 1


def test_configurations_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a most of them; one that is known may be replaced."""
    monkeypatch.setattr("motehub.mqtt_meaning.home_assistant.CONFIGS", 2)
    meanings = Meanings(SETTINGS)
    for number, rejections in enumerate((0, 0, 1)):
        message = (f"homeassistant/sensor/n/{number}/config", json.dumps(ESPHOME))
        assert len(rejected(publish(meanings, message))) == rejections
    again = ("homeassistant/sensor/n/0/config", json.dumps(ESPHOME | {"name": "x"}))
    assert rejected(publish(meanings, again)) == []
