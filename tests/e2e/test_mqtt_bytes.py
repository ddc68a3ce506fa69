"""The broker byte by byte, as clients with little memory see it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.harness import OPEN
from tests.mqtt_hub import (
    BROKER,
    DISCONNECT,
    PINGREQ,
    MqttHub,
    Raw,
    connect,
    packet,
    publish,
    subscribe,
    text,
)

ACCEPTED = "20020000"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MqttHub]:
    """An open hub for all tests here, each with topics and client ids of its own."""
    broker = {**BROKER["transport.mqtt_broker"], "handshake_timeout": "4s"}
    settings = {**OPEN, "transport.mqtt_broker": broker}
    with MqttHub(tmp_path_factory.mktemp("bytes") / "data", settings) as running:
        yield running


@pytest.fixture
def raw(hub: MqttHub) -> Iterator[Raw]:
    """A connection on which nothing has been said."""
    with hub.raw() as connection:
        yield connection


def entered(raw: Raw, client_id: str, version: int = 4, **others: object) -> Raw:
    """Connect, and take the CONNACK."""
    raw.send(connect(client_id, version, **others))  # type: ignore[arg-type]
    answer = raw.packet()
    assert answer[0] == 0x20, answer.hex(" ")
    assert answer[3] == 0, answer.hex(" ")
    return raw


def test_311_answers_have_four_bytes(raw: Raw) -> None:
    """CONNACK, PUBACK, PUBREC and PUBCOMP of 3.1.1 are exactly four bytes, and nothing follows."""
    raw.send(connect("four"))
    raw.expect(ACCEPTED)
    raw.expect_nothing()
    raw.send(publish("readings/four/a", b"1", 1, 0x0102))
    raw.expect("40020102")
    raw.send(publish("readings/four/a", b"2", 2, 0x0304))
    raw.expect("50020304")
    raw.send(packet(0x62, b"\x03\x04"))
    raw.expect("70020304")
    raw.expect_nothing()


def test_311_is_never_told_why(hub: MqttHub, raw: Raw) -> None:
    """What can't be read is acknowledged to a 3.1.1 client in four bytes like everything else."""
    entered(raw, "quiet")
    raw.send(publish("readings/quiet/a", b"\xff\xfe", 1, 7))
    raw.expect("40020007")
    raw.expect_nothing()
    hub.wait_until(lambda: "quiet" in repr(hub.json("rejected")), "it is shown to the owner")


def test_an_empty_client_id(hub: MqttHub) -> None:
    """3.1.1 clients without an id are let in, two at a time, with clean session only."""
    with hub.raw() as one, hub.raw() as two:
        for raw in (one, two):
            raw.send(connect(""))
            raw.expect(ACCEPTED)
        for raw in (one, two):
            raw.expect_nothing()
    with hub.raw() as raw:
        # [3.1.1: MQTT-3.1.3-8]
        raw.send(connect("", clean=False))
        raw.expect("20020002")
        raw.expect_end()


def test_an_assigned_client_id(hub: MqttHub) -> None:
    """An MQTT 5 client without an id is told which one it has, and may come back with it."""
    with hub.raw() as raw:
        raw.send(connect("", 5, properties=b"\x11\x00\x00\x00\x3c"))
        answer = raw.packet()
        at = answer.index(b"\x12", 5)
        length = int.from_bytes(answer[at + 1 : at + 3], "big")
        name = answer[at + 3 : at + 3 + length].decode()
        assert name
    with hub.raw() as raw:
        raw.send(connect(name, 5, clean=False))
        assert raw.packet()[2:4] == b"\x01\x00"


@pytest.mark.parametrize(
    ("name", "level", "answer"),
    [("MQIsdp", 3, "200200 01"), ("MQTT", 3, "200200 01"), ("MQTT", 6, "20..00 84")],
)
def test_other_versions_are_refused(raw: Raw, name: str, level: int, answer: str) -> None:
    """A version that the broker does not speak is refused with the code that says so."""
    raw.send(packet(0x10, text(name) + bytes([level, 2, 0, 60]) + text("old")))
    first, _, code = answer.partition(" ")
    packet_ = raw.packet()
    assert packet_[:1].hex() == first[:2]
    assert packet_[2:4].hex() == f"00{code}"
    raw.expect_end()


def test_suback_comes_first(raw: Raw) -> None:
    """A client gets its SUBACK before the retained messages, which carry the flag."""
    entered(raw, "retained")
    raw.send(
        publish("first/a", b"A", 1, 1, retain=True), publish("first/b", b"B", 1, 2, retain=True)
    )
    raw.expect("4002000140020002")
    raw.send(subscribe("first/+", 0, 9))
    raw.expect("9003000900")
    got = {raw.packet() for _ in range(2)}
    assert got == {publish("first/a", b"A", retain=True), publish("first/b", b"B", retain=True)}
    raw.expect_nothing()


