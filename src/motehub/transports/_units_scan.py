"""Looks for boards that listen, in a range of addresses that the owner names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network, summarize_address_range
from typing import Final

from motehub.errors import InvalidUnit
from motehub.transports._units_reader import whole_lines
from motehub.transports._units_socket import connect
from motehub.units import MOST_SCANNED, FoundUnit

_AT_A_TIME: Final = 128
_CONNECT_SECONDS: Final = 1.0
_LISTEN_SECONDS: Final = 1.5
_READ_BYTES: Final = 256

Address = IPv4Address | IPv6Address


def addresses_of(text: str) -> list[str]:
    """Return the addresses of ``192.168.1.0/24``, ``192.168.1.10-192.168.1.40`` or a single one.

    Raises:
        InvalidUnit: it is no range, too large, or not of a private network.
    """
    try:
        found = _range(text.strip())
    except (ValueError, TypeError):
        raise InvalidUnit(
            f"{text[:100]!r} is no range of addresses: write 192.168.1.0/24 or "
            "192.168.1.10-192.168.1.40."
        ) from None
    if len(found) > MOST_SCANNED:
        raise InvalidUnit(
            f"{text} has more than {MOST_SCANNED} addresses. Name a part of it, as a /24 is."
        )
    if not all(one.is_private or one.is_link_local or one.is_loopback for one in found):
        raise InvalidUnit(f"{text} is not of a private network: only such are searched.")
    return [str(one) for one in found]


async def scan(addresses: Sequence[str], port: int) -> list[FoundUnit]:
    """Return who listens; at most 128 are asked at a time."""
    gate = asyncio.Semaphore(_AT_A_TIME)

    async def look(address: str) -> FoundUnit | None:
        async with gate:
            return await _look(address, port)

    found = await asyncio.gather(*map(look, addresses))
    return [one for one in found if one is not None]


async def _look(address: str, port: int) -> FoundUnit | None:
    try:
        connection = await connect(address, port, _CONNECT_SECONDS)
    except OSError:
        return None
    heard = b""
    loop = asyncio.get_running_loop()
    with connection, suppress(TimeoutError, OSError):
        async with asyncio.timeout(_LISTEN_SECONDS):
            while b"\n" not in heard and len(heard) < _READ_BYTES:
                if not (data := await loop.sock_recv(connection, _READ_BYTES)):
                    break
                heard += data
    lines = whole_lines(heard)
    return FoundUnit(address, port, "", lines[0] if lines else "")


def _range(text: str) -> list[Address]:
    first, dash, last = text.partition("-")
    if not dash:
        network = ip_network(text, strict=False)
        return list(_some(network.hosts()))
    parts = summarize_address_range(*_same_kind(ip_address(first), ip_address(last)))
    return list(_some(one for network in parts for one in network))


def _same_kind(first: Address, last: Address) -> tuple[IPv4Address, IPv4Address]:
    if not (isinstance(first, IPv4Address) and isinstance(last, IPv4Address)):
        raise TypeError("a range is of IPv4")
    return first, last


def _some(addresses: Iterator[Address]) -> Iterator[Address]:
    """Yield one more than there may be, of however many."""
    for _, one in zip(range(MOST_SCANNED + 1), addresses, strict=False):
        yield one
