"""What may wait for all clients together, and what gives way beyond it."""

from __future__ import annotations

import pytest

from motehub.protocols.mqtt.broker import Broker
from motehub.protocols.mqtt.connection import Connection
from motehub.protocols.mqtt.events import Closed
from motehub.protocols.mqtt.limits import BrokerLimits, Limits, Overflow
from motehub.protocols.mqtt.members import Member
from motehub.protocols.mqtt.packets import Connect, PubAck, Publish, PubRec, Subscription
from motehub.protocols.mqtt.properties import ConnectProperties
from motehub.protocols.mqtt.reason_codes import ReasonCode
from motehub.protocols.mqtt.session import SHORT

NOW = 1_000_000_000_000_000
KB = bytes(1000)


class Line:
    """A connection whose client says what the test has it say."""

    def __init__(self, broker: Broker, client_id: str, expiry: int = 3600) -> None:
        told = ConnectProperties(session_expiry_interval=expiry)
        connect = Connect(client_id, clean_start=False, properties=told)
        self.member = broker.enter(connect, client_id, self, "", True, NOW)[0]
        self.connection = Connection(Limits(window=5), NOW)
        self.connection._act([connect], NOW)
        self.connection.accept(self.member.session, NOW)

    def send(self, message: Publish, now: int, expires: int | None) -> bool:
        return self.connection.send(message, now, expires)

    def supersede(self, now: int) -> None:
        raise AssertionError("nobody else is there")

    def confirm(self, message: Publish, reason: ReasonCode) -> None:
        raise AssertionError("nothing came again")

    def dismiss(self, now: int) -> None:
        raise AssertionError("the broker stays")

    def look(self, now: int) -> None:
        raise AssertionError("nobody looks")

    def leave(self, broker: Broker, expiry: int = 3600) -> Member:
        """Cut the connection; the session stays."""
        broker.leave(self.member, self, Closed(ReasonCode.SUCCESS, "", False, expiry), NOW)
        return self.member


def away(broker: Broker, client_id: str, topic_filter: str) -> Member:
    """Return a member that has subscribed and gone."""
    line = Line(broker, client_id)
    broker.subscribe(line.member, Subscription(topic_filter, 2), None)
    return line.leave(broker)


def publish(broker: Broker, topic: str, payload: bytes, qos: int = 1) -> int:
    """Publish a message; return how many get it."""
    planned = broker.plan(Publish(topic, payload, qos), None, NOW)
    broker.ledger.take()
    broker.deliver(planned, NOW)
    return len(planned)


def waiting(member: Member) -> list[bytes]:
    """Return how the payloads begin that wait for a member."""
    return [queued.message.payload[:2] for queued in member.session.queue]


def test_the_fullest_queue_gives_way() -> None:
    """Its oldest messages do; who has little waiting loses nothing."""
    broker = Broker(BrokerLimits(total_bytes=20_000))
    full, other = away(broker, "full", "full/#"), away(broker, "other", "other/#")
    for number in range(14):
        publish(broker, "full/x", b"%02d" % number + KB)
    assert publish(broker, "other/x", b"aa" + KB) == 1
    assert not broker.counters["dropped"]
    for number in range(5):
        assert publish(broker, "other/x", b"b%d" % number + KB) == 1
    assert waiting(other) == [b"aa", b"b0", b"b1", b"b2", b"b3", b"b4"]
    assert waiting(full) == [b"%02d" % number for number in range(4, 14)]
    assert broker.counters["dropped"] == broker.counters["dropped_beyond_total"] == 4
    assert (full.dropped, other.dropped) == (4, 0)
    assert broker.tally.bytes <= 20_000


def test_newest_are_dropped_if_that_is_the_policy() -> None:
    """Then the message is lost for whom it would have to wait, and nothing else is."""
    broker = Broker(BrokerLimits(total_bytes=10_000, overflow=Overflow.DROP_NEWEST))
    first, second = away(broker, "first", "first"), away(broker, "second", "second")
    for number in range(10):
        publish(broker, "first", b"%02d" % number + KB)
    assert len(waiting(first)) == 8
    assert not publish(broker, "second", KB)
    assert (first.dropped, second.dropped) == (2, 1)
    assert broker.counters["dropped_beyond_total"] == 3


