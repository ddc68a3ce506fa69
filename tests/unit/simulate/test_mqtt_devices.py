"""Simulated MQTT devices behave on the wire as real ones do."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from motehub.errors import OwnerError
from motehub.protocols.mqtt.encoding import encode
from motehub.protocols.mqtt.packets import (
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
    Version,
)
from motehub.protocols.mqtt.properties import AckProperties, ConnAckProperties
from motehub.protocols.mqtt.reader import PacketReader
from motehub.protocols.mqtt.reason_codes import ReasonCode
from motehub.simulate import device_session, mqtt
from motehub.simulate.mqtt import MqttOptions
from motehub.simulate.mqtt_client import MqttClient, MqttTotals

Answer = Callable[["Client", Packet], list[Packet] | None]


class Client:
    """What one client has said on one connection; ``cut`` says that the broker ends it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.heard: list[Packet] = []
        self.ended = asyncio.Event()
        self.tell: Callable[[Packet], None] = lambda _: None

    @property
    def connect(self) -> Connect:
        first = self.heard[0]
        assert isinstance(first, Connect)
        return first

    def published(self, topic: str = "") -> list[Publish]:
        found = [one for one in self.heard if isinstance(one, Publish)]
        return [one for one in found if one.topic.startswith(topic)]


def agree(_: Client, packet: Packet) -> list[Packet] | None:
    """Do what a broker does for whom everything is right."""
    match packet:
        case Connect():
            return [ConnAck()]
        case Subscribe():
            return [SubAck(packet.packet_id, tuple(ReasonCode(0) for _ in packet.subscriptions))]
        case Publish(qos=1):
            return [PubAck(packet.packet_id)]
        case Publish(qos=2):
            return [PubRec(packet.packet_id)]
        case PubRel():
            return [PubComp(packet.packet_id)]
        case PingReq():
            return [PingResp()]
    return []


class Broker:
    """Answers as it is told; None for an answer means that it ends the connection."""

    def __init__(self, answer: Answer) -> None:
        self.clients: list[Client] = []
        self.port = 0
        self._answer = answer

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(len(self.clients))
        self.clients.append(client)
        client.tell = lambda packet: writer.write(encode(packet, client.connect.version))
        packets = PacketReader()
        while data := await reader.read(65_536):
            for packet in packets.feed(data):
                assert not hasattr(packet, "text"), packet
                client.heard.append(packet)
                answers = self._answer(client, packet)
                if answers is None:
                    writer.transport.abort()
                    client.ended.set()
                    return
                for one in answers:
                    client.tell(one)
        writer.close()
        client.ended.set()


@asynccontextmanager
async def listening(answer: Answer = agree) -> AsyncIterator[Broker]:
    broker = Broker(answer)
    async with await asyncio.start_server(broker.talk, "127.0.0.1", 0) as server:
        broker.port = server.sockets[0].getsockname()[1]
        yield broker


def options(port: int, **change: Any) -> MqttOptions:
    usual: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "rate": 100.0,
        "batch_seconds": 0.1,
        "duration": 0.5,
    }
    return MqttOptions(**(usual | change))


both_versions = pytest.mark.parametrize("version", list(Version))


@both_versions
async def test_sensors_publish_with_time_and_token(version: Version) -> None:
    """Each has one connection, says who it is, and leaves with a goodbye."""
    async with listening() as broker:
        totals = await mqtt.run(options(broker.port, devices=3, version=version, token="mh_x"))
    assert (totals.connections, totals.failures, totals.lost, totals.refused) == (3, 0, 0, 0)
    assert totals.messages == totals.acknowledged == 3 * 51
    names = set()
    for client in broker.clients:
        assert (client.connect.version, client.connect.keep_alive) == (version, 5)
        assert client.connect.password == b"mh_x"
        names.add(client.connect.client_id)
        stamps = []
        for message in client.published():
            assert message.topic == f"readings/{client.connect.client_id}"
            assert message.qos == 1
            reading = json.loads(message.payload)
            assert 5 < reading["temperature"] < 40
            assert 20 <= reading["relative_humidity"] <= 90
            stamps.append(reading["time"])
        assert stamps == sorted(set(stamps))
        assert isinstance(client.heard[-1], Disconnect)
    assert names == {"simulated-1", "simulated-2", "simulated-3"}


