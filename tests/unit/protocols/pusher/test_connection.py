"""One connection: what it is answered, whom it reaches, when it ends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.protocols.pusher.stand import KEYS, NOW, SECOND, Stand, Wire, read

from motehub.protocols.pusher.application import Application, Keys, Limits
from motehub.protocols.pusher.connection import Applications, Closed
from motehub.protocols.pusher.names import is_socket_id

SUBSCRIBED = "pusher_internal:subscription_succeeded"
REFUSED = "pusher:subscription_error"


def test_the_first_message_says_the_socket_id() -> None:
    """With the time after which a client asks whether we are there, inside a string of JSON."""
    wire = Wire(Stand(), "12.34", silence=90)
    (frame,) = wire.frames
    message = json.loads(frame)
    assert message["event"] == "pusher:connection_established"
    assert isinstance(message["data"], str)
    assert json.loads(message["data"]) == {"socket_id": "12.34", "activity_timeout": 90}


@pytest.mark.parametrize("in_string", [False, True])
def test_data_may_be_an_object_or_in_a_string(in_string: bool) -> None:
    """Libraries differ in what they send."""
    wire = Stand().connect()
    data: Any = {"channel": "news"}
    (answer,) = wire.say("pusher:subscribe", json.dumps(data) if in_string else data)
    assert (answer["event"], answer["channel"], answer["data"]) == (SUBSCRIBED, "news", {})


def test_whoever_subscribes_gets_events_until_he_unsubscribes() -> None:
    """And only of that channel; each event is put into a frame once."""
    stand = Stand()
    wires = [stand.connect() for _ in range(3)]
    for wire in wires[:2]:
        wire.subscribe("news")
    framed = stand.framed
    assert stand.application.publish("news", "e", '{"a":1}', NOW) == 2
    assert stand.framed == framed + 1
    for wire in wires[:2]:
        assert wire.take() == [{"event": "e", "channel": "news", "data": {"a": 1}}]
    assert wires[2].take() == []
    assert wires[0].say("pusher:unsubscribe", {"channel": "news"}) == []
    assert stand.application.publish("news", "e", "x", NOW) == 1
    assert wires[0].take() == []
    assert stand.application.publish("news", "e", "x", NOW, [wires[1].connection.socket_id]) == 0
    assert stand.application.publish("other", "e", "x", NOW) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"auth": None},
        {"auth": ""},
        {"auth": "app-key:" + "0" * 64},
        {"auth": "other-key:" + "0" * 64},
        {"auth": "é"},
    ],
)
@pytest.mark.parametrize("channel", ["private-a", "presence-a", "private-encrypted-a"])
def test_private_channels_need_the_signature(channel: str, changes: dict[str, Any]) -> None:
    """Without it there is an error with the status 401, and nothing is heard."""
    stand = Stand()
    wire = stand.connect()
    (answer,) = wire.subscribe(channel, {"user_id": "1"}, **changes)
    assert (answer["event"], answer["channel"]) == (REFUSED, channel)
    assert (answer["data"]["type"], answer["data"]["status"]) == ("AuthError", 401)
    assert stand.application.publish(channel, "e", "x", NOW) == 0
    assert stand.happened == []


def test_a_signature_is_for_one_connection_channel_and_member() -> None:
    """It is worth nothing for any other."""
    stand = Stand()
    one, other = stand.connect(), stand.connect()
    from motehub.protocols.pusher.signatures import channel_auth

    auth = channel_auth(KEYS.key, KEYS.secret, one.connection.socket_id, "private-a")
    assert other.subscribe("private-a", auth=auth)[0]["event"] == REFUSED
    assert one.subscribe("private-b", auth=auth)[0]["event"] == REFUSED
    assert one.subscribe("private-a", auth=auth)[0]["event"] == SUBSCRIBED
    told = one.subscribe("presence-a", {"user_id": "1"}, channel_data='{"user_id":"2"}')
    assert told[0]["event"] == REFUSED


@pytest.mark.parametrize(
    "member",
    [
        None,
        {},
        {"user_id": ""},
        {"user_id": "x" * 201},
        {"user_id": None},
        {"user_id": [1]},
        {"user_id": "1", "user_info": "x" * 1_025},
        [],
        "x",
    ],
)
def test_members_say_who_they_are(member: Any) -> None:
    """A presence channel without a right user_id can't be had, however well it is signed."""
    (answer,) = Stand().connect().subscribe("presence-a", member)
    assert (answer["event"], answer["data"]["status"]) == (REFUSED, 401)


