"""Posts of sensors in the manner of pimonitor: ``{"location", "timestamp", "sensors": [...]}``.

The facts and the quirks of real clients are in ``docs/protocols/pimonitor.md``.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Any, Final

import msgspec

from motehub import exact_json
from motehub.model import MICROSECONDS, Malformed, Record, Samples, Texts

CLOCK_ERROR: Final = 300 * MICROSECONDS
"""How far a device's clock may be ahead of the hub's in the hour that occurs twice, in µs."""

SENSORS: Final = 64
"""Most sensors in a post."""

FIELDS: Final = 256
"""Most fields of all sensors of a post together."""

NAME_BYTES: Final = 128
"""Longest location, field name, sensor type and metric, in UTF-8 bytes."""

FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2261

PLAIN_TYPES: Final = frozenset({"", "dht22", "dht11", "am2302"})
"""Sensor types that add nothing to the metric's name."""

Value = float | bool | str | None


class Post(msgspec.Struct, frozen=True):
    """One accepted post.

    ``api_hash`` is 64 hexadecimal digits in lower case, or None where the client sent none;
    ``timestamp`` is as it was sent. ``records`` are ``Samples`` (and ``Texts``) with the device's
    clock, and a ``Malformed`` for each field or sensor that can't be taken.
    """

    api_hash: str | None
    location: str
    timestamp: str
    records: list[Record]


class Refused(msgspec.Struct, frozen=True):
    """A body of which nothing can be taken: why, and its first bytes."""

    reason: str
    payload: bytes


class _Body(msgspec.Struct):
    location: str
    timestamp: str
    sensors: list[dict[str, Value]]
    api_hash: str | None = None


class _Fault(Exception):
    """Why the whole post is refused."""


_decoder: Final = msgspec.json.Decoder(_Body)
_API_HASH: Final = re.compile(r"[0-9a-fA-F]{64}")
_TIMESTAMP: Final = re.compile(
    r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4}) ([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})"
)
_TIMESTAMP_LENGTH: Final = 40  # more than any has; the rest of a longer text can't matter
_WORD_BOUNDARY: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])")
_NOT_WORD: Final = re.compile(r"[\W_]+")
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  (local times are compared with it)
# Quotes of a post's own keys and strings: "location", "timestamp" and "sensors", two values.
_QUOTES: Final = 10
_QUOTES_OF_HASH: Final = 4


def decode_post(body: bytes, now: int, zone_of: Callable[[str], tzinfo]) -> Post | Refused:
    """Return what ``body``, which arrived at ``now`` (UTC µs), says.

    ``zone_of`` gives the time zone of a location. The caller bounds the length of ``body``.
    """
    try:
        post = _decode(body)
        time = _time_of(post.timestamp, now, zone_of(post.location))
    except _Fault as fault:
        return Refused(str(fault), body[: exact_json.PAYLOAD_LIMIT])
    api_hash = post.api_hash.lower() if post.api_hash else None
    return Post(api_hash, post.location, post.timestamp, _Sensors(time).take(post.sensors))


def _decode(body: bytes) -> _Body:
    """Return the checked members of a post; its sensors are checked one by one later."""
    try:
        post = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        post = _decode_exactly(body)
    else:
        # A key that occurs twice is decoded once, but its quotes are there; quotes inside strings
        # only make them more.
        if body.count(b'"') != _quotes(post):
            post = _decode_exactly(body)
    _check_members(post)
    return post


def _quotes(post: _Body) -> int:
    """Return how many quotes the members that were decoded need."""
    quotes = _QUOTES + (_QUOTES_OF_HASH if post.api_hash is not None else 0)
    for sensor in post.sensors:
        quotes += 2 * len(sensor)
        for value in sensor.values():
            if value.__class__ is str:
                quotes += 2
    return quotes


