"""Posts of the pimonitor form, with the clocks of every zone there is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub.model import MICROSECONDS, Clock, Malformed, Samples, Texts
from motehub.protocols.pimonitor import (
    CLOCK_ERROR,
    FIELDS,
    SENSORS,
    Post,
    Refused,
    decode_post,
)

EASTERN = ZoneInfo("US/Eastern")
API_HASH = "0123456789abcdef" * 4
SENSOR = {"sensorType": "DHT22", "temperature": 71.96, "humidity": 40.5}
POST = {
    "api_hash": API_HASH,
    "location": "my-pimonitor",
    "timestamp": "11/20/2026 18:05:09",
    "sensors": [SENSOR],
}


def utc(*fields: int) -> int:
    """Return the UTC µs of year, month, day and so on."""
    return round(datetime(*fields, tzinfo=UTC).timestamp()) * MICROSECONDS  # type: ignore[misc,arg-type]


LATE = 900
"""Seconds after which a post arrives in the test of all zones."""

NOW = utc(2026, 11, 20, 23, 5, 11)


def decode(body: bytes | dict[str, Any], now: int = NOW, zone: tzinfo = EASTERN) -> Post | Refused:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decode_post(data, now, lambda location: zone)


def accepted(*sensors: Any) -> Post:
    """Return the post with these sensors."""
    post = decode(POST | {"sensors": list(sensors)})
    assert isinstance(post, Post)
    return post


def values(post: Post) -> dict[str, float | str]:
    """Return the value of each metric."""
    return {r.metric: r.values[0] for r in post.records if isinstance(r, Samples | Texts)}


def reasons(post: Post) -> list[str]:
    return [record.reason for record in post.records if isinstance(record, Malformed)]


def refused(body: bytes | dict[str, Any], now: int = NOW, zone: tzinfo = EASTERN) -> str:
    """Return why a body is refused."""
    answer = decode(body, now, zone)
    assert isinstance(answer, Refused)
    assert len(answer.payload) <= 200
    return answer.reason


def time_of(timestamp: str, now: int, zone: tzinfo = EASTERN) -> int:
    post = decode(POST | {"timestamp": timestamp}, now, zone)
    assert isinstance(post, Post), post
    record = post.records[0]
    assert isinstance(record, Samples)
    return record.times[0]


def test_the_post_of_the_protocol_document() -> None:
    """°F become °C, % stay %, and local time becomes UTC, on the device's clock."""
    post = decode(POST)
    assert isinstance(post, Post)
    assert (post.api_hash, post.location) == (API_HASH, "my-pimonitor")
    assert post.timestamp == "11/20/2026 18:05:09"
    temperature, humidity = post.records
    assert isinstance(temperature, Samples)
    assert isinstance(humidity, Samples)
    assert (temperature.metric, temperature.unit) == ("temperature", "°C")
    assert (humidity.metric, humidity.unit) == ("relative_humidity", "%")
    assert temperature.values.tolist() == [22.2]
    assert humidity.values.tolist() == [40.5]
    assert temperature.clock is humidity.clock is Clock.DEVICE
    assert temperature.times.tolist() == humidity.times.tolist() == [utc(2026, 11, 20, 23, 5, 9)]


@pytest.mark.parametrize("change", [{"api_hash": None}, {}])
def test_a_client_without_hash(change: dict[str, Any]) -> None:
    """An absent hash is none, and so is null."""
    body = {key: value for key, value in POST.items() if key != "api_hash"} | change
    post = decode(body)
    assert isinstance(post, Post)
    assert post.api_hash is None


def test_the_hash_is_compared_in_lower_case() -> None:
    """Hexadecimal digits in upper case are the same hash."""
    post = decode(POST | {"api_hash": API_HASH.upper()})
    assert isinstance(post, Post)
    assert post.api_hash == API_HASH


