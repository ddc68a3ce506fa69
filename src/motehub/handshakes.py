"""What asyncio needs to be told about a connection: TLS within bounds, quick acknowledgements."""

from __future__ import annotations

import asyncio
import socket
from asyncio import sslproto
from typing import Final

from motehub.contracts import TlsContexts

CLOSE_SECONDS: Final = 2.0
"""How long a peer has to close its side of a connection that we have closed."""

# Linux has it; elsewhere clients wait for the delayed acknowledgement.
_QUICK_ACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)

# asyncio keeps a buffer of this size for every TLS connection; its default of 256 KiB would be
# 256 MB for a thousand devices. A TLS record holds at most 16 KiB.
sslproto.SSLProtocol.max_size = 32 * 1024


async def secure(
    transport: asyncio.Transport, protocol: asyncio.Protocol, tls: TlsContexts, limit: float
) -> asyncio.Transport:
    """Return the transport of ``protocol`` once the handshake is done, within ``limit`` seconds.

    Raises:
        OSError: it failed, or took too long.
    """
    secured = await asyncio.get_running_loop().start_tls(
        transport,
        protocol,
        tls.context(),
        server_side=True,
        ssl_handshake_timeout=limit,
        ssl_shutdown_timeout=CLOSE_SECONDS,
    )
    assert secured is not None
    # asyncio would read 256 KiB more from a device that has to wait.
    limit_buffer = getattr(secured, "set_read_buffer_limits", None)
    assert limit_buffer is not None
    limit_buffer(high=sslproto.SSLProtocol.max_size)
    return secured


def acknowledge_quickly(transport: asyncio.Transport) -> None:
    """Have the kernel acknowledge what came now; it forgets that after a while (tcp(7))."""
    if _QUICK_ACK is not None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
