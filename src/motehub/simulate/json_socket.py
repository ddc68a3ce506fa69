"""Simulated programs that send JSON objects over mutual TLS; ``docs/protocols/json-socket.md``.

Each has a certificate and keeps its connection: objects follow each other without framing, most
of them nested (the climate of its room), some flat (its own battery).
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from motehub.errors import OwnerError
from motehub.simulate.fleet import (
    CONNECT_TIMEOUT,
    SEND_TIMEOUT,
    FleetOptions,
    FleetTotals,
    send_batches,
)
from motehub.simulate.tls_client import TlsClient, client_context, reason_of
from motehub.simulate.weather import Room

ACKNOWLEDGED: Final = "motehub-ack/1"
"""What clients that want a line back for each object offer in ALPN (RFC 7301)."""

FLAT_EVERY: Final = 10
"""One object in so many is flat."""

FULL_VOLTS: Final = 4.2
EMPTY_VOLTS: Final = 3.3
"""Of the battery, which is used and charged in turn."""

VOLTS_PER_OBJECT: Final = 0.0001
"""What an object takes of it."""

CHARGED_FASTER: Final = 10
"""So much faster is it charged than used."""


class Identity(msgspec.Struct, frozen=True):
    """With what a program logs in, and the device of which its nested objects speak."""

    device: str
    certificate: Path
    key: Path


class JsonOptions(FleetOptions, frozen=True, kw_only=True):
    """What programs do beyond :class:`FleetOptions`.

    Program n is number n of ``identities``. With ``acknowledge`` it asks for a line back for
    each object, and sends the next batch only when it has them.
    """

    port: int = 1191
    identities: tuple[Identity, ...]
    acknowledge: bool = False

    def check(self) -> None:
        """Look at the options before anything connects.

        Raises:
            OwnerError: one is out of range, or a source address is not of this machine.
        """
        FleetOptions.check(self)
        if len(self.identities) != self.devices:
            raise OwnerError(
                f"{self.devices} devices with {len(self.identities)} certificates can't be "
                "simulated: each needs one."
            )


@dataclass(slots=True)
class Totals(FleetTotals):
    """What all programs did so far.

    ``objects`` counts those that were handed over, ``acknowledged`` the answers that say they
    are stored, ``refused`` those that say they are not; ``last_refusal`` is one of these.
    """

    objects: int = 0
    acknowledged: int = 0
    refused: int = 0
    last_refusal: str = ""


Progress = Callable[[Totals], None]


async def run(options: JsonOptions, progress: Progress | None = None) -> Totals:
    """Run the programs until ``options.duration`` is over, or for ever, and return the totals.

    ``progress`` hears a copy of the totals after every batch and every failure. A hub that is
    away is no error here: programs keep trying.

    Raises:
        OwnerError: an option is out of range, or a source address is not of this machine.
        CertificateError: a certificate or key is missing or can't be used.
    """
    options.check()
    totals = Totals()

    def changed() -> None:
        if progress is not None:
            progress(replace(totals))

    programs = [_Program(options, number, totals, changed) for number in range(options.devices)]
    async with asyncio.TaskGroup() as group:
        for program in programs:
            group.create_task(program.run())
    return totals


def first_volts(rng: random.Random) -> float:
    """Return what a program's battery has when it begins, after its room was chosen by ``rng``."""
    return rng.uniform(EMPTY_VOLTS, FULL_VOLTS)


