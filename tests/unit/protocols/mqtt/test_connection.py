"""The server's side of a connection, with a client of a few lines at the other end of memory."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.protocols.mqtt.strategies import connects, from_client

from motehub.protocols.mqtt.connection import Connection
from motehub.protocols.mqtt.encoding import encode
from motehub.protocols.mqtt.events import Closed, Event
from motehub.protocols.mqtt.limits import Limits
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
    Subscription,
    Version,
    Violation,
    Will,
)
from motehub.protocols.mqtt.properties import (
    AckProperties,
    AuthProperties,
    ConnAckProperties,
    ConnectProperties,
    DisconnectProperties,
    PublishProperties,
    WillProperties,
)
from motehub.protocols.mqtt.reader import PacketReader
from motehub.protocols.mqtt.reason_codes import ReasonCode
from motehub.protocols.mqtt.session import Session

V3, V5 = Version.V3_1_1, Version.V5
SECOND = 1_000_000
NOW = 1_795_215_909_000_000
LIMITS = Limits(receive_maximum=3, topic_alias_maximum=2, window=2, connect_timeout=10)


class Peers:
    """A connection and the client at its other end; ``connect`` is what the client asks for."""

    def __init__(
        self, connect: Connect, session: Session | None = None, *, present: bool = False
    ) -> None:
        self.version = connect.version
        self.server = Connection(LIMITS, NOW)
        self.reader = PacketReader.of_server(connect.version)
        self.session = session or Session(connect.client_id)
        assert self.send(connect) == [connect]
        assert self.server.accept(self.session, NOW, present=present) == []
        self.welcome, *self.first = self.read()

    def send(self, *packets: Packet, now: int = NOW) -> list[Event]:
        return self.server.receive(b"".join(encode(p, self.version) for p in packets), now)

    def read(self) -> list[Packet]:
        packets: list[Packet] = []
        for packet in self.reader.feed(self.server.take_output()):
            assert not isinstance(packet, Violation), packet.text
            packets.append(packet)
        return packets


def client(version: Version = V5, **asked: int | bool | str) -> Peers:
    return Peers(Connect("c", version, properties=ConnectProperties(**asked)))  # type: ignore[arg-type]


def message(qos: int, packet_id: int = 0, topic: str = "t/x") -> Publish:
    return Publish(topic, b"1", qos, packet_id=packet_id)


def ended(events: list[Event]) -> Closed:
    [closed] = events
    assert isinstance(closed, Closed)
    return closed


def test_a_client_is_told_the_limits() -> None:
    """CONNACK carries what the client is held to; a 3.1.1 client hears four bytes."""
    assert client().welcome == ConnAck(
        properties=ConnAckProperties(
            receive_maximum=3, maximum_packet_size=1_048_576, topic_alias_maximum=2
        )
    )
    assert client(V3).welcome == ConnAck()


def test_all_answers_of_one_read_leave_together_after_they_are_asked_for() -> None:
    """PUBLISHes of one read come out together; nothing is acknowledged before it is kept."""
    peers = client()
    sent = [message(1, 7), message(0), message(2, 8)]
    events = peers.send(*sent)
    assert events == sent
    assert peers.server.take_output() == b""
    peers.server.acknowledge(sent)
    assert peers.server.take_output() == b"\x40\x02\x00\x07\x50\x02\x00\x08"


@pytest.mark.parametrize("version", Version)
def test_a_qos_2_message_is_taken_once(version: Version) -> None:
    """However often it is sent before its PUBREL, it comes out once and is answered each time."""
    peers = client(version)
    first, again = message(2, 5), replace(message(2, 5), dup=True)
    assert peers.send(first) == [first]
    assert peers.send(again) == []
    assert peers.read() == [], "it is not kept yet"
    peers.server.acknowledge([first])
    assert peers.read() == [PubRec(5)]
    assert peers.send(again) == []
    assert peers.read() == [PubRec(5)]
    assert peers.send(PubRel(5)) == [PubRel(5)]
    assert peers.read() == [], "its release is not kept yet"
    peers.server.acknowledge([PubRel(5)])
    assert peers.read() == [PubComp(5)]
    assert peers.send(first) == [first], "the identifier is free again"


def test_a_qos_2_message_is_taken_once_over_two_connections() -> None:
    """A message that was kept while its connection ended is known to the next one."""
    peers = client()
    peers.send(message(2, 5))
    peers.server.eof()
    peers.server.acknowledge([message(2, 5)])
    assert peers.server.take_output() == b""
    later = Peers(Connect("c", V5, False), peers.session, present=True)
    assert later.send(replace(message(2, 5), dup=True)) == []
    assert later.read() == [PubRec(5)]


def test_a_refused_qos_2_message_may_be_sent_again() -> None:
    """After a PUBREC that refuses, the identifier stands for a new message."""
    peers = client()
    peers.send(message(2, 5))
    told = AckProperties(reason_string="no number")
    peers.server.acknowledge([message(2, 5)], ReasonCode.PAYLOAD_FORMAT_INVALID, told)
    assert peers.read() == [PubRec(5, ReasonCode.PAYLOAD_FORMAT_INVALID, told)]
    assert peers.send(message(2, 5)) == [message(2, 5)]


def test_a_311_client_is_told_that_a_refused_message_was_taken() -> None:
    """3.1.1 has no refusal: the client goes on with its PUBREL, and does not send again."""
    peers = client(V3)
    peers.send(message(2, 5))
    peers.server.acknowledge([message(2, 5)], ReasonCode.NOT_AUTHORIZED)
    assert peers.read() == [PubRec(5)]
    assert peers.send(message(2, 5)) == []


def test_a_release_of_an_unknown_message() -> None:
    """A PUBREL for something unknown is answered, and says so."""
    peers = client()
    peers.server.acknowledge(peers.send(PubRel(9)))  # type: ignore[arg-type]
    assert peers.read() == [PubComp(9, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)]


def test_more_messages_in_flight_than_agreed() -> None:
    """The first message beyond the Receive Maximum ends the connection with 0x93."""
    peers = client()
    events = peers.send(message(1, 1), message(2, 2), message(1, 3), message(1, 4))
    assert events[:3] == [message(1, 1), message(2, 2), message(1, 3)]
    assert ended(events[3:]).reason_code is ReasonCode.RECEIVE_MAXIMUM_EXCEEDED
    [packet] = peers.read()
    assert isinstance(packet, Disconnect)
    assert packet.reason_code is ReasonCode.RECEIVE_MAXIMUM_EXCEEDED


def test_acknowledged_messages_make_room() -> None:
    """PUBACK at QoS 1 and PUBCOMP at QoS 2 give the quota back, PUBREC does not."""
    peers = client()
    for _ in range(3):
        sent = [message(1, 1), message(2, 2), message(2, 3)]
        assert peers.send(*sent) == sent
        peers.server.acknowledge(sent)
        peers.server.acknowledge([PubRel(2), PubRel(3)])
    assert not peers.server.is_closed
    peers.send(message(2, 4), message(2, 5), message(2, 6))
    peers.server.acknowledge([message(2, 4), message(2, 5), message(2, 6)])
    assert ended(peers.send(message(1, 7))).reason_code is ReasonCode.RECEIVE_MAXIMUM_EXCEEDED


def test_a_311_client_is_not_held_to_what_it_was_not_told() -> None:
    """Without Receive Maximum in its protocol, a 3.1.1 client may have any number in flight."""
    peers = client(V3)
    sent = [message(1, n) for n in range(1, 50)]
    assert peers.send(*sent) == sent


def alias(number: int, topic: str) -> Publish:
    return Publish(topic, b"1", properties=PublishProperties(topic_alias=number))


def test_topic_aliases_of_a_client() -> None:
    """An alias is replaced by the topic it stands for, and may be given a new one."""
    peers = client()
    events = peers.send(alias(1, "a/b"), alias(1, ""), alias(1, "c"), alias(1, ""))
    assert [event.topic for event in events if isinstance(event, Publish)] == ["a/b"] * 2 + [
        "c"
    ] * 2
    assert not any(e.properties.topic_alias for e in events if isinstance(e, Publish))


@pytest.mark.parametrize(
    ("packet", "code"),
    [(alias(3, "a"), ReasonCode.TOPIC_ALIAS_INVALID), (alias(2, ""), ReasonCode.PROTOCOL_ERROR)],
)
def test_topic_aliases_that_are_wrong(packet: Publish, code: ReasonCode) -> None:
    """An alias beyond the limit, or one that stands for nothing, ends the connection."""
    assert ended(client().send(packet)).reason_code is code


def test_messages_to_a_client_wait_for_room() -> None:
    """No more are in flight than agreed; the others follow in order as the client answers."""
    peers = client()
    for n in range(4):
        assert peers.server.send(message(1 + n % 2, topic=f"t/{n}"), NOW)
    assert peers.read() == [message(1, 1, "t/0"), message(2, 2, "t/1")]
    peers.send(PubAck(1))
    assert peers.read() == [message(1, 3, "t/2")]
    events = peers.send(PubRec(2))
    assert peers.read() == [], "the PUBREC is not kept yet"
    peers.server.acknowledge(events)  # type: ignore[arg-type]
    assert peers.read() == [PubRel(2)]
    peers.send(PubComp(2))
    assert peers.read() == [message(2, 4, "t/3")]
    assert list(peers.session.outgoing) == [3, 4]


def test_a_client_may_ask_for_fewer_in_flight() -> None:
    """The client's Receive Maximum bounds what is sent to it; QoS 0 does not count."""
    peers = client(receive_maximum=1)
    for qos in (1, 1, 0):
        peers.server.send(message(qos), NOW)
    assert peers.read() == [message(1, 1), message(0)]


