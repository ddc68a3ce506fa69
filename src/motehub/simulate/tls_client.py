"""A TLS client whose way of closing is ours to choose, as a microcontroller's is.

The ordinary streams always say goodbye (close_notify). Firmware often doesn't: it drops the
TCP connection right after its last write. So the TLS machine here runs on memory buffers, and
the TCP connection beneath it is in reach.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Final, Self

CHUNK: Final = 65_536
"""Bytes that are read, or encrypted, at a time."""

CLOSE_TIMEOUT: Final = 10.0
"""Seconds in which the other side has to take our goodbye."""


class TlsClient:
    """One connection; made by ``TlsClient.connect``, ended by ``close`` or ``drop``."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        context: ssl.SSLContext,
        name: str,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._listening: asyncio.Task[None] | None = None

    @classmethod
    async def connect(
        cls, host: str, port: int, context: ssl.SSLContext, source: str | None
    ) -> Self:
        """Return a connection whose handshake is complete, from the address ``source``.

        Raises:
            OSError: no connection, or no handshake (``ssl.SSLError`` is an ``OSError``).

        """
        local = None if source is None else (source, 0)
        reader, writer = await asyncio.open_connection(host, port, local_addr=local)
        # Draining then waits until the kernel has everything, so a drop loses nothing of it.
        writer.transport.set_write_buffer_limits(high=0)
        connection = cls(reader, writer, context, host)
        try:
            await connection._handshake()
        except BaseException:
            writer.transport.abort()
            raise
        connection._listening = asyncio.create_task(connection._listen())
        return connection

    @property
    def ended(self) -> bool:
        """Whether the other side has closed the connection, or is about to."""
        return self._listening is None or self._listening.done()

    async def send(self, data: bytes) -> None:
        """Encrypt ``data`` and return when the kernel has taken it.

        Raises:
            OSError: the connection is lost.

        """
        for start in range(0, len(data), CHUNK):
            self._tls.write(data[start : start + CHUNK])
            await self._flush()

    async def close(self) -> None:
        """Say goodbye with close_notify, if that still gets through, and close."""
        # Our close_notify waits in the buffer then; firmware doesn't wait for the answer.
        with contextlib.suppress(OSError):
            with contextlib.suppress(ssl.SSLWantReadError):
                self._tls.unwrap()
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._flush()
        await self.drop()

    async def drop(self) -> None:
        """Close the TCP connection without a word of TLS."""
        if self._listening is not None:
            self._listening.cancel()
        if self._writer.transport.get_write_buffer_size():
            # Closing would wait until the other side takes it, which may be never.
            self._writer.transport.abort()
        else:
            self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _handshake(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._reader.read(CHUNK)
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            except ssl.SSLError:
                await self._flush()  # the alert that tells the server why
                raise
            else:
                await self._flush()
                return

    async def _listen(self) -> None:
        """Discard what comes until the other side says goodbye or is gone."""
        with contextlib.suppress(OSError):
            while data := await self._reader.read(CHUNK):
                self._incoming.write(data)
                with contextlib.suppress(ssl.SSLWantReadError):
                    while self._tls.read(CHUNK):
                        pass
                    return

    async def _flush(self) -> None:
        self._writer.write(self._outgoing.read())
        await self._writer.drain()
