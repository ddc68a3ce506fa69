"""One kept connection to a unit that sends readings."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from motehub.model import Joined, Record, Samples, Source
from motehub.protocols.unit_lines import UnitLineDecoder
from motehub.silence import IdleWatch
from motehub.transports._units_pump import Pump
from motehub.transports._units_socket import abort, acknowledged, reason_of

_READ_BYTES: Final = 4_096
_WAITING_BYTES: Final = 2_048
# One buffer for all: what a read brings is taken out of it before the next one.
_buffer: Final = bytearray(_READ_BYTES)


class Link(asyncio.BufferedProtocol):
    """Reads no further while more than 2 KiB wait to be stored, or the unit says too much.

    ``ended`` becomes the reason of its end. ``hear`` gets what comes, as it is.
    """

    def __init__(
        self,
        source: Source,
        decoder: UnitLineDecoder,
        pump: Pump,
        clock: Callable[[], int],
        *,
        rate: float,
        silence: float,
        hear: Callable[[bytes, int], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._source = source
        self._decoder = decoder
        self._pump = pump
        self._clock = clock
        self._rate = rate
        self._silence = silence
        self._hear = hear
        self._waiting = 0
        self._is_full = False
        self._readings = 0
        self._second = self._loop.time()
        self._holds = 0
        self._reason = ""
        self._transport: asyncio.Transport
        self._watch: IdleWatch
        self.ended: asyncio.Future[str] = self._loop.create_future()
        self.is_online = False
        """Whether it has said something: a unit that hangs takes connections all the same."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._watch = IdleWatch(self._silence, lambda: self._holds > 0, self._miss)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Return where the next read goes."""
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what came."""
        data = bytes(memoryview(_buffer)[:nbytes])
        self._watch.hear()
        records = self._decoder.feed(data, self._clock())
        # There is at most one such record, the first.
        first = records[0] if records else None
        readings = len(first.times) if isinstance(first, Samples) else 0
        self._hear(data, readings)
        if not records:
            return
        if readings and not self.is_online:
            self.is_online = True
            records.insert(0, Joined())
        self._put(records, nbytes)
        self._limit(readings)

    def eof_received(self) -> bool:
        """Let the connection be closed."""
        self._reason = "it has closed the connection"
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Take what the end cuts off, and say why it came."""
        self._watch.cancel()
        if records := self._decoder.eof(self._clock()):
            self._pump.put(self._source, records)
        if error is not None:
            self._reason = self._reason or reason_of(error)
        if not self.ended.done():
            self.ended.set_result(self._reason or "it has closed the connection")

    def end(self, reason: str) -> None:
        """End the connection."""
        self._reason = self._reason or reason
        self._transport.abort()

    async def write(self, data: bytes) -> None:
        """Return when the unit's system has acknowledged ``data``.

        Raises:
            ConnectionError: the connection is over before.
        """
        if self._transport.is_closing():
            raise ConnectionError(self._reason or "the connection is lost")
        self._transport.write(data)
        taken = asyncio.ensure_future(
            acknowledged(
                self._transport.get_extra_info("socket"), self._transport.get_write_buffer_size
            )
        )
        try:
            await asyncio.wait((taken, self.ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            taken.cancel()
        if self.ended.done():
            raise ConnectionError(self._reason or "the connection is lost")

    def _miss(self) -> None:
        self.end(f"it has said nothing for {self._silence:g} s")

    def _put(self, records: list[Record], size: int) -> None:
        self._waiting += size
        if self._waiting == size:
            self._pump.put(self._source, records, self._stored)
        else:
            self._pump.put(self._source, records)
        if self._waiting > _WAITING_BYTES and not self._is_full:
            self._is_full = True
            self._hold()

    def _stored(self) -> None:
        self._waiting = 0
        if self._is_full:
            self._is_full = False
            self._release()

    def _limit(self, readings: int) -> None:
        """Rest when more has come in this second than in one may come."""
        self._readings += readings
        now = self._loop.time()
        if now - self._second >= 1:
            self._second, self._readings = now, readings
        if self._readings > self._rate:
            rest = max(self._second + self._readings / self._rate - now, 0.0)
            self._second, self._readings = now + rest, 0
            self._hold()
            self._loop.call_later(rest, self._release)

    def _hold(self) -> None:
        self._holds += 1
        if self._holds == 1:
            self._transport.pause_reading()

    def _release(self) -> None:
        self._holds -= 1
        if self._holds == 0 and not self._transport.is_closing():
            self._watch.hear()
            self._transport.resume_reading()


async def open_link(connection: socket.socket, link: Link) -> None:
    """Let ``link`` speak on ``connection``."""
    try:
        await asyncio.get_running_loop().create_connection(lambda: link, sock=connection)
    except BaseException:
        abort(connection)
        raise
