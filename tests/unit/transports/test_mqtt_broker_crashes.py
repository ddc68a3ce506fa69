"""The broker's promise, with connections cut and the hub killed at every step, against a model."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.mqtt_peer import Peer as Client
from tests.mqtt_stand import NOW, Hub, Wire

from motehub.protocols.mqtt.encoding import encode
from motehub.protocols.mqtt.packets import ConnAck, Connect, Version, Violation, Will
from motehub.protocols.mqtt.session import SHORT

LONG = bytes(SHORT)
WHICH = st.integers(0, 2)
NOTHING_LEFT = ("waiting", "released", "body", "will")


class Device:
    """A client and its present connection."""

    def __init__(self, client_id: str, filters: tuple[str, ...]) -> None:
        self.peer = Client(client_id, filters)
        self.wire: Wire | None = None

    def connect(self, hub: Hub) -> None:
        """Open a connection, before the old one is seen to be lost perhaps."""
        self.wire = Wire(hub)
        hub.wires.append(self.wire)
        will = Will(f"wills/{self.peer.client_id}", b"gone", 2)
        self.wire.to_server = self.peer.connect(will=will)

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Send a message, on the present connection first."""
        packet = self.peer.publish(topic, payload, qos)
        if self.wire is not None:
            self.wire.to_server.append(packet)