def test_unanswered_messages_are_sent_again_in_order() -> None:
    """A resumed session begins with what was in flight, as duplicates, then what waited."""
    peers = client()
    for n in range(3):
        peers.server.send(message(2, topic=f"t/{n}"), NOW)
    peers.server.acknowledge(peers.send(PubRec(1)))  # type: ignore[arg-type]
    peers.server.eof()
    later = Peers(Connect("c", V5, False), peers.session, present=True)
    assert later.welcome == replace(peers.welcome, session_present=True)
    assert later.first == [replace(message(2, 2, "t/1"), dup=True), PubRel(1)]
    later.send(PubComp(1))
    assert later.read() == [message(2, 3, "t/2")]


def test_no_more_is_sent_again_than_the_client_takes() -> None:
    """Redelivery keeps to the Receive Maximum of the new connection."""
    peers = client()
    for n in range(2):
        peers.server.send(message(1, topic=f"t/{n}"), NOW)
    asked = Connect("c", V5, False, properties=ConnectProperties(receive_maximum=1))
    later = Peers(asked, peers.session, present=True)
    assert later.first == [replace(message(1, 1, "t/0"), dup=True)]
    later.send(PubAck(1))
    assert later.read() == [replace(message(1, 2, "t/1"), dup=True)]


def test_a_message_that_a_client_refuses_is_done() -> None:
    """A PUBREC of 0x80 or more ends the delivery without PUBREL."""
    peers = client()
    peers.server.send(message(2), NOW)
    events = peers.send(PubRec(1, ReasonCode.QUOTA_EXCEEDED))
    peers.server.acknowledge(events)  # type: ignore[arg-type]
    assert peers.read() == [message(2, 1)]
    assert not peers.session.outgoing


