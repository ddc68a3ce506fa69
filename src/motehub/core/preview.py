"""What a rule would have found: the history is judged as if it came in now."""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator
from typing import Final

import msgspec

from motehub.alerts.engine import Engine
from motehub.alerts.rule import Facts, Kind, Rule
from motehub.alerts.watch import State, Transition
from motehub.core.moments import iso
from motehub.core.sessions import ANNOUNCED, JOINED, LEFT
from motehub.errors import InvalidRule
from motehub.history_contract import HistoryStore
from motehub.model import Device, Series
from motehub.model import Kind as SeriesKind

MOST_JUDGED: Final = 5_000_000
"""Readings that are judged for one preview."""

MOST_SHOWN: Final = 100
"""Alerts of which a preview says more than that they would have been: the newest."""

MOST_EVENTS: Final = 20_000
"""Events of a device among which a preview looks for when it came and went."""

_Presence = tuple[int, bool]
_PRESENCE: Final = (ANNOUNCED, JOINED, LEFT)
_NO_SAID: Final = Facts()


class PreviewedAlert(msgspec.Struct, frozen=True):
    """An alert that would have been; ``ended`` is null where it would not be over."""

    device: str
    metric: str | None
    state: str
    began: str
    ended: str | None
    value: float | str | None


class PreviewShape(msgspec.Struct, frozen=True):
    """What a rule would have found among so many ``readings`` of ``series`` series.

    It would have fired ``count`` times; ``alerts`` are the newest of these.
    """

    count: int
    series: int
    readings: int
    alerts: list[PreviewedAlert]


def preview(
    store: HistoryStore, rule: Rule, since: int, until: int, said: dict[int, Facts]
) -> Generator[None, None, PreviewShape]:
    """Return what ``rule`` would have found in ``[since, until)`` (µs); yields while it works.

    ``said`` is what the owner says of devices, by id.

    Raises:
        InvalidRule: too much is asked.
        StorageError: the history can't be read now.
    """
    rule = msgspec.structs.replace(rule, enabled=True)
    devices, all_series = store.registry()
    found: list[PreviewedAlert] = []
    count = readings = looked = 0
    for device in devices:
        own = [one for one in all_series if one.device == device.id]
        moments: list[_Presence] = []
        if rule.kind is Kind.OFFLINE:
            online, moments = _presence(store, device, since, until)
            device = msgspec.structs.replace(device, online=online)
        engine = _engine(rule, device, own, said.get(device.id, _NO_SAID))
        names = {subject for (_, subject), _ in engine.states()}
        names |= {one.id for one in own if engine.looks_at(one.id)}
        if not names:
            continue
        engine.begin(since)
        for judged in _judged(store, engine, rule, own, names, since, until):
            readings += judged
            if readings > MOST_JUDGED:
                raise InvalidRule(f"These are more than {MOST_JUDGED} readings: ask for less time.")
            yield None
        for time, online in moments:
            engine.pass_time(time)
            engine.be_present(device.id, online, time)
        engine.pass_time(until)
        looked += len(names)
        alerts = _alerts(engine.take(), device, {one.id: one for one in own})
        count += len(alerts)
        found = sorted(found + alerts, key=lambda one: one.began, reverse=True)[:MOST_SHOWN]
    return PreviewShape(count, looked, readings, found)


def _presence(
    store: HistoryStore, device: Device, since: int, until: int
) -> tuple[bool | None, list[_Presence]]:
    """Return whether a device was online at ``since``, and when that changed until ``until``.

    By its events; it is None where these do not say.
    """
    events = store.events(device.id, MOST_EVENTS)
    if len(events) == MOST_EVENTS and events[-1].time > since:
        raise InvalidRule(
            f"The device {device.name} has more than {MOST_EVENTS} events since then: ask for "
            "less time."
        )
    changes = sorted((one.time, one.kind == JOINED) for one in events if one.kind in _PRESENCE)
    before = [online for time, online in changes if time < since]
    return before[-1] if before else None, [one for one in changes if since <= one[0] < until]


def _engine(rule: Rule, device: Device, series: list[Series], said: Facts) -> Engine:
    engine = Engine(lambda _device: said)
    engine.put_rule(rule)
    engine.put_device(device)
    for one in series:
        engine.put_series(one)
    return engine


def _judged(
    store: HistoryStore,
    engine: Engine,
    rule: Rule,
    own: list[Series],
    names: set[int],
    since: int,
    until: int,
) -> Iterator[int]:
    """Judge what is stored, and yield how many readings that were, piece by piece."""
    if rule.kind is not Kind.SILENT:
        for one in own:
            if one.id in names:
                for times, values in _columns(store, one, since, until):
                    engine.read(one.id, times, values, until)
                    yield len(times)
        return
    heard = [one for one in own if rule.is_of_device or one.id in names]
    moments = [((time, one.id) for time in _times(store, one, since, until)) for one in heard]
    for number, (time, series) in enumerate(heapq.merge(*moments), 1):
        engine.pass_time(time)
        if rule.is_of_device:
            engine.hear(own[0].device, time)
        else:
            engine.read(series, [time], [0.0], time)
        if number % 10_000 == 0:
            yield 10_000


def _columns(
    store: HistoryStore, series: Series, since: int, until: int
) -> Iterator[tuple[list[int], list[float | str]]]:
    parts = store.texts if series.kind is SeriesKind.TEXT else store.readings
    for times, values in parts(series.id, since, until):
        yield list(times), list(values)


def _times(store: HistoryStore, series: Series, since: int, until: int) -> Iterator[int]:
    for times, _ in _columns(store, series, since, until):
        yield from times


def _alerts(
    transitions: list[Transition], device: Device, series: dict[int, Series]
) -> list[PreviewedAlert]:
    found: list[PreviewedAlert] = []
    open_: dict[int, Transition] = {}
    for one in transitions:
        if one.new.is_alarm and not one.old.is_alarm:
            open_[one.subject] = one
        elif one.old.is_alarm and one.new is State.OK:
            found.append(_alert(open_.pop(one.subject), one.time, device, series))
    return found + [_alert(one, None, device, series) for one in open_.values()]


def _alert(
    begin: Transition, ended: int | None, device: Device, series: dict[int, Series]
) -> PreviewedAlert:
    metric = series[begin.subject].metric if begin.subject in series else None
    end = None if ended is None else iso(ended)
    return PreviewedAlert(device.name, metric, begin.new.value, iso(begin.time), end, begin.value)
