"""Commands to devices: what they say, where each of them stands, and who takes them there."""

from __future__ import annotations

import enum
import math
from typing import Final, Protocol

import msgspec

from motehub.errors import InvalidCommand
from motehub.model import Assignment, Device

DEFAULT_SECONDS: Final = 60.0
"""How long a command may take when nothing else is said."""

LONGEST_SECONDS: Final = 7 * 86_400.0
"""How long a command may take at most: for devices that sleep for days."""

PAYLOAD_BYTES: Final = 1_024
"""Longest payload in UTF-8 bytes."""

VALUE_BYTES: Final = 256
"""Longest text of a value in UTF-8 bytes."""

NAME_BYTES: Final = 64
"""Longest name of what is to be set, in UTF-8 bytes."""

_EXCERPT: Final = 60
# Beyond, neighbouring whole numbers are the same reading.
_EXACT: Final = 2**53

Value = bool | int | float | str
"""What something is set to: numbers in the unit in which the device reports them."""


class CommandState(enum.Enum):
    """Where a command stands; the last three are its end."""

    QUEUED = "queued"
    """It is kept until its device can be reached."""
    SENT = "sent"
    """It has left the hub. What no reading can confirm ends here."""
    CONFIRMED = "confirmed"
    """The device has reported the value."""
    FAILED = "failed"
    """It can't be carried out, or the owner has blocked the device."""
    EXPIRED = "expired"
    """Its time is over: it never left, or nothing came back."""


_ENDS: Final = frozenset({CommandState.CONFIRMED, CommandState.FAILED, CommandState.EXPIRED})


class Order(msgspec.Struct, frozen=True):
    """What a command says: ``name`` is to be ``value``, to be done, or a ``payload`` as it is."""

    name: str | None = None
    value: Value | None = None
    payload: str | None = None

    @property
    def can_be_confirmed(self) -> bool:
        """Whether a reading can show that it was carried out."""
        return self.name is not None and self.value is not None

    @property
    def message(self) -> bytes:
        """What a device gets that knows no form of its own: the payload, or a JSON object."""
        if self.payload is not None:
            return self.payload.encode()
        if self.value is None:
            return msgspec.json.encode({"name": self.name})
        return msgspec.json.encode({"name": self.name, "value": self.value})

    @property
    def line(self) -> str:
        """What a unit gets, without a line end: the payload, or the value of what it can set."""
        if self.payload is not None:
            return self.payload
        return str(int(self.value)) if isinstance(self.value, bool) else str(self.value)

    @property
    def line_fault(self) -> str | None:
        """Why it can't be told in a line, or None."""
        if self.payload is None and self.value is None:
            return "a unit takes a payload or a value; a name alone tells it nothing"
        # Another line would be another command.
        if any(character < " " or character == "\x7f" for character in self.line):
            return "a payload for a unit is one line of text: it can't hold line ends or controls"
        return None

    def switched(self, name: str) -> bool | None:
        """Return whether ``name`` is to be on or off, if it says that: by 1 or 0."""
        if self.payload is not None:
            return {"0": False, "1": True}.get(self.payload)
        if self.name != name or self.value not in (0, 1):
            return None
        return bool(self.value)

    def __str__(self) -> str:
        """Return it for people, bounded."""
        if self.payload is not None:
            return f"payload {_excerpt(self.payload)}"
        if self.value is None:
            return str(self.name)
        value = self.value
        return f"{self.name} = {_excerpt(value) if isinstance(value, str) else value}"


class Command(msgspec.Struct, frozen=True):
    """An order to the device with the id ``device``, as of the moment ``changed``.

    Times are UTC microseconds. ``reason`` says why it failed or expired. Ids are texts of
    which a later one is greater, and none is used twice. With ``unheard`` no reading will tell
    whether it was carried out: its end is that it was sent.
    """

    id: str
    device: int
    order: Order
    created: int
    deadline: int
    state: CommandState
    changed: int
    reason: str = ""
    unheard: bool = False

    @property
    def is_over(self) -> bool:
        """Whether it stays as it is."""
        if self.state is CommandState.SENT:
            return self.unheard or not self.order.can_be_confirmed
        return self.state in _ENDS


class Carrier(Protocol):
    """Takes commands to the devices that a transport reaches."""

    def carry(self, command: Command, device: Device, session: Assignment | None) -> bool:
        """Tell whether ``command`` is on its way to ``device`` now; don't wait for it.

        ``session`` is where a device that joins is online, under the name that it knows. False
        leaves the command queued until ``CommandDesk.reachable``. After True the desk is told of
        it with ``sent`` or ``failed``, which may be called from here already. One that was sent
        in a session may come again, when the device seems to have missed it.
        """
        ...


class CommandDesk(Protocol):
    """Where commands wait for carriers, as transports see it. All methods return at once."""

    def attach(self, dialect: str, carrier: Carrier) -> None:
        """Offer ``carrier`` commands from now on, until the hub stops.

        A device in a session gets its commands over the ``dialect`` in which it joined, any other
        device over the first carrier that can.
        """
        ...

    def reachable(self, name: str | None = None) -> None:
        """Say that the device called ``name``, or any, may be reached now: what waits is sent."""
        ...

    def is_wanted(self, command: str) -> bool:
        """Tell whether the command of that id still has to leave."""
        ...

    def sent(self, command: str, *, unheard: bool = False) -> None:
        """Say that the command of that id has left for its device.

        ``unheard`` says that this device does not report what it was told.
        """
        ...

    def failed(self, command: str, reason: str) -> None:
        """Say why the command of that id can't be carried out, in words for people."""
        ...


def checked_order(name: str | None, value: Value | None, payload: str | None) -> Order:
    """Return the order that says this; a whole number becomes an ``int``.

    Raises:
        InvalidCommand: it says nothing or too much, or a part is too long or can't be sent.
    """
    if payload is not None:
        if name is not None or value is not None:
            raise InvalidCommand(
                "A command has a payload, or a name and a value, not both. Leave one out."
            )
        _check_length(payload, PAYLOAD_BYTES, "The payload")
        return Order(payload=payload)
    if name is None:
        raise InvalidCommand("The command says nothing: give it a payload, or a name and a value.")
    _check_length(name, NAME_BYTES, "The name")
    if not name.isprintable() or name != name.strip():
        raise InvalidCommand(
            f"{name!r} can't be the name of what is to be set: it begins or ends with a space, "
            "or contains characters that can't be seen."
        )
    return Order(name, value if value is None else _checked_value(value))


def _checked_value(value: Value) -> Value:
    if isinstance(value, str):
        _check_length(value, VALUE_BYTES, "The value")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidCommand(f"{value} is not a value that a device can be set to.")
        if value.is_integer() and abs(value) <= _EXACT:
            return int(value)
    elif abs(value) > _EXACT:
        raise InvalidCommand("The value is a whole number beyond ±2^53, which is not kept exactly.")
    return value


def _check_length(text: str, most: int, what: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidCommand(f"{what} is not text: it has half of a character.") from None
    if not 0 < size <= most:
        raise InvalidCommand(f"{what} has {size} bytes in UTF-8; it may have 1 to {most}.")


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= _EXCERPT else f"{text[: _EXCERPT - 1]}…")
