"""The MQTT broker, for 3.1.1 and 5; ``docs/protocols/mqtt-broker.md``."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from motehub.contracts import ClientTrust, Ground, Listener, TlsContexts, TransportPart
from motehub.conversations import (
    Channel,
    ConnectionLimits,
    Conversation,
    Converse,
    Peer,
    Successor,
)
from motehub.listening import StreamListener
from motehub.mqtt_meaning.meanings import Meanings
from motehub.protocols.mqtt.broker import Broker
from motehub.protocols.mqtt.limits import BrokerLimits, Limits, Overflow
from motehub.quantities import Duration, Size
from motehub.security.mqtt_access import Gatekeeper
from motehub.security.mqtt_rules import Anonymous, Rule
from motehub.transports._mqtt_broker_carrier import BrokerCarrier
from motehub.transports._mqtt_broker_conversation import MqttConversation
from motehub.transports._mqtt_broker_service import Service, steady
from motehub.transports._mqtt_broker_statistics import Statistics

NAME: Final = "mqtt_broker"
_TLS: Final = f"{NAME}_tls"
_WEBSOCKET: Final = f"{NAME}_websocket"
_PATH: Final = "/mqtt"
# A client may put more than one packet into a message of WebSocket.
_MESSAGE_EXTRA: Final = 65_536
# Seconds in which a 3.1.1 client without keep alive says something.
_SILENCE: Final = 30 * 86_400.0


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[transport.mqtt_broker]``."""

    enabled: Annotated[bool, Meta(description="Whether this broker runs.")] = True
    host: Annotated[str, Meta(description='Address to listen on; "" = all, IPv6 too.')] = "0.0.0.0"  # noqa: S104
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0 = any free one.")] = 1883
    tls_port: Annotated[
        int, Meta(ge=0, le=65535, description="Port for TLS; 0 = any free one.")
    ] = 8883
    websocket_port: Annotated[
        int,
        Meta(
            ge=0,
            le=65535,
            description="Port for MQTT in WebSocket, for browsers; 0 = any free one. The web port "
            "has it at /mqtt too.",
        ),
    ] = 9001
    websocket_origins: Annotated[
        list[str],
        Meta(
            description='Sites whose pages may connect, beside the hub\'s: "https://HOST:PORT"; '
            '"*" = any. With hub.admission = "open", any.'
        ),
    ] = []
    anonymous: Annotated[
        Anonymous,
        Meta(
            description="Clients without token and certificate may use: sessions (what device "
            'sessions need), all (every topic), none (they are refused); "" = all with '
            'hub.admission = "open", else sessions.'
        ),
    ] = Anonymous.BY_ADMISSION
    client_certificates: Annotated[
        str,
        Meta(
            description="PEM file of clients' own certificates, believed on the TLS port beside "
            "those that the hub issued; it may come and change while the hub runs."
        ),
    ] = ""
    rule: Annotated[
        list[Rule],
        Meta(
            description="Access rules, best written as sections [[transport.mqtt_broker.rule]]: "
            "for user, client_id, device or anonymous; publish, subscribe, deny_publish, "
            "deny_subscribe."
        ),
    ] = []
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
    message_rate: Annotated[
        int,
        Meta(
            ge=0,
            description="Messages a second that a client may publish; beyond, it is read more "
            "slowly. 0 = no limit.",
        ),
    ] = 0
    sessions: Annotated[int, Meta(ge=1, description="Most sessions, connected or kept.")] = 20_000
    session_expiry: Annotated[
        Duration, Meta(description="Longest time that a session is kept without connection.")
    ] = Duration(30 * 86400)
    subscriptions: Annotated[int, Meta(ge=1, description="Most subscriptions of a client.")] = 1000
    queued_messages: Annotated[
        int, Meta(ge=1, le=60_000, description="Most messages that wait for a client.")
    ] = 10_000
    queued_bytes: Annotated[Size, Meta(description="The same in bytes.")] = Size(16_000_000)
    queued_bytes_total: Annotated[
        Size,
        Meta(
            description="Bytes of messages that wait for all clients together, or for their "
            "acknowledgement; one that waits for many counts once if it is long."
        ),
    ] = Size(268_435_456)
    overflow: Annotated[
        Overflow,
        Meta(
            description='Beyond that "drop oldest" or "drop newest"; dropped ones are counted. '
            "Beyond the total, the oldest of the client for which most waits."
        ),
    ] = Overflow.DROP_OLDEST
    retained: Annotated[int, Meta(ge=0, description="Most retained messages.")] = 10_000
    retained_bytes: Annotated[Size, Meta(description="The same in bytes.")] = Size(64_000_000)
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
        own = settings.client_certificates
        tls = ground.tls(ClientTrust(bundle=Path(own) if own else None))
        meanings = Meanings(ground.mqtt)
        gatekeeper = Gatekeeper(
            ground.tokens,
            ground.devices,
            tls,
            rules=settings.rule,
            anonymous=settings.anonymous,
            trusted=ground.trusted,
            reading_topics=meanings.filters,
        )
        limits = BrokerLimits(
            settings.sessions,
            settings.subscriptions,
            settings.queued_messages,
            int(settings.queued_bytes),
            settings.overflow,
            settings.retained,
            int(settings.session_expiry),
            int(settings.retained_bytes),
            int(settings.queued_bytes_total),
        )
        self._service = Service(
            NAME,
            ground,
            Broker(limits),
            meanings,
            gatekeeper,
            Limits(
                receive_maximum=settings.receive_maximum,
                maximum_packet_size=int(settings.packet_limit),
                connect_timeout=int(settings.handshake_timeout),
            ),
            settings.keep_alive,
            settings.message_rate,
            asyncio.get_running_loop().call_soon,
            steady(ground.clock),
        )
        self._carrier = BrokerCarrier(self._service, ground.commands)
        self._plain = self._listener(NAME, None, self._converse)
        self._tls = self._listener(_TLS, tls, self._converse)
        self._websocket = self._listener(_WEBSOCKET, None, self._converse_in_frames)
        self.listeners: dict[str, Listener] = {}

    @property
    def counters(self) -> Mapping[str, int]:
        """Connections, refusals, failed handshakes, bytes; what was dropped and discarded."""
        broker = self._service.broker
        total = self._wire()
        total.update(broker.counters)
        total.update(clients=broker.connected, sessions=len(broker.members))
        total["queued_bytes"] = broker.tally.bytes
        return total

    async def __aenter__(self) -> MqttBroker:
        """Take up what was kept, and open the ports."""
        settings = self._settings
        await self._ground.hub.interrupt(NAME)
        broker, meanings = self._service.broker, self._service.meanings
        broker.restore(self._ground.state(), self._service.clock())
        kept = [broker.retained.find(lesson) for lesson in meanings.lessons]
        meanings.learn([queued.message for found in kept for queued in found])
        self.listeners[NAME] = await self._plain.open(settings.host, settings.port)
        self.listeners[_TLS] = await self._tls.open(settings.host, settings.tls_port)
        self.listeners[_WEBSOCKET] = await self._websocket.open(
            settings.host, settings.websocket_port
        )
        statistics = Statistics(self._service.broker, self._wire, self._service.clock())
        self._service.begin(statistics)
        self._ground.commands.attach(NAME, self._carrier)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Say goodbye and close the ports; what was received is stored first."""
        self._service.dismiss()
        await self._plain.close()
        await self._tls.close()
        await self._websocket.close()
        await self._service.end()
        await self._carrier.end()

    @property
    def upgrades(self) -> Mapping[str, Callable[[Callable[[], None]], Successor]]:
        """See :class:`motehub.conversations.Upgrading`."""
        return {_PATH: self._websocket.adopt}

    def _wire(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for listener in (self._plain, self._tls, self._websocket):
            total.update(listener.counters)
        return total

    def _listener(self, name: str, tls: TlsContexts | None, converse: Converse) -> StreamListener:
        settings = self._settings
        limits = ConnectionLimits(
            settings.connections,
            settings.connections_per_address,
            float(settings.handshake_timeout),
            _SILENCE,
        )
        return StreamListener(
            name,
            self._ground,
            limits,
            converse,
            tls,
            section=f"transport.{NAME}",
            keep=self._service.keep,
        )

    def _converse(self, peer: Peer, channel: Channel) -> Conversation:
        return MqttConversation(self._service, peer, channel)

    def _converse_in_frames(self, peer: Peer, channel: Channel) -> Conversation:
        """Begin a conversation in WebSocket frames.

        Their package takes long to import, and every command reads the settings in this file.
        """
        from motehub.transports._mqtt_broker_websocket import WebSocketConversation
        from motehub.websocket_frames import ANY_ORIGIN, WebSocket

        settings = self._settings
        origins = [ANY_ORIGIN] if self._ground.trusted else settings.websocket_origins
        limit = int(settings.packet_limit) + _MESSAGE_EXTRA
        socket = WebSocket(limit, origins, names=self._ground.names)
        return WebSocketConversation(socket, self._converse, peer, channel)


PART: Final = TransportPart(Settings, MqttBroker)
