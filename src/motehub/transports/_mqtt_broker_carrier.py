"""Commands to devices that are connected to the broker."""

from __future__ import annotations

import asyncio
from typing import Final

from motehub.command import Command, CommandDesk
from motehub.errors import StorageError
from motehub.model import Assignment, Device
from motehub.protocols.device_session import LED_COMMAND, format_led_command
from motehub.protocols.mqtt.packets import Publish
from motehub.transports._mqtt_broker_service import Service

COMMANDS: Final = "commands"
"""First level of the topics on which devices without sessions get commands."""

_IDENTITY: Final = "mqtt:"
_LED: Final = "led"


class BrokerCarrier:
    """See :class:`motehub.command.Carrier`."""

    def __init__(self, service: Service, desk: CommandDesk) -> None:
        self._service = service
        self._desk = desk
        self._tasks: set[asyncio.Task[None]] = set()

    def carry(self, command: Command, device: Device, session: Assignment | None) -> bool:
        """Tell whether ``command`` is on its way: somebody listens on the device's topic."""
        if session is not None:
            topics, payload = [LED_COMMAND], _led_payload(command, session)
            if payload is None:
                reason = "A device of this kind has one thing that can be set: led, to 0 or 1."
                self._desk.failed(command.id, reason)
                return True
        else:
            topics, payload = _topics(device), command.order.message
        heard = [topic for topic in topics if self._is_heard(topic)]
        if not heard:
            return False
        task = asyncio.create_task(self._send(command.id, heard, payload))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def end(self) -> None:
        """Send no more: what is not on its way waits for the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _is_heard(self, topic: str) -> bool:
        route = self._service.broker.routes.find(topic)
        if any(target.member.link is not None for target in route.targets):
            return True
        return any(one.link is not None for group in route.groups for one in group.members)

    async def _send(self, command: str, topics: list[str], payload: bytes) -> None:
        try:
            await self._service.publish([Publish(topic, payload, 1) for topic in topics])
        except StorageError as error:
            self._desk.failed(command, str(error))
        else:
            self._desk.sent(command)


def _led_payload(command: Command, session: Assignment) -> bytes | None:
    on = command.order.switched(_LED)
    return None if on is None else format_led_command(session.name, session.session, on)


def _topics(device: Device) -> list[str]:
    """Return the topics on which a device may listen: under what it calls itself, or its name."""
    own = [one.removeprefix(_IDENTITY) for one in device.identities if one.startswith(_IDENTITY)]
    return list(dict.fromkeys(f"{COMMANDS}/{name}" for name in (*own, device.name)))