@pytest.mark.parametrize("wrong", [PubComp(1), PubAck(2), PubRec(1), PubComp(2)])
def test_answers_that_do_not_fit(wrong: Packet) -> None:
    """QoS 1 is answered with PUBACK and QoS 2 with PUBREC: anything else ends the connection."""
    peers = client()
    peers.server.send(message(1), NOW)
    peers.server.send(message(2), NOW)
    assert ended(peers.send(wrong)).reason_code is ReasonCode.PROTOCOL_ERROR


def test_answers_to_nothing_are_ignored() -> None:
    """A late PUBACK does no harm, and an unknown PUBREC is told that it is unknown."""
    peers = client()
    events = peers.send(PubAck(9), PubComp(9), PubRec(9))
    peers.server.acknowledge(events[2:])  # type: ignore[arg-type]
    assert peers.read() == [PubRel(9, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)]


def test_aliases_to_a_client_that_takes_them() -> None:
    """A topic gets an alias with its first message and is left out afterwards, up to the limit."""
    peers = client(topic_alias_maximum=1)
    for topic in ("long/topic", "long/topic", "other/topic"):
        peers.server.send(message(0, topic=topic), NOW)
    told = PublishProperties(topic_alias=1)
    assert peers.read() == [
        replace(message(0, topic="long/topic"), properties=told),
        replace(message(0, topic=""), properties=told),
        message(0, topic="other/topic"),
    ]


