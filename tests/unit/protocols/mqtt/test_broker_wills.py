"""Wills of sessions that end: kept from CONNECT on, published once, whenever the hub is killed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from motehub.protocols.mqtt.broker import Broker
from motehub.protocols.mqtt.events import Closed
from motehub.protocols.mqtt.limits import BrokerLimits
from motehub.protocols.mqtt.packets import Connect, Publish, Will
from motehub.protocols.mqtt.properties import ConnectProperties, WillProperties
from motehub.protocols.mqtt.reason_codes import ReasonCode

NOW = 1_000_000_000_000_000
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


class Kept:
    """A broker over a journal that is a dictionary, and one client."""

    def __init__(self) -> None:
        self.state: dict[str, bytes] = {}
        self.broker = Broker(BrokerLimits())

    def enter(self, expiry: int, will: Will | None, now: int = NOW, *, clean: bool = False) -> None:
        """Connect the client."""
        self.line = Line()
        told = ConnectProperties(session_expiry_interval=expiry)
        connect = Connect("c", clean_start=clean, will=will, properties=told)
        self.member, _ = self.broker.enter(connect, "c", self.line, "", True, now)
        self.commit(self.broker.ledger.take())

    def leave(self, *, will: bool, expiry: int, now: int = NOW) -> None:
        """End its connection."""
        closed = Closed(ReasonCode.UNSPECIFIED_ERROR, "", will, expiry)
        self.broker.leave(self.member, self.line, closed, now)
        self.commit(self.broker.ledger.take())

    def commit(self, changes: Mapping[str, bytes | None]) -> None:
        """Do what the journal does with its state."""
        for key, value in changes.items():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value

    def kill(self, now: int = NOW) -> None:
        """Kill the hub and start it again."""
        self.broker = Broker(BrokerLimits())
        self.broker.restore(self.state, now)

    def publish(self, now: int = NOW) -> list[str]:
        """Publish what is due; return the topics."""
        due = self.broker.wills.take(now)
        for one in due:
            self.broker.publish_will(one, now)
        self.commit(self.broker.ledger.take())
        return [one.will.topic for one in due]

    @property
    def kept(self) -> list[str]:
        """The keys of the wills that are kept by themselves."""
        return [key for key in self.state if key.startswith("mqtt/will/")]


def delayed(seconds: int) -> Will:
    """Return a will with a delay."""
    return Will("w/late", b"-", properties=WillProperties(will_delay_interval=seconds))


@pytest.mark.parametrize("expiry", [0, 3600])
@pytest.mark.parametrize("noticed", [True, False])
def test_a_will_outlives_the_hub(expiry: int, noticed: bool) -> None:
    """Whether the hub has seen the connection end before it was killed or not."""
    kept = Kept()
    kept.enter(expiry, Will("w", b"-"))
    if noticed:
        kept.leave(will=True, expiry=expiry)
    kept.kill()
    assert kept.publish() == ["w"]
    assert not kept.kept
    kept.kill()
    assert not kept.publish()


def test_a_goodbye_leaves_no_will() -> None:
    """Of a session that ends with its connection nothing is left at all."""
    kept = Kept()
    kept.enter(0, Will("w", b"-"))
    assert kept.kept
    kept.leave(will=False, expiry=0)
    assert not kept.state
    assert not kept.publish()


def test_a_session_that_ends_makes_its_will_due() -> None:
    """By its time, or because its client begins anew; the will is kept, the session is not."""
    for anew in (False, True):
        kept = Kept()
        kept.enter(10, delayed(3600))
        kept.leave(will=True, expiry=10)
        assert not kept.publish(NOW + 9 * SECOND)
        if anew:
            kept.enter(0, None, clean=True)
        else:
            kept.broker.sweep(NOW + 10 * SECOND)
            kept.commit(kept.broker.ledger.take())
        assert list(kept.state) == kept.kept != []
        kept.kill(NOW + 10 * SECOND)
        assert kept.publish(NOW + 10 * SECOND) == ["w/late"]
        assert not kept.state


def test_a_client_that_is_back_in_time_calls_its_will_off() -> None:
    """And brings another, which is kept in place of it."""
    kept = Kept()
    kept.enter(3600, delayed(60))
    kept.leave(will=True, expiry=3600)
    kept.kill()
    kept.enter(3600, Will("w/new", b"-"), NOW + 59 * SECOND)
    assert not kept.publish(NOW + 60 * SECOND)
    kept.leave(will=True, expiry=3600, now=NOW + 61 * SECOND)
    assert kept.publish(NOW + 61 * SECOND) == ["w/new"]


def test_a_client_that_is_back_too_late_finds_its_will_published() -> None:
    """Also if the hub is killed before that is done, while the session has a new will already."""
    kept = Kept()
    kept.enter(3600, delayed(60))
    kept.leave(will=True, expiry=3600)
    taken = kept.broker.wills.take(NOW + 60 * SECOND)
    assert len(taken) == 1
    kept.enter(3600, Will("w/new", b"-"), NOW + 60 * SECOND)
    kept.kill(NOW + 61 * SECOND)
    assert sorted(kept.publish(NOW + 61 * SECOND)) == ["w/late", "w/new"]
    assert not kept.kept
