"""Failed attempts: a few cost nothing, many cost time, and that is forgotten again."""

import logging

import pytest

from motehub import guessing
from motehub.guessing import FREE, LONGEST_WAIT, REMEMBERED, SECONDS_EACH, Guesses
from motehub.logs import Logger, OccasionalLogger


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def waits(guesses: Guesses, count: int, address: str = "192.0.2.1") -> list[float]:
    return [guesses.failed(address) for _ in range(count)]


def test_a_few_failures_cost_nothing_and_more_cost_more() -> None:
    """The wait doubles up to the longest."""
    guesses = Guesses(Clock())
    assert waits(guesses, FREE) == [0.0] * FREE
    assert waits(guesses, 6) == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert waits(guesses, 1000)[-1] == LONGEST_WAIT


def test_failures_are_forgotten_evenly() -> None:
    """However many there were, a minute and a half later all is as before."""
    clock = Clock()
    guesses = Guesses(clock)
    waits(guesses, 1000)
    clock.now += 9 * SECONDS_EACH
    assert guesses.failed("192.0.2.1") == 0.0
    assert guesses.failed("192.0.2.1") > 0
    clock.now += 90
    assert waits(guesses, FREE) == [0.0] * FREE
    # One who fails now and then, as a device with an old token does, never waits.
    for _ in range(1000):
        clock.now += SECONDS_EACH
        assert guesses.failed("192.0.2.2") == 0.0


def test_others_do_not_wait() -> None:
    """Each address has its own failures; those of an IPv6 network are one's."""
    guesses = Guesses(Clock())
    waits(guesses, 1000)
    assert guesses.failed("192.0.2.2") == 0.0
    assert guesses.failed("") == 0.0
    for number in range(FREE):
        assert guesses.failed(f"2001:db8::{number:x}") == 0.0
    assert guesses.failed("2001:db8::ffff:0:0:1") > 0
    assert guesses.failed("2001:db8:0:1::1") == 0.0


def test_memory_is_bounded() -> None:
    """Those that failed the longest ago are forgotten first."""
    guesses = Guesses(Clock())
    waits(guesses, FREE, "192.0.2.1")
    waits(guesses, FREE, "192.0.2.2")
    for number in range(REMEMBERED - 1):
        guesses.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert guesses.failed("192.0.2.2") > 0
    assert guesses.failed("192.0.2.1") == 0.0
    assert len(guesses._failures) == REMEMBERED


def test_a_burst_is_one_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log says who is slowed down, once until it was quiet for a while."""
    logger = OccasionalLogger(Logger("motehub.access"), seconds=0.0)
    monkeypatch.setattr(guessing, "_logger", logger)
    clock = Clock()
    guesses = Guesses(clock)
    with caplog.at_level(logging.WARNING):
        waits(guesses, 1000)
        assert len(caplog.records) == 1
        clock.now += 90
        waits(guesses, 1000)
        assert len(caplog.records) == 2
