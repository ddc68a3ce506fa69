"""Objects of a read are taken together or one by one, with the same result."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from motehub.conversations import Peer, Turn
from motehub.model import Malformed, Receipt, Samples, Texts
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
    lines = [json.loads(line) for line in turn.answer([Receipt(0, 10, "blocked")]).splitlines()]
    assert [line["offset"] for line in lines] == [19 * n for n in range(10)]
    assert {line["error"] for line in lines} == {"blocked"}
