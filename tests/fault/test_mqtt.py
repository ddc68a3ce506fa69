"""What the broker does with clients that are many, slow, silent or hostile, when it is full."""

import asyncio
import os
import resource
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from tests.fault import mqtt_crash
from tests.harness import OPEN, PATIENCE, HubProcess, memory
from tests.mqtt_hub import (
    BROKER,
    PINGREQ,
    MqttHub,
    Raw,
    connect,
    packet,
    publish,
    subscribe,
    text,
)
from tests.ports import free_port

MB = 1_000_000
KEPT = bytes([0x11]) + (3600).to_bytes(4, "big")
"""A session expiry of an hour."""

STORM = 500
IDLE = 1000


def hub_with(folder: Path, **settings: object) -> MqttHub:
    """Return an open hub whose broker has these settings."""
    hub = MqttHub(folder, {**OPEN, "transport.mqtt_broker": broker(settings)})
    hub.fresh = True
    return hub


def broker(settings: dict[str, object]) -> dict[str, object]:
    """Return a section of the configuration."""
    return {**BROKER["transport.mqtt_broker"], **settings}


def counter(hub: HubProcess, name: str) -> int:
    """Return what the broker has counted."""
    return int(hub.status()["transports"]["mqtt_broker"].get(name, 0))


def client(
    hub: MqttHub,
    client_id: str,
    version: int = 5,
    *,
    kept: bool = False,
    clean: bool = True,
    keep_alive: int = 60,
    will: tuple[str, bytes, int] | None = None,
) -> Raw:
    """Return a client that is connected."""
    raw = hub.raw()
    properties = KEPT if kept and version == 5 else b""
    raw.send(
        connect(
            client_id,
            version,
            clean=clean,
            keep_alive=keep_alive,
            will=will,
            properties=properties,
        )
    )
    connack = raw.packet()
    assert connack[0] == 0x20
    assert connack[3] == 0, connack.hex(" ")
    return raw


def subscribed(raw: Raw, topic_filter: str, qos: int) -> Raw:
    """Have a client of MQTT 5 subscribe."""
    raw.send(subscribe(topic_filter, qos, version=5))
    assert raw.packet() == b"\x90\x04\x00\x01\x00" + bytes([qos])
    return raw


def sent(raw: Raw, topic: str, payload: bytes, qos: int = 1, properties: bytes = b"") -> None:
    """Publish a message and wait until the hub has it."""
    if qos:
        raw.send(publish(topic, payload, qos, version=5, properties=properties))
        assert raw.packet()[0] == 0x40
    else:
        raw.send(publish(topic, payload, version=5, properties=properties))
        raw.expect_nothing()


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process, and the hub that it starts, open more files than connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4 * IDLE, hard)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("qos", [0, 1])
def test_a_subscriber_that_stops_reading(folder: Path, qos: int) -> None:
    """It costs what its queue may take, and neither publishers nor other subscribers notice."""
    with (
        hub_with(folder, queued_bytes="4 MB") as hub,
        client(hub, "stuck") as stuck,
        client(hub, "well") as well,
        client(hub, "publisher") as publisher,
    ):
        subscribed(stuck, "t/#", qos)
        subscribed(well, "t/#", 0)
        sent(publisher, "t/x", b"first")
        assert well.packet().endswith(b"first")
        before = memory(hub.pid)
        for number in range(80):
            sent(publisher, "t/x", b"%03d" % number * 333_000)
            assert well.packet().endswith(b"%03d" % number)
        assert memory(hub.pid) - before < 30 * MB
        assert counter(hub, "dropped") > 40


def test_small_messages_do_not_make_room_for_large_ones(folder: Path) -> None:
    """A queue that is full of small messages still takes no more bytes than it may."""
    with (
        hub_with(folder, queued_bytes="4 MB") as hub,
        client(hub, "away", kept=True) as away,
        client(hub, "publisher") as publisher,
    ):
        subscribed(away, "t/#", 1)
        away.cut()
        hub.wait_until(lambda: counter(hub, "clients") == 1, "it is away")
        for start in range(0, 9000, 900):
            numbers = range(start + 1, start + 901)
            publisher.send(*(publish("t/x", b"-", 1, one, version=5) for one in numbers))
            for _ in numbers:
                publisher.packet()
        before = memory(hub.pid)
        for _ in range(40):
            sent(publisher, "t/x", bytes(MB))
        assert memory(hub.pid) - before < 30 * MB
        with client(hub, "away", kept=True, clean=False) as again:
            assert sum(len(again.packet()) for _ in range(3)) > 3 * MB


