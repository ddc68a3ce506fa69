"""Topics of other programs at the running hub: presets, mappings, retained descriptions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.harness import OPEN
from tests.mqtt_hub import BROKER, MqttHub

TOPICS: dict[str, Any] = {
    "mqtt": {
        "presets": ["tasmota", "zigbee2mqtt", "home_assistant"],
        "mapping": [
            {
                "topic": "weather/{device}/{metric}",
                "unit": "°C",
                "scale": 0.1,
            }
        ],
    }
}


def test_other_programs_topics(tmp_path: Path) -> None:
    """Each program's topics mean what they are said to mean, and still go to subscribers."""
    with MqttHub(tmp_path / "data", {**OPEN, **BROKER, **TOPICS}) as hub:
        sensor = '{"Time":"2026-11-21T09:00:00","SI7021":{"Temperature":70.7},"TempUnit":"F"}'
        with hub.subscriber("-t", "tele/#") as subscriber:
            assert hub.publish("tele/plug/SENSOR", sensor).returncode == 0
            assert hub.publish("tele/plug/SENSOR", "no JSON").returncode == 0
            assert subscriber.take(2) == [f"tele/plug/SENSOR {sensor}", "tele/plug/SENSOR no JSON"]
        hub.publish("zigbee2mqtt/desk", '{"power":12.5,"state":"ON"}')
        hub.publish("weather/den/temperature", "215")
        hub.wait_values("plug", "si7021_temperature", [21.5])
        hub.wait_values("desk", "power", [12.5])
        hub.wait_values("desk", "state", [1])
        hub.wait_values("den", "temperature", [21.5])
        (rejected,) = hub.json("rejected")
        assert rejected["device"] == "plug"
        assert rejected["payload"] == "no JSON"


def test_a_description_outlives_the_hub(tmp_path: Path) -> None:
    """What a program has told with RETAIN about its topics is known after a restart."""
    config = {
        "dev": {"ids": "a4cf12f03246", "name": "livingroom"},
        "name": "Living Temperature",
        "stat_t": "livingroom/sensor/living_temperature/state",
        "unit_of_meas": "°C",
    }
    hub = MqttHub(tmp_path / "data", {**OPEN, **BROKER, **TOPICS})
    with hub:
        topic = "homeassistant/sensor/livingroom/living_temperature/config"
        assert hub.publish(topic, json.dumps(config), "-r").returncode == 0
        hub.publish(config["stat_t"], "21.5")  # type: ignore[arg-type]
        hub.wait_values("livingroom", "living_temperature", [21.5])
        hub.kill()
        hub.start()
        hub.publish(config["stat_t"], "22.5")  # type: ignore[arg-type]
        hub.wait_values("livingroom", "living_temperature", [21.5, 22.5])


def test_presence_is_shown(tmp_path: Path) -> None:
    """What a will says is what `motehub devices list` shows."""
    with MqttHub(tmp_path / "data", {**OPEN, **BROKER, **TOPICS}) as hub:
        hub.publish("tele/plug/STATE", '{"POWER":"ON"}')
        hub.publish("tele/plug/LWT", "Online", "-r")
        hub.wait_until(lambda: _online(hub) is True, "the plug is online")
        hub.publish("tele/plug/LWT", "Offline", "-r")
        hub.wait_until(lambda: _online(hub) is False, "the plug is offline")


def _online(hub: MqttHub) -> Any:
    (plug,) = hub.json("devices", "list")
    return plug["online"]
