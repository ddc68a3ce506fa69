"""What is committed, as server-sent events (HTML standard, § 9.2) for pages and programs.

Each piece of news is written once for all who look on, device by device.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
from litestar.types import Receive, Scope, Send

from motehub import __version__
from motehub.core.feed import DeviceNews, Feed, Listener, News
from motehub.core.moments import iso
from motehub.core.people import People
from motehub.core.shapes import show_command
from motehub.core.tokens import Tokens
from motehub.logs import Logger
from motehub.model import MICROSECONDS, Admission, Kind, Token
from motehub.model import Scope as TokenScope
from motehub.web.problems import unavailable

MOST_STREAMS: Final = 2_000
"""How many may look on at the same time."""

MOST_OF_ONE: Final = 600
"""How many of these one person, in all browsers, or one token may open."""

COMMENT_SECONDS: Final = 15.0
"""Longest silence of a stream: then a comment shows that it lives."""

STALL_SECONDS: Final = 30.0
"""Longest time in which a client takes nothing."""

# Who is further behind has it written once more.
_WRITTEN_KEPT: Final = 10

_HEADERS: Final = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    # Proxies that buffer answers would hold news back.
    (b"x-accel-buffering", b"no"),
]

_logger = Logger("motehub.live")


class LiveReadings(msgspec.Struct, frozen=True):
    """New readings of a metric in the order of arrival; times in seconds since 1970.

    ``skipped`` older ones are left out: the history has them.
    """

    metric: str
    unit: str
    kind: Kind
    times: list[float]
    values: list[float | str]
    skipped: int


class LiveDevice(msgspec.Struct, frozen=True):
    """Data of the event ``readings``: what a device measured."""

    device: str
    series: list[LiveReadings]


class LivePresence(msgspec.Struct, frozen=True):
    """Data of the events ``device`` and ``removed``: how a device is now.

    ``former`` is the name that it had before, if it has another one now.
    """

    device: str
    admission: Admission
    dialect: str
    online: bool | None
    former: str | None = None


class LiveEvent(msgspec.Struct, frozen=True):
    """Data of the event ``event``: something that happened to a device."""

    device: str
    time: str
    kind: str
    text: str


class Hello(msgspec.Struct, frozen=True):
    """Data of the first event, ``hello``.

    ``resumed`` says that what follows the ``Last-Event-ID`` comes without a gap. Otherwise the
    history knows what happened before, and the stream what happens from now on. ``version`` is
    motehub's: pages that were opened before an upgrade load themselves anew.
    """

    resumed: bool
    version: str = __version__


class LiveStreams:
    """Everyone who looks on. ``clock`` returns UTC microseconds."""

    def __init__(
        self, feed: Feed, tokens: Tokens, people: People, clock: Callable[[], int]
    ) -> None:
        self._feed = feed
        self._tokens = tokens
        self._people = people
        self._clock = clock
        self._written: OrderedDict[int, dict[tuple[int | None, bool], bytes]] = OrderedDict()
        self._tasks: dict[asyncio.Task[None], str | bytes] = {}
        self._ended = False

    def stream(self, token: Token, devices: frozenset[str] | None, last: int | None) -> LiveStream:
        """Return the answer to one who looks on, at ``devices`` or at all that ``token`` may see.

        ``last`` is the position of the newest news it has heard of.

        Raises:
            Problem: too many do already, or too many of this one, or the hub stops.
        """
        if self._ended:
            raise unavailable("The hub is stopping.", 5)
        if len(self._tasks) >= MOST_STREAMS:
            raise unavailable(f"{MOST_STREAMS} streams are open already.", 30)
        who = self._who(token)
        if sum(one == who for one in self._tasks.values()) >= MOST_OF_ONE:
            raise unavailable(f"You have {MOST_OF_ONE} streams open already: close some.", 30)
        return LiveStream(self, token, devices, last)

    def end(self) -> None:
        """End all streams, since the hub stops; their clients come back."""
        self._ended = True
        for task in list(self._tasks):
            task.cancel()

    def _who(self, token: Token) -> str | bytes:
        """Return what is the same for all streams of one person, or of one token."""
        return token.name if self._people.has(token) else token.digest

    def _knows(self, token: Token) -> bool:
        return self._tokens.has(token) or self._people.has(token)

    def _lines(self, news: News, device: int, *, commands: bool) -> bytes:
        """Return the events of one device, which are written when they are first asked for."""
        key = device, commands
        written = self._written_of(news)
        if key not in written:
            written[key] = b"".join(_events_of(news.devices[device], commands=commands))
        return written[key]

    def _all_lines(self, news: News, *, commands: bool) -> bytes:
        """Return the events of all devices, as most who look on see them."""
        key = None, commands
        written = self._written_of(news)
        if key not in written:
            written[key] = b"".join(
                line for one in news.devices.values() for line in _events_of(one, commands=commands)
            )
        return written[key]

    def _written_of(self, news: News) -> dict[tuple[int | None, bool], bytes]:
        written = self._written.get(news.position)
        if written is None:
            written = self._written[news.position] = {}
            if len(self._written) > _WRITTEN_KEPT:
                self._written.popitem(last=False)
        return written


class LiveStream:
    """One who looks on, as an ASGI application."""

    def __init__(
        self,
        streams: LiveStreams,
        token: Token,
        devices: frozenset[str] | None,
        last: int | None,
    ) -> None:
        self._streams = streams
        self._token = token
        self._devices = devices
        self._last = last

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what is new until the client goes, the token ends or the hub stops."""
        follow = asyncio.create_task(self._follow(send))
        gone = asyncio.create_task(_client_gone(receive))
        self._streams._tasks[follow] = self._streams._who(self._token)
        try:
            await asyncio.wait({follow, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._streams._tasks.pop(follow, None)
            ended = follow.done()
            for task in (follow, gone):
                task.cancel()
            await asyncio.gather(follow, gone, return_exceptions=True)
        if ended:
            with suppress(TimeoutError):
                async with asyncio.timeout(STALL_SECONDS):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _follow(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        try:
            with self._streams._feed.listen(self._last) as listener:
                await _write(send, _event("hello", Hello(listener.resumed)))
                while True:
                    news = await self._next(listener)
                    if not self._may_listen():
                        return
                    await _write(send, news)
        except TimeoutError:
            _logger.info("a client takes nothing of its stream", token=self._token.name)

    async def _next(self, listener: Listener) -> bytes:
        """Return what comes next: news, or a comment when there has been none for long."""
        lost = listener.lost
        try:
            async with asyncio.timeout(COMMENT_SECONDS):
                news = await listener.next()
        except TimeoutError:
            return b":\n\n"
        commands = self._token.allows(TokenScope.CONTROL)
        parts = [_event("missed", None)] if listener.lost > lost else []
        if self._token.name in news.arranged and self._streams._people.has(self._token):
            parts.append(_event("arrangement", None))
        if self._devices is None and not self._token.devices:
            parts.append(self._streams._all_lines(news, commands=commands))
            return b"".join((*parts, b"id: %d\n\n" % news.position))
        for number, one in news.devices.items():
            if self._devices and one.former in self._devices:
                self._devices |= {one.device.name}
            if self._sees(one.device.name):
                parts.append(self._streams._lines(news, number, commands=commands))
        parts.append(b"id: %d\n\n" % news.position)
        return b"".join(parts)

    def _sees(self, device: str) -> bool:
        if self._devices is not None and device not in self._devices:
            return False
        return self._token.may_read(device)

    def _may_listen(self) -> bool:
        expires = self._token.expires
        if expires is not None and expires <= self._streams._clock():
            return False
        return self._streams._knows(self._token)


async def _write(send: Send, body: bytes) -> None:
    async with asyncio.timeout(STALL_SECONDS):
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def _client_gone(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    with suppress(OSError):
        while (await receive())["type"] != "http.disconnect":
            pass


def _events_of(news: DeviceNews, *, commands: bool) -> list[bytes]:
    name = news.device.name
    now = news.device
    device = LivePresence(name, now.admission, now.dialect, now.online, news.former)
    if news.removed:
        return [_event("removed", device)]
    events = [_event("device", device)] if news.changed else []
    if news.readings:
        series = [
            LiveReadings(
                one.series.metric,
                one.series.unit,
                one.series.kind,
                [time / MICROSECONDS for time in one.times],
                one.values,
                one.skipped,
            )
            for one in news.readings
        ]
        events.append(_event("readings", LiveDevice(name, series)))
    if commands:
        events += [_event("command", show_command(one, news.device)) for one in news.commands]
    events += [
        _event("event", LiveEvent(name, iso(one.time), one.kind, one.text)) for one in news.events
    ]
    return events


def _event(kind: str, data: msgspec.Struct | None) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode(data))
