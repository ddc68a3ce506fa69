"""Has a running hub found by name in the local network, where that is wanted and possible."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from motehub import __version__
from motehub.contracts import Listener
from motehub.mdns.services import services
from motehub.mdns.settings import MdnsSettings


@asynccontextmanager
async def announced(
    settings: MdnsSettings,
    listeners: Mapping[str, Listener],
    cover: Callable[[str], Awaitable[None]],
    tasks: asyncio.TaskGroup,
) -> AsyncIterator[None]:
    """Answer as ``motehub.local``, and announce ``listeners``, for the duration of the block.

    ``cover`` is awaited with each name that the hub gets: its certificate is to have it, too. The
    package zeroconf is loaded only here, where it is needed (3 MB).
    """
    if not settings.active:
        yield
        return
    from motehub.mdns.responder import Responder

    responder = Responder(
        settings, lambda addresses: services(listeners, addresses, __version__), cover
    )
    task = tasks.create_task(responder.run(), name="mdns")
    try:
        yield
    finally:
        responder.stop()
        await asyncio.wait([task])