def test_what_is_in_flight_counts_until_it_is_acknowledged() -> None:
    """With QoS 2 until the client has it; nothing of it gives way."""
    broker = Broker(BrokerLimits(total_bytes=5_000))
    line = Line(broker, "slow")
    broker.subscribe(line.member, Subscription("#", 2), None)
    for number in range(4):
        assert publish(broker, "a", b"%d" % number + KB, 1 + number % 2)
    assert broker.tally.bytes > 4_800
    assert not publish(broker, "a", KB)
    first, second, third, fourth = line.member.session.outgoing
    for one in (first, third):
        line.connection._act([PubAck(one)], NOW)
    for one in (second, fourth):
        line.connection._act([PubRec(one)], NOW)
    assert broker.tally.bytes == 0
    assert publish(broker, "a", KB)


def test_qos_0_to_a_client_that_reads_needs_no_room() -> None:
    """However much waits for others."""
    broker = Broker(BrokerLimits(total_bytes=5_000))
    full = away(broker, "full", "full")
    line = Line(broker, "well", 0)
    broker.subscribe(line.member, Subscription("#", 0), None)
    for _ in range(20):
        publish(broker, "full", b"-" + KB)
    dropped = full.dropped
    assert publish(broker, "live", b"-" + KB, 0) == 1
    assert full.dropped == dropped


def test_a_long_payload_counts_once() -> None:
    """It is the same bytes for all that it waits for, until the last of them has it."""
    broker = Broker(BrokerLimits(total_bytes=1_500_000))
    members = [away(broker, f"m{number}", "#") for number in range(300)]
    assert publish(broker, "firmware", bytes(1_000_000)) == 300
    assert not broker.counters["dropped"]
    assert broker.tally.bytes == 1_000_000 + 300 * (200 + len("firmware"))
    for member in members[1:]:
        member.drop_oldest()
    assert broker.tally.bytes == 1_000_000 + 200 + len("firmware")
    members[0].drop_oldest()
    assert broker.tally.bytes == 0


@pytest.mark.parametrize("length", [SHORT, SHORT + 1])
def test_a_session_that_ends_holds_nothing(length: int) -> None:
    """Neither what waited nor what was in flight; a message on its way to it is counted out."""
    broker = Broker(BrokerLimits())
    line = Line(broker, "c")
    broker.subscribe(line.member, Subscription("#", 2), None)
    payload = bytes(length)
    for _ in range(10):
        publish(broker, "t", payload)
    planned = broker.plan(Publish("t", payload, 1), None, NOW)
    line.leave(broker, 0)
    assert not broker.members
    broker.deliver(planned, NOW)
    assert broker.tally.bytes == 0


def test_a_message_larger_than_the_whole_room_empties_no_queue() -> None:
    """It is dropped itself, whatever the policy."""
    broker = Broker(BrokerLimits(total_bytes=5_000))
    member = away(broker, "c", "#")
    publish(broker, "t", KB)
    assert not publish(broker, "t", bytes(5_000))
    assert len(waiting(member)) == 1


def test_queues_that_a_restart_brings_back_count() -> None:
    """Also when the limit is lower now: they give way to what comes."""
    broker, state = Broker(BrokerLimits()), dict[str, bytes]()
    away(broker, "c", "#")
    state.update({key: value for key, value in broker.ledger.take().items() if value})
    for number in range(10):
        planned = broker.plan(Publish("t", b"%02d" % number + KB, 1), None, NOW)
        state.update({key: value for key, value in broker.ledger.take().items() if value})
        broker.deliver(planned, NOW)
    again = Broker(BrokerLimits(total_bytes=5_000))
    again.restore(state, NOW)
    assert again.tally.bytes == broker.tally.bytes
    assert publish(again, "t", b"10" + KB) == 1
    assert waiting(again.members["c"]) == [b"07", b"08", b"09", b"10"]
