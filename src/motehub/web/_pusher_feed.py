"""The hub's news on its own channels, while somebody hears one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from motehub.core.feed import DeviceNews, Feed, News, SeriesNews
from motehub.core.moments import iso
from motehub.core.shapes import show_command
from motehub.logs import Logger
from motehub.model import MICROSECONDS
from motehub.protocols.pusher.application import Application
from motehub.protocols.pusher.messages import as_text
from motehub.web._pusher_access import Grants
from motehub.web._pusher_channels import DEVICE, DEVICES, channel_of
from motehub.web._pusher_socket import Outbox
from motehub.web.live import LiveDevice, LiveEvent, LivePresence, LiveReadings

READINGS: Final = "readings"
STATE: Final = "state"
REMOVED: Final = "removed"
COMMAND: Final = "command"
EVENT: Final = "event"

_logger = Logger("motehub.pusher")


class CommandNews(msgspec.Struct, frozen=True):
    """Where a command to a device stands; what it says is for those who may give commands."""

    id: str
    device: str
    state: str
    over: bool
    changed: str
    reason: str


class FeedChannels:
    """Publishes the news of ``feed`` on channels of ``application``; ``clock`` in µs.

    It listens only while somebody hears one of them, and waits until everybody has been written
    to: what comes meanwhile is gathered by the feed.
    """

    def __init__(
        self,
        application: Application,
        feed: Feed,
        grants: Grants,
        outbox: Outbox,
        clock: Callable[[], int],
    ) -> None:
        self._application = application
        self._feed = feed
        self._grants = grants
        self._outbox = outbox
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def look(self, channel: str) -> None:
        """Begin or stop to listen, since somebody came to ``channel`` or everybody left it."""
        if channel != DEVICES and not channel.startswith(DEVICE):
            return
        application = self._application
        if application.hears(DEVICES) or application.hears_any(DEVICE):
            if self._task is None:
                self._task = asyncio.create_task(self._follow(), name="pusher feed")
        elif self._task is not None:
            self._task.cancel()
            self._task = None

    async def end(self) -> None:
        """Listen no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _follow(self) -> None:
        with self._feed.listen() as listener:
            lost = 0
            while True:
                news = await listener.next()
                if listener.lost > lost:
                    _logger.warning("channels are too slow for the news", lost=listener.lost - lost)
                    lost = listener.lost
                self._grants.check(self._clock())
                try:
                    await self._publish(news)
                except Exception as error:
                    # It is lost to those who look on now; the history has it.
                    _logger.error("news not told", fault=repr(error)[:500])

    async def _publish(self, news: News) -> None:
        application, now = self._application, self._clock()
        everybody = application.hears(DEVICES)
        for one in news.devices.values():
            channel = channel_of(one.device.name)
            if everybody and (one.changed or one.removed):
                event = REMOVED if one.removed else STATE
                application.publish(DEVICES, event, as_text(_presence(one)), now)
            if application.hears(channel):
                for event, data in _events_of(one, application.limits.event_bytes):
                    application.publish(channel, event, data, now)
            await self._outbox.settled()


def _events_of(news: DeviceNews, most: int) -> Iterator[tuple[str, str]]:
    """Return what is told of a device: the kind and the data of each event."""
    name = news.device.name
    if news.removed:
        yield REMOVED, as_text(_presence(news))
        return
    if news.changed:
        yield STATE, as_text(_presence(news))
    yield from ((READINGS, data) for data in readings_events(name, news.readings, most))
    for command in news.commands:
        shown = show_command(command, news.device)
        told = CommandNews(
            shown.id, name, shown.state.value, shown.over, shown.changed, shown.reason
        )
        yield COMMAND, as_text(told)
    for event in news.events:
        yield EVENT, as_text(LiveEvent(name, iso(event.time), event.kind, event.text))


def readings_events(device: str, readings: list[SeriesNews], most: int) -> list[str]:
    """Return the data of as many events as it takes, of about ``most`` bytes at most.

    Of a series that needs more than that alone the newest readings stay.
    """
    events: list[str] = []
    together: list[LiveReadings] = []
    size = 0
    for one in readings:
        shown, length = _within(one, most)
        if together and size + length > most:
            events.append(as_text(LiveDevice(device, together)))
            together, size = [], 0
        together.append(shown)
        size += length
    if together:
        events.append(as_text(LiveDevice(device, together)))
    return events


def _within(news: SeriesNews, most: int) -> tuple[LiveReadings, int]:
    """Return the newest readings of a series that have room, and their size."""
    series = news.series
    times, values, skipped = news.times, news.values, news.skipped
    while True:
        seconds = [time / MICROSECONDS for time in times]
        shown = LiveReadings(series.metric, series.unit, series.kind, seconds, values, skipped)
        size = len(msgspec.json.encode(shown))
        if size <= most or not times:
            return shown, size
        cut = (len(times) + 1) // 2
        times, values, skipped = times[cut:], values[cut:], skipped + cut


def _presence(news: DeviceNews) -> LivePresence:
    device = news.device
    return LivePresence(device.name, device.admission, device.dialect, device.online)
