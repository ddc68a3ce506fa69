"""Has a running hub found by name in the local network, where that is wanted and possible."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from motehub import __version__
from motehub.certificates import make_certificates
from motehub.config import Configuration
from motehub.contracts import Listener
from motehub.errors import CertificateError
from motehub.logs import Logger
from motehub.mdns.services import services

_logger = Logger("motehub.announcing")


@asynccontextmanager
async def announced(
    configuration: Configuration, listeners: Mapping[str, Listener], tasks: asyncio.TaskGroup
) -> AsyncIterator[None]:
    """Answer as ``motehub.local``, and announce ``listeners``, for the duration of the block.

    The package zeroconf is loaded only here, where it is needed (3 MB).
    """
    if not configuration.mdns.active:
        yield
        return
    from motehub.mdns.responder import Responder

    async def cover(name: str) -> None:
        """Have the server's certificate cover a name that nobody has foreseen."""
        if name != configuration.mdns.host_name:
            try:
                await make_certificates(configuration, name)
            except (CertificateError, OSError) as error:
                _logger.error("certificate not renewed", name=name, reason=str(error))

    responder = Responder(
        configuration.mdns, lambda addresses: services(listeners, addresses, __version__), cover
    )
    task = tasks.create_task(responder.run(), name="mdns")
    try:
        yield
    finally:
        responder.stop()
        await asyncio.wait([task])