@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_no_delivery_above_the_subscription(hub: MqttHub, granted: int, qos: int) -> None:
    """A message arrives at the lower of its own and the subscription's quality of service."""
    with hub.raw() as subscriber, hub.raw() as publisher:
        entered(subscriber, "granted")
        entered(publisher, "granting")
        subscriber.send(subscribe("granted/q", granted))
        subscriber.expect(f"90030001 0{granted}")
        publisher.send(publish("granted/q", b"x", qos, 5))
        message = subscriber.packet()
        lower = min(granted, qos)
        assert message[0] == 0x30 | lower << 1, message.hex(" ")
        if lower:
            number = message[-3:-1]
            assert message == publish("granted/q", b"x", lower, int.from_bytes(number, "big"))
        else:
            assert message == publish("granted/q", b"x")


def test_qos_2_is_routed_once(hub: MqttHub) -> None:
    """A message sent again before its PUBREL is not new; after PUBCOMP its number is free."""
    with hub.raw() as subscriber, hub.raw() as publisher:
        entered(subscriber, "once")
        entered(publisher, "oncer", 5)
        subscriber.send(subscribe("readings/once/a", 0))
        subscriber.expect("9003000100")
        publisher.send(publish("readings/once/a", b"1", 2, 5, 5))
        publisher.expect("50020005")
        publisher.send(publish("readings/once/a", b"1", 2, 5, 5, dup=True))
        publisher.expect("50020005")
        publisher.send(packet(0x62, b"\x00\x05"))
        publisher.expect("70020005")
        # PUBREL of a number that is not known (0x92).
        publisher.send(packet(0x62, b"\x00\x05"))
        publisher.expect("7003000592")
        publisher.send(publish("readings/once/a", b"2", 2, 5, 5))
        publisher.expect("50020005")
        subscriber.expect(publish("readings/once/a", b"1") + publish("readings/once/a", b"2"))
        subscriber.expect_nothing()
    hub.wait_values("once", "a", [1, 2])


def test_a_payload_that_means_nothing_has_its_reason(hub: MqttHub) -> None:
    """MQTT 5: PUBACK says 0x99 with a reason string, unless the client does not want to know."""
    with hub.raw() as raw:
        entered(raw, "reasons", 5)
        raw.send(publish("readings/reasons/a", b"\xff\xfe", 1, 3, 5))
        answer = raw.packet()
        assert answer[0] == 0x40
        assert answer[2:5] == b"\x00\x03\x99"
        assert answer[6] == 0x1F
        assert answer[9:].decode()
        raw.send(publish("readings/reasons/a", b"\xff\xfe", 2, 4, 5))
        answer = raw.packet()
        assert answer[0] == 0x50
        assert answer[2:5] == b"\x00\x04\x99"
        # [MQTT-4.3.3-2]: with that, the number is free again.
        raw.send(publish("readings/reasons/a", b"1", 2, 4, 5))
        raw.expect("50020004")
    with hub.raw() as raw:
        entered(raw, "reasons", 5, properties=b"\x17\x00")
        raw.send(publish("readings/reasons/a", b"\xff\xfe", 1, 3, 5))
        raw.expect("4003000399")
    hub.wait_until(lambda: "reasons" in repr(hub.json("rejected")), "it is shown to the owner")


@pytest.mark.parametrize("version", [4, 5])
def test_take_over(hub: MqttHub, version: int) -> None:
    """The older connection under a client id ends, in MQTT 5 with 0x8E; its session goes on."""
    kept = b"\x11\x00\x00\x00\x3c" if version == 5 else b""
    client_id = f"twice-{version}"
    with hub.raw() as old, hub.raw() as new, hub.raw() as publisher:
        entered(old, client_id, version, clean=False, properties=kept)
        old.send(subscribe("twice/a", 0, version=version))
        old.packet()
        new.send(connect(client_id, version, clean=False, properties=kept))
        assert new.packet()[2:4] == b"\x01\x00"
        if version == 5:
            answer = old.packet()
            assert answer[0] == 0xE0
            assert answer[2] == 0x8E
        old.expect_end()
        entered(publisher, "twice")
        publisher.send(publish("twice/a", b"x"))
        new.expect(publish("twice/a", b"x", version=version))


def test_a_second_connect_is_an_error(hub: MqttHub) -> None:
    """It ends the connection: MQTT 5 clients are told 0x82, others nothing."""
    with hub.raw() as raw:
        entered(raw, "second", 5)
        raw.send(connect("second", 5))
        answer = raw.packet()
        assert (answer[0], answer[2]) == (0xE0, 0x82)
        raw.expect_end()
    with hub.raw() as raw:
        entered(raw, "second")
        raw.send(connect("second"))
        raw.expect_end()


