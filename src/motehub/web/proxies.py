"""Who really asks, where a reverse proxy of the owner's stands between.

A proxy adds to ``X-Forwarded-For`` whom it heard the request from, at the end; what stands before
that anybody can have written. So the last address counts that is no proxy of ours.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

_FORWARDED: Final = b"x-forwarded-for"
_PROTOCOL: Final = b"x-forwarded-proto"
_SCHEMES: Final = {b"http": "http", b"https": "https"}
_MOST_HOPS: Final = 20

Network = IPv4Network | IPv6Network


def parse_proxies(texts: Sequence[str]) -> tuple[Network, ...]:
    """Return the networks of ``texts``, addresses or networks in CIDR form.

    Raises:
        ValueError: one is neither.
    """
    return tuple(ip_network(text, strict=False) for text in texts)


class Proxies:
    """The owner's reverse proxies, by their addresses."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks

    def has(self, address: str) -> bool:
        """Tell whether a proxy has this address."""
        if not self._networks:
            return False
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks)

    def behind(self, scope: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Return the ASGI scope of a request as it was before the proxies, if it came by them."""
        client = scope.get("client")
        if client is None or not self.has(client[0]):
            return scope
        headers = scope["headers"]
        address = self._first(client[0], [value for name, value in headers if name == _FORWARDED])
        said = [value.strip().lower() for name, value in headers if name == _PROTOCOL]
        scheme = _SCHEMES.get(said[-1]) if said else None
        return {**scope, "client": (address, 0), "scheme": scheme or scope["scheme"]}

    def before(self, address: str, head: bytes) -> str | None:
        """Return who stands before the proxy at ``address`` that has sent the ``head``.

        That is a request's, with all its headers; None if nothing is known of a proxy.
        """
        if not self.has(address):
            return None
        lines = head.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
        headers = [line.partition(b":") for line in lines]
        forwarded = [value for name, _, value in headers if name.lower() == _FORWARDED]
        return self._first(address, forwarded)

    def _first(self, address: str, forwarded: Sequence[bytes]) -> str:
        """Return the last address that is no proxy of ours, or as far as it can be told."""
        hops = [hop for value in forwarded for hop in value.split(b",")]
        for hop in reversed(hops[-_MOST_HOPS:]):
            found = _address(hop)
            if found is None:
                break
            address = found
            if not self.has(found):
                break
        return address


def _address(hop: bytes) -> str | None:
    """Return the address that a proxy has noted, perhaps with a port."""
    text = hop.decode("latin-1").strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return None
