"""Objects of a read are taken together or one by one, with the same result."""

import json
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from motehub.conversations import Peer, Turn
from motehub.model import Malformed, Receipt, RefusedRecord, Samples, Texts
from motehub.transports.json_socket import JsonConversation

PEER = Peer("192.0.2.7", ("ab" * 32, "gateway"), "motehub-ack/1")

Values = dict[tuple[str, str, str], list[Any]]

NUMBERS = st.one_of(st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6), st.booleans())
ANY = st.one_of(NUMBERS, st.text("xy", max_size=2), st.none())
METRICS = st.sampled_from(["a", "b", "", "c" * 200])
KEYS = st.sampled_from(["room1", "room2", "strange"])


def objects(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    nested = st.dictionaries(KEYS, st.dictionaries(METRICS, values, max_size=3), max_size=2)
    return st.one_of(nested, st.dictionaries(METRICS, values, max_size=3))


@st.composite
def alike(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw many objects with the keys of the first one, in which something may differ."""
    first = draw(objects(NUMBERS))
    found = [
        {
            key: {metric: draw(NUMBERS) for metric in value} if isinstance(value, dict) else n
            for n, (key, value) in enumerate(first.items(), number)
        }
        for number in range(draw(st.integers(8, 20)))
    ]
    if draw(st.booleans()):
        found.insert(draw(st.integers(0, len(found))), draw(objects(ANY)))
    return found


def conversation(allowed: list[str] | None) -> JsonConversation:
    return JsonConversation(PEER, "gateway", allowed, 1 << 20)


def said(turn: Turn | None, values: Values, rejected: list[tuple[str, bytes, str]]) -> bytes:
    """Add what the turn says; return the answer of a hub that takes every reading."""
    if turn is None:
        return b""
    receipts = []
    for delivery in turn.deliveries:
        taken = 0
        for record in delivery.records:
            if isinstance(record, Samples | Texts):
                place = (delivery.source.identity, record.metric, type(record).__name__)
                values.setdefault(place, []).extend(record.values)
                taken += len(record.values)
            elif isinstance(record, Malformed):
                rejected.append((delivery.source.identity, record.payload, record.reason))
        receipts.append(Receipt(taken, 0))
    return turn.answer(receipts) if turn.answer is not None else b""


def outcome(
    stream: list[list[dict[str, Any]]], allowed: list[str] | None
) -> tuple[Values, list[tuple[str, bytes, str]], bytes]:
    """Return what reads of so many objects come to: values, what is rejected, answers."""
    values: Values = {}
    rejected: list[tuple[str, bytes, str]] = []
    speaking, answers = conversation(allowed), b""
    for read in stream:
        data = "".join(json.dumps(one) for one in read).encode()
        answers += said(speaking.feed(data, 1_790_000_000_000_000), values, rejected)
    return values, sorted(rejected), answers


@given(
    st.one_of(alike(), st.lists(objects(ANY), min_size=1, max_size=20)),
    st.sampled_from([None, ["room1", "gateway"], ["room2"]]),
)
def test_one_read_or_many_make_no_difference(
    found: list[dict[str, Any]], allowed: list[str] | None
) -> None:
    """Values in their order, rejections and acknowledgements are the same."""
    assert outcome([found], allowed) == outcome([[one] for one in found], allowed)


def test_a_refused_device_is_answered_for_each_object() -> None:
    """When the hub refuses a device, every object that speaks of it hears why."""
    speaking = conversation(None)
    turn = speaking.feed(b'{"room1": {"a": 1}}' * 10, 1_790_000_000_000_000)
    assert turn is not None
    assert turn.answer is not None
    (delivery,) = turn.deliveries
    (samples,) = delivery.records
    assert isinstance(samples, Samples)
    assert list(samples.values) == [1.0] * 10
    receipt = Receipt(0, 10, "blocked", (RefusedRecord(0, 0, "blocked"),))
    lines = [json.loads(line) for line in turn.answer([receipt]).splitlines()]
    assert [line["offset"] for line in lines] == [19 * n for n in range(10)]
    assert {line["error"] for line in lines} == {"blocked"}


@given(st.lists(objects(ANY), min_size=1, max_size=20) | alike(), st.data())
def test_every_refused_value_is_answered_for_its_object(
    found: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Whatever runs of a column the hub refuses, the objects in which they are hear of it."""
    turn = conversation(None).feed("".join(map(json.dumps, found)).encode(), 1_790_000_000_000_000)
    assert turn is not None
    assert turn.answer is not None
    receipts, refused = [], set()
    for delivery in turn.deliveries:
        runs = []
        for number, record in enumerate(delivery.records):
            if isinstance(record, Samples | Texts) and data.draw(st.booleans()):
                count = len(record.values)
                start = data.draw(st.integers(0, count - 1))
                stop = data.draw(st.none() | st.integers(start + 1, count))
                runs.append(RefusedRecord(number, start, "out of range", stop))
                key = None if delivery.source.alias.startswith("json_socket:") else "nested"
                place = (delivery.source.suggested_name, key, record.metric, type(record))
                refused |= {(*place, n) for n in range(start, count if stop is None else stop)}
        receipts.append(Receipt(1, 1, None, tuple(runs)))
    answers = [json.loads(line) for line in turn.answer(receipts).splitlines()]
    seen: Counter[tuple[Any, ...]] = Counter()
    for one, answer in zip(found, answers, strict=True):
        hit = False
        for outer, value in one.items():
            fields = value if isinstance(value, dict) else {outer: value}
            name, key = (outer, "nested") if isinstance(value, dict) else ("gateway", None)
            for metric, plain in fields.items():
                if plain is not None and 0 < len(metric) < 200:
                    place = (name, key, metric, Texts if isinstance(plain, str) else Samples)
                    hit |= (*place, seen[place]) in refused
                    seen[place] += 1
        if hit:
            assert answer["ok"] is False
        else:
            assert answer.get("error") != "out of range"
