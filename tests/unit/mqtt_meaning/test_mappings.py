"""The owner's mappings from topics and payloads to readings."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.mqtt_hearing import REMOTE, dated, presence, publish, readings, rejected

from motehub.model import Receipt
from motehub.mqtt_meaning.gathering import Client, Gathered
from motehub.mqtt_meaning.meanings import Meanings
from motehub.mqtt_meaning.settings import MqttSettings


def settings(*mappings: dict[str, Any]) -> MqttSettings:
    return msgspec.convert({"mapping": mappings}, MqttSettings)


def hear(mapping: dict[str, Any], topic: str, payload: str | bytes) -> Gathered:
    return publish(Meanings(settings(mapping)), (topic, payload))


@pytest.mark.parametrize(
    ("mapping", "topic", "payload", "expected"),
    [
        (
            {"topic": "weather/{device}/{metric}"},
            "weather/den/temperature",
            "21.5",
            {("den", "temperature", ""): [21.5]},
        ),
        (
            {"topic": "{device}/out/+/t", "metric": "temperature", "unit": "°C", "scale": 0.1},
            "den/out/7/t",
            "215",
            {("den", "temperature", "°C"): [21.5]},
        ),
        (
            {"topic": "a/{device}/#", "metric": "x", "offset": -5},
            "a/den/b/c",
            "6",
            {("den", "x", ""): [1]},
        ),
        (
            {"topic": "door/{device}", "metric": "open", "values": {"AUF": 1, "ZU": 0, "2": 0.5}},
            "door/den",
            "AUF",
            {("den", "open", ""): [1]},
        ),
        (
            {"topic": "door/{device}", "metric": "open", "values": {"AUF": 1, "2": 0.5}},
            "door/den",
            "2",
            {("den", "open", ""): [0.5]},
        ),
        (
            {"topic": "t/{device}", "metric": "temperature", "unit": "°F"},
            "t/den",
            "71.96",
            {("den", "temperature", "°C"): [22.2]},
        ),
        (
            {"topic": "j/{device}", "metric": "co2", "path": "sensors[1].co2", "unit": "ppm"},
            "j/den",
            '{"sensors":[{},{"co2":"412"}]}',
            {("den", "co2", "ppm"): [412]},
        ),
        (
            {"topic": "j/{device}"},
            "j/den",
            '{"temperature":21.5,"wind":{"speed":3},"sky":"clear"}',
            {
                ("den", "temperature", ""): [21.5],
                ("den", "wind_speed", ""): [3],
                ("den", "sky", ""): ["clear"],
            },
        ),
        (
            {
                "topic": "rtl_433/+/events",
                "device": "{$.model}-{$.id}",
                "fields": [
                    {"path": "temperature_C", "metric": "temperature", "unit": "°C"},
                    {"path": "humidity", "metric": "relative_humidity", "unit": "%"},
                    {"path": "battery_ok", "metric": "battery_ok"},
                    {"path": "rain_mm", "metric": "rain", "unit": "mm"},
                ],
            },
            "rtl_433/pi/events",
            '{"time":"2026-01-02 03:04:05","model":"Nexus-TH","id":123,"channel":1,'
            '"battery_ok":1,"temperature_C":21.5,"humidity":40,"rain_mm":null}',
            {
                ("Nexus-TH-123", "temperature", "°C"): [21.5],
                ("Nexus-TH-123", "relative_humidity", "%"): [40],
                ("Nexus-TH-123", "battery_ok", ""): [1],
            },
        ),
        (
            {"topic": "j/{device}", "metric": "t", "path": "a.b[0]"},
            "j/den",
            '{"a":{"b":{"0":1}}}',
            {},
        ),
        (
            {"topic": "x/{room}/{kind}", "device": "room-{room}", "metric": "{kind}_level"},
            "x/den/water",
            "high",
            {("room-den", "water_level", ""): ["high"]},
        ),
        (
            {"topic": "j/{device}", "metric": "{$.name}", "path": "$.value"},
            "j/den",
            '{"name":"lux","value":7}',
            {("den", "lux", ""): [7]},
        ),
    ],
)
def test_a_mapping(
    mapping: dict[str, Any], topic: str, payload: str, expected: dict[Any, Any]
) -> None:
    """Levels and parts of the payload make device and metric; values are converted."""
    gathered = hear(mapping, topic, payload)
    assert readings(gathered) == {key: pytest.approx(value) for key, value in expected.items()}
    assert rejected(gathered) == []


@pytest.mark.parametrize("topic", ["weather/den", "weather/den/t/x", "weather//t", "other/den/t"])
def test_other_topics(topic: str) -> None:
    """A topic with more levels, fewer, or other ones is not the mapping's."""
    assert hear({"topic": "weather/{device}/{metric}"}, topic, "1").deliveries == []


