"""Text records of the ESP32 + DHT11 firmware: ``[seconds],humidity,°C,°F|``.

The facts and the quirks of real devices are in ``docs/protocols/dht-stream.md``.
"""

from __future__ import annotations

import re
from array import array
from typing import Final

from motehub.model import MICROSECONDS, Clock, Diagnostic, Malformed, Record, Samples

RECORD_LIMIT: Final = 200
"""Longest record in bytes that the firmware writes, without the closing ``|``."""

QUIET: Final = MICROSECONDS
"""Silence in µs after which a batch without clock counts as complete."""

HELD_LIMIT: Final = 256
"""Most records without clock that wait for the end of their batch."""

HELD_TIME: Final = 5 * MICROSECONDS
"""Longest time in µs that one waits, when the device never pauses."""

BAD_SAMPLES: Final = 16
"""Bad records of one read that are kept one by one; the others are only counted."""

MESSAGES: Final = 16
"""Messages of one read that become events; more of them are rejected, and counted."""

FAHRENHEIT_TOLERANCE: Final = 1.0
"""°F by which the two temperatures may differ: some firmware rounds °C to whole degrees."""

# A clock that was never set counts from boot; ten years of uptime stay far below 2001.
FIRST_CLOCK_SECOND: Final = 1_000_000_000
LAST_CLOCK_SECOND: Final = 4_099_999_999

# Large exponents are left out: every number that matches is finite. Only single characters are
# repeated possessively: Python before 3.11.5 goes wrong on a possessive group that fails inside.
_NUMBER: Final = rb"-?\d{1,15}+(?:\.\d{1,15}+)?(?:e(?:-\d{1,3}+|\+?\d{1,2}+))?"
_SECONDS: Final = rb"\[(?:[1-3]\d{9}|40\d{8})\]"
# Whole runs of plain records, which is nearly all that devices send, are read in C: this pattern
# finds the run, then translate, split and float take it apart.
_PLAIN_RUN: Final = re.compile(rb"(?:\s*+" + _SECONDS + (rb"," + _NUMBER) * 3 + rb"\|)+")
_BAR_TO_COMMA: Final = bytes.maketrans(b"|", b",")
_DISPENSABLE: Final = b"[] \t\r\n\v\f"
_FINITE: Final = re.compile(_NUMBER)
_NOT_FINITE: Final = re.compile(rb"[+-]?(?:nan|inf)(?:\([^)]*\))?", re.IGNORECASE)
_RECORD: Final = re.compile(rb"\[(\d{1,19})\]," + rb",".join([rb"([^,]{1,64})"] * 3))

METRICS: Final = (("relative_humidity", "%"), ("temperature", "°C"))