def test_members_see_each_other() -> None:
    """One member for each user, however many connections; the list comes with the confirmation."""
    stand = Stand()
    ann, ann_again, bob = stand.connect(), stand.connect(), stand.connect()
    info = {"name": "Änn", "deep": [1, {"a": None}]}
    (answer,) = ann.subscribe("presence-room", {"user_id": 1, "user_info": info})
    assert answer["data"] == {"presence": {"count": 1, "ids": ["1"], "hash": {"1": info}}}
    (answer,) = ann_again.subscribe("presence-room", {"user_id": "1"})
    assert answer["data"]["presence"]["hash"] == {"1": info}
    assert ann.take() == []
    (answer,) = bob.subscribe("presence-room", {"user_id": "bob"})
    assert answer["data"]["presence"]["ids"] == ["1", "bob"]
    for wire in (ann, ann_again):
        (added,) = wire.take()
        assert added["event"] == "pusher_internal:member_added"
        assert added["data"] == {"user_id": "bob", "user_info": None}
    ann.connection.lost()
    assert bob.take() == []
    ann_again.say("pusher:unsubscribe", {"channel": "presence-room"})
    (removed,) = bob.take()
    assert removed["event"] == "pusher_internal:member_removed"
    assert removed["data"] == {"user_id": "1"}
    bob.connection.lost()
    assert stand.kinds == [
        ("channel_occupied", "presence-room"),
        ("member_added", "presence-room"),
        ("member_added", "presence-room"),
        ("member_removed", "presence-room"),
        ("member_removed", "presence-room"),
        ("channel_vacated", "presence-room"),
    ]


def test_client_events_go_to_the_others() -> None:
    """Never back; on a presence channel they say who has sent them."""
    stand = Stand()
    one, two = stand.connect(), stand.connect()
    for number, wire in enumerate((one, two)):
        wire.subscribe("private-a")
        wire.subscribe("presence-a", {"user_id": number})
    one.take()
    assert one.say("client-moved", {"x": 1}, channel="private-a") == []
    assert two.take() == [{"event": "client-moved", "channel": "private-a", "data": {"x": 1}}]
    assert one.say("client-moved", "just text", channel="presence-a") == []
    (heard,) = two.take()
    assert (heard["data"], heard["user_id"]) == ("just text", "0")
    happened = stand.happened[-1]
    assert happened.document == {
        "name": "client_event",
        "channel": "presence-a",
        "event": "client-moved",
        "data": "just text",
        "socket_id": one.connection.socket_id,
        "user_id": "0",
    }


@pytest.mark.parametrize(
    ("event", "channel"),
    [
        ("client-a", "public"),
        ("client-a", "private-other"),
        ("client-a", "private-encrypted-a"),
        ("client-" + "x" * 200, "private-a"),
        ("client-a", None),
    ],
)
def test_client_events_are_for_private_channels_that_one_hears(
    event: str, channel: str | None
) -> None:
    """Others are refused with an error, and nobody gets them."""
    stand = Stand()
    one, two = stand.connect(), stand.connect()
    for wire in (one, two):
        for name in ("public", "private-a", "private-encrypted-a"):
            wire.subscribe(name)
    two.subscribe("private-other")
    two.take()
    (answer,) = one.say(event, {}, channel=channel)
    assert answer["event"] == "pusher:error"
    assert answer["data"]["code"] == 4301
    assert two.take() == []


