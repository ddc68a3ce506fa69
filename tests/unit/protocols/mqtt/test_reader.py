"""Reading: every split, every prefix, sizes, garbage."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.protocols.mqtt.strategies import connects, from_client, from_server
from tests.unit.protocols.mqtt.test_packets import opened, opened_by_server

from motehub.protocols.mqtt.encoding import encode
from motehub.protocols.mqtt.packets import (
    Connect,
    Disconnect,
    Packet,
    PingReq,
    Publish,
    Subscribe,
    Subscription,
    Version,
    Violation,
)
from motehub.protocols.mqtt.properties import ConnectProperties
from motehub.protocols.mqtt.reader import PacketReader
from motehub.protocols.mqtt.reason_codes import ReasonCode

V3, V5 = Version.V3_1_1, Version.V5
VIOLATIONS = Path(__file__).with_name("violations.txt")


def conversation(version: Version) -> list[Packet]:
    return [
        Connect("c", version, keep_alive=5),
        Subscribe(1, (Subscription("a/#", 2),)),
        Publish("a/b", b"x" * 10),
        Publish("a/b", b"y" * 130, 1, packet_id=2),
        Publish("a/c", b"", 2, True, True, packet_id=3),
        PingReq(),
        Disconnect(),
    ]


@pytest.mark.parametrize("version", Version)
def test_a_conversation_in_two_pieces(version: Version) -> None:
    """However a stream is split in two, the same packets come out."""
    packets = conversation(version)
    data = b"".join(encode(packet, version) for packet in packets)
    for cut in range(len(data) + 1):
        reader = PacketReader()
        assert reader.feed(data[:cut]) + reader.feed(data[cut:]) == packets


@pytest.mark.parametrize("version", Version)
def test_a_conversation_byte_by_byte(version: Version) -> None:
    """A stream that comes in single bytes yields each packet with its last byte."""
    packets = conversation(version)
    reader = PacketReader()
    for packet in packets:
        data = encode(packet, version)
        for byte in data[:-1]:
            assert reader.feed(bytes([byte])) == []
        assert reader.feed(data[-1:]) == [packet]


@given(
    st.sampled_from(Version).flatmap(
        lambda v: st.tuples(connects(v), st.lists(from_client(v), max_size=8))
    ),
    st.lists(st.integers(1, 40)),
)
def test_any_conversation_in_any_pieces(
    talk: tuple[Connect, list[Packet]], sizes: list[int]
) -> None:
    """Packets up to the first DISCONNECT come out, whatever the pieces."""
    connect, rest = talk
    sent = [connect, *rest]
    data = b"".join(encode(packet, connect.version) for packet in sent)
    expected: list[Packet] = []
    for packet in sent:
        expected.append(packet)
        if isinstance(packet, Disconnect):
            break
    reader = PacketReader()
    found: list[Packet | Violation] = []
    position = 0
    for size in itertools.chain(sizes, itertools.repeat(len(data))):
        found += reader.feed(data[position : position + size])
        position += size
        if position >= len(data):
            break
    assert found == expected


@given(st.sampled_from(Version).flatmap(lambda v: st.tuples(st.just(v), from_client(v))))
def test_a_packet_that_says_it_is_shorter_is_refused(case: tuple[Version, Packet]) -> None:
    """No packet is read from its own prefix as if it were whole, unless the prefix is a packet."""
    version, packet = case
    whole = encode(packet, version)
    header = 2 if whole[1] < 0x80 else 3
    for length in range(min(len(whole) - header, 0x7F)):
        data = bytes((whole[0], length)) + whole[header : header + length]
        for found in opened(version).feed(data):
            if not isinstance(found, Violation):
                again = encode(found, version)
                assert opened(version).feed(again) == [found]


def cases() -> list[tuple[str, int, bytes]]:
    found = []
    for line in VIOLATIONS.read_text("utf-8").splitlines():
        fields, _, _ = line.partition("#")
        if fields.strip():
            start, code, *data = fields.split()
            found.append((start, int(code, 16), bytes.fromhex("".join(data))))
    return found


def reader_for(start: str) -> PacketReader:
    version = V3 if start.endswith("4") else V5
    if "s" not in start:
        return PacketReader() if start == "-" else opened(version)
    return PacketReader.of_server(version) if start[0] == "-" else opened_by_server(version)


@pytest.mark.parametrize(
    ("start", "code", "data"), cases(), ids=lambda v: v.hex(" ") if isinstance(v, bytes) else None
)
def test_violations_have_the_code_that_the_specification_names(
    start: str, code: int, data: bytes
) -> None:
    """A forbidden packet ends the conversation with its reason code, however it is split."""
    [violation] = reader_for(start).feed(data)
    assert isinstance(violation, Violation)
    assert violation.reason_code == code, violation.text
    reader = reader_for(start)
    found = [one for byte in data for one in reader.feed(bytes([byte]))]
    assert found == [violation]
    assert reader.feed(data) == []


def test_what_came_before_a_violation_counts() -> None:
    """Packets of the same read that precede a violation are returned with it."""
    found = opened(V5).feed(encode(PingReq(), V5) + b"\x00\x00" + encode(PingReq(), V5))
    assert found[0] == PingReq()
    assert isinstance(found[1], Violation)
    assert len(found) == 2


def test_nothing_after_a_disconnect_is_read() -> None:
    """Bytes behind a DISCONNECT are ignored, even bad ones."""
    reader = opened(V5)
    assert reader.feed(b"\xe0\x00\x00\xff") == [Disconnect()]
    assert reader.feed(encode(PingReq(), V5)) == []


@pytest.mark.parametrize("size", [100, 127, 128, 129, 130, 20_000])
def test_a_packet_may_be_as_large_as_the_limit(size: int) -> None:
    """The limit counts the fixed header too; one byte more is refused."""
    room = size - len(encode(Publish("t", b""), V3)) - (size > 129) - (size > 16_386)
    packet = Publish("t", b"x" * room, packet_id=0)
    data = encode(packet, V3)
    reader = opened(V3)
    reader.maximum_packet_size = len(data)
    assert reader.feed(data) == [packet]
    reader.maximum_packet_size = len(data) - 1
    [violation] = reader.feed(data)
    assert isinstance(violation, Violation)
    assert violation.reason_code is ReasonCode.PACKET_TOO_LARGE


def test_a_packet_that_is_too_large_is_refused_before_it_is_sent() -> None:
    """The fixed header alone is enough to refuse a packet."""
    reader = opened(V5)
    reader.maximum_packet_size = 1000
    [violation] = reader.feed(b"\x30\x80\x80\x80\x01")
    assert isinstance(violation, Violation)
    assert violation.reason_code is ReasonCode.PACKET_TOO_LARGE


def test_too_large_a_connect_is_answered_in_its_version() -> None:
    """A CONNECT beyond the limit leaves the version to answer in."""
    told = ConnectProperties(user_property=(("k", "v" * 200),))
    data = encode(Connect("c", V5, properties=told), V5)
    reader = PacketReader(100)
    [violation] = reader.feed(data[:50])
    assert isinstance(violation, Violation)
    assert violation.reason_code is ReasonCode.PACKET_TOO_LARGE
    assert reader.version is V5


def test_strangers_are_refused_at_the_first_byte() -> None:
    """A browser that speaks HTTP is not waited for."""
    reader = PacketReader()
    [violation] = reader.feed(b"G")
    assert isinstance(violation, Violation)
    assert violation.reason_code is ReasonCode.PROTOCOL_ERROR
    assert reader.version is None


def test_a_311_length_may_be_longer_than_it_has_to_be() -> None:
    """MQTT 3.1.1 does not ask for the shortest remaining length; MQTT 5 does."""
    assert opened(V3).feed(b"\xc0\x80\x00") == [PingReq()]


def test_large_packets_in_small_reads() -> None:
    """A megabyte that comes in pieces is one packet, with what follows it."""
    packet = Publish("t", b"x" * 1_000_000, 1, packet_id=1)
    data = encode(packet, V5) + encode(PingReq(), V5)
    reader = opened(V5)
    found = [one for at in range(0, len(data), 1460) for one in reader.feed(data[at : at + 1460])]
    assert found == [packet, PingReq()]


@given(st.binary(max_size=300))
def test_garbage_from_strangers(data: bytes) -> None:
    """Nothing that a stranger sends raises."""
    PacketReader().feed(data)
    PacketReader.of_server(V5).feed(data)


@settings(max_examples=500)
@given(st.sampled_from(Version), st.binary(min_size=1, max_size=200), st.integers(0x10, 0xFF))
@example(V5, b"\x82", 0x00)
def test_garbage_in_frames(version: Version, body: bytes, first: int) -> None:
    """Any body behind any first byte is packets, or packets and one violation at the end."""
    data = bytes((first,)) + (
        bytes((len(body),)) if len(body) < 0x80 else bytes((len(body) & 0x7F | 0x80, 1))
    )
    for reader in (opened(version), opened_by_server(version)):
        found = reader.feed(data + body)
        assert not any(isinstance(one, Violation) for one in found[:-1])


@settings(max_examples=500)
@given(
    st.sampled_from(Version).flatmap(
        lambda v: st.tuples(st.just(v), st.one_of(from_client(v), from_server(v)))
    ),
    st.data(),
)
def test_packets_with_a_changed_byte(case: tuple[Version, Packet], data: st.DataObject) -> None:
    """A packet with one byte changed is read as something or refused, and never raises."""
    version, packet = case
    changed = bytearray(encode(packet, version))
    at = data.draw(st.integers(0, len(changed) - 1))
    changed[at] = data.draw(st.integers(0, 255))
    for reader in (opened(version), opened_by_server(version)):
        for found in reader.feed(bytes(changed)):
            if not isinstance(found, Violation):
                encode(found, version)
