"""TCP listeners, with TLS or without: each connection holds a conversation."""

from __future__ import annotations

import asyncio

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

    async def close(self) -> None:
        """Accept no more, store what was received, close all connections."""
        if self._server is None:
            return
        self._server.close()
        connections = list(self.connections)
        await asyncio.gather(*(connection.finish() for connection in connections))
        await self._server.wait_closed()