def _decode_exactly(body: bytes) -> _Body:
    try:
        members = exact_json.decode(body)
    except exact_json.NotJson as error:
        raise _Fault(f"The body is {error}.") from None
    if not isinstance(members, dict):
        raise _Fault(f"The body is {exact_json.kind_of(members)} where an object is expected.")
    if isinstance(members, exact_json.Repeated):
        raise _Fault(f"The key {members.key[:40]!r} occurs twice.")
    for name, kind in (("location", str), ("timestamp", str), ("sensors", list)):
        if name not in members:
            raise _Fault(f"The key {name!r} is missing.")
        if not isinstance(members[name], kind):
            expected = "a text" if kind is str else "an array"
            found = exact_json.kind_of(members[name])
            raise _Fault(f"{name!r} is {found} where {expected} is expected.")
    api_hash = members.get("api_hash")
    if not isinstance(api_hash, str | None):
        raise _Fault("'api_hash' is not 64 hexadecimal digits.")
    return _Body(members["location"], members["timestamp"], members["sensors"], api_hash)


def _check_members(post: _Body) -> None:
    if post.api_hash is not None and not _API_HASH.fullmatch(post.api_hash):
        raise _Fault("'api_hash' is not 64 hexadecimal digits.")
    location = post.location
    if not location or not location.isprintable() or location.isspace():
        raise _Fault(f"'location' can't name a device: {location[:40]!r}.")
    if len(location.encode()) > NAME_BYTES:
        raise _Fault(f"'location' is longer than {NAME_BYTES} bytes.")
    if not post.sensors:
        raise _Fault("There is no sensor in 'sensors'.")
    if len(post.sensors) > SENSORS:
        raise _Fault(f"There are {len(post.sensors)} sensors; {SENSORS} are the most.")
    sensors: list[Any] = post.sensors  # those that were decoded exactly may be anything
    fields = sum(len(sensor) for sensor in sensors if isinstance(sensor, dict))
    if fields > FIELDS:
        raise _Fault(f"There are {fields} fields in the sensors; {FIELDS} are the most.")


def _time_of(timestamp: str, now: int, zone: tzinfo) -> int:
    """Return UTC µs of a local time.

    Of the two that a time may mean when the clocks are set back, it is the later one unless that
    lies more than ``CLOCK_ERROR`` after ``now``.
    """
    earlier, later = _moments(timestamp[:_TIMESTAMP_LENGTH], zone)
    return later if later <= now + CLOCK_ERROR else earlier


@lru_cache(1024)
def _moments(timestamp: str, zone: tzinfo) -> tuple[int, int]:
    """Return the two moments (UTC µs) that a local time may mean; nearly always they are one."""
    fields = _TIMESTAMP.fullmatch(timestamp)
    if not fields:
        raise _Fault(f"'timestamp' is not of the form month/day/year h:m:s: {timestamp!r}.")
    month, day, year, hour, minute, second = map(int, fields.groups())
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise _Fault(f"'timestamp' is not between {FIRST_YEAR} and {LAST_YEAR}: {timestamp!r}.")
    try:
        local = datetime(year, month, day, hour, minute, second, tzinfo=zone)
    except ValueError as error:
        raise _Fault(f"'timestamp' is no date and time: {timestamp!r} ({error}).") from None
    # PEP 495: fold=0 takes the offset before a change of the clock, fold=1 the one after it.
    earlier, later = _utc(local), _utc(local.replace(fold=1))
    if earlier > later:
        raise _Fault(
            f"There is no {timestamp!r} in the zone {zone}: the clocks skip it. Check the zone"
            " that is set for this location."
        )
    if earlier < 0:
        raise _Fault(f"'timestamp' lies before {FIRST_YEAR} in UTC: {timestamp!r}.")
    return earlier, later


def _utc(local: datetime) -> int:
    offset = local.utcoffset()
    naive = local.replace(tzinfo=None) - _EPOCH
    passed = naive - offset if offset else naive
    return (passed.days * 86_400 + passed.seconds) * MICROSECONDS + passed.microseconds


