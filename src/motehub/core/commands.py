"""Commands on their way to devices: queued, sent, and what became of them.

In memory; each step is state of the journal, and an event of the device.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Final, Protocol

import msgspec

from motehub.command import (
    DEFAULT_SECONDS,
    LONGEST_SECONDS,
    Carrier,
    Command,
    CommandState,
    Order,
)
from motehub.core.command_book import CommandBook, commands_of_state
from motehub.core.confirmations import Confirmations
from motehub.core.registry import Registry
from motehub.core.sessions import Session, Sessions
from motehub.errors import InvalidCommand
from motehub.frames import Batch
from motehub.model import MICROSECONDS, Assignment, Device

# The hub's clock may be set meanwhile, so it is looked at again and again.
_LONGEST_SLEEP: Final = 60.0
_REASON_LENGTH: Final = 200
_MOST_REPEATED: Final = 3
# Identities of devices that are only spoken to in a session.
_MAC: Final = "mac:"


CommandNote = Callable[[str], Mapping[str, bytes | None]]
"""Returns state that becomes durable with the command of that id; None deletes a key."""


def nothing_to_note(_: str) -> Mapping[str, bytes | None]:
    """Return no state."""
    return {}


class Door(Protocol):
    """The part of the journal that takes batches of whoever can't wait."""

    def put(self, batch: Batch) -> asyncio.Future[int]:
        """Return what comes true when the batch is durable, in the order of these calls."""
        ...


