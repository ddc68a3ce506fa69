"""TCP listeners, with TLS or without: each connection holds a conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from motehub.binding import why_not_bound
from motehub.connections import Connection
from motehub.contracts import Listener
from motehub.errors import ConfigurationError
from motehub.reception import Reception


class StreamListener(Reception):
    """A port whose connections each hold a conversation and feed the hub."""

    _server: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> Listener:
        """Listen on ``host`` and ``port`` (0: any free one).

        Raises:
            ConfigurationError: the port can't be had.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: Connection(self), host or None, port, backlog=1024
            )
        except (OSError, UnicodeError) as error:
            reason, mend = why_not_bound(error, host, port)
            raise ConfigurationError(
                f"{self.section}: can't listen on {host:.80}:{port}: {reason}. {mend}"
            ) from error
        address = self._server.sockets[0].getsockname()
        return Listener(address[0], address[1], tls=self.tls is not None)

    def adopt(self, left: Callable[[], None]) -> Adoption:
        """Return what takes a connection that was made to another port as one of this one.

        It is without TLS here: the other port has that. ``left`` is called once it is lost.
        """
        return Adoption(self, left)

    async def close(self) -> None:
        """Accept no more, store what was received, close all connections."""
        if self._server is None:
            return
        self._server.close()
        connections = list(self.connections)
        await asyncio.gather(*(connection.finish() for connection in connections))
        await self._server.wait_closed()


class Adoption:
    """See :class:`motehub.conversations.Successor`."""

    def __init__(self, listener: Reception, left: Callable[[], None]) -> None:
        self._connection = _Adopted(listener, left)
        self._finishing: asyncio.Task[None] | None = None

    def begin(self, transport: asyncio.Transport, data: bytes, address: str | None = None) -> None:
        """Take the connection, whose peer has said ``data`` already, as one from ``address``."""
        self._connection.behind = address
        transport.set_protocol(self._connection)
        self._connection.connection_made(transport)
        if not transport.is_closing():
            self._connection.data_received(data)

    def finish(self) -> None:
        """Complete what is under way, then close the connection."""
        self._finishing = asyncio.get_running_loop().create_task(self._connection.finish())


class _Adopted(Connection):
    """A connection that is counted at another port too."""

    def __init__(self, listener: Reception, left: Callable[[], None]) -> None:
        super().__init__(listener)
        self._left = left
        self.behind: str | None = None
        """Whose connection it is, if its peer is a proxy."""

    def _address_of(self, peer: tuple[str, int]) -> str:
        return self.behind or super()._address_of(peer)

    def eof_received(self) -> bool:
        """Keep a half-closed connection open until its answer is written; TLS can't."""
        wanted = super().eof_received()
        assert self._transport is not None
        return wanted and self._transport.get_extra_info("sslcontext") is None

    def _leave(self) -> None:
        super()._leave()
        self._left()
