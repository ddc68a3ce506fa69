"""What happens to connections of the broker between a read, its commit, and its answer."""

from __future__ import annotations

from msgspec.structs import replace
from tests.mqtt_peer import Peer as Client
from tests.mqtt_stand import NOW, Hub, Wire

from motehub.guessing import FREE
from motehub.protocols.mqtt.encoding import encode
from motehub.protocols.mqtt.limits import BrokerLimits
from motehub.protocols.mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
    Subscription,
    Version,
    Violation,
    Will,
)
from motehub.protocols.mqtt.properties import DisconnectProperties
from motehub.protocols.mqtt.reason_codes import ReasonCode

TOPIC = "rooms/1"


def connection(hub: Hub) -> Wire:
    """Return a connection on which nothing has been said."""
    wire = Wire(hub)
    hub.wires.append(wire)
    return wire


def say(wire: Wire, *packets: Packet) -> None:
    """Have the hub read packets of MQTT 5 in one piece."""
    data = b"".join(encode(packet, Version.V5) for packet in packets)
    wire.offer(wire.conversation.feed(data, NOW))


def told(wire: Wire) -> list[Packet]:
    """Return what the hub has written since this was asked last."""
    data, wire.to_client = wire.to_client, b""
    return [packet for packet in wire.reader.feed(data) if not isinstance(packet, Violation)]


def enter(hub: Hub, client: Client) -> Wire:
    """Return a connection of a client whose session is kept, once it has its answers."""
    wire = connection(hub)
    say(wire, *client.connect())
    hub.commit()
    return wire


def test_the_keep_alive_counts_at_once() -> None:
    """It may end before the time in which CONNECT had to come."""
    assert enter(Hub({}, []), Client("sensor")).deadline == NOW + 45_000_000


def test_a_message_for_a_client_whose_end_is_not_noted_yet() -> None:
    """It waits for a client that went away while the message became durable."""
    hub, client = Hub({}, []), Client("listener", [TOPIC])
    listener, sender = enter(hub, client), enter(hub, Client("sender"))
    say(sender, Publish(TOPIC, b"x", 1, packet_id=1))
    hub.begin_commit()
    listener.cut()
    hub.finish_commit()
    hub.commit()
    again = told(enter(hub, client))
    assert [one.payload for one in again if isinstance(one, Publish)] == [b"x"]


def test_only_qos_2_is_released_after_a_crash() -> None:
    """A message of QoS 1 that was acknowledged needs nothing more: it has no PUBREL."""
    state: dict[str, bytes] = {}
    hub, client = Hub(state, []), Client("listener", [TOPIC])
    listener, sender = enter(hub, client), enter(hub, Client("sender"))
    say(sender, *(Publish(TOPIC, b"x", qos, packet_id=qos) for qos in (1, 2)))
    hub.commit()
    first, second = (one for one in told(listener) if isinstance(one, Publish))
    say(listener, PubAck(first.packet_id), PubRec(second.packet_id))
    hub.commit()
    hub = Hub(state, [])
    client.subscribed = True
    listener = enter(hub, client)
    assert told(listener)[1:] == [PubRel(second.packet_id)]
    say(listener, PubComp(second.packet_id))
    hub.commit()
    assert not [key for key in state if "/waiting/" in key or "/released/" in key]


def test_connects_of_one_commit_share_the_room() -> None:
    """When two come at once and there is room for one session, one is refused."""
    hub = Hub({}, [])
    hub.broker.limits = BrokerLimits(sessions=1)
    wires = [connection(hub), connection(hub)]
    for number, wire in enumerate(wires):
        say(wire, Connect(f"client-{number}"))
    hub.commit()
    hub.commit()
    answers = [one for wire in wires for one in told(wire) if isinstance(one, ConnAck)]
    assert [one.reason_code for one in answers] == [
        ReasonCode.SUCCESS,
        ReasonCode.QUOTA_EXCEEDED,
    ]


def test_connects_of_one_commit_with_one_client_id() -> None:
    """Who comes at the same time as somebody else's client can't send it away."""
    hub = Hub({}, [])
    owner, stranger = connection(hub), connection(hub)
    for wire in (owner, stranger):
        say(wire, Connect("sensor"))
    assert owner.conversation.rights is not None
    owner.conversation.rights.principal = "token:sensor"
    hub.commit()
    hub.commit()
    (welcome,), (refused,) = told(owner), told(stranger)
    assert isinstance(welcome, ConnAck)
    assert welcome.reason_code is ReasonCode.SUCCESS
    assert isinstance(refused, ConnAck)
    assert refused.reason_code is ReasonCode.NOT_AUTHORIZED
    assert owner.is_open


