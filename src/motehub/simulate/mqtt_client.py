"""A small MQTT client for simulated devices: QoS 0 to 2, keep alive, a will; no sessions kept."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

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
    Subscription,
    Violation,
)
from motehub.protocols.mqtt.reader import PacketReader
from motehub.protocols.mqtt.reason_codes import FAILURE, ReasonCode
from motehub.simulate.fleet import FleetTotals

CHUNK: Final = 65_536
"""Bytes that are read at a time, and the longest packet that is taken."""

WINDOW: Final = 100
"""Most messages of QoS 1 and 2 that are under way; fewer if the broker says so."""

_PACKET_IDS: Final = 65_535
_SUBSCRIBE_ID: Final = 1
# Of the keep alive; whatever else is said, the broker may take some time to answer.
_PING_AFTER: Final = 0.75


@dataclass(slots=True)
class MqttTotals(FleetTotals):
    """What all MQTT devices did so far.

    ``messages`` counts those that were handed over, ``acknowledged`` the answers to those of
    QoS 1 and 2 that say they are stored, ``refused`` those that say they are not (MQTT 5);
    ``last_refusal`` is the reason that one of these gave.
    """

    messages: int = 0
    acknowledged: int = 0
    refused: int = 0
    last_refusal: str = ""


class MqttClient:
    """One connection; made by ``MqttClient.connect``, ended by ``close`` or ``drop``.

    ``hear`` gets each message that comes. ``in_flight`` are the messages of QoS 1 and 2 that are
    not acknowledged yet, by packet identifier.
    """

    def __init__(
        self,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        connect: Connect,
        totals: MqttTotals,
        hear: Callable[[Publish], None],
    ) -> None:
        self.in_flight: dict[int, Publish] = {}
        self.window = WINDOW
        self._reader, self._writer = streams
        self._version = connect.version
        self._keep_alive = connect.keep_alive
        self._packets = PacketReader.of_server(connect.version, CHUNK)
        self._totals = totals
        self._hear = hear
        self._failure: OSError | None = None
        self._changed = asyncio.Event()
        self._welcome: ConnAck | None = None
        self._subscribed = 0
        self._taken: set[int] = set()
        self._last_id = _SUBSCRIBE_ID
        self._awaits_pong = False
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def connect(
        cls,
        address: tuple[str, int],
        source: str | None,
        context: ssl.SSLContext | None,
        connect: Connect,
        totals: MqttTotals,
        hear: Callable[[Publish], None] = lambda message: None,
    ) -> Self:
        """Return a connection that the broker has accepted, from the address ``source``.

        Raises:
            OSError: no connection, or the broker refuses it.
        """
        host, port = address
        local = None if source is None else (source, 0)
        streams = await asyncio.open_connection(host, port, local_addr=local, ssl=context)
        client = cls(streams, connect, totals, hear)
        try:
            await client._open(connect)
        except BaseException:
            await client.drop()
            raise
        return client

    @property
    def is_lost(self) -> bool:
        """Whether the other side has ended the connection, or nothing gets through."""
        return self._failure is not None

    async def subscribe(self, topic_filter: str, qos: int) -> None:
        """Subscribe; return when the broker has agreed.

        Raises:
            OSError: it has not, or the connection is lost.
        """
        before = self._subscribed
        self._write(Subscribe(_SUBSCRIBE_ID, (Subscription(topic_filter, qos),)))
        await self.wait(lambda: self._subscribed > before)

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Hand a message over, unless the connection is lost: ``settle`` tells."""
        message = Publish(topic, payload, qos, packet_id=self._next_id() if qos else 0)
        if qos:
            self.in_flight[message.packet_id] = message
        if self._failure is None:
            self._write(message)
            self._totals.messages += 1

    async def wait(self, done: Callable[[], bool]) -> None:
        """Return when what ``done`` asks for is so: it is asked whenever something was heard.

        Raises:
            OSError: the connection is lost before that.
        """
        while not done():
            self.check()
            self._changed.clear()
            await self._changed.wait()

    async def settle(self) -> None:
        """Return when all is acknowledged, or with the kernel where it need not be.

        Raises:
            OSError: the connection is lost.
        """
        await self.wait(lambda: not self.in_flight)
        await self._writer.drain()
        self.check()

    def check(self) -> None:
        """Do nothing while the connection is open.

        Raises:
            OSError: it is lost.
        """
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """Say goodbye, so that there is no will, and close."""
        if self._failure is None:
            self._write(Disconnect())
            with contextlib.suppress(OSError):
                await self._writer.drain()
        await self._end()

    async def drop(self) -> None:
        """Lose the connection, as with the power."""
        self._writer.transport.abort()
        await self._end()

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _open(self, connect: Connect) -> None:
        self._write(connect)
        self._tasks.append(asyncio.create_task(self._listen()))
        await self.wait(lambda: self._welcome is not None)
        assert self._welcome is not None
        properties = self._welcome.properties
        if properties.server_keep_alive is not None:
            # [MQTT-3.2.2-21]
            self._keep_alive = properties.server_keep_alive
        if properties.receive_maximum is not None:
            self.window = min(WINDOW, properties.receive_maximum)
        if self._keep_alive:
            self._tasks.append(asyncio.create_task(self._ping()))

    def _write(self, packet: Packet) -> None:
        self._writer.write(encode(packet, self._version))

    def _next_id(self) -> int:
        while True:
            self._last_id = self._last_id % _PACKET_IDS + 1
            if self._last_id != _SUBSCRIBE_ID and self._last_id not in self.in_flight:
                return self._last_id

    async def _ping(self) -> None:
        """Show the broker in time that we are alive, and look whether it is."""
        while self._failure is None:
            if self._awaits_pong:
                self._fail(TimeoutError())
                return
            self._awaits_pong = True
            self._write(PingReq())
            await asyncio.sleep(self._keep_alive * _PING_AFTER)

    async def _listen(self) -> None:
        """Act on what the broker says until the connection is lost."""
        try:
            while data := await self._reader.read(CHUNK):
                for packet in self._packets.feed(data):
                    self._act(packet)
                self._changed.set()
            self._fail(ConnectionResetError("the hub ended the connection"))
        except OSError as error:
            self._fail(error)

    def _act(self, packet: Packet | Violation) -> None:
        match packet:
            case Publish():
                self._receive(packet)
            case PubRec() if packet.reason_code < FAILURE:
                self._write(PubRel(packet.packet_id))
            case PubAck() | PubRec() | PubComp():
                self._settled(packet)
            case PubRel():
                self._taken.discard(packet.packet_id)
                self._write(PubComp(packet.packet_id))
            case ConnAck():
                _check("connection", packet.reason_code, packet.properties.reason_string)
                self._welcome = packet
            case SubAck():
                _check("subscription", max(packet.reason_codes), packet.properties.reason_string)
                self._subscribed += 1
            case PingResp():
                self._awaits_pong = False
            case Disconnect():
                reason = _words(packet.reason_code, packet.properties.reason_string)
                raise ConnectionResetError(f"the hub ended the connection: {reason}")
            case Violation():
                raise ConnectionAbortedError(f"that is no MQTT: {packet.text}")

    def _receive(self, message: Publish) -> None:
        known = message.qos == 2 and message.packet_id in self._taken
        if message.qos == 1:
            self._write(PubAck(message.packet_id))
        elif message.qos == 2:
            self._taken.add(message.packet_id)
            self._write(PubRec(message.packet_id))
        if not known:
            self._hear(message)

    def _settled(self, packet: PubAck | PubRec | PubComp) -> None:
        if self.in_flight.pop(packet.packet_id, None) is None:
            return
        if packet.reason_code < FAILURE:
            self._totals.acknowledged += 1
        else:
            self._totals.refused += 1
            self._totals.last_refusal = _words(packet.reason_code, packet.properties.reason_string)

    def _fail(self, error: OSError) -> None:
        if self._failure is None:
            self._failure = error
        self._changed.set()


def _check(what: str, code: ReasonCode, said: str | None) -> None:
    if code >= FAILURE:
        raise ConnectionRefusedError(f"the hub refuses the {what}: {_words(code, said)}")


def _words(code: ReasonCode, said: str | None) -> str:
    return said or code.name.lower().replace("_", " ")