def test_all_queues_together_are_bounded(folder: Path) -> None:
    """Sessions that nobody takes up lose their oldest copies; nobody else loses anything."""
    count = 30
    with (
        hub_with(folder, queued_bytes_total="2 MB") as hub,
        client(hub, "publisher") as publisher,
        client(hub, "well") as well,
    ):
        for name in ("first", "second"):
            with client(hub, name, kept=True) as away:
                subscribed(away, f"{name}/#", 1)
                subscribed(away, "readings/#", 1)
        subscribed(well, "readings/#", 1)
        hub.wait_until(lambda: counter(hub, "clients") == 2, "they are away")
        for number in range(count):
            for name in ("first", "second"):
                sent(publisher, f"{name}/x", b"%03d" % number + bytes(100_000))
            sent(publisher, "readings/device/number", b"%d" % number)
            message = well.packet()
            assert message.endswith(b"%d" % number)
            well.send(b"\x40\x02" + message[-len(b"%d" % number) - 3 :][:2])
        assert 1_800_000 < counter(hub, "queued_bytes") <= 2_000_000
        assert counter(hub, "dropped") == counter(hub, "dropped_beyond_total") > 2 * count - 20
        hub.wait_until(lambda: "all queues together are full" in hub.log, "the log tells")
        hub.wait_folded()
        assert hub.values("device", "number") == list(range(count))
        hub.kill()
        hub.start()
        assert 1_800_000 < counter(hub, "queued_bytes") <= 2_000_000
        with client(hub, "first", kept=True, clean=False) as again:
            assert again.packet()[0] & 0xF0 == 0x30


def test_user_properties_count(folder: Path) -> None:
    """What a queue may take is also used up by properties of messages."""
    long = (b"\x26" + text("key") + text(b"v" * 60_000)) * 10
    # Three bytes of length.
    length = len(long)
    block = bytes([length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14])
    message = packet(0x30, text("t/x") + block + long + b"payload")
    with (
        hub_with(folder, queued_bytes="4 MB") as hub,
        client(hub, "stuck") as stuck,
        client(hub, "publisher") as publisher,
    ):
        subscribed(stuck, "t/#", 0)
        before = memory(hub.pid)
        for _ in range(120):
            publisher.send(message)
        publisher.expect_nothing()
        assert memory(hub.pid) - before < 30 * MB
        assert counter(hub, "dropped") > 50


def test_one_subscribe_packet_with_the_same_filter_again_and_again(folder: Path) -> None:
    """Retained messages come as often as there is room for them, not for each filter."""
    with hub_with(folder, queued_messages=1000) as hub, client(hub, "publisher") as publisher:
        for number in range(200):
            publisher.send(publish(f"r/{number}", b"-", version=5, retain=True))
        publisher.expect_nothing()
        with client(hub, "greedy") as greedy:
            filters = 20_000
            body = b"\x00\x01\x00" + (text("r/#") + b"\x00") * filters
            greedy.send(packet(0x82, body))
            assert len(greedy.packet()) > filters
            greedy.send(PINGREQ)
            got = 0
            while greedy.packet() != b"\xd0\x00":
                got += 1
            assert got == 1000


def test_what_connect_says_is_not_kept(folder: Path) -> None:
    """A hundred clients with nearly a megabyte of user properties each cost next to nothing."""
    long = (b"\x26" + text("key") + text(b"v" * 60_000)) * 16
    length = len(long)
    block = bytes([length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14])
    head = text("MQTT") + b"\x05\x02\x00\x3c"
    with hub_with(folder) as hub:
        before = memory(hub.pid)
        clients = [hub.raw() for _ in range(100)]
        for number, raw in enumerate(clients):
            raw.send(packet(0x10, head + block + long + text(f"long-{number}")))
            assert raw.packet()[3] == 0
        assert memory(hub.pid) - before < 30 * MB
        for raw in clients:
            raw.cut()


