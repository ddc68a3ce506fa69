"""From the bytes of a connection to its packets, all those of one read in one loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from motehub.protocols.mqtt.connecting import answer_version, decode_connect, protocol_version
from motehub.protocols.mqtt.decoding import FROM_CLIENT, FROM_SERVER, PUBLISH_FLAGS, publish
from motehub.protocols.mqtt.packets import (
    Connect,
    Disconnect,
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Version,
    Violation,
)
from motehub.protocols.mqtt.reason_codes import ReasonCode
from motehub.protocols.mqtt.wire import VARIABLE_LIMIT, Body, Refused, malformed, protocol_error

HEADER_LIMIT: Final = 5
"""Longest fixed header in bytes."""

LARGEST_PACKET: Final = HEADER_LIMIT + VARIABLE_LIMIT
"""Largest packet that the protocol has, in bytes."""

_CONNECT, _CONNACK, _AUTH, _DISCONNECT = 0x10, 0x20, 0xF0, 0xE0
_SHORT_ACKS: Final[Mapping[int, type[PubAck | PubRec | PubRel | PubComp]]] = {
    0x40: PubAck,
    0x50: PubRec,
    0x62: PubRel,
    0x70: PubComp,
}

# Topic names that were found well-formed, of all connections: most publish on the same few again
# and again. Only short ones, so that their number bounds the memory.
_KNOWN_TOPICS: Final = 4096
_KNOWN_TOPIC_BYTES: Final = 128
_known_topics: dict[bytes, str] = {}


class PacketReader:
    """Decodes what one peer sends; made so, it reads a client's packets, on the server's side.

    ``maximum_packet_size`` is in bytes, fixed header included; it is checked before the bytes of
    a packet are kept, and may be changed between reads. ``version`` is None until a CONNECT has
    told it; after a violation it is the version to answer in, None for no answer at all.
    """

    __slots__ = (
        "_decoders",
        "_ended",
        "_held",
        "_needed",
        "_opened",
        "maximum_packet_size",
        "version",
    )

    def __init__(self, maximum_packet_size: int = LARGEST_PACKET) -> None:
        self.maximum_packet_size = maximum_packet_size
        self.version: Version | None = None
        self._decoders = FROM_CLIENT
        self._held: bytearray | None = None
        self._needed = 0
        self._opened = False
        self._ended = False

    @classmethod
    def of_server(cls, version: Version, maximum_packet_size: int = LARGEST_PACKET) -> PacketReader:
        """Return a reader of what a server sends, on the client's side."""
        reader = cls(maximum_packet_size)
        reader.version = version
        reader._decoders = FROM_SERVER
        return reader

    def feed(self, data: bytes) -> list[Packet | Violation]:
        """Return the packets that ``data`` completes, in their order.

        A violation is the last of them; after it, and after a DISCONNECT, all bytes are ignored.
        """
        packets: list[Packet | Violation] = []
        if self._ended:
            return packets
        if self._held is not None:
            self._held += data
            if len(self._held) < self._needed:
                return packets
            data = bytes(self._held)
            self._held = None
        try:
            position = self._decode(data, packets)
            if position < len(data) and not self._ended:
                self._hold(data, position)
        except Refused as refused:
            self._ended = True
            packets.append(Violation(refused.reason_code, refused.text))
        return packets

    def _decode(self, data: bytes, packets: list[Packet | Violation]) -> int:
        """Append all complete packets; return where the first incomplete one begins."""
        position = 0
        end = len(data)
        limit = self.maximum_packet_size
        opened = self._opened
        v5 = self.version is Version.V5
        topics = _known_topics
        append = packets.append
        # A fixed header has two bytes at least.
        while position + 1 < end:
            first = data[position]
            length = data[position + 1]
            start = position + 2
            if length > 0x7F:
                length, start = self._long_length(data, position)
            stop = start + length
            if stop > end or stop - position > limit:
                # Incomplete or too large: ``_hold`` tells.
                break
            # What sensors send is decoded here; the rest, and what is wrong with it, in
            # ``decoding``. A topic that is known needs no more checks.
            if opened and length > 3 and (flags := PUBLISH_FLAGS.get(first)) is not None:
                name_end = start + 2 + (data[start] << 8 | data[start + 1])
                qos, retain, dup = flags
                body = name_end + v5 if not qos else name_end + 2 + v5
                if (
                    body <= stop
                    and (topic := topics.get(data[start + 2 : name_end])) is not None
                    and (not v5 or not data[body - 1])
                ):
                    packet_id = data[name_end] << 8 | data[name_end + 1] if qos else 0
                    if packet_id or not qos:
                        append(Publish(topic, data[body:stop], qos, retain, dup, packet_id))
                        position = stop
                        continue
            elif (
                opened
                and length == 2
                and (short := _SHORT_ACKS.get(first)) is not None
                and (packet_id := data[start] << 8 | data[start + 1])
            ):
                append(short(packet_id))
                position = stop
                continue
            append(self._packet(first, Body(data, start, stop)))
            position = stop
            if self._ended:
                break
            opened = self._opened
            v5 = self.version is Version.V5
        return position

    def _packet(self, first: int, body: Body) -> Packet:
        self._check_first_byte(first)
        if first == _CONNECT:
            return self._connect(body)
        if (flags := PUBLISH_FLAGS.get(first)) is not None:
            return self._publish(flags, body)
        assert self.version is not None
        packet = self._decoders[first](body, self.version)
        if first == _CONNACK:
            self._opened = True
        elif isinstance(packet, Disconnect):
            # [MQTT-3.14.4-1]
            self._ended = True
        return packet

    def _connect(self, body: Body) -> Connect:
        # Where no version can be read, the CONNECT is not answered.
        self.version = answer_version(body)
        start = body.position
        version = self.version = protocol_version(body)
        if version is Version.V5 and body.data[start - 1] == 0:
            raise malformed("The remaining length is longer than it has to be [MQTT-1.5.5-1].")
        packet = decode_connect(body, version)
        self._opened = True
        return packet

    def _publish(self, flags: tuple[int, bool, bool], body: Body) -> Publish:
        assert self.version is not None
        packet = publish(body, flags, self.version)
        if packet.properties.subscription_identifier and self._decoders is FROM_CLIENT:
            raise protocol_error("A client's PUBLISH has a subscription identifier [MQTT-3.3.4-6].")
        name = packet.topic.encode()
        if name and len(name) <= _KNOWN_TOPIC_BYTES:
            if len(_known_topics) >= _KNOWN_TOPICS:
                _known_topics.clear()
            _known_topics[name] = packet.topic
        return packet

    def _long_length(self, data: bytes, position: int) -> tuple[int, int]:
        """Return the remaining length of more than one byte, and where the body begins.

        While it is incomplete, the length is taken to be beyond all data.
        """
        length = 0
        at = position + 1
        for shift in (0, 7, 14, 21):
            if at == len(data):
                return LARGEST_PACKET, at
            byte = data[at]
            at += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                if not byte and self.version is Version.V5:
                    # The first fault counts, as it does when the first byte comes alone.
                    self._check_first_byte(data[position])
                    raise malformed(
                        "The remaining length is longer than it has to be [MQTT-1.5.5-1]."
                    )
                return length, at
        self._check_first_byte(data[position])
        raise malformed("The remaining length has more than four bytes (§1.5.5).")

    def _hold(self, data: bytes, position: int) -> None:
        """Keep the beginning of a packet, unless it is clear already that it is refused."""
        first = data[position]
        self._check_first_byte(first)
        held = len(data) - position
        self._needed = held + 1
        if held > 1:
            length, start = data[position + 1], position + 2
            if length > 0x7F:
                length, start = self._long_length(data, position)
            if length < LARGEST_PACKET:
                self._needed = start + length - position
                self._check_size(first, Body(data, start, len(data)))
        self._held = bytearray(memoryview(data)[position:])

    def _check_size(self, first: int, body: Body) -> None:
        if self._needed <= self.maximum_packet_size:
            return
        if first == _CONNECT:
            self.version = answer_version(body)
        # [MQTT-3.2.2-15]
        raise Refused(
            ReasonCode.PACKET_TOO_LARGE,
            f"A packet of {self._needed} bytes; at most {self.maximum_packet_size} are accepted.",
        )

    def _check_first_byte(self, first: int) -> None:
        """Check type and flags of a packet, and that it may come now and from this side."""
        allowed = self._decoders
        kind = first >> 4
        if not self._opened:
            self._check_opening(first)
        elif first == _CONNECT and allowed is FROM_CLIENT:
            raise protocol_error("A second CONNECT [MQTT-3.1.0-2].")
        elif first == _CONNACK and allowed is FROM_SERVER:
            raise protocol_error("A second CONNACK [MQTT-3.2.0-2].")
        elif kind == 3:
            if first & 0x06 == 0x06:
                raise malformed("A PUBLISH has QoS 3 [MQTT-3.3.1-4].")
            if first not in PUBLISH_FLAGS:
                raise malformed("A PUBLISH is a duplicate at QoS 0 [MQTT-3.3.1-2].")
        elif kind == 0 or (kind == 15 and self.version is Version.V3_1_1):
            raise malformed(f"{kind} is no packet type (§2.1.2).")
        elif first not in allowed:
            if kind in {known >> 4 for known in allowed}:
                raise malformed("The flags of a fixed header are wrong [MQTT-2.1.3-1].")
            raise protocol_error(f"A packet of type {kind} is not sent in this direction (§2.1.2).")
        elif first == _DISCONNECT and allowed is FROM_SERVER and self.version is Version.V3_1_1:
            raise protocol_error("A 3.1.1 server sends no DISCONNECT [3.1.1: §3.14].")

    def _check_opening(self, first: int) -> None:
        if self._decoders is FROM_CLIENT:
            if first == _CONNECT:
                return
            if first >> 4 == _CONNECT >> 4:
                raise malformed("The flags of a fixed header are wrong [MQTT-2.1.3-1].")
            raise protocol_error("The first packet is not a CONNECT [MQTT-3.1.0-1].")
        if first == _CONNACK or (first == _AUTH and self.version is Version.V5):
            return
        raise protocol_error("The first packet is not a CONNACK [MQTT-3.2.0-1].")