@pytest.mark.parametrize(
    "first", [PINGREQ, DISCONNECT, publish("a", b"x"), subscribe("a"), b"GET / HTTP/1.1\r\n\r\n"]
)
def test_the_first_packet_is_connect(raw: Raw, first: bytes) -> None:
    """A connection that begins otherwise is closed without an answer."""
    raw.send(first)
    raw.expect_end()


def test_silence_beyond_the_keep_alive(hub: MqttHub) -> None:
    """A silent client is cut off, and its will is published; MQTT 5 clients are told 0x8D.

    That is after 1.5 times its keep alive and no later: before the time of another connection
    is over that has been silent since the same moment.
    """
    with hub.raw() as watcher, hub.raw() as five, hub.raw() as four, ExitStack() as later:
        entered(watcher, "silence")
        watcher.send(subscribe("silent/+"))
        watcher.expect("9003000100")
        entered(five, "silent-5", 5, keep_alive=1, will=("silent/5", b"gone", 0))
        entered(four, "silent-4", 4, keep_alive=1, will=("silent/4", b"gone", 0))
        # Its time begins when it connects, not with its first byte.
        began = time.monotonic()
        half = later.enter_context(hub.raw())
        half.send(b"\x10")
        answer = five.packet()
        assert (answer[0], answer[2]) == (0xE0, 0x8D)
        five.expect_end()
        four.expect_end()
        got = {watcher.packet() for _ in range(2)}
        assert got == {publish("silent/5", b"gone"), publish("silent/4", b"gone")}
        # Who was held up for long is no judge of it.
        assert half.is_silent() or time.monotonic() - began > 4


def test_who_does_not_connect_is_closed(hub: MqttHub) -> None:
    """Neither a connection without a byte nor one that stops within CONNECT stays open."""
    with hub.raw() as silent, hub.raw() as half:
        half.send(connect("half")[:-1])
        half.expect_end()
        silent.expect_end()


def test_too_many_messages_under_way(hub: MqttHub) -> None:
    """The first QoS 2 message beyond the Receive Maximum that was told has its answer: 0x93."""
    with hub.raw() as raw:
        raw.send(connect("greedy", 5))
        answer = raw.packet()
        at = answer.index(b"\x21", 5)
        most = int.from_bytes(answer[at + 1 : at + 3], "big")
        raw.send(*(publish("greedy/a", b"x", 2, number, 5) for number in range(1, most + 1)))
        for number in range(1, most + 1):
            raw.expect(packet(0x50, number.to_bytes(2, "big")))
        raw.send(publish("greedy/a", b"x", 2, most + 1, 5))
        answer = raw.packet()
        assert (answer[0], answer[2]) == (0xE0, 0x93)
        raw.expect_end()


def test_a_packet_beyond_the_limit(hub: MqttHub) -> None:
    """It is refused by its length alone, before its bytes are there: 0x95."""
    with hub.raw() as raw:
        entered(raw, "large", 5)
        raw.send(b"\x30\xff\xff\xff\x7f")
        answer = raw.packet()
        assert (answer[0], answer[2]) == (0xE0, 0x95)
        raw.expect_end()


def test_topic_aliases(hub: MqttHub) -> None:
    """A number stands for a topic once it was told; an unknown one is an error."""
    with hub.raw() as subscriber, hub.raw() as publisher:
        entered(subscriber, "alias")
        subscriber.send(subscribe("alias/#"))
        subscriber.expect("9003000100")
        entered(publisher, "aliases", 5)
        one = b"\x23\x00\x01"
        publisher.send(
            publish("alias/a", b"1", version=5, properties=one),
            publish("", b"2", version=5, properties=one),
            publish("alias/b", b"3", version=5, properties=one),
            publish("", b"4", version=5, properties=one),
        )
        subscriber.expect(
            publish("alias/a", b"1")
            + publish("alias/a", b"2")
            + publish("alias/b", b"3")
            + publish("alias/b", b"4")
        )
        publisher.send(publish("", b"5", version=5, properties=b"\x23\x00\x02"))
        answer = publisher.packet()
        assert (answer[0], answer[2]) == (0xE0, 0x82)


