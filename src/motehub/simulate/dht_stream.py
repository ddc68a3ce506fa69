"""Simulated ESP32 boards with a DHT11 that speak the TLS text stream.

They connect over real TLS and keep the firmware's habits: batches without a newline, an abrupt
end, no resend, a clock that may count from 0. ``docs/protocols`` describes the stream.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from motehub.errors import CertificateError, OwnerError
from motehub.simulate.tls_client import TlsClient
from motehub.simulate.weather import Room

SENSOR_FAILED: Final = "[ERROR] Failed to read from DHT11 sensor!|"

CONNECT_TIMEOUT: Final = 15.0
"""Seconds for TCP and TLS handshake together."""

SEND_TIMEOUT: Final = 60.0
"""Seconds after which a batch that the hub doesn't take is given up."""

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds between attempts while the hub is away: doubled from the first to the longest."""

HEAD_START: Final = 365 * 86_400
"""How far in the past the clock of a fast device starts when its run has no end, in seconds."""

SHORTEST_BATCH: Final = 0.01
"""Least time between two batches of a device, in seconds."""

LARGEST_BATCH: Final = 1_000_000
"""Readings that one batch may be asked to hold."""


class DhtOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How many devices, how fast, and how badly they behave.

    ``ca`` ``None`` means no check of the server's certificate. ``rate`` is in readings per
    second and device. Above 1 the devices' clocks run ahead of time, from a start in the past,
    because the stream's time has whole seconds and no two readings share one. ``duration`` is
    in seconds, ``None`` for no end. ``errors`` is the probability that a measurement fails and
    is reported as such; ``truncate`` that a batch breaks off inside a record; ``abrupt`` that
    a connection ends without close_notify. ``idle_seconds`` pass between handshake and batch.
    Device n uses address n of ``source_addresses``, from the start again when they run out.
    ``start`` (seconds since 1970) is the first reading's time where the clock runs ahead.
    The same ``seed`` makes the same weather.
    """

    host: str
    port: int = 8090
    ca: Path | None = None
    devices: int = 1
    rate: float = 0.5
    batch_seconds: float = 20.0
    idle_seconds: float = 0.0
    keep_open: bool = False
    no_clock: bool = False
    duration: float | None = None
    truncate: float = 0.0
    errors: float = 0.0
    abrupt: float = 0.5
    source_addresses: tuple[str, ...] = ()
    start: int | None = None
    seed: int | None = None


@dataclass(slots=True)
class Totals:
    """What all devices did so far.

    ``records`` counts complete records that were handed over, ``diagnostics`` those of them
    that report an error; ``batches`` the batches, broken-off ones included; ``lost`` the
    records that were measured and never handed over. ``last_failure`` says why the last of
    the ``failures`` happened.
    """

    records: int = 0
    diagnostics: int = 0
    batches: int = 0
    connections: int = 0
    failures: int = 0
    lost: int = 0
    last_failure: str = ""


Progress = Callable[[Totals], None]


async def run(options: DhtOptions, progress: Progress | None = None) -> Totals:
    """Run the devices until ``options.duration`` is over, or for ever, and return the totals.

    ``progress`` hears a copy of the totals after every batch and every failure. A hub that is
    away is no error here: devices keep trying.

    Raises:
        OwnerError: an option is out of range, or a source address is not of this machine.
        CertificateError: the file ``ca`` is missing or holds no certificate.

    """
    _check(options)
    context = _client_context(options.ca)
    totals = Totals()

    def changed() -> None:
        if progress is not None:
            progress(replace(totals))

    async with asyncio.TaskGroup() as group:
        for number in range(options.devices):
            group.create_task(_Device(options, number, context, totals, changed).run())
    return totals


def _check(options: DhtOptions) -> None:
    if options.devices < 1:
        raise OwnerError(f"{options.devices} devices can't be simulated: give 1 or more.")
    if not 0 < options.rate < float("inf"):
        raise OwnerError(f"rate = {options.rate} is out of range: give more than 0 per second.")
    if not SHORTEST_BATCH <= options.batch_seconds < float("inf"):
        raise OwnerError(
            f"batch_seconds = {options.batch_seconds} is out of range: {SHORTEST_BATCH} or more."
        )
    for name in ("truncate", "errors", "abrupt"):
        if not 0 <= getattr(options, name) <= 1:
            raise OwnerError(f"{name} = {getattr(options, name)} is no probability from 0 to 1.")
    if options.duration is not None and not 0 <= options.duration < float("inf"):
        raise OwnerError(f"duration = {options.duration} is out of range: give 0 or more seconds.")
    if options.rate * options.batch_seconds > LARGEST_BATCH:
        raise OwnerError(
            f"A batch would hold more than {LARGEST_BATCH:,} readings: "
            "lower the rate, or send batches more often."
        )
    for address in options.source_addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with closing(socket.socket(family)) as probe:
            try:
                probe.bind((address, 0))
            except OSError as error:
                raise OwnerError(
                    f"Devices can't connect from {address}: it is no address of this machine."
                ) from error


def _client_context(ca: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # As the firmware's TLS library. With 1.3 a server also writes after the handshake, to a
    # device that may be gone by then.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    if ca is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    # A device may pin the server's own certificate in place of a CA.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as error:
        raise CertificateError(f"{ca} holds no certificate in PEM form.") from error
    except OSError as error:
        raise CertificateError(f"Can't read the certificate {ca}: {error.strerror}.") from error
    return context


class _Firmware:
    """What the sketch does between its connections: measure, stamp, collect."""

    def __init__(self, options: DhtOptions, rng: random.Random) -> None:
        self._rate = options.rate
        self._errors = options.errors
        self._rng = rng
        self._room = Room(rng)
        self._booted = time.time()
        self._runs_ahead = options.rate > 1
        # The buffer holds a batch, and what piles up while that is on its way.
        self._buffer = 2 * max(1, round(options.rate * options.batch_seconds)) + 1
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
        addresses = options.source_addresses
        self._source = addresses[number % len(addresses)] if addresses else None
        seed = None if options.seed is None else f"{options.seed} {number}"
        self._rng = random.Random(seed)  # noqa: S311 - weather, not a secret
        self._firmware = _Firmware(options, self._rng)

    async def run(self) -> None:
        began = time.monotonic()
        end = float("inf") if self._options.duration is None else self._options.duration
        # Boards were not all switched on in the same second.
        due = self._rng.random() * self._options.batch_seconds
        pause = FIRST_PAUSE
        try:
            while (elapsed := time.monotonic() - began) < end:
                await asyncio.sleep(min(due, end) - elapsed)
                now = time.monotonic() - began
                if await self._send_batch(min(now, end)):
                    pause = FIRST_PAUSE
                    due = max(due + self._options.batch_seconds, now)
                else:
                    wait = pause * self._rng.uniform(0.75, 1.25)
                    due = max(due + self._options.batch_seconds, now + wait)
                    pause = min(2 * pause, LONGEST_PAUSE)
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
            totals.last_failure = _reason(error)
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


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "that is no host name"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate was not accepted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "the hub did not answer in time"
    return error.strerror or str(error)