def test_what_a_session_says_that_ends_in_the_same_commit() -> None:
    """A late SUBSCRIBE leaves nothing behind, nor does a late message in the new session."""
    state: dict[str, bytes] = {}
    hub, client = Hub(state, []), Client("sensor")
    old = enter(hub, client)
    new = connection(hub)
    hub.wires.reverse()
    say(new, Connect("sensor", clean_start=True))
    say(old, Subscribe(1, (Subscription("#", 1),)), Publish(TOPIC, b"x", 2, packet_id=7))
    hub.commit()
    assert hub.broker.routes.count == 0
    assert not state


def test_no_local_holds_for_retained_messages() -> None:
    """Who wants none of its own messages gets none of those either, also after a crash."""
    state: dict[str, bytes] = {}
    hub = Hub(state, [])
    for number, name in enumerate(("own", "other")):
        topic = f"rooms/{number}"
        say(enter(hub, Client(name)), Publish(topic, b"x", 1, True, packet_id=1))
    hub.commit()
    for _ in range(2):
        wire = connection(hub)
        say(wire, Connect("own"), Subscribe(2, (Subscription("rooms/+", 1, no_local=True),)))
        hub.commit()
        hub.commit()
        got = [packet.topic for packet in told(wire) if isinstance(packet, Publish)]
        assert got == ["rooms/1"]
        hub = Hub(state, [])


def test_a_client_that_is_back_before_its_end_is_noted() -> None:
    """The end counts first: its will is published, and what it had not stored comes once."""
    state: dict[str, bytes] = {}
    hub, client = Hub(state, []), Client("sensor")
    watcher = enter(hub, Client("watcher", ["wills/#"]))
    old = connection(hub)
    say(old, *client.connect(will=Will("wills/sensor", b"gone", 1)))
    hub.commit()
    message = Publish("readings/sensor/a", b"1", 2, packet_id=7)
    say(old, Publish("readings/sensor/b", b"1", 1, packet_id=6))
    hub.begin_commit()
    say(old, message)
    old.cut()
    new = connection(hub)
    say(new, *client.connect())
    hub.begin_commit()
    hub.finish_commit()
    hub.begin_commit()
    hub.finish_commit()
    say(new, replace(message, dup=True))
    hub.commit()
    hub.commit()
    assert len(hub.stored) == 2
    assert hub.broker.connected == 2
    assert [one.payload for one in told(watcher) if isinstance(one, Publish)] == [b"gone"]


def test_a_session_ended_by_disconnect_is_over_for_who_is_back() -> None:
    """Also when the hub had no time yet to note the DISCONNECT."""
    hub, client = Hub({}, []), Client("sensor")
    old = enter(hub, client)
    say(old, Publish("readings/sensor/b", b"1", 1, packet_id=6))
    hub.begin_commit()
    say(old, Disconnect(properties=DisconnectProperties(session_expiry_interval=0)))
    connack = told(enter(hub, client))[0]
    assert isinstance(connack, ConnAck)
    assert not connack.session_present


def test_who_guesses_waits_for_the_answer() -> None:
    """After many bad passwords from an address each has to wait; what it says meanwhile is lost."""
    hub = Hub({}, [])
    bad = Connect("c", password=b"guessed")
    for _ in range(FREE):
        wire = connection(hub)
        say(wire, bad)
        hub.commit()
        assert told(wire) == [ConnAck(False, ReasonCode.BAD_USER_NAME_OR_PASSWORD)]
    wire = connection(hub)
    say(wire, bad)
    say(wire, Publish(TOPIC, b"1", 1, packet_id=1))
    hub.commit()
    assert told(wire) == []
    assert wire.deadline is not None
    assert wire.deadline > NOW
    wire.offer(wire.conversation.timeout(wire.deadline - 1))
    assert wire.turns == []
    # Others behind the same address don't wait.
    assert isinstance(told(enter(hub, Client("good")))[0], ConnAck)
    later = wire.deadline
    hub.service.clock = lambda: later
    wire.offer(wire.conversation.timeout(later))
    assert wire.turns[0].end is not None
    hub.commit()
    assert told(wire) == [ConnAck(False, ReasonCode.BAD_USER_NAME_OR_PASSWORD)]


def test_a_guesser_that_does_not_wait_leaves_nothing() -> None:
    """A connection that ends before its refusal is over without a word."""
    hub = Hub({}, [])
    for _ in range(FREE):
        hub.service.guesses.failed("192.0.2.1")
    wire = connection(hub)
    say(wire, Connect("c", password=b"guessed"))
    wire.cut()
    hub.commit()
    assert told(wire) == []
    assert not hub.broker.members