async def test_what_is_not_acknowledged_is_published_again() -> None:
    """A connection that is cut costs no reading, and no answer is counted twice."""

    def answer(client: Client, packet: Packet) -> list[Packet] | None:
        if client.number == 0 and len(client.published()) > 4:
            return None
        return agree(client, packet)

    async with listening(answer) as broker:
        totals = await mqtt.run(options(broker.port, duration=2.5, rate=20.0))
    assert (totals.connections, totals.failures, totals.lost) == (2, 1, 0)
    first, second = ([one.payload for one in client.published()] for client in broker.clients)
    unanswered = first[4:]
    assert unanswered
    assert second[: len(unanswered)] == unanswered
    assert totals.acknowledged == len({*first, *second}) == 51


async def test_refusals_are_counted_with_their_reason() -> None:
    """MQTT 5 says why a message is not taken; it is not sent again."""

    def answer(client: Client, packet: Packet) -> list[Packet] | None:
        if isinstance(packet, Publish) and len(client.published()) == 3:
            told = AckProperties(reason_string="the device is blocked")
            return [PubAck(packet.packet_id, ReasonCode.NOT_AUTHORIZED, told)]
        return agree(client, packet)

    async with listening(answer) as broker:
        totals = await mqtt.run(options(broker.port, version=Version.V5))
    assert (totals.messages, totals.acknowledged, totals.refused) == (51, 50, 1)
    assert totals.last_refusal == "the device is blocked"


async def test_no_more_is_under_way_than_the_broker_takes() -> None:
    """Its receive maximum holds, whatever has piled up."""
    unanswered: list[Publish] = []
    most = 0

    def acknowledge(client: Client) -> None:
        for one in unanswered:
            client.tell(PubAck(one.packet_id))
        unanswered.clear()

    def answer(client: Client, packet: Packet) -> list[Packet] | None:
        nonlocal most
        if isinstance(packet, Connect):
            return [ConnAck(properties=ConnAckProperties(receive_maximum=5))]
        if not isinstance(packet, Publish):
            return agree(client, packet)
        unanswered.append(packet)
        most = max(most, len(unanswered))
        if len(unanswered) == 1:
            # Not before it has sent all that it wants to, however many are left for the last time.
            asyncio.get_running_loop().call_later(0.02, acknowledge, client)
        return []

    async with listening(answer) as broker:
        given = options(broker.port, version=Version.V5, batch_seconds=0.5, seed=3)
        totals = await mqtt.run(given)
    assert totals.acknowledged >= 50
    assert most == 5


async def test_a_refused_connection_is_a_failure() -> None:
    """Both versions have words for it."""

    def answer(client: Client, packet: Packet) -> list[Packet] | None:
        return [ConnAck(False, ReasonCode.BAD_USER_NAME_OR_PASSWORD)]

    async with listening(answer) as broker:
        totals = await mqtt.run(options(broker.port))
    assert totals.connections == totals.messages == 0
    assert totals.failures >= 1
    assert totals.lost >= 1
    reason = "the hub refuses the connection: bad user name or password"
    assert totals.last_failure == reason


async def test_a_broker_that_is_silent_is_missed() -> None:
    """Without an answer to PINGREQ the connection counts as lost."""

    def answer(client: Client, packet: Packet) -> list[Packet] | None:
        return [] if isinstance(packet, PingReq) else agree(client, packet)

    async with listening(answer) as broker:
        connect = Connect("c", keep_alive=1)
        address = ("127.0.0.1", broker.port)
        client = await MqttClient.connect(address, None, None, connect, MqttTotals())
        with pytest.raises(TimeoutError):
            await client.wait(lambda: False)
        assert client.is_lost
        await client.drop()


