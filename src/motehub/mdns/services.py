"""What of a hub is announced: kinds of services as they are registered with IANA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Final

import msgspec

from motehub.contracts import Listener
from motehub.security.addresses import Address

_EVERYWHERE: Final = {"0.0.0.0": (4,), "": (4, 6), "::": (4, 6)}  # noqa: S104 - compared, not bound

_KINDS: Final = {
    ("web", False): ("_http", "_motehub"),
    ("web", True): ("_https", "_motehub"),
    ("mqtt_broker", False): ("_mqtt",),
    ("mqtt_broker", True): ("_secure-mqtt",),
    ("mqtt_broker_tls", True): ("_secure-mqtt",),
}


class Service(msgspec.Struct, frozen=True):
    """A port of the hub: ``kind`` as in DNS-SD (RFC 6763), with what else is said of it."""

    kind: str
    port: int
    addresses: tuple[Address, ...]
    said: tuple[tuple[str, str], ...] = ()


def services(
    listeners: Mapping[str, Listener], addresses: Sequence[Address], version: str
) -> list[Service]:
    """Return what a hub with these listeners announces on a machine with these addresses.

    What listens on none of them is left out.
    """
    found = []
    for (name, tls), kinds in _KINDS.items():
        listener = listeners.get(name)
        if listener is None or listener.tls is not tls:
            continue
        there = _reached_at(listener.host, addresses)
        for kind in kinds if there else ():
            said: tuple[tuple[str, str], ...] = ()
            if name == "web":
                said = (("path", "/"),)
            if kind == "_motehub":
                said = (*said, ("version", version), ("tls", "1" if tls else "0"))
            found.append(Service(f"{kind}._tcp.local.", listener.port, there, said))
    return found


def _reached_at(host: str, addresses: Sequence[Address]) -> tuple[Address, ...]:
    if host in _EVERYWHERE:
        return tuple(one for one in addresses if one.version in _EVERYWHERE[host])
    try:
        own = ip_address(host)
    except ValueError:
        return ()
    return tuple(one for one in addresses if one == own)
