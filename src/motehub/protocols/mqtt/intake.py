"""Messages from one client: QoS 2 once, no more in flight than agreed, aliases resolved."""

from __future__ import annotations

from msgspec.structs import replace

from motehub.protocols.mqtt.packets import NO_PUBLISH, Publish
from motehub.protocols.mqtt.reason_codes import FAILURE, ReasonCode
from motehub.protocols.mqtt.session import Session
from motehub.protocols.mqtt.wire import Refused, protocol_error


class Intake:
    """Takes what the client of ``session`` publishes over one connection.

    More than ``receive_maximum`` messages of QoS 1 and 2 that are not complete are refused, or
    any number are taken if it is None; aliases go up to ``topic_alias_maximum``.
    """

    __slots__ = (
        "_alias_maximum",
        "_aliases",
        "_qos_1",
        "_qos_2",
        "_receive_maximum",
        "_session",
    )

    def __init__(
        self, session: Session, receive_maximum: int | None, topic_alias_maximum: int
    ) -> None:
        self._session = session
        self._receive_maximum = receive_maximum
        self._alias_maximum = topic_alias_maximum
        self._aliases: dict[int, str] = {}
        # Not complete on this connection: how many, and which.
        self._qos_1 = 0
        self._qos_2: set[int] = set()

    def with_topic(self, packet: Publish) -> Publish:
        """Return ``packet`` with the topic that its alias stands for, and without alias.

        Raises:
            Refused: the alias is too large, or stands for nothing.
        """
        alias = packet.properties.topic_alias
        if packet.properties is NO_PUBLISH or alias is None:
            return packet
        if alias > self._alias_maximum:
            # [MQTT-3.2.2-17]
            raise Refused(ReasonCode.TOPIC_ALIAS_INVALID, f"Topic alias {alias} is too large.")
        topic = packet.topic or self._aliases.get(alias)
        if topic is None:
            # §3.3.2.3.4
            raise protocol_error(f"Topic alias {alias} stands for nothing yet.")
        self._aliases[alias] = topic
        return replace(packet, topic=topic, properties=replace(packet.properties, topic_alias=None))

    def is_new(self, packet: Publish) -> bool:
        """Tell whether a message of QoS 1 or 2 is to be kept: not when it was taken before.

        Raises:
            Refused: too many are in flight.
        """
        if packet.qos == 1:
            self._qos_1 += 1
            new = True
        else:
            packet_id = packet.packet_id
            # [MQTT-4.3.3-10]
            session = self._session
            known = packet_id in session.incoming or packet_id in session.keeping
            new = not known and packet_id not in self._qos_2
            self._qos_2.add(packet_id)
        limit = self._receive_maximum
        if limit is not None and self._qos_1 + len(self._qos_2) > limit:
            # [MQTT-3.3.4-7]
            raise Refused(
                ReasonCode.RECEIVE_MAXIMUM_EXCEEDED, f"More than {limit} messages are in flight."
            )
        return new

    def is_kept(self, packet_id: int) -> bool:
        """Tell whether a QoS 2 message is kept, and so may be acknowledged again."""
        return packet_id in self._session.incoming

    def awaits(self, packet_id: int) -> bool:
        """Tell whether a QoS 2 message has come over this connection and is not complete."""
        return packet_id in self._qos_2

    def answered(self, packet: Publish, reason: ReasonCode) -> None:
        """Take note that a message of QoS 1 or 2 is kept, or refused for ``reason``."""
        if packet.qos == 1:
            self._qos_1 -= 1
        elif reason < FAILURE:
            self._session.incoming.add(packet.packet_id)
        else:
            # [MQTT-4.3.3-9]
            self._qos_2.discard(packet.packet_id)

    def completed(self, packet_id: int) -> ReasonCode:
        """Forget a QoS 2 message; return what its PUBCOMP says."""
        known = packet_id in self._session.incoming
        self._session.incoming.discard(packet_id)
        self._qos_2.discard(packet_id)
        return ReasonCode.SUCCESS if known else ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
