"""Messages in both directions while connections are cut at every step, against a plain model."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from motehub.protocols.mqtt.connection import Connection, Limits
from motehub.protocols.mqtt.encoding import encode
from motehub.protocols.mqtt.packets import (
    ConnAck,
    Connect,
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Version,
    Violation,
)
from motehub.protocols.mqtt.properties import ConnectProperties
from motehub.protocols.mqtt.reader import PacketReader
from motehub.protocols.mqtt.session import Session

NOW = 1_795_215_909_000_000
LIMITS = Limits(receive_maximum=4, window=3)


class Client:
    """A client that follows the specification and remembers its session."""

    def __init__(self) -> None:
        self.unanswered: dict[int, Publish | PubRel] = {}
        self.taken: set[int] = set()
        self.got: list[bytes] = []
        self._last = 0

    def publish(self, payload: bytes, qos: int) -> Publish:
        self._last += 1
        packet = Publish("up", payload, qos, packet_id=self._last)
        self.unanswered[self._last] = packet
        return packet

    def answers(self, packet: Packet) -> list[Packet]:
        """Take one packet of the server; return what is sent back."""
        match packet:
            case PubAck() | PubComp():
                del self.unanswered[packet.packet_id]
                return []
            case PubRec():
                self.unanswered.pop(packet.packet_id)
                self.unanswered[packet.packet_id] = PubRel(packet.packet_id)
                return [PubRel(packet.packet_id)]
            case PubRel():
                self.taken.discard(packet.packet_id)
                return [PubComp(packet.packet_id)]
            case Publish(qos=1):
                self.got.append(packet.payload)
                return [PubAck(packet.packet_id)]
            case Publish(qos=2):
                if packet.packet_id not in self.taken:
                    self.taken.add(packet.packet_id)
                    self.got.append(packet.payload)
                return [PubRec(packet.packet_id)]
        raise AssertionError(packet)


class Deliveries(RuleBasedStateMachine):
    """Every message arrives, at QoS 2 once, in both directions and in order."""

    @initialize(version=st.sampled_from(Version))
    def begin(self, version: Version) -> None:
        self.version = version
        self.client = Client()
        self.session = Session("c")
        self.up: list[bytes] = []
        self.down: list[bytes] = []
        self.kept: list[bytes] = []
        self.qos: dict[bytes, int] = {}
        self.connect(present=False)

    def connect(self, *, present: bool) -> None:
        self.server = Connection(LIMITS, NOW)
        self.reader = PacketReader.of_server(self.version)
        # What is under way in each direction, and what the hub has in hand.
        self.to_server: list[Packet] = []
        self.to_client: list[Packet] = []
        self.in_hand: list[Publish | PubRec | PubRel] = []
        asked = ConnectProperties(session_expiry_interval=60)
        connect = Connect("c", self.version, False)
        if self.version is Version.V5:
            connect = replace(connect, properties=asked)
        self.server.receive(encode(connect, self.version), NOW)
        self.server.accept(self.session, NOW, present=present)
        for packet in self.client.unanswered.values():
            again = replace(packet, dup=True) if isinstance(packet, Publish) else packet
            self.to_server.append(again)

    @precondition(lambda self: len(self.client.unanswered) < 4)
    @rule(qos=st.integers(1, 2))
    def client_publishes(self, qos: int) -> None:
        payload = b"u%d" % len(self.up)
        self.up.append(payload)
        self.qos[payload] = qos
        self.to_server.append(self.client.publish(payload, qos))

    @rule(qos=st.integers(1, 2))
    def hub_sends(self, qos: int) -> None:
        payload = b"d%d" % len(self.down)
        self.down.append(payload)
        self.qos[payload] = qos
        assert self.server.send(Publish("down", payload, qos), NOW)

    @rule(count=st.integers(1, 5))
    def server_reads(self, count: int) -> None:
        packets, self.to_server = self.to_server[:count], self.to_server[count:]
        data = b"".join(encode(packet, self.version) for packet in packets)
        for event in self.server.receive(data, NOW):
            if isinstance(event, Publish | PubRec | PubRel):
                self.in_hand.append(event)
            else:
                assert isinstance(event, PubAck | PubComp)

    @rule()
    def hub_commits(self) -> None:
        self.kept += [p.payload for p in self.in_hand if isinstance(p, Publish)]
        self.server.acknowledge(self.in_hand)
        self.in_hand = []

    @rule(count=st.integers(1, 5))
    def client_reads(self, count: int) -> None:
        for packet in self.reader.feed(self.server.take_output()):
            assert not isinstance(packet, Violation)
            if not isinstance(packet, ConnAck):
                self.to_client.append(packet)
        packets, self.to_client = self.to_client[:count], self.to_client[count:]
        for packet in packets:
            self.to_server += self.client.answers(packet)

    @rule()
    def connection_is_cut(self) -> None:
        self.server.eof()
        # A commit that is under way when the connection is cut is finished.
        self.hub_commits()
        self.connect(present=True)

    @invariant()
    def nothing_is_sent_beyond_the_window(self) -> None:
        if hasattr(self, "session"):
            assert len(self.session.outgoing) <= LIMITS.window
            assert not self.server.is_closed

    def teardown(self) -> None:
        if not hasattr(self, "session"):
            return
        for _ in range(8 * (len(self.up) + len(self.down) + 2)):
            self.client_reads(100)
            self.server_reads(100)
            self.hub_commits()
        assert not self.client.unanswered
        assert not self.client.taken
        assert not self.session.outgoing
        assert not self.session.incoming
        assert not self.session.queue
        for sent, found in ((self.up, self.kept), (self.down, self.client.got)):
            once = [payload for payload in found if self.qos[payload] == 2]
            assert once == [payload for payload in sent if self.qos[payload] == 2]
            assert list(dict.fromkeys(found)) == sent


Deliveries.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestDeliveries = Deliveries.TestCase
