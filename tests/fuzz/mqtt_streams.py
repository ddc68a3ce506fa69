"""Streams of MQTT that a client might send, and what becomes of them when bytes go wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

from motehub.protocols.mqtt.encoding import encode
from motehub.protocols.mqtt.packets import (
    Auth,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
    Subscription,
    Unsubscribe,
    Version,
    Will,
)
from motehub.protocols.mqtt.properties import (
    AckProperties,
    AuthProperties,
    ConnectProperties,
    DisconnectProperties,
    PublishProperties,
    SubscribeProperties,
    UnsubscribeProperties,
    WillProperties,
)
from motehub.protocols.mqtt.reason_codes import ReasonCode

LONGEST_STREAM: Final = 60_000
"""Streams are cut to so many bytes."""

_USER: Final = (("name", "wert"), ("name", "é"), ("", ""))
_WILL: Final = WillProperties(
    will_delay_interval=5,
    payload_format_indicator=1,
    message_expiry_interval=60,
    content_type="text/plain",
    response_topic="answer/to",
    correlation_data=b"\x00\xff",
    user_property=_USER,
)
_CONNECT: Final = ConnectProperties(
    session_expiry_interval=100,
    receive_maximum=5,
    maximum_packet_size=500,
    topic_alias_maximum=4,
    request_response_information=True,
    request_problem_information=False,
    user_property=_USER,
)
_PUBLISH: Final = PublishProperties(
    payload_format_indicator=1,
    message_expiry_interval=7,
    topic_alias=2,
    response_topic="answer/to",
    correlation_data=b"1",
    content_type="json",
    user_property=_USER,
)
_ACK: Final = AckProperties(reason_string="because", user_property=_USER)
_AUTH: Final = AuthProperties(authentication_method="SCRAM", authentication_data=b"x")


def _connects(version: Version) -> list[Packet]:
    if version is Version.V3_1_1:
        return [
            Connect("c", version),
            Connect("c", version, False, 5, Will("state/leave", b"n;1", 2, True), "u", b"p"),
        ]
    return [
        Connect("c", version),
        Connect("", version, properties=_CONNECT),
        Connect("c", version, False, 5, Will("gone", b"1", 1, True, _WILL), "u", b"p", _CONNECT),
        Connect("c", version, properties=ConnectProperties(authentication_method="SCRAM")),
    ]


def _others(version: Version) -> list[Packet]:
    packets: list[Packet] = [
        *[Publish("readings/a/temperature", b"21.5", 0) for _ in range(4)],
        *[Publish("readings/a/humidity", b"40", 1, packet_id=n) for n in (1, 2, 300)],
        *[Publish("state/é", b"x" * 200, 2, True, packet_id=n) for n in (1, 4)],
        Publish("a", b"", 2, False, True, packet_id=4),
        *[kind(n) for kind in (PubAck, PubRec, PubRel, PubComp) for n in (1, 2, 4)],
        Subscribe(9, (Subscription("a/+/#", 2), Subscription("$share/g/b", 1))),
        Unsubscribe(10, ("a/+/#", "b")),
        PingReq(),
        Disconnect(),
    ]
    if version is Version.V5:
        options = Subscription("c/#", 1, True, True, 2)
        told = SubscribeProperties(subscription_identifier=200_000, user_property=_USER)
        packets += [
            Publish("t", b"1", 1, packet_id=7, properties=_PUBLISH),
            Publish("", b"1", properties=PublishProperties(topic_alias=2)),
            PubAck(1, ReasonCode.QUOTA_EXCEEDED, _ACK),
            PubRec(2, ReasonCode.UNSPECIFIED_ERROR, _ACK),
            PubRel(4, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND, _ACK),
            Subscribe(11, (options,), told),
            Unsubscribe(12, ("c/#",), UnsubscribeProperties(user_property=_USER)),
            Auth(ReasonCode.REAUTHENTICATE, _AUTH),
            Disconnect(
                ReasonCode.DISCONNECT_WITH_WILL_MESSAGE,
                DisconnectProperties(session_expiry_interval=3, reason_string="so"),
            ),
        ]
    return packets


def _encoded(version: Version, packets: Sequence[Packet]) -> list[bytes]:
    return [encode(packet, version) for packet in packets]


_FIRST: Final = {version: _encoded(version, _connects(version)) for version in Version}
_THEN: Final = {version: _encoded(version, _others(version)) for version in Version}
_TELLING: Final = b"\x00\x01\x02\x04\x05\x06\x7f\x80\x81\xc0\xc1\xff"


def stream(rng: random.Random) -> bytes:
    """Return a conversation of up to 20 packets, mostly with a few mistakes in it."""
    version = rng.choice(list(Version))
    packets = [rng.choice(_FIRST[version])] if rng.random() < 0.95 else []
    packets += rng.choices(_THEN[version], k=rng.randrange(20))
    if rng.random() < 0.1:
        packets.insert(
            rng.randrange(len(packets) + 1), rng.choice(_THEN[rng.choice(list(Version))])
        )
    # Where mistakes go: into one packet with its length mended, or anywhere in the stream.
    if packets and rng.random() < 0.5:
        at = rng.randrange(len(packets))
        packets[at] = _mended(_with_mistakes(rng, packets[at]))
        data = b"".join(packets)
    else:
        data = b"".join(packets)
        if rng.random() < 0.9:
            data = _with_mistakes(rng, data)
    return data[:LONGEST_STREAM]


def _mended(packet: bytes) -> bytes:
    """Return ``packet`` with a remaining length that is true, so that its body is looked at."""
    body = packet[2:]
    length, size = bytearray(), len(body)
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return packet[:1] + bytes([*length, size]) + body


def _with_mistakes(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 10))):
        rng.choice(_MISTAKES)(rng, changed)
    return bytes(changed)


def _place(rng: random.Random, data: bytearray) -> int:
    return rng.randrange(len(data) + 1)


def _flip(rng: random.Random, data: bytearray) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _replace(rng: random.Random, data: bytearray) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice(_TELLING)


def _insert(rng: random.Random, data: bytearray) -> None:
    at = _place(rng, data)
    data[at:at] = rng.choice((rng.randbytes(rng.randrange(1, 9)), bytes([rng.choice(_TELLING)])))


def _cut_out(rng: random.Random, data: bytearray) -> None:
    at = _place(rng, data)
    del data[at : at + rng.randrange(1, 9)]


def _cut_off(rng: random.Random, data: bytearray) -> None:
    del data[_place(rng, data) :]


def _repeat(rng: random.Random, data: bytearray) -> None:
    at, size = _place(rng, data), rng.choice((1, 4, 40))
    data[at:at] = data[at : at + size] * rng.choice((1, 2, 100))


def _move(rng: random.Random, data: bytearray) -> None:
    at, size = _place(rng, data), rng.randrange(1, 40)
    piece = data[at : at + size]
    del data[at : at + size]
    to = _place(rng, data)
    data[to:to] = piece


_MISTAKES: Final[tuple[Callable[[random.Random, bytearray], None], ...]] = (
    _flip,
    _flip,
    _replace,
    _replace,
    _insert,
    _cut_out,
    _cut_off,
    _repeat,
    _move,
)
