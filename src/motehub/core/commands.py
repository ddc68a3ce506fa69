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
from motehub.core.confirmations import Confirmations
from motehub.core.registry import Registry
from motehub.core.sessions import Sessions
from motehub.errors import DeviceUnready, InvalidCommand, UnknownCommand
from motehub.frames import Batch, EventOccurred
from motehub.model import MICROSECONDS, Admission, Assignment, Device

MOST_WAITING: Final = 100
"""How many commands to one device may be under way."""

MOST_UNDER_WAY: Final = 1_000
"""How many commands to all devices may be under way."""

KEPT_PER_DEVICE: Final = 20
"""How many commands to a device that are over are kept, the newest."""

KEPT: Final = 2_000
"""How many commands that are over are kept, of all devices."""

_EVENT: Final = "command"
_IN_STATE: Final = "command/"
# The hub's clock may be set meanwhile, so it is looked at again and again.
_LONGEST_SLEEP: Final = 60.0
_REASON_LENGTH: Final = 200
# Identities of devices that are only spoken to in a session.
_MAC: Final = "mac:"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Command).decode


class Door(Protocol):
    """The part of the journal that takes batches of whoever can't wait."""

    def put(self, batch: Batch) -> asyncio.Future[int]:
        """Return what comes true when the batch is durable, in the order of these calls."""
        ...


