"""The text-stream decoder, against an independent reading of the protocol document."""

from __future__ import annotations

import math
from array import array

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from motehub.model import MICROSECONDS, Clock, Diagnostic, Malformed, Record, Samples
from motehub.protocols.dht_stream import (
    BAD_SAMPLES,
    HELD_LIMIT,
    MESSAGES,
    QUIET,
    RECORD_LIMIT,
    DhtStreamDecoder,
)

NOW = 1_746_119_400 * MICROSECONDS
BATCH = b"[1746119310],57,24.1,75.38|[1746119312],57,24.4,75.92|[1746119314],58,24.7,76.46|"


def decode(*pieces: bytes, now: int = NOW) -> list[Record]:
    """Feed the pieces, end the connection, return all records."""
    decoder = DhtStreamDecoder()
    records: list[Record] = []
    for piece in pieces:
        records += decoder.feed(piece, now)
    return records + decoder.eof(now)


def readings(records: list[Record]) -> dict[str, list[tuple[int, float]]]:
    """Return time and value of all samples by metric, whatever reads they came in."""
    found: dict[str, list[tuple[int, float]]] = {}
    for record in records:
        if isinstance(record, Samples):
            pairs = zip(record.times, record.values, strict=True)
            found.setdefault(record.metric, []).extend(pairs)
    return found


def reasons(records: list[Record]) -> list[str]:
    return [record.reason for record in records if isinstance(record, Malformed)]


def test_the_documented_batch() -> None:
    """The example of the protocol document decodes to its readings, in SI units."""
    records = decode(BATCH)
    times = [1746119310 * MICROSECONDS, 1746119312 * MICROSECONDS, 1746119314 * MICROSECONDS]
    assert records == [
        Samples("relative_humidity", "%", array("q", times), array("d", [57, 57, 58])),
        Samples("temperature", "°C", array("q", times), array("d", [24.1, 24.4, 24.7])),
    ]


@pytest.mark.parametrize("position", range(len(BATCH) + 1))
def test_every_split_point(position: int) -> None:
    """Where TCP or TLS cuts the stream changes nothing."""
    assert readings(decode(BATCH[:position], BATCH[position:])) == readings(decode(BATCH))


def test_byte_by_byte() -> None:
    """A sender that writes single bytes is understood."""
    assert readings(decode(*(BATCH[i : i + 1] for i in range(len(BATCH))))) == readings(
        decode(BATCH)
    )


@pytest.mark.parametrize("length", range(1, len(BATCH)))
def test_every_truncation(length: int) -> None:
    """A cut-off tail is rejected with the reason; the records before it are kept."""
    records = decode(BATCH[:length])
    whole = BATCH[:length].count(b"|")
    assert len(readings(records).get("temperature", [])) == whole
    expected = [] if BATCH[:length].endswith(b"|") else ["the connection ended inside this record"]
    assert reasons(records) == expected


def test_white_space_between_records_is_harmless() -> None:
    """Newlines, returns and spaces around records are skipped, at the end of the stream too."""
    spaced = BATCH.replace(b"|", b"|\r\n ")
    assert decode(b" \n" + spaced) == decode(BATCH)


@pytest.mark.parametrize(
    ("text", "value"),
    [(b"57", 57), (b"57.5", 57.5), (b"-3.2", -3.2), (b"1e-05", 1e-05), (b"1.5e+02", 150)],
)
def test_numbers_as_a_cpp_stream_prints_them(text: bytes, value: float) -> None:
    """Integers, fractions, signs and exponents are read exactly."""
    records = decode(b"[1746119310]," + text + b",20,68|")
    assert readings(records)["relative_humidity"][0][1] == value


