"""Commands to devices that are connected to the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from motehub.command import Command, CommandDesk
from motehub.errors import StorageError
from motehub.model import Assignment, Device
from motehub.protocols.device_session import LED_COMMAND, Claim, format_led_command
from motehub.protocols.mqtt.members import Member
from motehub.protocols.mqtt.packets import Publish
from motehub.protocols.mqtt.topics import split_share
from motehub.transports._mqtt_broker_conversation import MqttConversation
from motehub.transports._mqtt_broker_service import Service

COMMANDS: Final = "commands"
"""First level of the topics on which devices without sessions get commands."""

# Those of clients that somebody vouches for, and those of strangers.
_IDENTITIES: Final = ("mqtt:", "mqtt_broker.anonymous:")
_LED: Final = "led"


class BrokerCarrier:
    """See :class:`motehub.command.Carrier`."""

    def __init__(self, service: Service, desk: CommandDesk) -> None:
        self._service = service
        self._desk = desk
        self._tasks: set[asyncio.Task[None]] = set()

    def carry(self, command: Command, device: Device, session: Assignment | None) -> bool:
        """Tell whether ``command`` is on its way: the device listens on one of its topics.

        Anybody with the right to may listen too; that is not the device.
        """
        if session is not None:
            topics, payload = [LED_COMMAND], _led_payload(command, session)
            if payload is None:
                reason = "A device of this kind has one thing that can be set: led, to 0 or 1."
                self._desk.failed(command.id, reason)
                return True
            holder = self._service.holder(Claim(session.name, session.session))
            is_device = partial(_is_board, holder, (session.name, device.name))
        else:
            topics, payload = _topics(device), command.order.message
            is_device = partial(_is_device, device)
        heard = [topic for topic in topics if self._is_heard(topic, is_device)]
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

    def _is_heard(self, topic: str, is_device: Callable[[Member, str], bool]) -> bool:
        route = self._service.broker.routes.find(topic)
        members = [target.member for target in route.targets]
        members += [one for group in route.groups for one in group.members]
        return any(one.link is not None and is_device(one, topic) for one in members)

    async def _send(self, command: str, topics: list[str], payload: bytes) -> None:
        try:
            await self._service.publish([Publish(topic, payload, 1) for topic in topics])
        except StorageError as error:
            self._desk.failed(command, str(error))
        else:
            self._desk.sent(command)


def _is_board(
    holder: MqttConversation | None, names: Iterable[str], member: Member, _: str
) -> bool:
    """Tell whether a client is the board whose session ``holder`` is the connection of."""
    return member.link is holder or _is_known_as(member, names)


def _is_device(device: Device, member: Member, topic: str) -> bool:
    """Tell whether a client is ``device``, or speaks for it.

    It has the device's own token or certificate, or has sent readings of it over this connection,
    or its subscription names it: a wildcard alone may be somebody's who only looks on.
    """
    link = member.link
    if isinstance(link, MqttConversation) and not link.spoken.keys().isdisjoint(device.identities):
        return True
    named = {topic, f"{topic}/#"}
    if any(split_share(one)[1] in named for one in member.grants):
        return True
    return _is_known_as(member, (topic.rpartition("/")[2], device.name))


def _is_known_as(member: Member, names: Iterable[str]) -> bool:
    link = member.link
    if not isinstance(link, MqttConversation) or link.rights is None:
        return False
    return any(map(link.rights.is_device, names))


def _led_payload(command: Command, session: Assignment) -> bytes | None:
    on = command.order.switched(_LED)
    return None if on is None else format_led_command(session.name, session.session, on)


def _topics(device: Device) -> list[str]:
    """Return the topics on which a device may listen: under what it calls itself, or its name."""
    own = [
        one.removeprefix(head)
        for one in device.identities
        for head in _IDENTITIES
        if one.startswith(head)
    ]
    return list(dict.fromkeys(f"{COMMANDS}/{name}" for name in (*own, device.name)))