class Hub:
    """Answers joins as the hub does; ``ask`` says how often a board has to ask."""

    def __init__(self, asks: int = 1) -> None:
        self.asks = asks
        self.sessions = 0
        self.commanded = False

    def answer(self, client: Client, packet: Packet) -> list[Packet] | None:
        answers = agree(client, packet)
        assert answers is not None
        if isinstance(packet, Publish) and packet.topic == "state/join":
            mac = packet.payload.decode()
            if ";" not in mac and len(client.published("state/join")) >= self.asks:
                self.sessions += 1
                for name, of in (("other", "02:4D:FF:FF:FF:FF"), ("capteur01", mac)):
                    claim = f"{of};{name};17{self.sessions}.5"
                    # As MQTT 5 devices get it.
                    qos = 2 if client.connect.version is Version.V5 else 0
                    number = len(answers) if qos else 0
                    answers.append(
                        Publish("state/nameAssign", claim.encode(), qos, packet_id=number)
                    )
        elif isinstance(packet, Publish) and packet.topic == "led/status" and not self.commanded:
            self.commanded = True
            own = packet.payload.rpartition(b";")[0]
            answers += [
                Publish("led/command", b"other;17.5;0"),
                Publish("led/command", own + b";1", 1, packet_id=9),
            ]
        return answers


@both_versions
async def test_the_life_of_a_board(version: Version) -> None:
    """It asks, connects again with its will, joins, reports, obeys, and leaves."""
    hub = Hub()
    async with listening(hub.answer) as broker:
        totals = await device_session.run(
            options(broker.port, version=version, duration=1.5, seed=1)
        )
    asking, joined = broker.clients
    qos = 2 if version is Version.V5 else 1
    assert asking.connect.will is None
    (wanted,) = (one for one in asking.heard if isinstance(one, Subscribe))
    assert wanted.subscriptions[0].filter == "state/nameAssign"
    assert wanted.subscriptions[0].qos == (2 if version is Version.V5 else 0)
    assert [(one.payload, one.qos) for one in asking.published()] == [(b"02:4D:00:00:00:01", qos)]
    claim = b"capteur01;171.5"
    will = joined.connect.will
    assert will is not None
    assert (will.topic, will.payload, will.qos) == ("state/leave", claim, qos)
    first, *_, last = joined.published()
    assert (first.topic, first.payload) == ("state/join", claim)
    assert (last.topic, last.payload, last.qos) == ("state/leave", claim, qos)
    assert [one.payload for one in joined.published("led/")] == [claim + b";0", claim + b";1"]
    light = [one.payload.rpartition(b";") for one in joined.published("photoresistor/")]
    assert len(light) > 10
    assert all(head == claim and 0 <= int(value) <= 100 for head, _, value in light)
    assert isinstance(joined.heard[-1], Disconnect)
    assert (totals.sessions, totals.commands, totals.failures) == (1, 1, 0)
    assert totals.messages == len(asking.published()) + len(joined.published())
    assert totals.acknowledged == 5


async def test_a_board_asks_until_it_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """While its owner has not decided, it sends its address again and again."""
    monkeypatch.setattr(device_session, "ASK_AGAIN", 0.02)
    hub = Hub(asks=3)
    async with listening(hub.answer) as broker:
        totals = await device_session.run(options(broker.port, duration=1.5))
    assert len(broker.clients[0].published("state/join")) == 3
    assert totals.sessions == 1


async def test_a_board_that_lost_its_connection_begins_again() -> None:
    """It keeps nothing: it asks for its name, and goes on in a new session."""
    hub = Hub()

    def answer(client: Client, packet: Packet) -> list[Packet] | None:
        if client.number == 1 and len(client.published("photoresistor/")) > 5:
            return None
        return hub.answer(client, packet)

    async with listening(answer) as broker:
        totals = await device_session.run(options(broker.port, duration=3.0))
    assert (totals.failures, totals.sessions, totals.connections) == (1, 2, 4)
    assert [one.connect.will is None for one in broker.clients] == [True, False, True, False]
    assert broker.clients[3].published()[0].payload == b"capteur01;172.5"


async def test_wrong_options_are_sentences(tmp_path: Path) -> None:
    """They are told before anything connects."""
    for run in (mqtt.run, device_session.run):
        with pytest.raises(OwnerError, match=r"keep_alive = 70000 is out of range"):
            await run(options(1, keep_alive=70_000))
        with pytest.raises(OwnerError, match=r"rate = 0\.0 is out of range"):
            await run(options(1, rate=0.0))
        with pytest.raises(OwnerError, match="Can't read the certificate"):
            await run(options(1, tls=True, ca=tmp_path / "none.crt"))
