"""The HTTP API of an application: what it does, and what it refuses before anything is done."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.protocols.pusher.stand import KEYS, NOW, SECOND, Stand

from motehub.protocols.pusher.application import Application, Limits
from motehub.protocols.pusher.connection import Applications
from motehub.protocols.pusher.http_api import ApiError, ApiRequest, Call
from motehub.protocols.pusher.signatures import signed_query

SECONDS = NOW // SECOND


def ask(
    application: Application,
    method: str,
    path: str,
    body: Any = b"",
    query: dict[str, str] | None = None,
    changes: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Send a request that is signed, unless it is changed."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    whole = signed_query(KEYS.key, KEYS.secret, method, path, query or {}, raw, SECONDS)
    whole |= changes or {}
    text = "&".join(f"{name}={quote(value)}" for name, value in whole.items())
    request = ApiRequest(method, path, quote(path), text.encode())
    call = Call(Applications([application]), request, SECONDS)
    assert len(raw) <= call.body_limit or not raw
    return call.answer(raw, NOW)


def status(application: Application, *given: Any, **more: Any) -> int:
    with pytest.raises(ApiError) as caught:
        ask(application, *given, **more)
    assert caught.value.reason
    return caught.value.status


EVENTS = "/apps/123456/events"
BATCH = "/apps/123456/batch_events"
CHANNELS = "/apps/123456/channels"


def test_an_event_goes_to_its_channels_but_not_to_its_sender() -> None:
    """To each once, and not to the connection that is named as its sender."""
    stand = Stand()
    one, two = stand.connect(), stand.connect()
    for wire in (one, two):
        wire.subscribe("a")
        wire.subscribe("b")
    event = {"name": "e", "channels": ["a", "b", "a", "c"], "data": '{"x":1}'}
    assert ask(stand.application, "POST", EVENTS, event) == {}
    assert [heard["channel"] for heard in one.take()] == ["a", "b"]
    two.take()
    sender = {"socket_id": one.connection.socket_id}
    assert ask(stand.application, "POST", EVENTS, event | sender) == {}
    assert one.take() == []
    assert len(two.take()) == 2
    single = {"name": "e", "channel": "a", "data": "text", "info": "subscription_count"}
    told = ask(stand.application, "POST", EVENTS, single)
    assert told == {"channels": {"a": {"subscription_count": 2}}}


def test_a_batch_is_sent_whole_or_not_at_all() -> None:
    """One event that can't be keeps the others from being sent."""
    stand = Stand()
    wire = stand.connect()
    wire.subscribe("a")
    events = [{"name": f"e{number}", "channel": "a", "data": "x"} for number in range(10)]
    assert ask(stand.application, "POST", BATCH, {"batch": events}) == {}
    assert [heard["event"] for heard in wire.take()] == [f"e{number}" for number in range(10)]
    bad = [*events[:9], {"name": "e", "channel": "not a channel", "data": "x"}]
    assert status(stand.application, "POST", BATCH, {"batch": bad}) == 400
    assert status(stand.application, "POST", BATCH, {"batch": [*events, events[0]]}) == 400
    assert wire.take() == []
    told = ask(
        stand.application,
        "POST",
        BATCH,
        {"batch": [events[0] | {"info": "subscription_count"}, events[1]]},
    )
    assert told == {"batch": [{"subscription_count": 1}, {}]}


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"name": ""}, 400),
        ({"name": "x" * 201}, 400),
        ({"name": "pusher:fake"}, 400),
        ({"name": "pusher_internal:fake"}, 400),
        ({"name": 5}, 400),
        ({"channels": []}, 400),
        ({"channels": ["a"] * 50 + [f"a{n}" for n in range(101)]}, 400),
        ({"channels": ["a b"]}, 400),
        ({"channels": ["a" * 165]}, 400),
        ({"channels": ["private-encrypted-a", "b"]}, 400),
        ({"socket_id": "1.2:private"}, 400),
        ({"data": {"an": "object"}}, 400),
        ({"data": "x" * 10_241}, 413),
        ({"data": "é" * 5_121}, 413),
    ],
)
def test_events_that_cannot_be_are_refused(change: dict[str, Any], wanted: int) -> None:
    """With a status that says whether they are wrong or too large."""
    event = {"name": "e", "channels": ["a"], "data": "x"}
    assert status(Stand().application, "POST", EVENTS, event | change) == wanted


def test_the_largest_event_has_room_however_it_is_written() -> None:
    """Also in a batch whose every character is escaped."""
    events = [{"name": "e", "channel": "a", "data": "é" * 5_120}] * 10
    body = json.dumps({"batch": events}, ensure_ascii=True).encode()
    assert ask(Stand().application, "POST", BATCH, body) == {}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b"\xff", b"[" * 50_000, b'{"name":"e"}'])
def test_a_body_that_is_no_event_is_refused(body: bytes) -> None:
    """With 400."""
    assert status(Stand().application, "POST", EVENTS, body) == 400


