"""The client's side of Pusher Channels, without sockets and without a clock."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.protocols.pusher.stand import NOW, SECOND, Stand, Wire

from motehub.protocols.pusher.application import Application
from motehub.protocols.pusher.client import (
    ANSWER_SECONDS,
    Client,
    Comeback,
    Complaint,
    Established,
    Heard,
    NotSubscribed,
    Subscribed,
    code_of_end,
)
from motehub.protocols.pusher.messages import PONG_SECONDS, Unreadable, decode
from motehub.protocols.pusher.requests import UPDATE, UpdateRequest, read_request
from motehub.protocols.pusher.signatures import channel_auth

CHANNEL = "private-requests"
HELLO = (
    b'{"event":"pusher:connection_established",'
    b'"data":"{\\"socket_id\\":\\"1.2\\",\\"activity_timeout\\":20}"}'
)
YES = b'{"event":"pusher_internal:subscription_succeeded","channel":"private-requests","data":"{}"}'


def subscribed() -> Client:
    """Return a client that hears its channel, at second 0."""
    client = Client(CHANNEL, 0)
    assert client.receive(HELLO, 0) == Established("1.2")
    client.subscribe("k:s", None, 0)
    client.take_outgoing()
    assert client.receive(YES, 0) == Subscribed()
    return client


def event(data: object, name: str = UPDATE) -> bytes:
    return json.dumps({"event": name, "channel": CHANNEL, "data": data}).encode()


def sent(client: Client) -> list[dict[str, Any]]:
    return [json.loads(one) for one in client.take_outgoing()]


def request_of(data: object) -> UpdateRequest:
    return read_request(decode(event(data)))


def test_it_subscribes_with_the_signature_of_the_dashboard() -> None:
    """First the welcome, then the subscription with what the dashboard has signed."""
    client = Client(CHANNEL, 0)
    assert not client.take_outgoing()
    assert client.receive(HELLO, 0) == Established("1.2")
    client.subscribe("key:signature", '{"user_id":1}', 1)
    data = {"channel": CHANNEL, "auth": "key:signature", "channel_data": '{"user_id":1}'}
    assert sent(client) == [{"event": "pusher:subscribe", "data": data}]
    assert not client.is_subscribed
    assert client.receive(YES, 2) == Subscribed()
    assert client.is_subscribed


def test_both_sides_in_memory() -> None:
    """Our client and our server understand each other, whatever was said."""
    stand = Stand()
    wire = Wire(stand, "1.5")
    client = Client(CHANNEL, 0)
    happened = [client.receive(one, 0) for one in wire.frames]
    assert happened == [Established("1.5")]
    wire.frames.clear()
    keys = stand.application.keys
    client.subscribe(channel_auth(keys.key, keys.secret, "1.5", CHANNEL), None, 0)
    for message in client.take_outgoing():
        wire.connection.receive(message, NOW)
    assert [client.receive(one, 0) for one in wire.frames] == [Subscribed()]
    wire.frames.clear()
    publish(stand.application, '{"ip":"192.0.2.1","payload":"red","id":"7"}')
    (heard,) = [client.receive(one, 0) for one in wire.frames]
    assert isinstance(heard, Heard)
    assert read_request(heard.message) == UpdateRequest("192.0.2.1", "red", "7")


def publish(application: Application, data: str) -> None:
    assert application.publish(CHANNEL, UPDATE, data, NOW + SECOND)


@pytest.mark.parametrize("as_text", [True, False])
def test_data_in_either_form(*, as_text: bool) -> None:
    """Data is understood as an object and as one in a string, with fields that nobody knows."""
    data = {"ip": "192.0.2.1", "payload": "#ff8800", "more": [1]}
    heard = subscribed().receive(event(json.dumps(data) if as_text else data), 1)
    assert isinstance(heard, Heard)
    assert read_request(heard.message) == UpdateRequest("192.0.2.1", "#ff8800")


@pytest.mark.parametrize("id_", ["0123", 123, None])
def test_ids_of_other_dashboards(id_: object) -> None:
    """An id is a text or a number, and may be missing."""
    told = request_of({"ip": "192.0.2.1", "payload": "red", "id": id_})
    assert told.id == ("" if id_ is None else str(id_))


@pytest.mark.parametrize(
    "data",
    [
        "not JSON",
        "[]",
        None,
        5,
        {},
        {"ip": "192.0.2.1"},
        {"payload": "red"},
        {"ip": 5, "payload": "red"},
        {"ip": "192.0.2.1", "payload": 5},
        {"ip": "192.0.2.1", "payload": ""},
        {"ip": "192.0.2.1", "payload": "red\r"},
        {"ip": "192.0.2.1", "payload": "red\nblue"},
        {"ip": "192.0.2.1", "payload": "red\x00"},
        {"ip": "192.0.2.1", "payload": "red\x7f"},
        {"ip": "192.0.2.1", "payload": "x" * 1025},
        {"ip": "192.0.2.1", "payload": "\u00e9" * 513},
        {"ip": "1" * 65, "payload": "red"},
        {"ip": "192.0.2.1", "payload": "red", "id": "x" * 65},
        {"ip": "192.0.2.1", "payload": "red", "id": "\n"},
        {"ip": "192.0.2.1", "payload": "red", "id": True},
    ],
)
def test_requests_that_are_wrong(data: object) -> None:
    """Missing fields, other types, line ends, too much: refused, as an object and in a string."""
    for form in (data, json.dumps(data)):
        with pytest.raises(Unreadable):
            request_of(form)


def test_the_longest_payload() -> None:
    """1024 bytes are not too much."""
    assert request_of({"ip": "192.0.2.1", "payload": "x" * 1024}).payload == "x" * 1024


@given(st.binary() | st.text().map(str.encode))
def test_whatever_comes_is_unreadable_at_most(text: bytes) -> None:
    """Only the documented error leaves the client, in every state."""
    for client in (Client(CHANNEL, 0), subscribed()):
        with suppress(Unreadable):
            client.receive(text, 1)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_whatever_data_comes_is_unreadable_at_most(data: object) -> None:
    """For each of the protocol's own events, and for requests."""
    names = ("connection_established", "error", "subscription_error", "ping", "pong")
    for name in (*(f"pusher:{one}" for one in names), UPDATE):
        with suppress(Unreadable):
            happening = subscribed().receive(event(data, name), 1)
            if isinstance(happening, Heard):
                read_request(happening.message)


