"""Whose reading is next: in order for each unit, in turn between units."""

from __future__ import annotations

from collections.abc import Sequence

from motehub.webhooks.lanes import Lanes
from motehub.webhooks.outbox import Message


class Waiting:
    """What waits in lanes, as an outbox would say."""

    def __init__(self, **lanes: int) -> None:
        self.now = 0.0
        self.rows: dict[str, list[Message]] = {lane: [] for lane in lanes}
        self.last = 0
        for lane, count in lanes.items():
            for _ in range(count):
                self.add(lane)

    def add(self, lane: str) -> None:
        self.last += 1
        message = Message(self.last, "", "", lane, 0, 0, 0, str(len(self.rows[lane])).encode())
        self.rows[lane].append(message)

    def load(self, lane: str, most: int) -> Sequence[Message]:
        return self.rows[lane][:most]

    def delivered(self, message: Message) -> None:
        self.rows[message.lane].remove(message)

    def clock(self) -> float:
        return self.now


def said(message: Message | None) -> str:
    return "" if message is None else f"{message.lane}{message.id}"


def test_lanes_take_turns_and_keep_their_order() -> None:
    """One of each, and never two of one at a time."""
    waiting = Waiting(a=20, b=2)
    lanes = Lanes(waiting.load, clock=waiting.clock)
    lanes.announce(["a", "b"])
    first, second = lanes.take(0), lanes.take(0)
    assert (said(first), said(second), said(lanes.take(0))) == ("a1", "b21", "")
    assert first is not None
    assert second is not None
    order = []
    for message in (first, second):
        waiting.delivered(message)
        lanes.done(message)
    while following := lanes.take(0):
        order.append(following.id)
        waiting.delivered(following)
        lanes.done(following)
    assert [one for one in order if one <= 20] == list(range(2, 21))
    assert order.index(22) == 1
    waiting.add("b")
    assert lanes.take(0) is None
    lanes.announce(["b"])
    assert said(lanes.take(0)) == "b23"


def test_a_lane_that_fails_rests_while_others_go_on() -> None:
    """Its first message comes again, before the later ones."""
    waiting = Waiting(a=2, b=3)
    lanes = Lanes(waiting.load, clock=waiting.clock)
    lanes.announce(["a", "b"])
    bad = lanes.take(0)
    assert bad is not None
    lanes.failed(bad)
    for _ in range(3):
        message = lanes.take(0)
        assert message is not None
        assert message.lane == "b"
        waiting.delivered(message)
        lanes.done(message)
    assert lanes.take(0) is None
    waiting.now += 1.1
    again = lanes.take(0)
    assert again == bad
    assert again is not None
    lanes.failed(again)
    lanes.hasten()
    assert lanes.take(0) == bad


def test_what_was_announced_meanwhile_is_not_lost() -> None:
    """A reading that comes while the last one of its unit is under way goes out after it."""
    waiting = Waiting(a=1)
    lanes = Lanes(waiting.load, clock=waiting.clock)
    lanes.announce(["a"])
    message = lanes.take(0)
    assert message is not None
    waiting.add("a")
    lanes.announce(["a"])
    assert lanes.take(0) is None
    waiting.delivered(message)
    lanes.done(message)
    assert said(lanes.take(0)) == "a2"


def test_nothing_is_read_ahead_where_only_the_newest_matters() -> None:
    """What was replaced while it waited for its turn is not sent."""
    waiting = Waiting(a=1, b=1)
    lanes = Lanes(waiting.load, fresh_only=True, clock=waiting.clock)
    lanes.announce(["a"])
    message = lanes.take(0)
    assert message is not None
    lanes.failed(message)
    waiting.rows["a"].clear()
    waiting.add("a")
    waiting.now += 2
    assert said(lanes.take(0)) == "a3"
