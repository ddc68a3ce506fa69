"""Connections to units: made within a time, watched by the kernel."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from contextlib import suppress
from typing import Final

# A unit that lost its power is noticed after 30 s.
_KEEP_ALIVE: Final = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
_FIRST_LOOK: Final = 0.002
_LONGEST_LOOK: Final = 0.1


async def connect(address: str, port: int, seconds: float) -> socket.socket:
    """Return a connection to ``address``, which is no host name.

    Raises:
        OSError: there is none within ``seconds``.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        _keep_alive(connection)
        loop = asyncio.get_running_loop()
        # Not the loop's own way by name: nothing is ever looked up here.
        (*_, where), *_ = socket.getaddrinfo(
            address, port, family, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST
        )
        async with asyncio.timeout(seconds):
            await loop.sock_connect(connection, where)
    except TimeoutError:
        connection.close()
        raise TimeoutError(f"it does not take the connection within {seconds:g} s") from None
    except BaseException:
        connection.close()
        raise
    return connection


def reason_of(error: BaseException) -> str:
    """Return for people why a connection failed."""
    if isinstance(error, ConnectionRefusedError):
        return "it refuses the connection"
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "it has reset the connection"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def abort(connection: socket.socket) -> None:
    """End a connection so that what the peer has not read of it yet is void (RST)."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def unacknowledged(connection: socket.socket) -> int:
    """Return how many bytes the peer's system has not acknowledged yet; 0 where nobody knows."""
    if connection.fileno() < 0:
        return 0
    answer = bytearray(4)
    try:
        # SIOCOUTQ: on Linux it counts what is on its way too, and the end of the stream as one.
        fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, answer)
    except OSError:
        return 0
    return int(struct.unpack("i", answer)[0])


async def acknowledged(connection: socket.socket, unwritten: Callable[[], int]) -> None:
    """Return when the peer's system has everything, also what ``unwritten`` counts."""
    pause = _FIRST_LOOK
    while unwritten() or unacknowledged(connection):
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_LOOK)


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in _KEEP_ALIVE:
        # Other systems lack one or the other.
        if (option := getattr(socket, name, None)) is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
