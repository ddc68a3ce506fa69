"""Which commands there are: those under way, and the newest of those that are over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from motehub.command import Command
from motehub.errors import DeviceUnready, UnknownCommand
from motehub.frames import Batch, CommandChanged, EventOccurred
from motehub.model import Admission, Device

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
_EXCERPT: Final = 64

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Command).decode


def commands_of_state(state: Mapping[str, bytes]) -> Iterator[Command]:
    """Yield the commands that a journal keeps."""
    return (_decode(value) for key, value in state.items() if key.startswith(_IN_STATE))


class CommandBook:
    """Commands by id. What changes goes into the batch that is given, as state and as event."""

    def __init__(self, commands: Iterable[Command] = ()) -> None:
        # In the order in which they were given.
        self._under_way: dict[str, Command] = {}
        # In the order in which they ended.
        self._over: dict[str, Command] = {}
        self._last_id = 0
        for command in sorted(commands, key=lambda one: (one.changed, one.id)):
            self._index(command)
        self._under_way = dict(sorted(self._under_way.items()))

    def find(self, command: str) -> Command:
        """Return the command with that id.

        Raises:
            UnknownCommand: there is none, or it has been forgotten.
        """
        found = self.get(command)
        if found is None:
            raise UnknownCommand(
                f"There is no command {command[:_EXCERPT]!r}; those that have long been over "
                "are forgotten."
            )
        return found

    def get(self, command: str) -> Command | None:
        """Return the command with that id, if there is one."""
        return self._under_way.get(command) or self._over.get(command)

    def under_way(self, command: str) -> Command | None:
        """Return the command with that id, unless it is over."""
        return self._under_way.get(command)

    def all_under_way(self) -> list[Command]:
        """Return all commands that are not over, in the order in which they were given."""
        return list(self._under_way.values())

    def under_way_to(self, device: int) -> list[Command]:
        """Return those to the device with that id."""
        return [command for command in self._under_way.values() if command.device == device]

    def all_to(self, device: int) -> list[Command]:
        """Return those to the device with that id, under way or over, newest first."""
        found = [*self._over_of(device), *self.under_way_to(device)]
        return sorted(found, key=lambda one: one.id, reverse=True)

    def is_newest(self, command: Command) -> bool:
        """Tell whether nothing was said later of what ``command`` sets on its device."""
        return not any(
            other.id > command.id and other.order.name == command.order.name
            for other in [*self.under_way_to(command.device), *self._over_of(command.device)]
        )

    def next_id(self, now: int) -> str:
        """Return the id of a command that is given at ``now`` (µs)."""
        return f"{max(now, self._last_id + 1):014x}"

    def check_room(self, device: Device) -> None:
        """See that the device may be given one more command.

        Raises:
            DeviceUnready: it is not accepted, or too many wait.
        """
        if device.admission is not Admission.ACCEPTED:
            raise DeviceUnready(
                f"{device.name} is {device.admission.value}: accept it before you command it."
            )
        waiting = len(self.under_way_to(device.id))
        if waiting >= MOST_WAITING:
            raise DeviceUnready(
                f"{waiting} commands to {device.name} are under way already. "
                "Wait until some are over."
            )
        if len(self._under_way) >= MOST_UNDER_WAY:
            raise DeviceUnready(
                f"{MOST_UNDER_WAY} commands are under way already. Wait until some are over."
            )

    def put(self, batch: Batch, command: Command) -> None:
        """Put ``command`` in the place of the one with its id; forget what is too old then."""
        batch.state[_IN_STATE + command.id] = _encode(command)
        text = f"{command.order}: {command.state.value}"
        text += f": {command.reason}" if command.reason else ""
        batch.entries.append(EventOccurred(command.device, command.changed, _EVENT, text))
        batch.entries.append(CommandChanged(command))
        self._index(command)
        if command.is_over:
            for old in self._too_many(command.device):
                self._forget(batch, old)

    def forget(self, batch: Batch, device: int) -> list[Command]:
        """Forget all commands to the device with that id; return those that were under way."""
        found = self.under_way_to(device)
        for command in [*found, *self._over_of(device)]:
            self._forget(batch, command)
        return found

    def drop(self, command: str) -> None:
        """Forget a command that could not be made durable."""
        self._under_way.pop(command, None)

    def _forget(self, batch: Batch, command: Command) -> None:
        self._under_way.pop(command.id, None)
        self._over.pop(command.id, None)
        batch.state[_IN_STATE + command.id] = None

    def _index(self, command: Command) -> None:
        self._last_id = max(self._last_id, int(command.id, 16))
        if command.is_over:
            self._under_way.pop(command.id, None)
            self._over[command.id] = command
        else:
            self._under_way[command.id] = command

    def _too_many(self, device: int) -> list[Command]:
        """Return what is forgotten now that one more command to the device is over."""
        of_device = self._over_of(device)
        if len(of_device) > KEPT_PER_DEVICE:
            return of_device[:-KEPT_PER_DEVICE]
        return list(self._over.values())[:-KEPT]

    def _over_of(self, device: int) -> list[Command]:
        return [command for command in self._over.values() if command.device == device]
