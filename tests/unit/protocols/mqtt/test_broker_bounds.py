"""What hostile clients can't make the broker remember, and what a crash can't make it forget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from motehub.protocols.mqtt.broker import Broker
from motehub.protocols.mqtt.events import Closed
from motehub.protocols.mqtt.ledger import Ledger
from motehub.protocols.mqtt.limits import BrokerLimits
from motehub.protocols.mqtt.members import Chunk, Member
from motehub.protocols.mqtt.packets import Connect, Publish, Subscription, Will
from motehub.protocols.mqtt.properties import ConnectProperties, PublishProperties
from motehub.protocols.mqtt.reason_codes import ReasonCode
from motehub.protocols.mqtt.session import Tally

if TYPE_CHECKING:
    from _collections_abc import dict_items, dict_values

NOW = 1_000_000_000_000_000


class Line:
    """A connection that takes everything and notes it."""

    def __init__(self) -> None:
        self.sent: list[Publish] = []

    def send(self, message: Publish, now: int, expires: int | None) -> bool:
        self.sent.append(message)
        return True

    def supersede(self, now: int) -> None:
        raise AssertionError("nobody else is there")

    def confirm(self, message: Publish, reason: ReasonCode) -> None:
        raise AssertionError("nothing came again")

    def dismiss(self, now: int) -> None:
        raise AssertionError("the broker stays")

    def look(self, now: int) -> None:
        raise AssertionError("nobody looks")


def entered(broker: Broker, client_id: str, line: Line, expiry: int, **said: object) -> Member:
    """Return a member whose session lasts ``expiry`` seconds."""
    told = ConnectProperties(session_expiry_interval=expiry)
    connect = Connect(client_id, clean_start=False, properties=told, **said)  # type: ignore[arg-type]
    return broker.enter(connect, client_id, line, "", True, NOW)[0]


def committed(state: dict[str, bytes], changes: Mapping[str, bytes | None]) -> None:
    """Do what the journal does with its state."""
    for key, value in changes.items():
        if value is None:
            state.pop(key, None)
        else:
            state[key] = value


def gone(will: bool) -> Closed:
    """Return the end of a connection, of a session of an hour."""
    return Closed(ReasonCode.UNSPECIFIED_ERROR, "", will, 3600)


def test_packet_identifiers_do_not_run_out() -> None:
    """A client that leaves one message of each commit open gets no more when all are taken."""
    broker, line = Broker(BrokerLimits()), Line()
    member = entered(broker, "odd", line, 3600)
    broker.subscribe(member, Subscription("#", 1), None)
    for _ in range(70):
        planned = [
            one for _ in range(1000) for one in broker.plan(Publish("t", b"-", 1), None, NOW)
        ]
        broker.ledger.take()
        broker.deliver(planned, NOW)
        for one in line.sent[1:]:
            assert member.session.settled is not None
            member.session.settled(one.packet_id)
        line.sent = []
    assert broker.counters["dropped"] == member.dropped > 4000
    assert not broker.plan(Publish("t", b"-", 1), None, NOW)


def test_long_filters_count_by_their_length() -> None:
    """A client's subscriptions take so many bytes in all as their number suggests."""
    broker, line = Broker(BrokerLimits(subscriptions=4)), Line()
    member = entered(broker, "long", line, 0)
    for letter in "ab":
        topic_filter = letter * 500
        assert broker.may_subscribe(member, topic_filter)
        broker.subscribe(member, Subscription(topic_filter), None)
    assert broker.may_subscribe(member, "a" * 500)
    assert not broker.may_subscribe(member, "c" * 500)
    assert broker.may_subscribe(member, "short")


def test_deep_topics_count_by_what_they_cost() -> None:
    """The trees keep something for each level, of filters and of retained messages."""
    most = 100
    broker = Broker(BrokerLimits(subscriptions=2 * most, retained_bytes=200_000))
    member, _ = broker.enter(Connect("c"), "c", Line(), "u", True, NOW)
    held = {"filters": 0, "topics": 0}
    for number in range(most):
        deep = f"{number}/" + "/".join("a" * 127)
        if broker.may_subscribe(member, deep):
            broker.subscribe(member, Subscription(deep), None)
            held["filters"] += 1
        message = Publish(deep, b"1", retain=True)
        if broker.retained.has_room(message):
            broker.plan(message, member, NOW)
            held["topics"] += 1
    assert held == {"filters": 1, "topics": 7}
    assert broker.may_subscribe(member, "a/b/c/d/e/f/g/h/i")
    assert broker.retained.has_room(Publish("a/b/c/d/e/f/g/h", b"1", retain=True))
    # What is forgotten gives its room back.
    for number in range(7):
        broker.plan(Publish(f"{number}/" + "/".join("a" * 127), b"", retain=True), member, NOW)
    assert broker.retained.has_room(Publish("b", b"1" * 199_000, retain=True))


