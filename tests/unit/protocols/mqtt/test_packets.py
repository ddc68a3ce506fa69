"""Every packet there and back, and next to what another implementation sends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.protocols.mqtt.strategies import (
    conn_acks,
    connects,
    from_client,
    from_server,
    publishes,
)

from motehub.protocols.mqtt.encoding import Copies, encode
from motehub.protocols.mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PubAck,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    Subscription,
    Unsubscribe,
    Version,
    Violation,
    Will,
)
from motehub.protocols.mqtt.properties import (
    AckProperties,
    ConnectProperties,
    DisconnectProperties,
    PublishProperties,
    SubscribeProperties,
    WillProperties,
)
from motehub.protocols.mqtt.reader import PacketReader
from motehub.protocols.mqtt.reason_codes import ReasonCode

V3, V5 = Version.V3_1_1, Version.V5
versions = st.sampled_from(Version)


def opened(version: Version) -> PacketReader:
    """Return a server's reader that has seen a CONNECT."""
    reader = PacketReader()
    reader.feed(encode(Connect("c", version), version))
    return reader


def opened_by_server(version: Version) -> PacketReader:
    reader = PacketReader.of_server(version)
    reader.feed(encode(ConnAck(), version))
    return reader


@given(versions.flatmap(connects))
def test_every_connect_is_read_back(packet: Connect) -> None:
    """A server reads the CONNECT that a client wrote, and learns the version from it."""
    reader = PacketReader()
    assert reader.feed(encode(packet, packet.version)) == [packet]
    assert reader.version is packet.version


@given(versions.flatmap(lambda v: st.tuples(st.just(v), from_client(v))))
def test_every_packet_of_a_client_is_read_back(case: tuple[Version, Packet]) -> None:
    """A server reads what a client wrote."""
    version, packet = case
    assert opened(version).feed(encode(packet, version)) == [packet]


@given(versions.flatmap(lambda v: st.tuples(st.just(v), conn_acks(v))))
def test_every_connack_is_read_back(case: tuple[Version, ConnAck]) -> None:
    """A client reads the CONNACK that a server wrote."""
    version, packet = case
    assert PacketReader.of_server(version).feed(encode(packet, version)) == [packet]


@given(versions.flatmap(lambda v: st.tuples(st.just(v), from_server(v))))
def test_every_packet_of_a_server_is_read_back(case: tuple[Version, Packet]) -> None:
    """A client reads what a server wrote."""
    version, packet = case
    assert opened_by_server(version).feed(encode(packet, version)) == [packet]