def test_an_alias_is_not_remembered_by_the_session() -> None:
    """What is sent again on another connection has its topic."""
    peers = client(topic_alias_maximum=1)
    peers.server.send(message(1, topic="long/topic"), NOW)
    peers.server.send(message(1, topic="long/topic"), NOW)
    later = Peers(Connect("c", V5, False), peers.session, present=True)
    assert later.first == [replace(message(1, n, "long/topic"), dup=True) for n in (1, 2)]


def test_messages_that_are_too_large_for_a_client() -> None:
    """A message beyond the client's Maximum Packet Size is dropped, and takes no identifier."""
    peers = client(maximum_packet_size=40)
    assert not peers.server.send(Publish("t", b"x" * 40, 1), NOW)
    assert peers.server.send(message(1), NOW)
    assert peers.read() == [message(1, 1)]


def test_messages_that_expire() -> None:
    """The interval is counted down while a message waits; what has expired is not sent."""
    peers = client(receive_maximum=1)
    told = PublishProperties(message_expiry_interval=10)
    for n in range(3):
        sent = Publish(f"t/{n}", b"", 1, properties=told)
        assert peers.server.send(sent, NOW, NOW + (10 - 7 * (n == 1)) * SECOND)
    assert not peers.server.send(message(0), NOW, NOW)
    peers.read()
    peers.send(PubAck(1), now=NOW + 4 * SECOND)
    left = PublishProperties(message_expiry_interval=6)
    assert peers.read() == [Publish("t/2", b"", 1, packet_id=2, properties=left)]


def test_silence_ends_a_connection() -> None:
    """After one and a half times its keep alive, a silent client is gone; a packet begins anew."""
    peers = Peers(Connect("c", V5, keep_alive=4))
    assert peers.server.deadline == NOW + 6 * SECOND
    assert peers.server.timeout(NOW + 6 * SECOND - 1) == []
    assert peers.send(PingReq(), now=NOW + 5 * SECOND) == []
    assert peers.read() == [PingResp()]
    assert peers.server.timeout(NOW + 6 * SECOND) == []
    closed = ended(peers.server.timeout(NOW + 11 * SECOND))
    assert closed.will
    [packet] = peers.read()
    assert isinstance(packet, Disconnect)
    assert packet.reason_code is ReasonCode.KEEP_ALIVE_TIMEOUT
    assert peers.server.deadline is None


def test_part_of_a_packet_is_no_sign_of_life() -> None:
    """Only whole packets count for the keep alive."""
    peers = Peers(Connect("c", V5, keep_alive=4))
    peers.server.receive(b"\x30", NOW + 5 * SECOND)
    assert peers.server.timeout(NOW + 6 * SECOND)


