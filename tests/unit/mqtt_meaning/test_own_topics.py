"""JSON on the hub's own topics: ``readings/<device>`` and ``readings/<device>/<metric>``."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.mqtt_hearing import FRIEND, NOW, REMOTE, dated, publish, readings, rejected

from motehub.model import Malformed, Receipt, Samples, Texts
from motehub.mqtt_meaning.meanings import Meanings
from motehub.mqtt_meaning.objects import columns_of, decode_json, decode_object, parse_path
from motehub.mqtt_meaning.values import NoReading
from motehub.protocols.mqtt.reason_codes import ReasonCode


def test_an_object_of_metrics() -> None:
    """Each member is a metric; those of objects inside are joined by an underline."""
    payload = '{"temperature":21.5,"door":"open","on":true,"bme280":{"pressure":1013}}'
    assert readings(publish(Meanings(), ("readings/den", payload))) == {
        ("den", "temperature", ""): [21.5],
        ("den", "door", ""): ["open"],
        ("den", "on", ""): [1],
        ("den", "bme280_pressure", ""): [1013],
    }


@pytest.mark.parametrize("time", ["1795197909", "1795197909.0", '"2026-11-20T18:05:09Z"'])
def test_a_time(time: str) -> None:
    """A time is that of all metrics, and of the device's clock."""
    payload = f'{{"time":{time},"a":1,"b":"x"}}'
    gathered = publish(Meanings(), ("readings/den", payload))
    expected = [1_795_197_909_000_000]
    assert dated(gathered) == {("den", "a"): expected, ("den", "b"): expected}
    message = ("readings/den", payload, 1, True)
    assert dated(publish(Meanings(), message, client=REMOTE)) == dated(gathered)


def test_one_metric_as_an_object() -> None:
    """A metric's own topic takes value, unit and time."""
    payload = '{"value":21.5,"unit":"°C"}'
    gathered = publish(Meanings(), ("readings/den/t", payload), ("readings/den/u", '{"value":"x"}'))
    assert readings(gathered) == {("den", "t", "°C"): [21.5], ("den", "u", ""): ["x"]}
    payload = '{"value":21.5,"time":1795197909}'
    gathered = publish(Meanings(), ("readings/den/t", payload))
    assert dated(gathered) == {("den", "t"): [1_795_197_909_000_000]}


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        ("readings/den", "", "not JSON"),
        ("readings/den", "21.5", "a number where an object is expected"),
        ("readings/den", "{}", "no metric"),
        ("readings/den", '{"time":1795197909}', "no metric"),
        ("readings/den", '{"a":1,"a":2}', "the key 'a' occurs twice"),
        ("readings/den", '{"b":{"a":1,"\\u0061":2}}', "the key 'a' occurs twice"),
        ("readings/den", '{"a":1', "not JSON"),
        ("readings/den", '{"time":"yesterday","a":1}', "ISO 8601"),
        ("readings/den", '{"time":1795197909000,"a":1}', "milliseconds"),
        ("readings/den", '{"time":true,"a":1}', "a boolean where a time"),
        ("readings/den", '{"time":1e300,"a":1}', "not between 1970 and 2261"),
        ("readings/den", '{"time":1e999,"a":1}', "not between 1970 and 2261"),
        ("readings/den", '{"time":-1,"a":1}', "not between 1970 and 2261"),
        ("readings/den", '{"time":"2026-11-20T18:05:09","a":1}', "has no zone"),
        ("readings/den", '{"a":' * 9 + "1" + "}" * 9, "nested deeper"),
        ("readings/den", '{"a":' * 9 + '"\\"x"' + "}" * 9, "nested deeper"),
        ("readings/den", '{"a":' + "[" * 100_000, "nested too deep"),
        ("readings/den", json.dumps({f"m{n}": n for n in range(1001)}), "1001 metrics"),
        ("readings/den/t", '{"temperature":1}', "unknown key 'temperature'"),
        ("readings/den/t", '{"unit":"°C"}', "'value' is missing"),
        ("readings/den/t", '{"value":1,"unit":5}', "'unit' is not a text"),
        ("readings/den/t", '{"value":1,"unit":"' + "x" * 33 + '"}', "'unit' is not a text"),
        ("readings/den/t", '{"value":null}', "'t' is null"),
        ("readings/den/t", "{nonsense", "not JSON"),
        ("readings/den/t/u", "1", "the topic is not readings/"),
        ("readings//t", "1", "the topic is not readings/"),
        ("readings/" + "x" * 129, "{}", "the topic is not readings/"),
    ],
)
def test_what_is_refused(topic: str, payload: str, reason: str) -> None:
    """What can't be read is answered with the reason, and shown to the owner."""
    gathered = publish(Meanings(), (topic, payload))
    (said,) = rejected(gathered)
    assert reason in said
    outcomes = gathered.outcomes([Receipt(0, 1, said)])
    assert outcomes is not None
    assert outcomes.refused[0].code is ReasonCode.PAYLOAD_FORMAT_INVALID


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ('"b":null', "'b' is null"),
        ('"b":[1]', "'b' is an array"),
        ('"b":1e999', "'b' is not a finite number"),
        (f'"b":{"9" * 400}', "'b' is not a finite number"),
        ('"b":NaN', "'b' is not a finite number"),
        ('"b":"\\ud83d"', "half of a surrogate pair"),
        ('"b":"' + "x" * 70_000 + '"', "text longer than"),
        ('"":1', "no name for a metric"),
        ('"x\\ny":1', "no name for a metric"),
        ('"c_d":1,"c":{"d":2}', "several members make the metric 'c_d'"),
    ],
)
def test_a_bad_member_costs_no_other(member: str, reason: str) -> None:
    """The other members are stored; the message is answered with what was wrong."""
    gathered = publish(Meanings(), ("readings/den", '{"a":1,' + member + "}"))
    assert readings(gathered) == {("den", "a", ""): [1]}
    (said,) = rejected(gathered)
    assert reason in said
    outcomes = gathered.outcomes([Receipt(1, 1, said)])
    assert outcomes is not None
    assert outcomes.refused[0].code is ReasonCode.PAYLOAD_FORMAT_INVALID


