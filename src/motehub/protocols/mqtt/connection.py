"""The server's side of one connection: bytes and time go in, packets to act on and bytes come out.

Whoever uses it acts on the packets that ``receive`` returns, keeps what has to be kept, calls
``acknowledge`` with those of them that want an answer, and writes ``take_output()``. So all
messages of one read can be kept in one commit, and all answers leave in one write, after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Final

from msgspec.structs import replace

from motehub.protocols.mqtt.delivery import Delivery
from motehub.protocols.mqtt.encoding import encode
from motehub.protocols.mqtt.events import Closed, Event, Wanted
from motehub.protocols.mqtt.intake import Intake
from motehub.protocols.mqtt.limits import Limits
from motehub.protocols.mqtt.packets import (
    NO_ACK,
    NO_CONNACK,
    NO_DISCONNECT,
    NO_PUBLISH,
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    Version,
    Violation,
    is_payload_valid,
)
from motehub.protocols.mqtt.properties import (
    AckProperties,
    ConnAckProperties,
    DisconnectProperties,
)
from motehub.protocols.mqtt.reader import PacketReader
from motehub.protocols.mqtt.reason_codes import ReasonCode
from motehub.protocols.mqtt.session import (
    MICROSECONDS,
    Session,
    seconds_kept,
    session_expiry,
)
from motehub.protocols.mqtt.wire import Refused, protocol_error

_SHORT_ACK: Final = Struct(">BBH").pack


class Connection:
    """One client, from its first byte at ``now`` on. All times are UTC microseconds."""

    __slots__ = (
        "_connect",
        "_delivery",
        "_ended",
        "_heard",
        "_intake",
        "_keep_alive",
        "_limits",
        "_out",
        "_reader",
        "_session",
        "_session_expiry",
        "_version",
        "_waiting",
    )

    def __init__(self, limits: Limits, now: int) -> None:
        self._limits = limits
        self._reader = PacketReader(limits.maximum_packet_size)
        self._version = Version.V5
        self._out: list[bytes] = []
        self._connect: Connect | None = None
        self._session: Session | None = None
        self._delivery: Delivery | None = None
        self._intake: Intake | None = None
        self._session_expiry: int | None = 0
        # Packets that came before the CONNECT was accepted.
        self._waiting: list[Packet | Violation] = []
        self._heard = now
        self._keep_alive = limits.connect_timeout * MICROSECONDS
        self._ended = False

    @property
    def deadline(self) -> int | None:
        """When ``timeout`` has to be called, or None for never."""
        if self._ended or not self._keep_alive:
            return None
        return self._heard + self._keep_alive

    @property
    def is_closed(self) -> bool:
        """Whether the connection is over and has to be closed once its output is written."""
        return self._ended

    def receive(self, data: bytes, now: int) -> list[Event]:
        """Return what is to be acted on, in order.

        A ``Connect`` is answered with ``accept`` or ``refuse`` before more is received. Of a QoS 2
        message that is sent again while it is known, nothing is returned.
        """
        if self._ended:
            return []
        packets = self._reader.feed(data)
        if packets and self._connect is not None:
            self._heard = now
        return self._act(packets, now)

    def timeout(self, now: int) -> list[Event]:
        """Return how the connection ends if it has been silent for too long."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return []
        if self._session is None:
            return [self._close(ReasonCode.SUCCESS, "not connected in time", will=False)]
        # [MQTT-3.1.2-22]
        return [self.disconnect(ReasonCode.KEEP_ALIVE_TIMEOUT, "silent beyond its keep alive")]

    def eof(self) -> list[Event]:
        """Return how the connection ends when the client has closed it without a word."""
        if self._ended:
            return []
        will = self._session is not None
        return [self._close(ReasonCode.UNSPECIFIED_ERROR, "closed by the client", will=will)]

    def accept(
        self,
        session: Session,
        now: int,
        *,
        present: bool = False,
        keep_alive: int | None = None,
        properties: ConnAckProperties = NO_CONNACK,
    ) -> list[Event]:
        """Answer CONNECT with success, redeliver what ``session`` has in flight, and go on.

        ``present`` says that the session is an older one. ``keep_alive`` in seconds replaces the
        client's; 3.1.1 can't be told, and is held to it all the same. Returns what came behind
        the CONNECT.
        """
        connect = self._asked()
        seconds = connect.keep_alive if keep_alive is None else keep_alive
        self._keep_alive = seconds * MICROSECONDS * 3 // 2
        self._heard = now
        limits = self._limits
        if self._version is Version.V5:
            properties = replace(
                properties,
                receive_maximum=limits.receive_maximum,
                maximum_packet_size=limits.maximum_packet_size,
                topic_alias_maximum=limits.topic_alias_maximum,
                server_keep_alive=keep_alive,
                # [MQTT-4.12.0-5]
                authentication_method=connect.properties.authentication_method,
            )
        packet = encode(ConnAck(present, properties=properties), self._version)
        if not self._fits(packet):
            # [MQTT-3.1.2-24]
            return [self.refuse(ReasonCode.PACKET_TOO_LARGE)]
        self._write(packet)
        self._session = session
        receive_maximum = limits.receive_maximum if self._version is Version.V5 else None
        self._intake = Intake(session, receive_maximum, limits.topic_alias_maximum)
        self._delivery = Delivery(
            session, self._version, connect.properties, limits.window, self._write
        )
        self._delivery.pump(now)
        waiting, self._waiting = self._waiting, []
        return self._act(waiting, now)

    def refuse(self, reason: ReasonCode, text: str = "") -> Closed:
        """Answer CONNECT with a failure; nothing behind it is looked at [MQTT-3.1.4-6]."""
        told = ConnAckProperties(reason_string=text) if text else NO_CONNACK
        packet = encode(ConnAck(reason_code=reason, properties=told), self._version)
        if not self._fits(packet):
            packet = encode(ConnAck(reason_code=reason), self._version)
        self._write(packet)
        return self._close(reason, text, will=False)

    def disconnect(self, reason: ReasonCode, text: str = "", *, will: bool = True) -> Closed:
        """End the connection from our side; MQTT 5 clients are told why."""
        # [MQTT-3.14.0-1]
        if self._session is not None and self._version is Version.V5:
            told = DisconnectProperties(reason_string=text) if text else NO_DISCONNECT
            packet = encode(Disconnect(reason, told), self._version)
            if not self._fits(packet):
                # [MQTT-3.14.2-3]
                packet = encode(Disconnect(reason), self._version)
            self._write(packet)
        return self._close(reason, text, will=will)

    def acknowledge(
        self,
        packets: Iterable[Wanted],
        reason: ReasonCode = ReasonCode.SUCCESS,
        properties: AckProperties = NO_ACK,
    ) -> None:
        """Answer packets, in the order in which they came, once what they change is kept.

        PUBACK or PUBREC for a PUBLISH (nothing at QoS 0), PUBCOMP for a PUBREL, PUBREL for a
        PUBREC. ``reason`` and ``properties`` are for PUBLISH only; 3.1.1 clients hear of success
        [3.1.1: MQTT-3.3.5-2]. Also to be called when the
        connection has ended meanwhile, before another one takes the session over: then the
        session notes what was kept, and nothing is written.
        """
        intake, delivery = self._intake, self._delivery
        assert intake is not None
        assert delivery is not None
        if self._version is Version.V3_1_1:
            reason, properties = ReasonCode.SUCCESS, NO_ACK
        plain = not reason and properties is NO_ACK
        for packet in packets:
            if isinstance(packet, Publish):
                if not packet.qos:
                    continue
                intake.answered(packet, reason)
                if plain:
                    first = 0x40 if packet.qos == 1 else 0x50
                    self._write(_SHORT_ACK(first, 2, packet.packet_id))
                else:
                    kind = PubAck if packet.qos == 1 else PubRec
                    self.answer(kind(packet.packet_id, reason, properties))
            elif isinstance(packet, PubRel):
                # [MQTT-4.3.3-11]
                code = intake.completed(packet.packet_id)
                self._write(encode(PubComp(packet.packet_id, code), self._version))
            else:
                delivery.release(packet)

    def awaits(self, message: Publish) -> bool:
        """Tell whether a QoS 2 message has come over this connection and is not complete."""
        return self._intake is not None and self._intake.awaits(message.packet_id)

    def answer(self, packet: PubAck | PubRec | SubAck | UnsubAck | Auth) -> None:
        """Write ``packet``, without its explanations if the client has no room or wish for them."""
        asked = self._asked().properties
        if not isinstance(packet, Auth) and packet.properties is not NO_ACK:
            # [MQTT-3.1.2-29]
            if asked.request_problem_information is False:
                packet = replace(packet, properties=NO_ACK)
            elif not self._fits(encode(packet, self._version)):
                # [MQTT-3.4.2-2], [MQTT-3.9.2-1] and their like
                packet = replace(packet, properties=NO_ACK)
        self._write(encode(packet, self._version))

    def send(self, message: Publish, now: int, expires: int | None = None) -> bool:
        """Send or queue a message to the client; see :meth:`Delivery.send`."""
        if self._delivery is None or self._ended:
            return False
        return self._delivery.send(message, now, expires)

    def hold(self, held: bool, now: int) -> None:
        """Let messages wait while the client doesn't read as fast as we write, or go on."""
        if self._delivery is not None and not self._ended:
            self._delivery.held = held
            self._delivery.pump(now)

    def take_output(self) -> bytes:
        """Return all bytes that are to be written now."""
        output = b"".join(self._out)
        self._out.clear()
        return output

    def _act(self, packets: list[Packet | Violation], now: int) -> list[Event]:
        events: list[Event] = []
        try:
            for at, packet in enumerate(packets):
                if isinstance(packet, Publish) and self._intake is not None:
                    if message := self._published(packet, self._intake):
                        events.append(message)
                elif self._session is None and self._is_undecided(packet):
                    self._wait(packets[at:])
                    break
                elif isinstance(packet, Violation):
                    events.append(self._end_for(packet))
                elif isinstance(packet, Connect):
                    events.append(self._connected(packet))
                elif event := self._acted_on(packet):
                    events.append(event)
                if self._ended:
                    break
        except Refused as refused:
            events.append(self._end_for(Violation(refused.reason_code, refused.text)))
        if self._delivery is not None and not self._ended:
            self._delivery.pump(now)
        return events

    def _acted_on(self, packet: Packet) -> Event | None:
        delivery = self._delivery
        match packet:
            case PubAck() | PubComp():
                assert delivery is not None
                delivery.acknowledged(packet)
                return packet
            case PingReq():
                # [MQTT-3.12.4-1]
                self._write(encode(PingResp(), self._version))
                return None
            case Disconnect():
                return self._disconnected(packet)
            case Auth():
                self._check_method(packet)
                return packet
            case PubRec():
                assert delivery is not None
                delivery.received(packet)
                return packet
            case PubRel() | Subscribe() | Unsubscribe():
                return packet
            case _:
                raise AssertionError(f"a client's reader returned {packet}")

    def _published(self, packet: Publish, intake: Intake) -> Publish | None:
        if packet.properties is not NO_PUBLISH:
            packet = intake.with_topic(packet)
        if packet.qos and not intake.is_new(packet):
            # While it is being kept, its PUBREC is on its way.
            if intake.is_kept(packet.packet_id):
                self._write(encode(PubRec(packet.packet_id), self._version))
            return None
        return packet

    def _write(self, data: bytes) -> None:
        # [MQTT-3.14.4-1]
        if not self._ended:
            self._out.append(data)

    def _is_undecided(self, packet: Packet | Violation) -> bool:
        return self._connect is not None and not isinstance(packet, Auth)

    def _connected(self, packet: Connect) -> Connect:
        # What is not asked for again may be long.
        told = replace(packet.properties, user_property=())
        self._connect = replace(packet, will=None, user_name=None, password=None, properties=told)
        self._version = packet.version
        self._session_expiry = session_expiry(packet)
        if packet.will is not None and not is_payload_valid(packet.will):
            # §3.1.3.2.3
            raise Refused(ReasonCode.PAYLOAD_FORMAT_INVALID, "The will's payload is not UTF-8.")
        return packet

    def _wait(self, packets: list[Packet | Violation]) -> None:
        if self._asked().properties.authentication_method is not None:
            # [MQTT-3.1.2-30]
            raise protocol_error("A packet other than AUTH before the CONNACK.")
        self._waiting += packets

    def _disconnected(self, packet: Disconnect) -> Closed:
        expiry = packet.properties.session_expiry_interval
        if expiry is not None:
            if expiry and self._session_expiry == 0:
                # §3.14.2.2.2
                raise protocol_error("A session that ends with its connection can't be kept.")
            self._session_expiry = seconds_kept(expiry)
        # [MQTT-3.14.4-3]
        will = packet.reason_code is not ReasonCode.SUCCESS
        return self._close(packet.reason_code, packet.properties.reason_string or "", will=will)

    def _check_method(self, packet: Auth) -> None:
        method = self._asked().properties.authentication_method
        if method is None or packet.properties.authentication_method != method:
            # [MQTT-4.12.0-5], [MQTT-4.12.0-7]
            raise protocol_error("An AUTH of another authentication method than the CONNECT's.")

    def _end_for(self, refused: Violation) -> Closed:
        if self._session is not None:
            return self.disconnect(refused.reason_code, refused.text)
        if self._reader.version is None:
            return self._close(refused.reason_code, refused.text, will=False)
        self._version = self._reader.version
        return self.refuse(refused.reason_code, refused.text)

    def _close(self, reason: ReasonCode, text: str, *, will: bool) -> Closed:
        self._ended = True
        return Closed(reason, text, will, self._session_expiry)

    def _asked(self) -> Connect:
        assert self._connect is not None
        return self._connect

    def _fits(self, packet: bytes) -> bool:
        limit = None if self._connect is None else self._connect.properties.maximum_packet_size
        return limit is None or len(packet) <= limit
