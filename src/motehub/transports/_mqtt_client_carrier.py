"""Commands to devices that are connected to another broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Final

from motehub.command import Command, CommandDesk
from motehub.model import Assignment, Delivery, Device
from motehub.protocols.device_session import LED_COMMAND, format_led_command
from motehub.transports._mqtt_client_troubles import Lost
from motehub.transports._mqtt_client_trust import Trust

if TYPE_CHECKING:
    from motehub.transports._mqtt_client_link import Link

COMMANDS: Final = "commands"
"""First level of the topics on which devices without sessions get commands."""

_LED: Final = "led"
_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 5.0
_REMEMBERED: Final = 10_000


class ClientCarrier:
    """See :class:`motehub.command.Carrier`.

    Who has subscribed at another broker is not known before something is published there. So a
    command to a device without session is published again until somebody gets it (MQTT 5 tells)
    or its time is over. In a session it is sent once: what the device reports then shows whether
    it came in time.
    """

    def __init__(
        self,
        dialect: str,
        desk: CommandDesk,
        trust: Trust,
        clock: Callable[[], int],
    ) -> None:
        self._dialect = dialect
        self._desk = desk
        self._trust = trust
        self._clock = clock
        self._link: Link | None = None
        self._heard: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def connected(self, link: Link | None) -> None:
        """Send over ``link`` from now on; None while there is no connection."""
        self._link = link
        if link is not None:
            self._desk.reachable()

    def hear(self, deliveries: Sequence[Delivery]) -> None:
        """Note which devices speak at that broker."""
        new = {one.source.identity for one in deliveries if one.source.identity} - self._heard
        if new:
            if len(self._heard) + len(new) > _REMEMBERED:
                self._heard.clear()
            self._heard |= new
            self._desk.reachable()

    def end(self) -> None:
        """Send nothing any more."""
        self._link = None
        for task in self._tasks:
            task.cancel()

    def carry(self, command: Command, device: Device, session: Assignment | None) -> bool:
        """Tell whether ``command`` is on its way, if the device speaks at this broker."""
        link = self._link
        if link is None:
            return False
        if session is not None:
            on = command.order.switched(_LED)
            if on is None:
                reason = "A device of this kind has one thing that can be set: led, to 0 or 1."
                self._desk.failed(command.id, reason)
                return True
            payload = format_led_command(session.name, session.session, on)
            self._begin(self._send(command.id, link, payload))
            return True
        if device.dialect != self._dialect and not self._heard.intersection(device.identities):
            return False
        names = dict.fromkeys((*self._trust.own_names(device), device.name))
        self._begin(self._offer(command, [f"{COMMANDS}/{name}" for name in names]))
        return True

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, command: str, link: Link, payload: bytes) -> None:
        try:
            await link.say(LED_COMMAND, payload)
        except (Lost, ValueError) as error:
            self._desk.failed(command, str(error))
        else:
            self._desk.sent(command)

    async def _offer(self, command: Command, topics: Sequence[str]) -> None:
        pause = _FIRST_PAUSE
        while self._clock() < command.deadline:
            try:
                if await self._is_taken(topics, command.order.message):
                    self._desk.sent(command.id)
                    return
            except ValueError as error:
                self._desk.failed(command.id, str(error))
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _is_taken(self, topics: Sequence[str], payload: bytes) -> bool:
        """Publish on all topics; tell whether somebody got it."""
        if self._link is None:
            return False
        try:
            taken = [await self._link.say(topic, payload) for topic in topics]
        except Lost:
            # There may be another connection soon.
            return False
        return any(taken)
