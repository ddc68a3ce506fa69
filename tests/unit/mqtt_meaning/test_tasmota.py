"""Payloads as Tasmota sends them."""

from __future__ import annotations

import pytest
from tests.mqtt_hearing import REMOTE, dated, presence, publish, readings, rejected

from motehub.model import Receipt
from motehub.mqtt_meaning.gathering import Gathered
from motehub.mqtt_meaning.meanings import Meanings
from motehub.mqtt_meaning.settings import MqttSettings, Preset

SETTINGS = MqttSettings(presets=[Preset.TASMOTA])


def hear(topic: str, payload: str) -> Gathered:
    return publish(Meanings(SETTINGS), (topic, payload.encode(errors="surrogateescape")))


def test_a_climate_sensor() -> None:
    """The metric is the sensor's name and the value's; what is no reading is left out."""
    gathered = hear(
        "tele/tasmota_C59B5E/SENSOR",
        '{"Time":"2021-06-13T06:59:52","DHT11":{"Temperature":23.0,"Humidity":37.0,'
        '"DewPoint":7.5},"TempUnit":"C"}',
    )
    assert readings(gathered) == {
        ("tasmota_C59B5E", "dht11_temperature", "°C"): [23],
        ("tasmota_C59B5E", "dht11_relative_humidity", "%"): [37],
        ("tasmota_C59B5E", "dht11_dew_point", "°C"): [7.5],
    }
    assert rejected(gathered) == []


def test_fahrenheit() -> None:
    """°F become °C."""
    gathered = hear(
        "tele/shellyB/SENSOR",
        '{"Time":"2020-08-30T10:15:00","Switch1":"OFF","ANALOG":{"Temperature":100.1},'
        '"TempUnit":"F"}',
    )
    assert readings(gathered) == {
        ("shellyB", "switch1", ""): [0],
        ("shellyB", "analog_temperature", "°C"): [pytest.approx(37.833333333)],
    }


def test_a_power_plug() -> None:
    """An energy meter has its units."""
    gathered = hear(
        "tele/sonoff_desk/SENSOR",
        '{"Time":"2023-05-19T20:52:56","ENERGY":{"TotalStartTime":"2022-03-20T15:20:48",'
        '"Total":514.153,"Yesterday":1.495,"Today":0.537,"Period":0,"Power":56,'
        '"ApparentPower":92,"ReactivePower":73,"Factor":0.61,"Voltage":234,"Current":0.392}}',
    )
    assert readings(gathered) == {
        ("sonoff_desk", f"energy_{metric}", unit): [value]
        for metric, unit, value in [
            ("total", "kWh", 514.153),
            ("yesterday", "kWh", 1.495),
            ("today", "kWh", 0.537),
            ("period", "Wh", 0),
            ("power", "W", 56),
            ("apparent_power", "VA", 92),
            ("reactive_power", "var", 73),
            ("factor", "", 0.61),
            ("voltage", "V", 234),
            ("current", "A", 0.392),
        ]
    }


def test_a_meter_of_several_lines() -> None:
    """The lines of a meter are numbered from 1."""
    gathered = hear(
        "tele/tasmota/SENSOR",
        '{"Time":"2026-09-18T11:19:21","ENERGY":{"Total":[2.813,0.254],"Power":[52,5],'
        '"Voltage":235,"BL09XX":{"Temperature":46.5}}}',
    )
    assert readings(gathered) == {
        ("tasmota", "energy_total_1", "kWh"): [2.813],
        ("tasmota", "energy_total_2", "kWh"): [0.254],
        ("tasmota", "energy_power_1", "W"): [52],
        ("tasmota", "energy_power_2", "W"): [5],
        ("tasmota", "energy_voltage", "V"): [235],
        ("tasmota", "energy_bl09xx_temperature", "°C"): [46.5],
    }


def test_several_sensors_of_a_kind() -> None:
    """The number that Tasmota gives a sensor is in its metric; its address is no reading."""
    gathered = hear(
        "tele/boiler/SENSOR",
        '{"Time":"2022-01-01T12:00:00","DS18B20-1":{"Id":"0316A279F4FF","Temperature":48.9},'
        '"DS18B20-2":{"Id":"0316A279D6AA","Temperature":null},"BME280":{"Pressure":29.9},'
        '"PressureUnit":"inHg","TempUnit":"C"}',
    )
    assert readings(gathered) == {
        ("boiler", "ds18b20_1_temperature", "°C"): [48.9],
        ("boiler", "bme280_pressure", "inHg"): [29.9],
    }