@pytest.mark.parametrize("number", [b"nan", b"-nan", b"inf", b"-inf", b"NAN", b"nan(0x1)"])
def test_values_that_are_not_finite_are_rejected(number: bytes) -> None:
    """A failed measurement is rejected with the reason, and costs only its own record."""
    records = decode(b"[1746119310],57," + number + b",75.38|" + BATCH)
    assert reasons(records) == ["a value is not finite"]
    assert readings(records) == readings(decode(BATCH))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"", "not of the form"),
        (b"hello", "not of the form"),
        (b"[1746119310],57,24.1", "not of the form"),
        (b"[1746119310],57,24.1,75.38,1", "not of the form"),
        (b"1746119310,57,24.1,75.38", "not of the form"),
        (b"[-5],57,24.1,75.38", "not of the form"),
        (b"[1746119310.5],57,24.1,75.38", "not of the form"),
        (b"[1746119310],5_7,24.1,75.38", "not a number"),
        (b"[1746119310],57, 24.1,75.38", "not a number"),
        (b"[1746119310],0x39,24.1,75.38", "not a number"),
        (b"[1746119310],57,24,1,75.38", "not of the form"),
        (b"[4100000000],57,24.1,75.38", "2099"),
        (b"[99999999999],57,24.1,75.38", "2099"),
        (b"\xff\x00\x80", "not of the form"),
    ],
)
def test_bad_records(record: bytes, reason: str) -> None:
    """Each bad record is rejected with its reason and never costs the good ones beside it."""
    records = decode(BATCH + record + b"|" + BATCH)
    (rejected,) = (one for one in records if isinstance(one, Malformed))
    assert reason in rejected.reason
    assert rejected.payload == record.strip()
    assert len(readings(records)["temperature"]) == 6


def test_a_diagnostic_is_an_event() -> None:
    """The device's own error message is passed on, and the readings around it are kept."""
    records = decode(BATCH + b"[ERROR] Failed to read from DHT11 sensor!|" + BATCH)
    assert Diagnostic("device_error", "Failed to read from DHT11 sensor!") in records
    assert len(readings(records)["temperature"]) == 6


@pytest.mark.parametrize("chunk", [1, 7, 200, 10_000])
def test_an_oversized_record_is_rejected_without_being_kept(chunk: int) -> None:
    """A record over the limit is counted once and skipped, however long it is."""
    stream = b"x" * 5000 + b"|" + BATCH
    decoder = DhtStreamDecoder()
    records: list[Record] = []
    for start in range(0, len(stream), chunk):
        records += decoder.feed(stream[start : start + chunk], NOW)
        assert len(decoder._tail) <= RECORD_LIMIT
    records += decoder.eof(NOW)
    assert reasons(records) == [f"the record is longer than {RECORD_LIMIT} bytes"]
    assert readings(records) == readings(decode(BATCH))


def test_the_longest_allowed_record_passes() -> None:
    """The limit is on the record without its end mark."""
    text = b"[ERROR] " + b"e" * (RECORD_LIMIT - 8)
    assert decode(text + b"|") == [Diagnostic("device_error", "e" * (RECORD_LIMIT - 8))]
    assert reasons(decode(text + b"e|")) == [f"the record is longer than {RECORD_LIMIT} bytes"]


def test_a_flood_of_bad_records_is_counted_whole_but_kept_as_samples() -> None:
    """A read full of garbage gives a bounded number of records that stand for all of it."""
    records = decode(b"bad|" * 1000)
    assert len(records) == BAD_SAMPLES + 1
    assert sum(record.count for record in records if isinstance(record, Malformed)) == 1000


def test_a_flood_of_messages_is_bounded_too() -> None:
    """Messages beyond a few of one read are rejected and counted instead of kept as events."""
    records = decode(b"".join(b"[ERROR] %d|" % n for n in range(1000)))
    notes = [record for record in records if isinstance(record, Diagnostic)]
    assert [note.text for note in notes] == [str(n) for n in range(MESSAGES)]
    rejected = sum(record.count for record in records if isinstance(record, Malformed))
    assert rejected == 1000 - MESSAGES


def test_scales_that_disagree_are_noted_and_celsius_is_kept() -> None:
    """A °F that is not the °C makes a note to be recorded once; the reading is stored."""
    records = decode(b"[1746119310],57,24.1,24.1|")
    (note,) = (one for one in records if isinstance(one, Diagnostic))
    assert note.kind == "temperature_mismatch"
    assert note.once
    assert readings(records)["temperature"] == [(1746119310 * MICROSECONDS, 24.1)]


def test_without_clock_the_newest_record_is_now() -> None:
    """Seconds since boot keep their spacing; the batch ends at its arrival."""
    decoder = DhtStreamDecoder()
    assert decoder.feed(b"[12],50,20,68|[14],51,20,68|[18],52,20,68|", NOW) == []
    assert decoder.deadline == NOW + QUIET
    assert decoder.timeout(NOW + QUIET - 1) == []
    records = decoder.timeout(NOW + QUIET)
    assert readings(records)["relative_humidity"] == [
        (NOW - 6 * MICROSECONDS, 50),
        (NOW - 4 * MICROSECONDS, 51),
        (NOW, 52),
    ]
    assert all(record.clock is Clock.HUB for record in records if isinstance(record, Samples))
    assert decoder.deadline is None