def test_other_events_are_nobodys() -> None:
    """Events of other channels, and those before the subscription, are passed over."""
    client = Client(CHANNEL, 0)
    assert client.receive(event({}), 0) is None
    client.receive(HELLO, 0)
    assert client.receive(event({}), 0) is None
    other = b'{"event":"update.request","channel":"private-other","data":{}}'
    assert subscribed().receive(other, 0) is None
    internal = event({}, "pusher_internal:member_added")
    assert subscribed().receive(internal, 0) is None


def test_steps_out_of_order() -> None:
    """A second welcome or confirmation, and a confirmation before the welcome, are refused."""
    with pytest.raises(Unreadable):
        subscribed().receive(HELLO, 1)
    with pytest.raises(Unreadable):
        subscribed().receive(YES, 1)
    with pytest.raises(Unreadable):
        Client(CHANNEL, 0).receive(YES, 1)
    with pytest.raises(Unreadable):
        Client(CHANNEL, 0).receive(b'{"event":"pusher:connection_established","data":{}}', 1)


def test_a_refusal_says_why() -> None:
    """The server's reason and status are for the log."""
    client = Client(CHANNEL, 0)
    client.receive(HELLO, 0)
    data = {"type": "AuthError", "error": "no such", "status": 401}
    assert client.receive(event(data, "pusher:subscription_error"), 0) == NotSubscribed(
        "no such (401)"
    )


def test_a_ping_is_answered() -> None:
    """Ping with pong."""
    client = subscribed()
    client.receive(b'{"event":"pusher:ping","data":"{}"}', 1)
    assert [one["event"] for one in sent(client)] == ["pusher:pong"]


def test_silence_is_asked_about_and_then_the_end() -> None:
    """After the server's activity time-out a ping; without an answer in 30 s it is over."""
    client = subscribed()
    assert client.deadline == 20
    assert client.tick(19) is None
    assert not client.take_outgoing()
    assert client.tick(20) is None
    assert [one["event"] for one in sent(client)] == ["pusher:ping"]
    assert client.deadline == 20 + PONG_SECONDS
    assert client.tick(49) is None
    assert "silent for 50 s" in str(client.tick(50))


