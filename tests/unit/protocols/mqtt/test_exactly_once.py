"""Messages in both directions while connections are cut at every step, against a plain model."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.mqtt_peer import Peer

from motehub.protocols.mqtt.connection import Connection
from motehub.protocols.mqtt.encoding import encode
from motehub.protocols.mqtt.limits import Limits
from motehub.protocols.mqtt.packets import (
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Version,
    Violation,
)
from motehub.protocols.mqtt.reader import PacketReader
from motehub.protocols.mqtt.session import Session

NOW = 1_795_215_909_000_000
LIMITS = Limits(receive_maximum=4, window=3)


class Deliveries(RuleBasedStateMachine):
    """Every message arrives, at QoS 2 once, in both directions and in order."""

    @initialize(version=st.sampled_from(Version))
    def begin(self, version: Version) -> None:
        self.version = version
        self.client = Peer()
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
        self.to_client: list[Packet] = []
        self.in_hand: list[Publish | PubRec | PubRel] = []
        connect, *self.to_server = self.client.connect(self.version)
        self.server.receive(encode(connect, self.version), NOW)
        self.server.accept(self.session, NOW, present=present)

    @precondition(lambda self: len(self.client.unanswered) < 4)
    @rule(qos=st.integers(1, 2))
    def client_publishes(self, qos: int) -> None:
        payload = b"u%d" % len(self.up)
        self.up.append(payload)
        self.qos[payload] = qos
        self.to_server.append(self.client.publish("up", payload, qos))

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
            self.to_client.append(packet)
        packets, self.to_client = self.to_client[:count], self.to_client[count:]
        for packet in packets:
            self.to_server += self.client.hear(packet)

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
        got = [payload for _, payload in self.client.got]
        for sent, found in ((self.up, self.kept), (self.down, got)):
            once = [payload for payload in found if self.qos[payload] == 2]
            assert once == [payload for payload in sent if self.qos[payload] == 2]
            assert list(dict.fromkeys(found)) == sent


Deliveries.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestDeliveries = Deliveries.TestCase
