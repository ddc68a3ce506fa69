"""Sections ``[web]`` and ``[pimonitor]`` of the configuration."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from motehub.quantities import Duration, Size
from motehub.web.proxies import parse_proxies

TLS_MODES: Final = ("off", "auto")
"""What ``web.tls`` may be, if it does not name files."""


class CertificateFiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PEM files of the owner's own certificate (with its chain) and key."""

    certificate: str
    key: str


class WebSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[web]``."""

    enabled: Annotated[bool, Meta(description="Whether this listener runs.")] = True
    host: Annotated[str, Meta(description='Address to listen on; "" = all, IPv6 too.')] = "0.0.0.0"  # noqa: S104
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0 = any free one.")] = 8080
    tls: Annotated[
        str | CertificateFiles,
        Meta(
            description='"off" (plain HTTP, for a trusted network or behind a proxy), "auto" (the '
            'hub\'s own certificate) or {certificate = "FILE", key = "FILE"}.'
        ),
    ] = "off"
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses or networks of reverse proxies whose X-Forwarded-For and "
            "X-Forwarded-Proto are believed."
        ),
    ] = ()
    body_limit: Annotated[
        Size, Meta(description="Longest body of a request, unpacked; NDJSON streams have none.")
    ] = Size(8 * 1024 * 1024)
    bodies: Annotated[
        Size, Meta(description="Most bytes of bodies on their way at a time, all together.")
    ] = Size(64 * 1024 * 1024)
    connections: Annotated[int, Meta(ge=1, description="Most connections at a time.")] = 2000
    connections_per_address: Annotated[
        int, Meta(ge=1, description="Most connections from one address at a time.")
    ] = 1024
    handshake_timeout: Annotated[
        Duration, Meta(description="Longest time for the TLS handshake.")
    ] = Duration(10)
    idle_timeout: Annotated[
        Duration, Meta(description="A connection without a request is closed after that.")
    ] = Duration(75)

    def __post_init__(self) -> None:
        """Check what else there is to be checked.

        Raises:
            ValueError: a proxy is no address and no network.
        """
        try:
            parse_proxies(self.trusted_proxies)
        except ValueError as error:
            raise ValueError(f"trusted_proxies: {error}") from error


class PimonitorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[pimonitor]``: posts of Raspberry Pis, taken on the port of ``[web]``."""

    enabled: Annotated[bool, Meta(description="Whether such posts are taken.")] = True
    paths: Annotated[
        tuple[str, ...],
        Meta(description="Paths that the devices have in their configuration."),
    ] = ("/",)
    time_zone: Annotated[
        str, Meta(description='Zone of the devices\' clocks, "US/Eastern"; "" = hub.time_zone.')
    ] = ""
    time_zones: Annotated[
        dict[str, str],
        Meta(description='Zones of single locations: {"my-pimonitor" = "US/Eastern"}.'),
    ] = {}
    key_required: Annotated[
        bool,
        Meta(description="Whether posts without api_hash are refused; else they wait for you."),
    ] = False
