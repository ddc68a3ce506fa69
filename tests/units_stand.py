"""A hub in the test's own process that speaks with simulated units over real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from motehub.command import Command, CommandState
from motehub.contracts import Ground, Places
from motehub.core.hub import Hub
from motehub.frames import EventOccurred, Rejected, SeriesAdded
from motehub.journals.sqlite import SqliteLogReader
from motehub.model import Device
from motehub.quantities import Duration
from motehub.transports._units_settings import Settings
from motehub.transports.units import Units
from motehub.units import Unit, UnitKind
from tests import ports
from tests.harness import PATIENCE
from tests.unit.core.support import FakeClock, frames, open_hub

HOST: Final = "127.0.0.1"
ALL: Final = 1_000_000
"""So many numbers no board says in a test, however long that takes."""
# Turns of the event loop from a connection that was accepted to the call of its callback.
_ACCEPTING: Final = 10


class SystemClock(FakeClock):
    """The real time, in UTC microseconds."""

    def __call__(self) -> int:
        return time.time_ns() // 1000


class UnitsHub:
    """A hub with the transport ``units``; what it has stored is read from its journal."""

    def __init__(self, folder: Path, hub: Hub, units: Units) -> None:
        self.folder = folder
        self.hub = hub
        self.units = units

    def values(self, device: str, metric: str = "value") -> list[float]:
        """Return what is durable of a series, oldest first."""
        id_ = self.hub.registry.by_name(device).id
        wanted: set[int] = set()
        found: list[float] = []
        for _, frame in frames(self.folder):
            for entry in frame.entries:
                if isinstance(entry, SeriesAdded) and entry.series.device == id_:
                    wanted |= {entry.series.id} if entry.series.metric == metric else set()
            start = 0
            columns = frame.readings
            for series, count in zip(columns.series, columns.counts, strict=True):
                if series in wanted:
                    found += columns.values[start : start + count]
                start += count
        return found

    def events(self, device: str, *kinds: str) -> list[tuple[str, str]]:
        """Return kind and text of the events of a device, oldest first."""
        id_ = self.hub.registry.by_name(device).id
        return [
            (one.kind, one.text)
            for _, frame in frames(self.folder)
            for one in frame.entries
            if isinstance(one, EventOccurred) and one.device == id_ and one.kind in kinds
        ]

    def rejected(self) -> list[tuple[bytes, str]]:
        """Return payload and reason of what was rejected."""
        return [
            (one.payload, one.reason)
            for _, frame in frames(self.folder)
            for one in frame.entries
            if isinstance(one, Rejected)
        ]

    def device(self, name: str) -> Device:
        return self.hub.registry.by_name(name)

    def is_online(self, name: str) -> bool:
        return bool(self.device(name).online)

    def trouble(self, name: str) -> str:
        return self.units.unit(name).trouble

    async def told(self, device: str, payload: str, seconds: float = PATIENCE) -> Command:
        """Give a command, and return it when it stays as it is."""
        command = await self.hub.command(device, payload=payload, seconds=seconds)
        return await self.over(command)

    async def over(self, command: Command) -> Command:
        """Return the command when it stays as it is."""
        find = self.hub.commands.book.find
        await until(lambda: find(command.id).is_over, "the command is over")
        return find(command.id)


async def until(condition: Callable[[], object], what: str) -> None:
    """Return as soon as ``condition`` holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def units_hub(folder: Path, *units: Unit, **keys: Any) -> AsyncIterator[UnitsHub]:
    """Open a hub with ``units``; ``keys`` are further ones of the section."""
    clock = SystemClock()
    keys = {"longest_pause": Duration(0.1)} | keys
    async with open_hub(folder, clock) as (hub, _):
        log = SqliteLogReader(folder)
        ground = Ground(
            hub,
            clock,
            None,  # type: ignore[arg-type]  # it opens no port
            Places(1000),
            hub.commands,
            log.state,
            hub.tokens,
            hub.registry,
            False,
        )
        with hub.commands.kept_in_time():
            async with Units(Settings(unit=list(units), **keys), ground) as transport:
                await until(lambda: hub.registry.count() >= len(transport.units()), "devices")
                yield UnitsHub(folder, hub, transport)
        log.close()


def read(port: int, name: str = "adc", **keys: Any) -> Unit:
    """Return a unit that sends readings."""
    return Unit(address=HOST, port=port, name=name, **keys)


def updatable(port: int, name: str = "lamp", **keys: Any) -> Unit:
    """Return a unit that takes payloads."""
    return Unit(address=HOST, port=port, name=name, kind=UnitKind.UPDATABLE, **keys)


def both(port: int, name: str = "both", **keys: Any) -> Unit:
    """Return a unit that does both."""
    return Unit(address=HOST, port=port, name=name, kind=UnitKind.BOTH, **keys)


def free_port() -> int:
    """Return a port on which nobody listens."""
    return ports.free_port()


def is_sent(command: Command) -> bool:
    return command.state is CommandState.SENT


class Peer:
    """A board that the test itself plays: it listens, and speaks when it is told to.

    ``most`` is how many connections it has had at the same time.
    """

    def __init__(self) -> None:
        self.port = 0
        self.most = 0
        self.now = 0
        self._lines: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
            asyncio.Queue()
        )
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server

    async def __aenter__(self) -> Peer:
        self._server = await asyncio.start_server(self._take, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        # The hub connects again at any moment: what was accepted last may be on its way to us.
        for _turn in range(_ACCEPTING):
            await asyncio.sleep(0)
        self._server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(one.wait_closed() for one in self._writers), return_exceptions=True)

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self.now += 1
        self.most = max(self.most, self.now)
        self._lines.put_nowait((reader, writer))

    async def connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return the next connection."""
        async with asyncio.timeout(PATIENCE):
            return await self._lines.get()

    async def end(self, writer: asyncio.StreamWriter) -> None:
        """Close a connection."""
        self.now -= 1
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
