"""The MQTT broker, for 3.1.1 and 5; ``docs/protocols/mqtt-broker.md``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from motehub.contracts import ClientTrust, Ground, Listener, TlsContexts, TransportPart
from motehub.conversations import Channel, ConnectionLimits, Conversation, Peer
from motehub.listening import StreamListener
from motehub.mqtt_meaning.meanings import Meanings
from motehub.protocols.mqtt.broker import Broker, BrokerLimits, Overflow
from motehub.protocols.mqtt.connection import Limits
from motehub.quantities import Duration, Size
from motehub.security.mqtt_access import Gatekeeper
from motehub.transports._mqtt_broker_carrier import BrokerCarrier
from motehub.transports._mqtt_broker_conversation import MqttConversation
from motehub.transports._mqtt_broker_service import Service
from motehub.transports._mqtt_broker_statistics import Statistics

NAME: Final = "mqtt_broker"
_TLS: Final = f"{NAME}_tls"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[transport.mqtt_broker]``."""

    enabled: Annotated[bool, Meta(description="Whether this broker runs.")] = True
    host: Annotated[str, Meta(description='Address to listen on; "" = all, IPv6 too.')] = "0.0.0.0"  # noqa: S104
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0 = any free one.")] = 1883
    tls_port: Annotated[
        int, Meta(ge=0, le=65535, description="Port for TLS; 0 = any free one.")
    ] = 8883
    packet_limit: Annotated[Size, Meta(description="Longest MQTT packet.")] = Size(1_048_576)
    receive_maximum: Annotated[
        int,
        Meta(
            ge=1,
            le=65535,
            description="Messages of QoS 1 and 2 that an MQTT 5 client may have under way.",
        ),
    ] = 1000
    keep_alive: Annotated[
        int,
        Meta(
            ge=1,
            le=65535,
            description="Longest keep alive of MQTT 5 clients in seconds: they are told to use "
            "this one instead of a longer one, or none.",
        ),
    ] = 60
    sessions: Annotated[int, Meta(ge=1, description="Most sessions, connected or kept.")] = 20_000
    session_expiry: Annotated[
        Duration, Meta(description="Longest time that a session is kept without connection.")
    ] = Duration(30 * 86400)
    subscriptions: Annotated[int, Meta(ge=1, description="Most subscriptions of a client.")] = 1000
    queued_messages: Annotated[
        int, Meta(ge=1, le=60_000, description="Most messages that wait for a client.")
    ] = 10_000
    queued_bytes: Annotated[Size, Meta(description="The same in bytes.")] = Size(16_000_000)
    overflow: Annotated[
        Overflow,
        Meta(description='Beyond that "drop oldest" or "drop newest"; dropped ones are counted.'),
    ] = Overflow.DROP_OLDEST
    retained: Annotated[int, Meta(ge=0, description="Most retained messages.")] = 10_000
    connections: Annotated[int, Meta(ge=1, description="Most connections at a time.")] = 20_000
    connections_per_address: Annotated[
        int, Meta(ge=1, description="Most connections from one address at a time.")
    ] = 2000
    handshake_timeout: Annotated[
        Duration, Meta(description="Longest time for the TLS handshake, and then for CONNECT.")
    ] = Duration(10)


class MqttBroker:
    """See :class:`motehub.contracts.Transport`."""

    def __init__(self, settings: Settings, ground: Ground) -> None:
        self._settings = settings
        self._ground = ground
        gatekeeper = Gatekeeper(ground.tokens, ground.devices, None, trusted=ground.trusted)
        limits = BrokerLimits(
            settings.sessions,
            settings.subscriptions,
            settings.queued_messages,
            int(settings.queued_bytes),
            settings.overflow,
            settings.retained,
            int(settings.session_expiry),
        )
        self._service = Service(
            NAME,
            ground,
            Broker(limits),
            Meanings(),
            gatekeeper,
            Limits(
                receive_maximum=settings.receive_maximum,
                maximum_packet_size=int(settings.packet_limit),
                connect_timeout=int(settings.handshake_timeout),
            ),
            settings.keep_alive,
        )
        self._plain = self._listener(NAME, None)
        self._tls = self._listener(_TLS, ground.tls(ClientTrust()))
        self.listeners: dict[str, Listener] = {}

    @property
    def counters(self) -> Mapping[str, int]:
        """Connections, refusals, failed handshakes, bytes; what was dropped and discarded."""
        broker = self._service.broker
        total = self._wire()
        total.update(broker.counters)
        total.update(clients=broker.connected, sessions=len(broker.members))
        return total

    async def __aenter__(self) -> MqttBroker:
        """Take up what was kept, and open the ports."""
        settings = self._settings
        await self._ground.hub.interrupt(NAME)
        self._service.broker.restore(self._ground.state(), self._ground.clock())
        self.listeners[NAME] = await self._plain.open(settings.host, settings.port)
        self.listeners[_TLS] = await self._tls.open(settings.host, settings.tls_port)
        statistics = Statistics(self._service.broker, self._wire, self._ground.clock())
        self._service.begin(statistics)
        self._ground.commands.attach(NAME, BrokerCarrier(self._service, self._ground.commands))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the ports; what was received is stored first."""
        await self._plain.close()
        await self._tls.close()
        await self._service.end()

    def _wire(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for listener in (self._plain, self._tls):
            total.update(listener.counters)
        return total

    def _listener(self, name: str, tls: TlsContexts | None) -> StreamListener:
        settings = self._settings
        limits = ConnectionLimits(
            settings.connections,
            settings.connections_per_address,
            float(settings.handshake_timeout),
            float(settings.session_expiry),
        )
        return StreamListener(
            name,
            self._ground,
            limits,
            self._converse,
            tls,
            quick=True,
            section=f"transport.{NAME}",
            keep=self._service.keep,
        )

    def _converse(self, peer: Peer, channel: Channel) -> Conversation:
        return MqttConversation(self._service, peer, channel)


PART: Final = TransportPart(Settings, MqttBroker)