def test_client_events_are_bounded_in_rate_and_size() -> None:
    """Ten a second, then error 4301; in the next second they go on. Nothing is closed."""
    stand = Stand()
    one, two = stand.connect(), stand.connect()
    for wire in (one, two):
        wire.subscribe("private-a")
    for number in range(10):
        assert one.say("client-a", number, NOW + number, channel="private-a") == []
    (answer,) = one.say("client-a", 10, NOW + 11, channel="private-a")
    assert answer["data"]["code"] == 4301
    assert len(two.take()) == 10
    assert one.say("client-a", 11, NOW + SECOND, channel="private-a") == []
    (answer,) = one.say("client-a", "x" * 10_241, NOW + SECOND, channel="private-a")
    assert answer["data"]["code"] == 4301
    # A clock that was set back does not silence anybody.
    assert one.say("client-a", 12, NOW - SECOND, channel="private-a") == []
    assert len(two.take()) == 2
    none = Stand(Limits(client_events=0)).connect()
    none.subscribe("private-a")
    assert none.say("client-a", 1, channel="private-a")[0]["data"]["code"] == 4301


def test_who_has_signed_in_gets_what_is_for_the_user() -> None:
    """On the user's own channel, which nobody else may hear; the owner may end the connections."""
    stand = Stand()
    one, two = stand.connect(), stand.connect()
    channel = "#server-to-user-ann"
    assert one.subscribe(channel)[0]["event"] == REFUSED
    (answer,) = one.sign_in("ann")
    assert answer["event"] == "pusher:signin_success"
    assert json.loads(answer["data"]["user_data"]) == {"id": "ann"}
    assert one.subscribe(channel)[0]["event"] == SUBSCRIBED
    assert two.subscribe(channel)[0]["event"] == REFUSED
    assert stand.application.publish(channel, "e", "x", NOW) == 1
    assert one.take() == [{"event": "e", "channel": channel, "data": "x"}]
    assert one.sign_in("bob")[0]["event"] == "pusher:error"
    assert stand.application.disconnect("bob") == 0
    assert stand.application.disconnect("ann") == 1
    assert one.closed is not None
    assert one.closed[0] == 4009
    assert stand.application.publish(channel, "e", "x", NOW) == 0
    assert len(stand.application) == 1


def test_signing_in_with_a_wrong_signature_ends_the_connection() -> None:
    """With 4009, after an error that says why."""
    wire = Stand().connect()
    (answer,) = wire.sign_in("ann", auth="app-key:wrong")
    assert (answer["event"], answer["data"]["code"]) == ("pusher:error", 4009)
    assert wire.closed is not None
    assert wire.closed[0] == 4009
    assert wire.say("pusher:ping") == []


def test_cache_channels_give_the_last_event_to_who_comes_later() -> None:
    """For half an hour, also when nobody heard it; without one, they say so."""
    stand = Stand(Limits(cached=2))
    wire = stand.connect()
    heard = wire.subscribe("cache-a")
    assert [one["event"] for one in heard] == [SUBSCRIBED, "pusher:cache_miss"]
    assert heard[1]["channel"] == "cache-a"
    for value in ("old", "new"):
        stand.application.publish("cache-a", "e", value, NOW)
    wire.take()
    late = stand.connect()
    heard = late.subscribe("cache-a")
    assert [(one["event"], one["data"]) for one in heard[1:]] == [("e", "new")]
    assert len(stand.connect().subscribe("cache-a", now=NOW + 1_801 * SECOND)) == 2
    assert stand.kinds[-1] == ("cache_miss", "cache-a")
    # Kept are the newest.
    stand.application.publish("private-cache-b", "e", "b", NOW)
    stand.application.publish("cache-c", "e", "c", NOW)
    assert stand.application.cached("cache-a", NOW) is None
    assert stand.application.cached("private-cache-b", NOW) == {"data": "b", "ttl": 1800}
    stand.application.publish("not-cache-d", "e", "d", NOW)
    assert stand.application.cached("not-cache-d", NOW) is None


