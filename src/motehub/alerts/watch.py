"""One rule on one series or device: how it stands, and what a reading makes of that."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from math import inf, isfinite
from typing import Final

import msgspec

from motehub.alerts.rhythm import Rhythm
from motehub.alerts.rule import AUTO, INTERVALS, Kind, Rule
from motehub.model import MICROSECONDS

BUCKETS: Final = 32
"""Into how many parts the time is cut in which readings must rise, fall or change."""


class State(enum.Enum):
    """How a rule stands with a series or a device."""

    OK = "ok"
    PENDING = "pending"
    """It is so, but not for long enough yet."""
    FIRING = "firing"
    RECOVERING = "recovering"
    """It has fired and is well again, but not for long enough yet."""
    NO_DATA = "no data"
    """Firing, since nothing comes any more."""

    @property
    def is_alarm(self) -> bool:
        """Whether people should know."""
        return self in _ALARMS


_ALARMS: Final = frozenset({State.FIRING, State.RECOVERING, State.NO_DATA})


# What people call the numbers of a switch, a button or a lamp.
_SWITCHED: Final = {"on": 1.0, "off": 0.0, "true": 1.0, "false": 0.0}


class Verdict(enum.Enum):
    """What one reading says: it is so, it is not, or it is within the hysteresis."""

    BREACH = 1
    BETWEEN = 2
    CLEAR = 3


Value = float | str | None
"""What was read; None where nothing comes."""


class Transition(msgspec.Struct, frozen=True):
    """A rule stands otherwise with a subject since ``time`` (µs), because of ``value``.

    ``subject`` is the id of a series, or the negative id of a device. ``reason`` says why it is
    over where that is not for what was read. ``estimated`` is after how long (µs) a device is
    silent of which nobody has said how often it speaks.
    """

    rule: Rule
    subject: int
    old: State
    new: State
    time: int
    value: Value
    reason: str = ""
    estimated: int = 0


class Kept(msgspec.Struct, frozen=True):
    """What must not be forgotten of a watch; see :class:`Watch`."""

    state: State
    since: int
    newest: int
    value: Value
    buckets: dict[int, tuple[float, float]] = {}
    rhythm: Rhythm | None = None


class Watch:
    """A rule on a subject.

    ``since`` is when the state began (µs), ``newest`` the time of the newest reading that was
    judged, 0 before the first one, ``value`` what that was. A watch for silence has in ``newest``
    when something has come last, by the clock of the hub; ``after`` is how long is silence (µs),
    0 where nobody knows, and ``rhythm`` what is learnt for that, where the owner may not say.
    ``awaited`` is what was last noted as the time when it is due.
    """

    __slots__ = (
        "_equal",
        "_interval",
        "after",
        "awaited",
        "buckets",
        "kind",
        "newest",
        "rhythm",
        "rule",
        "since",
        "state",
        "subject",
        "value",
    )

    def __init__(self, rule: Rule, subject: int) -> None:
        self.rule = rule
        self.kind = rule.kind
        self.subject = subject
        self.state = State.OK
        self.since = 0
        self.newest = 0
        self.value: Value = None
        self.buckets: dict[int, tuple[float, float]] = {}
        self.rhythm = Rhythm() if rule.silent == AUTO else None
        self._interval: float | None = None
        self.after = self._silence()
        self.awaited = 0
        self._equal = _number(rule.equals)

    def expect(self, interval: float | None) -> bool:
        """Take in how often something is expected (seconds); tell whether that matters."""
        self._interval = interval
        before, self.after = self.after, self._silence()
        return self.after > 0 and (self.after != before or not self.awaited)

    def keep(self) -> Kept:
        """Return what has to be known to go on."""
        rhythm = None if self.rhythm is None else self.rhythm.copy()
        return Kept(self.state, self.since, self.newest, self.value, dict(self.buckets), rhythm)

    def resume(self, kept: Kept) -> None:
        """Go on where it was."""
        self.state, self.since, self.newest = kept.state, kept.since, kept.newest
        self.value, self.buckets = kept.value, dict(kept.buckets)
        if self.rhythm is not None and kept.rhythm is not None:
            self.rhythm = kept.rhythm.copy()
            self.after = self._silence()

    @property
    def due(self) -> int | None:
        """When time alone changes the state (µs), None when it does not."""
        if self.state is State.PENDING:
            return self.since + round(self.rule.hold * MICROSECONDS)
        if self.state is State.RECOVERING:
            return self.since + round(self.rule.clear_for * MICROSECONDS)
        if self.kind is Kind.SILENT and self.state is State.OK and self.newest and self.after:
            return self.newest + self.after
        return None

    def pass_time(self, now: int) -> Transition | None:
        """Do what time alone does until ``now`` (µs)."""
        due = self.due
        if due is None or due > now:
            return None
        if self.state is State.PENDING:
            return self._enter(State.FIRING, due)
        if self.state is State.RECOVERING:
            return self._enter(State.OK, due)
        self.value = None
        return self._enter(State.NO_DATA, due)

    def hear(self, now: int) -> Transition | None:
        """Take in that something has come at ``now`` (µs); for a watch for silence."""
        if self.rhythm is not None and self.rhythm.hear(now):
            self.after = self._silence()
        self.newest = max(self.newest, now)
        return self._enter(State.OK, now) if self.state is State.NO_DATA else None

    def end(self, now: int, reason: str) -> Transition:
        """Be over at ``now`` (µs) for that reason."""
        return msgspec.structs.replace(self._enter(State.OK, now), reason=reason)

    def go_back(self, now: int) -> None:
        """Go on after the clock was set back to ``now`` (µs)."""
        self.since = min(self.since, now)
        if self.kind in (Kind.SILENT, Kind.OFFLINE):
            self.newest = min(self.newest, now)
        if self.rhythm is not None:
            self.rhythm.go_back(now)

    def pass_over(self, now: int, away: int | None) -> None:
        """Go on at ``now`` (µs) after ``away`` µs in which nobody listened, None: nobody knows.

        For a watch for silence which is not silent: what was silence before still is.
        """
        lost = now if away is None or not self.newest else self.newest + max(0, away)
        self.newest = min(now, max(self.newest, lost))

    def doubt(self, now: int) -> Transition | None:
        """Forget what only holds as long as no reading was missed, as of ``now`` (µs)."""
        self.buckets.clear()
        if self.rhythm is not None:
            self.rhythm.doubt()
        if self.state is State.PENDING:
            return self._enter(State.OK, now)
        return self._enter(State.FIRING, now) if self.state is State.RECOVERING else None

    def is_plain(self, times: Sequence[int], values: Sequence[float | str], now: int) -> bool:
        """Take in readings of which none changes anything; False if that has to be looked at."""
        if self.kind is not Kind.LEVEL or self.state is not State.OK:
            return False
        rule = self.rule
        # Series that are compared with limits have numbers.
        if max(values) > rule.above or min(values) < rule.below:  # type: ignore[operator]
            return False
        newest = max(times)
        is_wrong = newest > now or self.newest > now
        self.newest = newest if is_wrong else max(self.newest, newest)
        self.value = values[-1]
        return True

    def is_late(self, time: int, now: int) -> bool:
        """Tell whether a reading changes nothing any more: a newer one was judged.

        One from the future has no say about what is late: the clock that made it was wrong.
        """
        return time <= self.newest <= now

    def judge(self, time: int, value: float | str, now: int) -> list[Transition]:
        """Take in a reading of ``time`` that came at ``now`` (µs); return what it changes.

        What the time between had to change, if nothing else was read, is first.
        """
        if self.is_late(time, now):
            return []
        at = min(time, now)
        found = [done] if (done := self.pass_time(at)) else []
        self.newest = time
        self.since = min(self.since, at) if self.since > now else self.since
        before, self.value = self.value, value
        verdict = self._verdict(at, value, before)
        while (state := self._next(verdict)) is not self.state:
            found.append(self._enter(state, at))
            if (done := self.pass_time(at)) is not None:
                found.append(done)
        return found

    def tell(self, so: bool, now: int) -> list[Transition]:
        """Take in whether it is so, as of ``now`` (µs); for a watch for presence."""
        found = [done] if (done := self.pass_time(now)) else []
        self.newest = now
        while (state := self._next(Verdict.BREACH if so else Verdict.CLEAR)) is not self.state:
            found.append(self._enter(state, now))
            if (done := self.pass_time(now)) is not None:
                found.append(done)
        return found

    def _next(self, verdict: Verdict) -> State:
        match self.state, verdict:
            case State.OK, Verdict.BREACH:
                return State.PENDING
            case State.PENDING, Verdict.BETWEEN | Verdict.CLEAR:
                return State.OK
            case State.FIRING, Verdict.CLEAR:
                return State.RECOVERING
            case State.RECOVERING, Verdict.BREACH | Verdict.BETWEEN:
                return State.FIRING
        return self.state

    def _silence(self) -> int:
        if self.rhythm is None or self._interval:
            return silence_of(self.rule, self._interval)
        return self.rhythm.silence()

    def _enter(self, state: State, time: int) -> Transition:
        estimated = self.after if self.rhythm is not None and not self._interval else 0
        done = Transition(
            self.rule, self.subject, self.state, state, time, self.value, estimated=estimated
        )
        self.state, self.since = state, time
        return done

    def _verdict(self, at: int, value: float | str, before: Value) -> Verdict:
        rule = self.rule
        if self.kind is Kind.STUCK:
            return self._stuck(at, same=value == before)
        if self.kind is Kind.EQUAL:
            so = value == rule.equals if isinstance(value, str) else value == self._equal
            return Verdict.BREACH if so else Verdict.CLEAR
        if isinstance(value, str):
            return Verdict.CLEAR
        if self.kind is Kind.LEVEL:
            return level(rule, value)
        return self._change(at, value)

    def _stuck(self, at: int, *, same: bool) -> Verdict:
        """Tell whether readings are the same for too long; the only bucket is since when."""
        start = next(iter(self.buckets), None) if same else None
        if same and start is None and self.state.is_alarm:
            # Since when is not known any more, but it still is what it was when it fired.
            return Verdict.BREACH
        if start is None or start > at:
            start = at
        self.buckets = {start: (0.0, 0.0)}
        return Verdict.BREACH if at - start >= self.rule.stuck * MICROSECONDS else Verdict.CLEAR

    def _change(self, at: int, value: float) -> Verdict:
        """Compare with all since the beginning of the bucket that was ``within`` ago."""
        width = max(1, round(self.rule.within * MICROSECONDS) // BUCKETS)
        newest = at // width
        oldest = (at - round(self.rule.within * MICROSECONDS)) // width
        buckets = self.buckets
        for key in [one for one in buckets if not oldest <= one <= newest]:
            del buckets[key]
        low, high = buckets.get(newest, (value, value))
        buckets[newest] = min(low, value), max(high, value)
        rise = value - min(low for low, _ in buckets.values())
        fall = max(high for _, high in buckets.values()) - value
        return changed(self.rule, rise, fall)


def level(rule: Rule, value: float) -> Verdict:
    """Compare a number with limits."""
    if value > rule.above or value < rule.below:
        return Verdict.BREACH
    if value > rule.above - rule.hysteresis or value < rule.below + rule.hysteresis:
        return Verdict.BETWEEN
    return Verdict.CLEAR


def changed(rule: Rule, rise: float, fall: float) -> Verdict:
    """Compare with limits how much a number has risen and fallen."""
    pairs = ((rise, rule.rises), (fall, rule.falls), (max(rise, fall), rule.changes))
    excess = max((one - limit for one, limit in pairs if isfinite(limit)), default=-inf)
    if excess > 0:
        return Verdict.BREACH
    return Verdict.BETWEEN if excess > -rule.hysteresis else Verdict.CLEAR


def silence_of(rule: Rule, interval: float | None) -> int:
    """Return after how many µs a subject is silent; 0 where nobody has said."""
    if rule.kind is not Kind.SILENT:
        return 0
    seconds = rule.silence
    if seconds is None:
        seconds = INTERVALS * (interval or 0.0)
    return round(seconds * MICROSECONDS)


def _number(text: str) -> float | None:
    if text in _SWITCHED:
        return _SWITCHED[text]
    try:
        return float(text) if text else None
    except ValueError:
        return None
