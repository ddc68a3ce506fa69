"""What the broker keeps over restarts and power cuts, with clients that see every byte."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

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
)

KEPT = b"\x11\x00\x00\x0e\x10"
"""Session expiry: an hour."""

PUBREL_1 = packet(0x62, b"\x00\x01")


@pytest.fixture(scope="module")
def only_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MqttHub]:
    """An open hub for all tests here, each with topics and client ids of its own."""
    with MqttHub(tmp_path_factory.mktemp("kept") / "data", {**OPEN, **BROKER}) as running:
        yield running


@pytest.fixture
def hub(only_hub: MqttHub) -> MqttHub:
    """The hub; it runs, also when the test before has failed while it did not."""
    return only_hub if only_hub.process.poll() is None else only_hub.start()


def cut_power(hub: MqttHub) -> None:
    """End the hub with kill -9, and start it again."""
    hub.kill()
    hub.start()


def restart(hub: MqttHub) -> None:
    """End the hub properly, and start it again."""
    assert hub.stop() == 0
    hub.start()


both_ends = pytest.mark.parametrize("end", [restart, cut_power])


def enter(raw: Raw, client_id: str, *, present: bool, version: int = 4) -> Raw:
    """Connect with a session that is kept, and look whether there was one."""
    properties = KEPT if version == 5 else b""
    raw.send(connect(client_id, version, clean=False, properties=properties))
    answer = raw.packet()
    assert answer[2:4] == bytes([present, 0]), answer.hex(" ")
    return raw


def number_of(message: bytes, topic: str) -> bytes:
    """Return the packet identifier of a short 3.1.1 PUBLISH."""
    at = 4 + len(topic.encode())
    return message[at : at + 2]


@pytest.mark.parametrize(
    ("end", "version", "qos"),
    [(restart, "311", 1), (restart, "5", 2), (cut_power, "311", 2), (cut_power, "5", 1)],
)
def test_what_waits_for_a_client(
    hub: MqttHub, end: Callable[[MqttHub], None], version: str, qos: int
) -> None:
    """Messages for a client that is away outlive the hub's end: each once, in order."""
    topic = f"away/{version}/{qos}"
    kept = ["-V", version, "-c", "-i", topic, "-q", "2", "-t", topic]
    kept += ["-x", "3600"] if version == "5" else []
    with hub.subscriber(*kept) as subscriber:
        subscriber.stop()
    publisher = ["-V", version, "-t", topic, "-q", str(qos), "-l"]
    hub.mosquitto_pub(*publisher, given="".join(f"{number}\n" for number in range(20)))
    end(hub)
    hub.mosquitto_pub(*publisher, given="".join(f"{number}\n" for number in range(20, 30)))
    with hub.subscriber(*kept) as subscriber:
        assert subscriber.take(30) == [f"{topic} {number}" for number in range(30)]
        subscriber.stop()
        assert subscriber.rest() == []
    # Whatever came before this is durable when it is acknowledged: also the DISCONNECT.
    assert hub.publish("elsewhere", "x").returncode == 0
    end(hub)
    with hub.subscriber(*kept) as subscriber:
        assert hub.publish(topic, "last").returncode == 0
        assert subscriber.take() == [f"{topic} last"]


@both_ends
def test_retained_messages(hub: MqttHub, end: Callable[[MqttHub], None]) -> None:
    """Retained messages outlive the hub's end, and so does that one was taken away."""
    head = f"kept/{end.__name__}"
    for topic in (f"{head}/a", f"{head}/b", f"{head}/c"):
        assert hub.publish(topic, "old", "-r").returncode == 0
    assert hub.publish(f"{head}/a", "new", "-r").returncode == 0
    assert hub.publish(f"{head}/b", None, "-r", "-n").returncode == 0
    end(hub)
    with hub.subscriber("-V", "5", "-t", f"{head}/+").told("%r %t %p") as late:
        assert sorted(late.take(2)) == [f"1 {head}/a new", f"1 {head}/c old"]
        assert hub.publish(f"{head}/d", "x").returncode == 0
        assert late.take() == [f"0 {head}/d x"]