def test_the_state() -> None:
    """Of the state only what changes is kept."""
    gathered = hear(
        "tele/tasmota_9CF9D1/STATE",
        '{"Time":"2024-02-24T22:20:38","Uptime":"0T00:10:11","UptimeSec":611,"Heap":24,'
        '"SleepMode":"Dynamic","Sleep":50,"LoadAvg":19,"MqttCount":1,"POWER":"OFF","Wifi":'
        '{"AP":1,"SSId":"ESP-Network","BSSId":"E6:8D:8C:4B:BE:F7","Channel":3,"Mode":"11n",'
        '"RSSI":44,"Signal":-78,"LinkCount":1,"Downtime":"0T00:00:05"}}',
    )
    assert {metric: values for (_, metric, _), values in readings(gathered).items()} == {
        "uptime_sec": [611],
        "heap": [24],
        "load_avg": [19],
        "power": [0],
        "wifi_rssi": [44],
        "wifi_signal": [-78],
    }


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("stat/plug/POWER", "ON"),
        ("plug/stat/POWER", "ON"),
        ("plug/tele/STATE", '{"POWER":"ON"}'),
        ("stat/plug/STATUS11", '{"StatusSTS":{"Time":"2018-02-15T01:00:50","POWER":"ON"}}'),
    ],
)
def test_a_switch(topic: str, payload: str) -> None:
    """A switch is 1 or 0, in both orders of topics, and in answers to the command Status."""
    assert readings(hear(topic, payload)) == {("plug", "power", ""): [1]}


def test_an_answer_with_readings() -> None:
    """What is asked for with Status 10 is the same as what comes by itself."""
    gathered = hear(
        "stat/tasmota_C59B5E/STATUS10",
        '{"StatusSNS":{"Time":"2021-06-13T06:59:49","ANALOG":{"CTEnergy":{"Power":2088}}}}',
    )
    assert readings(gathered) == {("tasmota_C59B5E", "analog_ct_energy_power", "W"): [2088]}


def test_times() -> None:
    """A time is used when the device says its zone, and has set its clock."""
    for time, expected in [
        ("2021-06-13T06:59:52", {}),
        ("1970-01-01T00:00:09+00:00", {}),
        ("2021-06-13T06:59:52+02:00", {("plug", "power"): [1_623_560_392_000_000]}),
    ]:
        payload = f'{{"Time":"{time}","POWER":"ON"}}'
        assert dated(hear("tele/plug/STATE", payload)) == expected


def test_presence() -> None:
    """Online and Offline are told of devices that send readings, and once."""
    meanings = Meanings(SETTINGS)
    will = ("tele/plug/LWT", "Offline", 1, True)
    assert presence(publish(meanings, ("tele/plug/LWT", "Online", 1, True))) == []
    assert presence(publish(meanings, ("stat/plug/POWER", "ON"))) == [("plug", True)]
    assert presence(publish(meanings, ("tele/plug/LWT", "Online", 1, True))) == []
    assert presence(publish(meanings, will)) == [("plug", False)]
    meanings.interrupted()
    assert presence(publish(meanings, will, client=REMOTE)) == []
    assert presence(publish(meanings, ("stat/plug/POWER", "ON"))) == [("plug", False)]


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("tele/plug/SENSOR", ""),
        ("tele/plug/LWT", ""),
        ("stat/plug/POWER", ""),
        ("tele/plug/INFO1", '{"Module":"Sonoff"}'),
        ("stat/plug/RESULT", '{"POWER":"ON"}'),
        ("cmnd/plug/POWER", "TOGGLE"),
        ("tele/SENSOR", '{"A":1}'),
        ("SENSOR", '{"A":1}'),
        ("tele//SENSOR", '{"A":1}'),
    ],
)
def test_what_means_nothing(topic: str, payload: str) -> None:
    """Other topics, and the deletion of retained messages, mean nothing."""
    assert hear(topic, payload).deliveries == []


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("stat/plug/POWER", "\udcff"),
        ("tele/plug/SENSOR", "[1]"),
        ("tele/plug/LWT", "gone"),
        ("tele/plug/STATE", '{"a":1,"a":2}'),
    ],
)
def test_what_is_rejected_is_not_refused(topic: str, payload: str) -> None:
    """What can't be read is shown to the owner; it was not sent to the hub, so all else goes on."""
    gathered = hear(topic, payload)
    (reason,) = rejected(gathered)
    assert gathered.outcomes([Receipt(0, 1, reason)]) is None
    retained = (topic, payload.encode(errors="surrogateescape"), 1, True)
    assert publish(Meanings(SETTINGS), retained, client=REMOTE).deliveries == []