def test_the_first_mapping_counts() -> None:
    """Of several mappings of a topic the first one is taken; the hub's own topics come first."""
    meanings = Meanings(
        settings(
            {"topic": "a/{device}", "metric": "first"},
            {"topic": "+/{device}", "metric": "second"},
            {"topic": "readings/{device}/{metric}", "device": "other"},
        )
    )
    gathered = publish(meanings, ("a/den", "1"), ("b/den", "2"), ("readings/den/t", "3"))
    assert readings(gathered) == {
        ("den", "first", ""): [1],
        ("den", "second", ""): [2],
        ("den", "t", ""): [3],
    }
    assert {"a/+", "+/+", "readings/#", "state/join"} < set(meanings.filters)


def test_a_device_that_the_client_may_not_write() -> None:
    """What a client says of somebody else's device is shown to the owner, and goes on."""
    client = Client("mqtt_broker", "192.0.2.7", vouched=True, may_write=lambda device: False)
    meanings = Meanings(settings({"topic": "a/{device}", "metric": "t"}))
    gathered = publish(meanings, ("a/den", "1"), client=client)
    (delivery,) = gathered.deliveries
    assert delivery.source.identity == ""
    assert rejected(gathered) == ["a/den: 192.0.2.7 may not write den"]
    assert gathered.outcomes([Receipt(0, 1)]) is None


def test_a_time_in_the_payload() -> None:
    """A time makes the reading one of the device's clock, even if it was retained."""
    mapping = {"topic": "j/{device}", "metric": "t", "path": "v", "time": "at"}
    message = ("j/den", '{"v":1,"at":"2026-11-20T18:05:09Z"}', 1, True)
    gathered = publish(Meanings(settings(mapping)), message, client=REMOTE)
    assert dated(gathered) == {("den", "t"): [1_795_197_909_000_000]}


def test_presence() -> None:
    """Two payloads may tell whether the device is online."""
    meanings = Meanings(
        settings(
            {"topic": "{device}/t", "metric": "t"},
            {"topic": "{device}/lwt", "online": "here", "offline": "gone"},
        )
    )
    gathered = publish(meanings, ("den/t", "1"), ("den/lwt", "here"), ("den/lwt", "gone"))
    assert presence(gathered) == [("den", True), ("den", False)]
    assert rejected(publish(meanings, ("den/lwt", "what"))) == [
        "den/lwt: the payload is not 'here' or 'gone'"
    ]


@pytest.mark.parametrize(
    ("mapping", "payload", "reason"),
    [
        ({"metric": "t", "unit": "°C"}, "warm", "'warm' is not a number"),
        ({"metric": "t", "values": {"a": 1}}, "b", "'b' is not a number"),
        ({"metric": "t"}, "nan", "not a number as JSON"),
        ({"metric": "t", "path": "v"}, "{", "not JSON"),
        ({"metric": "t", "path": "v"}, '{"v":[1]}', "'t' is an array"),
        ({}, "5", "a number where an object"),
        ({}, "{}", "no metric"),
        ({"metric": "t", "path": "v", "time": "at"}, '{"v":1}', "no at in it"),
        ({"metric": "t", "path": "v", "time": "at"}, '{"v":1,"at":"noon"}', "ISO 8601"),
        ({"device": "{$.name}", "metric": "t", "path": "v"}, '{"v":1}', "$.name names the device"),
        ({"device": "{$.n}", "metric": "t", "path": "v"}, '{"v":1,"n":""}', "no name for a"),
        ({"metric": "{$.n}", "path": "v"}, '{"v":1,"n":""}', "no name for a metric"),
    ],
)
def test_what_is_rejected(mapping: dict[str, Any], payload: str, reason: str) -> None:
    """What a payload has not as the mapping expects it is said, but the message goes on."""
    (said,) = rejected(hear({"topic": "x/{device}"} | mapping, "x/den", payload))
    assert said.startswith("x/den: ")
    assert reason in said


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        ({}, "missing required field `topic`"),
        ({"topic": "a/#/b"}, "not alone in the last level"),
        ({"topic": "{device}/{device}"}, "two levels of one name"),
        ({"topic": "a/{room}"}, "{device} is no level"),
        ({"topic": "a", "device": "den", "metric": "{kind}"}, "{kind} is no level"),
        ({"topic": "a/{device}", "unit": "°C"}, "metric is missing"),
        ({"topic": "a/{device}", "metric": "t", "path": "a..b"}, "is no path"),
        ({"topic": "a/{device}", "metric": "t", "time": "["}, "is no path"),
        ({"topic": "a/{device}", "fields": [{"metric": "t"}]}, "needs a path and a metric"),
        (
            {"topic": "a/{device}", "metric": "t", "fields": [{"path": "a", "metric": "t"}]},
            "belong into the fields",
        ),
        ({"topic": "a/{device}", "online": "x"}, "needed together"),
        ({"topic": "a/{device}", "metrics": "t"}, "unknown field `metrics`"),
    ],
)
def test_a_mapping_that_can_not_be(mapping: dict[str, Any], reason: str) -> None:
    """What doesn't fit together is said before anything runs."""
    with pytest.raises(msgspec.ValidationError, match=r"^[\s\S]*" + reason.replace("{", r"\{")):
        settings(mapping)
