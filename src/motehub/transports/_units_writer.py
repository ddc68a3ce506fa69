"""Takes commands to one unit: one after the other, one connection at a time."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from itertools import islice
from typing import Any, Final

from motehub.command import Command
from motehub.logs import Logger
from motehub.model import MICROSECONDS, Admission
from motehub.transports._units_common import Common, with_jitter
from motehub.transports._units_reader import Reader, whole_lines
from motehub.transports._units_socket import abort, connect, reason_of, unacknowledged
from motehub.units import Unit, UnitTest

LINE_END: Final = b"\r\n"
"""Ends a payload: boards read up to the one or to the other."""

_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 5.0
# A command fails with its reason a moment before the hub would let it expire without one.
_MARGIN: Final = 0.25
# A command has a second at least: one that comes during an attempt is seen before it is over.
_LOOK_SECONDS: Final = 0.5
_READ_BYTES: Final = 4_096
_REPLACED: Final = "a newer command has taken its place"

_logger: Final = Logger("motehub.units")


class Writer:
    """Sends what waits, in order; tries again until a command's time is over.

    A unit that sends readings as well takes payloads on the connection of its ``reader``: it has
    no other.
    """

    def __init__(self, unit: Unit, common: Common, reader: Reader | None) -> None:
        self._unit = unit
        self._common = common
        self._reader = reader
        self._queue: deque[Command] = deque()
        self._news = asyncio.Event()
        self._alone = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.trouble = ""

    @property
    def waiting(self) -> int:
        """How many commands wait, the one that is being sent included."""
        return len(self._queue)

    def take(self, command: Command) -> None:
        """Send ``command`` when those before it are done with."""
        if any(one.id == command.id for one in self._queue):
            return
        if fault := command.order.line_fault:
            self._fail(command, fault)
            return
        self._queue.append(command)
        if self._unit.newest_wins:
            # The first may be on its way to the unit in this moment: that is seen there.
            for older in list(self._queue)[1:-1]:
                self._queue.remove(older)
                self._fail(older, _REPLACED)
        self._news.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"commands to {self._unit.key}")

    async def stop(self, reason: str | None = None) -> None:
        """Send no more; with a ``reason`` what waits fails, else it waits for the next start."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        while reason is not None and self._queue:
            self._fail(self._queue.popleft(), reason)

    async def test(self, seconds: float) -> UnitTest:
        """Connect, listen to what the unit says for a while, and close."""
        began = time.monotonic()
        heard = b""
        loop = asyncio.get_running_loop()
        try:
            async with self._alone, self._connected(seconds) as connection:
                with suppress(TimeoutError, ConnectionError):
                    async with asyncio.timeout(seconds):
                        while len(heard) < _READ_BYTES and (
                            data := await loop.sock_recv(connection, _READ_BYTES)
                        ):
                            heard += data
        except OSError as error:
            return UnitTest(False, [], f"not reached: {reason_of(error)}", _since(began))
        return UnitTest(True, whole_lines(heard), "", _since(began))

    async def _run(self) -> None:
        while self._queue:
            command = self._queue[0]
            try:
                await self._deliver(command)
            except Exception as error:
                # The next command has its turn; this one is answered too.
                _logger.error("command failed", unit=self._unit.key, error=repr(error))
                self._fail(command, f"an error in motehub: {error!r}")
            with suppress(ValueError):
                self._queue.remove(command)

    async def _deliver(self, command: Command) -> None:
        pause = _FIRST_PAUSE
        payload = command.order.line.encode() + LINE_END
        while self._is_wanted(command):
            self._news.clear()
            if self._unit.newest_wins and self._queue[-1] is not command:
                self._fail(command, _REPLACED)
                return
            if (left := self._left(command)) <= 0:
                self._fail(command, self.trouble or "the unit could not be reached in time")
                return
            try:
                await self._watched(self._attempt(payload, left))
            except OSError as error:
                self.trouble = reason_of(error)
                self._common.counts["attempts_failed"] += 1
                if self._reader is not None:
                    self._reader.hurry()
            else:
                self.trouble = ""
                self._common.counts["commands_sent"] += 1
                unheard = not self._unit.reports(command.order.name)
                self._common.ground.commands.sent(command.id, unheard=unheard)
                return
            await self._rest(with_jitter(pause))
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _rest(self, seconds: float) -> None:
        """Wait, but not beyond the end of any command, nor when there is a newer one to take."""
        self._fail_late()
        nearest = min(max(0.0, self._left(one)) for one in self._queue)
        with suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, nearest)):
                while True:
                    await self._news.wait()
                    if self._unit.newest_wins:
                        return
                    self._news.clear()

    async def _watched(self, attempt: Coroutine[Any, Any, None]) -> None:
        """Make an attempt; commands behind it whose time is over meanwhile are told so."""
        task = asyncio.create_task(attempt)
        try:
            while not task.done():
                self._fail_late()
                behind = (self._left(one) for one in islice(self._queue, 1, None))
                await asyncio.wait([task], timeout=max(0.0, min([_LOOK_SECONDS, *behind])))
        finally:
            task.cancel()
            await asyncio.wait([task])
        await task

    def _fail_late(self) -> None:
        """Give up what waits behind the first command for longer than it may."""
        for command in list(islice(self._queue, 1, None)):
            if self._left(command) <= 0:
                self._queue.remove(command)
                why = self.trouble or "the first of them is still on its way"
                self._fail(command, f"those before it could not be sent: {why}")

    def _left(self, command: Command) -> float:
        return (command.deadline - self._common.ground.clock()) / MICROSECONDS - _MARGIN

    def _is_wanted(self, command: Command) -> bool:
        """Tell whether the owner still wants it: the device may be blocked, or removed."""
        device = self._common.ground.devices.by_identity(self._unit.identity)
        return (
            device is not None
            and device.id == command.device
            and device.admission is Admission.ACCEPTED
        )

    async def _attempt(self, payload: bytes, left: float) -> None:
        """Send once.

        Raises:
            OSError: the unit did not get it, or nobody can tell that it did.
        """
        seconds = min(left, self._common.settings.write_timeout)
        async with self._alone:
            if self._reader is not None:
                await self._write_beside_readings(self._reader, payload, seconds)
                return
            connecting = min(left, self._common.settings.connect_timeout)
            async with self._connected(connecting) as connection:
                await self._write_and_close(connection, payload, seconds)

    async def _write_beside_readings(self, reader: Reader, payload: bytes, seconds: float) -> None:
        link = reader.link
        if link is None:
            raise ConnectionError(reader.trouble or "it is not connected yet")
        try:
            async with asyncio.timeout(seconds):
                await link.write(payload)
        except TimeoutError:
            reason = f"it does not take a payload within {seconds:.3g} s"
            link.end(reason)
            raise TimeoutError(reason) from None

    async def _write_and_close(
        self, connection: socket.socket, payload: bytes, seconds: float
    ) -> None:
        """Write, close our side, and wait for the unit to close its own.

        One that reads up to the return leaves the newline unread: its system then resets the
        connection, though it has taken the payload.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                await loop.sock_sendall(connection, payload)
                connection.shutdown(socket.SHUT_WR)
                while await loop.sock_recv(connection, _READ_BYTES):
                    pass
        except TimeoutError:
            what = "take the payload" if unacknowledged(connection) else "close the connection"
            raise TimeoutError(
                f"it takes connections, but did not {what} within {seconds:.3g} s: it may hang, "
                "or be connected to somebody else"
            ) from None
        except OSError as error:
            # A quick unit resets the connection before we have closed our side of it (ENOTCONN).
            if not isinstance(error, ConnectionError) and error.errno != errno.ENOTCONN:
                raise
            # The end of the stream counts as a byte.
            if unacknowledged(connection) > 1:
                raise

    @asynccontextmanager
    async def _connected(self, seconds: float) -> AsyncIterator[socket.socket]:
        """Give a connection for the block, which is closed, or broken off after a failure."""
        places = self._common.ground.places
        if not places.take():
            raise OSError("the hub has no room for another connection")
        try:
            connection = await connect(self._unit.address, self._unit.port, seconds)
            try:
                yield connection
            except BaseException:
                # What a hanging unit has not read yet must not come after the next attempt.
                abort(connection)
                raise
            connection.close()
        finally:
            places.give_back()

    def _fail(self, command: Command, reason: str) -> None:
        _logger.info("command failed", unit=self._unit.key, id=command.id, reason=reason)
        self._common.counts["commands_failed"] += 1
        self._common.ground.commands.failed(command.id, reason)


def _since(began: float) -> float:
    return time.monotonic() - began