@pytest.mark.parametrize("version", [4, 5])
def test_exactly_once_into_the_hub(hub: MqttHub, version: int) -> None:
    """A QoS 2 message sent again after a power cut between PUBREC and PUBREL is not new."""
    device = f"once-{version}"
    topic = f"readings/{device}/a"
    message = publish(topic, b"1", 2, 1, version)
    again = publish(topic, b"1", 2, 1, version, dup=True)
    with hub.raw() as raw:
        enter(raw, device, present=False, version=version)
        raw.send(message)
        raw.expect("50020001")
        hub.kill()
    hub.start()
    with hub.raw() as raw:
        enter(raw, device, present=True, version=version)
        raw.send(again)
        raw.expect("50020001")
        raw.send(PUBREL_1)
        raw.expect("70020001")
        hub.kill()
    hub.start()
    with hub.raw() as raw:
        enter(raw, device, present=True, version=version)
        # The client has not seen the PUBCOMP: it asks for it again. MQTT 5 tells that the
        # identifier is not known any more.
        raw.send(PUBREL_1)
        raw.expect("70020001" if version == 4 else "7003000192")
        # From here on the identifier is free for a new message.
        raw.send(publish(topic, b"2", 2, 1, version))
        raw.expect("50020001")
    hub.wait_values(device, "a", [1, 2])
    assert hub.device(device)["received"] == 2


def test_exactly_once_to_a_subscriber(hub: MqttHub) -> None:
    """What a subscriber has confirmed with PUBREC is not sent again after a power cut."""
    with hub.raw() as raw:
        enter(raw, "reader", present=False)
        raw.send(subscribe("twice/a", 2))
        raw.expect("9003000102")
    assert hub.publish("twice/a", "1", qos=2).returncode == 0
    assert hub.publish("twice/a", "2", qos=2).returncode == 0
    with hub.raw() as raw:
        enter(raw, "reader", present=True)
        first, second = raw.packet(), raw.packet()
        assert (first[-1:], second[-1:]) == (b"1", b"2")
        number = number_of(first, "twice/a")
        raw.send(packet(0x50, number))
        raw.expect(packet(0x62, number))
        hub.kill()
    hub.start()
    with hub.raw() as raw:
        enter(raw, "reader", present=True)
        got = {raw.packet(), raw.packet()}
        # PUBREL for the first, the second as a duplicate.
        assert packet(0x62, number) in got
        (message,) = got - {packet(0x62, number)}
        assert message == second[:0] + bytes([second[0] | 0x08]) + second[1:]
        raw.send(packet(0x70, number), packet(0x50, number_of(second, "twice/a")))
        raw.expect(packet(0x62, number_of(second, "twice/a")))
        raw.send(packet(0x70, number_of(second, "twice/a")))
        raw.expect_nothing()
        hub.kill()
    hub.start()
    with hub.raw() as raw:
        enter(raw, "reader", present=True)
        raw.send(PINGREQ)
        # A PUBREL may be repeated, a message may not.
        while (answer := raw.packet()) != b"\xd0\x00":
            assert answer[0] == 0x62, answer.hex(" ")


def test_what_was_acknowledged_is_stored(hub: MqttHub) -> None:
    """Readings whose PUBACK has come survive a power cut in the same moment."""
    sent = 0
    for _ in range(3):
        with hub.raw() as raw:
            enter(raw, "publisher", present=bool(sent))
            for _ in range(60):
                sent += 1
                raw.send(publish("readings/acknowledged/a", str(sent).encode(), 1, sent))
                raw.expect(packet(0x40, sent.to_bytes(2, "big")))
            hub.kill()
        hub.start()
    hub.wait_values("acknowledged", "a", [float(number + 1) for number in range(sent)])


def test_a_new_session_is_empty(hub: MqttHub) -> None:
    """Clean session forgets what was kept, for good: also after a power cut."""
    with hub.raw() as raw:
        enter(raw, "clean", present=False)
        raw.send(subscribe("clean/a", 1))
        raw.expect("9003000101")
    assert hub.publish("clean/a", "for the old one").returncode == 0
    with hub.raw() as raw:
        raw.send(connect("clean"))
        raw.expect("20020000")
        raw.send(DISCONNECT)
        raw.expect_end()
    cut_power(hub)
    with hub.raw() as raw:
        enter(raw, "clean", present=False)
        raw.expect_nothing()


