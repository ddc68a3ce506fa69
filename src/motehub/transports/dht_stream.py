"""The TLS port for ESP32 + DHT11 text streams; ``docs/protocols/dht-stream.md``."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated

import msgspec
from msgspec import Meta

from motehub.contracts import ClientTrust, Ground, Listener, TransportPart
from motehub.conversations import Channel, ConnectionLimits, Conversation, Peer, Turn
from motehub.errors import InvalidName
from motehub.listening import StreamListener
from motehub.model import NAME_BYTES, Delivery, Record, Source, check_device_name
from motehub.protocols.dht_stream import RECORD_LIMIT, DhtStreamDecoder
from motehub.quantities import Duration

NAME = "dht_stream"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[transport.dht_stream]``."""

    enabled: Annotated[bool, Meta(description="Whether this listener runs.")] = True
    host: Annotated[str, Meta(description='Address to listen on; "" = all, IPv6 too.')] = "0.0.0.0"  # noqa: S104
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0 = any free one.")] = 8090
    devices: Annotated[
        dict[str, str],
        Meta(description='Names of devices by their address: {"192.168.1.31" = "greenhouse"}.'),
    ] = {}
    record_limit: Annotated[int, Meta(ge=64, le=65536, description="Longest record in bytes.")] = (
        RECORD_LIMIT
    )
    connections: Annotated[int, Meta(ge=1, description="Most connections at a time.")] = 1000
    connections_per_address: Annotated[
        int, Meta(ge=1, description="Most connections from one address at a time.")
    ] = 100
    handshake_timeout: Annotated[
        Duration, Meta(description="Longest time for the TLS handshake.")
    ] = Duration(10)
    idle_timeout: Annotated[
        Duration, Meta(description="A connection that says nothing for so long is closed.")
    ] = Duration(3600)

    def __post_init__(self) -> None:
        """Check the addresses and names of ``devices``."""
        for address, name in self.devices.items():
            try:
                ip_address(address)
                check_device_name(name)
            except (ValueError, InvalidName) as error:
                raise ValueError(f"devices: {str(error).rstrip('.')}") from error


class DhtStream:
    """See :class:`motehub.contracts.Transport`."""

    def __init__(self, settings: Settings, ground: Ground) -> None:
        self._settings = settings
        self._names = {str(ip_address(a)): name for a, name in settings.devices.items()}
        limits = ConnectionLimits(
            settings.connections,
            settings.connections_per_address,
            settings.handshake_timeout,
            settings.idle_timeout,
        )
        self._listener = StreamListener(
            NAME, ground, limits, self._converse, ground.tls(ClientTrust())
        )
        self.listeners: dict[str, Listener] = {}

    @property
    def counters(self) -> Mapping[str, int]:
        """Connections, refusals, failed handshakes, bytes."""
        return self._listener.counters

    async def __aenter__(self) -> DhtStream:
        """Open the port."""
        self.listeners[NAME] = await self._listener.open(self._settings.host, self._settings.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it; what was received is stored first."""
        await self._listener.close()

    def _converse(self, peer: Peer, _: Channel) -> Conversation:
        return _DhtConversation(self._identify(peer), DhtStreamDecoder(self._settings.record_limit))

    def _identify(self, peer: Peer) -> Source:
        """Name the sender: by its certificate, else by the configured address, else by address."""
        address = peer.address
        if peer.certificate:
            fingerprint, name = peer.certificate
            return Source(NAME, f"certificate:{fingerprint}", name, address, vouched=True)
        name = self._names.get(address, "")
        return Source(
            NAME, f"address:{address}", name or name_for(address), address, vouched=bool(name)
        )


class _DhtConversation:
    """One board on one connection; nothing is ever answered."""

    def __init__(self, source: Source, decoder: DhtStreamDecoder) -> None:
        self._source = source
        self._decoder = decoder

    @property
    def deadline(self) -> int | None:
        return self._decoder.deadline

    def feed(self, data: bytes, now: int) -> Turn | None:
        return self._turn(self._decoder.feed(data, now))

    def timeout(self, now: int) -> Turn | None:
        return self._turn(self._decoder.timeout(now))

    def eof(self, now: int) -> Turn | None:
        return self._turn(self._decoder.eof(now))

    def _turn(self, records: list[Record]) -> Turn | None:
        return Turn([Delivery(self._source, records)]) if records else None


def name_for(address: str) -> str:
    """Return ``dht-<address>``, shortened from the left where an IPv6 address is too long."""
    return "dht-" + address[-(NAME_BYTES - len("dht-")) :].lstrip(":")


PART = TransportPart(Settings, DhtStream)
