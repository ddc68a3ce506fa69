"""Readings in JSON, against the standard library's decoder and each other."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub.model import MICROSECONDS, Clock, Samples, Texts
from motehub.points import BadLine, Body
from motehub.protocols.readings_json import decode_readings

NOW = 1_795_215_909_000_000
ITEM = {"device": "den", "metric": "temperature", "value": 21.5, "time": 1_790_000_000}


def decode(*items: Any, lines: bool = False) -> Body:
    """Decode an array of items, or lines of them."""
    if lines:
        return decode_readings(b"\n".join(json.dumps(i).encode() for i in items), NOW, lines=True)
    return decode_readings(json.dumps(items).encode(), NOW, lines=False)


def raw(text: str | bytes, *, lines: bool = False) -> Body:
    return decode_readings(text.encode() if isinstance(text, str) else text, NOW, lines=lines)


def rows(body: Body) -> list[tuple[Any, ...]]:
    """Return all readings as (line, device, metric, unit, clock, time, value), by line."""
    found: list[tuple[Any, ...]] = []
    for column in body.columns:
        record = column.record
        unit = record.unit if isinstance(record, Samples) else None
        names = (column.device, record.metric, unit, record.clock.value)
        assert list(column.lines) == sorted(column.lines)
        for line, time, value in zip(column.lines, record.times, record.values, strict=True):
            found.append((line, *names, time, value))
    return sorted(found, key=lambda row: row[0])


def reasons(body: Body) -> dict[int, str]:
    return {bad.line: bad.reason for bad in body.bad}


def check_counts(body: Body) -> None:
    """Every line is in one column or bad."""
    taken = Counter(line for column in body.columns for line in column.lines)
    listed = Counter(bad.line for bad in body.bad)
    assert not taken & listed
    assert max((taken + listed).values(), default=1) == 1
    assert len(taken) + len(listed) + body.unlisted == body.lines


def test_one_object() -> None:
    """A body may be a single reading."""
    body = raw(json.dumps(ITEM))
    assert rows(body) == [
        (1, "den", "temperature", "", "device", 1_790_000_000 * MICROSECONDS, 21.5)
    ]
    assert (body.bad, body.lines) == ([], 1)


@pytest.mark.parametrize("lines", [False, True])
def test_alike_readings_share_a_column(lines: bool) -> None:
    """One series is one column, in the order of the body."""
    body = decode(*[ITEM | {"value": n, "time": 9 - n} for n in range(9)], lines=lines)
    (column,) = body.columns
    assert list(column.lines) == list(range(1, 10))
    assert list(column.record.values) == list(range(9))
    assert list(column.record.times) == [(9 - n) * MICROSECONDS for n in range(9)]


def test_what_makes_a_column() -> None:
    """Device, metric, unit, clock, and text or number: each difference is another column."""
    items = [
        ITEM,
        ITEM | {"device": "attic"},
        ITEM | {"metric": "humidity"},
        ITEM | {"unit": "°C"},
        {"device": "den", "metric": "temperature", "value": 1},
        ITEM | {"value": "warm"},
        {"metric": "temperature", "value": 1, "time": 5},
    ]
    assert len(decode(*items).columns) == len(items)
    assert all(len(column.lines) == 2 for column in decode(*items, *items).columns)


@pytest.mark.parametrize("lines", [False, True])
def test_one_column_in_the_order_of_lines(lines: bool) -> None:
    """Integers, fractions, booleans and ISO times of one series stay in order."""
    items = [
        ITEM | {"time": 3.5, "value": 1},
        ITEM | {"time": 2, "value": True, "unit": None},
        ITEM | {"time": "1970-01-01T00:00:01Z", "value": 2.5, "unit": ""},
        ITEM | {"time": 0.5, "value": False},
    ]
    (column,) = decode(*items, *items, lines=lines).columns
    assert list(column.lines) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [time / MICROSECONDS for time in column.record.times] == [3.5, 2, 1, 0.5] * 2
    assert list(column.record.values) == [1, 1, 2.5, 0] * 2


def test_a_text_has_no_unit() -> None:
    """Texts of one metric are one series, whatever unit is sent with them."""
    (column,) = decode(ITEM | {"value": "a"}, ITEM | {"value": "b", "unit": "%"}).columns
    assert list(column.record.values) == ["a", "b"]


@pytest.mark.parametrize(
    ("time", "micros"),
    [
        (0, 0),
        (1_790_000_000, 1_790_000_000_000_000),
        (1_790_000_000.123456, 1_790_000_000_123_456),
        ("2026-11-20T18:05:09Z", 1_795_197_909_000_000),
        ("2026-11-20T18:05:09.123456Z", 1_795_197_909_123_456),
        ("2026-11-20T18:05:09.123456789Z", 1_795_197_909_123_456),
        ("2026-11-20T18:05:09+05:30", 1_795_178_109_000_000),
        ("2026-11-20 18:05:09-05:00", 1_795_215_909_000_000),
        ("20261120T180509Z", 1_795_197_909_000_000),
        ("2261-12-31T23:59:59.999999Z", 9_214_646_399_999_999),
    ],
)
def test_times(time: object, micros: int) -> None:
    """Unix seconds and ISO 8601 with an offset become UTC microseconds."""
    assert [row[4:6] for row in rows(decode(ITEM | {"time": time}))] == [("device", micros)]


@pytest.mark.parametrize("item", [{"time": None}, {}])
def test_no_time(item: dict[str, Any]) -> None:
    """A reading without time is dated at its arrival, by the hub's clock."""
    body = decode({"metric": "a", "value": 1} | item)
    assert rows(body) == [(1, None, "a", "", Clock.HUB.value, NOW, 1)]


