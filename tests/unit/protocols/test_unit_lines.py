"""The decoder of units' lines: whole, cut anywhere, too long, cut off, garbage."""

from __future__ import annotations

import math
from array import array

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from motehub.model import Clock, Malformed, Record, Samples, WrittenSamples
from motehub.protocols.unit_lines import BAD_SAMPLES, LINE_LIMIT, Conversion, UnitLineDecoder

NOW = 1_746_119_400_000_000
STREAM = b"512\n0\r\n1023\n 7 \n-3.25\n1e3\n"
VALUES = [512.0, 0.0, 1023.0, 7.0, -3.25, 1000.0]
PERCENT = Conversion(
    "light", "%", base=0, span=100, divisor=1023, least_number=0, greatest_number=1023
)


def decode(*pieces: bytes, conversion: Conversion = Conversion()) -> list[Record]:  # noqa: B008
    """Feed the pieces, end the connection, return all records."""
    decoder = UnitLineDecoder(conversion)
    records: list[Record] = []
    for piece in pieces:
        records += decoder.feed(piece, NOW)
        assert len(decoder._tail) <= LINE_LIMIT + 1
    return records + decoder.eof(NOW)


def values(records: list[Record]) -> list[float]:
    return [value for one in records if isinstance(one, Samples) for value in one.values]


def reasons(records: list[Record]) -> list[str]:
    return [one.reason for one in records if isinstance(one, Malformed)]


def bad(records: list[Record]) -> int:
    return sum(one.count for one in records if isinstance(one, Malformed))


def test_what_the_firmware_writes() -> None:
    """One line is one reading, stamped by the hub, under the metric that the owner chose."""
    expected = Samples("light", "lx", array("q", [NOW]), array("d", [512.0]), Clock.HUB)
    assert decode(b"512\n", conversion=Conversion("light", "lx")) == [expected]


def test_lines_that_come_together_are_one_record() -> None:
    """A read with several lines gives them in order."""
    (samples,) = decode(STREAM)
    assert isinstance(samples, Samples)
    assert samples.values.tolist() == VALUES
    assert samples.times.tolist() == [NOW] * len(VALUES)


def test_what_was_written_is_kept_where_the_value_does_not_say_it() -> None:
    """To the letter, for good lines alone; a number that is plainly its value needs no text."""
    decoder = UnitLineDecoder(Conversion(), keeps_text=True)
    assert [type(one) for one in decoder.feed(b"512\n-3.25\r\n", NOW)] == [Samples]
    samples, _ = decoder.feed(b"512\nx\n 21.50 \r\n", NOW)
    assert isinstance(samples, WrittenSamples)
    assert (samples.values.tolist(), samples.written) == ([512, 21.5], ("512", "21.50"))
    assert [type(one) for one in decoder.feed(b"x\n", NOW)] == [Malformed]
    assert [type(one) for one in decoder.feed(b"7\n", NOW)] == [Samples]
    (samples,) = UnitLineDecoder(PERCENT, keeps_text=True).feed(b"1023\n0\n", NOW)
    assert isinstance(samples, WrittenSamples)
    assert (samples.values.tolist(), samples.written) == ([100, 0], ("1023", "0"))
    assert [type(one) for one in UnitLineDecoder(PERCENT).feed(b"1023\n", NOW)] == [Samples]


@pytest.mark.parametrize("position", range(len(STREAM) + 1))
def test_every_split_point(position: int) -> None:
    """Where TCP cuts the stream changes nothing."""
    records = decode(STREAM[:position], STREAM[position:])
    assert (values(records), reasons(records)) == (VALUES, [])


def test_byte_by_byte() -> None:
    """Single bytes are understood."""
    records = decode(*(STREAM[i : i + 1] for i in range(len(STREAM))))
    assert (values(records), reasons(records)) == (VALUES, [])


@pytest.mark.parametrize("length", range(len(STREAM) + 1))
def test_every_truncation(length: int) -> None:
    """What a restart cuts off is no reading: ``51`` of ``512`` is rejected."""
    part = STREAM[:length]
    records = decode(part)
    assert values(records) == VALUES[: part.count(b"\n")]
    rest = part.rpartition(b"\n")[2].strip()
    assert reasons(records) == (["the connection ended inside this line"] if rest else [])


