"""What MQTT 5 lets clients ask for, byte by byte, where client libraries hide it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.harness import OPEN
from tests.mqtt_hub import (
    BROKER,
    DISCONNECT,
    MqttHub,
    Raw,
    connect,
    packet,
    publish,
    subscribe,
    text,
)

KEPT = b"\x11\x00\x00\x0e\x10"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MqttHub]:
    """An open hub for all tests here, each with topics and client ids of its own."""
    with MqttHub(tmp_path_factory.mktemp("five") / "data", {**OPEN, **BROKER}) as running:
        yield running


def entered(raw: Raw, client_id: str, properties: bytes = b"", *, clean: bool = True) -> bytes:
    """Connect with MQTT 5, and return the CONNACK."""
    raw.send(connect(client_id, 5, clean=clean, properties=properties))
    answer = raw.packet()
    assert (answer[0], answer[3]) == (0x20, 0), answer.hex(" ")
    return answer


def five(
    topic: str, payload: bytes, qos: int = 0, packet_id: int = 1, properties: bytes = b""
) -> bytes:
    return publish(topic, payload, qos, packet_id, 5, properties=properties)


def listening(raw: Raw, topic_filter: str, options: int = 0, properties: bytes = b"") -> None:
    raw.send(subscribe(topic_filter, options, 1, 5, properties))
    raw.expect(packet(0x90, b"\x00\x01\x00" + bytes([options & 3])))


def test_retain_handling(hub: MqttHub) -> None:
    """Retained messages come always (0), with a new subscription (1), or never (2)."""
    with hub.raw() as raw:
        entered(raw, "handling")
        raw.send(publish("handling/a", b"x", 1, 9, 5, retain=True))
        raw.expect("40020009")
        old = publish("handling/a", b"x", 0, 1, 5, retain=True)
        listening(raw, "handling/a", 0x20)
        raw.expect_nothing()
        listening(raw, "handling/a", 0x10)
        raw.expect_nothing()
        listening(raw, "handling/a")
        raw.expect(old)
        listening(raw, "handling/a")
        raw.expect(old)
        listening(raw, "handling/+", 0x10)
        raw.expect(old)
        # §3.8.4: never with a shared one.
        listening(raw, "$share/group/handling/a")
        raw.expect_nothing()


def test_unsubscribe(hub: MqttHub) -> None:
    """UNSUBACK tells for each filter whether there was one; 3.1.1 has it in four bytes."""
    with hub.raw() as raw:
        entered(raw, "unsubscribe")
        listening(raw, "unsubscribe/a")
        body = b"\x00\x07\x00" + text("unsubscribe/a") + text("unsubscribe/b")
        raw.send(packet(0xA2, body))
        raw.expect("b0050007000011")
        raw.send(five("unsubscribe/a", b"x"))
        raw.expect_nothing()
    with hub.raw() as raw:
        raw.send(connect("unsubscribe"), packet(0xA2, b"\x00\x07" + text("unsubscribe/a")))
        raw.expect("20020000b0020007")
        raw.expect_nothing()


def test_the_client_s_receive_maximum(hub: MqttHub) -> None:
    """No more messages of QoS 1 and 2 are under way to a client than it allows."""
    with hub.raw() as raw, hub.raw() as publisher:
        entered(raw, "window", b"\x21\x00\x02")
        listening(raw, "window", 1)
        entered(publisher, "opener")
        publisher.send(*(five("window", b"%d" % number, 1, number) for number in range(1, 6)))
        for number in range(1, 6):
            publisher.expect(packet(0x40, number.to_bytes(2, "big")))
        got = [raw.packet(), raw.packet()]
        raw.expect_nothing()
        while len(got) < 5:
            raw.send(packet(0x40, got[len(got) - 2][-4:-2]))
            got.append(raw.packet())
        assert [one[-1:] for one in got] == [b"1", b"2", b"3", b"4", b"5"]


def test_the_client_s_maximum_packet_size(hub: MqttHub) -> None:
    """A message too large for a client is not sent to it, and the next one is (§3.1.2.11.4)."""
    with hub.raw() as raw, hub.raw() as other:
        entered(raw, "small", b"\x27\x00\x00\x00\x18")
        listening(raw, "small/a", 1)
        entered(other, "large")
        listening(other, "small/a")
        other.send(five("small/a", b"x" * 100, 0), five("small/a", b"y", 0))
        other.expect(five("small/a", b"x" * 100) + five("small/a", b"y"))
        raw.expect(five("small/a", b"y"))
        # A reason string that does not fit is left out, too.
        raw.send(five("readings/small/a", b"\xff", 1, 5))
        raw.expect("4003000599")


def test_the_time_left_is_told(hub: MqttHub) -> None:
    """A message that has waited arrives with what is left of its expiry interval, or not at all."""
    with hub.raw() as raw:
        entered(raw, "expiry", KEPT)
        listening(raw, "expiry/a", 1)
        raw.send(DISCONNECT)
        raw.expect_end()
    with hub.raw() as raw:
        entered(raw, "expirer")
        raw.send(
            five("expiry/a", b"soon", 1, 1, b"\x02\x00\x00\x00\x01"),
            five("expiry/a", b"late", 1, 2, b"\x02\x00\x00\x03\xe8"),
        )
        raw.expect("4002000140020002")
        with hub.raw() as watcher:
            # When this retained message is gone, the other's time is over, too.
            raw.send(
                publish("expiry/b", b"z", 1, 3, 5, retain=True, properties=b"\x02\x00\x00\x00\x01")
            )
            raw.expect("40020003")
            entered(watcher, "watcher")

            def is_gone() -> bool:
                watcher.send(subscribe("expiry/b", 0, 1, 5))
                watcher.expect("900400010000")
                watcher.send(subscribe("nothing", 0, 2, 5))
                if watcher.packet() == bytes.fromhex("900400020000"):
                    return True
                watcher.expect("900400020000")
                return False

            hub.wait_until(is_gone, "the retained message is gone")
    with hub.raw() as raw:
        entered(raw, "expiry", KEPT, clean=False)
        message = raw.packet()
        assert message.endswith(b"late")
        at = message.index(b"expiry/a") + len("expiry/a") + 2
        assert message[at : at + 2] == b"\x05\x02"
        assert 1 <= int.from_bytes(message[at + 2 : at + 6], "big") <= 999
        raw.expect_nothing()


def test_aliases_of_the_server(hub: MqttHub) -> None:
    """A client that allows aliases gets a topic once, and then its number."""
    with hub.raw() as raw:
        entered(raw, "aliased", b"\x22\x00\x05")
        listening(raw, "aliased/#")
        raw.send(five("aliased/a", b"1"), five("aliased/a", b"2"), five("aliased/b", b"3"))
        first, second, third = raw.packet(), raw.packet(), raw.packet()
        assert first == five("aliased/a", b"1", properties=b"\x23\x00\x01")
        assert second == five("", b"2", properties=b"\x23\x00\x01")
        assert third == five("aliased/b", b"3", properties=b"\x23\x00\x02")


def test_the_end_of_a_session_may_change(hub: MqttHub) -> None:
    """DISCONNECT may shorten what CONNECT has asked for, but not lengthen nothing (0x82)."""
    with hub.raw() as raw:
        entered(raw, "shorter", KEPT)
        raw.send(packet(0xE0, b"\x00\x05\x11\x00\x00\x00\x00"))
        raw.expect_end()
    with hub.raw() as raw:
        assert entered(raw, "shorter", clean=False)[2] == 0
        raw.send(packet(0xE0, b"\x00\x05\x11\x00\x00\x00\x3c"))
        answer = raw.packet()
        assert (answer[0], answer[2]) == (0xE0, 0x82)


def test_versions_share_sessions(hub: MqttHub) -> None:
    """A session of 3.1.1 goes on in MQTT 5, and the other way round."""
    with hub.raw() as raw:
        raw.send(connect("changer", clean=False), subscribe("changer/a", 1))
        raw.expect("200200009003000101")
        raw.send(DISCONNECT)
        raw.expect_end()
    assert hub.publish("changer/a", "x").returncode == 0
    with hub.raw() as raw:
        assert entered(raw, "changer", KEPT, clean=False)[2] == 1
        message = raw.packet()
        assert message == five("changer/a", b"x", 1, int.from_bytes(message[-4:-2], "big"))
    with hub.raw() as raw:
        raw.send(connect("changer", clean=False))
        raw.expect("20020100")
        again = raw.packet()
        assert again[0] == 0x3A
        assert again.endswith(b"x")


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("clean", [True, False])
def test_who_is_taken_over_leaves_a_will(hub: MqttHub, version: int, clean: bool) -> None:
    """The will of the older connection is published, since it did not say DISCONNECT."""
    client_id = f"overtaken-{version}-{clean}"
    kept = KEPT if version == 5 else b""
    with hub.raw() as watcher, hub.raw() as old, hub.raw() as new:
        entered(watcher, "overtaker")
        listening(watcher, client_id)
        will = (client_id, b"gone", 0)
        old.send(connect(client_id, version, clean=clean, will=will, properties=kept))
        assert old.packet()[3] == 0
        new.send(connect(client_id, version, clean=clean, properties=kept))
        assert new.packet()[2:4] == bytes([not clean, 0])
        watcher.expect(five(client_id, b"gone"))


def test_properties_of_a_will(hub: MqttHub) -> None:
    """A will is published with its properties."""
    properties = b"\x01\x01" + b"\x03" + text("text/plain") + b"\x26" + text("a") + text("b")
    with hub.raw() as watcher:
        entered(watcher, "heirs")
        listening(watcher, "heritage", 1)
        with hub.raw() as raw:
            will = ("heritage", b"all", 1)
            raw.send(connect("testator", 5, will=will, will_properties=properties))
            assert raw.packet()[3] == 0
        got = watcher.packet()
        assert got.endswith(b"all")
        for one in (b"\x01\x01", b"\x03" + text("text/plain"), b"\x26" + text("a") + text("b")):
            assert one in got


def test_no_method_of_authentication(hub: MqttHub) -> None:
    """An authentication method is refused: 0x8C."""
    with hub.raw() as raw:
        raw.send(connect("method", 5, properties=b"\x15" + text("SCRAM-SHA-256")))
        answer = raw.packet()
        assert (answer[0], answer[3]) == (0x20, 0x8C)
        raw.expect_end()


@pytest.mark.parametrize(
    ("bad", "reasons"),
    [
        # No Local on a shared subscription [MQTT-3.8.3-4].
        (subscribe("$share/g/a", 0x04, 1, 5), {0x82}),
        # Reserved bits, QoS 3, retain handling 3.
        (subscribe("a", 0x40, 1, 5), {0x81}),
        (subscribe("a", 0x03, 1, 5), {0x81, 0x82}),
        (subscribe("a", 0x30, 1, 5), {0x81, 0x82}),
        # Identifier 0.
        (subscribe("a", 0, 1, 5, b"\x0b\x00"), {0x82}),
        (subscribe("a", 0, 0, 5), {0x81, 0x82}),
        # A SUBSCRIBE without filters, and with wrong flags.
        (packet(0x82, b"\x00\x01\x00"), {0x82}),
        (packet(0x80, subscribe("a", 0, 1, 5)[2:]), {0x81}),
        # QoS 3, DUP at QoS 0, alias 0 and one too high, a subscription identifier.
        (packet(0x36, publish("a", b"x", 1, 1, 5)[2:]), {0x81}),
        (publish("a", b"x", 0, 1, 5, dup=True), {0x81, 0x82}),
        (publish("a", b"x", 0, 1, 5, properties=b"\x23\x00\x00"), {0x94}),
        (publish("a", b"x", 0, 1, 5, properties=b"\x23\xff\xff"), {0x94}),
        (publish("a", b"x", 0, 1, 5, properties=b"\x0b\x01"), {0x81, 0x82}),
        (publish("a", b"x", 1, 0, 5), {0x81, 0x82}),
        # A property twice, an unknown one, forbidden code points.
        (publish("a", b"x", 0, 1, 5, properties=b"\x01\x01\x01\x01"), {0x82}),
        (publish("a", b"x", 0, 1, 5, properties=b"\x04\x01"), {0x81}),
        (publish("a\0b", b"x", 0, 1, 5), {0x81}),
        (packet(0x30, b"\x00\x02\xc3\x28\x00"), {0x81}),
        # Packets that only servers send, and one that does not exist.
        (packet(0xD0, b""), {0x82, 0x81}),
        (packet(0x90, b"\x00\x01\x00\x00"), {0x82, 0x81}),
        (b"\x00\x00", {0x81}),
        # A remaining length of five bytes.
        (b"\x30\xff\xff\xff\xff\x01", {0x81}),
        # AUTH without a method, PUBREL with wrong flags.
        (packet(0xF0, b""), {0x82}),
        (packet(0x60, b"\x00\x01"), {0x81}),
    ],
)
def test_violations(hub: MqttHub, bad: bytes, reasons: set[int]) -> None:
    """What the specification forbids ends the connection with the reason that it names."""
    with hub.raw() as raw:
        entered(raw, "violator")
        raw.send(bad)
        answer = raw.packet()
        assert answer[0] == 0xE0, answer.hex(" ")
        assert answer[2] in reasons, answer.hex(" ")
        raw.expect_end()


def test_a_subscriber_that_does_not_read(hub: MqttHub) -> None:
    """It holds nobody up: publishers and other subscribers go on."""
    flood = [five("slow/a", b"%06d" % number + b"." * 1000) for number in range(20_000)]
    with hub.raw() as slow, hub.raw() as publisher:
        entered(slow, "slow")
        listening(slow, "slow/a")
        entered(publisher, "quick")
        publisher.send(*flood)
        publisher.send(five("slow/b", b"x", 1, 9))
        publisher.expect("40020009")
        first = slow.packet()
        assert first == flood[0]
