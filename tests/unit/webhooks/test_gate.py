"""When an endpoint may be asked, and how late readings are spaced; on a clock of its own."""

from __future__ import annotations

from motehub.webhooks.gate import LONGEST_ASKED, LONGEST_REST, Gate, Throttle, rest_after


class Seconds:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rests_grow_up_to_a_minute() -> None:
    """Twice as long each time, with up to half taken away by chance."""
    whole = [rest_after(n, lambda: 0.0) for n in range(1, 10)]
    assert whole == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert rest_after(3, lambda: 1.0) == 2
    assert rest_after(10**9, lambda: 0.0) == LONGEST_REST


def test_after_a_failure_one_asks_and_the_others_wait() -> None:
    """Nobody while it rests; then one, until that has an answer."""
    clock = Seconds()
    gate = Gate(clock)
    assert gate.enter(0)
    assert gate.enter(0)
    gate.failed()
    gate.failed()
    assert gate.failures == 1, "both met the same failure"
    assert not gate.enter(0)
    clock.now += 1.1
    assert gate.enter(0)
    assert not gate.enter(0), "one asks already"
    assert gate.succeeded() == 1
    assert gate.enter(0)
    assert gate.enter(0)


def test_one_who_leaves_lets_the_next_ask() -> None:
    """An attempt that says nothing about the endpoint changes nothing."""
    clock = Seconds()
    gate = Gate(clock)
    gate.failed()
    clock.now += 2
    assert gate.enter(0)
    gate.leave()
    assert gate.enter(0)


def test_an_endpoint_may_ask_for_a_longer_rest() -> None:
    """Retry-After counts, up to an hour."""
    clock = Seconds()
    gate = Gate(clock)
    gate.failed(120)
    clock.now += 119
    assert not gate.enter(0)
    clock.now += 2
    assert gate.enter(0)
    gate.failed(10**9)
    clock.now += LONGEST_ASKED + 1
    assert gate.enter(0)


def test_late_ones_are_spaced() -> None:
    """So many a second, and none is saved up while there is nothing to do."""
    clock = Seconds()
    throttle = Throttle(10, clock)
    clock.now += 60
    assert [round(throttle.turn(), 6) for _ in range(4)] == [0, 0.1, 0.2, 0.3]


def test_a_backlog_ends_although_more_arrives_than_the_rate() -> None:
    """Where 100 new ones come in a second, late ones go half as fast again."""
    clock = Seconds()
    throttle = Throttle(10, clock)
    for _ in range(6_000):
        clock.now += 0.1
        throttle.arrived(10)
    throttle.turn()
    assert 1 / 160 < throttle.turn() < 1 / 140
