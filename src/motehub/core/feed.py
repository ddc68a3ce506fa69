"""What has just been committed, for whoever looks on: live pages, channels, programs.

Nothing is stored for good here. News is made once for all listeners, a few times a second at
most, and costs nothing while nobody listens.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Final, Protocol

import msgspec

from motehub.command import Command
from motehub.core.command_book import commands_of_state
from motehub.core.people import arranged_in
from motehub.core.registry import Registry
from motehub.frames import (
    Batch,
    Columns,
    DeviceChanged,
    DeviceRemoved,
    Entry,
    EventOccurred,
    PresenceChanged,
    SeriesAdded,
    TextReadings,
)
from motehub.model import Device, Series

INTERVAL: Final = 0.1
"""Seconds between two pieces of news; what comes after a silence is told at once."""

MOST_TOLD: Final = 500
"""How many listeners are told something in a second: where there are more than 50, each is told
less often, so that they never take more of the hub's time than a few per cent."""

TOLD_AT_ONCE: Final = 8
"""How many are told at a time: whoever sends readings has the time until the next few."""

_PAUSE: Final = TOLD_AT_ONCE / MOST_TOLD / 2

MOST_POINTS: Final = 64
"""Readings of a series in one piece of news: the newest stay."""

POINTS_OF_CROWD: Final = 16
"""The same where more than 50 listen: in a flood the bytes for each of them cost the most."""

CROWD: Final = int(MOST_TOLD * INTERVAL)
"""How many listeners can be told each piece of news at the usual pace."""

MOST_EVENTS: Final = 500
"""Events in one piece of news: the newest stay."""

BACKLOG: Final = 100
"""Pieces of news that wait for a listener: the oldest go, and are counted."""


class SeriesNews(msgspec.Struct, frozen=True):
    """New readings of one series in the order of their arrival; times in UTC µs.

    ``skipped`` older ones are left out: the history has them.
    """

    series: Series
    times: list[int]
    values: list[float | str]
    skipped: int = 0


class DeviceNews(msgspec.Struct):
    """What is new of one device, which is described as it is now.

    ``changed`` says that it is new, or that its name, admission, presence or profile may have
    changed; ``removed`` that it is gone. ``former`` is the name that it had before.
    """

    device: Device
    former: str | None = None
    changed: bool = False
    removed: bool = False
    readings: list[SeriesNews] = msgspec.field(default_factory=list)
    commands: list[Command] = msgspec.field(default_factory=list)
    events: list[EventOccurred] = msgspec.field(default_factory=list)


class News(msgspec.Struct, frozen=True):
    """What was committed up to ``position`` of the journal since the news before, by device.

    ``arranged`` are users who have chosen another order of devices. All listeners get the same
    object: it must not be changed.
    """

    position: int
    devices: dict[int, DeviceNews]
    arranged: frozenset[str] = frozenset()


class Commits(Protocol):
    """The part of the journal that tells of each commit."""

    def watch(self, watcher: Callable[[int, Sequence[Batch]], None]) -> None:
        """Call ``watcher`` with position and batches after each commit."""
        ...

    def unwatch(self, watcher: Callable[[int, Sequence[Batch]], None]) -> None:
        """Call it no more."""
        ...


