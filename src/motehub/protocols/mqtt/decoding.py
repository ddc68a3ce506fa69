"""From the body of a packet to the packet: everything that need not be fast.

Each decoder reads all of ``body`` and raises :class:`Refused` for a packet that the specification
forbids; what it says then is read by people.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from motehub.protocols.mqtt.packets import (
    NO_ACK,
    NO_CONNACK,
    NO_PUBLISH,
    NO_SUBSCRIBE,
    NO_UNSUBSCRIBE,
    Auth,
    ConnAck,
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
from motehub.protocols.mqtt.properties import (
    AckProperties,
    AuthProperties,
    ConnAckProperties,
    DisconnectProperties,
    PublishProperties,
    SubscribeProperties,
    UnsubscribeProperties,
    WillProperties,
    decode_properties,
)
from motehub.protocols.mqtt.reason_codes import (
    AUTH_CODES,
    CONNACK_CODES,
    CONNECT_RETURN_CODES,
    DISCONNECT_CODES,
    PUBACK_CODES,
    PUBREL_CODES,
    SUBACK_CODES,
    SUBACK_CODES_3,
    UNSUBACK_CODES,
    Codes,
    ReasonCode,
)
from motehub.protocols.mqtt.topics import SHARE_PREFIX, filter_fault, name_fault
from motehub.protocols.mqtt.wire import Body, Refused, malformed, protocol_error

# The Publish of a first byte: QoS, retain, dup. Those with QoS 3 [MQTT-3.3.1-4], and those with
# DUP at QoS 0 [MQTT-3.3.1-2], are missing.
PUBLISH_FLAGS: Final[Mapping[int, tuple[int, bool, bool]]] = {
    0x30 | dup << 3 | qos << 1 | retain: (qos, bool(retain), bool(dup))
    for qos in (0, 1, 2)
    for retain in (0, 1)
    for dup in (0, 1)
    if qos or not dup
}


def publish(body: Body, flags: tuple[int, bool, bool], version: Version) -> Publish:
    """Decode a PUBLISH (§3.3)."""
    qos, retain, dup = flags
    topic = body.text()
    packet_id = _packet_id(body) if qos else 0
    properties = NO_PUBLISH
    if version is Version.V5:
        properties = decode_properties(body, PublishProperties)
        check_response_topic(properties)
    if topic:
        check_name(topic)
    elif version is Version.V3_1_1:
        raise Refused(ReasonCode.TOPIC_NAME_INVALID, "A topic name is empty [MQTT-4.7.3-1].")
    elif properties.topic_alias is None:
        # §3.3.2.3.4
        raise protocol_error("A PUBLISH has neither topic name nor topic alias.")
    return Publish(topic, body.rest(), qos, retain, dup, packet_id, properties)


def check_name(topic: str) -> None:
    """Refuse a topic name that is not well-formed."""
    if fault := name_fault(topic):
        raise Refused(ReasonCode.TOPIC_NAME_INVALID, fault)


def check_response_topic(properties: PublishProperties | WillProperties) -> None:
    """Refuse a response topic that is not a topic name."""
    response_topic = properties.response_topic
    if response_topic is not None and (fault := name_fault(response_topic)):
        # [MQTT-3.3.2-14]
        raise protocol_error(f"Response topic: {fault}")


def _packet_id(body: Body) -> int:
    packet_id = body.two_bytes()
    if not packet_id:
        # [MQTT-2.2.1-3], [MQTT-2.2.1-4]
        raise protocol_error("A packet identifier is zero.")
    return packet_id


def _code(number: int, allowed: Codes) -> ReasonCode:
    code = allowed.get(number)
    if code is None:
        raise protocol_error(f"0x{number:02X} is not a reason code of this packet.")
    return code


def _conn_ack(body: Body, version: Version) -> ConnAck:
    flags, number = body.byte(), body.byte()
    if flags & 0xFE:
        raise malformed("A reserved flag of a CONNACK is set [MQTT-3.2.2-1].")
    properties = NO_CONNACK
    if version is Version.V3_1_1 or (not body.left and 0 < number < 0x80):
        # A server that knows only 3.1.1 refuses an MQTT 5 client in its own words.
        code = _code(number, CONNECT_RETURN_CODES)
    else:
        code = _code(number, CONNACK_CODES)
        properties = decode_properties(body, ConnAckProperties)
    body.finish()
    if flags and code:
        raise protocol_error("A CONNACK refuses and has a session [MQTT-3.2.2-6].")
    return ConnAck(bool(flags), code, properties)


_AnyAck = TypeVar("_AnyAck", PubAck, PubRec, PubRel, PubComp)


def _acknowledgement(kind: type[_AnyAck], codes: Codes) -> Callable[[Body, Version], _AnyAck]:
    def decode(body: Body, version: Version) -> _AnyAck:
        packet_id = _packet_id(body)
        if not body.left:
            return kind(packet_id)
        if version is Version.V3_1_1:
            body.finish()
        code = _code(body.byte(), codes)
        # §3.4.2.2.1: without property length, there are none.
        properties = decode_properties(body, AckProperties) if body.left else NO_ACK
        body.finish()
        return kind(packet_id, code, properties)

    return decode


def _subscribe(body: Body, version: Version) -> Subscribe:
    packet_id = _packet_id(body)
    properties = NO_SUBSCRIBE
    if version is Version.V5:
        properties = decode_properties(body, SubscribeProperties)
    subscriptions = []
    while body.left:
        topic_filter = _filter(body)
        subscriptions.append(_subscription(topic_filter, body.byte(), version))
    if not subscriptions:
        raise protocol_error("A SUBSCRIBE has no topic filter [MQTT-3.8.3-2].")
    return Subscribe(packet_id, tuple(subscriptions), properties)


def _subscription(topic_filter: str, options: int, version: Version) -> Subscription:
    qos = options & 3
    if version is Version.V3_1_1:
        if options > 2:
            raise malformed("QoS or reserved bits of a SUBSCRIBE [3.1.1: MQTT-3.8.3-4].")
        return Subscription(topic_filter, qos)
    handling = options >> 4 & 3
    no_local = bool(options & 4)
    if options & 0xC0:
        raise malformed("A reserved bit of the subscription options is set [MQTT-3.8.3-5].")
    if qos == 3 or handling == 3:
        # §3.8.3.1
        raise protocol_error("QoS or retain handling of a subscription is 3.")
    if no_local and topic_filter.startswith(SHARE_PREFIX):
        raise protocol_error("A shared subscription has No Local [MQTT-3.8.3-4].")
    return Subscription(topic_filter, qos, no_local, bool(options & 8), handling)


def _filter(body: Body) -> str:
    topic_filter = body.text()
    if fault := filter_fault(topic_filter):
        raise Refused(ReasonCode.TOPIC_FILTER_INVALID, fault)
    return topic_filter


def _sub_ack(body: Body, version: Version) -> SubAck:
    packet_id = _packet_id(body)
    properties = NO_ACK
    allowed = SUBACK_CODES_3
    if version is Version.V5:
        properties = decode_properties(body, AckProperties)
        allowed = SUBACK_CODES
    codes = tuple(_code(number, allowed) for number in body.rest())
    if not codes:
        raise protocol_error("A SUBACK has no reason code [MQTT-3.8.4-6].")
    return SubAck(packet_id, codes, properties)


def _unsubscribe(body: Body, version: Version) -> Unsubscribe:
    packet_id = _packet_id(body)
    properties = NO_UNSUBSCRIBE
    if version is Version.V5:
        properties = decode_properties(body, UnsubscribeProperties)
    filters = []
    while body.left:
        filters.append(_filter(body))
    if not filters:
        raise protocol_error("An UNSUBSCRIBE has no topic filter [MQTT-3.10.2-2].")
    return Unsubscribe(packet_id, tuple(filters), properties)


def _unsub_ack(body: Body, version: Version) -> UnsubAck:
    packet_id = _packet_id(body)
    if version is Version.V3_1_1:
        body.finish()
        return UnsubAck(packet_id)
    properties = decode_properties(body, AckProperties)
    codes = tuple(_code(number, UNSUBACK_CODES) for number in body.rest())
    if not codes:
        raise protocol_error("An UNSUBACK has no reason code (§3.11.3).")
    return UnsubAck(packet_id, codes, properties)


def _ping_req(body: Body, version: Version) -> PingReq:
    body.finish()
    return PingReq()


def _ping_resp(body: Body, version: Version) -> PingResp:
    body.finish()
    return PingResp()


def _disconnect(body: Body, version: Version) -> Disconnect:
    if version is Version.V3_1_1:
        body.finish()
    if not body.left:
        return Disconnect()
    code = _code(body.byte(), DISCONNECT_CODES)
    if not body.left:
        # §3.14.2.2.1
        return Disconnect(code)
    properties = decode_properties(body, DisconnectProperties)
    body.finish()
    return Disconnect(code, properties)


def _disconnect_of_server(body: Body, version: Version) -> Disconnect:
    packet = _disconnect(body, version)
    if packet.properties.session_expiry_interval is not None:
        raise protocol_error("A server's DISCONNECT has a session expiry [MQTT-3.14.2-2].")
    return packet


def _auth(body: Body, version: Version) -> Auth:
    if not body.left:
        # §3.15.2.1
        return Auth()
    code = _code(body.byte(), AUTH_CODES)
    properties = decode_properties(body, AuthProperties)
    body.finish()
    if properties.authentication_method is None:
        # §3.15.2.2.2
        raise protocol_error("An AUTH has no authentication method.")
    return Auth(code, properties)


Decoder = Callable[[Body, Version], Packet]

_puback = _acknowledgement(PubAck, PUBACK_CODES)
_pubrec = _acknowledgement(PubRec, PUBACK_CODES)
_pubrel = _acknowledgement(PubRel, PUBREL_CODES)
_pubcomp = _acknowledgement(PubComp, PUBREL_CODES)

# By first byte, with the flags that each type must have [MQTT-2.1.3-1]; CONNECT, CONNACK and
# PUBLISH are the reader's own matter.
FROM_CLIENT: Final[Mapping[int, Decoder]] = {
    0x40: _puback,
    0x50: _pubrec,
    # [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1]
    0x62: _pubrel,
    0x70: _pubcomp,
    0x82: _subscribe,
    0xA2: _unsubscribe,
    0xC0: _ping_req,
    0xE0: _disconnect,
    0xF0: _auth,
}
FROM_SERVER: Final[Mapping[int, Decoder]] = {
    0x20: _conn_ack,
    0x40: _puback,
    0x50: _pubrec,
    0x62: _pubrel,
    0x70: _pubcomp,
    0x90: _sub_ack,
    0xB0: _unsub_ack,
    0xD0: _ping_resp,
    0xE0: _disconnect_of_server,
    0xF0: _auth,
}
