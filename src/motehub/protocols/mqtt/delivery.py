"""Messages to one client: in flight, queued, redelivered; aliases and sizes that it allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from motehub.protocols.mqtt.encoding import Copies, encode
from motehub.protocols.mqtt.packets import (
    NO_PUBLISH,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Version,
)
from motehub.protocols.mqtt.properties import ConnectProperties
from motehub.protocols.mqtt.reason_codes import FAILURE, ReasonCode
from motehub.protocols.mqtt.session import MICROSECONDS, PACKET_IDS, Queued, Session
from motehub.protocols.mqtt.wire import protocol_error

# An alias costs three bytes of property, so short topics are better sent as they are.
_WORTH_AN_ALIAS: Final = 4

# One for all connections: copies of a message follow each other.
_copies: Final = Copies()


class Delivery:
    """Sends to the client of ``session`` over one connection; ``write`` takes its bytes.

    At most ``window`` messages of QoS 1 and 2 are in flight, fewer if the client says so.
    While it is ``held``, everything waits: the client doesn't read as fast as we write.
    """

    __slots__ = (
        "_alias_maximum",
        "_aliases",
        "_maximum_packet_size",
        "_quota",
        "_resend",
        "_sent",
        "_session",
        "_version",
        "_write",
        "held",
    )

    def __init__(
        self,
        session: Session,
        version: Version,
        asked: ConnectProperties,
        window: int,
        write: Callable[[bytes], None],
    ) -> None:
        self._session = session
        self._version = version
        self._write = write
        # [MQTT-3.3.4-9]
        self._quota = min(window, asked.receive_maximum or PACKET_IDS)
        self._maximum_packet_size = asked.maximum_packet_size
        # [MQTT-3.1.2-26], [MQTT-3.1.2-27]
        self._alias_maximum = asked.topic_alias_maximum or 0
        self._aliases: dict[str, int] = {}
        # What a connection before this one sent, and this one has to send again, in order.
        self._resend = deque(session.outgoing)
        self._sent: set[int] = set()
        self.held = False

    def send(self, message: Publish, now: int, expires: int | None = None) -> bool:
        """Send ``message``, or queue it while too many are in flight.

        ``message`` is as the client is to see it, without packet identifier and alias;
        ``expires`` is when it is not worth sending any more (UTC µs like ``now``). False says
        that it is dropped, because it expired or the client takes no packet of its size.
        """
        if expires is not None and expires <= now:
            return False
        if not (message.qos or self.held):
            message = _counted_down(message, now, expires)
            if self._is_too_large(message):
                return False
            self._write_publish(message)
            return True
        # Nothing overtakes what waits [MQTT-4.6.0-5].
        if self._session.queue or self._resend or self.held or len(self._sent) >= self._quota:
            if self._is_too_large(message):
                return False
            self._session.put(Queued(message, expires))
            return True
        return self._start(message, now, expires)

    def pump(self, now: int) -> None:
        """Send what waits, as far as there is room in flight: first what is sent again."""
        if self.held:
            return
        session = self._session
        sent = self._sent
        while self._resend and len(sent) < self._quota:
            # [MQTT-4.4.0-1], [MQTT-4.6.0-1]
            packet_id = self._resend.popleft()
            packet = session.outgoing.get(packet_id)
            if isinstance(packet, Publish):
                if self._is_too_large(packet):
                    self._forget(packet_id)
                else:
                    self._write_publish(replace(packet, dup=True))
                    sent.add(packet_id)
            elif packet is not None:
                self._write(encode(packet, self._version))
                sent.add(packet_id)
        while session.queue and not self._resend and len(sent) < self._quota:
            queued = session.pull()
            # [MQTT-3.3.2-5]
            expired = queued.expires is not None and queued.expires <= now
            if expired or not self._start(queued.message, now, queued.expires):
                self._settle(queued.message.packet_id)

    def acknowledged(self, packet: PubAck | PubComp) -> None:
        """Take note that a delivery is complete; one that is unknown is ignored.

        Raises:
            Refused: the packet doesn't fit what was sent.
        """
        sent = self._session.outgoing.get(packet.packet_id)
        if sent is None:
            return
        right = isinstance(sent, PubRel) if isinstance(packet, PubComp) else _has_qos(sent, 1)
        if not right:
            raise protocol_error(f"Packet {packet.packet_id} is acknowledged by the wrong packet.")
        self._forget(packet.packet_id)

    def received(self, packet: PubRec) -> None:
        """Take note that the client has taken a QoS 2 message, or refused it.

        Raises:
            Refused: what was sent was not of QoS 2.
        """
        packet_id = packet.packet_id
        sent = self._session.outgoing.get(packet_id)
        if sent is None or isinstance(sent, PubRel):
            return
        if sent.qos != 2:
            raise protocol_error(f"Packet {packet_id} is acknowledged by the wrong packet.")
        if packet.reason_code >= FAILURE:
            # [MQTT-4.4.0-2]
            self._forget(packet_id)
            return
        self._session.release(packet_id)

    def release(self, packet: PubRec) -> None:
        """Answer a PUBREC, once what it changed is kept [MQTT-4.3.3-4]."""
        if packet.reason_code >= FAILURE:
            return
        known = packet.packet_id in self._session.outgoing
        code = ReasonCode.SUCCESS if known else ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
        self._write(encode(PubRel(packet.packet_id, code), self._version))

    def _start(self, message: Publish, now: int, expires: int | None) -> bool:
        message = _counted_down(message, now, expires)
        if self._is_too_large(message):
            return False
        if not message.qos:
            self._write_publish(message)
            return True
        packet_id = message.packet_id
        if not packet_id:
            packet_id = self._session.free_packet_id()
            # Not ``replace``, which takes three times as long.
            topic, payload, qos, retain = (
                message.topic,
                message.payload,
                message.qos,
                message.retain,
            )
            message = Publish(topic, payload, qos, retain, False, packet_id, message.properties)
        self._write_publish(message)
        self._session.start(packet_id, message)
        self._sent.add(packet_id)
        return True

    def _forget(self, packet_id: int) -> None:
        self._session.finish(packet_id)
        self._sent.discard(packet_id)
        self._settle(packet_id)

    def _settle(self, packet_id: int) -> None:
        if self._session.settled is not None:
            self._session.settled(packet_id)

    def _write_publish(self, message: Publish) -> None:
        if self._alias_maximum:
            message = self._with_alias(message)
        self._write(_copies.encode(message, self._version))

    def _is_too_large(self, message: Publish) -> bool:
        # [MQTT-3.1.2-24], [MQTT-3.1.2-25]
        limit = self._maximum_packet_size
        if limit is None:
            return False
        # The property of an alias may have to come on top.
        room = limit - 3 if self._alias_maximum else limit
        return len(_copies.encode(message, self._version)) > room

    def _with_alias(self, message: Publish) -> Publish:
        topic = message.topic
        alias = self._aliases.get(topic)
        if alias is None:
            if len(self._aliases) >= self._alias_maximum or len(topic) < _WORTH_AN_ALIAS:
                return message
            alias = self._aliases[topic] = len(self._aliases) + 1
        else:
            topic = ""
        told = replace(message.properties, topic_alias=alias)
        return replace(message, topic=topic, properties=told)


def _has_qos(sent: Publish | PubRel, qos: int) -> bool:
    return isinstance(sent, Publish) and sent.qos == qos


def _counted_down(message: Publish, now: int, expires: int | None) -> Publish:
    """Return ``message`` with the expiry interval that is left [MQTT-3.3.2-6]."""
    if expires is None or message.properties is NO_PUBLISH:
        return message
    left = -(-(expires - now) // MICROSECONDS)
    return replace(message, properties=replace(message.properties, message_expiry_interval=left))
