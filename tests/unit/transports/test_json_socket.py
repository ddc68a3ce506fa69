"""What JSON objects mean: devices, metrics, texts, and what is answered."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub.conversations import Peer, Turn
from motehub.model import (
    NAME_BYTES,
    Clock,
    Malformed,
    Receipt,
    Record,
    RefusedRecord,
    Samples,
    Texts,
    check_device_name,
    derived_device_name,
)
from motehub.transports.json_socket import ACKNOWLEDGED, JsonConversation

NOW = 1_700_000_000_000_000


def conversation(protocol: str | None = None, allowed: list[str] | None = None) -> JsonConversation:
    return JsonConversation(Peer("192.0.2.1", ("ab", "owner"), protocol), "owner", allowed, 10_000)


def said(turn: Turn | None) -> dict[str, list[Record]]:
    assert turn is not None
    return {one.source.identity: one.records for one in turn.deliveries}


def test_nested_fields_belong_to_the_device_of_their_key() -> None:
    """Outer key is the device, field the metric; flat fields are the certificate's own."""
    found = said(conversation().feed(b'{"a": {"x": 1, "y": "on"}, "z": true}{"a": {"x": 2}}', NOW))
    assert set(found) == {"json_socket:a", "json_socket.flat:owner"}
    numbers, texts = found["json_socket:a"]
    assert isinstance(numbers, Samples)
    assert isinstance(texts, Texts)
    assert (numbers.metric, list(numbers.values), list(numbers.times)) == ("x", [1, 2], [NOW] * 2)
    assert (texts.metric, texts.values) == ("y", ["on"])
    assert numbers.clock is texts.clock is Clock.HUB
    (own,) = found["json_socket.flat:owner"]
    assert isinstance(own, Samples)
    assert list(own.values) == [1.0]


def test_numbers_and_texts_of_one_metric_are_kept_apart() -> None:
    """A value that changes its kind goes on in the other series."""
    (numbers, texts) = said(conversation().feed(b'{"x": 1}{"x": "off"}{"x": 2}', NOW))[
        "json_socket.flat:owner"
    ]
    assert isinstance(numbers, Samples)
    assert isinstance(texts, Texts)
    assert (list(numbers.values), texts.values) == ([1, 2], ["off"])


def test_flat_and_nested_fields_of_one_name_are_told_apart() -> None:
    """Each names the other, so that both are one device whatever it is called meanwhile."""
    turn = conversation().feed(b'{"x": 1, "owner": {"x": 2}}', NOW)
    assert turn is not None
    flat, nested = (one.source for one in turn.deliveries)
    assert (flat.identity, flat.alias) == ("json_socket.flat:owner", "json_socket:owner")
    assert (nested.identity, nested.alias) == (flat.alias, flat.identity)
    assert flat.suggested_name == nested.suggested_name == "owner"


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (b'"x": null', "null"),
        (b'"": 1', "name of a metric"),
        (b'"a\\u0007b": 1', "printable"),
        (b'"' + b"m" * 129 + b'": 1', "128"),
    ],
)
def test_a_value_that_cannot_be_taken_costs_only_itself(field: bytes, words: str) -> None:
    """The reason is recorded, and the other values of the object are stored."""
    (good, bad) = said(conversation().feed(b'{"d": {' + field + b', "ok": 1}}', NOW))[
        "json_socket:d"
    ]
    assert isinstance(good, Samples)
    assert good.metric == "ok"
    assert isinstance(bad, Malformed)
    assert words in bad.reason


def test_other_devices_than_the_allowed_are_rejected_in_the_owners_name() -> None:
    """A limited certificate can't even create the device that it may not write."""
    found = said(conversation(allowed=["a"]).feed(b'{"a": {"x": 1}, "b": {"x": 2}}', NOW))
    assert set(found) == {"json_socket:a", "json_socket:owner"}
    (rejected,) = found["json_socket:owner"]
    assert isinstance(rejected, Malformed)
    assert "may not write b" in rejected.reason


def test_every_object_gets_its_line() -> None:
    """Answers come in the order of the objects, each with what became of its own device."""
    turn = conversation(ACKNOWLEDGED).feed(b'{"a":{"x":1}}{"b":{"x":1}}{"a":{"x":null}}{}', NOW)
    assert turn is not None
    assert turn.answer is not None
    receipts = {
        "json_socket:a": Receipt(1, 1, "the value is null"),
        "json_socket:b": Receipt(
            0, 1, "the device is blocked", (RefusedRecord(0, 0, "the device is blocked"),)
        ),
    }
    lines = turn.answer([receipts[one.source.identity] for one in turn.deliveries]).splitlines()
    assert [json.loads(line) for line in lines] == [
        {"ok": True, "stored": 1},
        {"ok": False, "error": "the device is blocked", "offset": 13},
        {"ok": False, "error": "a.x: the value is null", "offset": 26},
        {"ok": True, "stored": 0},
    ]


def test_nobody_who_did_not_ask_gets_an_answer() -> None:
    """Without ALPN the bytes on the wire are those of the original: none."""
    turn = conversation().feed(b'{"x": 1}', NOW)
    assert turn is not None
    assert turn.answer is None


def test_what_ends_the_connection_is_said() -> None:
    """Input after which nothing can be found ends the connection, with the reason."""
    turn = conversation().feed(b'{"x": 1} x {"x": 2}', NOW)
    assert turn is not None
    assert turn.end
    assert conversation().feed(b'{"x": ', NOW) is None


@given(st.text(max_size=60))
def test_every_key_leads_to_a_name_that_a_device_may_have(key: str) -> None:
    """A key that can't be a name gets one that follows the rules."""
    assert len(check_device_name(derived_device_name(key)).encode()) <= NAME_BYTES


def test_different_keys_lead_to_different_names() -> None:
    """Keys that look alike after cleaning are still two devices."""
    assert derived_device_name("room/1") != derived_device_name("room;1")
    assert derived_device_name("x" * 40) != derived_device_name("x" * 41)
    assert derived_device_name("room1") == "room1"