def test_long_topics_are_not_remembered(folder: Path) -> None:
    """Messages on a thousand different topics of 65,000 bytes leave nothing behind."""
    with hub_with(folder) as hub, client(hub, "publisher") as publisher:
        before = memory(hub.pid)
        for number in range(1000):
            publisher.send(publish(f"{number}/" + "x" * 65_000, b"-", version=5))
        publisher.expect_nothing()
        assert memory(hub.pid) - before < 20 * MB


def test_a_resumed_session_that_is_to_be_kept_no_longer(folder: Path) -> None:
    """A hub that is killed doesn't bring back what such a client has received already."""
    with hub_with(folder) as hub, client(hub, "publisher") as publisher:
        with client(hub, "short", kept=True) as short:
            subscribed(short, "t/#", 2)
        sent(publisher, "t/x", b"once")
        with client(hub, "short", clean=False) as short:
            message = short.packet()
            assert message.endswith(b"once")
            short.send(b"\x40\x02" + message[7:9])
            short.expect_nothing()
            hub.kill()
        hub.start()
        with client(hub, "short", clean=False) as short:
            short.expect_nothing()


def test_wills_are_retained_within_the_limit(folder: Path) -> None:
    """Clients that go without a word can't leave more behind than any others."""
    with hub_with(folder, retained=3) as hub, client(hub, "watch") as watch:
        subscribed(watch, "w/#", 0)
        for number in range(6):
            raw = hub.raw()
            body = text("MQTT") + b"\x04\x26\x00\x3c" + text("") + text(f"w/{number}") + text("-")
            raw.send(packet(0x10, body))
            raw.expect("20020000")
            raw.cut()
            assert watch.packet()[0] == 0x30
        with client(hub, "late") as late:
            subscribed(late, "w/#", 0)
            late.send(PINGREQ)
            assert [late.packet()[0] for _ in range(4)] == [0x31, 0x31, 0x31, 0xD0]


async def test_a_reconnect_storm_of_persistent_sessions(folder: Path, many_files: None) -> None:
    """After a kill -9 all come back at once; each finds its session, and the message it missed."""
    port = free_port()
    with hub_with(folder, port=port) as hub:
        await together(STORM, lambda number: away(port, number))
        hub.wait_until(lambda: counter(hub, "clients") == 0, "all are away")
        with client(hub, "publisher") as publisher:
            for number in range(STORM):
                sent(publisher, f"storm/{number}", b"%d" % number)
        hub.kill()
        hub.start()
        await together(STORM, lambda number: back(port, number))
        assert counter(hub, "sessions") == STORM
        assert " fault=" not in hub.log


