"""Simulated ESP32 boards with a DHT11 that speak the TLS text stream.

They connect over real TLS and keep the firmware's habits: batches without a newline, an abrupt
end, no resend, a clock that may count from 0. ``docs/protocols`` describes the stream.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

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

SENSOR_FAILED: Final = "[ERROR] Failed to read from DHT11 sensor!|"

HEAD_START: Final = 365 * 86_400
"""How far in the past the clock of a fast device starts when its run has no end, in seconds."""


class DhtOptions(FleetOptions, frozen=True, kw_only=True):
    """What boards do beyond :class:`FleetOptions`, and how badly they behave.

    Above a ``rate`` of 1 the devices' clocks run ahead of time, from a start in the past,
    because the stream's time has whole seconds and no two readings share one. ``errors`` is the
    probability that a measurement fails and is reported as such; ``truncate`` that a batch
    breaks off inside a record; ``abrupt`` that a connection ends without close_notify.
    ``idle_seconds`` pass between handshake and batch. ``start`` (seconds since 1970) is the
    first reading's time where the clock runs ahead.
    """

    port: int = 8090
    idle_seconds: float = 0.0
    keep_open: bool = False
    no_clock: bool = False
    truncate: float = 0.0
    errors: float = 0.0
    abrupt: float = 0.5
    start: int | None = None

    def check(self) -> None:
        """Look at the options before anything connects.

        Raises:
            OwnerError: one is out of range, or a source address is not of this machine.
        """
        FleetOptions.check(self)
        for name in ("truncate", "errors", "abrupt"):
            if not 0 <= getattr(self, name) <= 1:
                raise OwnerError(f"{name} = {getattr(self, name)} is no probability from 0 to 1.")


@dataclass(slots=True)
class Totals(FleetTotals):
    """What all devices did so far.

    ``records`` counts complete records that were handed over, ``diagnostics`` those of them
    that report an error.
    """

    records: int = 0
    diagnostics: int = 0


Progress = Callable[[Totals], None]


async def run(options: DhtOptions, progress: Progress | None = None) -> Totals:
    """Run the devices until ``options.duration`` is over, or for ever, and return the totals.

    ``progress`` hears a copy of the totals after every batch and every failure. A hub that is
    away is no error here: devices keep trying.

    Raises:
        OwnerError: an option is out of range, or a source address is not of this machine.
        CertificateError: the file ``ca`` is missing or holds no certificate.

    """
    options.check()
    context = client_context(options.ca)
    # As the firmware's TLS library. With 1.3 a server also writes after the handshake, to a
    # device that may be gone by then.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    totals = Totals()

    def changed() -> None:
        if progress is not None:
            progress(replace(totals))

    async with asyncio.TaskGroup() as group:
        for number in range(options.devices):
            group.create_task(_Device(options, number, context, totals, changed).run())
    return totals


class _Firmware:
    """What the sketch does between its connections: measure, stamp, collect."""

    def __init__(self, options: DhtOptions, rng: random.Random) -> None:
        self._rate = options.rate
        self._errors = options.errors
        self._rng = rng
        self._room = Room(rng)
        self._booted = time.time()
        self._runs_ahead = options.rate > 1
        self._buffer = options.buffer
        self._measured = 0
        if options.no_clock:
            self._first = 0.0
        elif not self._runs_ahead:
            self._first = self._booted
        elif options.start is not None:
            self._first = float(options.start)
        else:
            length = HEAD_START if options.duration is None else options.duration * options.rate
            self._first = float(int(self._booted - length) - 1)
        self._stamp = int(self._first) - 1
        self._limit_to_now = self._runs_ahead and not options.no_clock

    def take(self, elapsed: float) -> tuple[list[str], int]:
        """Return the records measured until ``elapsed`` seconds after boot, and how many got lost.

        A record is lost when the buffer is too small for all that was measured.
        """
        due = int(elapsed * self._rate) + 1 - self._measured
        if self._limit_to_now:
            # A clock that has caught up with the present goes on at the pace of the present.
            due = min(due, int(self._booted + elapsed) - self._stamp)
        lost = max(0, due - self._buffer)
        self._measured += lost
        return [self._measure() for _ in range(due - lost)], lost

    def _measure(self) -> str:
        planned = self._first + self._measured / (1 if self._runs_ahead else self._rate)
        self._stamp = max(int(planned), self._stamp + 1)
        self._measured += 1
        if self._rng.random() < self._errors:
            return SENSOR_FAILED
        humidity, celsius = self._room.measure(self._stamp)
        return format_record(self._stamp, humidity, celsius)


def format_record(stamp: int, humidity: float, celsius: float) -> str:
    """Return a reading as the firmware's C++ stream prints it: floats with 6 significant digits.

    ``stamp`` is in seconds, ``humidity`` in %, ``celsius`` in °C; °F is derived.
    """
    return f"[{stamp}],{humidity:.6g},{celsius:.6g},{celsius * 1.8 + 32:.6g}|"


class _Device:
    """One board: collects for a while, connects, writes its batch, closes; again and again."""

    def __init__(
        self,
        options: DhtOptions,
        number: int,
        context: ssl.SSLContext,
        totals: Totals,
        changed: Callable[[], None],
    ) -> None:
        self._options = options
        self._context = context
        self._totals = totals
        self._changed = changed
        self._connection: TlsClient | None = None
        self._source = options.source_of(number)
        self._rng = options.rng_of(number)
        self._firmware = _Firmware(options, self._rng)

    async def run(self) -> None:
        try:
            await send_batches(self._options, self._rng, self._send_batch)
        finally:
            await self._end(abrupt=True)

    async def _send_batch(self, elapsed: float) -> bool:
        """Send what was measured until ``elapsed``; whatever doesn't get through is lost."""
        totals = self._totals
        records, lost = self._firmware.take(elapsed)
        totals.lost += lost
        if not records:
            return True
        broken = self._rng.random() < self._options.truncate
        payload = self._cut(records) if broken else "".join(records)
        try:
            connection = await self._connected()
            async with asyncio.timeout(SEND_TIMEOUT):
                await connection.send(payload.encode("ascii"))
        except (OSError, UnicodeError) as error:
            totals.failures += 1
            totals.lost += len(records)
            totals.last_failure = reason_of(error)
            await self._end(abrupt=True)
            self._changed()
            return False
        complete = payload.count("|")
        totals.batches += 1
        totals.records += complete
        totals.lost += len(records) - complete
        totals.diagnostics += payload.count(SENSOR_FAILED)
        if broken or not self._options.keep_open:
            await self._end(abrupt=broken or self._rng.random() < self._options.abrupt)
        self._changed()
        return True

    async def _connected(self) -> TlsClient:
        """Return the connection that is open, or a new one."""
        if self._connection is not None and self._connection.ended:
            await self._end(abrupt=True)
        if self._connection is None:
            options = self._options
            async with asyncio.timeout(CONNECT_TIMEOUT):
                self._connection = await TlsClient.connect(
                    options.host, options.port, self._context, self._source
                )
            self._totals.connections += 1
            await asyncio.sleep(options.idle_seconds)
        return self._connection

    async def _end(self, *, abrupt: bool) -> None:
        """Close the connection, if one is open; ``abrupt`` is without a goodbye."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if abrupt:
            await connection.drop()
        else:
            await connection.close()

    def _cut(self, records: list[str]) -> str:
        """Return the batch broken off inside one of its records."""
        broken = self._rng.randrange(len(records))
        inside = self._rng.randrange(1, len(records[broken]))
        return "".join(records[:broken]) + records[broken][:inside]