def test_channels_are_listed_with_what_is_asked() -> None:
    """Those that somebody hears, by prefix; users of presence channels only."""
    stand = Stand()
    for user in ("1", "2", "2"):
        stand.connect().subscribe("presence-a", {"user_id": user})
    stand.connect().subscribe("private-b")
    assert ask(stand.application, "GET", CHANNELS) == {
        "channels": {"presence-a": {}, "private-b": {}}
    }
    query = {"filter_by_prefix": "presence-", "info": "user_count,subscription_count"}
    told = ask(stand.application, "GET", CHANNELS, query=query)
    assert told == {"channels": {"presence-a": {"user_count": 2, "subscription_count": 3}}}
    assert status(stand.application, "GET", CHANNELS, query={"info": "user_count"}) == 400
    one = ask(stand.application, "GET", f"{CHANNELS}/private-b", query={"info": "x"})
    assert one == {"occupied": True}
    assert ask(stand.application, "GET", f"{CHANNELS}/nobody") == {"occupied": False}
    private = f"{CHANNELS}/private-b"
    assert status(stand.application, "GET", private, query={"info": "user_count"}) == 400
    assert status(stand.application, "GET", f"{CHANNELS}/a b") == 400
    users = ask(stand.application, "GET", f"{CHANNELS}/presence-a/users")
    assert users == {"users": [{"id": "1"}, {"id": "2"}]}
    assert status(stand.application, "GET", f"{private}/users") == 400
    ask(stand.application, "POST", EVENTS, {"name": "e", "channel": "cache-c", "data": "x"})
    told = ask(stand.application, "GET", f"{CHANNELS}/cache-c", query={"info": "cache"})
    assert told == {"occupied": False, "cache": {"data": "x", "ttl": 1800}}


@pytest.mark.parametrize("path", ["/apps/123456/users/ann x/", "/users/ann x/"])
def test_connections_of_a_user_can_be_ended(path: str) -> None:
    """Also at the address that a library has, where the key alone says which application."""
    stand = Stand()
    wire = stand.connect()
    wire.sign_in("ann x")
    assert ask(stand.application, "POST", f"{path}terminate_connections", {}) == {}
    assert wire.closed is not None
    assert wire.closed[0] == 4009


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("GET", "/apps/123456/", 404),
        ("GET", "/apps/123456", 404),
        ("GET", "/apps/123456/nothing", 404),
        ("GET", EVENTS, 404),
        ("POST", CHANNELS, 404),
        ("DELETE", CHANNELS, 404),
        ("GET", "/apps/999/channels", 404),
        ("GET", "/apps//channels", 404),
    ],
)
def test_there_is_nothing_at_other_addresses(method: str, path: str, wanted: int) -> None:
    """Unknown applications, paths and methods are not found."""
    assert status(Stand().application, method, path) == wanted


@pytest.mark.parametrize(
    "changes",
    [
        {"auth_key": "other"},
        {"auth_timestamp": str(SECONDS - 601)},
        {"auth_signature": "0" * 64},
        {"body_md5": "0" * 32},
        {"auth_version": "2.0"},
    ],
)
def test_strangers_are_denied_before_their_body_is_read(changes: dict[str, str]) -> None:
    """With 401, whatever they ask."""
    application = Stand().application
    event = {"name": "e", "channels": ["a"], "data": "x"}
    assert status(application, "POST", EVENTS, event, changes=changes) == 401
    assert status(application, "GET", CHANNELS, changes=changes) == 401
    assert status(application, "POST", "/users/a/terminate_connections", changes=changes) == 401


def test_a_body_that_was_altered_is_denied() -> None:
    """Its digest is signed, and has to be that of the body; a body without one is not taken."""
    application = Stand().application
    path = EVENTS
    body = json.dumps({"name": "e", "channels": ["a"], "data": "x"}).encode()
    query = signed_query(KEYS.key, KEYS.secret, "POST", path, {}, body, SECONDS)
    text = "&".join(f"{name}={value}" for name, value in query.items()).encode()
    call = Call(Applications([application]), ApiRequest("POST", path, path, text), SECONDS)
    with pytest.raises(ApiError) as caught:
        call.answer(body.replace(b"x", b"y"), NOW)
    assert caught.value.status == 401
    assert call.answer(body, NOW) == {}
    query = signed_query(KEYS.key, KEYS.secret, "POST", path, {}, b"", SECONDS)
    text = "&".join(f"{name}={value}" for name, value in query.items()).encode()
    call = Call(Applications([application]), ApiRequest("POST", path, path, text), SECONDS)
    with pytest.raises(ApiError) as caught:
        call.answer(body, NOW)
    assert caught.value.status == 401


def test_an_application_that_is_switched_off_takes_nothing() -> None:
    """It says so, with 403."""
    assert status(Stand(enabled=False).application, "GET", CHANNELS) == 403


def test_the_body_is_bounded_before_it_is_read() -> None:
    """By what a batch of the largest events needs; requests that only ask have none."""
    application = Stand(Limits(event_bytes=100)).application
    for method, path, most in (("POST", EVENTS, 75_000), ("GET", CHANNELS, 0)):
        query = signed_query(KEYS.key, KEYS.secret, method, path, {}, b"", SECONDS)
        text = "&".join(f"{name}={value}" for name, value in query.items()).encode()
        call = Call(Applications([application]), ApiRequest(method, path, path, text), SECONDS)
        assert call.body_limit <= most


@given(
    st.sampled_from(["GET", "POST", "PUT"]),
    st.text(max_size=40).map(lambda text: f"/apps/{text}"),
    st.binary(max_size=100),
    st.binary(max_size=60),
)
def test_garbage_is_only_ever_refused(method: str, path: str, query: bytes, body: bytes) -> None:
    """Whatever is asked, nothing but an ApiError comes of it."""
    application = Stand().application
    with pytest.raises(ApiError):
        Call(Applications([application]), ApiRequest(method, path, path, query), SECONDS)
    signed = signed_query(KEYS.key, KEYS.secret, "POST", EVENTS, {}, body, SECONDS)
    text = "&".join(f"{name}={value}" for name, value in signed.items()).encode()
    call = Call(Applications([application]), ApiRequest("POST", EVENTS, EVENTS, text), SECONDS)
    with pytest.raises(ApiError):
        call.answer(body, NOW)
