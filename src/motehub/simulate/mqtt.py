"""Simulated sensors that publish readings over MQTT; ``docs/protocols/mqtt.md``.

Each publishes the climate of its room on ``readings/<device>`` at QoS 1, with the time, and
publishes again over its next connection what was not acknowledged: the hub knows it by its time.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from motehub.errors import OwnerError
from motehub.protocols.mqtt.packets import Connect, Version
from motehub.simulate.fleet import CONNECT_TIMEOUT, SEND_TIMEOUT, FleetOptions, send_batches
from motehub.simulate.mqtt_client import MqttClient, MqttTotals
from motehub.simulate.tls_client import client_context, reason_of
from motehub.simulate.weather import Room

KEPT: Final = 1_000
"""Readings that a sensor keeps at least while they are not acknowledged."""

LONGEST_KEEP_ALIVE: Final = 65_535
"""Seconds; the protocol has no longer one."""

Progress = Callable[[MqttTotals], None]


class MqttOptions(FleetOptions, frozen=True, kw_only=True):
    """What MQTT devices do beyond :class:`FleetOptions`.

    ``keep_alive`` is in seconds; 0 means none. ``token`` is shown as the password. ``names`` are
    those of sensors that are not to be called ``simulated-1`` and so on.
    """

    port: int = 1883
    tls: bool = False
    version: Version = Version.V3_1_1
    keep_alive: int = 5
    token: str | None = None
    names: tuple[str, ...] = ()

    def check(self) -> None:
        """Look at the options before anything connects.

        Raises:
            OwnerError: one is out of range, or a source address is not of this machine.
        """
        FleetOptions.check(self)
        if not 0 <= self.keep_alive <= LONGEST_KEEP_ALIVE:
            raise OwnerError(
                f"keep_alive = {self.keep_alive} is out of range: give 0 to {LONGEST_KEEP_ALIVE} s."
            )

    def context(self) -> ssl.SSLContext | None:
        """Return what TLS connections need, or None for plain ones.

        Raises:
            CertificateError: the file ``ca`` is missing or holds no certificate.
        """
        return client_context(self.ca) if self.tls else None

    def name_of(self, number: int) -> str:
        """Return the name of sensor ``number``, counted from 0."""
        return self.names[number] if number < len(self.names) else f"simulated-{number + 1}"

    def connect_packet(self, client_id: str) -> Connect:
        """Return the CONNECT of a device, without a will."""
        return Connect(
            client_id,
            self.version,
            keep_alive=self.keep_alive,
            user_name=None if self.token is None else "simulated",
            password=None if self.token is None else self.token.encode(),
        )


async def run(options: MqttOptions, progress: Progress | None = None) -> MqttTotals:
    """Run the sensors until ``options.duration`` is over, or for ever, and return the totals.

    ``progress`` hears a copy of the totals after every batch and every failure. A hub that is
    away is no error here: sensors keep trying.

    Raises:
        OwnerError: an option is out of range, or a source address is not of this machine.
        CertificateError: the file ``ca`` is missing or holds no certificate.
    """
    options.check()
    context = options.context()
    totals = MqttTotals()

    def changed() -> None:
        if progress is not None:
            progress(replace(totals))

    async with asyncio.TaskGroup() as group:
        for number in range(options.devices):
            group.create_task(_Sensor(options, number, context, totals, changed).run())
    return totals


class _Climate:
    """What a sensor measures."""

    def __init__(self, rate: float, rng: random.Random) -> None:
        self._rate = rate
        self._room = Room(rng)
        self._started = time.time()
        self._measured = 0

    def take(self, elapsed: float) -> list[bytes]:
        """Return the payloads measured until ``elapsed`` seconds after the start."""
        due = int(elapsed * self._rate) + 1 - self._measured
        return [self._measure() for _ in range(due)]

    def _measure(self) -> bytes:
        stamp = round(self._started + self._measured / self._rate, 6)
        self._measured += 1
        humidity, celsius = self._room.measure(stamp)
        reading = {"temperature": celsius, "relative_humidity": humidity, "time": stamp}
        return json.dumps(reading).encode("ascii")


class _Sensor:
    """One client: measures, publishes, keeps what is not acknowledged."""

    def __init__(
        self,
        options: MqttOptions,
        number: int,
        context: ssl.SSLContext | None,
        totals: MqttTotals,
        changed: Callable[[], None],
    ) -> None:
        self._options = options
        self._name = options.name_of(number)
        self._source = options.source_of(number)
        self._context = context
        self._rng = options.rng_of(number)
        self._climate = _Climate(options.rate, self._rng)
        self._kept: deque[bytes] = deque()
        self._totals = totals
        self._changed = changed
        self._client: MqttClient | None = None

    async def run(self) -> None:
        try:
            await send_batches(self._options, self._rng, self._send_batch)
            if self._client is not None:
                await self._client.close()
                self._client = None
        finally:
            self._totals.lost += len(self._kept)
            await self._drop()

    async def _send_batch(self, elapsed: float) -> bool:
        """Publish what was measured until ``elapsed`` and what is left of the last time."""
        totals, kept = self._totals, self._kept
        kept += self._climate.take(elapsed)
        while len(kept) > max(KEPT, self._options.buffer):
            kept.popleft()
            totals.lost += 1
        if not kept:
            return True
        try:
            client = await self._connected()
            async with asyncio.timeout(SEND_TIMEOUT):
                while kept:
                    await self._publish_some(client)
        except (OSError, UnicodeError) as error:
            totals.failures += 1
            totals.last_failure = reason_of(error)
            await self._drop()
            self._changed()
            return False
        totals.batches += 1
        self._changed()
        return True

    async def _publish_some(self, client: MqttClient) -> None:
        """Publish as much as may be under way, and keep what is not acknowledged."""
        count = min(client.window, len(self._kept))
        some = [self._kept.popleft() for _ in range(count)]
        try:
            for payload in some:
                client.publish(f"readings/{self._name}", payload, 1)
            await client.settle()
        finally:
            self._kept.extendleft(one.payload for one in reversed(client.in_flight.values()))

    async def _connected(self) -> MqttClient:
        """Return the connection that is open, or a new one."""
        if self._client is not None and self._client.is_lost:
            await self._drop()
        if self._client is None:
            options = self._options
            async with asyncio.timeout(CONNECT_TIMEOUT):
                self._client = await MqttClient.connect(
                    (options.host, options.port),
                    self._source,
                    self._context,
                    options.connect_packet(self._name),
                    self._totals,
                )
            self._totals.connections += 1
        return self._client

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.drop()