def test_a_will_outlives_a_power_cut(hub: MqttHub) -> None:
    """Who was connected when the power failed is cut off too: the will comes after the start."""
    with hub.raw() as raw:
        will = ("wills/a", b"gone", 1)
        raw.send(connect("willing", 5, clean=False, properties=KEPT, will=will))
        assert raw.packet()[3] == 0
        with hub.subscriber("-V", "5", "-c", "-x", "99", "-i", "w", "-q", "1", "-t", "wills/a"):
            pass
        hub.kill()
    hub.start()
    kept = ["-V", "5", "-c", "-x", "99", "-i", "w", "-q", "1", "-t", "wills/a"]
    with hub.subscriber(*kept) as watcher:
        assert watcher.take() == ["wills/a gone"]


def test_a_will_that_waits(hub: MqttHub) -> None:
    """A will with a delay is not published for who is back in time, over a restart too."""
    will = ("wills/late", b"gone", 1)
    delay = b"\x18\x00\x00\x00\x3c"
    asked = connect("back", 5, clean=False, properties=KEPT, will=will, will_properties=delay)
    with hub.subscriber("-V", "5", "-t", "wills/#") as watcher:
        with hub.raw() as raw:
            raw.send(asked)
            assert raw.packet()[3] == 0
            raw.cut()
        with hub.raw() as raw:
            raw.send(asked)
            assert raw.packet()[2:4] == b"\x01\x00"
            raw.cut()
        # Another session under the same client id ends the older one, and that its delay.
        with hub.raw() as raw:
            raw.send(connect("back", 5))
            assert raw.packet()[2:4] == b"\x00\x00"
            assert watcher.take() == ["wills/late gone"]
            assert hub.publish("wills/marker", "x").returncode == 0
            assert watcher.take() == ["wills/marker x"]


def test_a_short_delay(hub: MqttHub) -> None:
    """A will with a delay is published when that is over."""
    delay = b"\x18\x00\x00\x00\x01"
    with hub.subscriber("-V", "5", "-t", "wills/#") as watcher, hub.raw() as raw:
        will = ("wills/delayed", b"gone", 1)
        raw.send(connect("late", 5, properties=KEPT, will=will, will_properties=delay))
        assert raw.packet()[3] == 0
        began = time.monotonic()
        raw.cut()
        assert hub.publish("wills/marker", "first").returncode == 0
        # Who takes longer than the delay to publish learns nothing from the order.
        in_time = time.monotonic() - began < 1
        heard = watcher.take(2)
        assert sorted(heard) == ["wills/delayed gone", "wills/marker first"]
        assert heard[0] == "wills/marker first" or not in_time


def test_clients_hear_of_the_end(hub: MqttHub) -> None:
    """A hub that stops tells MQTT 5 clients so (0x8B) and closes; what they said is stored."""
    with hub.raw() as five, hub.raw() as four:
        enter(five, "five", present=False, version=5)
        enter(four, "four", present=False)
        five.send(publish("readings/farewell/a", b"1", 0, 1, 5))
        four.send(publish("readings/farewell/a", b"2", 1))
        four.expect("40020001")
        hub.terminate()
        answer = five.packet()
        assert (answer[:1], answer[2:3]) == (b"\xe0", b"\x8b")
        five.expect_end()
        four.expect_end()
        assert hub.wait() == 0
    hub.start()
    hub.wait_stored("farewell", "a", 2)
    assert sorted(hub.values("farewell", "a")) == [1, 2]


def test_the_will_of_a_client_without_session(hub: MqttHub) -> None:
    """It is published once, though the hub was killed before it saw its client go."""
    with hub.raw() as watcher:
        enter(watcher, "watches-wills", present=False)
        watcher.send(subscribe("gone/#", 1))
        assert watcher.packet()[0] == 0x90
    with hub.raw() as client:
        client.send(connect("short-lived", will=("gone/short-lived", b"bye", 1)))
        assert client.packet() == b"\x20\x02\x00\x00"
        hub.kill()
    hub.start()
    with hub.raw() as watcher:
        enter(watcher, "watches-wills", present=True)
        will = watcher.packet()
        assert will.endswith(b"bye")
        watcher.send(b"\x40\x02" + number_of(will, "gone/short-lived"), PINGREQ)
        assert watcher.packet() == b"\xd0\x00"
    # Properly: a kill could take the PUBACK with it, and the message would come again with DUP.
    restart(hub)
    with hub.raw() as watcher:
        enter(watcher, "watches-wills", present=True)
        watcher.send(PINGREQ)
        assert watcher.packet() == b"\xd0\x00"
