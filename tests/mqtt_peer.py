"""An MQTT client that follows the specification and keeps its session: what brokers are tried with.

It knows no connection: packets go in, packets come out. ``Connected`` gives it a real socket.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from msgspec.structs import replace

from motehub.protocols.mqtt.encoding import encode
from motehub.protocols.mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    Subscription,
    Version,
    Violation,
    Will,
)
from motehub.protocols.mqtt.properties import ConnectProperties
from motehub.protocols.mqtt.reader import PacketReader
from motehub.protocols.mqtt.reason_codes import ReasonCode

KEPT = ConnectProperties(session_expiry_interval=3600)


class Peer:
    """A client's session: ``unanswered`` by packet identifier, ``got`` in order of arrival."""

    def __init__(self, client_id: str = "c", filters: Sequence[str] = ()) -> None:
        self.client_id = client_id
        self.filters = filters
        self.subscribed = not filters
        self.connected = False
        self.unanswered: dict[int, Publish | PubRel] = {}
        self.taken: set[int] = set()
        self.got: list[tuple[str, bytes]] = []
        self._last = 0

    def connect(self, version: Version = Version.V5, will: Will | None = None) -> list[Packet]:
        """Return what a new connection begins with: what is unanswered is sent again."""
        self.connected = False
        packets: list[Packet] = [Connect(self.client_id, version, False, 30, will)]
        if version is Version.V5:
            packets = [replace(packets[0], properties=KEPT)]
        if not self.subscribed:
            wanted = tuple(Subscription(one, 2) for one in self.filters)
            packets.append(Subscribe(60_000, wanted))
        for packet in self.unanswered.values():
            again = replace(packet, dup=True) if isinstance(packet, Publish) else packet
            packets.append(again)
        return packets

    def publish(self, topic: str, payload: bytes, qos: int) -> Publish:
        """Return a new message."""
        while True:
            self._last = self._last % 50_000 + 1
            if self._last not in self.unanswered:
                break
        packet = Publish(topic, payload, qos, packet_id=self._last)
        self.unanswered[self._last] = packet
        return packet

    def hear(self, packet: Packet) -> list[Packet]:
        """Take one packet of the server; return what is sent back."""
        match packet:
            case ConnAck():
                assert not packet.reason_code
                # The server must not have forgotten what this side remembers.
                assert packet.session_present or not (self.got or self.taken)
                self.connected = True
            case SubAck():
                assert max(packet.reason_codes) < 0x80
                self.subscribed = True
            case PubAck() | PubComp():
                del self.unanswered[packet.packet_id]
            case PubRec():
                self.unanswered.pop(packet.packet_id)
                self.unanswered[packet.packet_id] = PubRel(packet.packet_id)
                return [PubRel(packet.packet_id)]
            case PubRel():
                self.taken.discard(packet.packet_id)
                return [PubComp(packet.packet_id)]
            case Publish(qos=0):
                self.got.append((packet.topic, packet.payload))
            case Publish(qos=1):
                self.got.append((packet.topic, packet.payload))
                return [PubAck(packet.packet_id)]
            case Publish():
                if packet.packet_id not in self.taken:
                    self.taken.add(packet.packet_id)
                    self.got.append((packet.topic, packet.payload))
                return [PubRec(packet.packet_id)]
            case Disconnect(ReasonCode.SERVER_SHUTTING_DOWN):
                self.connected = False
            case _:
                raise AssertionError(packet)
        return []


class Connected:
    """A thread that keeps ``peer`` connected to ``port``, again and again, until ``stop``.

    ``more`` is asked for messages while fewer than ``window`` are unanswered: topic, payload, QoS.
    """

    def __init__(
        self,
        peer: Peer,
        port: int,
        more: Callable[[], tuple[str, bytes, int] | None],
        window: int = 20,
    ) -> None:
        self.peer = peer
        self.failed: BaseException | None = None
        self._port = port
        self._more = more
        self._window = window
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"peer {peer.client_id}")
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what went wrong in it is raised here."""
        self._enough.set()
        self._thread.join()
        if self.failed is not None:
            raise self.failed

    def _run(self) -> None:
        try:
            while not self._enough.is_set():
                with (
                    suppress(OSError),
                    socket.create_connection(("127.0.0.1", self._port), 5) as connection,
                ):
                    self._talk(connection)
                self._enough.wait(0.01)
        except BaseException as error:
            self.failed = error

    def _talk(self, connection: socket.socket) -> None:
        connection.settimeout(0.05)
        reader = PacketReader.of_server(Version.V5)
        answers = self.peer.connect()
        while not self._enough.is_set():
            answers += self._new_messages()
            if answers:
                connection.sendall(b"".join(encode(one, Version.V5) for one in answers))
            answers = []
            try:
                data = connection.recv(65_536)
            except TimeoutError:
                continue
            if not data:
                return
            for packet in reader.feed(data):
                assert not isinstance(packet, Violation), packet
                answers += self.peer.hear(packet)

    def _new_messages(self) -> list[Packet]:
        packets: list[Packet] = []
        while self.peer.connected and len(self.peer.unanswered) < self._window:
            message = self._more()
            if message is None:
                break
            packets.append(self.peer.publish(*message))
        return packets