class _Sensors:
    """Turns the sensors of one post, which was sent at ``time``, into records."""

    def __init__(self, time: int) -> None:
        self._times = array("q", (time,))
        self._records: list[Record] = []
        self._metrics: set[str] = set()
        self._ordinals: dict[str, int] = {}

    def take(self, sensors: list[Any]) -> list[Record]:
        """Return the records of all sensors."""
        for position, sensor in enumerate(sensors, 1):
            if isinstance(sensor, dict):
                self._take_sensor(sensor, position)
            else:
                kind = exact_json.kind_of(sensor)
                self._reject(f"sensor {position}", sensor, f"is {kind} where an object is expected")
        return self._records

    def _take_sensor(self, sensor: dict[str, Any], position: int) -> None:
        suffix = _suffix(sensor.get("sensorType"))
        if suffix is None:
            self._reject(f"sensor {position}", sensor, "has a 'sensorType' that is no name")
            return
        ordinal = self._ordinals[suffix] = self._ordinals.get(suffix, 0) + 1
        if isinstance(sensor, exact_json.Repeated):
            reason = f"has the key {sensor.key[:40]!r} twice"
            self._reject(f"sensor {position}", sensor, reason)
            return
        if sensor.keys() <= {"sensorType"}:
            self._reject(f"sensor {position}", sensor, "has no values")
            return
        for field, value in sensor.items():
            if field != "sensorType":
                self._take_field(field, value, suffix, ordinal)

    def _take_field(self, field: str, value: Any, suffix: str, ordinal: int) -> None:
        if len(field) > NAME_BYTES:
            self._reject(field[:40], value, f"has a name of more than {NAME_BYTES} bytes")
            return
        name, metric, unit = _metric(field, suffix, ordinal)
        if not metric:
            self._reject(field, value, "makes no metric name of 1 to 128 printable bytes")
        elif metric in self._metrics:
            self._reject(field, value, f"is the second value for the metric {metric} in this post")
        elif isinstance(value, str) and not unit:
            if not exact_json.is_text(value):
                self._reject(field, value, "is text with half of a surrogate pair")
                return
            self._metrics.add(metric)
            self._records.append(Texts(metric, self._times, [value]))
        elif not isinstance(value, float | int) or (unit and isinstance(value, bool)):
            kind = exact_json.kind_of(value)
            self._reject(field, value, f"is {kind} where a number is expected")
        elif not math.isfinite(number := float(value)):
            self._reject(field, value, "is not a finite number")
        else:
            self._metrics.add(metric)
            if name == "temperature":
                number = _celsius(number)
            self._records.append(Samples(metric, unit, self._times, array("d", (number,))))

    def _reject(self, what: str, value: Any, reason: str) -> None:
        self._records.append(Malformed(_payload(what, value), f"{what} {reason}"))


def _celsius(fahrenheit: float) -> float:
    """Return °C, rounded so far that 71.96 °F are the 22.2 °C that the sensor showed."""
    return round((fahrenheit - 32) / 1.8, 9)


def _payload(what: str, value: Any) -> bytes:
    """Return the beginning of a rejected field or sensor, for its owner to recognise."""
    text = f"{what}: {value!r}" if isinstance(value, str | float | int) else f"{what}: {value}"
    return text[: exact_json.PAYLOAD_LIMIT].encode("utf-8", "replace")[: exact_json.PAYLOAD_LIMIT]


def _suffix(sensor_type: object) -> str | None:
    """Return what a sensor's type adds to its metrics, or None when it is no type."""
    if sensor_type is None:
        return ""
    if not isinstance(sensor_type, str) or len(sensor_type) > NAME_BYTES:
        return None
    name = _snake_case(sensor_type)
    if name in PLAIN_TYPES and (name or not sensor_type):
        return ""
    return name if name.isprintable() and name else None


@lru_cache(4096)
def _metric(field: str, suffix: str, ordinal: int) -> tuple[str, str, str]:
    """Return a field's own name, its metric and unit; the metric is empty where none can be.

    The names are bounded by the caller, so the cache is bounded too.
    """
    name = _snake_case(field)
    base, unit = {
        "temperature": ("temperature", "°C"),
        "humidity": ("relative_humidity", "%"),
    }.get(name, (name, ""))
    metric = base
    if suffix:
        metric += f"_{suffix}"
    if ordinal > 1:
        metric += f"_{ordinal}"
    usable = bool(name) and metric.isprintable() and len(metric.encode()) <= NAME_BYTES
    return name, metric if usable else "", unit


@lru_cache(1024)
def _snake_case(name: str) -> str:
    return _NOT_WORD.sub("_", _WORD_BOUNDARY.sub("_", name)).strip("_").lower()