# Written by paho-mqtt 2.2.0.
PAHO = [
    (
        V3,
        b"\x10-\x00\x04MQTT\x04\xd4\x00\x05\x00\x03cl1\x00\x0bstate/leave\x00\x03n;1"
        b"\x00\x04user\x00\x04pass",
        Connect("cl1", V3, False, 5, Will("state/leave", b"n;1", 2), "user", b"pass"),
    ),
    (
        V3,
        b"\x82\x0e\x00\x01\x00\x05a/+/#\x02\x00\x01b\x00",
        Subscribe(1, (Subscription("a/+/#", 2), Subscription("b"))),
    ),
    (V3, b"3\x0b\x00\x03t/1\x00\x0221.5", Publish("t/1", b"21.5", 1, True, packet_id=2)),
    (
        V3,
        b"4\xcf\x01\x00\x03t/2\x00\x03" + b"x" * 200,
        Publish("t/2", b"x" * 200, 2, packet_id=3),
    ),
    (V3, b"b\x02\x00\x03", PubRel(3)),
    (V3, b"0\x05\x00\x03t/0", Publish("t/0", b"")),
    (V3, b"\xa2\x0c\x00\x05\x00\x05a/+/#\x00\x01b", Unsubscribe(5, ("a/+/#", "b"))),
    (V3, b"\xe0\x00", Disconnect()),
    (
        V5,
        b'\x10i\x00\x04MQTT\x05\xee\x00\x05!\x11\x00\x00\x0e\x10\x17\x00!\x00\x14"\x00\n'
        b"&\x00\x01k\x00\x02\xc3\xa9&\x00\x01k\x00\x012'\x00\x00\x10\x00\x00\x03cl1\x19\x03"
        b"\x00\ntext/plain\x18\x00\x00\x00\x05&\x00\x01a\x00\x011\x00\x0bstate/leave\x00\x03n;1"
        b"\x00\x04user\x00\x04pass",
        Connect(
            "cl1",
            V5,
            True,
            5,
            Will(
                "state/leave",
                b"n;1",
                1,
                True,
                WillProperties(
                    will_delay_interval=5, content_type="text/plain", user_property=(("a", "1"),)
                ),
            ),
            "user",
            b"pass",
            ConnectProperties(
                session_expiry_interval=3600,
                request_problem_information=False,
                receive_maximum=20,
                topic_alias_maximum=10,
                maximum_packet_size=4096,
                user_property=(("k", "é"), ("k", "2")),
            ),
        ),
    ),
    (
        V5,
        b"\x82\x1b\x00\x01\x03\x0b\xac\x02\x00\x05a/+/#.\x00\n$share/g/b\x01",
        Subscribe(
            1,
            (Subscription("a/+/#", 2, True, True, 2), Subscription("$share/g/b", 1)),
            SubscribeProperties(subscription_identifier=300),
        ),
    ),
    (
        V5,
        b"3-\x00\x03t/1\x00\x02!\x01\x01\x02\x00\x00\x00<\x03\x00\x01t\x08\x00\x04r/\xc3\xa9"
        b"\t\x00\x02\x00\x01#\x00\x03&\x00\x01x\x00\x01y21.5",
        Publish(
            "t/1",
            b"21.5",
            1,
            True,
            packet_id=2,
            properties=PublishProperties(
                payload_format_indicator=1,
                message_expiry_interval=60,
                content_type="t",
                response_topic="r/é",
                correlation_data=b"\0\1",
                topic_alias=3,
                user_property=(("x", "y"),),
            ),
        ),
    ),
    (
        V5,
        b"4\xd0\x01\x00\x03t/2\x00\x03\x00" + b"x" * 200,
        Publish("t/2", b"x" * 200, 2, packet_id=3),
    ),
    (V5, b"0\x06\x00\x03t/0\x00", Publish("t/0", b"")),
    (V5, b"\xa2\r\x00\x05\x00\x00\x05a/+/#\x00\x01b", Unsubscribe(5, ("a/+/#", "b"))),
    (
        V5,
        b"\xe0\x07\x04\x05\x11\x00\x00\x00\x00",
        Disconnect(
            ReasonCode.DISCONNECT_WITH_WILL_MESSAGE, DisconnectProperties(session_expiry_interval=0)
        ),
    ),
]


@pytest.mark.parametrize(("version", "data", "packet"), PAHO, ids=lambda v: type(v).__name__)
def test_packets_of_another_implementation(version: Version, data: bytes, packet: Packet) -> None:
    """What paho-mqtt sends is read as it meant it, and we write the same bytes."""
    reader = PacketReader() if isinstance(packet, Connect) else opened(version)
    assert reader.feed(data) == [packet]
    assert encode(packet, version) == data


def test_short_acknowledgements_have_four_bytes() -> None:
    """A PUBACK without anything to tell has exactly 4 bytes, and so has a 3.1.1 CONNACK."""
    for version in Version:
        assert encode(PubAck(0x1234), version) == b"\x40\x02\x12\x34"
        assert encode(PubRec(0x1234), version) == b"\x50\x02\x12\x34"
    assert encode(ConnAck(True), V3) == b"\x20\x02\x01\x00"


