"""Simulated boards with a LED, a button and a photoresistor; ``docs/protocols/device-session.md``.

They remember nothing: each asks for its name by its MAC address until it is answered, connects
again with a will, joins, and reports; after any loss of its connection it asks again.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from motehub.protocols.device_session import JOIN, LEAVE, LED_COMMAND, NAME_ASSIGN
from motehub.protocols.mqtt.packets import Publish, Version, Will
from motehub.simulate.fleet import (
    CONNECT_TIMEOUT,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    SEND_TIMEOUT,
    SHORTEST_BATCH,
)
from motehub.simulate.mqtt import MqttOptions
from motehub.simulate.mqtt_client import MqttClient, MqttTotals
from motehub.simulate.tls_client import reason_of
from motehub.simulate.weather import Light

ASK_AGAIN: Final = 5.0
"""Seconds after which a board that has no name yet sends its MAC address again."""

_LED: Final = "led/status"
_BUTTON: Final = "button/status"
_LIGHT: Final = "photoresistor/status"

# The firmware's library for 3.1.1 subscribes at QoS 0 to its name, and publishes at 1.
_HEARS: Final = {Version.V3_1_1: 0, Version.V5: 2}
_SAYS: Final = {Version.V3_1_1: 1, Version.V5: 2}
_PUSHED: Final = 0.05
_LEAVE_TIMEOUT: Final = 5.0


@dataclass(slots=True)
class Totals(MqttTotals):
    """What all boards did so far: ``sessions`` they were given, LED ``commands`` they obeyed."""

    sessions: int = 0
    commands: int = 0


Progress = Callable[[Totals], None]


async def run(options: MqttOptions, progress: Progress | None = None) -> Totals:
    """Run the boards until ``options.duration`` is over, or for ever, and return the totals.

    ``rate`` is that of the photoresistor; batches there are none. ``progress`` hears a copy of
    the totals after every report and every failure. A hub that is away is no error here: boards
    keep trying.

    Raises:
        OwnerError: an option is out of range, or a source address is not of this machine.
        CertificateError: the file ``ca`` is missing or holds no certificate.
    """
    options.check()
    context = options.context()
    totals = Totals()

    def changed() -> None:
        if progress is not None:
            progress(replace(totals))

    async with asyncio.TaskGroup() as group:
        for number in range(options.devices):
            group.create_task(_Board(options, number, context, totals, changed).run())
    return totals


def mac_of(number: int) -> bytes:
    """Return the MAC address of board ``number``, counted from 0: one that no maker gives out."""
    tail = (number + 1).to_bytes(4, "big").hex(":").upper()
    return f"02:4D:{tail}".encode()


async def announce(options: MqttOptions) -> None:
    """Have each board ask for its name once, so that the owner can accept it before it runs.

    Raises:
        OSError: the hub can't be reached.
    """
    context = options.context()
    for number in range(options.devices):
        client = await MqttClient.connect(
            (options.host, options.port),
            options.source_of(number),
            context,
            options.connect_packet(""),
            Totals(),
        )
        client.publish(JOIN, mac_of(number), _SAYS[options.version])
        await client.settle()
        await client.close()


class _Board:
    def __init__(
        self,
        options: MqttOptions,
        number: int,
        context: ssl.SSLContext | None,
        totals: Totals,
        changed: Callable[[], None],
    ) -> None:
        self._options = options
        self._context = context
        self._source = options.source_of(number)
        self._rng = options.rng_of(number)
        self._light = Light(self._rng)
        self._pushed = False
        self._mac = mac_of(number)
        self._hears, self._says = _HEARS[options.version], _SAYS[options.version]
        self._totals = totals
        self._changed = changed
        self._client: MqttClient | None = None
        self._claim = b""
        self._led = b"0"
        self._pause = FIRST_PAUSE

    async def run(self) -> None:
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._options.duration):
                    # Boards were not all switched on in the same moment.
                    await asyncio.sleep(self._rng.random() * min(1.0, 1 / self._options.rate))
                    while True:
                        await self._live()
            await self._leave()
        finally:
            await self._drop()

    async def _live(self) -> None:
        """Go on from power on until the connection is lost, and wait a moment."""
        try:
            await self._ask()
            await self._join()
            await self._report()
        except (OSError, UnicodeError) as error:
            self._totals.failures += 1
            self._totals.last_failure = reason_of(error)
            self._changed()
        await self._drop()
        wait = self._pause * self._rng.uniform(0.75, 1.25)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        await asyncio.sleep(wait)

    async def _ask(self) -> None:
        """Send the MAC address until there is an answer with a name and a session."""
        self._claim = b""
        client = await self._connect(None)
        await client.subscribe(NAME_ASSIGN, self._hears)
        while not self._claim:
            client.check()
            client.publish(JOIN, self._mac, self._says)
            with suppress(TimeoutError):
                async with asyncio.timeout(ASK_AGAIN):
                    await client.wait(lambda: self._claim != b"")
        self._totals.sessions += 1
        await client.settle()
        await client.close()

    async def _join(self) -> None:
        """Connect with the will to leave, and join."""
        client = await self._connect(Will(LEAVE, self._claim, self._says))
        client.publish(JOIN, self._claim, self._says)
        await client.subscribe(LED_COMMAND, 1)
        self._say(_LED, self._led, 1)
        await client.settle()
        self._pause = FIRST_PAUSE

    async def _report(self) -> None:
        """Report until the connection is lost."""
        client = self._client
        assert client is not None
        light = self._light
        rate = self._options.rate
        began, reported = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - began) * rate) + 1 - reported
            lost = max(0, due - self._options.buffer)
            self._totals.lost += lost
            for _ in range(due - lost):
                self._say(_LIGHT, b"%d" % light.measure(time.time()), 0)
            if self._pushed or self._rng.random() < _PUSHED:
                # It is held until the next report.
                self._pushed = not self._pushed
                self._say(_BUTTON, b"%d" % self._pushed, 0)
            reported += due
            self._changed()
            async with asyncio.timeout(SEND_TIMEOUT):
                await client.settle()
            wait = began + reported / rate - time.monotonic()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(wait, SHORTEST_BATCH)):
                    await client.wait(lambda: False)
            client.check()

    async def _leave(self) -> None:
        """Say that this board leaves, so that its will need not."""
        client = self._client
        if client is None or client.is_lost or not self._claim:
            return
        client.publish(LEAVE, self._claim, self._says)
        with suppress(OSError):
            async with asyncio.timeout(_LEAVE_TIMEOUT):
                await client.settle()
                await client.close()
        self._changed()

    async def _connect(self, will: Will | None) -> MqttClient:
        options = self._options
        # The client id is empty, as in the library's examples.
        connect = msgspec.structs.replace(options.connect_packet(""), will=will)
        async with asyncio.timeout(CONNECT_TIMEOUT):
            self._client = await MqttClient.connect(
                (options.host, options.port),
                self._source,
                self._context,
                connect,
                self._totals,
                self._hear,
            )
        self._totals.connections += 1
        return self._client

    def _hear(self, message: Publish) -> None:
        """Pick what is for this board of what is said to all."""
        head, _, value = message.payload.rpartition(b";")
        if message.topic == NAME_ASSIGN:
            mac, _, claim = message.payload.partition(b";")
            if mac == self._mac:
                self._claim = claim
        elif message.topic == LED_COMMAND and head == self._claim and value in (b"0", b"1"):
            self._led = value
            self._totals.commands += 1
            self._say(_LED, value, 1)
            self._changed()

    def _say(self, topic: str, value: bytes, qos: int) -> None:
        if self._client is not None:
            self._client.publish(topic, self._claim + b";" + value, qos)

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.drop()
