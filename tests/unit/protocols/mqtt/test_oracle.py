"""MQTT 5 next to the codec ``mqtt5``, which others wrote: the same bytes, and each reads the other.

Only packets that a codec wrote go into ``mqtt5``: it panics on ill-formed UTF-8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import mqtt5
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace
from tests.unit.protocols.mqtt.strategies import conn_acks, connects, from_client, from_server
from tests.unit.protocols.mqtt.test_packets import opened, opened_by_server

from motehub.protocols.mqtt.encoding import encode
from motehub.protocols.mqtt.packets import (
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
    Will,
)
from motehub.protocols.mqtt.properties import Properties, no_properties
from motehub.protocols.mqtt.reader import PacketReader

V5 = Version.V5

NAMES: Final = {
    "assigned_client_identifier": "assigned_client_id",
    "maximum_packet_size": "max_packet_size",
    "maximum_qos": "max_qos",
    "reason_string": "reason_str",
    "receive_maximum": "receive_max",
    "request_problem_information": "request_problem_info",
    "request_response_information": "request_response_info",
    "response_information": "response_info",
    "subscription_identifiers_available": "subscription_id_available",
    "topic_alias_maximum": "topic_alias_max",
    "user_property": "user_properties",
}
"""What the other codec calls a property, where it is not the same."""

DEFAULTS: Final[Mapping[str, object]] = {
    "payload_format_indicator": 0,
    "receive_maximum": 65_535,
    "request_problem_information": True,
    "request_response_information": False,
    "retain_available": True,
    "shared_subscription_available": True,
    "subscription_identifiers_available": True,
    "topic_alias_maximum": 0,
    "wildcard_subscription_available": True,
    "will_delay_interval": 0,
}
"""Values that the other codec leaves out, as they are the same as none."""


def without_defaults(properties: Any, kind: type[Packet] | type[Will]) -> Any:
    defaults = dict(DEFAULTS)
    if kind is Connect:
        defaults["session_expiry_interval"] = 0
    kept = {
        name: value
        for name, value in asdict(properties).items()
        if value not in (None, ()) and not (name in defaults and value == defaults[name])
    }
    return type(properties)(**kept) if kept else no_properties(type(properties))


def plain(packet: Any) -> Any:
    """Return ``packet`` without properties that say what is so anyhow."""
    if not isinstance(getattr(packet, "properties", None), Properties):
        return packet
    changes = {"properties": without_defaults(packet.properties, type(packet))}
    if isinstance(packet, Connect) and packet.will is not None:
        properties = without_defaults(packet.will.properties, Will)
        changes["will"] = replace(packet.will, properties=properties)
    return replace(packet, **changes)


def named(properties: Properties) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in asdict(properties).items():
        if value is None:
            continue
        if name == "subscription_identifier":
            if isinstance(value, tuple):
                found["subscription_ids"] = list(value)
            else:
                found["subscription_id"] = value
        elif name == "maximum_qos":
            found["max_qos"] = mqtt5.QoS(value)
        else:
            found[NAMES.get(name, name)] = list(value) if isinstance(value, tuple) else value
    return found


def _connect(packet: Connect) -> mqtt5.Packet:
    will = packet.will
    return mqtt5.ConnectPacket(
        packet.client_id,
        username=packet.user_name,
        password=packet.password,
        clean_start=packet.clean_start,
        keep_alive=packet.keep_alive,
        will=None
        if will is None
        else mqtt5.Will(
            will.topic,
            payload=will.payload,
            qos=mqtt5.QoS(will.qos),
            retain=will.retain,
            **named(will.properties),
        ),
        **named(packet.properties),
    )


def _conn_ack(packet: ConnAck) -> mqtt5.Packet:
    return mqtt5.ConnAckPacket(
        session_present=packet.session_present,
        reason_code=mqtt5.ConnAckReasonCode(packet.reason_code),
        **named(packet.properties),
    )


def _publish(packet: Publish) -> mqtt5.Packet:
    return mqtt5.PublishPacket(
        packet.topic,
        packet.payload,
        qos=mqtt5.QoS(packet.qos),
        retain=packet.retain,
        duplicate=packet.dup,
        packet_id=packet.packet_id or None,
        **named(packet.properties),
    )


def _subscribe(packet: Subscribe) -> mqtt5.Packet:
    filters = [
        mqtt5.TopicFilter(
            one.filter,
            max_qos=mqtt5.QoS(one.qos),
            no_local=one.no_local,
            retain_as_published=one.retain_as_published,
            retain_handling=mqtt5.RetainHandling(one.retain_handling),
        )
        for one in packet.subscriptions
    ]
    return mqtt5.SubscribePacket(packet.packet_id, filters, **named(packet.properties))


def _ack(kind: Any, codes: Any) -> Callable[[Any], mqtt5.Packet]:
    def make(packet: Any) -> mqtt5.Packet:
        made: mqtt5.Packet = kind(
            packet.packet_id, reason_code=codes(packet.reason_code), **named(packet.properties)
        )
        return made

    return make


def _list_ack(kind: Any, codes: Any) -> Callable[[Any], mqtt5.Packet]:
    def make(packet: Any) -> mqtt5.Packet:
        reasons = [codes(code) for code in packet.reason_codes]
        made: mqtt5.Packet = kind(packet.packet_id, reasons, **named(packet.properties))
        return made

    return make


def _last(kind: Any, codes: Any) -> Callable[[Any], mqtt5.Packet]:
    def make(packet: Any) -> mqtt5.Packet:
        made: mqtt5.Packet = kind(reason_code=codes(packet.reason_code), **named(packet.properties))
        return made

    return make


MAKERS: Final[Mapping[type[Packet], Callable[[Any], mqtt5.Packet]]] = {
    Connect: _connect,
    ConnAck: _conn_ack,
    Publish: _publish,
    PubAck: _ack(mqtt5.PubAckPacket, mqtt5.PubAckReasonCode),
    PubRec: _ack(mqtt5.PubRecPacket, mqtt5.PubRecReasonCode),
    PubRel: _ack(mqtt5.PubRelPacket, mqtt5.PubRelReasonCode),
    PubComp: _ack(mqtt5.PubCompPacket, mqtt5.PubCompReasonCode),
    Subscribe: _subscribe,
    SubAck: _list_ack(mqtt5.SubAckPacket, mqtt5.SubAckReasonCode),
    Unsubscribe: lambda packet: mqtt5.UnsubscribePacket(
        packet.packet_id, list(packet.filters), **named(packet.properties)
    ),
    UnsubAck: _list_ack(mqtt5.UnsubAckPacket, mqtt5.UnsubAckReasonCode),
    PingReq: lambda _: mqtt5.PingReqPacket(),
    PingResp: lambda _: mqtt5.PingRespPacket(),
    Disconnect: _last(mqtt5.DisconnectPacket, mqtt5.DisconnectReasonCode),
    Auth: _last(mqtt5.AuthPacket, mqtt5.AuthReasonCode),
}


BEHIND_USER_PROPERTIES: Final = {
    "maximum_packet_size",
    "shared_subscription_available",
    "subscription_identifiers_available",
    "wildcard_subscription_available",
}
"""The order is free (§2.2.2.2). Ours is that of the identifiers; the other codec has the user
properties last."""


def check(packet: Packet, reader: PacketReader) -> None:
    packet = plain(packet)
    other = MAKERS[type(packet)](packet)
    ours, theirs = encode(packet, V5), other.write()
    if is_in_another_order(packet):
        assert len(ours) == len(theirs)
        assert sorted(ours) == sorted(theirs)
    else:
        assert ours == theirs
    assert mqtt5.read(memoryview(ours)) == (other, len(ours))
    assert reader.feed(theirs) == [packet]


def is_in_another_order(packet: Any) -> bool:
    properties = getattr(packet, "properties", None)
    if not isinstance(properties, Properties) or not properties.user_property:
        return False
    return not BEHIND_USER_PROPERTIES.isdisjoint(named_by_us(properties))


def named_by_us(properties: Properties) -> set[str]:
    return {name for name, value in asdict(properties).items() if value is not None}


def is_comparable(packet: Packet) -> bool:
    # The other codec spells out the code and the length of an AUTH that has neither; without
    # method that is a protocol error (§3.15.2.2.2).
    return packet != Auth()


def test_every_packet_is_compared() -> None:
    """No packet of the protocol is missing from the comparison."""
    assert set(MAKERS) == set(Packet.__args__)


@given(connects(V5))
def test_connect(packet: Connect) -> None:
    """A CONNECT is the same bytes in both codecs, and each reads the other's."""
    check(packet, PacketReader())


@given(from_client(V5).filter(is_comparable))
def test_packets_of_a_client(packet: Packet) -> None:
    """What a client sends is the same bytes in both codecs, and each reads the other's."""
    check(packet, opened(V5))


@given(conn_acks(V5))
def test_connack(packet: ConnAck) -> None:
    """A CONNACK is the same bytes in both codecs, and each reads the other's."""
    check(packet, PacketReader.of_server(V5))


@given(from_server(V5).filter(is_comparable))
def test_packets_of_a_server(packet: Packet) -> None:
    """What a server sends is the same bytes in both codecs, and each reads the other's."""
    check(packet, opened_by_server(V5))


@given(st.lists(from_client(V5).filter(is_comparable), max_size=6))
def test_a_stream_of_the_other_codec(packets: list[Packet]) -> None:
    """Packets that the other codec wrote one after another are read up to the DISCONNECT."""
    packets = [plain(packet) for packet in packets if not isinstance(packet, Disconnect)]
    stream = b"".join(MAKERS[type(packet)](packet).write() for packet in packets)
    assert opened(V5).feed(stream) == packets