BAD_TIMES = [
    ("2026-11-20T18:05:09", "has no zone: '2026-11-20T18:05:09'; add Z or an offset"),
    ("yesterday", "'time' is not an ISO 8601 time: 'yesterday'"),
    ("", "'time' is not an ISO 8601 time: ''"),
    (-1, "'time' is not between 1970 and 2261"),
    (-0.5, "'time' is not between 1970 and 2261"),
    ("1969-12-31T23:59:59Z", "'time' is not between 1970 and 2261"),
    ("2262-01-01T00:00:00Z", "'time' is not between 1970 and 2261"),
    (1_790_000_000_000, "it looks like milliseconds, where seconds are expected"),
    (1_790_000_000_000_000.5, "it looks like microseconds, where seconds are expected"),
    (1_790_000_000_000_000_000, "it looks like nanoseconds, where seconds are expected"),
    (10**400, "'time' is not between 1970 and 2261"),
    (True, "'time' is a boolean where a time is expected"),
    ([], "'time' is an array where a time is expected"),
    (float("nan"), "'time' is not between 1970 and 2261"),
]


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize(("time", "reason"), BAD_TIMES)
def test_bad_times(time: object, reason: str, lines: bool) -> None:
    """A time that says nothing certain is rejected, and the reason helps."""
    body = decode(ITEM, ITEM | {"time": time}, ITEM, lines=lines)
    assert reasons(body).keys() == {2}
    assert reason in reasons(body)[2]
    assert [row[0] for row in rows(body)] == [1, 3]


