"""Silence of devices of which nobody has said how often they speak: who is told of, and who not."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motehub.alerts.engine import Engine
from motehub.alerts.rhythm import DAYS, Rhythm
from motehub.alerts.rule import Facts, rule_of
from motehub.alerts.watch import Kept, State
from motehub.model import MICROSECONDS, Admission, Device

START = 1_800_000_000 * MICROSECONDS
MINUTE = 60 * MICROSECONDS
HOUR = 60 * MINUTE
DAY = 24 * HOUR
RULE = rule_of({"name": "no data", "silent": "auto"})
DEVICE = Device(1, "shed", "http", ("token:1",), Admission.ACCEPTED, START)


def engine_of(said: dict[int, Facts] | None = None) -> Engine:
    there = said if said is not None else {}
    engine = Engine(lambda device: there.get(device, Facts()))
    engine.put_rule(RULE)
    engine.put_device(DEVICE)
    engine.begin(START)
    return engine


def hear(engine: Engine, times: Iterable[int]) -> None:
    """Let something come then, as a hub does that looks at the clock in between."""
    for time in times:
        engine.pass_time(time)
        engine.hear(1, time)


def every(seconds: float, days: float, since: int = START, jitter: float = 0) -> Iterator[int]:
    chance = random.Random(1)
    for number in range(int(days * 86_400 / seconds)):
        late = chance.uniform(-jitter, jitter)
        yield since + round((number * seconds + late) * MICROSECONDS)


def alarms(engine: Engine) -> int:
    return sum(one.new is State.NO_DATA for one in engine.take())


def told_after(engine: Engine, last: int) -> float | None:
    """Return how many minutes after ``last`` the device is told of; None if it is not."""
    engine.pass_time(last + 60 * DAY)
    found = [one for one in engine.take() if one.new is State.NO_DATA]
    assert len(found) <= 1
    return (found[0].time - last) / MINUTE if found else None


@pytest.mark.parametrize(
    ("seconds", "jitter", "least", "most"),
    [
        (2, 0.5, 10, 10),
        (30, 2, 10, 10),
        (45, 0, 10, 10),
        (60, 5, 10, 10),
        (90, 10, 10, 10),
        (600, 30, 33, 36),
        (3600, 60, 183, 192),
    ],
)
def test_who_speaks_regularly_is_missed(
    seconds: float, jitter: float, least: float, most: float
) -> None:
    """Three times its longest silence, ten minutes at least, once a day is over."""
    engine = engine_of()
    times = sorted(every(seconds, 1.2, jitter=jitter))
    hear(engine, times)
    after = told_after(engine, times[-1])
    assert after is not None
    assert least <= after <= most


def test_nobody_is_missed_on_the_first_day() -> None:
    """Whatever it is that speaks: it may be for a day only."""
    engine = engine_of()
    times = list(every(30, 0.95))
    hear(engine, times)
    assert told_after(engine, times[-1]) is None


def hours_of_days(days: int, begin: int, end: int, seconds: float) -> Iterator[int]:
    for day in range(days):
        yield from every(seconds, (end - begin) / 24, START + day * DAY + begin * HOUR)


def pressed(days: int, each_day: float) -> Iterator[int]:
    """Whatever people do while they are awake, at times that nobody knows."""
    chance = random.Random(2)
    for day in range(days):
        count = sum(chance.random() < each_day / 100 for _ in range(100))
        for _ in range(count):
            yield START + day * DAY + round(chance.uniform(7, 23) * HOUR)


def moved(days: int) -> Iterator[int]:
    """A motion sensor: every minute while somebody is there, several times a day."""
    for begin in sorted(pressed(days, 12)):
        for number in range(20):
            yield begin + number * MINUTE


IRREGULAR: dict[str, Callable[[], Iterable[int]]] = {
    "a button that is pressed twice a week": lambda: sorted(pressed(90, 2 / 7)),
    "a door that is opened ten times a day": lambda: sorted(pressed(40, 10)),
    "a door that is opened fifty times a day": lambda: sorted(pressed(40, 50)),
    "a light switch, in the morning and in the evening": lambda: (
        START + day * DAY + hour * HOUR for day in range(40) if day % 7 < 5 for hour in (7, 19)
    ),
    "motion": lambda: sorted(moved(40)),
    "a computer that is on by day": lambda: hours_of_days(40, 8, 18, 10),
    "what the sun feeds": lambda: hours_of_days(40, 6, 21, 600),
    "somebody's telephone, in the evening": lambda: hours_of_days(40, 18, 23, 60),
}


@pytest.mark.parametrize("what", IRREGULAR)
def test_who_speaks_irregularly_is_not_missed(what: str) -> None:
    """Neither while it comes and goes, nor when nothing comes any more."""
    engine = engine_of()
    times = list(IRREGULAR[what]())
    hear(engine, times)
    assert alarms(engine) == 0
    assert told_after(engine, times[-1]) is None


def test_an_outage_is_no_rhythm() -> None:
    """After a week, one long silence of the last fortnight changes nothing; two do."""
    engine = engine_of()
    times = list(every(30, 8))
    hear(engine, times)
    again = times[-1] + 5 * HOUR
    hear(engine, every(30, 2, again))
    assert alarms(engine) == 1
    last = again + 2 * DAY + 5 * HOUR
    hear(engine, every(30, 2, last))
    assert alarms(engine) == 1
    engine.pass_time(last + 3 * DAY)
    assert alarms(engine) == 0
    # What was long ago is forgotten.
    hear(engine, every(30, DAYS + 1, last + 3 * DAY))
    engine.pass_time(last + (4 + DAYS) * DAY + HOUR)
    assert alarms(engine) == 1


def test_what_the_owner_says_counts() -> None:
    """Of a device with an expected interval nothing is estimated, until it has none again."""
    said = {1: Facts((), 3600.0)}
    engine, other = engine_of(said), engine_of(said)
    times = list(every(30, 2))
    hear(engine, times)
    hear(other, times)
    engine.pass_time(times[-1] + 3 * HOUR - 1)
    assert alarms(engine) == 0
    engine.pass_time(times[-1] + 3 * HOUR)
    (found,) = engine.take()
    assert (found.new, found.estimated) == (State.NO_DATA, 0)
    said.clear()
    other.put_device(DEVICE)
    other.pass_time(times[-1] + 10 * MINUTE - 1)
    assert alarms(other) == 0
    other.pass_time(times[-1] + 10 * MINUTE)
    (found,) = other.take()
    assert (found.new, found.estimated) == (State.NO_DATA, 10 * MINUTE)


def test_nobody_is_missed_while_nobody_listens() -> None:
    """The time without a hub is neither silence nor a part of a rhythm."""
    engine = engine_of()
    times = list(every(600, 0.9))
    hear(engine, times)
    # Off for a day: what is known is of 22 hours still.
    engine.miss(times[-1], times[-1] + DAY)
    engine.begin(times[-1] + DAY, DAY)
    more = list(every(600, 0.05, times[-1] + DAY + 10 * MINUTE))
    hear(engine, more)
    assert told_after(engine, more[-1]) is None
    more = list(every(600, 0.2, more[-1] + 10 * MINUTE))
    hear(engine, more)
    assert told_after(engine, more[-1]) == 30


@pytest.mark.parametrize("seconds", [10, 600])
def test_a_clock_that_leaps_is_no_silence_though_it_is_told_late(seconds: int) -> None:
    """A device may speak before the hub notices that its clock was set right: that is no rhythm."""
    engine = engine_of()
    times = list(every(seconds, 2))
    hear(engine, times)
    leapt = times[-1] + 3 * HOUR
    engine.begin(leapt, 3 * HOUR)
    hear(engine, [leapt + 3 * MICROSECONDS])
    engine.miss(times[-1], leapt + 15 * MICROSECONDS)
    more = list(every(seconds, 2, leapt + seconds * MICROSECONDS))
    hear(engine, more)
    assert alarms(engine) == 0
    assert told_after(engine, more[-1]) == max(10, 3 * seconds / 60)


def test_a_clock_that_is_set_back_leaves_a_rhythm() -> None:
    """Nothing waits in the future."""
    engine = engine_of()
    times = list(every(60, 1.5))
    hear(engine, times)
    back = times[-1] - 300 * DAY
    engine.pass_time(back)
    more = list(every(60, 1.5, back))
    hear(engine, more)
    assert alarms(engine) == 0
    assert told_after(engine, more[-1]) == 10


def restarted(engine: Engine) -> Engine:
    """Return what another process makes of what was kept."""
    (watch,) = engine._all()
    kept = msgspec.json.decode(msgspec.json.encode(watch.keep()), type=Kept)
    other = Engine()
    other.put_rule(RULE)
    other.put_device(DEVICE)
    other.resume([(RULE.name, -1, kept)])
    return other


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 400), min_size=20, max_size=60),
    st.lists(st.integers(0, 400), max_size=6),
)
def test_after_a_restart_it_is_as_without(steps: list[int], cuts: list[int]) -> None:
    """Whatever the rhythm, whenever the process ends."""
    one, other = engine_of(), engine_of()
    # Regular for a while, so that something is known at all.
    minutes = [*([10] * 200), *steps]
    told: list[tuple[State, int]] = []
    known: list[tuple[State, int]] = []
    for number, time in enumerate(accumulate(minutes, initial=0)):
        now = START + time * MINUTE
        if number in cuts:
            other = restarted(other)
        for engine, found in ((one, told), (other, known)):
            hear(engine, [now])
            found += [(done.new, done.time) for done in engine.take()]
    assert known == told
    assert [w.keep() for w in one._all()] == [w.keep() for w in other._all()]


def test_what_is_kept_of_a_device_stays_small() -> None:
    """However long it speaks, and however irregularly."""
    chance = random.Random(3)
    rhythm, now = Rhythm(), START
    for _ in range(40_000):
        now += round(chance.expovariate(1 / 600) * MICROSECONDS)
        rhythm.hear(now)
        assert len(rhythm.steps) < 60
    assert len(rhythm.days) == DAYS
    assert len(msgspec.json.encode(rhythm)) < 1000
