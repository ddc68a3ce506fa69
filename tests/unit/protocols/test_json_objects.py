"""The decoder of unframed JSON objects, against the standard library's and a naive reading."""

from __future__ import annotations

import json
import math
import time
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from motehub.protocols import json_objects
from motehub.protocols.json_objects import (
    OBJECT_LIMIT,
    PAYLOAD_LIMIT,
    Broken,
    Fields,
    JsonObject,
    JsonObjectsDecoder,
)

NOW = 1_746_119_400_000_000
STREAM = (
    '{"key_1": "value_1", "key_2": null}{"key": {"field": "väl😀ue", "n": 12, "on": true}}\n'
    ' {"text": "{\\"a\\": \\"}{\\"} \\\\", "é": -3.5e-2}{}{"mixed": {}, "flat": 1}'
).encode()

Result = JsonObject | Broken


def decode(*pieces: bytes, limit: int = OBJECT_LIMIT) -> list[Result]:
    """Feed the pieces, end the connection, return all results."""
    decoder = JsonObjectsDecoder(limit)
    found: list[Result] = []
    for piece in pieces:
        found += decoder.feed(piece, NOW)
        assert len(decoder._pending) <= limit
    return found + decoder.eof(NOW)


def chunks(stream: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(stream), size):
        yield stream[start : start + size]


def accepted(results: list[Result]) -> list[Fields]:
    return [one.fields for one in results if isinstance(one, JsonObject)]


def broken(results: list[Result]) -> list[Broken]:
    return [one for one in results if isinstance(one, Broken)]


def without_payload(results: list[Result]) -> list[Result]:
    """Leave out what may depend on the cuts: how much of fatal garbage had arrived."""
    return [
        Broken(one.reason, one.offset, b"", one.fatal) if isinstance(one, Broken) else one
        for one in results
    ]


def exact(value: object) -> str:
    """Return a form that tells 1 from 1.0 and True, and -0.0 from 0.0."""
    return repr(value)


def test_the_shapes_of_the_protocol_document() -> None:
    """Flat, nested and mixed objects decode to their fields, with their place in the stream."""
    results = decode(STREAM)
    assert exact(accepted(results)) == exact(
        [
            {"key_1": "value_1", "key_2": None},
            {"key": {"field": "väl😀ue", "n": 12, "on": True}},
            {"text": '{"a": "}{"} \\', "é": -3.5e-2},
            {},
            {"mixed": {}, "flat": 1},
        ]
    )
    for one in results:
        assert isinstance(one, JsonObject)
        assert json.loads(STREAM[one.offset : one.offset + one.size]) == one.fields


@pytest.mark.parametrize("position", range(len(STREAM) + 1))
def test_every_split_point(position: int) -> None:
    """Where TCP or TLS cuts the stream changes nothing, inside a character or an escape too."""
    assert decode(STREAM[:position], b"", STREAM[position:]) == decode(STREAM)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_small_pieces(size: int) -> None:
    """A sender that writes single bytes is understood."""
    assert decode(*chunks(STREAM, size)) == decode(STREAM)


@pytest.mark.parametrize("length", range(len(STREAM)))
def test_every_truncation(length: int) -> None:
    """An object that the end cuts off is rejected at its place; those before it are kept."""
    whole = [one for one in decode(STREAM) if isinstance(one, JsonObject)]
    complete = [one for one in whole if one.offset + one.size <= length]
    cut = [one.offset for one in whole if one.offset < length < one.offset + one.size]
    results = decode(STREAM[:length])
    assert results[: len(complete)] == complete
    assert [one.offset for one in broken(results)] == cut
    assert {one.reason for one in broken(results)} <= {"the connection ended inside this object"}


def test_an_object_is_returned_as_soon_as_it_is_complete() -> None:
    """Nobody waits for the beginning of the next object."""
    decoder = JsonObjectsDecoder()
    assert decoder.feed(b'{"a": {"b": 1}', NOW) == []
    assert decoder.feed(b"}", NOW) == [JsonObject({"a": {"b": 1}}, 0, 15)]
    assert decoder.deadline is None
    assert decoder.timeout(NOW) == []


