"""What rules mean, written down as plainly as possible: the whole past is looked through anew.

It shares nothing with the engine but the rule itself and the names of states.
"""

from __future__ import annotations

from itertools import takewhile
from math import inf
from typing import NamedTuple

from motehub.alerts.rule import Kind, Rule
from motehub.alerts.watch import BUCKETS, State

SECOND = 1_000_000


class Read(NamedTuple):
    """A reading of ``time`` that came at ``now`` (µs)."""

    time: int
    value: float | str
    now: int


class Passed(NamedTuple):
    """The clock said ``now`` (µs)."""

    now: int


Happening = Read | Passed
Change = tuple[State, State, int]
"""From which state to which, and since when (µs)."""


def judged(rule: Rule, happenings: list[Happening]) -> list[Change]:
    """Return how a rule on one series changes with what happens, in order."""
    if rule.kind is Kind.SILENT:
        return _silence(rule, happenings)
    changes: list[Change] = []
    state, since = State.OK, 0
    taken: list[tuple[int, float | str]] = []
    newest = 0

    def go(new: State, time: int) -> None:
        nonlocal state, since
        changes.append((state, new, time))
        state, since = new, time

    def wait(until: int) -> None:
        if state is State.PENDING and since + round(rule.hold * SECOND) <= until:
            go(State.FIRING, since + round(rule.hold * SECOND))
        elif state is State.RECOVERING and since + round(rule.clear_for * SECOND) <= until:
            go(State.OK, since + round(rule.clear_for * SECOND))

    for one in happenings:
        if isinstance(one, Passed):
            wait(one.now)
            continue
        if one.time <= newest <= one.now:
            continue
        at = min(one.time, one.now)
        wait(at)
        newest = one.time
        begin, end = window(rule, at)
        # What has left the window does not come back, nor does what was stamped too late.
        if rule.kind is Kind.STUCK:
            taken = alike(taken, at, one.value)
        else:
            taken = [(time, value) for time, value in taken if begin <= time < end]
        taken.append((at, one.value))
        word = verdict(rule, taken)
        if word == "so":
            if state is State.OK:
                go(State.PENDING, at)
                wait(at)
            elif state is State.RECOVERING:
                go(State.FIRING, at)
        elif word == "not so":
            if state is State.PENDING:
                go(State.OK, at)
            elif state is State.FIRING:
                go(State.RECOVERING, at)
                wait(at)
        elif state is State.PENDING:
            go(State.OK, at)
        elif state is State.RECOVERING:
            go(State.FIRING, at)
    return changes


def verdict(rule: Rule, taken: list[tuple[int, float | str]]) -> str:
    """Return whether it is so after these readings: so, between, not so."""
    value = taken[-1][1]
    if rule.kind is Kind.EQUAL:
        if isinstance(value, str):
            return "so" if value == rule.equals else "not so"
        switched = {"on": "1", "true": "1", "off": "0", "false": "0"}
        try:
            return "so" if value == float(switched.get(rule.equals, rule.equals)) else "not so"
        except ValueError:
            return "not so"
    if rule.kind is Kind.STUCK:
        return "so" if taken[-1][0] - taken[0][0] >= rule.stuck * SECOND else "not so"
    assert not isinstance(value, str)
    if rule.kind is Kind.LEVEL:
        over = max(value - rule.above, rule.below - value)
        if value > rule.above or value < rule.below:
            return "so"
        well = value <= rule.above - rule.hysteresis and value >= rule.below + rule.hysteresis
        assert well or over > -inf
        return "not so" if well else "between"
    read = [float(value) for _, value in taken]
    rise, fall = value - min(read), max(read) - value
    worst = max(rise - rule.rises, fall - rule.falls, max(rise, fall) - rule.changes)
    if worst > 0:
        return "so"
    return "between" if worst > -rule.hysteresis else "not so"


def alike(
    taken: list[tuple[int, float | str]], at: int, value: float | str
) -> list[tuple[int, float | str]]:
    """Return the last readings before one, but for those before another value or a later time."""
    return list(takewhile(lambda old: old[1] == value and old[0] <= at, taken[::-1]))[::-1]


def window(rule: Rule, at: int) -> tuple[int, int]:
    """Return from when on and before when readings are compared with one of ``at`` (µs)."""
    width = round(rule.within * SECOND) // BUCKETS
    return (at - round(rule.within * SECOND)) // width * width, (at // width + 1) * width


def _silence(rule: Rule, happenings: list[Happening]) -> list[Change]:
    """Whatever comes ends silence, whenever it was read."""
    assert rule.silence is not None
    changes: list[Change] = []
    state, heard = State.OK, happenings[0].now
    for one in happenings:
        due = heard + round(rule.silence * SECOND)
        if isinstance(one, Passed):
            if state is State.OK and due <= one.now:
                state = State.NO_DATA
                changes.append((State.OK, state, due))
            continue
        heard = one.now
        if state is State.NO_DATA:
            changes.append((state, State.OK, one.now))
            state = State.OK
    return changes