def test_a_311_client_hears_only_what_its_version_has() -> None:
    """Reason codes and properties of MQTT 5 are translated for 3.1.1, or left out."""
    told = AckProperties(reason_string="no")
    assert encode(PubAck(1, ReasonCode.QUOTA_EXCEEDED, told), V3) == b"\x40\x02\x00\x01"
    refused = SubAck(1, (ReasonCode.GRANTED_QOS_2, ReasonCode.NOT_AUTHORIZED), told)
    assert encode(refused, V3) == b"\x90\x04\x00\x01\x02\x80"
    assert encode(Subscribe(1, (Subscription("a", 1, True, True, 2),)), V3)[-1] == 1
    assert encode(ConnAck(reason_code=ReasonCode.BANNED), V3) == b"\x20\x02\x00\x05"
    # A CONNECT that breaks the rules is closed without CONNACK [3.1.1: MQTT-3.1.4-1].
    for reason in (ReasonCode.MALFORMED_PACKET, ReasonCode.TOPIC_NAME_INVALID):
        assert encode(ConnAck(reason_code=reason), V3) == b""


def test_a_server_that_knows_no_mqtt_5_is_understood() -> None:
    """An MQTT 5 client reads the refusal in the words of 3.1.1."""
    packets = PacketReader.of_server(V5).feed(b"\x20\x02\x00\x01")
    assert packets == [ConnAck(False, ReasonCode.UNSUPPORTED_PROTOCOL_VERSION)]


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"\x10\x10\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x02ab", b"\x20\x02\x00\x01"),
        (b"\x10\x0e\x00\x04MQTT\x03\x02\x00\x3c\x00\x02ab", b"\x20\x02\x00\x01"),
        # A bridge of Mosquitto asks with the highest bit set, and again without it if refused.
        (b"\x10\x0e\x00\x04MQTT\x84\x02\x00\x3c\x00\x02ab", b"\x20\x02\x00\x01"),
        (b"\x10\x0e\x00\x04MQTT\x06\x02\x00\x3c\x00\x02ab", b"\x20\x03\x00\x84\x00"),
    ],
)
def test_versions_that_are_not_served_are_refused_in_their_own_words(
    data: bytes, answer: bytes
) -> None:
    """A client of another version gets the CONNACK that it can read."""
    reader = PacketReader()
    [violation] = reader.feed(data)
    assert isinstance(violation, Violation)
    assert reader.version is not None
    assert encode(ConnAck(reason_code=violation.reason_code), reader.version) == answer


def test_control_characters_and_byte_order_marks_stay() -> None:
    """What strings should not contain, but may, is passed on unchanged."""
    topic = "\ufeffa\x01\x7f\ufffe"
    assert opened(V5).feed(encode(Publish(topic, b""), V5)) == [Publish(topic, b"")]


def test_too_long_a_string_is_not_written() -> None:
    """A string beyond 65,535 bytes has no form, and raises."""
    with pytest.raises(OverflowError):
        encode(Unsubscribe(1, ("é" * 32_768,)), V5)


def test_pings_carry_nothing() -> None:
    """PINGREQ is two bytes."""
    assert encode(PingReq(), V5) == b"\xc0\x00"


@given(publishes(V5), publishes(V5), st.data())
def test_copies_are_what_encoding_each_gives(
    one: Publish, other: Publish, data: st.DataObject
) -> None:
    """However messages, versions, flags and packet identifiers alternate."""
    copies = Copies()
    for _ in range(8):
        message = data.draw(st.sampled_from([one, other]))
        qos = data.draw(st.integers(0, 2))
        copy = replace(
            message,
            qos=qos,
            packet_id=data.draw(st.integers(1, 65_535)) if qos else 0,
            dup=data.draw(st.booleans()),
            retain=data.draw(st.booleans()),
        )
        version = data.draw(st.sampled_from([V3, V5]))
        assert copies.encode(copy, version) == encode(copy, version)
