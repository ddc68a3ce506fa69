"""How long the broker keeps sessions; time is an argument."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import pytest

from motehub.protocols.mqtt.broker import Broker
from motehub.protocols.mqtt.events import Closed
from motehub.protocols.mqtt.limits import BrokerLimits
from motehub.protocols.mqtt.members import Member
from motehub.protocols.mqtt.packets import Connect, Publish, Version
from motehub.protocols.mqtt.properties import ConnectProperties, PublishProperties
from motehub.protocols.mqtt.reason_codes import ReasonCode

SECOND = 1_000_000


class Line:
    """A connection that takes everything."""

    def send(self, message: Publish, now: int, expires: int | None) -> bool:
        return True

    def supersede(self, now: int) -> None:
        raise AssertionError("nobody else is there")

    def confirm(self, message: Publish, reason: ReasonCode) -> None:
        raise AssertionError("nothing came again")

    def dismiss(self, now: int) -> None:
        raise AssertionError("the broker stays")

    def look(self, now: int) -> None:
        raise AssertionError("nobody looks")


def resume(expiry: int) -> Connect:
    told = ConnectProperties(session_expiry_interval=expiry)
    return Connect("board", clean_start=False, version=Version.V5, properties=told)


@pytest.mark.parametrize(("seconds", "present"), [(9, True), (10, False), (3600, False)])
def test_a_session_that_is_over_is_not_resumed(seconds: int, present: bool) -> None:
    """Also before the next sweep: a client that is back too late finds nothing."""
    broker, line = Broker(BrokerLimits()), Line()
    member, found = broker.enter(resume(10), "board", line, "", True, 0)
    assert not found
    broker.leave(member, line, Closed(ReasonCode.SUCCESS, "", False, 10), 0)
    _, found = broker.enter(resume(10), "board", line, "", True, seconds * SECOND)
    assert found is present
    assert len(broker.members) == 1


def test_a_sweep_ends_what_is_over() -> None:
    """A session of which nobody asks any more is forgotten, and one in use is not."""
    broker, line = Broker(BrokerLimits()), Line()
    member, _ = broker.enter(resume(10), "board", line, "", True, 0)
    broker.sweep(3600 * SECOND)
    assert broker.members
    broker.leave(member, line, Closed(ReasonCode.SUCCESS, "", False, 10), 3600 * SECOND)
    broker.sweep(3609 * SECOND)
    assert broker.members
    broker.sweep(3610 * SECOND)
    assert not broker.members


def test_a_sweep_forgets_retained_messages_that_have_expired() -> None:
    """Wherever their topics are: no filter for all topics matches those that begin with $."""
    broker = Broker(BrokerLimits())
    expiring = PublishProperties(message_expiry_interval=10)
    for topic in ("a/b", "$a/b"):
        broker.plan(Publish(topic, b"x", retain=True, properties=expiring), None, 0)
    broker.sweep(9 * SECOND)
    assert len(broker.retained) == 2
    broker.sweep(10 * SECOND)
    assert len(broker.retained) == 0


def test_a_session_that_may_not_be_kept_ends_with_its_connection() -> None:
    """Whatever the client asks for, at the beginning or at the end; nothing of it is durable."""
    broker, line = Broker(BrokerLimits()), Line()
    member, _ = broker.enter(resume(3600), "board", line, "anonymous", False, 0)
    assert not broker.ledger.take()
    broker.leave(member, line, Closed(ReasonCode.SUCCESS, "", False, 3600), 0)
    assert not broker.members
    assert not broker.ledger.take()


def test_strangers_who_are_away_make_room() -> None:
    """The one whose session would end first, and nobody else's."""
    broker = Broker(BrokerLimits(sessions=3))
    for name, user, expiry in (
        ("owner", "token", 10),
        ("a", "stranger", 50),
        ("b", "stranger", 20),
    ):
        line = Line()
        member, _ = broker.enter(resume(expiry), name, line, user, True, 0)
        broker.leave(member, line, Closed(ReasonCode.SUCCESS, "", False, expiry), 0)
    assert broker.make_room("a", "stranger", 0)
    assert len(broker.members) == 3, "a session that there is needs no room"
    for name, left in (("c", {"owner", "a"}), ("d", {"owner", "c"})):
        assert broker.make_room(name, "stranger", 0)
        assert set(broker.members) == left
        broker.enter(resume(10), name, Line(), "stranger", True, 0)
    assert not broker.make_room("e", "stranger", 0), "who is connected stays"


def test_a_sweep_looks_at_nobody_whose_time_is_not_over() -> None:
    """A hundred thousand sessions that are away cost nothing each second."""
    broker = Broker(BrokerLimits())
    for number in range(1000):
        line = Line()
        member, _ = broker.enter(resume(3600 + number), f"c{number}", line, "", True, 0)
        closed = Closed(ReasonCode.SUCCESS, "", False, 3600 + number)
        broker.leave(member, line, closed, 0)
    broker.members = _Unwalked(broker.members)
    broker.sweep(3599 * SECOND)
    assert len(broker.members) == 1000
    broker.sweep(3609 * SECOND)
    assert len(broker.members) == 990


class _Unwalked(dict[str, Member]):
    """Fails when somebody goes through all."""

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("all sessions are looked at")

    def values(self) -> NoReturn:
        raise AssertionError("all sessions are looked at")