def test_keys_that_nobody_knows_are_passed_over() -> None:
    """A client may send more about itself than the hub stores."""
    assert decode(POST | {"version": 3, "tags": ["a", {"b": 1}]}) == decode(POST)


def test_several_sensors_have_series_of_their_own() -> None:
    """The second of a type has a number, another type its name; the order between types is free."""
    bmp280 = {"sensorType": "BMP280", "temperature": 32, "pressure": 1013.25}
    second = {"sensorType": "DHT22", "temperature": 50, "humidity": 50}
    post = accepted(bmp280, SENSOR, second, bmp280)
    assert values(post) == {
        "temperature_bmp280": 0,
        "pressure_bmp280": 1013.25,
        "temperature": 22.2,
        "relative_humidity": 40.5,
        "temperature_2": 10,
        "relative_humidity_2": 50,
        "temperature_bmp280_2": 0,
        "pressure_bmp280_2": 1013.25,
    }


def test_a_missing_sensor_moves_no_other_type() -> None:
    """The series of a sensor do not depend on what other types are in the post."""
    bmp280 = {"sensorType": "BMP280", "pressure": 1013}
    alone, beside = accepted(bmp280), accepted(SENSOR, bmp280)
    assert values(alone).items() <= values(beside).items()


@pytest.mark.parametrize("name", ["DHT22", "dht11", "AM2302", None, ""])
def test_types_without_a_name_of_their_own(name: str | None) -> None:
    """The usual sensors, and those without type, give plain metrics."""
    assert values(accepted({"sensorType": name, "humidity": 1})) == {"relative_humidity": 1}
    assert values(accepted({"humidity": 1})) == {"relative_humidity": 1}


@pytest.mark.parametrize(
    ("field", "metric"),
    [
        ("soilMoisture", "soil_moisture"),
        ("CO2", "co2"),
        ("PM2.5", "pm2_5"),
        ("rawHTTPCode", "raw_http_code"),
        ("light level (lx)", "light_level_lx"),
        ("Größe", "größe"),
    ],
)
def test_other_fields_are_series(field: str, metric: str) -> None:
    """A field that nobody planned for is kept under its name in snake case, without a unit."""
    post = accepted({field: 7})
    assert [(r.metric, r.unit) for r in post.records if isinstance(r, Samples)] == [(metric, "")]


def test_booleans_and_texts() -> None:
    """A boolean is 1 or 0; text is a series of text."""
    post = accepted({"motion": True, "dark": False, "state": 'open: "half" \u00e4'})
    assert values(post) == {"motion": 1, "dark": 0, "state": 'open: "half" ä'}
    assert isinstance(post.records[2], Texts)


@pytest.mark.parametrize("spelling", ["Temperature", "TEMPERATURE", "temperature"])
def test_fahrenheit_in_any_spelling(spelling: str) -> None:
    """No spelling of temperature gets past the conversion."""
    assert values(accepted({spelling: 212})) == {"temperature": 100}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("null", "temperature is null where a number is expected"),
        ("NaN", "temperature is not a finite number"),
        ("-Infinity", "temperature is not a finite number"),
        ("1e400", "temperature is not a finite number"),
        ("9" * 400, "temperature is not a finite number"),
        ("9" * 5000, "temperature is not a finite number"),
        ('"71.96"', "temperature is text where a number is expected"),
        ("true", "temperature is a boolean where a number is expected"),
        ("[1]", "temperature is an array where a number is expected"),
        ('{"a": 1}', "temperature is an object where a number is expected"),
    ],
)
def test_a_value_that_is_none(value: str, reason: str) -> None:
    """What can't be taken is rejected with a reason, and the rest of the post is taken."""
    body = json.dumps(POST).replace("71.96", value).encode()
    post = decode(body)
    assert isinstance(post, Post)
    assert reasons(post) == [reason]
    assert values(post) == {"relative_humidity": 40.5}