def test_no_keep_alive() -> None:
    """A keep alive of 0 sets no deadline."""
    assert client().server.deadline is None


def test_the_server_s_keep_alive_counts() -> None:
    """A keep alive that the server sets is told and enforced."""
    server = Connection(LIMITS, NOW)
    server.receive(encode(Connect("c", V5, keep_alive=60), V5), NOW)
    server.accept(Session("c"), NOW, keep_alive=6)
    [welcome] = PacketReader.of_server(V5).feed(server.take_output())
    assert isinstance(welcome, ConnAck)
    assert welcome.properties.server_keep_alive == 6
    assert server.deadline == NOW + 9 * SECOND


def test_strangers_have_a_time_limit() -> None:
    """Who has not connected in time is dropped without a word, however much it has sent."""
    server = Connection(LIMITS, NOW)
    server.receive(b"\x10\xff", NOW + 9 * SECOND)
    closed = ended(server.timeout(NOW + 10 * SECOND))
    assert not closed.will
    assert server.take_output() == b""


def test_what_comes_behind_a_connect_waits() -> None:
    """A client need not wait for CONNACK; what it sends before is acted on once it is accepted."""
    server = Connection(LIMITS, NOW)
    connect, subscribe = Connect("c", V5), Subscribe(1, (Subscription("a"),))
    data = b"".join(encode(packet, V5) for packet in (connect, subscribe, PingReq(), message(0)))
    assert server.receive(data, NOW) == [connect]
    assert server.take_output() == b""
    assert server.accept(Session("c"), NOW) == [subscribe, message(0)]
    server.answer(SubAck(1, (ReasonCode.SUCCESS,)))
    found = PacketReader.of_server(V5).feed(server.take_output())
    assert [type(packet) for packet in found] == [ConnAck, PingResp, SubAck]


def test_what_comes_behind_a_refused_connect_is_not_looked_at() -> None:
    """A refused client gets its CONNACK and nothing else."""
    server = Connection(LIMITS, NOW)
    server.receive(encode(Connect("c", V3), V3) + encode(message(1, 1), V3), NOW)
    closed = server.refuse(ReasonCode.NOT_AUTHORIZED, "no such user")
    assert not closed.will
    assert server.take_output() == b"\x20\x02\x00\x05"
    assert server.receive(encode(PingReq(), V3), NOW) == []


