"""Commands against a model: carriers, readings, sessions, deadlines, and a hub that is killed."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.unit.core.support import FakeClock

from motehub.command import Command, CommandState, Order
from motehub.core.accounts import Accounts
from motehub.core.admission import Policy, RegistryLimits
from motehub.core.commands import Commands
from motehub.core.hub import Hub
from motehub.core.journal import Journal
from motehub.core.people import People
from motehub.core.registry import Registry
from motehub.core.sessions import SessionPolicy, Sessions
from motehub.core.tokens import Tokens
from motehub.frames import Batch
from motehub.model import (
    MICROSECONDS,
    Announced,
    Assignment,
    Delivery,
    Device,
    Joined,
    Left,
    Receipt,
    Record,
    Samples,
    Source,
)

QUEUED, SENT, CONFIRMED, FAILED, EXPIRED = CommandState
ENDS = {CONFIRMED, FAILED, EXPIRED}
MAC = Source("broker", "mac:A", "", "192.0.2.1")
PLAIN = ("lamp", "fan")
BOARD = "capteur01"

_Result = TypeVar("_Result")


class SlowJournal:
    """A journal that commits when it is told; what waits then is lost when the hub is killed."""

    held_back = None

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.state: dict[str, bytes] = {}
        self._loop = loop
        self._waiting: list[tuple[Batch, asyncio.Future[int]]] = []

    def put(self, batch: Batch) -> asyncio.Future[int]:
        durable = self._loop.create_future()
        self._waiting.append((batch, durable))
        return durable

    async def append(self, batch: Batch) -> int:
        return await self.put(batch)

    def commit(self) -> None:
        waiting, self._waiting = self._waiting, []
        for batch, durable in waiting:
            for key, value in batch.state.items():
                if value is None:
                    self.state.pop(key, None)
                else:
                    self.state[key] = value
            durable.set_result(0)

    def lose(self) -> None:
        for _, durable in self._waiting:
            durable.cancel()
        self._waiting.clear()


class CommandsToDevices(RuleBasedStateMachine):
    """Two devices without sessions and one with, their carrier, and a hub."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.journal = SlowJournal(self.loop)
        self.clock = FakeClock()
        self.orders: dict[str, tuple[str, Order, int]] = {}
        # As the hub has it in memory, and as the journal has it.
        self.states: dict[str, CommandState] = {}
        self.durable: dict[str, CommandState] = {}
        self.carried: set[str] = set()
        self.repeated: dict[str, int] = {}
        self.wrong: list[AssertionError] = []
        self.reached: set[str] = set()
        self.session: Assignment | None = None
        self.online = False
        self.start()
        for name in PLAIN:
            self.say(Source("http", f"http:{name}", name, "", vouched=True), self.led(0))
        self.commit()
        self.hub.commands.attach("broker", self)

    def teardown(self) -> None:
        self.journal.lose()
        self.run()
        self.loop.close()

    def start(self) -> None:
        state, journal = self.journal.state, cast("Journal", self.journal)
        registry = Registry.from_state(state)
        sessions = Sessions.from_state(state, registry, SessionPolicy())
        commands = Commands.from_state(state, registry, sessions, journal, self.clock)
        tokens = Tokens.from_state(state)
        limits = RegistryLimits()
        self.hub = Hub(
            registry,
            tokens,
            sessions,
            commands,
            Accounts(People(), journal, self.clock),
            journal,
            Policy.OPEN,
            limits,
            self.clock,
        )

    # What the hub is told.

    @rule(
        device=st.sampled_from((*PLAIN, BOARD)),
        order=st.sampled_from((Order("led", 0), Order("led", 1), Order(payload="x"))),
        seconds=st.sampled_from((1, 3, 60)),
    )
    def give(self, device: str, order: Order, seconds: int) -> None:
        if not self.hub.registry.has_name(device):
            return
        self.begin(self.hub.command(device, order.name, order.value, order.payload, seconds))
        id_ = self.hub.commands.book.all_under_way()[-1].id
        assert id_ not in self.orders
        self.orders[id_] = (device, order, self.clock.now + seconds * MICROSECONDS)
        self.states[id_] = QUEUED

    @rule()
    def commit(self) -> None:
        self.durable = dict(self.states)
        self.journal.commit()
        self.run()

    @rule()
    def kill(self) -> None:
        """Start another hub on what is durable; a moment later its transports are there."""
        self.journal.lose()
        self.run()
        self.start()
        self.states = dict(self.durable)
        # Nobody was told the ids of the others.
        self.orders = {id_: order for id_, order in self.orders.items() if id_ in self.states}
        self.carried.clear()
        self.repeated.clear()
        self.reached.clear()
        self.session, self.online = None, False
        self.begin(self.hub.interrupt("broker"))
        self.commit()
        self.hub.commands.attach("broker", self)

    @rule(name=st.sampled_from((*PLAIN, BOARD)), everybody=st.booleans())
    def reach(self, name: str, *, everybody: bool) -> None:
        self.reached.add(name)
        self.hub.commands.reachable(None if everybody else name)

    @rule(name=st.sampled_from((*PLAIN, BOARD)))
    def reach_no_more(self, name: str) -> None:
        self.reached.discard(name)

    @precondition(lambda self: self.carried)
    @rule(data=st.data(), fails=st.booleans())
    def carrier_says(self, data: st.DataObject, *, fails: bool) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.carried)))
        self.carried.discard(id_)
        if fails:
            self.hub.commands.failed(id_, "no")
        else:
            self.hub.commands.sent(id_)
        if self.states[id_] is QUEUED:
            self.states[id_] = FAILED if fails else SENT
        elif fails and not self.is_over(id_):
            self.states[id_] = FAILED

    @rule(device=st.sampled_from(PLAIN), value=st.integers(0, 1))
    def report(self, device: str, value: int) -> None:
        self.say(Source("http", f"http:{device}", device, "", vouched=True), self.led(value))
        self.confirm(device, value)

    @rule(value=st.integers(0, 1))
    def board_reports(self, value: int) -> None:
        if self.session is not None:
            self.say(self.in_session(), self.led(value))
            self.confirm(BOARD, value)

    @rule()
    def board_announces(self) -> None:
        receipts = self.begin(self.hub.accept([Delivery(MAC, [Announced()])]))
        self.online = False
        self.commit()
        (receipt,) = receipts.result()
        self.session = receipt.assigned

    @rule()
    def board_joins(self) -> None:
        if self.session is not None:
            self.online = True
            self.say(self.in_session(), Joined())

    @rule()
    def board_leaves(self) -> None:
        if self.session is not None:
            self.online = False
            self.say(self.in_session(), Left())

    @rule(seconds=st.sampled_from((0.5, 1, 5, 100)), rings=st.booleans())
    def time_passes(self, seconds: float, *, rings: bool) -> None:
        self.clock.now += round(seconds * MICROSECONDS)
        if not rings:
            return
        for id_, (_, _, deadline) in self.orders.items():
            if id_ in self.states and not self.is_over(id_) and deadline <= self.clock.now:
                self.states[id_] = EXPIRED
        self.hub.commands.expire()

    # What the hub does: it has nothing but this carrier.

    def carry(self, command: Command, device: Device, session: Assignment | None) -> bool:
        """Check that this command may leave now."""
        try:
            return self.take(command, device, session)
        except AssertionError as error:
            # Raised here, it would be lost in the hub's own tasks.
            self.wrong.append(error)
            return False

    def take(self, command: Command, device: Device, session: Assignment | None) -> bool:
        name, order, deadline = self.orders[command.id]
        assert (device.name, command.order) == (name, order)
        assert command.id not in self.carried
        if name == BOARD:
            assert self.online
            assert session == self.session
        else:
            assert session is None
        if self.states[command.id] is SENT:
            # Again, since the board reports another value.
            assert name == BOARD
            assert order.can_be_confirmed
            later = [self.orders[id_] for id_ in self.states if id_ > command.id]
            assert not any(one[0] == name and one[1].name == order.name for one in later)
            self.repeated[command.id] = self.repeated.get(command.id, 0) + 1
            assert self.repeated[command.id] <= 3
            return True
        assert self.durable[command.id] is QUEUED
        assert self.states[command.id] is QUEUED
        assert self.clock.now < deadline
        earlier = [
            id_
            for id_, state in self.states.items()
            if id_ < command.id and state is QUEUED
            if self.orders[id_][0] == name and self.orders[id_][2] > self.clock.now
        ]
        assert all(id_ in self.carried for id_ in earlier)
        if name not in self.reached:
            return False
        self.carried.add(command.id)
        return True

    @invariant()
    def nothing_has_left_that_must_not(self) -> None:
        for error in self.wrong:
            raise error

    @invariant()
    def every_command_is_where_it_should_be(self) -> None:
        for id_, state in self.states.items():
            assert self.hub.commands.book.find(id_).state is state, id_

    @invariant()
    def what_can_leave_has_left(self) -> None:
        for id_, state in self.states.items():
            name, _, deadline = self.orders[id_]
            if deadline <= self.clock.now:
                continue
            if state is QUEUED and self.durable.get(id_) is QUEUED and name in PLAIN:
                assert (id_ in self.carried) or name not in self.reached

    # Helpers.

    def is_over(self, id_: str) -> bool:
        confirmable = self.orders[id_][1].can_be_confirmed
        return self.states[id_] in ENDS or (self.states[id_] is SENT and not confirmable)

    def confirm(self, device: str, value: int) -> None:
        for id_, (name, order, _) in self.orders.items():
            state = self.states.get(id_)
            has_left = state is SENT or (state is QUEUED and id_ in self.carried)
            if has_left and name == device and order == Order("led", value):
                self.states[id_] = CONFIRMED

    def led(self, value: float) -> Samples:
        return Samples("led", "", array("q", [self.clock.now]), array("d", [value]))

    def in_session(self) -> Source:
        assert self.session is not None
        return Source("broker", "", BOARD, "", session=self.session.session)

    def say(self, source: Source, record: Record) -> asyncio.Task[list[Receipt]]:
        return self.begin(self.hub.accept([Delivery(source, [record])]))

    def begin(self, work: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        task = self.loop.create_task(work)
        self.run()
        return task

    def run(self) -> None:
        for _ in range(6):
            self.loop.run_until_complete(asyncio.sleep(0))


TestCommandsToDevices = CommandsToDevices.TestCase
TestCommandsToDevices.settings = settings(
    max_examples=200, stateful_step_count=40, deadline=None, derandomize=True, database=None
)