BAD_ITEMS = [
    ('{"metric": "a", "value": null}', "'value' is null, which is no reading"),
    ('{"metric": "a", "value": NaN}', "'value' is not a finite number"),
    ('{"metric": "a", "value": 1e400}', "'value' is not a finite number"),
    ('{"metric": "a", "value": ' + "9" * 400 + "}", "'value' is not a finite number"),
    ('{"metric": "a", "value": ' + "9" * 9000 + "}", "'value' is not a finite number"),
    ('{"metric": "a", "value": [1]}', "'value' is an array, which is no reading"),
    ('{"metric": "a", "value": {}}', "'value' is an object, which is no reading"),
    ('{"metric": "a", "value": "\\ud83d"}', "'value' has half of a surrogate pair"),
    ('{"metric": "a"}', "'value' is missing"),
    ('{"value": 1}', "'metric' is missing"),
    ('{"metric": "", "value": 1}', "'metric' is not a name of 1 to 128 printable bytes"),
    ('{"metric": "a\\n", "value": 1}', "'metric' is not a name of 1 to 128 printable bytes"),
    (
        '{"metric": "' + "ä" * 65 + '", "value": 1}',
        "'metric' is not a name of 1 to 128 printable bytes",
    ),
    ('{"metric": 7, "value": 1}', "'metric' is a number where a text is expected"),
    ('{"metric": "a", "value": 1, "device": ""}', "'device' is not a name"),
    ('{"metric": "a", "value": 1, "device": "\\ud83d"}', "'device' is not a name"),
    (
        '{"metric": "a", "value": 1, "device": "' + "d" * 129 + '"}',
        "'device' is longer than 128 bytes",
    ),
    (
        '{"metric": "a", "value": 1, "unit": "' + "d" * 33 + '"}',
        "'unit' is not a text of at most 32 printable bytes",
    ),
    (
        '{"metric": "a", "value": 1, "tiem": 5}',
        "unknown key 'tiem'; known are device, metric, time, unit, value",
    ),
    ('{"metric": "a", "value": 1, "value": 2}', "the key 'value' occurs twice"),
    ('{"metric": "a", "value": 1, "v\\u0061lue": 2}', "the key 'value' occurs twice"),
    ("[]", "an array where an object is expected"),
    ("7", "a number where an object is expected"),
    ("null", "null where an object is expected"),
]


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize(("text", "reason"), BAD_ITEMS)
def test_a_bad_item_costs_no_other(text: str, reason: str, lines: bool) -> None:
    """What is wrong with one reading is said; those around it are taken."""
    good = json.dumps(ITEM)
    body = raw(f"{good}\n{text}\n{good}" if lines else f"[{good}, {text}, {good}]", lines=lines)
    assert reasons(body) == {2: reason}
    assert body.bad[0].payload == text.encode()[:200]
    assert [row[0] for row in rows(body)] == [1, 3]
    check_counts(body)


def test_the_device_of_a_bad_item() -> None:
    """A bad reading is shown where its device is, when it says one."""
    body = decode(ITEM | {"value": None}, {"value": None}, ITEM | {"device": 3})
    assert [bad.device for bad in body.bad] == ["den", None, None]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON: expecting value at byte 0"),
        ("hello", "not JSON: expecting value at byte 0"),
        ('{"metric": "ä", "value": 1', "not JSON: expecting ',' delimiter at byte 27"),
        ('[{"metric": "ä", "value": 1}', "not JSON: ',' or ']' expected at byte 29"),
        ('[{"metric": "ä", "value": 1}]]', "not JSON: more text behind the value at byte 30"),
        ('[{"metric": "ä", "value": 1},]', "not JSON: expecting value at byte 30"),
        ("[" * 100_000, "nested too deep, from byte 1 on"),
    ],
)
def test_a_body_that_is_not_json(text: str, reason: str) -> None:
    """Nothing is taken of an array that is broken, and its place is named."""
    body = raw(text)
    assert body.columns == []
    assert [bad.line for bad in body.bad] == [1]
    assert body.bad[0].reason == reason
    assert body.lines == 1


def test_bytes_that_are_no_text() -> None:
    """Bytes that are not UTF-8 are rejected, alone where there are lines."""
    assert raw(b'[{"metric": "\xff", "value": 1}]').bad[0].reason == "bad UTF-8 at byte 13"
    body = raw(json.dumps(ITEM).encode() + b"\n\xff\n" + json.dumps(ITEM).encode(), lines=True)
    assert reasons(body) == {2: "bad UTF-8 at byte 0"}
    assert len(rows(body)) == 2


