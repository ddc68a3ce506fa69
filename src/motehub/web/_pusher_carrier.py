"""Commands to units that a base unit elsewhere reaches: events on ``private-requests``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from motehub.command import Command, CommandDesk
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
        if (fault := command.order.line_fault) is not None:
            self._desk.failed(command.id, fault)
            return True
        now = self._clock()
        self._grants.check(now)
        address = identity.removeprefix(_IDENTITY)
        request = {"ip": address, "payload": command.order.line, "id": command.id}
        if not self._application.publish(REQUESTS, UPDATE, as_text(request), now):
            return False
        self._desk.sent(command.id)
        return True