def test_one_copy_with_all_identifiers(hub: MqttHub) -> None:
    """Overlapping subscriptions bring one copy, at the highest QoS, with every identifier."""
    with hub.raw() as raw:
        entered(raw, "overlap", 5)
        raw.send(
            subscribe("overlap/a", 0, 1, 5, b"\x0b\x01"),
            subscribe("overlap/+", 1, 2, 5, b"\x0b\x02"),
        )
        raw.expect("90040001 00 00" + "90040002 00 01")
        raw.send(publish("overlap/a", b"x", 1, 9, 5))
        got = [raw.packet(), raw.packet()]
        assert packet(0x40, b"\x00\x09") in got
        (message,) = (one for one in got if one[0] != 0x40)
        assert message[0] == 0x32
        properties = message[-1 - 5 : -1]
        assert properties in (b"\x04\x0b\x01\x0b\x02", b"\x04\x0b\x02\x0b\x01")
        raw.expect_nothing()


def test_no_local_and_retain_as_published(hub: MqttHub) -> None:
    """A client is not sent its own messages if it asks for that; the flag comes on if asked for."""
    with hub.raw() as one, hub.raw() as two:
        entered(one, "local", 5)
        entered(two, "remote", 5)
        one.send(subscribe("local/a", 0x04, 1, 5))
        one.expect("90040001 00 00")
        two.send(subscribe("local/a", 0x08, 1, 5))
        two.expect("90040001 00 00")
        one.send(publish("local/a", b"x", version=5, retain=True))
        two.expect(publish("local/a", b"x", version=5, retain=True))
        one.expect_nothing()
        two.send(publish("local/a", b"y", version=5))
        one.expect(publish("local/a", b"y", version=5))


def test_wrong_filters_and_topics(hub: MqttHub) -> None:
    """A wildcard in a topic and a filter that is none end the connection with the right reason."""
    for bad, reason in (
        (publish("a/+", b"x", version=5), {0x82, 0x90}),
        (publish("a/#", b"x", version=5), {0x82, 0x90}),
        (publish("", b"x", version=5), {0x82}),
        (subscribe("a/#/b", version=5), {0x81, 0x8F}),
        (subscribe("", version=5), {0x81, 0x82, 0x8F}),
    ):
        with hub.raw() as raw:
            entered(raw, "wrong", 5)
            raw.send(bad)
            answer = raw.packet()
            if answer[0] == 0x90:
                # A filter may also be refused in the SUBACK.
                assert answer[-1] in reason
                continue
            assert answer[0] == 0xE0
            assert answer[2] in reason, (bad, answer.hex(" "))
            raw.expect_end()


def test_packets_cut_anywhere(hub: MqttHub) -> None:
    """Byte by byte, the same packets get the same answers."""
    said = connect("bytes") + subscribe("bytes/a", 1, 2) + publish("bytes/a", b"x", 1, 3)
    with hub.raw() as raw:
        for at in range(len(said)):
            raw.send(said[at : at + 1])
        raw.expect(ACCEPTED)
        raw.expect("9003000201")
        got = [raw.packet(), raw.packet()]
        assert sorted(one[0] for one in got) == [0x32, 0x40]


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("end", ["disconnect", "half-closed", "closed"])
def test_all_in_one_write(hub: MqttHub, version: int, qos: int, end: str) -> None:
    """A device may say everything in one packet of TCP and be gone: it is stored."""
    device = f"hasty-{version}-{qos}-{end}"
    said = [connect("", version), publish(f"readings/{device}/a", b"1", qos, 7, version)]
    if end == "disconnect":
        said.append(DISCONNECT)
    with hub.raw() as raw:
        raw.send(*said)
        if end == "half-closed":
            raw.finish()
        if end != "closed":
            assert raw.packet()[3] == 0
            # After DISCONNECT nobody listens to acknowledgements.
            if qos and end == "half-closed":
                raw.expect("40020007")
            raw.expect_end()
    hub.wait_values(device, "a", [1])


def test_a_will_of_who_was_gone_at_once(hub: MqttHub) -> None:
    """A client that is gone before its CONNACK leaves its will all the same."""
    with hub.raw() as watcher:
        entered(watcher, "heir of the hasty")
        watcher.send(subscribe("hasty/will"))
        watcher.expect("9003000100")
        with hub.raw() as raw:
            raw.send(connect("hasty", will=("hasty/will", b"gone", 1)))
            raw.finish()
            raw.expect(ACCEPTED)
            raw.expect_end()
        watcher.expect(publish("hasty/will", b"gone"))


def test_a_session_is_taken_over_from_a_connection_that_was_reset(hub: MqttHub) -> None:
    """Whether or not the hub has seen the reset, the newcomer is let in, and nobody else out."""
    with hub.raw() as bystander:
        entered(bystander, "bystander")
        for _ in range(100):
            with hub.raw() as newcomer, hub.raw() as old:
                entered(old, "reset")
                old.reset()
                entered(newcomer, "reset")
        bystander.send(PINGREQ)
        bystander.expect("d000")