def test_retained_messages_are_bounded_in_bytes() -> None:
    """User properties count; what replaces a message gets its room."""
    broker = Broker(BrokerLimits(retained_bytes=100_000))
    long = PublishProperties(user_property=(("key", "v" * 60_000),))
    first = Publish("a", b"-", 0, True, properties=long)
    broker.plan(first, None, NOW)
    assert not broker.retained.has_room(Publish("b", b"-", 0, True, properties=long))
    assert broker.retained.has_room(first)
    assert broker.retained.has_room(Publish("b", b"-", 0, True))
    broker.plan(Publish("a", b"", 0, True), None, NOW)
    assert broker.retained.has_room(Publish("b", b"-", 0, True, properties=long))


def test_what_the_hub_retains_itself_takes_nobodys_place() -> None:
    """Statistics are retained beside a full store, and leave room in one that is not."""
    broker = Broker(BrokerLimits(retained=1))
    broker.plan(Publish("$SYS/broker/a", b"1", 0, True), None, NOW)
    assert broker.retained.has_room(Publish("a", b"-", 0, True))
    broker.plan(Publish("a", b"-", 0, True), None, NOW)
    assert not broker.retained.has_room(Publish("b", b"-", 0, True))
    broker.plan(Publish("b", b"-", 0, True), None, NOW)
    broker.plan(Publish("$SYS/broker/b", b"1", 0, True), None, NOW)
    kept = {
        queued.message.topic for tree in ("#", "$SYS/#") for queued in broker.retained.find(tree)
    }
    assert kept == {"$SYS/broker/a", "$SYS/broker/b", "a"}


def test_each_will_is_forgotten_when_it_is_published() -> None:
    """A hub that is killed between two wills of one moment has the second still."""
    broker, state = Broker(BrokerLimits()), dict[str, bytes]()
    for name in ("first", "second"):
        line = Line()
        member = entered(broker, name, line, 3600, will=Will(f"w/{name}", b"-"))
        broker.leave(member, line, gone(will=True), NOW)
    committed(state, broker.ledger.take())
    wills = broker.wills.take(NOW)
    assert len(wills) == 2
    broker.publish_will(wills[0], NOW)
    committed(state, broker.ledger.take())
    again = Broker(BrokerLimits())
    again.restore(state, NOW)
    assert [one.will.topic for one in again.wills.take(NOW)] == ["w/second"]


def test_thousands_of_open_identifiers_are_kept_in_little() -> None:
    """QoS 2 identifiers that are never released cost 8 kB with each commit, and come back."""
    for few in (1, 7, 2_000, 2_001, 65_535):
        broker, state = Broker(BrokerLimits()), dict[str, bytes]()
        member = entered(broker, "c", Line(), 3600)
        ids = set(range(65_535, 65_535 - few, -1))
        member.session.incoming |= ids
        broker.ledger.incoming(member)
        committed(state, broker.ledger.take())
        assert len(state["mqtt/incoming/c"]) < 8_200
        (restored,) = Ledger().restore(state, Tally())
        assert restored.session.incoming == ids


def test_a_finished_chunk_is_found_without_looking_at_the_others() -> None:
    """What a commit costs doesn't grow with what waits for a client that is away."""
    broker, line = Broker(BrokerLimits(messages=500)), Line()
    member = entered(broker, "away", line, 3600)
    broker.subscribe(member, Subscription("#", 1), None)
    broker.leave(member, line, gone(will=False), NOW)
    looked = _Watched(member.chunks)
    member.chunks = looked
    for number in range(600):
        planned = broker.plan(Publish("t", b"%d" % number, 1), None, NOW)
        broker.ledger.take()
        broker.deliver(planned, NOW)
    assert len(looked) == len(member.session.queue) == 500
    assert not looked.walks
    assert member.session.queue[0].message.payload == b"100"


class _Watched(dict[int, Chunk]):
    """Counts how often somebody goes through all."""

    walks = 0

    def items(self) -> dict_items[int, Chunk]:
        self.walks += 1
        return super().items()

    def values(self) -> dict_values[int, Chunk]:
        self.walks += 1
        return super().values()


def test_a_client_has_few_shared_subscriptions() -> None:
    """It gets a copy of each message for each of them: a thousand would multiply what is sent."""
    broker, line = Broker(BrokerLimits()), Line()
    member = entered(broker, "sharing", line, 0)
    for number in range(50):
        assert broker.may_subscribe(member, f"$share/g{number}/#")
        broker.subscribe(member, Subscription(f"$share/g{number}/#"), None)
    assert not broker.may_subscribe(member, "$share/one-more/#")
    assert broker.may_subscribe(member, "$share/g7/#"), "it has this one"
    assert broker.may_subscribe(member, "#")
