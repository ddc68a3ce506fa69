"""Simulated units: boards that listen, as their firmware does; ``docs/protocols/units.md``.

Each has one connection at a time. Others wait in its backlog until that is over.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import Final, Self

import msgspec

from motehub.errors import OwnerError

COLOURS: Final = {
    "black": "#000000",
    "silver": "#c0c0c0",
    "gray": "#808080",
    "white": "#ffffff",
    "maroon": "#800000",
    "red": "#ff0000",
    "purple": "#800080",
    "fuchsia": "#ff00ff",
    "green": "#008000",
    "lime": "#00ff00",
    "olive": "#808000",
    "yellow": "#ffff00",
    "navy": "#000080",
    "blue": "#0000ff",
    "teal": "#008080",
    "aqua": "#00ffff",
    "orange": "#ffa500",
}
"""HTML colours that a lamp knows by name."""

READ_TIMEOUT: Final = 1.0
"""Seconds without a byte after which ``readStringUntil`` takes what there is."""

KEPT: Final = 1_000
"""Payloads and numbers that a board remembers, the newest."""

_BACKLOG: Final = 5
_FLOOD: Final = b"".join(b"%d\n" % number for number in range(1024))
_READ_BYTES: Final = 1_024


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """How a board behaves: ``rate`` lines a second, for ever unless something goes wrong.

    After ``hang_after`` readings it says and takes nothing more, until it is released. After
    each ``reboot_after`` readings it is away for ``reboot_seconds``, in the middle of a line.
    ``flood`` writes as fast as it can. ``takes`` reads payloads beside.
    """

    rate: float = 1.0
    hang_after: int | None = None
    reboot_after: int | None = None
    reboot_seconds: float = 1.0
    flood: bool = False
    takes: bool = False


class Board:
    """Listens on ``host`` and ``port`` (0 = any free one) within ``async with``."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        self.connections = 0
        """How many it has taken so far."""
        self.payloads: list[str] = []
        """What it was told, the newest."""
        self._told = asyncio.Event()
        self._listener: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Switch it on."""
        self._listen()
        self._task = asyncio.create_task(self._serve())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Switch it off."""
        assert self._task is not None
        while not self._task.done():
            # Again, should the end of a connection at this moment hide that it was cancelled.
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1)
        self._unplug()

    async def told(self, count: int) -> list[str]:
        """Return all payloads once there are ``count``."""
        while len(self.payloads) < count:
            self._told.clear()
            await self._told.wait()
        return self.payloads

    def _listen(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.socket(family)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setblocking(False)
            listener.bind((self.host, self.port))
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            raise OwnerError(
                f"A unit can't listen on {self.host}:{self.port}: {error.strerror}."
            ) from error
        self.port = listener.getsockname()[1]
        self._listener = listener

    def _unplug(self) -> None:
        """Listen no more; whoever waits in the backlog is reset."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            assert self._listener is not None
            connection, _ = await loop.sock_accept(self._listener)
            connection.setblocking(False)
            self.connections += 1
            with connection, suppress(ConnectionError):
                await self._speak(connection)

    async def _speak(self, connection: socket.socket) -> None:
        """Do what the firmware does with a connection, until it is over."""
        raise NotImplementedError

    def _hear(self, payload: str) -> None:
        self.payloads.append(payload)
        del self.payloads[:-KEPT]
        self._told.set()


class ReadBoard(Board):
    """A unit that writes what its 10-bit converter reads, ``512`` for instance.

    ``converter`` returns that, if it is not to be a level that wanders. It remembers the newest
    ``keep`` numbers.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        behaviour: Behaviour = Behaviour(),  # noqa: B008 - frozen
        seed: int | None = None,
        converter: Callable[[], int] | None = None,
        keep: int = KEPT,
    ) -> None:
        super().__init__(host, port)
        self._converter = converter or self._wander
        self._keep = keep
        self.behaviour = behaviour
        self.sent: list[int] = []
        """Numbers whose whole line was written, the newest."""
        self._random = random.Random(seed)  # noqa: S311 - a sensor, not a secret
        self._level = self._random.uniform(200, 800)
        self._count = 0
        self._released = asyncio.Event()

    @property
    def readings(self) -> int:
        """How many whole lines it has written."""
        return self._count

    def release(self) -> None:
        """Let a board that hangs go on."""
        self._released.set()

    async def _speak(self, connection: socket.socket) -> None:
        ways = [
            asyncio.create_task(self._listen_to(connection)),
            asyncio.create_task(self._write(connection)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        if self._is_rebooting:
            await self._reboot(connection)

    @property
    def _is_rebooting(self) -> bool:
        after = self.behaviour.reboot_after
        return after is not None and self._count > 0 and self._count % after == 0

    async def _reboot(self, connection: socket.socket) -> None:
        with suppress(OSError):
            connection.send(b"51")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if self._random.random() < 0.5:
            # Half of the time the beginning of the line arrives before the end of it all.
            await asyncio.sleep(0.01)
        connection.close()
        self._unplug()
        # Counted as a reading, or it would restart at once for ever.
        self._count += 1
        await asyncio.sleep(self.behaviour.reboot_seconds)
        self._listen()

    async def _listen_to(self, connection: socket.socket) -> None:
        """Return when the hub has closed the connection."""
        loop = asyncio.get_running_loop()
        rest = b""
        while data := await loop.sock_recv(connection, _READ_BYTES):
            if not self.behaviour.takes:
                continue
            *lines, rest = (rest + data).replace(b"\n", b"\r").split(b"\r")
            rest = rest[-_READ_BYTES:]
            for line in filter(None, lines):
                self._hear(line.decode("utf-8", "replace"))

    async def _write(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        behaviour = self.behaviour
        if behaviour.flood:
            while True:
                await loop.sock_sendall(connection, _FLOOD)
                self._count += 1024
        due = loop.time()
        while True:
            if behaviour.hang_after is not None and self._count >= behaviour.hang_after:
                await self._released.wait()
            number = self._converter()
            await loop.sock_sendall(connection, b"%d\n" % number)
            self._count += 1
            self.sent.append(number)
            del self.sent[: -self._keep]
            if self._is_rebooting:
                return
            due = max(due + 1 / behaviour.rate, loop.time())
            await asyncio.sleep(due - loop.time())

    def _wander(self) -> int:
        self._level = min(1023.0, max(0.0, self._level + self._random.gauss(0, 8)))
        return round(self._level)


class Lamp(Board):
    """A unit with LEDs: it reads a colour up to a return, shows it, and closes.

    ``colours`` are what it has shown; what it doesn't know changes nothing. One that ``hangs``
    takes no connection out of its backlog until it is released.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, hangs: bool = False) -> None:
        super().__init__(host, port)
        self.colours: list[str] = []
        self._awake = asyncio.Event()
        if not hangs:
            self._awake.set()

    def release(self) -> None:
        """Let it go on."""
        self._awake.set()

    async def _speak(self, connection: socket.socket) -> None:
        await self._awake.wait()
        text = (await _read_string_until(connection, b"\r")).strip()
        if (colour := colour_of(text)) is not None:
            self.colours.append(colour)
            del self.colours[:-KEPT]
        self._hear(text)


def colour_of(text: str) -> str | None:
    """Return ``#rrggbb`` for a colour's HTML name or value, None for anything else."""
    if text.lower() in COLOURS:
        return COLOURS[text.lower()]
    if len(text) == 7 and text[0] == "#":
        with suppress(ValueError):
            return f"#{int(text[1:], 16):06x}"
    return None


async def _read_string_until(connection: socket.socket, end: bytes) -> str:
    """Do what Arduino's function does: byte by byte, each within a second.

    What follows the end stays unread, and the end of the connection is no end of the wait.
    """
    loop = asyncio.get_running_loop()
    text = b""
    with suppress(TimeoutError, ConnectionError):
        while True:
            async with asyncio.timeout(READ_TIMEOUT):
                byte = await loop.sock_recv(connection, 1)
                if not byte:
                    await asyncio.Event().wait()
            if byte == end:
                break
            text += byte
    return text.decode("utf-8", "replace")


def addresses(first: str, count: int) -> list[str]:
    """Return ``count`` addresses from ``first`` on: loopback ones are all there on Linux.

    Raises:
        OwnerError: ``first`` is no address, or there are not so many after it.
    """
    try:
        begin = ip_address(first)
        return [str(begin + number) for number in range(count)]
    except ValueError as error:
        raise OwnerError(f"{first} is no address from which {count} can be counted.") from error