@pytest.mark.parametrize(
    ("text", "value"),
    [(b"+5", 5), (b".5", 0.5), (b"5.", 5), (b"1.5e-3", 0.0015), (b"-0.00", 0), (b"007", 7)],
)
def test_numbers_as_boards_print_them(text: bytes, value: float) -> None:
    """Decimals, signs and exponents are read exactly."""
    assert values(decode(text + b"\n")) == [value]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"nan", "the number is not finite"),
        (b"-inf", "the number is not finite"),
        (b"ovf", "the number is not finite"),
        (b"hello", "not a number"),
        (b"5_1", "not a number"),
        (b"0x1f", "not a number"),
        (b"1,5", "not a number"),
        (b"5 6", "not a number"),
        (b"1e999", "not a number"),
        (b"\xff\x00", "not a number"),
        (b"1" * 16, "not a number"),
        (b"1" * (LINE_LIMIT + 2), f"the line is longer than {LINE_LIMIT} bytes"),
    ],
)
def test_bad_lines(line: bytes, reason: str) -> None:
    """Each is rejected with its reason, and the lines beside it are kept."""
    records = decode(b"1\n" + line + b"\n2\n")
    assert (values(records), reasons(records)) == ([1, 2], [reason])
    (rejected,) = (one for one in records if isinstance(one, Malformed))
    assert rejected.payload == line[:LINE_LIMIT]


def test_blank_lines_say_nothing() -> None:
    """Empty lines are neither readings nor faults."""
    assert values(decode(b"\n\r\n1\r\n\r\n \n2\n")) == [1, 2]
    assert reasons(decode(b"\n\r\n1\r\n\r\n \n2\n")) == []


def test_a_range_is_mapped_to_another() -> None:
    """An ADC's 0 to 1023 become percent, exactly at both ends."""
    records = decode(b"0\n1023\n511.5\n", conversion=PERCENT)
    assert values(records) == [0, 100, 50]


@pytest.mark.parametrize("number", [b"-1", b"1024", b"1023.1"])
def test_numbers_outside_the_range_are_rejected(number: bytes) -> None:
    """What the sensor can't say is rejected, and its neighbours are kept."""
    records = decode(b"0\n" + number + b"\n1023\n", conversion=PERCENT)
    assert values(records) == [0, 100]
    assert reasons(records) == ["the number is not within 0 to 1023"]


def test_values_outside_their_bounds_are_rejected() -> None:
    """Bounds apply to the value, in its unit."""
    conversion = Conversion("t", "°C", span=0.1, shift=-10, minimum=0, maximum=40)
    records = decode(b"100\n99\n500\n501\n", conversion=conversion)
    assert values(records) == [0, 40]
    assert reasons(records) == [
        "the value, -0.1 °C, is not within 0 to 40",
        "the value, 40.1 °C, is not within 0 to 40",
    ]


def test_a_flood_of_bad_lines_is_counted_whole_but_kept_as_samples() -> None:
    """A read full of garbage gives a bounded number of records that stand for all of it."""
    records = decode(b"x\n" * 1000)
    assert len(records) == BAD_SAMPLES + 1
    assert bad(records) == 1000


@pytest.mark.parametrize("chunk", [1, 7, 99, 100_000])
def test_an_endless_line_is_rejected_once_and_not_kept(chunk: int) -> None:
    """However long it is, a bounded piece is kept, and reading goes on after it."""
    stream = b"9" * 5000 + b"\n5\n"
    records = decode(*(stream[i : i + chunk] for i in range(0, len(stream), chunk)))
    assert (values(records), bad(records)) == ([5], 1)


finite = st.floats(-1e9, 1e9).map(lambda x: b"%.6g" % x)
ends = st.sampled_from([b"\n", b"\r\n"])


@given(st.lists(st.tuples(finite, ends), max_size=30), st.data())
def test_any_stream_split_anywhere(lines: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    """What is stored depends on the bytes alone, not on how they were cut."""
    stream = b"".join(number + end for number, end in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert values(decode(*pieces)) == [float(number) for number, _ in lines]


@given(st.text("0123456789.+-eEnaif \t\r\n", max_size=300).map(str.encode), st.integers(1, 20))
@example(b"1" + b" " * 150 + b"\n", 7)
@example(b" " * 150 + b"1\n", 7)
def test_what_looks_like_lines_decodes_alike_however_it_is_cut(stream: bytes, size: int) -> None:
    """Text in the alphabet of numbers gives the same whole and in small pieces."""
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    whole, cut = decode(stream, conversion=PERCENT), decode(*pieces, conversion=PERCENT)
    assert values(cut) == values(whole)
    assert bad(cut) == bad(whole)


@given(
    st.lists(st.binary(max_size=200), max_size=8),
    st.floats(1e-300, 1e300),
    st.floats(-1e300, 1e300),
)
@example([b"9e99\n"], 1e300, 0.0)
def test_garbage_never_raises_and_every_value_is_finite(
    pieces: list[bytes], span: float, shift: float
) -> None:
    """Any bytes give records; each line that is not blank is a reading or is counted."""
    records = decode(*pieces, conversion=Conversion(span=span, shift=shift))
    assert all(map(math.isfinite, values(records)))
    lines = b"".join(pieces).split(b"\n")
    assert len(values(records)) + bad(records) == sum(bool(line.strip()) for line in lines)