class _Sensors:
    """What a program sends: the climate of a room, and now and then the state of its battery."""

    def __init__(self, options: JsonOptions, device: str, rng: random.Random) -> None:
        self._device = device
        self._rate = options.rate
        self._buffer = options.buffer
        self._room = Room(rng)
        self._volts = first_volts(rng)
        self._charging = False
        self._started = time.time()
        self._measured = 0

    def take(self, elapsed: float) -> tuple[list[str], int]:
        """Return the objects measured until ``elapsed`` seconds after the start.

        The second part is how many got lost, since the buffer was too small for all of them.
        """
        due = int(elapsed * self._rate) + 1 - self._measured
        lost = max(0, due - self._buffer)
        self._measured += lost
        return [json.dumps(self._measure()) for _ in range(due - lost)], lost

    def _measure(self) -> dict[str, object]:
        self._measured += 1
        if self._measured % FLAT_EVERY == 0:
            return self._battery()
        humidity, celsius = self._room.measure(self._started + self._measured / self._rate)
        return {self._device: {"temperature": celsius, "relative_humidity": humidity}}

    def _battery(self) -> dict[str, object]:
        self._charging = self._volts < (FULL_VOLTS if self._charging else EMPTY_VOLTS)
        step = FLAT_EVERY * VOLTS_PER_OBJECT
        self._volts += CHARGED_FASTER * step if self._charging else -step
        return {
            "battery": round(self._volts, 3),
            "charging": self._charging,
            "state": "charging" if self._charging else "on battery",
        }


class _Program:
    """One client: measures, and sends what it has on a connection that stays open."""

    def __init__(
        self, options: JsonOptions, number: int, totals: Totals, changed: Callable[[], None]
    ) -> None:
        identity = options.identities[number]
        self._options = options
        self._context = client_context(options.ca, (identity.certificate, identity.key))
        if options.acknowledge:
            self._context.set_alpn_protocols([ACKNOWLEDGED])
        self._source = options.source_of(number)
        self._rng = options.rng_of(number)
        self._sensors = _Sensors(options, identity.device, self._rng)
        self._totals = totals
        self._changed = changed
        self._connection: TlsClient | None = None

    async def run(self) -> None:
        try:
            await send_batches(self._options, self._rng, self._send_batch)
            await self._close()
        finally:
            await self._drop()

    async def _send_batch(self, elapsed: float) -> bool:
        """Send what was measured until ``elapsed``; whatever doesn't get through is lost."""
        totals = self._totals
        objects, lost = self._sensors.take(elapsed)
        totals.lost += lost
        if not objects:
            return True
        sent = False
        try:
            connection = await self._connected()
            async with asyncio.timeout(SEND_TIMEOUT):
                await connection.send("".join(objects).encode("ascii"))
                sent = True
                totals.objects += len(objects)
                if self._options.acknowledge:
                    await self._hear(connection, len(objects))
        except (OSError, UnicodeError) as error:
            self._failed(error)
            if not sent:
                totals.lost += len(objects)
            await self._drop()
            self._changed()
            return False
        totals.batches += 1
        self._changed()
        return True

    async def _connected(self) -> TlsClient:
        """Return the connection that is open, or a new one."""
        if self._connection is not None and self._connection.ended:
            await self._close()
        if self._connection is None:
            options = self._options
            async with asyncio.timeout(CONNECT_TIMEOUT):
                self._connection = await TlsClient.connect(
                    options.host,
                    options.port,
                    self._context,
                    self._source,
                    keep_answers=options.acknowledge,
                )
            self._totals.connections += 1
            if options.acknowledge and self._connection.protocol != ACKNOWLEDGED:
                raise ConnectionError(f"the hub does not acknowledge: it knows no {ACKNOWLEDGED}")
        return self._connection

    async def _hear(self, connection: TlsClient, count: int) -> None:
        """Read the answers to ``count`` objects."""
        for _ in range(count):
            line = await connection.answers.readline()
            if not line:
                raise connection.failure or ConnectionError("the hub ended the connection")
            if line.startswith(b'{"ok":true'):
                self._totals.acknowledged += 1
            else:
                self._totals.refused += 1
                self._totals.last_refusal = line.decode("utf-8", "replace").strip()

    async def _close(self) -> None:
        """Close the connection and hear what the hub had against it, if anything."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        await connection.close(wait=True)
        # With TLS 1.3 a client learns only after the handshake that its certificate is refused.
        if connection.failure is not None:
            self._failed(connection.failure)
            self._changed()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.drop()

    def _failed(self, error: OSError | UnicodeError) -> None:
        self._totals.failures += 1
        self._totals.last_failure = reason_of(error)