def test_an_empty_array() -> None:
    """No readings are no mistake."""
    assert raw("[]") == raw(" [ ] ") == Body([], [], 0)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", "\n \t\r\n"])
def test_lines_and_blank_lines(end: str) -> None:
    """Blank lines are no readings, but they have numbers."""
    good = json.dumps(ITEM)
    body = raw(good + end + good + end + "x", lines=True)
    step = end.count("\n")
    assert [row[0] for row in rows(body)] == [1, 1 + step]
    assert reasons(body) == {1 + 2 * step: "not JSON: expecting value at byte 0"}
    assert body.lines == 3
    assert raw(good + end, lines=True).lines == 1


@pytest.mark.parametrize(
    "text",
    [
        '{"metric": "a",\n"value": 1}\n{"metric": "a", "value": 1}{"metric": "a", "value": 1}',
        '{"metric": "a", "value": 1}{"metric": "a", "value": 1}\n\n',
    ],
)
def test_a_line_is_one_item(text: str) -> None:
    """Neither two readings on a line nor one on two lines are taken."""
    body = raw(text, lines=True)
    assert body.columns == []
    assert len(body.bad) == body.lines == sum(1 for line in text.split("\n") if line)


def test_a_newline_inside_an_item() -> None:
    """A reading that goes on in the next line is two bad lines, though it would be JSON."""
    text = json.dumps(ITEM, indent=0)
    assert raw(text, lines=True).lines == text.count("\n") + 1
    assert raw(text, lines=True).columns == []


def test_a_blank_line_before_all() -> None:
    """The first reading is not always on the first line."""
    assert [row[0] for row in rows(raw("\n" + json.dumps(ITEM), lines=True))] == [2]


def test_numbering_goes_on() -> None:
    """A stream that comes in pieces numbers its lines through."""
    text = f"{json.dumps(ITEM)}\nx\n".encode()
    body = decode_readings(text, NOW, lines=True, first_line=41)
    assert [row[0] for row in rows(body)] == [41]
    assert reasons(body).keys() == {42}
    whole = decode_readings(text[:-2], NOW, lines=True, first_line=41)
    assert [row[0] for row in rows(whole)] == [41]


def test_lines_with_too_many_bad_ones_are_given_up() -> None:
    """Behind 1,001 bad lines nothing is looked at, and every line is counted."""
    good = json.dumps(ITEM)
    flood = f"{good}\n" + "x\n" * 1001
    for behind, lines in ((f"{good}\n" * 9, 9), (f"{good}\n\n{good}", 3), ("", 0), ("\n", 1)):
        body = raw(flood + behind, lines=True)
        assert [row[0] for row in rows(body)] == [1]
        assert (len(body.bad), body.unlisted, body.lines) == (1000, 1 + lines, 1002 + lines)
        check_counts(body)
    body = raw("x\n" * 1000 + good, lines=True)
    assert [row[0] for row in rows(body)] == [1001]
    assert body.unlisted == 0


def test_an_array_with_too_many_bad_items_is_given_up() -> None:
    """What follows 1,001 bad items is not decoded, and so not counted."""
    body = raw(json.dumps([ITEM] + [{}] * 1001 + [ITEM] * 5)[:-1] + ", neither JSON")
    assert [row[0] for row in rows(body)] == [1]
    assert (len(body.bad), body.unlisted, body.lines) == (1000, 1, 1002)
    body = decode(*[{}] * 1000, ITEM)
    assert [row[0] for row in rows(body)] == [1001]


@pytest.mark.parametrize("lines", [True, False])
@pytest.mark.parametrize("more", [[], [{"metric": ""}]])
def test_a_body_has_10_000_series_at_most(lines: bool, more: list[dict[str, str]]) -> None:
    """Readings of further series are bad lines, those of the first ones still are taken."""
    items = [ITEM | {"metric": f"m{i}"} for i in (*range(10_003), 5)]
    body = decode(*items, *more, lines=lines)
    assert len(body.columns) == 10_000
    bad = dict.fromkeys((10001, 10002, 10003), "more than 10,000 series in one body")
    assert {k: v for k, v in reasons(body).items() if k < 10_005} == bad
    assert rows(body)[-1][0] == 10_004
    check_counts(body)