def test_whatever_comes_ends_the_silence() -> None:
    """An event counts as well as a pong."""
    client = subscribed()
    client.tick(20)
    client.take_outgoing()
    client.receive(event({}), 25)
    assert client.deadline == 45
    assert client.tick(44) is None
    assert not client.take_outgoing()


@pytest.mark.parametrize(("said", "meant"), [(0, 1), (1, 1), (30, 30), (3600, 120), (-5, 1)])
def test_the_activity_timeout_is_bounded(said: int, meant: int) -> None:
    """A server may be asked more often than every two minutes, not less and not all the time."""
    client = Client(CHANNEL, 0)
    data = {"socket_id": "1.2", "activity_timeout": said}
    client.receive(json.dumps({"event": "pusher:connection_established", "data": data}).encode(), 0)
    assert client.deadline == meant


def test_a_server_that_says_nothing_is_left() -> None:
    """No welcome, or no confirmation, within half a minute."""
    client = Client(CHANNEL, 0)
    assert client.deadline == ANSWER_SECONDS
    assert client.tick(ANSWER_SECONDS - 1) is None
    assert "say who we are" in str(client.tick(ANSWER_SECONDS))
    client = Client(CHANNEL, 0)
    client.receive(HELLO, 0)
    client.subscribe("k:s", None, 10)
    assert client.deadline == 20
    assert "confirm" in str(client.tick(10 + ANSWER_SECONDS))


@pytest.mark.parametrize("code", range(4000, 4100))
def test_codes_that_forbid_to_come_back(code: int) -> None:
    """4000 to 4099: never unchanged, however well it was before."""
    assert Comeback().pause(code, 0, 0) is None
    assert Comeback().pause(code, 3600, 1) is None


@pytest.mark.parametrize("code", range(4100, 4200))
def test_codes_that_ask_for_patience(code: int) -> None:
    """4100 to 4199: after a second at least, and longer each time."""
    comeback = Comeback()
    pauses = [comeback.pause(code, 0, 0) for _ in range(12)]
    assert all(one is not None and one >= 1 for one in pauses)
    assert pauses[-1] == Comeback.LONGEST / 2


@pytest.mark.parametrize("code", range(4200, 4300))
def test_codes_that_ask_to_come_back_at_once(code: int) -> None:
    """4200 to 4299: at once, but not again and again when it helps nothing."""
    comeback = Comeback()
    assert comeback.pause(code, 0, 0) == 0
    again = comeback.pause(code, 0, 0)
    assert again is not None
    assert again > 0
    assert comeback.pause(code, Comeback.STEADY, 0) == 0


@pytest.mark.parametrize("code", [None, 1000, 1001, 1006, 1009, 1011, 3999, 4300, 4301, 4999])
def test_other_ends(code: int | None) -> None:
    """Longer and longer, to a minute, shortened by chance to half; anew when it was well."""
    comeback = Comeback()
    pauses = [comeback.pause(code, 0, 1) for _ in range(9)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert comeback.pause(code, Comeback.STEADY, 1) == 0.5
    assert Comeback().pause(code, 0, 0) == 0.25


def test_a_code_may_be_said_before_the_end() -> None:
    """In an error; the closing frame's own code wins, and errors that end nothing don't count."""
    assert code_of_end(1000, Complaint("", 4001)) == 4001
    assert code_of_end(None, Complaint("", 4100)) == 4100
    assert code_of_end(4200, Complaint("", 4001)) == 4200
    assert code_of_end(1006, Complaint("", 4301)) == 1006
    assert code_of_end(None, Complaint("", None)) is None
    assert code_of_end(1001, None) == 1001


@pytest.mark.parametrize("data", [{"message": "m", "code": 4001}, '{"message":"m","code":4001}'])
def test_complaints_are_remembered(data: object) -> None:
    """An error is told, as an object and in a string."""
    client = subscribed()
    assert client.receive(event(data, "pusher:error"), 0) == Complaint("m", 4001)
    assert client.complaint == Complaint("m", 4001)