@pytest.mark.parametrize(
    ("sensor", "reason"),
    [
        (None, "sensor 1 is null where an object is expected"),
        (3, "sensor 1 is a number where an object is expected"),
        ([], "sensor 1 is an array where an object is expected"),
        ({}, "sensor 1 has no values"),
        ({"sensorType": "BMP280"}, "sensor 1 has no values"),
        ({"sensorType": 4, "a": 1}, "sensor 1 has a 'sensorType' that is no name"),
        ({"sensorType": "--", "a": 1}, "sensor 1 has a 'sensorType' that is no name"),
        ({"sensorType": "b" * 200, "a": 1}, "sensor 1 has a 'sensorType' that is no name"),
        ({"": 1}, " makes no metric name of 1 to 128 printable bytes"),
        ({"a" * 300: 1}, "a" * 40 + " has a name of more than 128 bytes"),
        ({"ä" * 100: 1}, "ä" * 100 + " makes no metric name of 1 to 128 printable bytes"),
        ({"\ud83d": 1}, None),
        ({"text": "\ud83d"}, "text is text with half of a surrogate pair"),
    ],
)
def test_a_sensor_that_is_none(sensor: Any, reason: str | None) -> None:
    """A bad sensor is rejected with a reason; the one beside it is taken."""
    post = accepted(sensor, {"sensorType": "Other", "x": 1})
    assert len(reasons(post)) == 1
    assert reason is None or reasons(post) == [reason]
    assert values(post) == {"x_other": 1}


def test_a_bad_sensor_keeps_its_number() -> None:
    """The second of a type is the second, whatever became of the first."""
    assert values(accepted({"sensorType": "DHT22"}, SENSOR)).keys() == {
        "temperature_2",
        "relative_humidity_2",
    }


def test_two_fields_for_one_metric() -> None:
    """Where names run together, the first is taken and the second rejected."""
    post = accepted({"soilMoisture": 1, "soil_moisture": 2})
    assert values(post) == {"soil_moisture": 1}
    assert reasons(post) == [
        "soil_moisture is the second value for the metric soil_moisture in this post"
    ]


def test_a_key_that_occurs_twice() -> None:
    """Nobody can say which value was meant: the sensor is rejected, or the post refused."""
    sensor = json.dumps(POST).replace('"humidity"', '"temperature"').encode()
    post = decode(sensor)
    assert isinstance(post, Post)
    assert reasons(post) == ["sensor 1 has the key 'temperature' twice"]
    top = json.dumps(POST).replace('"api_hash"', '"location"').encode()
    assert refused(top) == "The key 'location' occurs twice."


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"api_hash": "abc"}, "'api_hash' is not 64 hexadecimal digits."),
        ({"api_hash": ""}, "'api_hash' is not 64 hexadecimal digits."),
        ({"api_hash": 5}, "'api_hash' is not 64 hexadecimal digits."),
        ({"location": ""}, "'location' can't name a device: ''."),
        ({"location": "a\nb"}, "'location' can't name a device: 'a\\nb'."),
        ({"location": "\ud83d"}, "'location' can't name a device: '\\ud83d'."),
        ({"location": "ä" * 65}, "'location' is longer than 128 bytes."),
        ({"location": 3}, "'location' is a number where a text is expected."),
        ({"timestamp": None}, "'timestamp' is null where a text is expected."),
        ({"sensors": {}}, "'sensors' is an object where an array is expected."),
        ({"sensors": []}, "There is no sensor in 'sensors'."),
        (
            {"sensors": [SENSOR] * (SENSORS + 1)},
            f"There are {SENSORS + 1} sensors; {SENSORS} are the most.",
        ),
        (
            {"sensors": [dict.fromkeys(map(str, range(FIELDS + 1)), 1)]},
            f"There are {FIELDS + 1} fields in the sensors; {FIELDS} are the most.",
        ),
        (
            {"timestamp": "2026-11-20 18:05:09"},
            "'timestamp' is not of the form month/day/year h:m:s: '2026-11-20 18:05:09'.",
        ),
        (
            {"timestamp": "13/20/2026 18:05:09"},
            "'timestamp' is no date and time: '13/20/2026 18:05:09' (month must be in 1..12).",
        ),
        (
            {"timestamp": "01/01/2262 00:00:00"},
            "'timestamp' is not between 1970 and 2261: '01/01/2262 00:00:00'.",
        ),
    ],
)
def test_a_post_that_is_refused(change: dict[str, Any], reason: str) -> None:
    """A wrong member refuses the post, with a reason that names it."""
    assert refused(POST | change) == reason


