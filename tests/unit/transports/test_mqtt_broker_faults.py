"""A fault of the hub ends the connection that it meets, and leaves nothing of it behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.desk import Desk
from tests.mqtt_stand import Hub as Stand

from motehub.contracts import Ground, Note, Places
from motehub.conversations import ConnectionLimits
from motehub.core.registry import Registry
from motehub.core.tokens import Tokens
from motehub.listening import StreamListener
from motehub.model import Delivery, Receipt
from motehub.protocols.mqtt.connection import Connection
from motehub.protocols.mqtt.encoding import encode
from motehub.protocols.mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    Publish,
    Subscribe,
    Subscription,
    Version,
    Violation,
)
from motehub.protocols.mqtt.properties import ConnectProperties
from motehub.protocols.mqtt.reader import PacketReader
from motehub.transports._mqtt_broker_conversation import MqttConversation

KEPT = Connect("c", clean_start=False, properties=ConnectProperties(session_expiry_interval=60))


class Hub:
    """Takes everything, unless it is told to fail once what was accepted has been noted."""

    held_back = None

    def __init__(self) -> None:
        self.fails = False

    async def interrupt(self, dialect: str) -> None:
        raise NotImplementedError

    async def accept(
        self, deliveries: Sequence[Delivery], note: Note | None = None
    ) -> list[Receipt]:
        receipts = [Receipt(1, 0) for _ in deliveries]
        if note is not None:
            note(receipts)
        if self.fails:
            raise RuntimeError("the commit")
        return receipts


class Broker:
    """A broker on a port of its own."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.stand = Stand({}, [])
        self.stand.service.hub = self.hub
        self.stand.service._soon = asyncio.get_running_loop().call_soon
        unused: Any = None
        ground = Ground(
            self.hub, lambda: 0, unused, Places(9), Desk(), dict, Tokens(), Registry(), True
        )
        self.listener = StreamListener(
            "mqtt",
            ground,
            ConnectionLimits(9, 9, 5.0, 60.0),
            lambda peer, channel: MqttConversation(self.stand.service, peer, channel),
            None,
            keep=self.stand.service.keep,
        )
        self.port = 0

    @property
    def connected(self) -> list[str]:
        return [one.client_id for one in self.stand.broker.members.values() if one.link]

    async def talk(self, *packets: Packet) -> list[Packet]:
        """Say all that in one piece and return what is answered until the connection ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"".join(encode(one, Version.V5) for one in packets))
        data = await reader.read()
        writer.close()
        # By then the broker knows of it.
        while self.listener.connections:
            await asyncio.sleep(0.001)
        found = PacketReader.of_server(Version.V5).feed(data)
        return [one for one in found if not isinstance(one, Violation)]


@asynccontextmanager
async def listening() -> AsyncIterator[Broker]:
    broker = Broker()
    broker.port = (await broker.listener.open("127.0.0.1", 0)).port
    try:
        yield broker
    finally:
        await broker.listener.close()


def failing(work: Any) -> Any:
    def does_and_fails(*given: Any, **more: Any) -> None:
        work(*given, **more)
        raise RuntimeError("a fault")

    return does_and_fails


async def goes_on(broker: Broker) -> None:
    """Look whether nobody is taken for connected, and whether the client can come back."""
    assert broker.connected == []
    assert broker.stand.broker.connected == 0
    answers = await broker.talk(KEPT, Disconnect())
    assert isinstance(answers[0], ConnAck)
    assert not answers[0].reason_code
    assert broker.connected == []


async def test_a_note_that_fails_while_a_client_enters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its place in the broker is free again."""
    async with listening() as broker:
        with monkeypatch.context() as patch:
            patch.setattr(broker.stand.broker, "limit", failing(broker.stand.broker.limit))
            assert not any(isinstance(one, ConnAck) for one in await broker.talk(KEPT))
        assert set(broker.stand.broker.members) == {"c"}
        await goes_on(broker)


async def test_an_answer_that_fails_while_a_client_enters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its place in the broker is free again."""
    async with listening() as broker:
        with monkeypatch.context() as patch:
            patch.setattr(Connection, "accept", failing(Connection.accept))
            await broker.talk(KEPT)
        await goes_on(broker)


async def test_a_commit_that_fails_while_a_client_enters() -> None:
    """Its place in the broker is free again."""
    async with listening() as broker:
        broker.hub.fails = True
        assert not any(isinstance(one, ConnAck) for one in await broker.talk(KEPT))
        broker.hub.fails = False
        await goes_on(broker)


async def test_a_note_that_fails_before_a_goodbye(monkeypatch: pytest.MonkeyPatch) -> None:
    """The goodbye in the same read is heard all the same."""
    async with listening() as broker:
        with monkeypatch.context() as patch:
            patch.setattr(broker.stand.broker, "plan", failing(broker.stand.broker.plan))
            mine = Subscribe(1, (Subscription("a"),))
            await broker.talk(KEPT, mine, Publish("a", b"1", 1, packet_id=1), Disconnect())
        await goes_on(broker)


async def test_a_commit_that_fails_later() -> None:
    """Whoever is connected then is not any more."""
    async with listening() as broker:
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        writer.write(encode(KEPT, Version.V5))
        await reader.readexactly(2)
        assert broker.connected == ["c"]
        broker.hub.fails = True
        writer.write(encode(Publish("a", b"1", 1, packet_id=1), Version.V5))
        await reader.read()
        writer.close()
        broker.hub.fails = False
        while broker.listener.connections:
            await asyncio.sleep(0.001)
        await goes_on(broker)
