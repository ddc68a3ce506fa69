"""From packets to bytes, in both directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any, Final

from motehub.protocols.mqtt.packets import (
    NO_ACK,
    NO_AUTH,
    NO_DISCONNECT,
    NO_PUBLISH,
    Ack,
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
    Subscription,
    UnsubAck,
    Unsubscribe,
    Version,
)
from motehub.protocols.mqtt.properties import Properties, encode_properties
from motehub.protocols.mqtt.reason_codes import ReasonCode, connect_return_code
from motehub.protocols.mqtt.wire import binary_bytes, text_bytes, variable_bytes

_SHORT_ACK: Final = Struct(">BBH").pack
_SHORT_HEADER: Final = Struct("BB").pack
_TWO_BYTES: Final = Struct(">H").pack


def encode(packet: Packet, version: Version) -> bytes:
    """Return ``packet`` as bytes; none at all for a 3.1.1 CONNACK that has no such return code.

    What ``packet`` says is trusted: topics and filters are well-formed, identifiers not zero.

    Raises:
        OverflowError: a string or binary datum is longer than 65,535 bytes.
        ValueError: the packet is larger than the protocol's largest.
    """
    return _ENCODERS[type(packet)](packet, version)


class Copies:
    """Encodes copies of messages, which mostly differ in the packet identifier only.

    Of the last message and version what all have in common is remembered: a fan-out is encoded
    once for each form of the message, and not for each client.
    """

    __slots__ = ("_head", "_rest", "_template", "_version")

    def __init__(self) -> None:
        self._template = Publish("", b"")
        self._version = Version.V5
        self._head = self._rest = b""

    def encode(self, packet: Publish, version: Version) -> bytes:
        """Return what :func:`encode` returns."""
        template = self._template
        # Copies of one message share these very objects.
        if not (
            packet.payload is template.payload
            and packet.topic is template.topic
            and packet.properties is template.properties
            and packet.qos == template.qos
            and packet.retain == template.retain
            and packet.dup == template.dup
            and version is self._version
        ):
            self._template, self._version = packet, version
            self._head, self._rest = _split_publish(packet, version)
        if packet.qos:
            return self._head + _TWO_BYTES(packet.packet_id) + self._rest
        return self._head


def _framed(first: int, body: bytes) -> bytes:
    length = len(body)
    if length < 0x80:
        return bytes((first, length)) + body
    return bytes((first,)) + variable_bytes(length) + body


def _properties(properties: Properties, version: Version) -> bytes:
    return encode_properties(properties) if version is Version.V5 else b""


def _connect(packet: Connect, version: Version) -> bytes:
    will = packet.will
    flags = packet.clean_start << 1
    payload = text_bytes(packet.client_id)
    # [MQTT-3.1.3-1]: the order of these.
    if will is not None:
        flags |= 0x04 | will.qos << 3 | will.retain << 5
        payload += _properties(will.properties, version)
        payload += text_bytes(will.topic) + binary_bytes(will.payload)
    if packet.user_name is not None:
        flags |= 0x80
        payload += text_bytes(packet.user_name)
    if packet.password is not None:
        flags |= 0x40
        payload += binary_bytes(packet.password)
    head = b"\x00\x04MQTT" + bytes((version, flags)) + _TWO_BYTES(packet.keep_alive)
    return _framed(0x10, head + _properties(packet.properties, version) + payload)


def _conn_ack(packet: ConnAck, version: Version) -> bytes:
    if version is Version.V5:
        head = bytes((packet.session_present, packet.reason_code))
        return _framed(0x20, head + encode_properties(packet.properties))
    number = connect_return_code(packet.reason_code)
    return b"" if number is None else bytes((0x20, 2, packet.session_present, number))


def _publish(packet: Publish, version: Version) -> bytes:
    head, rest = _split_publish(packet, version)
    return head + _TWO_BYTES(packet.packet_id) + rest if packet.qos else head


def _split_publish(packet: Publish, version: Version) -> tuple[bytes, bytes]:
    """Return what comes before and after the packet identifier; all is before one that has none."""
    topic = packet.topic.encode()
    payload = packet.payload
    qos = packet.qos
    first = 0x30 | packet.dup << 3 | qos << 1 | packet.retain
    head = _TWO_BYTES(len(topic)) + topic
    told = b""
    if version is Version.V5:
        properties = packet.properties
        told = b"\0" if properties is NO_PUBLISH else encode_properties(properties)
    length = len(head) + len(told) + len(payload) + (2 if qos else 0)
    fixed = (
        _SHORT_HEADER(first, length) if length < 0x80 else bytes((first,)) + variable_bytes(length)
    )
    if qos:
        return fixed + head, told + payload
    return b"".join((fixed, head, told, payload)), b""


def _ack(first: int) -> Callable[[Ack, Version], bytes]:
    def encode_ack(packet: Ack, version: Version) -> bytes:
        code, properties = packet.reason_code, packet.properties
        # §3.4.2.1: the reason code may be left out when it is success and nothing follows.
        if version is Version.V3_1_1 or (not code and properties is NO_ACK):
            return _SHORT_ACK(first, 2, packet.packet_id)
        head = _TWO_BYTES(packet.packet_id) + bytes((code,))
        if properties is NO_ACK:
            return _framed(first, head)
        return _framed(first, head + encode_properties(properties))

    return encode_ack


def _subscribe(packet: Subscribe, version: Version) -> bytes:
    body = _TWO_BYTES(packet.packet_id) + _properties(packet.properties, version)
    for one in packet.subscriptions:
        options = one.qos if version is Version.V3_1_1 else _options(one)
        body += text_bytes(one.filter) + bytes((options,))
    return _framed(0x82, body)


def _options(subscription: Subscription) -> int:
    return (
        subscription.qos
        | subscription.no_local << 2
        | subscription.retain_as_published << 3
        | subscription.retain_handling << 4
    )


def _sub_ack(packet: SubAck, version: Version) -> bytes:
    codes = packet.reason_codes
    if version is Version.V3_1_1:
        # It has one word for all failures.
        codes = tuple(min(code, ReasonCode.UNSPECIFIED_ERROR) for code in codes)
    body = _TWO_BYTES(packet.packet_id) + _properties(packet.properties, version)
    return _framed(0x90, body + bytes(codes))


def _unsubscribe(packet: Unsubscribe, version: Version) -> bytes:
    body = _TWO_BYTES(packet.packet_id) + _properties(packet.properties, version)
    return _framed(0xA2, body + b"".join(map(text_bytes, packet.filters)))


def _unsub_ack(packet: UnsubAck, version: Version) -> bytes:
    body = _TWO_BYTES(packet.packet_id)
    if version is Version.V5:
        body += encode_properties(packet.properties) + bytes(packet.reason_codes)
    return _framed(0xB0, body)


def _disconnect(packet: Disconnect, version: Version) -> bytes:
    code, properties = packet.reason_code, packet.properties
    if version is Version.V3_1_1 or (not code and properties is NO_DISCONNECT):
        return b"\xe0\x00"
    if properties is NO_DISCONNECT:
        return bytes((0xE0, 1, code))
    return _framed(0xE0, bytes((code,)) + encode_properties(properties))


def _auth(packet: Auth, version: Version) -> bytes:
    if not packet.reason_code and packet.properties is NO_AUTH:
        return b"\xf0\x00"
    return _framed(0xF0, bytes((packet.reason_code,)) + encode_properties(packet.properties))


_ENCODERS: Final[Mapping[type[Packet], Callable[[Any, Version], bytes]]] = {
    Connect: _connect,
    ConnAck: _conn_ack,
    Publish: _publish,
    PubAck: _ack(0x40),
    PubRec: _ack(0x50),
    PubRel: _ack(0x62),
    PubComp: _ack(0x70),
    Subscribe: _subscribe,
    SubAck: _sub_ack,
    Unsubscribe: _unsubscribe,
    UnsubAck: _unsub_ack,
    PingReq: lambda packet, version: b"\xc0\x00",
    PingResp: lambda packet, version: b"\xd0\x00",
    Disconnect: _disconnect,
    Auth: _auth,
}