WHOLE = json.dumps([ITEM, ITEM | {"device": "äö", "value": 'a "quoted" text', "unit": "°C"}])


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_every_truncation(length: int) -> None:
    """An array that was cut off is one bad line."""
    body = raw(WHOLE[:length])
    assert (body.columns, len(body.bad), body.lines) == ([], 1, 1)


@pytest.mark.parametrize("length", range(1, 2 * len(json.dumps(ITEM)) + 1))
def test_every_truncation_of_lines(length: int) -> None:
    """Of lines that were cut off, only the last one is bad."""
    line = json.dumps(ITEM)
    body = raw(f"{line}\n{line}"[:length], lines=True)
    assert len(rows(body)) == length // len(line) - (length == 2 * len(line))
    check_counts(body)


names = st.sampled_from(["a", "b", "ä°", 'q"', "\\", ":"])
times = (
    st.integers(0, 9_000_000_000)
    | st.floats(0, 9_000_000_000)
    | st.datetimes(datetime(1970, 1, 1), datetime(2261, 1, 1)).map(  # noqa: DTZ001
        lambda moment: moment.replace(tzinfo=UTC).isoformat()
    )
)
good_items = st.fixed_dictionaries(
    {"metric": names, "value": st.floats(allow_nan=False, allow_infinity=False) | st.text()} | {},
    optional={
        "device": names | st.none(),
        "unit": st.sampled_from(["", "°C", "%"]) | st.none(),
        "time": times | st.none(),
    },
).filter(lambda item: not isinstance(item["value"], str) or item["value"].isascii())
scalars = st.none() | st.booleans() | st.floats() | st.integers() | st.text() | times
any_items = (
    good_items
    | scalars
    | st.dictionaries(
        st.sampled_from(["device", "metric", "value", "time", "unit", "x"]),
        scalars | st.lists(scalars, max_size=2),
    )
)


@given(st.lists(good_items), st.booleans(), st.booleans())
def test_both_ways_agree(items: list[dict[str, Any]], lines: bool, ascii_only: bool) -> None:
    """What is taken at once and what is taken item by item is the same, and nothing is lost."""
    texts = [json.dumps(item, ensure_ascii=ascii_only) for item in items]
    bad = '{"metric": null}'
    if lines:
        quick = raw("\n".join(texts), lines=True)
        slow = raw("\n".join([*texts, bad]), lines=True)
    else:
        quick = raw(f"[{','.join(texts)}]")
        slow = raw(f"[{','.join([*texts, bad])}]")
    assert quick.bad == []
    assert rows(quick) == rows(slow)
    assert len(rows(quick)) == len(items)
    check_counts(quick)
    check_counts(slow)
    for row, item in zip(rows(quick), items, strict=True):
        assert row[1:3] == (item.get("device"), item["metric"])
        assert row[6] == item["value"]


@given(st.lists(any_items), st.booleans())
def test_any_items(items: list[Any], lines: bool) -> None:
    """Each item is taken or rejected, alone or beside any others."""
    body = decode(*items, lines=lines)
    check_counts(body)
    assert body.lines == len(items)
    alone = [not decode(item, lines=lines).bad for item in items]
    assert [row[0] for row in rows(body)] == [n for n, good in enumerate(alone, 1) if good]


@given(st.binary(max_size=200) | st.text('{}[]":,\n 0amrtvluei').map(str.encode), st.booleans())
def test_garbage(data: bytes, lines: bool) -> None:
    """Whatever a body holds, what leaves the decoder is columns and bad lines."""
    body = raw(data, lines=lines)
    check_counts(body)
    for column in body.columns:
        assert isinstance(column.record, Samples | Texts)
    for bad in body.bad:
        assert isinstance(bad, BadLine)
        assert len(bad.payload) <= 200
        assert bad.reason.isprintable()