def test_quotes_in_texts() -> None:
    """Escaped quotes and colons in a text mislead nobody."""
    fields = {'a"b': 'c"d', "e:": '","f":"'}
    gathered = publish(Meanings(), ("readings/den", json.dumps(fields)))
    assert readings(gathered) == {("den", key, ""): [text] for key, text in fields.items()}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", ("a",)),
        ("$.a.b", ("a", "b")),
        ("a[0].b", ("a", 0, "b")),
        ("[1]", (1,)),
        ("$['a b'][\"c.d\"]", ("a b", "c.d")),
        ("größe-1", ("größe-1",)),
    ],
)
def test_a_path(text: str, path: tuple[str | int, ...]) -> None:
    """A path is keys and positions."""
    assert parse_path(text) == path


@pytest.mark.parametrize("text", ["", "$", "a.", "a..b", "a[", "a[x]", "a b", "a['b\"]", "[-1]"])
def test_what_is_no_path(text: str) -> None:
    """Anything else is none."""
    with pytest.raises(ValueError, match="is no path"):
        parse_path(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(json_values)
def test_json_is_read_as_the_standard_library_reads_it(value: Any) -> None:
    """What both readers take, they take for the same."""
    text = json.dumps(value).encode()
    with suppress(NoReading):
        assert repr(decode_json(text)) == repr(json.loads(text))


@pytest.mark.parametrize(
    "payloads",
    [
        # Two halves of an object beside two whole ones, and the same with a seam in a key.
        [b'{"a":1', b'"a":2}', b'{"a":1},{"a":2}'],
        [b'{"a":1,"}', b'{":2}', b'{"a":1,"},{":2},{"a":1,"},{":2}'],
        [b'{"a":1}', b'{"b":1}'],
        [b'{"a":1,"a":2}'],
        [b'{"a":1,"\\u0061":2}'],
        [b'{"a":true}'],
        [b"{}"],
        [b""],
        [b'{"a":1},{"a":2}'],
    ],
)
def test_objects_that_must_be_looked_at(payloads: list[bytes]) -> None:
    """Only whole objects that are alike are taken at once."""
    assert columns_of(payloads) is None


@given(
    st.lists(st.dictionaries(st.sampled_from(["a", "time", "}", "{,"]), st.floats(-9, 9))),
    st.lists(st.integers(0, 200), max_size=4),
)
def test_objects_at_once_are_the_same_as_each(
    objects: list[dict[str, float]], cuts: list[int]
) -> None:
    """Wherever text is cut into payloads, what is taken at once is what each of them says."""
    text = ",".join(map(json.dumps, objects)).encode()
    places = [0, *sorted(cuts), len(text)]
    payloads = [text[start:end].strip(b",") for start, end in pairwise(places)]
    whole = [json.dumps(one).encode() for one in objects]
    for several in (payloads, whole):
        columns = columns_of(several) if several else None
        if columns is not None:
            each = [decode_object(one) for one in several]
            assert columns == {key: [one[key] for one in each] for key in each[0]}


def test_a_flood_of_objects() -> None:
    """Objects that are alike are columns, with their times if they have some."""
    messages = [("readings/den", f'{{"a":{n},"b":{n / 2}}}') for n in range(100)]
    (delivery,) = publish(Meanings(), *messages).deliveries
    assert [list(one.values) for one in delivery.records if isinstance(one, Samples)] == [
        list(range(100)),
        [n / 2 for n in range(100)],
    ]
    messages = [("readings/den", f'{{"a":1,"time":{n}}}') for n in range(1_000, 1_003)]
    expected = [1_000_000_000, 1_001_000_000, 1_002_000_000]
    assert dated(publish(Meanings(), *messages)) == {("den", "a"): expected}
    for time in (-1, 1e300):
        messages[1] = ("readings/den", f'{{"a":1,"time":{time}}}')
        gathered = publish(Meanings(), *messages)
        assert dated(gathered) == {("den", "a"): [expected[0], expected[2]]}
        assert len(rejected(gathered)) == 1


TOPICS = st.sampled_from(
    ["readings/den/t", "readings/den", "readings/den/t/x", "state/join", "led/status", "x", "/"]
)
PAYLOADS = (
    st.binary(max_size=40)
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.sampled_from([b"1", b"2.5", b"true", b"nan", b"1,2", b"]", b"[", b"1]", b" 5 "])
)


@given(st.lists(st.tuples(TOPICS, PAYLOADS), max_size=12))
def test_every_reading_is_of_one_message(messages: list[tuple[str, bytes]]) -> None:
    """Together, messages say what each of them says alone, in their order."""
    meanings = Meanings()
    together = publish(meanings, *messages)
    alone = [publish(meanings, message) for message in messages]
    assert _values(together) == _values(*alone)
    assert sum(_rejections(together)) == sum(sum(_rejections(one)) for one in alone)


def _values(*several: Any) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = {}
    for gathered in several:
        for delivery in gathered.deliveries:
            for record in delivery.records:
                if isinstance(record, Samples | Texts):
                    key = (delivery.source, record.metric, type(record), record.clock)
                    found.setdefault(key, []).extend(record.values)
    return found


def _rejections(gathered: Any) -> list[int]:
    return [
        record.count
        for delivery in gathered.deliveries
        for record in delivery.records
        if isinstance(record, Malformed)
    ]


@given(st.binary(max_size=60))
def test_only_documented_errors(payload: bytes) -> None:
    """Whatever arrives on whichever topic, it is taken, rejected or ignored."""
    with suppress(NoReading):
        decode_object(payload)
    for topic in ("readings/a/b", "readings/a", "state/leave", "photoresistor/status"):
        gathered = publish(Meanings(), (topic, payload), client=FRIEND, now=NOW)
        assert len(gathered.deliveries) == 1
