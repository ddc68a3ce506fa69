"""The real broker over a journal that is a dictionary, and connections without sockets.

Each step of the way is a call: reading, the commit with what is noted in it, the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from motehub.contracts import Ground, Places
from motehub.conversations import Peer, Turn
from motehub.core.registry import Registry
from motehub.core.tokens import Tokens
from motehub.model import Receipt, Samples
from motehub.mqtt_meaning.meanings import Meanings
from motehub.protocols.mqtt.broker import Broker, Planned
from motehub.protocols.mqtt.limits import BrokerLimits, Limits
from motehub.protocols.mqtt.members import Testament
from motehub.protocols.mqtt.packets import Packet, Publish, Version
from motehub.protocols.mqtt.reader import PacketReader
from motehub.protocols.mqtt.session import SHORT, size_of
from motehub.security.mqtt_access import Gatekeeper
from motehub.transports._mqtt_broker_conversation import MqttConversation
from motehub.transports._mqtt_broker_service import Service
from tests.desk import Desk

NOW = 1_795_215_909_000_000
NAME = "mqtt_broker"


class Wire:
    """One connection: what each side has written and the other has not read."""

    is_choked = False

    def __init__(self, hub: Hub) -> None:
        self.resumed: Any = lambda: None
        self.broken: Any = lambda: None
        self.to_client = b""
        self.to_server: list[Packet] = []
        self.turns: list[Turn] = []
        self.reader = PacketReader.of_server(Version.V5)
        self.is_open = True
        self.deadline: int | None = None
        self.conversation = MqttConversation(hub.service, Peer("192.0.2.1", None, None), self)

    def write(self, data: bytes) -> None:
        self.to_client += data

    def abandon(self, data: bytes) -> None:
        self.to_client += data
        self.turns.clear()
        self.is_open = False

    def rest(self, seconds: float) -> None:
        raise AssertionError("there is no limit")

    def hasten(self) -> None:
        """There is no clock: only note what it would have to be set to."""
        self.deadline = self.conversation.deadline

    def offer(self, turn: Turn | None) -> None:
        if turn is not None:
            self.turns.append(turn)

    def cut(self) -> None:
        """Lose the connection: what the client wrote and was not read is lost with it."""
        if self.is_open:
            self.is_open = False
            self.offer(self.conversation.eof(NOW))


class Hub:
    """The real broker over a journal that is a dictionary; what is not in it dies with it."""

    def __init__(self, state: dict[str, bytes], stored: list[float]) -> None:
        self.state = state
        self.stored = stored
        self.wires: list[Wire] = []
        self.broker = Broker(BrokerLimits())
        unused: Any = None
        ground = Ground(
            unused, lambda: NOW, unused, Places(9), Desk(), dict, Tokens(), Registry(), True
        )
        gatekeeper = Gatekeeper(Tokens(), Registry(), trusted=True)
        limits = Limits(receive_maximum=4, window=3)
        self.service = Service(
            NAME,
            ground,
            self.broker,
            Meanings(),
            gatekeeper,
            limits,
            60,
            0,
            self._soon,
            lambda: NOW,
        )
        self.waiting: list[Any] = []
        self._under_way: list[Commit] = []
        # Those that are being published.
        self._wills: list[Testament] = []
        self.broker.restore(state, NOW)

    def waiting_bytes(self) -> int | None:
        """Return how many bytes wait, message by message; None while there are more in commits."""
        if self._under_way:
            return None
        found = []
        for member in self.broker.members.values():
            found += [queued.message for queued in member.session.queue]
            sent = member.session.outgoing.values()
            found += [packet for packet in sent if isinstance(packet, Publish)]
        long = {id(one.payload): len(one.payload) for one in found if len(one.payload) > SHORT}
        short = sum(size_of(one) - len(one.payload) * (len(one.payload) > SHORT) for one in found)
        return short + sum(long.values())

    def _soon(self, call: Any) -> None:
        self.waiting.append(call)

    def commit(self, *, dies: bool = False) -> None:
        """Make durable what all connections have said; answer it, unless the hub dies first."""
        self.begin_commit()
        while self._under_way:
            self.finish_commit(dies=dies)

    def begin_commit(self) -> None:
        """Note what connections have said, but for those with something under way already."""
        busy = {wire for commit in self._under_way for wire, _, _ in commit.taken}
        commit = Commit()
        # In a commit after that in which they fell due, as a rule.
        for testament in self._wills:
            commit.planned += self.broker.publish_will(testament, NOW)
        self._wills = self.broker.wills.take(NOW)
        for wire in self.wires:
            if wire in busy:
                continue
            turns, wire.turns = wire.turns, []
            commit.taken += [(wire, turn, commit.store(turn)) for turn in turns]
        for _, turn, receipts in commit.taken:
            if turn.note is not None:
                turn.note(receipts)
        commit.changes = self.service.keep()
        self._under_way.append(commit)

    def finish_commit(self, *, dies: bool = False) -> None:
        """Make the oldest commit durable; answer what is in it, unless the hub dies first."""
        if not self._under_way:
            return
        commit = self._under_way.pop(0)
        for key, value in commit.changes.items():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        self.stored += commit.stored
        if dies:
            return
        for wire, turn, receipts in commit.taken:
            if turn.answer is not None:
                wire.write(turn.answer(receipts))
        self.broker.deliver(commit.planned, NOW)
        waiting, self.waiting = self.waiting, []
        for call in waiting:
            call()


class Commit:
    """What becomes durable together, and who is answered then."""

    def __init__(self) -> None:
        self.taken: list[tuple[Wire, Turn, list[Receipt]]] = []
        self.planned: list[Planned] = []
        self.changes: Mapping[str, bytes | None] = {}
        self.stored: list[float] = []

    def store(self, turn: Turn) -> list[Receipt]:
        """Take all readings of a turn."""
        receipts = []
        for delivery in turn.deliveries:
            values = [v for r in delivery.records if isinstance(r, Samples) for v in r.values]
            self.stored += values
            receipts.append(Receipt(len(values), 0))
        return receipts