GOOD = b'{"good": 1}'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"a": {"b": {"c": 1}}}', "nested too deep at byte 12"),
        (b'{"a": [1, 2]}', "an array, which is not accepted, at byte 6"),
        (b'{"a": {"b": []}}', "an array, which is not accepted, at byte 12"),
        (b"[]", "an array, where objects should follow"),
        (b'[{"a": 1}, {"b": "]"}]', "an array, where objects should follow"),
        (b'{"a": 1, "a": 2}', "the key 'a' for the second time at byte 9"),
        (b'{"a": 1, "\\u0061" : 2}', "the key 'a' for the second time at byte 9"),
        (b'{"a" :1, "a":1}', "the key 'a' for the second time at byte 9"),
        (b'{"a\\\\":1,"a\\\\":"\\":"}', "for the second time at byte 9"),
        (b'{"k": {"a": 1, "b": 2, "a": 3}}', "the key 'a' for the second time at byte 23"),
        (b'{"k": {"a": 1}, "l": "::", "k": 3}', "the key 'k' for the second time at byte 27"),
        (b'{"a": NaN}', "NaN or Infinity, which JSON doesn't have, at byte 6"),
        (b'{"a": -Infinity}', "NaN or Infinity, which JSON doesn't have, at byte 6"),
        (b'{"a": 1e309}', "a number too large for a double at byte 6"),
        (b'{"a": -1e999}', "a number too large for a double at byte 6"),
        (b'{"a": 1' + b"0" * 309 + b"}", "a number too large for a double at byte 6"),
        (b'{"a": 1' + b"0" * 9999 + b"}", "a number too large for a double at byte 6"),
        (b'{"a": "\xff"}', "bad UTF-8 at byte 7"),
        (b'{"a\xc3": 1}', "bad UTF-8 at byte 3"),
        (b'{"a": "\xed\xa0\x80"}', "bad UTF-8 at byte 7"),
        (b'{"a": "\xc0\x80"}', "bad UTF-8 at byte 7"),
        (b'{"a": "\xf4\x90\x80\x80"}', "bad UTF-8 at byte 7"),
        (b'{"a": "\\ud83d"}', "half of a surrogate pair in the string at byte 6"),
        (b'{"\\ude00": 1}', "half of a surrogate pair in the string at byte 1"),
        (b'{"a": "\\ud83d\\u0041"}', "half of a surrogate pair in the string at byte 6"),
        (b'{"a": "line\nbreak"}', "a control character or a wrong escape in the string at byte 6"),
        (b'{"a": "\\x"}', "a control character or a wrong escape in the string at byte 6"),
        (b'{"a": "\\u12"}', "a control character or a wrong escape in the string at byte 6"),
        (b'{"a" 1}', "':' expected at byte 5"),
        (b'{"a": }', "a value expected at byte 6"),
        (b'{"a": 1,}', "a key expected at byte 8"),
        (b'{"a": 01}', "',' or '}' expected at byte 7"),
        (b'{"a": 1.}', "',' or '}' expected at byte 7"),
        (b'{"a": 1 "b": 2}', "',' or '}' expected at byte 8"),
        (b"{'a': 1}", "a key or '}' expected at byte 1"),
        (b"{1: 2}", "a key or '}' expected at byte 1"),
        (b'{"a": True}', "a value expected at byte 6"),
        (b'{\xa0"a": 1}', "bad UTF-8 at byte 1"),
    ],
)
@pytest.mark.parametrize("size", [1, 5, 1 << 20])
def test_an_unacceptable_object_costs_only_itself(text: bytes, reason: str, size: int) -> None:
    """It is rejected with reason, place and beginning; its neighbours are accepted."""
    before, rejected, after = decode(*chunks(GOOD + b" " + text + GOOD, size))
    assert before == JsonObject({"good": 1}, 0, len(GOOD))
    assert isinstance(rejected, Broken)
    assert reason in rejected.reason
    assert rejected.offset == len(GOOD) + 1
    assert rejected.payload == text[:PAYLOAD_LIMIT]
    assert not rejected.fatal
    assert after == JsonObject({"good": 1}, len(GOOD) + 1 + len(text), len(GOOD))


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1' + b"0" * 308 + b', "b": 12345678901234567890, "c": -0, "d": -0.0, "e": 1E2}',
        b'{"a": 0.' + b"1" * 400 + b', "b": "' + b"9" * 400 + b'", "c": 1e-400}',
        b'{"a": "a\\":1", "b\\"": "\\":", "c" : ":", "d\\\\": "\\\\"}',
        b'{"a": {"a": 1}, "b": {"a": 1, "b": 2}, "": {"": ""}}',
        '{"\x7f\\/": "\\u00e9\\ud83d\\ude00\\u0000\u2028"}'.encode(),
    ],
)
def test_unusual_but_right(text: bytes) -> None:
    """Large integers, long fractions, repeated names of other objects and escapes are accepted."""
    for stream in (text, text * 2):
        found = accepted(decode(stream))
        assert exact(found) == exact([json.loads(text)] * (len(stream) // len(text)))


@pytest.mark.parametrize(
    ("garbage", "shown"),
    [
        (b"}", "'}'"),
        (b",", "','"),
        (b"null", "'n'"),
        (b'"text"', "'\"'"),
        (b"12", "'1'"),
        (b"\x00", "'\\x00'"),
        (b"\xef\xbb\xbf", "'\\xef'"),
        (b"GET / HTTP/1.1\r\n\r\n", "'G'"),
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_garbage_between_objects_ends_the_decoding(garbage: bytes, shown: str, size: int) -> None:
    """Objects before it count; what looks like one behind it is never taken for one."""
    one, end = decode(*chunks(GOOD + garbage + GOOD * 3, size))
    assert one == JsonObject({"good": 1}, 0, len(GOOD))
    assert isinstance(end, Broken)
    assert end.fatal
    assert end.reason == f"{shown} where an object should begin"
    assert end.offset == len(GOOD)
    assert end.payload.startswith(garbage[:1])


LIMIT = 300


@pytest.mark.parametrize("size", [1, 100, LIMIT, LIMIT + 1, 1 << 20])
def test_an_object_over_the_limit_ends_the_decoding(size: int) -> None:
    """The limit is exact, whether the object arrives whole among others or in pieces."""
    fits = b'{"a": "' + b"x" * (LIMIT - 9) + b'"}'
    over = b'{"a": "' + b"x" * (LIMIT - 8) + b'"}'
    results = decode(*chunks(fits + GOOD + over + GOOD, size), limit=LIMIT)
    assert accepted(results) == [json.loads(fits), {"good": 1}]
    (end,) = broken(results)
    assert end == Broken(
        f"the object is longer than {LIMIT} bytes",
        len(fits) + len(GOOD),
        over[:PAYLOAD_LIMIT],
        fatal=True,
    )


def test_an_object_without_end_is_noticed_at_the_limit_and_not_kept() -> None:
    """A flood without end is fatal as soon as it exceeds the limit, and takes no more memory."""
    decoder = JsonObjectsDecoder(10_000)
    flood = b'{"a": "' + b"{" * 993
    tracemalloc.start()
    try:
        results = [one for _ in range(5000) for one in decoder.feed(flood, NOW)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [one.fatal for one in broken(results)] == [True]
    assert peak < 200_000
    assert not decoder._pending
    assert decoder.eof(NOW) == []


@pytest.mark.parametrize("item", [b'"",', b'"\\"",', b"[", b"{}", b"}{"])
def test_the_search_for_the_end_takes_little_memory(item: bytes) -> None:
    """However many strings or marks an object has, finding its end adds nothing in proportion."""
    text = b'{"a": ' + item * (400_000 // len(item))
    extent = json_objects._Extent(text[0])
    tracemalloc.start()
    try:
        extent.find_end(text, 0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000


def seconds(work: Callable[[], object]) -> float:
    """Return the least CPU time of three runs."""
    times = []
    for _ in range(3):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times)


@pytest.mark.parametrize("item", [b'"":"}{ \\\\\\" ",', b'{"": 0},', b"}{" * 4, b'\\"' * 4])
def test_time_grows_with_the_length_only(item: bytes) -> None:
    """Four times the object in pieces of 100 bytes takes about four times as long, not sixteen."""
    small, large = (
        list(chunks(b'{"a": "' + item * (size // len(item)) + b'"}', 100))
        for size in (OBJECT_LIMIT // 4 - 9, OBJECT_LIMIT - 9)
    )
    ratio = seconds(lambda: decode(*large)) / seconds(lambda: decode(*small))
    assert ratio < 9


@pytest.mark.parametrize(
    "text",
    [
        b'{"key": {"a": 12, "b": 3.5}}',
        b'{"key":{"a":12,"b":3.5}}',
        b'{"a": {"b": 1}}\r\n',
        b'{"t": "2026-01-01T12:30:00", "b" : "a\\":1"} ',
    ],
)
def test_usual_streams_go_the_fast_way(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a read of usual objects only the last one is looked at by itself."""
    alone: list[bytes] = []
    real = json_objects._judge

    def watching(text: bytes, offset: int) -> Result:
        alone.append(text)
        return real(text, offset)

    monkeypatch.setattr(json_objects, "_judge", watching)
    assert len(accepted(decode(b" " + text * 1000))) == 1000
    assert alone == [text.strip()]


# What follows compares with two independent readings: the standard library's decoder, and, for the
# place where a bad object ends, a naive count of marks outside strings.


class Unacceptable(Exception):
    pass


def strict_pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) < len(pairs):
        raise Unacceptable
    return dict(pairs)


def check(value: object, depth: int) -> None:
    """Raise Unacceptable unless ``value`` may stand inside ``depth`` objects."""
    match value:
        case dict() if depth < 2:
            for key, inner in value.items():
                check(key, depth)
                check(inner, depth + 1)
        case str():
            if any("\ud800" <= character <= "\udfff" for character in value):
                raise Unacceptable
        case int() | float() if abs(value) < math.inf:
            try:
                float(value)
            except OverflowError:
                raise Unacceptable from None
        case None:
            pass
        case _:
            raise Unacceptable


def naive_end(text: str, start: int) -> int | None:
    opening = text[start]
    closing = "}" if opening == "{" else "]"
    depth, inside, position = 0, False, start
    while position < len(text):
        character = text[position]
        if inside and character == "\\":
            position += 1
        elif character == '"':
            inside = not inside
        elif not inside and character in (opening, closing):
            depth += 1 if character == opening else -1
            if depth == 0:
                return position + 1
        position += 1
    return None


def oracle(stream: bytes) -> Iterator[tuple[int, dict[str, object] | None, bool]]:
    """Yield place, fields (None when rejected) and fatality of each object in the stream."""
    text = stream.decode("utf-8", "surrogateescape")
    decoder = json.JSONDecoder(object_pairs_hook=strict_pairs)
    position = 0
    while remaining := text[position:].lstrip(" \t\r\n"):
        position = len(text) - len(remaining)
        place = len(text[:position].encode("utf-8", "surrogateescape"))
        if text[position] not in "{[" or (end := naive_end(text, position)) is None:
            yield place, None, True
            return
        try:
            value, stop = decoder.raw_decode(text, position)
            assert stop == end
            check(value, 0)
            yield place, value, False
        except (ValueError, Unacceptable):
            yield place, None, False
        position = end


def assert_same(results: list[Result], stream: bytes) -> None:
    found = [
        (one.offset, one.fields if isinstance(one, JsonObject) else None, one in fatal)
        for fatal in [[one for one in broken(results) if one.fatal]]
        for one in results
    ]
    assert exact(found) == exact(list(oracle(stream)))


scalars = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)
finite = scalars.filter(lambda value: not (isinstance(value, float) and math.isinf(value)))
tricky = st.text('{}[]":,\\ \nax', max_size=12)
keys = st.text(max_size=8) | tricky
objects = st.dictionaries(
    keys, finite | tricky | st.dictionaries(keys, finite | tricky, max_size=4), max_size=5
)
layouts = st.fixed_dictionaries(
    {
        "ensure_ascii": st.booleans(),
        "indent": st.sampled_from([None, 0, 1, "\t"]),
        "separators": st.sampled_from([(",", ":"), (", ", ": "), (" ,\r\n", "\t: ")]),
    }
)
spaces = st.text(" \t\r\n", max_size=3)
texts = st.builds(lambda one, layout: json.dumps(one, **layout), objects, layouts)


@given(st.lists(st.tuples(texts, spaces), max_size=12), st.data())
def test_any_objects_cut_anywhere(parts: list[tuple[str, str]], data: st.DataObject) -> None:
    """What json.dumps writes, in any layout and cut anywhere, is what json.loads reads."""
    stream = "".join(text + space for text, space in parts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    results = decode(*(stream[a:b] for a, b in pairwise([0, *cuts, len(stream)])))
    assert not broken(results)
    assert exact(accepted(results)) == exact([json.loads(text) for text, _ in parts])
    assert [stream[one.offset :][: one.size] for one in results if isinstance(one, JsonObject)] == [
        text.encode() for text, _ in parts
    ]


WORDS = rb"""
    { } [ ] " \ : , 1 0 -1 2.5 1e999 NaN true null \ud800 \ud83d\ude00 \u0061 "a" "b": "a": "a":1
    "b":{"c":2} {"a":1} {"a":1,"b":2} {"k":{"a":1}} {"a":1,"a":1} {"a":"}{"} "\":" {"a\\":1} }{ }
"""
OTHERS = [b" ", b"\n", "é".encode(), b"\xff", b"\xc3", b'{"a": 1} {"b": {"c": ":"}}', b"9" * 310]
fragments = st.sampled_from(WORDS.split() + OTHERS)
near_json = st.lists(fragments, max_size=30).map(b"".join)


@st.composite
def edited(draw: st.DrawFn) -> bytes:
    """Valid objects with one place overwritten, doubled or left out."""
    stream = "".join(draw(st.lists(texts, min_size=1, max_size=4))).encode()
    begin, end = sorted(draw(st.tuples(*[st.integers(0, len(stream))] * 2)))
    return stream[:begin] + draw(fragments | st.just(stream[begin:end] * 2)) + stream[end:]


@given(near_json | edited(), st.integers(1, 40))
@example(b'{"a":1}{"a":"}{","b":1},{"b":"\\":"}', 40)
@example(b'{"a":"}{"}{"b":1}{"c":2}', 40)
@example(b'{"a" :1,"a":2}{"b":":"}', 40)
@example(b'{"a\\\\":1,"a\\\\":2,"b":"::"}{}', 40)
def test_near_json_is_judged_as_the_standard_library_does(stream: bytes, size: int) -> None:
    """The same objects are accepted, in the same order and places, whole and in pieces."""
    whole = decode(stream)
    assert_same(whole, stream)
    assert without_payload(decode(*chunks(stream, size))) == without_payload(whole)
    for one in broken(whole):
        assert stream[one.offset :].startswith(one.payload)


@given(st.lists(st.binary(max_size=60) | near_json, max_size=6), st.integers(2, 80))
def test_garbage_gives_documented_results_only(pieces: list[bytes], limit: int) -> None:
    """No bytes raise; places rise, at most one result is fatal, and it is the last one."""
    results = decode(*pieces, limit=limit)
    places = [one.offset for one in results]
    assert places == sorted(set(places))
    assert not any(one.fatal for one in broken(results[:-1]))
    for one in results:
        if isinstance(one, Broken):
            assert one.reason
            assert len(one.payload) <= PAYLOAD_LIMIT
        else:
            assert one.size <= limit
