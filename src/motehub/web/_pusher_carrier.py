"""Commands to units that a base unit elsewhere reaches: events on ``private-requests``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from motehub.command import Command, CommandDesk, Order
from motehub.model import Assignment, Device
from motehub.protocols.pusher.application import Application
from motehub.protocols.pusher.messages import as_text
from motehub.web._pusher_access import Grants
from motehub.web._pusher_channels import REQUESTS

UPDATE: Final = "update.request"
"""The event that asks a base unit to update one of its units."""

_IDENTITY: Final = "unit:"


class BaseCarrier:
    """See :class:`motehub.command.Carrier`; ``clock`` returns UTC microseconds.

    A command is sent when somebody hears the channel, and waits otherwise. Its id goes with
    it, so that a base unit can tell when it gets one twice.
    """

    def __init__(
        self,
        application: Application,
        desk: CommandDesk,
        grants: Grants,
        clock: Callable[[], int],
    ) -> None:
        self._application = application
        self._desk = desk
        self._grants = grants
        self._clock = clock

    def look(self, channel: str) -> None:
        """Send what waits, if it is this channel that somebody has come to."""
        if channel == REQUESTS and self._application.hears(REQUESTS):
            self._desk.reachable()

    def carry(self, command: Command, device: Device, session: Assignment | None) -> bool:
        """Tell whether ``command`` is for a unit, and on its way to a base unit."""
        identity = next((one for one in device.identities if one.startswith(_IDENTITY)), None)
        if identity is None or session is not None:
            return False
        if (fault := fault_of(command.order)) is not None:
            self._desk.failed(command.id, fault)
            return True
        now = self._clock()
        self._grants.check(now)
        address = identity.removeprefix(_IDENTITY)
        request = {"ip": address, "payload": payload_of(command.order), "id": command.id}
        if not self._application.publish(REQUESTS, UPDATE, as_text(request), now):
            return False
        self._desk.sent(command.id)
        return True


def payload_of(order: Order) -> str:
    """Return what a unit gets: the payload, or the value of the one thing that it can set."""
    if order.payload is not None:
        return order.payload
    return str(int(order.value)) if isinstance(order.value, bool) else str(order.value)


def fault_of(order: Order) -> str | None:
    """Return why an order can't be sent to a unit, or None."""
    if order.payload is None and order.value is None:
        return "a unit takes a payload or a value; a name alone tells it nothing"
    if any(ord(character) < 0x20 or character == "\x7f" for character in payload_of(order)):
        return "a payload for a unit is one line of text: it can't hold line ends or controls"
    return None