class Listener:
    """One who looks on; use it as a context manager.

    ``lost`` counts pieces of news that it was too slow for: it should look at the history.
    ``resumed`` says that it heard all that was committed after the position it named, without
    a gap.
    """

    def __init__(self, feed: Feed, after: int | None) -> None:
        self._feed = feed
        self._after = after
        self.resumed = False
        self._waiting: deque[News] = deque()
        self._there = asyncio.Event()
        self.lost = 0

    def __enter__(self) -> Listener:
        """Begin to listen."""
        self.resumed = self._feed._join(self, self._after)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Listen no more."""
        self._feed._leave(self)

    async def next(self) -> News:
        """Return the oldest news that waits, when there is some."""
        while not self._waiting:
            self._there.clear()
            await self._there.wait()
        return self._waiting.popleft()

    def take(self) -> News | None:
        """Return the oldest news that waits, or None."""
        return self._waiting.popleft() if self._waiting else None

    def _put(self, news: News) -> None:
        if len(self._waiting) >= BACKLOG:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append(news)
        self._there.set()


class Feed:
    """Makes news of what ``commits`` tells, for listeners (see :class:`Listener`)."""

    def __init__(self, registry: Registry, commits: Commits) -> None:
        self._registry = registry
        self._commits = commits
        self._listeners: set[Listener] = set()
        self._devices: dict[int, Device] = {}
        self._series: dict[int, Series] = {}
        self._former: dict[int, str] = {}
        self._gathered = _Gathered()
        self._recent: deque[News] = deque()
        # The recent news is all that there was after this position; None while nobody listens.
        self._since: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._passing: asyncio.TimerHandle | None = None
        self._to_tell: list[Listener] = []
        self._next = 0.0

    def listen(self, after: int | None = None) -> Listener:
        """Return a new listener, which hears of what is committed once it is entered.

        One that has heard of everything up to the position ``after`` is told what came then, if
        somebody has listened all the while and it is not long ago.
        """
        return Listener(self, after)

    def _join(self, listener: Listener, after: int | None) -> bool:
        if not self._listeners:
            self._learn(self._registry.entries())
            self._commits.watch(self._look)
        self._listeners.add(listener)
        resumed = after is not None and self._since is not None and after >= self._since
        if after is not None and resumed:
            for news in self._recent:
                if news.position > after:
                    listener._put(news)
        return resumed

    def _leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)
        if self._listeners:
            return
        self._commits.unwatch(self._look)
        self._devices.clear()
        self._series.clear()
        self._former.clear()
        self._gathered = _Gathered()
        self._recent.clear()
        self._since = None
        for handle in (self._timer, self._passing):
            if handle is not None:
                handle.cancel()
        self._timer = self._passing = None

    def _look(self, position: int, batches: Sequence[Batch]) -> None:
        # Looked through when it is told: a flood must not pay for each commit.
        self._gathered.position = position
        self._gathered.batches += batches
        if self._since is None:
            self._since = position - 1
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, self._next - loop.time()), self._tell)

    def _tell(self) -> None:
        self._timer = None
        if self._passing is not None:
            # More listeners than there is time for: nobody is told twice before all are once.
            self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._tell)
            return
        self._next = asyncio.get_running_loop().time() + self._interval
        gathered, self._gathered = self._gathered, _Gathered()
        for batch in gathered.batches:
            if batch.entries:
                self._learn(batch.entries)
        gathered.look_through(MOST_POINTS if len(self._listeners) <= CROWD else POINTS_OF_CROWD)
        news = self._news(gathered)
        if news.devices or news.arranged:
            if len(self._recent) >= BACKLOG:
                self._since = self._recent.popleft().position
            self._recent.append(news)
            self._to_tell = list(self._listeners)
            self._pass_on(news)

    @property
    def _interval(self) -> float:
        return max(INTERVAL, len(self._listeners) / MOST_TOLD)

    def _pass_on(self, news: News) -> None:
        """Tell the next few, and the others when those who send had a turn."""
        now, self._to_tell = self._to_tell[:TOLD_AT_ONCE], self._to_tell[TOLD_AT_ONCE:]
        for listener in now:
            if listener in self._listeners:
                listener._put(news)
        self._passing = None
        if self._to_tell:
            self._passing = asyncio.get_running_loop().call_later(_PAUSE, self._pass_on, news)

    def _news(self, gathered: _Gathered) -> News:
        found: dict[int, DeviceNews] = {}

        def of(device: int) -> DeviceNews | None:
            if device not in found and device in self._devices:
                found[device] = DeviceNews(self._devices[device])
            return found.get(device)

        for number, points in gathered.points.items():
            series = self._series.get(number)
            if series is not None and (one := of(series.device)) is not None:
                one.readings.append(points.news(series))
        for device in gathered.changed:
            if (one := of(device)) is not None:
                one.changed = True
                one.former = self._former.pop(device, None)
        for command in gathered.commands.values():
            if (one := of(command.device)) is not None:
                one.commands.append(command)
        for event in gathered.events:
            if (one := of(event.device)) is not None:
                one.events.append(event)
        for number in gathered.removed:
            if (one := of(number)) is not None:
                one.removed = True
                self._forget(number)
        return News(gathered.position, found, frozenset(gathered.arranged))

    def _learn(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if isinstance(entry, DeviceChanged):
                known = self._devices.get(entry.device.id)
                if known is not None and known.name != entry.device.name:
                    self._former.setdefault(known.id, known.name)
                self._devices[entry.device.id] = entry.device
            elif isinstance(entry, SeriesAdded):
                self._series[entry.series.id] = entry.series
            elif isinstance(entry, PresenceChanged) and entry.device in self._devices:
                device = self._devices[entry.device]
                self._devices[entry.device] = msgspec.structs.replace(device, online=entry.online)

    def _forget(self, device: int) -> None:
        del self._devices[device]
        for series in [one.id for one in self._series.values() if one.device == device]:
            del self._series[series]


class _Points:
    """The newest readings of a series, newest first, and how many there are in all."""

    __slots__ = ("count", "room", "times", "values")

    def __init__(self, room: int) -> None:
        self.times: list[int] = []
        self.values: list[float | str] = []
        self.count = 0
        self.room = room

    def add_older(self, times: Sequence[int], values: Sequence[float | str]) -> None:
        """Add what came before, the newest of it if there is not enough room."""
        room, before = self.room, len(self.times)
        self.times += reversed(times[-room:])
        self.values += reversed(values[-room:])
        self.room -= len(self.times) - before

    def news(self, series: Series) -> SeriesNews:
        skipped = self.count - len(self.times)
        return SeriesNews(series, self.times[::-1], self.values[::-1], skipped)


class _Gathered:
    """What has been committed since the last news: batches, and what was found in them."""

    def __init__(self) -> None:
        self.position = 0
        self.batches: list[Batch] = []
        self.points: dict[int, _Points] = {}
        self.changed: dict[int, None] = {}
        self.removed: list[int] = []
        self.commands: dict[str, Command] = {}
        self.events: deque[EventOccurred] = deque(maxlen=MOST_EVENTS)
        self.arranged: set[str] = set()

    def look_through(self, most: int) -> None:
        """Find what is news: the ``most`` newest readings of a series, all else in its order."""
        for batch in reversed(self.batches):
            if batch.entries:
                self._add_texts(batch.entries, most)
            self._add_readings(batch.readings, most)
        for batch in self.batches:
            for entry in batch.entries:
                self._add_entry(entry)
            if batch.state:
                kept = {key: one for key, one in batch.state.items() if one is not None}
                for command in commands_of_state(kept):
                    self.commands[command.id] = command
                self.arranged.update(arranged_in(batch.state))

    def _add_readings(self, columns: Columns, most: int) -> None:
        known, end = self.points, len(columns.times)
        for series, count in zip(reversed(columns.series), reversed(columns.counts), strict=True):
            points = known.get(series)
            if points is None:
                points = known[series] = _Points(most)
            points.count += count
            start = end - count
            if points.room:
                first = max(start, end - most)
                points.add_older(columns.times[first:end], columns.values[first:end])
            end = start

    def _add_texts(self, entries: Sequence[Entry], most: int) -> None:
        for entry in reversed(entries):
            if isinstance(entry, TextReadings) and not entry.held:
                points = self.points.setdefault(entry.series, _Points(most))
                points.count += len(entry.times)
                if points.room:
                    points.add_older(entry.times, entry.values)

    def _add_entry(self, entry: Entry) -> None:
        if isinstance(entry, EventOccurred):
            self.events.append(entry)
        elif isinstance(entry, DeviceChanged):
            self.changed[entry.device.id] = None
        elif isinstance(entry, PresenceChanged):
            self.changed[entry.device] = None
        elif isinstance(entry, DeviceRemoved):
            self.removed.append(entry.device)
