"""Commands to units that a base unit elsewhere reaches: events on ``private-requests``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from motehub.command import Command, CommandDesk
from motehub.errors import UnknownUnit
from motehub.model import Assignment, Device
from motehub.protocols.pusher.application import Application
from motehub.protocols.pusher.messages import as_text
from motehub.units import Unit, UnitDesk
from motehub.web._pusher_access import Grants
from motehub.web._pusher_channels import REQUESTS

UPDATE: Final = "update.request"
"""The event that asks a base unit to update one of its units."""

_IDENTITY: Final = "unit:"
# Of whom nothing is said here, readings are stored as those of such a unit.
_UNNAMED: Final = Unit(address="192.0.2.1")


class BaseCarrier:
    """See :class:`motehub.command.Carrier`; ``clock`` returns UTC microseconds.

    ``units`` returns what is said here of units.

    A command is sent when somebody hears the channel, and waits otherwise. Its id goes with
    it, so that a base unit can tell when it gets one twice.
    """

    def __init__(
        self,
        application: Application,
        desk: CommandDesk,
        grants: Grants,
        clock: Callable[[], int],
        units: Callable[[], UnitDesk | None] = lambda: None,
    ) -> None:
        self._application = application
        self._desk = desk
        self._grants = grants
        self._clock = clock
        self._units = units

    def look(self, channel: str) -> None:
        """Send what waits, if it is this channel that somebody has come to."""
        if channel == REQUESTS and self._application.hears(REQUESTS):
            self._desk.reachable()

    def carry(self, command: Command, device: Device, session: Assignment | None) -> bool:
        """Tell whether ``command`` is for a unit, and on its way to a base unit."""
        identity = next((one for one in device.identities if one.startswith(_IDENTITY)), None)
        if identity is None or session is not None:
            return False
        if (fault := command.order.line_fault) is not None:
            self._desk.failed(command.id, fault)
            return True
        now = self._clock()
        self._grants.check(now)
        address = identity.removeprefix(_IDENTITY)
        request = {"ip": address, "payload": command.order.line, "id": command.id}
        if not self._application.publish(REQUESTS, UPDATE, as_text(request), now):
            return False
        self._desk.sent(command.id, unheard=not self._reports(address, command.order.name))
        return True

    def _reports(self, address: str, name: str | None) -> bool:
        """Tell whether the readings of the unit at ``address`` show what ``name`` is."""
        desk = self._units()
        try:
            unit = desk.unit(address).definition if desk is not None else None
        except UnknownUnit:
            unit = None
        return (unit or _UNNAMED).reports(name)
