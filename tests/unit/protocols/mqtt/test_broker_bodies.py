"""What is long in a message is kept once for all sessions that it waits for."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from msgspec.structs import replace

from motehub.frames import Batch
from motehub.protocols.mqtt.broker import Broker, Planned
from motehub.protocols.mqtt.events import Closed
from motehub.protocols.mqtt.limits import BrokerLimits
from motehub.protocols.mqtt.packets import Connect, Publish, Subscription
from motehub.protocols.mqtt.properties import ConnectProperties, PublishProperties
from motehub.protocols.mqtt.reason_codes import ReasonCode
from motehub.protocols.mqtt.session import SHORT, Queued

NOW = 1_000_000_000_000_000
MB = 1_000_000
GONE = Closed(ReasonCode.SUCCESS, "", False, 3600)


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


class Kept:
    """A broker with sessions of clients that are away, over a journal that is a dictionary."""

    def __init__(self, *clients: str) -> None:
        self.state: dict[str, bytes] = {}
        self.broker = Broker(BrokerLimits())
        for number, name in enumerate(clients):
            line = Line()
            told = ConnectProperties(session_expiry_interval=3600)
            connect = Connect(name, clean_start=False, properties=told)
            member, _ = self.broker.enter(connect, name, line, "", True, NOW)
            # Identifiers that differ make messages of different shapes.
            self.broker.subscribe(member, Subscription("#", 2), number or None)
            self.broker.leave(member, line, GONE, NOW)
        self.commit()

    def commit(self, planned: Sequence[Planned] = ()) -> int:
        """Make durable what has changed and return about how many bytes that was."""
        batch = Batch()
        batch.state = self.broker.ledger.take()
        for key, value in batch.state.items():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        self.broker.deliver(planned, NOW)
        return batch.weight

    def publish(self, *messages: Publish) -> int:
        """Publish messages in one commit and return how many bytes that was."""
        return self.commit([p for one in messages for p in self.broker.plan(one, None, NOW)])

    def restart(self) -> None:
        """Kill the hub and start it again."""
        self.broker = Broker(BrokerLimits())
        self.broker.restore(self.state, NOW)

    def waiting(self, name: str) -> list[Publish]:
        """Return what waits for a client, as it was published."""
        queue = self.broker.members[name].session.queue
        return [replace(one.message, dup=False, packet_id=0) for one in queue]

    def acknowledge(self, name: str) -> None:
        """Have a client take everything."""
        member = self.broker.members[name]
        while member.drop_oldest():
            self.broker.ledger.waiting(member)
        self.commit()

    @property
    def bodies(self) -> list[str]:
        """The keys of the bodies that are kept."""
        return [key for key in self.state if key.startswith("mqtt/body/")]


def test_a_large_message_for_many_sessions_is_written_once() -> None:
    """One megabyte for three hundred is one megabyte; each gets it whole, after a crash too."""
    clients = [f"c{number}" for number in range(300)]
    kept = Kept(*clients)
    assert kept.publish(Publish("firmware", bytes(MB), 1)) < 1.2 * MB
    assert len(kept.bodies) == 1
    kept.restart()
    assert kept.broker.tally.bytes < 1.2 * MB, "in memory it is one again"
    assert all(kept.waiting(name)[0].payload == bytes(MB) for name in clients)
    for name in clients[1:]:
        kept.acknowledge(name)
    assert len(kept.bodies) == 1
    kept.restart()
    kept.acknowledge("c0")
    assert not [key for key in kept.state if "/body/" in key or "/waiting/" in key]


@pytest.mark.parametrize(("length", "bodies"), [(SHORT, 0), (SHORT + 1, 1)])
def test_short_messages_stay_with_the_session(length: int, bodies: int) -> None:
    """They are less than what a body of its own costs."""
    kept = Kept("a", "b")
    kept.publish(Publish("t", bytes(length), 1))
    assert len(kept.bodies) == bodies
    kept.restart()
    assert kept.waiting("b")[0].payload == bytes(length)


def test_what_waits_for_one_session_only_stays_with_it() -> None:
    """There is nobody to share it with."""
    kept = Kept("a")
    kept.publish(Publish("t", bytes(MB), 1))
    assert not kept.bodies
    kept.restart()
    assert kept.waiting("a")[0].payload == bytes(MB)


def test_long_user_properties_are_shared_too() -> None:
    """The rest of the properties stays with each message, and all come back as they were."""
    told = PublishProperties(
        user_property=(("key", "v" * 60_000),), content_type="text", response_topic="r"
    )
    kept = Kept("a", "b", "c")
    assert kept.publish(Publish("t", b"-", 1, properties=told)) < 70_000
    before = {name: kept.waiting(name) for name in "abc"}
    assert before["c"][0].properties == replace(told, subscription_identifier=(2,))
    kept.restart()
    assert {name: kept.waiting(name) for name in "abc"} == before


def test_each_message_of_a_commit_has_its_own_body() -> None:
    """Equal ones too: what counts is which message it is."""
    kept = Kept("a", "b")
    kept.publish(*(Publish("t", b"%03d" % number * 100, 1) for number in range(5)))
    assert len(kept.bodies) == 5
    kept.publish(Publish("t", b"005" * 100, 2))
    kept.restart()
    wanted = [b"%03d" % number * 100 for number in range(6)]
    assert [one.payload for one in kept.waiting("b")] == wanted
    # After a restart numbers go on behind those in use.
    kept.publish(Publish("t", b"006" * 100, 1))
    kept.restart()
    assert [one.payload for one in kept.waiting("a")] == [*wanted, b"006" * 100]
    for name in "ab":
        kept.acknowledge(name)
    assert not kept.bodies


def test_a_body_goes_with_the_last_session() -> None:
    """A session that ends gives up what waited for it, in the commit of its end."""
    kept = Kept("a", "b")
    kept.publish(Publish("t", bytes(1000), 1))
    kept.broker.sweep(NOW + 3599 * 1_000_000)
    kept.commit()
    assert kept.bodies
    kept.broker.sweep(NOW + 3600 * 1_000_000)
    kept.commit()
    assert not kept.state


def test_state_of_earlier_versions() -> None:
    """There all messages were kept whole with their sessions."""
    kept = Kept("a")
    message = Publish("t", bytes(1000), 1, packet_id=7)
    kept.state["mqtt/waiting/a/0"] = msgspec.msgpack.encode([Queued(message, NOW + 1)])
    kept.restart()
    (queued,) = kept.broker.members["a"].session.queue
    assert queued.message == replace(message, dup=True)
    assert queued.expires == NOW + 1
