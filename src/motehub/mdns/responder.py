"""Answers by name in the local network, by means of zeroconf (RFC 6762, RFC 6763).

It runs on the hub's event loop, and does without where the network forbids it: whatever fails
here is tried again later, and said once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import Final

# AddressResolver is documented, but not in its __all__.
from zeroconf import AddressResolver, IPVersion, ServiceInfo  # type: ignore[attr-defined]
from zeroconf import Error as ZeroconfError
from zeroconf.asyncio import AsyncZeroconf

from motehub.logs import Logger
from motehub.mdns.services import Service
from motehub.mdns.settings import MdnsSettings, candidates
from motehub.security.addresses import Address, this_host

_LOOK_SECONDS: Final = 15.0
_RETRY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 2.0
# Several questions, and time for the answer of a board that is busy.
_PROBE_MILLISECONDS: Final = 3000

_logger = Logger("motehub.mdns")


class Taken(Exception):
    """All names that the hub might have are others'."""


class Responder:
    """Announces what ``services`` returns for the machine's addresses, while it is open.

    ``on_name`` is awaited with each name that it gets, ``motehub-2.local`` for instance.
    """

    def __init__(
        self,
        settings: MdnsSettings,
        services: Callable[[Sequence[Address]], Sequence[Service]],
        on_name: Callable[[str], Awaitable[None]],
    ) -> None:
        self.name: str | None = None
        """The name under which it answers, None while it does not."""
        self._settings = settings
        self._services = services
        self._on_name = on_name
        self._stopping = asyncio.Event()
        self._trouble: str | None = None
        # It shows stack traces of what the network or a stranger's packet did.
        logging.getLogger("zeroconf").setLevel(logging.CRITICAL)

    async def run(self) -> None:
        """Answer until ``stop``; an answer that can't be given keeps nobody from anything."""
        while not self._stopping.is_set():
            pause = 0.0
            try:
                pause = await self._answer()
            except (OSError, ZeroconfError, RuntimeError, Taken) as error:
                self._complain(str(error) or type(error).__name__)
                pause = _RETRY_SECONDS
            finally:
                self.name = None
            await self._wait(pause)

    def stop(self) -> None:
        """Say goodbye and let ``run`` end."""
        self._stopping.set()

    async def _answer(self) -> float:
        """Answer for as long as addresses and name are good; return how long to wait then."""
        addresses = self._addresses()
        services = self._services(addresses)
        used = tuple(dict.fromkeys(one for each in services for one in each.addresses))
        if not used:
            return _LOOK_SECONDS
        version = IPVersion.All if any(one.version == 6 for one in used) else IPVersion.V4Only
        responder = AsyncZeroconf(interfaces=list(map(str, used)), ip_version=version)
        try:
            label = await self._claim(responder, services, used)
            self.name = f"{label}.local"
            self._trouble = None
            _logger.info("found in the local network", name=self.name, addresses=_written(used))
            await self._on_name(self.name)
            while not self._stopping.is_set():
                await self._wait(_LOOK_SECONDS)
                if self._addresses() != addresses or _is_lost(responder, label, used):
                    break
        finally:
            with contextlib.suppress(TimeoutError, OSError, ZeroconfError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await responder.async_close()
        return 0.0

    def _addresses(self) -> tuple[Address, ...]:
        if self._settings.interfaces:
            return tuple(map(ip_address, self._settings.interfaces))
        return this_host().addresses

    async def _claim(
        self, responder: AsyncZeroconf, services: Sequence[Service], own: Sequence[Address]
    ) -> str:
        """Announce everything under the first name that nobody else has; return that.

        Raises:
            Taken: there is none.
        """
        for label in candidates(self._settings.name):
            holder = await _holder(responder, services, label, own)
            if holder is None:
                await _register(responder, services, label)
                return label
            _logger.warning("name is taken in the local network", name=f"{label}.local", by=holder)
        raise Taken(f"{self._settings.name}.local and its numbers are others'; set [mdns] name")

    def _complain(self, reason: str) -> None:
        if reason != self._trouble:
            self._trouble = reason
            _logger.warning("not found by name in the local network", reason=reason)

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


async def _holder(
    responder: AsyncZeroconf, services: Sequence[Service], label: str, own: Sequence[Address]
) -> str | None:
    """Return who answers under a name, None if nobody does."""
    host = AddressResolver(f"{label}.local.")
    # Another hub of this machine has the same addresses, but not the same services.
    others = [ServiceInfo(one.kind, f"{label}.{one.kind}") for one in services]
    asked = (one.async_request(responder.zeroconf, _PROBE_MILLISECONDS) for one in (host, *others))
    _, *found = await asyncio.gather(*asked)
    strange = set(map(ip_address, host.parsed_addresses(IPVersion.All))) - set(own)
    if strange:
        return _written(sorted(strange, key=str))
    return "another hub" if any(found) else None


async def _register(responder: AsyncZeroconf, services: Sequence[Service], label: str) -> None:
    """Announce all services under a name."""
    announced = []
    for service in services:
        info = _info(service, label)
        # That nobody has it has been asked already.
        register = responder.async_register_service(info, cooperating_responders=True)
        announced.append(await register)
    await asyncio.gather(*announced)


def _info(service: Service, label: str) -> ServiceInfo:
    return ServiceInfo(
        service.kind,
        f"{label}.{service.kind}",
        port=service.port,
        addresses=[one.packed for one in service.addresses],
        server=f"{label}.local.",
        properties=dict(service.said),
    )


def _is_lost(responder: AsyncZeroconf, label: str, own: Sequence[Address]) -> bool:
    """Tell whether the name has to be left to another machine that says that it has it.

    As of two that both say so the one with the greater address keeps it (RFC 6762, 8.2), the
    other one asks again, and is answered.
    """
    known = responder.zeroconf.cache.entries_with_name(f"{label}.local.")
    packed = {one.packed for one in own}
    others = {address for one in known if (address := getattr(one, "address", None)) is not None}
    return bool(others - packed) and max(others - packed) > max(packed)


def _written(addresses: Sequence[Address]) -> str:
    return ", ".join(map(str, addresses))