def test_a_bad_connect_is_answered_where_the_version_allows() -> None:
    """MQTT 5 clients hear the reason; 3.1.1 clients only those reasons that it has."""
    bad = b"\x10\x0e\x00\x04MQTT\x05\x03\x00\x00\x00\x00\x01a"
    server = Connection(LIMITS, NOW)
    assert ended(server.receive(bad, NOW)).reason_code is ReasonCode.MALFORMED_PACKET
    [answer] = PacketReader.of_server(V5).feed(server.take_output())
    assert isinstance(answer, ConnAck)
    assert answer.reason_code is ReasonCode.MALFORMED_PACKET
    server = Connection(LIMITS, NOW)
    ended(server.receive(b"\x10\x0d\x00\x04MQTT\x04\x03\x00\x00\x00\x01a", NOW))
    assert server.take_output() == b""
    server = Connection(LIMITS, NOW)
    ended(server.receive(b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01a", NOW))
    assert server.take_output() == b"\x20\x02\x00\x01"


def test_a_will_that_is_not_what_it_says() -> None:
    """A will that is called text and is not UTF-8 is refused with 0x99."""
    will = Will("w", b"\xff", properties=WillProperties(payload_format_indicator=1))
    server = Connection(LIMITS, NOW)
    closed = ended(server.receive(encode(Connect("c", V5, will=will), V5), NOW))
    assert closed.reason_code is ReasonCode.PAYLOAD_FORMAT_INVALID


def test_bad_packets_end_the_connection_with_a_will() -> None:
    """What was good before a malformed packet is acted on; then the client hears why it is out."""
    peers = client()
    events = peers.server.receive(encode(message(1, 1), V5) + b"\x00\x00", NOW)
    assert events[0] == message(1, 1)
    assert ended(events[1:]).will
    peers.server.acknowledge([message(1, 1)])
    [packet] = peers.read()
    assert isinstance(packet, Disconnect)
    assert packet.reason_code is ReasonCode.MALFORMED_PACKET
    assert packet.properties.reason_string


@pytest.mark.parametrize(
    ("code", "will"),
    [(ReasonCode.SUCCESS, False), (ReasonCode.DISCONNECT_WITH_WILL_MESSAGE, True)],
)
def test_leaving(code: ReasonCode, will: bool) -> None:
    """A DISCONNECT discards the will, unless it asks for it; it is not answered."""
    peers = client()
    assert ended(peers.send(Disconnect(code))).will is will
    assert peers.read() == []
    assert peers.server.is_closed


@pytest.mark.parametrize(
    ("version", "clean", "asked", "last", "kept"),
    [
        (V3, True, None, None, 0),
        (V3, False, None, None, None),
        (V5, True, None, None, 0),
        (V5, True, 60, None, 60),
        (V5, True, 60, 0, 0),
        (V5, True, 60, 90, 90),
        (V5, True, 0xFFFFFFFF, None, None),
    ],
)
def test_how_long_a_session_stays(
    version: Version, clean: bool, asked: int | None, last: int | None, kept: int | None
) -> None:
    """The expiry of CONNECT, which DISCONNECT may change, comes with the end."""
    told = ConnectProperties(session_expiry_interval=asked)
    peers = Peers(Connect("c", version, clean, properties=told))
    goodbye = Disconnect(properties=DisconnectProperties(session_expiry_interval=last))
    assert ended(peers.send(goodbye)).session_expiry == kept


def test_a_session_that_ends_with_its_connection_can_t_be_kept_at_its_end() -> None:
    """An expiry on DISCONNECT where CONNECT had none is a protocol error."""
    goodbye = Disconnect(properties=DisconnectProperties(session_expiry_interval=5))
    assert ended(client().send(goodbye)).reason_code is ReasonCode.PROTOCOL_ERROR


def test_a_client_that_was_taken_over() -> None:
    """An MQTT 5 client is told why it is disconnected; a 3.1.1 client is just closed."""
    for version, expected in ((V5, b"\xe0\x01\x8e"), (V3, b"")):
        peers = client(version)
        closed = peers.server.disconnect(ReasonCode.SESSION_TAKEN_OVER)
        assert closed.will
        assert peers.server.take_output() == expected


def test_explanations_only_for_those_who_want_them() -> None:
    """Reason strings are left out where the client does not ask for them or has no room."""
    told = AckProperties(reason_string="x" * 50)
    for peers in (client(request_problem_information=False), client(maximum_packet_size=40)):
        peers.send(message(1, 1))
        peers.server.acknowledge([message(1, 1)], ReasonCode.QUOTA_EXCEEDED, told)
        assert peers.read() == [PubAck(1, ReasonCode.QUOTA_EXCEEDED)]


def test_authentication_in_steps() -> None:
    """AUTH of the CONNECT's method is passed on, before and after CONNACK; no other one is."""
    method = AuthProperties(authentication_method="m")
    step = Auth(ReasonCode.CONTINUE_AUTHENTICATION, method)
    connect = Connect("c", V5, properties=ConnectProperties(authentication_method="m"))
    server = Connection(LIMITS, NOW)
    assert server.receive(encode(connect, V5), NOW) == [connect]
    server.answer(step)
    assert PacketReader.of_server(V5).feed(server.take_output()) == [step]
    assert server.receive(encode(step, V5), NOW) == [step]
    server.accept(Session("c"), NOW)
    again = Auth(ReasonCode.REAUTHENTICATE, method)
    assert server.receive(encode(again, V5), NOW) == [again]
    other = Auth(ReasonCode.REAUTHENTICATE, AuthProperties(authentication_method="n"))
    assert ended(server.receive(encode(other, V5), NOW)).reason_code is ReasonCode.PROTOCOL_ERROR


def test_nobody_publishes_during_authentication() -> None:
    """A client that asked for authentication sends nothing but AUTH before CONNACK."""
    connect = Connect("c", V5, properties=ConnectProperties(authentication_method="m"))
    server = Connection(LIMITS, NOW)
    server.receive(encode(connect, V5), NOW)
    closed = ended(server.receive(encode(message(0), V5), NOW))
    assert closed.reason_code is ReasonCode.PROTOCOL_ERROR


def test_an_auth_that_nobody_asked_for() -> None:
    """AUTH without a method in CONNECT ends the connection."""
    step = Auth(ReasonCode.REAUTHENTICATE, AuthProperties(authentication_method="m"))
    assert ended(client().send(step)).reason_code is ReasonCode.PROTOCOL_ERROR


def test_packet_identifiers_go_round() -> None:
    """After 65,535 comes 1, and identifiers in use are passed over."""
    session = Session("c")
    session.outgoing = {1: PubRel(1), 3: PubRel(3)}
    found = [session.free_packet_id() for _ in range(65_535)]
    assert found == [2, *range(4, 65_536), 2, 4]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(Version).flatmap(
        lambda v: st.tuples(connects(v), st.lists(from_client(v), max_size=10))
    ),
    st.binary(max_size=20),
)
def test_whatever_a_client_sends(talk: tuple[Connect, list[Packet]], garbage: bytes) -> None:
    """No sequence of packets raises; there is one end at most, and nothing is said after it."""
    connect, packets = talk
    data = b"".join(encode(packet, connect.version) for packet in (connect, *packets)) + garbage
    server = Connection(LIMITS, NOW)
    events = server.receive(data, NOW)
    if events and events[0] == connect and not server.is_closed:
        events = server.accept(Session("c"), NOW)
    assert not any(isinstance(event, Closed) for event in events[:-1])
    server.send(message(1), NOW)
    wanted = [event for event in events if isinstance(event, Publish | PubRec | PubRel)]
    if wanted:
        server.acknowledge(wanted)
    output = PacketReader.of_server(connect.version).feed(server.take_output())
    assert not any(isinstance(packet, Violation) for packet in output)
    if server.is_closed:
        assert server.receive(data, NOW) == []
        assert server.take_output() == b""


def test_a_client_is_counted_silent_only_after_it_is_accepted() -> None:
    """While a CONNECT waits for its answer, the time limit of strangers goes on."""
    server = Connection(LIMITS, NOW)
    server.receive(encode(Connect("c", V5, keep_alive=1), V5), NOW)
    assert server.deadline == NOW + 10 * SECOND


def test_a_client_with_no_room_for_a_connack() -> None:
    """A Maximum Packet Size below the CONNACK ends the attempt; nothing larger is sent."""
    asked = ConnectProperties(maximum_packet_size=8)
    server = Connection(LIMITS, NOW)
    server.receive(encode(Connect("c", V5, properties=asked), V5), NOW)
    assert ended(server.accept(Session("c"), NOW)).reason_code is ReasonCode.PACKET_TOO_LARGE
    assert len(server.take_output()) <= 8


def test_a_connection_that_is_cut() -> None:
    """The end of the stream publishes the will of a client, and of nobody else."""
    assert ended(client().server.eof()).will
    assert not ended(Connection(LIMITS, NOW).eof()).will
    gone = client()
    gone.send(Disconnect())
    assert gone.server.eof() == []
    assert not gone.server.send(message(0), NOW)