def test_strangers_leave_room_for_channels_that_are_given() -> None:
    """Whoever knows the key may take public channels: not so many that no private one is left."""
    stand = Stand(Limits(channels=20))
    wire = stand.connect()
    taken = [wire.subscribe(f"c{number}")[0]["event"] for number in range(25)]
    assert taken == [SUBSCRIBED] * 18 + [REFUSED] * 7
    assert wire.subscribe("private-requests")[0]["event"] == SUBSCRIBED
    assert wire.subscribe("presence-a", {"user_id": 1})[0]["event"] == SUBSCRIBED
    assert wire.subscribe("private-b")[0]["event"] == REFUSED


def test_channels_and_members_are_bounded() -> None:
    """A further one is refused; what was before goes on."""
    stand = Stand(Limits(channels=3, channels_per_connection=2, members=1))
    one, two = stand.connect(), stand.connect()
    assert one.subscribe("a")[0]["event"] == SUBSCRIBED
    assert one.subscribe("a")[0]["event"] == REFUSED
    assert one.subscribe("presence-b", {"user_id": 1})[0]["event"] == SUBSCRIBED
    assert one.subscribe("c")[0]["data"]["type"] == "LimitReached"
    assert two.subscribe("presence-b", {"user_id": 2})[0]["data"]["type"] == "LimitReached"
    assert two.subscribe("c")[0]["event"] == SUBSCRIBED
    assert two.subscribe("d")[0]["data"]["type"] == "LimitReached"
    assert two.subscribe("a")[0]["event"] == SUBSCRIBED
    assert stand.application.users("presence-b") == ["1"]
    two.say("pusher:unsubscribe", {"channel": "c"})
    two.say("pusher:unsubscribe", {"channel": "never"})
    assert two.subscribe("d")[0]["event"] == SUBSCRIBED


def test_a_silent_client_is_asked_and_then_sent_away() -> None:
    """After its time of silence a ping, after thirty seconds more 4201; any sign of life counts."""
    wire = Stand().connect()
    connection = wire.connection
    assert connection.deadline == NOW + 120 * SECOND
    connection.timeout(NOW + 119 * SECOND)
    assert wire.take() == []
    connection.timeout(NOW + 120 * SECOND)
    assert [one["event"] for one in wire.take()] == ["pusher:ping"]
    assert connection.deadline == NOW + 150 * SECOND
    connection.hear(NOW + 149 * SECOND)
    assert wire.say("pusher:pong") == []
    assert connection.deadline == NOW + 269 * SECOND
    connection.timeout(NOW + 269 * SECOND)
    connection.timeout(NOW + 299 * SECOND)
    assert [one["event"] for one in wire.take()] == ["pusher:ping", "pusher:error"]
    assert wire.closed is not None
    assert wire.closed[0] == 4201
    assert connection.deadline is None
    connection.timeout(NOW + 999 * SECOND)


def test_a_ping_is_answered() -> None:
    """With a pong."""
    assert Stand().connect().say("pusher:ping", {}) == [{"event": "pusher:pong", "data": {}}]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"hello",
        b"[]",
        b"{}",
        b'{"event":5}',
        b'{"event":"pusher:subscribe"}',
        b'{"event":"pusher:subscribe","data":"{"}',
        b'{"event":"pusher:subscribe","data":{"channel":5}}',
        b'{"event":"pusher:subscribe","data":{"channel":""}}',
        b'{"event":"pusher:subscribe","data":{"channel":"a b"}}',
        b'{"event":"pusher:subscribe","data":{"channel":"' + b"a" * 165 + b'"}}',
        b'{"event":"pusher:subscribe","data":{"channel":"#server-to-user-"}}',
        b'{"event":"pusher:unsubscribe","data":"\\ud800"}',
        b'{"event":"pusher:signin","data":{}}',
        b'{"event":"pusher_internal:member_added","data":{}}',
        b'{"event":"anything","channel":"a","data":{}}',
        b'{"event":"a","data":"\xff"}',
        b'{"event":"a","data":' + b"[" * 100_000,
        b'{"event":"pusher:subscribe","data":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    ],
)
def test_a_malformed_message_is_answered_with_an_error(text: bytes) -> None:
    """The connection goes on, and so does everybody else's."""
    stand = Stand()
    wire = stand.connect()
    wire.connection.receive(text, NOW)
    (answer,) = wire.take()
    assert (answer["event"], answer["data"]["code"]) == ("pusher:error", None)
    assert answer["data"]["message"]
    assert wire.subscribe("news")[0]["event"] == SUBSCRIBED