class Promise(RuleBasedStateMachine):
    """Nothing acknowledged is lost; what is sent at QoS 2 is stored, and arrives, once."""

    @initialize()
    def begin(self) -> None:
        self.state: dict[str, bytes] = {}
        self.stored: list[float] = []
        self.qos: dict[bytes, int] = {}
        # Clients without session: how many came, the present one, whose wills must be published.
        self.guests = 0
        self.guest: Wire | None = None
        self.promised: set[bytes] = set()
        self.sender = Device("sender", ())
        self.listener = Device("listener", ("readings/#", "large/#", "wills/#"))
        # Of large messages both are kept in one place.
        self.watcher = Device("watcher", ("large/#",))
        self.devices = (self.listener, self.sender, self.watcher)
        self.hub = Hub(self.state, self.stored)
        for device in self.devices:
            device.connect(self.hub)
        self.settle()

    @precondition(lambda self: len(self.sender.peer.unanswered) < 4)
    @rule(qos=st.integers(1, 2))
    def sender_publishes(self, qos: int) -> None:
        payload = b"%d" % len(self.qos)
        self.qos[payload] = qos
        self.sender.publish("readings/device/metric", payload, qos)

    @precondition(lambda self: len(self.sender.peer.unanswered) < 4)
    @rule(qos=st.integers(1, 2))
    def sender_publishes_much(self, qos: int) -> None:
        payload = b"%d" % len(self.qos) + LONG
        self.qos[payload] = qos
        self.sender.publish("large/device", payload, qos)

    @rule(which=WHICH, count=st.integers(1, 4))
    def hub_reads(self, which: int, count: int) -> None:
        self.read(self.devices[which], count)

    @rule()
    def hub_begins_a_commit(self) -> None:
        self.hub.begin_commit()

    @rule()
    def hub_finishes_a_commit(self) -> None:
        self.hub.finish_commit()

    @rule(which=WHICH)
    def client_reads(self, which: int) -> None:
        self.hear(self.devices[which])

    @rule(rounds=st.integers(1, 4), read_last=st.booleans())
    def all_go_on(self, rounds: int, read_last: bool) -> None:
        """Get further into an exchange than single steps do, and stop anywhere in it."""
        self.settle(rounds)
        if read_last:
            for device in self.devices:
                self.read(device, 100)

    @rule(which=WHICH)
    def connection_is_cut(self, which: int) -> None:
        self.lose(self.devices[which])
        self.devices[which].connect(self.hub)

    @rule(which=WHICH)
    def connection_is_taken_over(self, which: int) -> None:
        self.devices[which].connect(self.hub)

    @rule()
    def guest_comes(self) -> None:
        """A client whose session ends with its connection, in place of the one before perhaps."""
        self.guests += 1
        self.guest = Wire(self.hub)
        self.hub.wires.append(self.guest)
        will = Will("wills/guest", b"%d" % self.guests, 2)
        connect = Connect("guest", Version.V5, False, 30, will)
        self.guest.offer(self.guest.conversation.feed(encode(connect, Version.V5), NOW))

    @precondition(lambda self: self.guest is not None)
    @rule()
    def guest_is_welcome(self) -> None:
        """From when it has heard so, its will is a promise."""
        assert self.guest is not None
        for packet in self.guest.reader.feed(self.guest.to_client):
            if isinstance(packet, ConnAck):
                self.promised.add(b"%d" % self.guests)
        self.guest.to_client = b""

    @precondition(lambda self: self.guest is not None)
    @rule()
    def guest_goes(self) -> None:
        assert self.guest is not None
        self.guest.cut()

    @rule(in_commit=st.booleans())
    def hub_is_killed(self, in_commit: bool) -> None:
        if in_commit:
            self.hub.commit(dies=True)
        self.hub = Hub(self.state, self.stored)
        self.guest = None
        for device in self.devices:
            device.connect(self.hub)

    @invariant()
    def what_waits_is_counted(self) -> None:
        """The bound over all queues is no better than its count."""
        counted = self.hub.waiting_bytes() if hasattr(self, "hub") else None
        assert counted is None or self.hub.broker.tally.bytes == counted

    def lose(self, device: Device) -> None:
        assert device.wire is not None
        device.wire.cut()

    def read(self, device: Device, count: int) -> None:
        wire = device.wire
        assert wire is not None
        if not wire.is_open:
            return
        packets, wire.to_server = wire.to_server[:count], wire.to_server[count:]
        if packets:
            data = b"".join(encode(packet, Version.V5) for packet in packets)
            wire.offer(wire.conversation.feed(data, NOW))

    def hear(self, device: Device) -> None:
        wire = device.wire
        assert wire is not None
        packets = wire.reader.feed(wire.to_client)
        wire.to_client = b""
        for packet in packets:
            assert not isinstance(packet, Violation)
            wire.to_server += device.peer.hear(packet)

    def settle(self, rounds: int = 0) -> None:
        """Let everything that is under way arrive, or as much as ``rounds`` bring."""
        for _ in range(rounds or 6 * (len(self.qos) + self.guests) + 20):
            for device in self.devices:
                self.read(device, 100)
            self.hub.commit()
            for device in self.devices:
                self.hear(device)

    def teardown(self) -> None:
        if not hasattr(self, "hub"):
            return
        if self.guest is not None:
            self.guest.cut()
        self.settle()
        wills = [payload for topic, payload in self.listener.peer.got if topic == "wills/guest"]
        assert len(wills) == len(set(wills))
        assert self.promised <= set(wills)
        assert not self.sender.peer.unanswered
        assert not self.listener.peer.taken
        short = {one: qos for one, qos in self.qos.items() if len(one) < len(LONG)}
        long = {one: qos for one, qos in self.qos.items() if one not in short}
        self.check(short, [b"%d" % value for value in self.stored])
        for device, wanted in ((self.listener, self.qos), (self.watcher, long)):
            heard = [payload for topic, payload in device.peer.got if not topic.startswith("wills")]
            self.check(wanted, heard)
            sent = [one for one, qos in wanted.items() if qos == 2]
            assert [one for one in heard if wanted[one] == 2] == sent
        kept = [key for key in self.state if key.split("/")[1] in NOTHING_LEFT]
        assert not kept
        assert self.hub.broker.connected == len(self.devices)

    def check(self, wanted: dict[bytes, int], found: list[bytes]) -> None:
        """Look that everything was found, and what has QoS 2 once."""
        assert set(found) == set(wanted)
        times = Counter(found)
        assert all(times[one] == 1 for one, qos in wanted.items() if qos == 2)


Promise.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestPromise = Promise.TestCase


def test_sent_again_while_it_is_being_kept() -> None:
    """A message that the taken-over connection had brought to a commit comes again in the same."""
    stored: list[float] = []
    hub, device = Hub({}, stored), Device("sender", ())

    def served() -> None:
        assert device.wire is not None
        packets, device.wire.to_server = device.wire.to_server, []
        data = b"".join(encode(packet, Version.V5) for packet in packets)
        device.wire.offer(device.wire.conversation.feed(data, NOW))

    def heard() -> None:
        assert device.wire is not None
        for packet in device.wire.reader.feed(device.wire.to_client):
            assert not isinstance(packet, Violation)
            device.wire.to_server += device.peer.hear(packet)
        device.wire.to_client = b""

    def settled() -> None:
        served()
        hub.commit()
        heard()

    device.connect(hub)
    settled()
    device.publish("readings/device/metric", b"7", 2)
    served()
    device.connect(hub)
    served()
    hub.wires.reverse()
    hub.commit()
    heard()
    for _ in range(4):
        settled()
    assert stored == [7.0]
    assert not device.peer.unanswered