def test_without_clock_a_batch_split_over_reads_keeps_its_spacing() -> None:
    """The parts of one batch are dated together, when it has been quiet or the stream ends."""
    decoder = DhtStreamDecoder()
    decoder.feed(b"[12],50,20,68|[1", NOW)
    decoder.feed(b"4],51,20,68|", NOW + 1000)
    records = decoder.eof(NOW + 2000)
    assert [time for time, _ in readings(records)["temperature"]] == [
        NOW + 1000 - 2 * MICROSECONDS,
        NOW + 1000,
    ]


def test_without_clock_a_restart_begins_a_new_batch() -> None:
    """When the seconds fall back, the device has restarted: both batches are dated apart."""
    records = decode(b"[500],50,20,68|[502],51,20,68|[3],52,20,68|")
    assert [time for time, _ in readings(records)["temperature"]] == [
        NOW - 2 * MICROSECONDS,
        NOW,
        NOW,
    ]


def test_without_clock_what_waits_is_bounded() -> None:
    """A device that never pauses has its records dated when the bound is reached."""
    decoder = DhtStreamDecoder()
    stream = b"".join(b"[%d],50,20,68|" % second for second in range(HELD_LIMIT + 1))
    records = decoder.feed(stream, NOW)
    assert len(readings(records)["temperature"]) == HELD_LIMIT


def test_without_clock_nothing_waits_for_long() -> None:
    """A device that sends a record every half second is dated at least every five seconds."""
    decoder = DhtStreamDecoder()
    dated = 0
    for step in range(60):
        records = decoder.feed(b"[%d],50,20,68|" % step, NOW + step * MICROSECONDS // 2)
        dated += len(readings(records).get("temperature", []))
        assert step + 1 - dated <= 11
    assert dated > 40


numbers = st.floats(-1000, 1000).map(lambda x: b"%g" % x)
records_strategy = st.lists(
    st.tuples(st.integers(1_000_000_000, 4_099_999_999), numbers, numbers), max_size=20
)


@given(records_strategy, st.data())
def test_any_stream_split_anywhere(
    rows: list[tuple[int, bytes, bytes]], data: st.DataObject
) -> None:
    """What is stored depends on the bytes alone, not on how they were cut."""
    stream = b"".join(
        b"[%d],%b,%b,%g|" % (second, humidity, celsius, float(celsius) * 1.8 + 32)
        for second, humidity, celsius in rows
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    found = readings(decode(*pieces))
    assert found.get("relative_humidity", []) == [
        (second * MICROSECONDS, float(humidity)) for second, humidity, _ in rows
    ]
    assert found.get("temperature", []) == [
        (second * MICROSECONDS, float(celsius)) for second, _, celsius in rows
    ]


@given(st.lists(st.binary(max_size=300), max_size=8))
@example([b"[1],1e99,1,1|", b"[", b"|||"])
@example([b"[1746119310],123456789012345e99,1,1|"])
def test_garbage_never_raises_and_is_never_lost(pieces: list[bytes]) -> None:
    """Any bytes give records: every end mark is accounted for, every value is finite."""
    records = decode(*pieces)
    stream = b"".join(pieces)
    good = len(readings(records).get("temperature", []))
    notes = sum(isinstance(one, Diagnostic) and not one.once for one in records)
    bad = sum(one.count for one in records if isinstance(one, Malformed))
    tail = stream.rpartition(b"|")[2].strip()
    assert good + notes + bad == stream.count(b"|") + bool(tail)
    assert all(math.isfinite(v) for rows in readings(records).values() for _, v in rows)


near_records = st.text("[]0123456789,.-+e|naif \n", max_size=400).map(str.encode)


@given(near_records, st.integers(1, 50))
def test_what_looks_like_records_decodes_alike_however_it_is_cut(stream: bytes, size: int) -> None:
    """Text in the alphabet of the protocol gives the same readings whole and in small pieces."""
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert readings(decode(*pieces)) == readings(decode(stream))
    assert sorted(reasons(decode(*pieces))) == sorted(reasons(decode(stream)))
