"""What becomes of the journal in ``alerts.db``: frames are judged, and people told of it."""

from __future__ import annotations

import time as clocks
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

import msgspec

from motehub.alerting.book import AlertBook, Writing
from motehub.alerting.telling import Telling
from motehub.alerts.engine import Engine
from motehub.alerts.rule import Facts, decode, encode
from motehub.alerts.watch import Transition
from motehub.contracts import LogReader
from motehub.core.profiles import Profiles
from motehub.core.registry import Registry
from motehub.core.rules import RuleBook, facts_of
from motehub.errors import StorageError
from motehub.frames import (
    AlertAnswered,
    DeviceChanged,
    DeviceRemoved,
    Entry,
    Frame,
    HubAway,
    HubNoticed,
    MaintenanceChanged,
    PresenceChanged,
    RuleChanged,
    SeriesAdded,
    TextReadings,
)
from motehub.logs import Logger
from motehub.model import Device, Series

FLUSH_SECONDS: Final = 15.0
"""How often it is kept how rules stand where nothing has happened that people should know."""

_Frames: TypeAlias = Sequence[tuple[int, Frame]]
_Order = AlertAnswered | MaintenanceChanged | HubNoticed

_logger = Logger("motehub.alerts")


class JudgeFrames:
    """The consumer that knows of alerts; see :class:`motehub.contracts.Effect`.

    ``clock`` returns UTC microseconds. ``channels`` are the names of those through whom people
    are told. What has not been kept yet is judged again after a crash: frames that have changed
    nothing that people should know are kept together, every few seconds.
    """

    def __init__(
        self,
        book: AlertBook,
        reader: LogReader,
        journal: str,
        clock: Callable[[], int],
        channels: Sequence[str],
        zone: ZoneInfo,
        first: int | None = None,
    ) -> None:
        self._book = book
        self._reader = reader
        self._journal = journal
        self._clock = clock
        self._first = first
        self._telling = Telling(channels, zone)
        self._engine = Engine()
        self._devices: dict[int, Device] = {}
        self._series: dict[int, Series] = {}
        self._said: dict[int, Facts] = {}
        self._marks: dict[str, tuple[int, int]] = {}
        self._renamed = False
        self._orders: list[_Order] = []
        self._position: int | None = None
        self._flushed = clocks.monotonic()
        self._began = 0
        self.committed = 0
        """The cursor that is kept, whatever happens: what is later is judged again after a crash.

        The journal may forget what is before it.
        """
        self.missed = 0
        """Frames that the journal had no more when they were wanted."""

    def position(self) -> int:
        """Return the cursor; without one in this journal it begins at ``first``, or at its end."""
        try:
            position = self._book.position(self._journal)
            if self._position is None or position != self.committed:
                self._load(position)
        except StorageError:
            self._position = None
            raise
        assert self._position is not None
        return self._position

    def apply(self, frames: _Frames) -> None:
        """Judge ``frames``; what people should know is kept with the cursor before it returns."""
        if self._position is None:
            self.position()
        position = self._position
        assert position is not None
        frames = [one for one in frames if one[0] > position]
        if not frames:
            return
        if gap := frames[0][0] - position - 1:
            _logger.error("the journal has moved on: frames were not judged", frames=gap)
            self.missed += gap
        if gap or any(frame.damaged for _, frame in frames):
            self._learn_anew(self._reader.state())
            self.begin_silence()
            self._engine.doubt()
        for _, frame in frames:
            self._judge(frame)
        if frames[-1][1].time >= self._began:
            # Before, it is the past: what came later is known to the journal already.
            self._engine.pass_time(frames[-1][1].time)
        self._position = frames[-1][0]
        self._settle()

    def pass_time(self) -> None:
        """Do what the clock alone brings about.

        Raises:
            StorageError: it can't be kept now.
        """
        if self._position is None:
            return
        self._engine.pass_time(self._clock())
        self._settle()

    def begin_silence(self, away: int | None = None) -> None:
        """Don't count as silence the ``away`` µs in which nobody has listened; None: all of it.

        Either the clock has jumped by that, or this begins only now.
        """
        self._began = self._clock()
        self._engine.begin(self._began, away)

    def flush(self) -> None:
        """Keep all that is known.

        Raises:
            StorageError: it can't be kept now.
        """
        if self._position is not None:
            self._settle(flush=True)

    @property
    def due(self) -> int | None:
        """When the clock alone may bring something about (UTC µs)."""
        times = [one for one in (self._engine.due, self._telling.due) if one is not None]
        return min(times, default=None)

    def _load(self, position: int | None) -> None:
        """Begin with what is kept, as of ``position``."""
        head = self._reader.head()
        if position is None or position > head:
            position = head if self._first is None else min(self._first, head)
            _logger.info("alerts begin with what comes now", position=position)
            with self._book.writing(self._journal, position, 0):
                pass
        self._engine = Engine(lambda device: self._said.get(device, Facts()))
        self._devices.clear()
        self._series.clear()
        self._marks.clear()
        self._orders.clear()
        state = self._reader.state()
        self._learn_anew(state)
        # A file that was put back from a copy must not use numbers that the hub has seen.
        self._book.count_news_from(*RuleBook.from_state(state).told)
        kept = self._book.watches()
        known = [one for one in kept if one[2] in self._marks.get(one[0], ())]
        self._engine.resume((name, subject, one) for name, subject, _, one in known)
        self._engine.gone |= {(name, subject) for name, subject, mark, _ in kept} - {
            (name, subject) for name, subject, _, _ in known
        }
        seen, now = self._book.seen(), self._clock()
        self.begin_silence(now - seen if 0 < seen <= now else None)
        alarms = {key for key, state in self._engine.states() if state.is_alarm}
        self._telling.resume(self._book.open_alerts(), alarms)
        self._renamed = True
        self._position = self.committed = position
        self._settle(flush=True)

    def _learn_anew(self, state: Mapping[str, bytes]) -> None:
        rules = RuleBook.from_state(state)
        self._telling.maintenance = rules.maintenance
        self._learn_profiles(state)
        for name in self._marks.keys() - rules.rules.keys():
            self._change_rule(RuleChanged(name, None))
        for kept in rules.rules.values():
            self._change_rule(RuleChanged(kept.rule.name, encode(kept.rule)))
        registry = Registry.from_state(state)
        there = {device.id for device in registry.devices()}
        for number in self._devices.keys() - there:
            self._engine.remove_device(number)
        self._learn(registry.entries(), 0)
        self._engine.look_anew()

    def _learn_profiles(self, state: Mapping[str, bytes]) -> None:
        self._said = facts_of(Profiles.from_state(state))

    def _judge(self, frame: Frame) -> None:
        engine, now = self._engine, frame.time
        if frame.entries:
            self._learn(frame.entries, now)
        columns = frame.readings
        engine.read_all(columns.series, columns.counts, columns.times, columns.values, now)
        texts = [one for one in frame.entries if isinstance(one, TextReadings) and not one.held]
        for one in texts:
            engine.read(one.series, one.times, one.values, now)
        if engine.listened:
            spoken = {*columns.series, *(one.series for one in texts)}
            known = (self._series[one].device for one in spoken if one in self._series)
            for device in engine.listened.intersection(known):
                engine.hear(device, now)

    def _learn(self, entries: Sequence[Entry], now: int) -> None:
        engine = self._engine
        rules = [one for one in entries if isinstance(one, RuleChanged)]
        for rule in rules:
            # Before devices: it may be that it follows one that is renamed.
            self._change_rule(rule)
        for entry in entries:
            match entry:
                case DeviceChanged(device):
                    if now and device.id in self._devices:
                        # What the owner says of a device may be what has changed.
                        self._learn_profiles(self._reader.state())
                        self._renamed |= self._devices[device.id].name != device.name
                    self._devices[device.id] = device
                    engine.put_device(device)
                case SeriesAdded(series):
                    self._series[series.id] = series
                    engine.put_series(series)
                case DeviceRemoved(number):
                    engine.remove_device(number)
                    self._devices.pop(number, None)
                    self._said.pop(number, None)
                    for one in [s.id for s in self._series.values() if s.device == number]:
                        del self._series[one]
                case PresenceChanged(device, online):
                    engine.be_present(device, online, now)
                    if online:
                        engine.hear(device, now)
                case HubAway(since, until):
                    engine.miss(since, until)
                case AlertAnswered() | MaintenanceChanged() | HubNoticed():
                    self._orders.append(entry)
        if rules:
            engine.look_anew()

    def _change_rule(self, entry: RuleChanged) -> None:
        if entry.rule is None:
            self._engine.remove_rule(entry.name)
            self._marks.pop(entry.name, None)
        else:
            rule = decode(entry.rule)
            self._engine.put_rule(rule, look=False)
            # Whom it is for may change. Earlier versions had a mark of all of it.
            said = encode(msgspec.structs.replace(rule, devices=[], labels=[]))
            self._marks[entry.name] = zlib.crc32(said), zlib.crc32(entry.rule)

    def _settle(self, *, flush: bool = False) -> None:
        """Keep what has changed, at once if people should know of it."""
        now = self._clock()
        transitions = [one for one in self._engine.take() if one.old.is_alarm or one.new.is_alarm]
        waits = self._orders or self._renamed or self._telling.is_due(now)
        urgent = bool(transitions or waits)
        late = clocks.monotonic() - self._flushed >= FLUSH_SECONDS
        if not (urgent or flush or (late and self._position != self.committed)):
            return
        assert self._position is not None
        try:
            with self._book.writing(self._journal, self._position, now) as writing:
                self._write(writing, transitions, now)
        except StorageError:
            # What is in memory is more than what is kept: it is judged again.
            self._position = None
            raise
        self._engine.changed.clear()
        self._engine.gone.clear()
        self._orders.clear()
        self._renamed = False
        self.committed = self._position
        self._flushed = clocks.monotonic()

    def _write(self, writing: Writing, transitions: Sequence[Transition], now: int) -> None:
        engine, telling = self._engine, self._telling
        engine.settle()
        if self._renamed:
            telling.follow(writing, self._devices)
        for one in transitions:
            device, series = self._subject(one.subject)
            telling.take(writing, one, device, series, now)
        for order in self._orders:
            if isinstance(order, HubNoticed):
                telling.announce(writing, order, now)
            else:
                telling.obey(writing, order, now)
        telling.remind(writing, now)
        writing.drop(engine.gone)
        writing.keep(
            (watch.rule.name, watch.subject, self._marks[watch.rule.name][0], watch.keep())
            for watch in engine.changed
        )

    def _subject(self, subject: int) -> tuple[Device | None, Series | None]:
        if subject < 0:
            return self._devices.get(-subject), None
        series = self._series.get(subject)
        return (self._devices.get(series.device) if series is not None else None), series