class Commands:
    """See :class:`motehub.command.CommandDesk`; ``clock`` returns UTC microseconds.

    A command is durable before it is sent, and so is each further step soon after it was
    taken. Commands to one device leave in the order in which they were given. When the hub
    dies between a command's leaving and the note of it, the command is sent once more; so is one
    to a device in a session, a few times, when that reports another value.
    """

    def __init__(
        self,
        registry: Registry,
        sessions: Sessions,
        journal: Door,
        clock: Callable[[], int],
        commands: Iterable[Command] = (),
    ) -> None:
        self._registry = registry
        self._sessions = sessions
        self._journal = journal
        self._clock = clock
        self._carriers: list[tuple[str, Carrier]] = []
        self.book = CommandBook(commands)
        self._not_durable: set[str] = set()
        self._carried: set[str] = set()
        self._repeated: dict[str, int] = {}
        self._outcomes: dict[str, list[Callable[[Command | None], None]]] = {}
        self.confirmations = Confirmations(registry)
        self._keeps_time = False
        self._timer: asyncio.TimerHandle | None = None
        for command in self.book.all_under_way():
            self._follow(command)
        sessions.on_join(lambda device, _: self.send_waiting(device.id))

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, bytes],
        registry: Registry,
        sessions: Sessions,
        journal: Door,
        clock: Callable[[], int],
    ) -> Commands:
        """Go on with the commands that a journal keeps."""
        return cls(registry, sessions, journal, clock, commands_of_state(state))

    async def give(
        self,
        device: Device,
        order: Order,
        seconds: float = DEFAULT_SECONDS,
        note: CommandNote = nothing_to_note,
    ) -> Command:
        """Return a new command once it is durable, which is sent when its device can be reached.

        It has ``seconds`` for all its steps. What ``note`` returns becomes durable with it.

        Raises:
            DeviceUnready: the device is not accepted, or too many commands wait.
            InvalidCommand: so much time can't be given.
            StorageError: the hub is stopping and the journal can't be written.
        """
        self.book.check_room(device)
        if not 1 <= seconds <= LONGEST_SECONDS:
            raise InvalidCommand(
                f"A command has 1 to {LONGEST_SECONDS:.0f} seconds, not {seconds:g}."
            )
        batch = Batch()
        now = self._clock()
        id_ = self.book.next_id(now)
        batch.state.update(note(id_))
        deadline = now + round(seconds * MICROSECONDS)
        command = Command(id_, device.id, order, now, deadline, CommandState.QUEUED, now)
        self._not_durable.add(id_)
        self._note(batch, command)
        durable = self._journal.put(batch)
        durable.add_done_callback(partial(self._begin, command))
        # Shielded: one who goes away must not cancel the wait of others for the same commit.
        await asyncio.shield(durable)
        return self.book.get(id_) or command

    def attach(self, dialect: str, carrier: Carrier) -> None:
        """Offer ``carrier`` commands from now on; what waits is sent if it can be."""
        self._carriers.append((dialect, carrier))
        self.reachable()

    def reachable(self, name: str | None = None) -> None:
        """Send what waits for the device called ``name``, or for any."""
        if name is None:
            for device in {command.device for command in self.book.all_under_way()}:
                self.send_waiting(device)
        elif self._registry.has_name(name):
            self.send_waiting(self._registry.by_name(name).id)

    def send_waiting(self, device: int) -> None:
        """Send what waits for the device with that id, in the order in which it was given."""
        if not self._carriers:
            return
        now = self._clock()
        for command in self.book.under_way_to(device):
            # A carrier may have a say on any command, and ask for more, while it is offered one.
            if self.book.under_way(command.id) is not command or command.deadline <= now:
                continue
            if command.state is not CommandState.QUEUED or command.id in self._carried:
                continue
            if command.id in self._not_durable or not self._carry(command):
                break

    def is_wanted(self, command: str) -> bool:
        """Tell whether a command still has to leave."""
        found = self.book.under_way(command)
        return found is not None and found.state is CommandState.QUEUED

    def tell_outcome(self, command: str, tell: Callable[[Command | None], None]) -> None:
        """Call ``tell`` once a command has left or can't: at once if it has, None if forgotten."""
        if self.is_wanted(command):
            self._outcomes.setdefault(command, []).append(tell)
        else:
            tell(self.book.get(command))

    def sent(self, command: str, *, unheard: bool = False) -> None:
        """Note that a command has left for its device, which may not report it: ``unheard``."""
        found = self.book.under_way(command)
        if found is not None and found.state is CommandState.QUEUED:
            self._step(msgspec.structs.replace(found, unheard=unheard), CommandState.SENT)

    def failed(self, command: str, reason: str) -> None:
        """Note why a command can't be carried out."""
        found = self.book.under_way(command)
        if found is not None:
            self._step(found, CommandState.FAILED, reason[:_REASON_LENGTH])

    def look(self, batch: Batch, now: int) -> None:
        """Compare what devices report at ``now`` (µs) with what they were told.

        There is nothing to compare unless ``confirmations.are_awaited``.
        """
        compared = self.confirmations.compare(batch)
        for id_ in compared.denied:
            self._repeat(id_)
        for id_ in compared.confirmed:
            command = self.book.under_way(id_)
            if command is None:
                # A carrier that was offered another one again has said so.
                continue
            if command.state is CommandState.QUEUED:
                # The device is quicker than its transport.
                command = self._move(batch, command, CommandState.SENT, now)
            self._move(batch, command, CommandState.CONFIRMED, now)

    def give_up(self, batch: Batch, device: Device, reason: str, now: int) -> None:
        """Let all commands to a device fail that are under way."""
        for command in self.book.under_way_to(device.id):
            self._move(batch, command, CommandState.FAILED, now, reason)

    def forget(self, batch: Batch, device: Device) -> None:
        """Forget all commands to a device that is removed."""
        for command in self.book.forget(batch, device.id):
            self._let_go(command.id)
            self._tell_outcome(command.id, None)

    def expire(self) -> None:
        """End the commands whose time is over."""
        now = self._clock()
        batch = Batch()
        for command in self.book.all_under_way():
            if command.deadline <= now:
                reason = self._why_late(command)
                self._move(batch, command, CommandState.EXPIRED, now, reason)
        self._put(batch)

    @contextmanager
    def kept_in_time(self) -> Iterator[None]:
        """End commands at their deadlines, by themselves, within the block."""
        self._keeps_time = True
        self._wind()
        try:
            yield
        finally:
            self._keeps_time = False
            if self._timer is not None:
                self._timer.cancel()

    def _begin(self, command: Command, durable: asyncio.Future[int]) -> None:
        """Send a command that is durable now, or forget one that could not be."""
        self._not_durable.discard(command.id)
        if durable.cancelled() or durable.exception() is not None:
            self.book.drop(command.id)
            return
        self.send_waiting(command.device)

    def _carry(self, command: Command) -> bool:
        """Hand ``command`` to whoever reaches its device; False when nobody does now."""
        device = self._registry.by_id(command.device)
        session = self._sessions.online(device.name)
        if session is None and self._needs_session(device):
            return False
        self._carried.add(command.id)
        self._expect(command, self._clock())
        if self._offer(command, device, session):
            return True
        self._carried.discard(command.id)
        self.confirmations.forget(command.id)
        return False

    def _repeat(self, id_: str) -> None:
        """Send a command again to a device in a session, which reports another value than that.

        It joins, and only then subscribes to commands: it may have missed this one. And when it
        lost its power it is in another session now.
        """
        command = self.book.under_way(id_)
        times = self._repeated.get(id_, 0)
        if command is None or command.state is not CommandState.SENT or times >= _MOST_REPEATED:
            return
        device = self._registry.by_id(command.device)
        session = self._sessions.online(device.name)
        if session is not None and self.book.is_newest(command):
            self._repeated[id_] = times + 1
            self._offer(command, device, session)

    def _offer(self, command: Command, device: Device, session: Session | None) -> bool:
        """Tell whether a carrier takes the command, or has dealt with it."""
        where = None if session is None else Assignment(session.name, session.id)
        state = command.state
        for dialect, carrier in self._carriers:
            if session is not None and dialect != session.dialect:
                continue
            if carrier.carry(command, device, where):
                return True
            now = self.book.under_way(command.id)
            if now is None or now.state is not state:
                # It has been sent, or can't be, as the carrier has said meanwhile.
                return True
        return False

    def _needs_session(self, device: Device) -> bool:
        """Tell whether a device joins: nothing is sent to it while it is not in a session."""
        if self._sessions.of(device.name) is not None:
            return True
        return any(identity.startswith(_MAC) for identity in device.identities)

    def _why_late(self, command: Command) -> str:
        if command.state is CommandState.SENT:
            return f"it was sent, but the device did not report {command.order} in time"
        if command.id in self._carried:
            return "nobody said in time that it had left"
        return "the device could not be reached in time"

    def _step(self, command: Command, state: CommandState, reason: str = "") -> None:
        batch = Batch()
        self._move(batch, command, state, self._clock(), reason)
        self._put(batch)

    def _move(
        self, batch: Batch, command: Command, state: CommandState, now: int, reason: str = ""
    ) -> Command:
        moved = msgspec.structs.replace(command, state=state, changed=now, reason=reason)
        self._note(batch, moved)
        return moved

    def _note(self, batch: Batch, command: Command) -> None:
        """Put ``command`` in the place of the one with its id."""
        self.book.put(batch, command)
        self._follow(command)
        self._wind()

    def _follow(self, command: Command) -> None:
        """Know of a command what matters where it stands."""
        if command.state is not CommandState.QUEUED:
            self._tell_outcome(command.id, command)
        if command.is_over:
            self._let_go(command.id)
        elif command.state is CommandState.SENT:
            self._carried.discard(command.id)
            self._expect(command, command.changed)

    def _tell_outcome(self, id_: str, command: Command | None) -> None:
        for tell in self._outcomes.pop(id_, ()):
            tell(command)

    def _let_go(self, command: str) -> None:
        self._carried.discard(command)
        self._repeated.pop(command, None)
        self.confirmations.forget(command)

    def _expect(self, command: Command, since: int) -> None:
        if command.order.can_be_confirmed:
            self.confirmations.expect(command, since)

    def _put(self, batch: Batch) -> None:
        if batch:
            self._journal.put(batch).add_done_callback(_retrieve)

    def _wind(self) -> None:
        """Set the timer to the next deadline."""
        if not self._keeps_time:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if under_way := self.book.all_under_way():
            next_ = min(command.deadline for command in under_way)
            seconds = max(0.0, (next_ - self._clock()) / MICROSECONDS)
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(min(seconds, _LONGEST_SLEEP), self._ring)

    def _ring(self) -> None:
        self.expire()
        self._wind()


def _retrieve(durable: asyncio.Future[int]) -> None:
    """Know of the failure of a hub that can't write at its end: its senders hear of it."""
    if not durable.cancelled():
        durable.exception()