class Commands:
    """See :class:`motehub.command.CommandDesk`; ``clock`` returns UTC microseconds.

    A command is durable before it is sent, and so is each further step soon after it was
    taken. Commands to one device leave in the order in which they were given. When the hub
    dies between a command's leaving and the note of it, the command is sent once more.
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
        # By id, which is the order in which they were given.
        self._under_way: dict[str, Command] = {}
        # In the order in which they ended.
        self._over: dict[str, Command] = {}
        self._not_durable: set[str] = set()
        self._carried: set[str] = set()
        self.confirmations = Confirmations(registry)
        self._last_id = 0
        self._keeps_time = False
        self._timer: asyncio.TimerHandle | None = None
        for command in sorted(commands, key=lambda one: (one.changed, one.id)):
            self._index(command)
        self._under_way = dict(sorted(self._under_way.items()))
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
        kept = (_decode(value) for key, value in state.items() if key.startswith(_IN_STATE))
        return cls(registry, sessions, journal, clock, kept)

    def find(self, command: str) -> Command:
        """Return the command with that id.

        Raises:
            UnknownCommand: there is none, or it has been forgotten.
        """
        found = self._under_way.get(command) or self._over.get(command)
        if found is None:
            raise UnknownCommand(
                f"There is no command {command[:_REASON_LENGTH]!r}; those that have long been over "
                "are forgotten."
            )
        return found

    async def give(self, device: Device, order: Order, seconds: float = DEFAULT_SECONDS) -> Command:
        """Return a new command once it is durable, which is sent when its device can be reached.

        It has ``seconds`` for all its steps.

        Raises:
            DeviceUnready: the device is not accepted, or too many commands wait.
            InvalidCommand: so much time can't be given.
            StorageError: the hub is stopping and the journal can't be written.
        """
        self._check_room(device)
        if not 1 <= seconds <= LONGEST_SECONDS:
            raise InvalidCommand(
                f"A command has 1 to {LONGEST_SECONDS:.0f} seconds, not {seconds:g}."
            )
        batch = Batch()
        now = self._clock()
        id_ = f"{max(now, self._last_id + 1):014x}"
        deadline = now + round(seconds * MICROSECONDS)
        command = Command(id_, device.id, order, now, deadline, CommandState.QUEUED, now)
        self._not_durable.add(id_)
        self._note(batch, command)
        durable = self._journal.put(batch)
        durable.add_done_callback(partial(self._begin, command))
        # Shielded: one who goes away must not cancel the wait of others for the same commit.
        await asyncio.shield(durable)
        return self._under_way.get(id_) or self._over.get(id_) or command

    def attach(self, dialect: str, carrier: Carrier) -> None:
        """Offer ``carrier`` commands from now on; what waits is sent if it can be."""
        self._carriers.append((dialect, carrier))
        self.reachable()

    def reachable(self, name: str | None = None) -> None:
        """Send what waits for the device called ``name``, or for any."""
        if not self._under_way:
            return
        if name is None:
            for device in {command.device for command in self._under_way.values()}:
                self.send_waiting(device)
        elif self._registry.has_name(name):
            self.send_waiting(self._registry.by_name(name).id)

    def send_waiting(self, device: int) -> None:
        """Send what waits for the device with that id, in the order in which it was given."""
        if not self._carriers:
            return
        now = self._clock()
        for command in self._of(device):
            # A carrier may have a say on any command, and ask for more, while it is offered one.
            if self._under_way.get(command.id) is not command or command.deadline <= now:
                continue
            if command.state is not CommandState.QUEUED or command.id in self._carried:
                continue
            if command.id in self._not_durable or not self._carry(command):
                break

    def sent(self, command: str) -> None:
        """Note that a command has left for its device."""
        found = self._under_way.get(command)
        if found is not None and found.state is CommandState.QUEUED:
            self._step(found, CommandState.SENT)

    def failed(self, command: str, reason: str) -> None:
        """Note why a command can't be carried out."""
        found = self._under_way.get(command)
        if found is not None:
            self._step(found, CommandState.FAILED, reason[:_REASON_LENGTH])

    def look(self, batch: Batch, now: int) -> None:
        """Find in what is accepted at ``now`` (µs) that devices report what they were told.

        There is nothing to find unless ``confirmations.are_awaited``.
        """
        for id_ in self.confirmations.found_in(batch):
            command = self._under_way[id_]
            if command.state is CommandState.QUEUED:
                # The device is quicker than its transport.
                command = self._move(batch, command, CommandState.SENT, now)
            self._move(batch, command, CommandState.CONFIRMED, now)

    def give_up(self, batch: Batch, device: Device, reason: str, now: int) -> None:
        """Let all commands to a device fail that are under way."""
        for command in self._of(device.id):
            self._move(batch, command, CommandState.FAILED, now, reason)

    def forget(self, batch: Batch, device: Device) -> None:
        """Forget all commands to a device that is removed."""
        for command in [*self._of(device.id), *self._over_of(device.id)]:
            self._drop(command)
            batch.state[_IN_STATE + command.id] = None

    def expire(self) -> None:
        """End the commands whose time is over."""
        now = self._clock()
        batch = Batch()
        for command in list(self._under_way.values()):
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

    def _check_room(self, device: Device) -> None:
        if device.admission is not Admission.ACCEPTED:
            raise DeviceUnready(
                f"{device.name} is {device.admission.value}: accept it before you command it."
            )
        waiting = len(self._of(device.id))
        if waiting >= MOST_WAITING:
            raise DeviceUnready(
                f"{waiting} commands to {device.name} are under way already. "
                "Wait until some are over."
            )
        if len(self._under_way) >= MOST_UNDER_WAY:
            raise DeviceUnready(
                f"{MOST_UNDER_WAY} commands are under way already. Wait until some are over."
            )

    def _begin(self, command: Command, durable: asyncio.Future[int]) -> None:
        """Send a command that is durable now, or forget one that could not be."""
        self._not_durable.discard(command.id)
        if durable.cancelled() or durable.exception() is not None:
            if command.id in self._under_way:
                self._drop(command)
            return
        self.send_waiting(command.device)

    def _carry(self, command: Command) -> bool:
        """Hand ``command`` to whoever reaches its device; False when nobody does now."""
        device = self._registry.by_id(command.device)
        session = self._sessions.online(device.name)
        if session is None and self._needs_session(device):
            return False
        where = None if session is None else Assignment(session.name, session.id)
        self._carried.add(command.id)
        self._expect(command, self._clock())
        for dialect, carrier in self._carriers:
            if session is not None and dialect != session.dialect:
                continue
            # A command that can't be carried out at all may be over when this returns.
            if carrier.carry(command, device, where) or command.id not in self._carried:
                return True
        self._carried.discard(command.id)
        self.confirmations.forget(command.id)
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
        batch.state[_IN_STATE + command.id] = _encode(command)
        text = f"{command.order}: {command.state.value}"
        text += f": {command.reason}" if command.reason else ""
        batch.entries.append(EventOccurred(command.device, command.changed, _EVENT, text))
        self._index(command)
        for old in self._too_many(command):
            self._drop(old)
            batch.state[_IN_STATE + old.id] = None
        self._wind()

    def _index(self, command: Command) -> None:
        self._last_id = max(self._last_id, int(command.id, 16))
        if command.is_over:
            self._drop(command)
            self._over[command.id] = command
            return
        self._under_way[command.id] = command
        if command.state is CommandState.SENT:
            self._carried.discard(command.id)
            self._expect(command, command.changed)

    def _too_many(self, command: Command) -> list[Command]:
        """Return what is forgotten now that ``command`` is over."""
        if not command.is_over:
            return []
        of_device = self._over_of(command.device)
        if len(of_device) > KEPT_PER_DEVICE:
            return of_device[:-KEPT_PER_DEVICE]
        return list(self._over.values())[:-KEPT]

    def _drop(self, command: Command) -> None:
        self._under_way.pop(command.id, None)
        self._over.pop(command.id, None)
        self._carried.discard(command.id)
        self.confirmations.forget(command.id)

    def _expect(self, command: Command, since: int) -> None:
        if command.order.can_be_confirmed:
            self.confirmations.expect(command, since)

    def _of(self, device: int) -> list[Command]:
        return [command for command in self._under_way.values() if command.device == device]

    def _over_of(self, device: int) -> list[Command]:
        return [command for command in self._over.values() if command.device == device]

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
        if self._under_way:
            next_ = min(command.deadline for command in self._under_way.values())
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