@pytest.mark.parametrize("key", ["location", "timestamp", "sensors"])
def test_a_missing_member(key: str) -> None:
    """Without location, time or sensors there is nothing to store."""
    assert refused({k: v for k, v in POST.items() if k != key}) == f"The key {key!r} is missing."


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "The body is not JSON: expecting value at byte 0."),
        (b"[]", "The body is an array where an object is expected."),
        (b"hello", "The body is not JSON: expecting value at byte 0."),
        (b"{} {}", "The body is not JSON: more text behind the value at byte 3."),
        (b"\xff", "The body is bad UTF-8 at byte 0."),
        (b"\xef\xbb\xbf{}", "The body is not JSON: a byte order mark at byte 0."),
        (b"[" * 100_000, "The body is nested too deep, from byte 0 on."),
        (b'{"a":' * 100_000, "The body is nested too deep, from byte 0 on."),
        (
            b'{"location": "a", "timestamp": "b", "sensors": [{"a": ' + b"[" * 100_000,
            "The body is nested too deep, from byte 0 on.",
        ),
    ],
)
def test_a_body_that_is_none(body: bytes, reason: str) -> None:
    """What is not JSON, or not an object, is refused with its place."""
    assert refused(body) == reason


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (utc(2026, 11, 1, 5, 30, 2), utc(2026, 11, 1, 5, 30)),  # the first 1:30 has just been
        (utc(2026, 11, 1, 6, 20), utc(2026, 11, 1, 5, 30)),  # late, still before the second
        (utc(2026, 11, 1, 6, 24), utc(2026, 11, 1, 5, 30)),
        (utc(2026, 11, 1, 6, 25), utc(2026, 11, 1, 6, 30)),  # the clock may be 5 min ahead
        (utc(2026, 11, 1, 6, 30, 2), utc(2026, 11, 1, 6, 30)),  # the second 1:30 has just been
        (utc(2026, 11, 5), utc(2026, 11, 1, 6, 30)),  # long ago: the later one
        (utc(2026, 10, 1), utc(2026, 11, 1, 5, 30)),  # not yet: the earlier one
    ],
)
def test_the_hour_that_occurs_twice(now: int, expected: int) -> None:
    """Which of the two 1:30 is meant depends on the arrival."""
    assert time_of("11/01/2026 01:30:00", now) == expected


def test_the_hour_that_is_skipped() -> None:
    """A time that no clock of the zone has shown is refused, and the reason says so."""
    reason = refused(POST | {"timestamp": "03/08/2026 02:30:00"})
    assert reason == (
        "There is no '03/08/2026 02:30:00' in the zone US/Eastern: the clocks skip it. Check the"
        " zone that is set for this location."
    )
    assert time_of("03/08/2026 01:59:59", NOW) == utc(2026, 3, 8, 6, 59, 59)
    assert time_of("03/08/2026 03:00:00", NOW) == utc(2026, 3, 8, 7)


def test_a_time_before_all_times() -> None:
    """1970 begins in UTC, not in the device's zone."""
    new_year = POST | {"timestamp": "01/01/1970 00:00:00"}
    reason = refused(new_year, NOW, ZoneInfo("Asia/Tokyo"))
    assert reason == "'timestamp' lies before 1970 in UTC: '01/01/1970 00:00:00'."
    assert isinstance(decode(new_year), Post)