async def test_idle_connections(
    folder: Path, many_files: None, record_property: Callable[[str, object], None]
) -> None:
    """A thousand clients that are connected and silent; what each costs is in the report."""
    with hub_with(folder) as hub:
        before = memory(hub.pid)
        writers: list[asyncio.StreamWriter] = []

        async def idle(number: int) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", hub.mqtt_port)
            writer.write(connect(f"idle-{number}") + subscribe(f"commands/idle-{number}"))
            await reader.readexactly(4 + 5)
            writers.append(writer)

        await together(IDLE, idle)
        grown = memory(hub.pid) - before
        assert counter(hub, "clients") == IDLE
        record_property("bytes_per_connection", grown // IDLE)
        # Measured: 8 kB.
        assert grown < IDLE * 50_000
        for writer in writers:
            writer.close()


def test_a_half_open_client_is_noticed(folder: Path) -> None:
    """Silence of one and a half times its keep alive ends it, not less, and its will goes out."""
    with hub_with(folder) as hub, client(hub, "watch") as watch:
        subscribed(watch, "w/#", 1)
        began = time.monotonic()
        with client(hub, "half-open", 4, keep_alive=2, will=("w/half-open", b"gone", 1)):
            assert watch.packet().endswith(b"gone")
            assert time.monotonic() - began >= 3.0


def test_a_full_journal_holds_publishers_back(folder: Path) -> None:
    """Nothing is dropped, and those who wait are not taken for silent; then all is stored."""
    count = 60_000
    settings = {**OPEN, "transport.mqtt_broker": broker({}), "journal": {"size": "200 kB"}}
    with MqttHub(folder, settings) as hub, client(hub, "held", 4, keep_alive=2) as held:
        os.kill(hub.writer_pid, signal.SIGSTOP)
        feeder = Feeder(held, count)
        hub.wait_until(lambda: feeder.step() or held_back(hub), "the journal is full")
        # One that is silent shows that the time of the other has passed, too.
        with client(hub, "silent", 4, keep_alive=2) as silent:
            hub.wait_until(lambda: feeder.step() or not silent.is_silent(), "it was noticed")
            silent.expect_end()
        with client(hub, "silent", 4, keep_alive=1) as silent:
            hub.wait_until(lambda: feeder.step() or not silent.is_silent(), "it was noticed")
        acknowledged = feeder.acknowledged
        assert acknowledged < count
        os.kill(hub.writer_pid, signal.SIGCONT)
        hub.wait_until(lambda: feeder.step() or feeder.acknowledged == count, "all are taken")
        hub.wait_folded()
        values = hub.values("held", "number")
        assert sorted(values) == list(range(count))


def test_a_hub_that_is_stopped_under_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was acknowledged before the end is stored; what was not is sent again, at QoS 2 once."""
    monkeypatch.setattr(mqtt_crash, "_kill", lambda hub, rng: stop(hub))
    rounds: list[int] = []
    assert mqtt_crash.run(tmp_path, 3, 20_261_121, rounds.append).messages > 100
    assert len(rounds) == 3


class Feeder:
    """Publishes numbers at QoS 1 as fast as the hub takes them, and pings; ``step`` never waits.

    ``acknowledged`` is how many PUBACKs there were.
    """

    def __init__(self, raw: Raw, count: int) -> None:
        self._socket = raw._socket
        self._socket.setblocking(False)
        self._left = b"".join(
            publish("readings/held/number", b"%d" % one, 1, 1 + one % 60_000)
            for one in range(count)
        )
        self._heard = b""
        self._pinged = time.monotonic()
        self.acknowledged = 0

    def _ping(self) -> None:
        """Stay within the keep alive, which is two seconds."""
        if time.monotonic() - self._pinged > 0.3:
            self._pinged = time.monotonic()
            self._socket.send(PINGREQ)

    def _count(self) -> None:
        """Count PUBACKs, of 4 bytes; a PINGRESP has 2."""
        at, heard = 0, self._heard
        while len(heard) - at >= 4 or heard[at:] == b"\xd0\x00":
            acknowledged = heard[at] == 0x40
            self.acknowledged += acknowledged
            at += 4 if acknowledged else 2
        self._heard = heard[at:]

    def step(self) -> bool:
        """Send and receive what can be; False, for use with ``or``."""
        for _ in range(100):
            try:
                if not self._left:
                    self._ping()
                    break
                done = self._socket.send(self._left[:65_536])
                self._left = self._left[done:]
            except BlockingIOError:
                break
        try:
            while data := self._socket.recv(65_536):
                self._heard += data
        except BlockingIOError:
            self._count()
            return False
        raise AssertionError("the hub has closed the connection")


def held_back(hub: HubProcess) -> bool:
    """Tell whether the journal is full."""
    return "is full" in str(hub.status()["journal"]["held_back"])


def stop(hub: HubProcess) -> None:
    """Stop a hub properly."""
    assert hub.stop() == 0
    assert " fault=" not in hub.log


async def together(count: int, work: Callable[[int], Awaitable[None]]) -> None:
    """Do something for each number at the same time."""
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(waited(work(number)))


async def waited(work: Awaitable[None]) -> None:
    await asyncio.wait_for(work, PATIENCE)


async def away(port: int, number: int) -> None:
    """Begin a session with a subscription, and go."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(connect(f"storm-{number}", clean=False) + subscribe(f"storm/{number}", 1))
    assert await reader.readexactly(9) == bytes.fromhex("20020000 9003000101")
    writer.close()


async def back(port: int, number: int) -> None:
    """Come back, and take what was missed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(connect(f"storm-{number}", clean=False))
    assert await reader.readexactly(4) == bytes.fromhex("20020100")
    message = publish(f"storm/{number}", b"%d" % number, 1, dup=True)
    got = await reader.readexactly(len(message))
    body = got.replace(got[-len(b"%d" % number) - 2 : -len(b"%d" % number)], b"\x00\x01")
    assert body == message
    writer.close()
