"""The engine against a naive reference, and what it does about clocks, owners and restarts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.unit.alerts.reference import SECOND, Change, Happening, Passed, Read, judged

from motehub.alerts.engine import Engine
from motehub.alerts.rule import Facts, Rule, rule_of
from motehub.alerts.watch import State
from motehub.model import Admission, Device, Kind, Series

START = 1_800_000_000 * SECOND
DEVICE = Device(1, "freezer", "http", ("token:1",), Admission.ACCEPTED, START)
NUMBERS = Series(1, 1, "temperature", "°C")
TEXTS = Series(2, 1, "mode", "", Kind.TEXT)


def engine_of(*rules: Rule, said: Facts | None = None) -> Engine:
    engine = Engine(lambda _device: said or Facts())
    for rule in rules:
        engine.put_rule(rule)
    engine.put_device(DEVICE)
    engine.put_series(NUMBERS)
    engine.put_series(TEXTS)
    engine.begin(START)
    return engine


def rule(**fields: Any) -> Rule:
    told = {"name": "r"} if fields.get("offline") else {"name": "r", "metric": "temperature"}
    return rule_of({**told, **fields})


def changes(engine: Engine) -> list[Change]:
    return [(one.old, one.new, one.time) for one in engine.take()]


def play(engine: Engine, happenings: Sequence[Happening], series: int = 1) -> None:
    for one in happenings:
        if isinstance(one, Read) and isinstance(one.value, str):
            engine.read(series, [one.time], [one.value], one.now)
        elif isinstance(one, Read):
            engine.read_all([series], [1], [one.time], [float(one.value)], one.now)
        else:
            engine.pass_time(one.now)


def restarted(engine: Engine, *rules: Rule) -> Engine:
    """Return what another process makes of all that was kept."""
    engine.settle()
    kept = [
        (
            one.rule.name,
            one.subject,
            msgspec.json.decode(msgspec.json.encode(one.keep()), type=type(one.keep())),
        )
        for one in engine._all()
    ]
    other = Engine()
    for one in rules:
        other.put_rule(one)
    other.put_device(DEVICE)
    other.put_series(NUMBERS)
    other.put_series(TEXTS)
    other.resume(kept)
    return other


_steps = st.integers(-40, 120)
_delays = st.integers(0, 4).map(lambda n: n * 7)


@st.composite
def numbers(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> list[Happening]:
    """Readings: some late, some twice, some from the future; time passes."""
    now = START
    found: list[Happening] = [Passed(START)]
    for _ in range(draw(st.integers(1, 12))):
        now += draw(st.integers(1, 60)) * SECOND
        kind = draw(st.sampled_from(["now", "now", "late", "future", "again", "time"]))
        value = draw(values)
        if kind == "time":
            found.append(Passed(now))
        elif kind == "again":
            old = [one for one in found if isinstance(one, Read)]
            if old:
                found.append(draw(st.sampled_from(old))._replace(now=now))
        else:
            shift = {
                "now": 0,
                "late": -draw(st.integers(1, 300)),
                "future": draw(st.integers(1, 300)),
            }
            found.append(Read(now + shift[kind] * SECOND, value, now))
    return found


_holds = st.sampled_from([0, 1, 30, 60, 90])
_levels = st.floats(-3, 3).map(lambda one: round(one, 1))


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    fields: dict[str, Any] = {"for": draw(_holds), "clear_for": draw(_holds)}
    kind = draw(
        st.sampled_from(["above", "below", "outside", "change", "equals", "stuck", "silent"])
    )
    if kind == "silent":
        return rule(silent=f"{draw(st.integers(1, 200))}s")
    if kind == "stuck":
        return rule(stuck=draw(st.integers(1, 200)), clear_for=fields["clear_for"])
    if kind == "equals":
        return rule(equals=draw(st.sampled_from(["1", "0", "on", "off", "open"])), **fields)
    if kind == "change":
        limits = draw(
            st.dictionaries(
                st.sampled_from(["rises", "falls", "changes"]),
                st.sampled_from([0.5, 1, 2, 3]),
                min_size=1,
            )
        )
        hysteresis = draw(st.sampled_from([0, 0.3]))
        return rule(
            within=draw(st.sampled_from([32, 64, 320])), hysteresis=hysteresis, **limits, **fields
        )
    hysteresis = draw(st.sampled_from([0, 0.5, 1]))
    limits = {"above": draw(_levels)} if kind != "below" else {}
    if kind != "above":
        limits["below"] = draw(_levels)
    if kind == "outside":
        assume(limits["above"] - limits["below"] >= 2 * hysteresis)
    return rule(hysteresis=hysteresis, **limits, **fields)


_values = st.one_of(st.integers(-3, 3).map(float), _levels)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rules(), numbers(_values))
def test_numbers_are_judged_as_the_reference_does(rule: Rule, happenings: list[Happening]) -> None:
    """Whatever the rule, and however late, doubled or wrongly stamped readings come."""
    engine = engine_of(rule)
    play(engine, happenings)
    assert changes(engine) == judged(rule, happenings)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rules(), numbers(_values), st.data())
def test_a_restart_anywhere_changes_nothing(
    rule: Rule, happenings: list[Happening], data: st.DataObject
) -> None:
    """What is kept is enough to go on from any state."""
    engine = engine_of(rule)
    found: list[Change] = []
    for one in happenings:
        if data.draw(st.booleans()):
            engine = restarted(engine, rule)
        play(engine, [one])
        found += changes(engine)
    assert found == judged(rule, happenings)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rules(), st.lists(st.tuples(st.integers(0, 400), _values), min_size=1, max_size=15), st.data()
)
def test_readings_that_come_together_are_judged_in_the_order_of_their_times(
    rule: Rule, readings: list[tuple[int, float]], data: st.DataObject
) -> None:
    """However a device has ordered what it gathered while it was away, and in whatever pieces."""
    now = START + 500 * SECOND
    unique = list(dict(readings).items())
    engine = engine_of(rule)
    engine.read(1, [START + time * SECOND for time, _ in unique], [v for _, v in unique], now)
    engine.pass_time(now)
    in_order = [Read(START + time * SECOND, value, now) for time, value in sorted(unique)]
    assert changes(engine) == judged(rule, [Passed(START), *in_order, Passed(now)])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rules(), rules(), st.lists(numbers(_values), min_size=2, max_size=2), st.data())
def test_a_frame_of_many_series_is_as_one_after_the_other(
    first: Rule, second: Rule, both: list[list[Happening]], data: st.DataObject
) -> None:
    """By the column or one by one, with two rules on a series too, whatever they have kept."""
    rules_ = [first, msgspec.structs.replace(second, name="other")]
    other = msgspec.structs.replace(NUMBERS, id=3)
    at_once, one_by_one = engine_of(*rules_), engine_of(*rules_)
    for engine in (at_once, one_by_one):
        engine.put_series(other)
    merged = [(one, 1) for one in both[0]] + [(one, 3) for one in both[1]]
    reads = [(one, series) for one, series in merged if isinstance(one, Read)]
    reads.sort(key=lambda pair: pair[0].now)
    while reads:
        count = data.draw(st.integers(1, 6))
        frame, reads = reads[:count], reads[count:]
        now = frame[-1][0].now
        columns = [s for _, s in frame], [one.time for one, _ in frame]
        values = [float(one.value) for one, _ in frame]
        at_once.read_all(columns[0], [1] * len(frame), columns[1], values, now)
        for (one, series), value in zip(frame, values, strict=True):
            one_by_one.read(series, [one.time], [value], now)
        for engine in (at_once, one_by_one):
            engine.pass_time(now)
        key = lambda one: (one.rule.name, one.subject)  # noqa: E731
        assert sorted(at_once.take(), key=key) == sorted(one_by_one.take(), key=key)


@given(numbers(st.sampled_from(["on", "off", "1"])), _holds)
def test_texts_are_compared_as_they_are(happenings: list[Happening], hold: float) -> None:
    """A rule for a text, on a series of texts."""
    one = rule(metric="mode", equals="on", **{"for": hold})
    engine = engine_of(one)
    play(engine, happenings, series=2)
    assert changes(engine) == judged(one, happenings)


def fired(engine: Engine) -> bool:
    return [state for _, state in engine.states() if state.is_alarm] != []


def test_a_late_reading_ends_nothing() -> None:
    """What was measured before the alarm says nothing about now, and neither does a duplicate."""
    engine = engine_of(rule(above=5))
    engine.read(1, [START + 10 * SECOND], [9.0], START + 10 * SECOND)
    engine.read(1, [START + 5 * SECOND], [1.0], START + 11 * SECOND)
    engine.read(1, [START + 10 * SECOND], [1.0], START + 12 * SECOND)
    assert fired(engine)
    engine.read(1, [START + 13 * SECOND], [1.0], START + 13 * SECOND)
    assert not fired(engine)


def test_a_clock_that_was_ahead_blinds_nobody() -> None:
    """After a reading from next year those of today still count."""
    engine = engine_of(rule(above=5))
    engine.read(1, [START + 10**14], [1.0], START + 1 * SECOND)
    engine.read(1, [START + 2 * SECOND], [9.0], START + 2 * SECOND)
    assert fired(engine)


def test_the_hubs_clock_is_set_back() -> None:
    """Silence and waiting go on with the time that is now."""
    engine = engine_of(
        rule(name="s", metric="", silent="60s"), rule(name="w", above=5, **{"for": 30})
    )
    far = START + 10**13
    engine.begin(far)
    engine.hear(1, far)
    engine.read(1, [far], [9.0], far)
    engine.pass_time(START + SECOND)
    engine.take()
    engine.pass_time(START + 32 * SECOND)
    assert {name: state for (name, _), state in engine.states()}["w"] is State.FIRING
    engine.pass_time(START + 70 * SECOND)
    assert {name: state for (name, _), state in engine.states()}["s"] is State.NO_DATA


def test_a_stuck_sensor_is_stuck_until_it_says_something_else() -> None:
    """Readings that were missed make it no better, only since when it was so is not known then."""
    engine = engine_of(rule(stuck="60s"))
    for second in (0, 30, 60):
        engine.read(1, [START + second * SECOND], [21.5], START + second * SECOND)
    assert changes(engine)[-1][1] is State.FIRING
    engine.doubt()
    engine.read(1, [START + 70 * SECOND], [21.5], START + 70 * SECOND)
    assert changes(engine) == []
    engine.read(1, [START + 80 * SECOND], [21.6], START + 80 * SECOND)
    assert changes(engine)[-1][1] is State.OK
    engine.doubt()
    engine.read(1, [START + 130 * SECOND], [21.6], START + 130 * SECOND)
    engine.read(1, [START + 185 * SECOND], [21.6], START + 185 * SECOND)
    assert changes(engine) == []
    engine.read(2, [START], ["on"], START)
    assert engine.looks_at(1)
    assert not engine.looks_at(2)


def test_nobody_is_silent_while_nobody_listens() -> None:
    """After the hub was away, or its clock was put forward, silence counts anew."""
    engine = engine_of(rule(metric="", silent="60s"))
    engine.hear(1, START)
    later = START + 3600 * SECOND
    engine.begin(later)
    engine.pass_time(later)
    assert not fired(engine)
    engine.pass_time(later + 60 * SECOND)
    assert fired(engine)


def test_what_was_silence_before_still_is() -> None:
    """A hub that is started anew each day notices who has said nothing for two."""
    engine = engine_of(rule(metric="", silent="60s"))
    engine.hear(1, START)
    engine.pass_time(START + 50 * SECOND)
    later = START + 3600 * SECOND
    engine.begin(later, 3550 * SECOND)
    engine.pass_time(later + 9 * SECOND)
    assert not fired(engine)
    engine.pass_time(later + 10 * SECOND)
    assert fired(engine)


def test_silence_is_three_expected_intervals() -> None:
    """For every device of which that is known, and for no other."""
    one = rule(metric="", silent="auto")
    engine, other = engine_of(one, said=Facts((), 10.0)), engine_of(one)
    for each in (engine, other):
        each.hear(1, START)
        each.pass_time(START + 29 * SECOND)
        assert not fired(each)
        each.pass_time(START + 30 * SECOND)
    assert fired(engine)
    assert not fired(other)


def test_a_device_that_never_says_anything_is_silent() -> None:
    """Since the rule is there."""
    engine = engine_of(rule(metric="", silent="60s"))
    engine.pass_time(START + 61 * SECOND)
    assert fired(engine)


def test_presence() -> None:
    """A device that leaves and comes back, with the time that it may take."""
    engine = engine_of(rule(offline=True, **{"for": 30}))
    engine.be_present(1, False, START)
    engine.pass_time(START + 29 * SECOND)
    assert not fired(engine)
    engine.pass_time(START + 30 * SECOND)
    assert fired(engine)
    engine.be_present(1, True, START + 40 * SECOND)
    assert not fired(engine)


@pytest.mark.parametrize(
    ("fields", "looks"),
    [
        ({"devices": ["freezer"]}, True),
        ({"devices": ["free*", "x"]}, True),
        ({"devices": ["oven"]}, False),
        ({"metric": "humidity"}, False),
        ({"labels": ["cellar"]}, True),
        ({"labels": ["attic"]}, False),
        ({"enabled": False}, False),
    ],
)
def test_which_series_a_rule_looks_at(fields: dict[str, Any], looks: bool) -> None:
    """By name, by pattern, by label, by metric."""
    engine = engine_of(rule(above=5, **fields), said=Facts(("cellar",)))
    engine.read(1, [START + 1], [9.0], START + 1)
    assert fired(engine) is looks


def test_what_a_rule_has_found_ends_with_it() -> None:
    """When it is removed or changed, when its device is renamed, blocked or removed."""
    one = rule(above=5, devices=["freezer"])
    renamed = msgspec.structs.replace(DEVICE, name="other")
    blocked = msgspec.structs.replace(DEVICE, admission=Admission.BLOCKED)
    acts: list[Callable[[Engine], None]] = [
        lambda engine: engine.remove_rule("r"),
        lambda engine: engine.put_rule(msgspec.structs.replace(one, above=50.0)),
        lambda engine: engine.put_device(renamed),
        lambda engine: engine.put_device(blocked),
        lambda engine: engine.remove_device(1),
    ]
    for act in acts:
        engine = engine_of(one)
        engine.read(1, [START + 1], [9.0], START + 1)
        engine.take()
        act(engine)
        (done,) = engine.take()
        assert (done.old, done.new) == (State.FIRING, State.OK)
        assert done.reason
        assert ("r", 1) in engine.gone


def test_silence_ends_when_nothing_is_expected_any_more() -> None:
    """The owner takes the interval back: there is nothing to be told of."""
    said = {1: Facts((), 10.0)}
    engine = Engine(lambda device: said.get(device, Facts()))
    engine.put_rule(rule(metric="", silent="auto"))
    engine.put_device(DEVICE)
    engine.begin(START)
    engine.pass_time(START + 60 * SECOND)
    assert fired(engine)
    said.clear()
    engine.put_device(DEVICE)
    assert not fired(engine)
    assert [one.new for one in engine.take()][-1] is State.OK