class DhtStreamDecoder:
    """Decodes one connection's bytes; call ``feed``, ``timeout`` at ``deadline``, then ``eof``.

    All times are UTC microseconds. ``record_limit`` bounds a record in bytes, and so what is
    kept between two calls of ``feed``.
    """

    def __init__(self, record_limit: int = RECORD_LIMIT) -> None:
        self._record_limit = record_limit
        self._tail = b""
        self._skipping = False
        self._held: list[tuple[int, float, float]] = []
        self._held_at = self._held_since = 0
        self._begin()

    @property
    def deadline(self) -> int | None:
        """When ``timeout`` has to be called, or None."""
        return self._held_at + QUIET if self._held else None

    def feed(self, data: bytes, now: int) -> list[Record]:
        """Return the records that ``data``, received at ``now``, completes.

        At most one ``Samples`` of each metric and clock; one bad record never costs the good
        ones beside it.
        """
        if self._tail:
            data = self._tail + data
        position = self._skip_oversized(data) if self._skipping else 0
        end = len(data)
        while position < end:
            if run := _PLAIN_RUN.match(data, position):
                self._take_run(data[position : run.end()])
                position = run.end()
                continue
            bar = data.find(b"|", position)
            if bar < 0:
                break
            self._take_record(data[position:bar].strip(), now)
            position = bar + 1
        self._keep_tail(data[position:].lstrip())
        return self._collect()

    def timeout(self, now: int) -> list[Record]:
        """Return the records of a batch without clock once it has been quiet long enough."""
        if self._held and now >= self._held_at + QUIET:
            self._release_held()
        return self._collect()

    def eof(self, now: int) -> list[Record]:
        """Return what the end of the connection at ``now`` completes or cuts off."""
        if self._tail:
            self._reject(self._tail, "the connection ended inside this record")
        self._tail = b""
        self._skipping = False
        self._release_held()
        return self._collect()

    def _begin(self) -> None:
        self._times = array("q")
        self._humidity = array("d")
        self._celsius = array("d")
        self._stamped: list[Record] = []
        self._others: list[Record] = []
        self._rejected = 0
        self._messages = 0

    def _collect(self) -> list[Record]:
        records: list[Record] = []
        if self._times:
            records += _samples(self._times, self._humidity, self._celsius, Clock.DEVICE)
        records += self._stamped
        records += self._others
        if (more := self._rejected - BAD_SAMPLES) > 0:
            records.append(Malformed(b"", "more bad records in the same read", more))
        if records:
            self._begin()
        return records

    def _take_run(self, run: bytes) -> None:
        fields = run.translate(_BAR_TO_COMMA, _DISPENSABLE).split(b",")
        fields.pop()
        celsius = array("d", map(float, fields[2::4]))
        self._times.extend([int(second) * MICROSECONDS for second in fields[0::4]])
        self._humidity.extend(map(float, fields[1::4]))
        self._celsius.extend(celsius)
        self._compare_scales(celsius, map(float, fields[3::4]))

    def _compare_scales(self, celsius: array[float], fahrenheit: map[float]) -> None:
        for c, f in zip(celsius, fahrenheit, strict=True):
            if not -FAHRENHEIT_TOLERANCE < c * 1.8 + 32 - f < FAHRENHEIT_TOLERANCE:
                self._note_mismatch(c, f)
                return

    def _note_mismatch(self, celsius: float, fahrenheit: float) -> None:
        text = f"{celsius:g} °C and {fahrenheit:g} °F are not the same temperature; °C is stored"
        self._others.append(Diagnostic("temperature_mismatch", text, once=True))

    def _take_record(self, record: bytes, now: int) -> None:
        if len(record) > self._record_limit:
            self._reject(record, f"the record is longer than {self._record_limit} bytes")
        elif record.startswith(b"[ERROR]"):
            self._take_message(record)
        elif fields := _RECORD.fullmatch(record):
            self._take_fields(record, fields, now)
        else:
            self._reject(record, "not of the form [seconds],humidity,celsius,fahrenheit")

    def _take_message(self, record: bytes) -> None:
        self._messages += 1
        if self._messages <= MESSAGES:
            text = record[len(b"[ERROR]") :].strip().decode("utf-8", "replace")
            self._others.append(Diagnostic("device_error", text))
        else:
            self._reject(record, "more messages in one read than are kept")

    def _take_fields(self, record: bytes, fields: re.Match[bytes], now: int) -> None:
        values = fields.groups()[1:]
        if not all(map(_FINITE.fullmatch, values)):
            finite = not any(map(_NOT_FINITE.fullmatch, values))
            self._reject(record, "a value is not a number" if finite else "a value is not finite")
            return
        humidity, celsius, fahrenheit = map(float, values)
        second = int(fields[1])
        if second > LAST_CLOCK_SECOND:
            self._reject(record, "the time lies after the year 2099")
            return
        if abs(celsius * 1.8 + 32 - fahrenheit) >= FAHRENHEIT_TOLERANCE:
            self._note_mismatch(celsius, fahrenheit)
        if second < FIRST_CLOCK_SECOND:
            self._hold(second, humidity, celsius, now)
        else:
            self._times.append(second * MICROSECONDS)
            self._humidity.append(humidity)
            self._celsius.append(celsius)

    def _hold(self, second: int, humidity: float, celsius: float, now: int) -> None:
        """Keep a record of a device without clock until its batch is complete."""
        if self._held and (
            second < self._held[-1][0]
            or len(self._held) >= HELD_LIMIT
            or now >= self._held_since + HELD_TIME
        ):
            self._release_held()
        if not self._held:
            self._held_since = now
        self._held.append((second, humidity, celsius))
        self._held_at = now

    def _release_held(self) -> None:
        """Date the held batch: its newest record arrived "now", the others lie before it."""
        if not self._held:
            return
        newest = self._held[-1][0]
        times = array("q", (self._held_at - (newest - h[0]) * MICROSECONDS for h in self._held))
        humidity = array("d", (h[1] for h in self._held))
        celsius = array("d", (h[2] for h in self._held))
        self._stamped += _samples(times, humidity, celsius, Clock.HUB)
        self._held.clear()

    def _keep_tail(self, tail: bytes) -> None:
        if len(tail) > self._record_limit:
            self._reject(tail, f"the record is longer than {self._record_limit} bytes")
            self._skipping = True
            tail = b""
        self._tail = tail

    def _skip_oversized(self, data: bytes) -> int:
        bar = data.find(b"|")
        self._skipping = bar < 0
        return len(data) if bar < 0 else bar + 1

    def _reject(self, payload: bytes, reason: str) -> None:
        self._rejected += 1
        if self._rejected <= BAD_SAMPLES:
            self._others.append(Malformed(payload[: self._record_limit], reason))


def _samples(
    times: array[int], humidity: array[float], celsius: array[float], clock: Clock
) -> list[Record]:
    (humid, percent), (warm, degrees) = METRICS
    return [
        Samples(humid, percent, times, humidity, clock),
        Samples(warm, degrees, times, celsius, clock),
    ]
