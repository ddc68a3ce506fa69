"""A WebSocket to a server of Pusher Channels: the only file here that uses ``websockets``."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    WebSocketException,
)

from motehub import __version__

MESSAGE_BYTES: Final = 65_536
"""Longest message that is taken; an event's data has 10 kB, and is JSON within JSON."""

_OPEN_SECONDS: Final = 20.0
_SEND_SECONDS: Final = 20.0
_CLOSE_SECONDS: Final = 2.0
_WAITING_MESSAGES: Final = 64
_EXCERPT: Final = 200


class Ended(msgspec.Struct, frozen=True):
    """How a connection ended, or why there was none; ``code`` is that of the closing frame."""

    reason: str
    code: int | None = None


class _Connect(connect):
    """Connects to the server that the owner has named, and to no other."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class Link:
    """A connection that is open."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, uri: str, tls: ssl.SSLContext | None) -> Link | Ended:
        """Connect; ``tls`` is needed for a ``wss`` address."""
        try:
            connection = await _Connect(
                uri,
                ssl=tls,
                # Small messages: what compression saves is not worth its memory.
                compression=None,
                proxy=None,
                user_agent_header=f"motehub/{__version__}",
                open_timeout=_OPEN_SECONDS,
                close_timeout=_CLOSE_SECONDS,
                # The protocol has its own.
                ping_interval=None,
                max_size=MESSAGE_BYTES,
                max_queue=_WAITING_MESSAGES,
            )
        except (OSError, WebSocketException) as error:
            return Ended(_reason_of(error))
        return cls(connection)

    async def receive(self, seconds: float) -> bytes | Ended | None:
        """Return the next message, None when none comes within ``seconds``."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                return await self._connection.recv(decode=False)
        except TimeoutError:
            return None
        except ConnectionClosed as error:
            return _end_of(error)

    async def send(self, message: bytes) -> Ended | None:
        """Send a text message; return how the connection ended, if it has."""
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                await self._connection.send(message, text=True)
        except TimeoutError:
            return Ended(f"the server did not take a message within {_SEND_SECONDS:.0f} s")
        except ConnectionClosed as error:
            return _end_of(error)
        return None

    async def close(self) -> None:
        """Close the connection, or break it off when that takes long."""
        await self._connection.close()


def _end_of(error: ConnectionClosed) -> Ended:
    frame = error.rcvd
    if frame is None:
        sent = error.sent
        if sent is not None and sent.code > 1001:
            return Ended(f"the server broke the rules of WebSocket: {sent.reason[:_EXCERPT]}")
        return Ended("the connection was lost")
    return Ended(frame.reason[:_EXCERPT] or "the server closed the connection", frame.code)


def _reason_of(error: Exception) -> str:
    match error:
        case TimeoutError():
            return f"no connection within {_OPEN_SECONDS:.0f} s"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not good: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS fails: {error.reason or 'no details'}"
        case InvalidStatus():
            return f"it answers {error.response.status_code} instead of speaking WebSocket"
        case InvalidHandshake():
            return f"it does not speak WebSocket: {error!s:.200}"
        case OSError():
            return error.strerror or str(error)[:_EXCERPT] or "the network fails"
        case _:
            return f"{error!s:.200}"