def test_half_an_hour_and_a_whole_day() -> None:
    """Lord Howe changes by half an hour; Apia had no 30 December 2011."""
    lord_howe, apia = ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Pacific/Apia")
    second = utc(2026, 4, 4, 15, 15)
    stamp = "04/05/2026 01:45:00"
    assert time_of(stamp, second, lord_howe) == second
    first = utc(2026, 4, 4, 14, 45)
    assert time_of(stamp, first, lord_howe) == first
    assert "skip" in refused(POST | {"timestamp": "10/04/2026 02:15:00"}, NOW, lord_howe)
    assert "skip" in refused(POST | {"timestamp": "12/30/2011 12:00:00"}, NOW, apia)
    assert time_of("12/31/2011 00:00:00", NOW, apia) == utc(2011, 12, 30, 10)


@given(
    zone=st.sampled_from(sorted(available_timezones())).map(ZoneInfo),
    second=st.integers(utc(1970, 1, 3) // MICROSECONDS, utc(2100, 1, 1) // MICROSECONDS),
    late=st.integers(-CLOCK_ERROR // MICROSECONDS, LATE),
)
def test_every_zone_that_there_is(zone: ZoneInfo, second: int, late: int) -> None:
    """A post that arrives within minutes of its time has that time.

    Only a change of the clock by minutes, as there were long ago, can make it the later one.
    """
    moment = datetime.fromtimestamp(second, zone)
    if moment.utcoffset() != timedelta(minutes=round(zone_minutes(moment))):
        return  # local mean times, of which clocks show no seconds
    now = (second + late) * MICROSECONDS
    time = time_of(moment.strftime("%m/%d/%Y %H:%M:%S"), now, zone)
    assert datetime.fromtimestamp(time // MICROSECONDS, zone).replace(tzinfo=None) == (
        moment.replace(tzinfo=None)
    )
    assert time <= now + CLOCK_ERROR
    assert 0 <= time - second * MICROSECONDS <= CLOCK_ERROR + LATE * MICROSECONDS


def zone_minutes(moment: datetime) -> float:
    offset = moment.utcoffset()
    assert offset is not None
    return offset.total_seconds() / 60


WHOLE = json.dumps(POST).encode()


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_every_truncation(length: int) -> None:
    """A body that was cut off is refused, wherever the cut is."""
    assert refused(WHOLE[:length]).startswith("The body is not JSON")


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["temperature", "sensorType", "x", "\ud83d"]), inner)
    ),
    max_leaves=8,
)


@given(
    st.binary(max_size=99)
    | st.fixed_dictionaries(
        {},
        optional={
            "location": st.just("here") | json_values,
            "timestamp": st.just("11/20/2026 18:05:09") | json_values,
            "sensors": st.lists(json_values, max_size=3) | json_values,
            "api_hash": json_values,
        },
    ).map(lambda members: json.dumps(members).encode())
)
def test_garbage(body: bytes) -> None:
    """Whatever a body holds, it is a post or refused, and its records can be stored."""
    answer = decode(body)
    assert isinstance(answer, Post | Refused)
    for record in answer.records if isinstance(answer, Post) else []:
        assert isinstance(record, Samples | Texts | Malformed)
        if isinstance(record, Malformed):
            assert len(record.payload) <= 200
            continue
        assert record.metric.isprintable()
        assert 1 <= len(record.metric.encode()) <= 128
        assert len(record.times) == len(record.values) == 1


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), st.floats(-9, 9)), min_size=1))
def test_both_ways_agree(sensors: list[dict[str, float]]) -> None:
    """White space and unknown keys, which lead the exact way, change nothing."""
    body = POST | {"sensors": sensors}
    assert decode(body) == decode(json.dumps(body | {"more": '"'}, indent=1).encode())