@given(st.binary(max_size=200))
def test_garbage_is_only_ever_an_error(text: bytes) -> None:
    """Whatever bytes arrive, no exception leaves, and one short message answers them at most."""
    wire = Stand().connect()
    wire.connection.receive(text, NOW)
    assert all(len(frame) < 600 for frame in wire.frames)
    assert len(wire.frames) <= 1


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3)
    ),
)
_events = st.sampled_from(
    [
        "pusher:subscribe",
        "pusher:unsubscribe",
        "pusher:signin",
        "pusher:ping",
        "pusher:pong",
        "client-a",
        "x",
    ]
)
_channels = st.sampled_from(["a", "private-a", "presence-a", "cache-a", "#server-to-user-u"])


@given(
    st.lists(
        st.tuples(
            _events,
            _values | st.fixed_dictionaries({"channel": _channels}),
            _channels,
            st.booleans(),
        ),
        max_size=20,
    )
)
def test_any_talk_leaves_the_application_whole(
    talk: list[tuple[str, Any, str, bool]],
) -> None:
    """Nothing is left of a client that is gone, whatever it has said, rightly signed or not."""
    stand = Stand()
    wire, witness = stand.connect(), stand.connect()
    witness.subscribe("presence-a", {"user_id": "w"})
    for event, data, channel, signed in talk:
        if event == "pusher:subscribe" and signed:
            wire.subscribe(channel, {"user_id": "1"} if "presence" in channel else None)
        else:
            wire.say(event, data, channel=channel)
    wire.connection.lost()
    assert len(stand.application) == 1
    assert stand.application.occupied() == ["presence-a"]
    assert stand.application.users("presence-a") == ["w"]


def other(number: int, *, enabled: bool = True, connections: int = 9) -> Application:
    keys = Keys(str(number), f"key-{number}", "secret")
    return Application(keys, Limits(connections), bytes, lambda _: None, enabled=enabled)


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/app/app-key?protocol=7&client=js&version=8.4.0&flash=false", None),
        ("/app/app-key?client=java&protocol=5", None),
        ("/app/app-key?protocol=6", None),
        ("/app/app-key", 4008),
        ("/app/app-key?protocol=", 4008),
        ("/app/app-key?protocol=seven", 4006),
        ("/app/app-key?protocol=7.1", 4006),
        ("/app/app-key?protocol=4", 4007),
        ("/app/app-key?protocol=8", 4007),
        ("/app/unknown?protocol=7", 4001),
        ("/app/?protocol=7", 4005),
        ("/app/app-key/more?protocol=7", 4005),
        ("/app/key-1?protocol=7", 4003),
        ("/app/key-2?protocol=7", 4004),
        ("/app/app-key?" + "a=1&" * 100 + "protocol=7", 4008),
    ],
)
def test_the_address_says_application_and_version(target: str, code: int | None) -> None:
    """What can't be served is closed with the code that tells clients what to do."""
    stand = Stand()
    full = other(2, connections=0)
    applications = Applications([stand.application, other(1, enabled=False), full])
    if code is None:
        assert applications.of_target(target) is stand.application
        return
    with pytest.raises(Closed) as caught:
        applications.of_target(target)
    assert caught.value.code == code


def test_two_applications_know_nothing_of_each_other() -> None:
    """Neither their events nor their signatures mean anything to the other."""
    one, two = Stand(), other(3)
    wire = one.connect()
    wire.subscribe("news")
    assert two.publish("news", "e", "x", NOW) == 0
    assert wire.take() == []


def test_socket_ids_are_digits() -> None:
    """Signatures are made over them: nothing else may be in one."""
    assert is_socket_id("1.2")
    for wrong in ("", "1", "1.", ".2", "1.2:private-a", "1.2\n", "a.b", "1.2.3", "١.٢"):
        assert not is_socket_id(wrong)
    assert read(b'{"event":"e"}') == {"event": "e"}
