"""Section ``[mdns]`` of the configuration."""

from __future__ import annotations

import re
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Annotated, Final

import msgspec
from msgspec import Meta

MOST_HOLDERS: Final = 9
"""So many hubs of one name find one: ``motehub``, ``motehub-2`` … ``motehub-9``."""

# A label of a host name (RFC 1123), with room for a number behind it.
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?")


class MdnsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[mdns]``."""

    enabled: Annotated[
        bool,
        Meta(
            description="Whether the hub answers by name in the local network and announces its "
            "ports there, if the package zeroconf is installed (extra mdns)."
        ),
    ] = True
    name: Annotated[
        str, Meta(description='The name, to which ".local" is added; taken, it gets a number.')
    ] = "motehub"
    interfaces: Annotated[
        tuple[str, ...],
        Meta(description="Addresses of this machine on which it answers; none = all but loopback."),
    ] = ()

    def __post_init__(self) -> None:
        """Check the name and the addresses.

        Raises:
            ValueError: one can't be.
        """
        if not _LABEL.fullmatch(self.name):
            raise ValueError(
                f"name: {self.name!r} is no host name: up to 60 of a-z, 0-9 and '-', without dots"
            )
        for one in self.interfaces:
            try:
                ip_address(one)
            except ValueError as error:
                raise ValueError(f"interfaces: {error}") from error

    @property
    def active(self) -> bool:
        """Whether the hub answers by name: it shall, and can."""
        return self.enabled and find_spec("zeroconf") is not None

    @property
    def host_name(self) -> str:
        """The name that the hub would like to have."""
        return f"{self.name}.local"


def candidates(name: str) -> list[str]:
    """Return the names that a hub tries, one after the other."""
    return [name, *(f"{name}-{number}" for number in range(2, MOST_HOLDERS + 1))]
