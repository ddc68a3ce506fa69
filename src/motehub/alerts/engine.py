"""All rules on all series and devices: readings, presence and time go in, transitions come out.

It has no clock. ``now`` is when a frame was committed, or what the clock says otherwise.

**Late readings.** An alert is about now. A reading that is not newer than the last one that was
judged of its series changes nothing, be it late, backdated or a duplicate. What a device has
gathered while it was away is judged at its own times, in order. One from the future counts as
of now, and is no measure of what is late.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from math import inf
from operator import gt
from typing import Final

import msgspec

from motehub.alerts.matching import Matching
from motehub.alerts.plain import NOTHING_IS_PLAIN, Band, Plain
from motehub.alerts.rule import Facts, Kind, Rule
from motehub.alerts.watch import Kept, State, Transition, Watch
from motehub.model import MICROSECONDS, Admission, Device, Series

TOLERANCE: Final = 2 * MICROSECONDS
"""How far what it is told as the time may go back before the clock was set back."""

Key = tuple[str, int]
"""Name of a rule, and its subject: the id of a series, or the negative id of a device."""


_NOTHING: Final = Facts()


class Engine:
    """Watches: rules on subjects. ``said`` tells what the owner says of a device.

    ``changed`` are the watches that are not as they were kept, once it was ``settle``d; ``gone``
    the keys of others. ``listened`` are the devices to which anything listens as a whole.
    """

    def __init__(self, said: Callable[[int], Facts] = lambda _device: _NOTHING) -> None:
        self._said = said
        self._rules = Matching()
        self._put: dict[str, Rule] = {}
        self._devices: dict[int, Device] = {}
        self._series: dict[int, Series] = {}
        self._of_device: dict[int, set[int]] = {}
        self._watches: dict[int, dict[str, Watch]] = {}
        # What looks at a subject, found anew when it is needed.
        self._looking: dict[int, tuple[Watch, ...]] = {}
        self._plain = Plain(self._band)
        self._heap: list[tuple[int, str, int]] = []
        self._now = self._latest = 0
        self._transitions: list[Transition] = []
        self.changed: set[Watch] = set()
        self.gone: set[Key] = set()
        self.listened: set[int] = set()

    def put_rule(self, rule: Rule, *, look: bool = True) -> None:
        """Look at what ``rule`` says from now on; what the one of its name has found is over.

        If only whom it is for has changed, that goes on where it still is for them. Without
        ``look`` that is seen by ``look_anew``, when devices are known as well.
        """
        known = self._rules.get(rule.name)
        if known == rule:
            return
        if known is None or not _says_the_same(known, rule):
            self.remove_rule(rule.name)
        for watches in self._watches.values():
            if (watch := watches.get(rule.name)) is not None:
                watch.rule = rule
                self.changed.add(watch)
        self._rules.put(rule)
        self._looking.clear()
        self._plain.clear()
        self._put[rule.name] = rule
        if look:
            self.look_anew()

    def look_anew(self) -> None:
        """Find out what the rules that were put are for."""
        put, self._put = self._put, {}
        for subject in [one for one, there in self._watches.items() if put.keys() & there.keys()]:
            self._look_anew(subject)
        if any(rule.kind in (Kind.SILENT, Kind.OFFLINE) for rule in put.values()):
            for device in self._devices.values():
                self._arrange(device)

    def remove_rule(self, name: str) -> None:
        """Look at it no more."""
        if self._rules.get(name) is None:
            return
        self._rules.remove(name)
        for subject in [one for one, watches in self._watches.items() if name in watches]:
            self._drop(name, subject, "the rule was changed or removed")
        self._looking.clear()
        self._plain.clear()

    def put_device(self, device: Device) -> None:
        """Learn of a device, or of what has changed of it."""
        self._devices[device.id] = device
        self._arrange(device)

    def put_series(self, series: Series) -> None:
        """Learn of a series."""
        self._series[series.id] = series
        self._of_device.setdefault(series.device, set()).add(series.id)
        self._look_anew(series.id)

    def remove_device(self, number: int) -> None:
        """Forget a device with its series."""
        self._devices.pop(number, None)
        for subject in (-number, *self._of_device.pop(number, ())):
            self._look_anew(subject)
            self._looking.pop(subject)
            self._series.pop(subject, None)

    def resume(self, kept: Iterable[tuple[str, int, Kept]]) -> None:
        """Let watches be as they were kept; all rules, devices and series are known by then."""
        for name, subject, one in kept:
            self._looking_at(subject)
            watch = self._watches.get(subject, {}).get(name)
            if watch is None:
                # Its device, its series or its rule has gone meanwhile.
                self.gone.add((name, subject))
            else:
                watch.resume(one)
                self._await(watch)

    def begin(self, now: int, away: int | None = None) -> None:
        """Go on at ``now`` (µs), after ``away`` µs in which nobody has listened.

        What was silence before still is; where None is said silence counts anew.
        """
        if now < self._now - TOLERANCE:
            self._go_back(now)
        self._now = now
        for watch in self._all():
            if watch.kind is Kind.SILENT and watch.state is State.OK:
                watch.pass_over(now, away)
                self.changed.add(watch)
                self._await(watch)
            elif watch.kind is Kind.OFFLINE and not watch.newest:
                self._greet(watch)

    def miss(self, since: int, until: int) -> None:
        """Take in that no hub was there from ``since`` to ``until`` (µs): that is no rhythm."""
        for watch in self._all():
            if watch.rhythm is not None:
                watch.rhythm.miss(since, until)
                self.changed.add(watch)

    def doubt(self) -> None:
        """Go on after readings were missed: how long something has been so is not known any more.

        What is firing fires until a reading says otherwise.
        """
        for watch in list(self._all()):
            self._note(watch, [done] if (done := watch.doubt(self._now)) is not None else [])
            if watch.kind is Kind.OFFLINE:
                self._greet(watch)

    def read_all(
        self,
        series: Sequence[int],
        counts: Sequence[int],
        times: Sequence[int],
        values: Sequence[float],
        now: int,
    ) -> None:
        """Take in runs of readings which came at ``now`` (µs), as a frame has them."""
        self._latest = now
        if len(series) == len(times):
            # Each run is one reading. Mostly nothing of it is outside of any limit.
            if self._plain.take_all(series, times, values, now):
                return
            plain = self._plain
            for number, time, value in zip(series, times, values, strict=True):
                if not plain.take(number, time, value, now):
                    self.read(number, (time,), (value,), now)
            return
        start = 0
        for number, count in zip(series, counts, strict=True):
            end = start + count
            self.read(number, times[start:end], values[start:end], now)
            start = end

    def read(
        self, series: int, times: Sequence[int], values: Sequence[float | str], now: int
    ) -> None:
        """Take in readings of a series which came at ``now`` (µs)."""
        watches = self._looking.get(series)
        self._merge(series)
        for watch in self._looking_at(series) if watches is None else watches:
            if watch.kind is Kind.SILENT:
                self._hear(watch, now)
            elif watch.is_plain(times, values, now):
                self.changed.add(watch)
            else:
                for time, value in _by_time(times, values):
                    self._note(watch, watch.judge(time, value, now))
        self._plain.forget(series)

    def hear(self, device: int, now: int) -> None:
        """Take in that something came from a device at ``now`` (µs)."""
        watches = self._looking.get(-device)
        for watch in self._looking_at(-device) if watches is None else watches:
            if watch.kind is Kind.SILENT:
                self._hear(watch, now)

    def be_present(self, device: int, online: bool, now: int) -> None:
        """Take in that a device is online since ``now`` (µs), or offline."""
        if (known := self._devices.get(device)) is not None:
            self._devices[device] = msgspec.structs.replace(known, online=online)
        for watch in self._looking_at(-device):
            if watch.kind is Kind.OFFLINE:
                self._note(watch, watch.tell(not online, now))

    def pass_time(self, now: int) -> None:
        """Do what time alone does until ``now`` (µs)."""
        if now < self._now - TOLERANCE:
            self._go_back(now)
        self._now = now
        while self._heap and self._heap[0][0] <= now:
            _, name, subject = heapq.heappop(self._heap)
            if (watch := self._watches.get(subject, {}).get(name)) is not None:
                self._note(watch, [done] if (done := watch.pass_time(now)) is not None else [])
                if watch.due is None:
                    watch.awaited = 0

    @property
    def due(self) -> int | None:
        """When time alone may change something (µs)."""
        return self._heap[0][0] if self._heap else None

    def looks_at(self, subject: int) -> bool:
        """Tell whether any rule looks at a series, or at a device as a whole (negative)."""
        return bool(self._looking_at(subject))

    def take(self) -> list[Transition]:
        """Return the transitions since this was last called."""
        taken, self._transitions = self._transitions, []
        return taken

    def states(self) -> Iterator[tuple[Key, State]]:
        """Yield how every watch stands that is known."""
        for watch in self._all():
            yield (watch.rule.name, watch.subject), watch.state

    def _all(self) -> Iterator[Watch]:
        for watches in self._watches.values():
            yield from watches.values()

    def _arrange(self, device: Device) -> None:
        """Find what looks at a device: silence must be known where nothing is ever read."""
        for subject in (-device.id, *self._of_device.get(device.id, ())):
            self._look_anew(subject)

    def _band(self, series: int) -> Band:
        """Return between which numbers a reading changes nothing, as long as nothing else does."""
        low, high = -inf, inf
        for watch in self._looking_at(series):
            if watch.kind is not Kind.LEVEL or watch.state is not State.OK:
                return NOTHING_IS_PLAIN
            if watch.newest > self._latest:
                # A clock was wrong: what comes now is the measure again, though it is earlier.
                return NOTHING_IS_PLAIN
            low, high = max(low, watch.rule.below), min(high, watch.rule.above)
        return low, high

    def _merge(self, series: int) -> None:
        """Let the watches on a series know of what was plain."""
        newest = self._plain.newest_of(series)
        if newest:
            for watch in self._watches.get(series, {}).values():
                watch.newest = max(watch.newest, newest)
                self.changed.add(watch)

    def settle(self) -> None:
        """Bring ``changed`` up to date, before it is looked at."""
        for series in self._plain.touched():
            self._merge(series)

    def _look_anew(self, subject: int) -> None:
        self._looking.pop(subject, None)
        self._looking_at(subject)

    def _looking_at(self, subject: int) -> tuple[Watch, ...]:
        """Return the watches on a subject; those of rules that no longer look at it are over."""
        found = self._looking.get(subject)
        if found is None:
            rules, interval = self._rules_on(subject)
            watches = self._watches.setdefault(subject, {})
            for name in watches.keys() - {rule.name for rule in rules}:
                self._drop(name, subject, "the device was removed, or the rule is not for it")
            found = tuple(self._watch(rule, subject, interval) for rule in rules)
            if not watches:
                del self._watches[subject]
            self._looking[subject] = found
            self._plain.forget(subject)
            self.listened.discard(-subject)
            if subject < 0 and found:
                self.listened.add(-subject)
        return found

    def _rules_on(self, subject: int) -> tuple[list[Rule], float | None]:
        series = self._series.get(subject)
        device = self._devices.get(-subject if series is None else series.device)
        if device is None or device.admission is not Admission.ACCEPTED:
            return [], None
        said = self._said(device.id)
        if series is None:
            rules = self._rules.of_device(device, said.labels)
        else:
            rules = self._rules.of_series(device, series, said.labels)
        return rules, said.interval

    def _watch(self, rule: Rule, subject: int, interval: float | None) -> Watch:
        watches = self._watches.setdefault(subject, {})
        watch = watches.get(rule.name)
        if watch is None:
            watch = watches[rule.name] = Watch(rule, subject)
            if rule.kind is Kind.SILENT:
                watch.newest = self._now
            elif rule.kind is Kind.OFFLINE and self._now:
                self._greet(watch)
        if watch.expect(interval):
            self._await(watch)
        elif not watch.after and watch.state is State.NO_DATA:
            self._note(watch, [watch.end(self._now, "nothing is expected of it any more")])
        return watch

    def _greet(self, watch: Watch) -> None:
        """Tell a new watch for presence how its device is."""
        if (online := self._devices[-watch.subject].online) is not None:
            self._note(watch, watch.tell(not online, self._now))

    def _drop(self, name: str, subject: int, reason: str) -> None:
        watch = self._watches[subject].pop(name)
        self.changed.discard(watch)
        self.gone.add((name, subject))
        if watch.state is not State.OK:
            self._transitions.append(
                Transition(watch.rule, subject, watch.state, State.OK, self._now, None, reason)
            )

    def _hear(self, watch: Watch, now: int) -> None:
        done = watch.hear(now)
        if done is not None:
            self._note(watch, [done])
            return
        self.changed.add(watch)
        # Whoever comes up before its time is asked for it again.
        due = watch.due
        if due is not None and (due < watch.awaited or not watch.awaited):
            self._await(watch)

    def _note(self, watch: Watch, transitions: Iterable[Transition]) -> None:
        self.changed.add(watch)
        self._plain.forget(watch.subject)
        self._transitions += transitions
        self._await(watch)

    def _await(self, watch: Watch) -> None:
        due = watch.due
        if due is not None and due != watch.awaited:
            watch.awaited = due
            heapq.heappush(self._heap, (due, watch.rule.name, watch.subject))

    def _go_back(self, now: int) -> None:
        """Go on after the clock was set back: nothing began later than now."""
        self._heap.clear()
        self._plain.clear()
        for watch in self._all():
            watch.go_back(now)
            self.changed.add(watch)
            watch.awaited = 0
            self._await(watch)


def _says_the_same(one: Rule, other: Rule) -> bool:
    """Tell whether rules differ only in whom they are for."""
    return msgspec.structs.replace(one, devices=other.devices, labels=other.labels) == other


def _by_time(
    times: Sequence[int], values: Sequence[float | str]
) -> Iterable[tuple[int, float | str]]:
    pairs = zip(times, values, strict=True)
    if any(map(gt, times, islice(times, 1, None))):
        return sorted(pairs, key=lambda one: one[0])
    return pairs
