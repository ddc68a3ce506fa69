"""Keeps one connection to a unit that sends readings, for as long as the unit is configured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from motehub.logs import Logger
from motehub.model import Left
from motehub.protocols.unit_lines import UnitLineDecoder
from motehub.transports._units_common import Common, source_of, with_jitter
from motehub.transports._units_link import Link, open_link
from motehub.transports._units_settings import conversion_of
from motehub.transports._units_socket import connect, reason_of
from motehub.units import Unit, UnitTest

TEST_LINES: Final = 10
"""A test ends when so many lines have come, and shows no more."""

_FIRST_PAUSE: Final = 0.5
_TEST_BYTES: Final = 4_096

_logger: Final = Logger("motehub.units")


class Reader:
    """Connects, and connects again after a pause that grows until the unit says something.

    There is never more than one connection: a second one would wait in the unit's backlog.
    """

    def __init__(self, unit: Unit, common: Common) -> None:
        self._unit = unit
        self._common = common
        self._source = source_of(unit)
        self._wake = asyncio.Event()
        self._taps: set[Callable[[bytes], None]] = set()
        self._task: asyncio.Task[None] | None = None
        self.link: Link | None = None
        self.trouble = ""
        self.state = "waiting"
        self.readings = 0

    def start(self) -> None:
        """Begin to connect."""
        self._task = asyncio.create_task(self._run(), name=f"unit {self._unit.key}")

    async def stop(self, reason: str) -> None:
        """End the connection, and make no other."""
        if self._task is None:
            return
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._task = None
        if (link := self.link) is not None:
            link.end(reason)
            self._part(link, await link.ended)

    def hurry(self) -> None:
        """Connect now, if there is no connection."""
        self._wake.set()

    async def test(self, seconds: float) -> UnitTest:
        """Return what the unit says in ``seconds``, or why there is no connection."""
        began = time.monotonic()
        heard = bytearray()
        enough = asyncio.Event()

        def tap(data: bytes) -> None:
            heard.extend(data[: _TEST_BYTES - len(heard)])
            if not data or heard.count(b"\n") >= TEST_LINES:
                enough.set()

        self._taps.add(tap)
        self.hurry()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await enough.wait()
        finally:
            self._taps.discard(tap)
        connected = self.link is not None or bool(heard)
        trouble = "" if connected else self.trouble or "it does not answer"
        lines = whole_lines(bytes(heard))[:TEST_LINES]
        return UnitTest(connected, lines, trouble, time.monotonic() - began)

    async def _run(self) -> None:
        longest = float(self._common.settings.longest_pause)
        pause = first = min(_FIRST_PAUSE, longest)
        while True:
            if await self._converse():
                pause = first
            self.state = "waiting"
            with suppress(TimeoutError):
                async with asyncio.timeout(with_jitter(pause)):
                    await self._wake.wait()
            pause = min(2 * pause, longest)

    async def _converse(self) -> bool:
        """Hold one connection; tell whether the unit has said something on it."""
        self._wake.clear()
        common, counts = self._common, self._common.counts
        try:
            link = await self._connect()
        except OSError as error:
            counts["connections_failed"] += 1
            reason = f"not reached: {reason_of(error)}"
            self._note(reason, "not connected")
            device = common.ground.devices.by_identity(self._source.identity)
            if device is None or device.online is None:
                common.pump.put(self._source, [Left(reason, was_sought=True)])
            return False
        counts["connections"] += 1
        counts["connected"] += 1
        self.link, self.state = link, "connected"
        # Shielded: who stops this still wants to hear how the connection ended.
        reason = await asyncio.shield(link.ended)
        counts["connections_lost"] += 1
        self._part(link, reason)
        self._note(reason, "connection lost")
        return link.is_online

    async def _connect(self) -> Link:
        common, settings = self._common, self._common.settings
        async with common.gate:
            self.state = "connecting"
            if not common.ground.places.take():
                raise OSError("the hub has no room for another connection")
            try:
                connection = await connect(
                    self._unit.address, self._unit.port, settings.connect_timeout
                )
                link = Link(
                    self._source,
                    UnitLineDecoder(conversion_of(self._unit), keeps_text=common.ground.passes_on),
                    common.pump,
                    common.ground.clock,
                    rate=settings.readings_per_second,
                    silence=self._unit.longest_silence,
                    hear=self._hear,
                )
                await open_link(connection, link)
            except BaseException:
                common.ground.places.give_back()
                raise
            return link

    def _part(self, link: Link, reason: str) -> None:
        self.link = None
        self._common.counts["connected"] -= 1
        self._common.ground.places.give_back()
        if link.is_online:
            self._common.pump.put(self._source, [Left(reason)])

    def _note(self, reason: str, event: str) -> None:
        if reason != self.trouble:
            # Once, and not again with every attempt of a night.
            _logger.info(event, unit=self._unit.key, reason=reason)
        self.trouble = reason
        for tap in self._taps:
            tap(b"")

    def _hear(self, data: bytes, readings: int) -> None:
        self.readings += readings
        counts = self._common.counts
        counts["bytes"] += len(data)
        counts["readings"] += readings
        if readings and self.trouble:
            _logger.info("connected", unit=self._unit.key)
            self.trouble = ""
        for tap in self._taps:
            tap(data)


def whole_lines(heard: bytes) -> list[str]:
    """Return the lines in what a unit said, with what can't be read escaped."""
    lines = heard.split(b"\n")[:-1]
    texts = (line.rstrip(b"\r").decode("utf-8", "backslashreplace") for line in lines)
    return [
        text if text.isprintable() else text.encode("unicode_escape").decode() for text in texts
    ]
