"""What simulated devices of all dialects have in common: options, totals, sending by batches."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from motehub.errors import OwnerError

CONNECT_TIMEOUT: Final = 15.0
"""Seconds for TCP and TLS handshake together."""

SEND_TIMEOUT: Final = 60.0
"""Seconds after which a batch that the hub doesn't take is given up."""

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds between attempts while the hub is away: doubled from the first to the longest."""

SHORTEST_BATCH: Final = 0.01
"""Least time between two batches of a device, in seconds."""

LARGEST_BATCH: Final = 1_000_000
"""Records that one batch may be asked to hold."""


class FleetOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How many devices, where they connect and how fast they measure.

    ``ca`` ``None`` means no check of the server's certificate. ``rate`` is in records per second
    and device; they are sent every ``batch_seconds``. ``duration`` is in seconds, ``None`` for no
    end. Device n uses address n of ``source_addresses``, from the start again when they run out.
    The same ``seed`` makes the same weather.
    """

    host: str
    port: int
    ca: Path | None = None
    devices: int = 1
    rate: float = 0.5
    batch_seconds: float = 20.0
    duration: float | None = None
    source_addresses: tuple[str, ...] = ()
    seed: int | None = None

    def check(self) -> None:
        """Look at the options before anything connects.

        Raises:
            OwnerError: one is out of range, or a source address is not of this machine.
        """
        if self.devices < 1:
            raise OwnerError(f"{self.devices} devices can't be simulated: give 1 or more.")
        if not 0 < self.rate < float("inf"):
            raise OwnerError(f"rate = {self.rate} is out of range: give more than 0 per second.")
        if not SHORTEST_BATCH <= self.batch_seconds < float("inf"):
            raise OwnerError(
                f"batch_seconds = {self.batch_seconds} is out of range: {SHORTEST_BATCH} or more."
            )
        if self.duration is not None and not 0 <= self.duration < float("inf"):
            raise OwnerError(f"duration = {self.duration} is out of range: give 0 or more seconds.")
        if self.rate * self.batch_seconds > LARGEST_BATCH:
            raise OwnerError(
                f"A batch would hold more than {LARGEST_BATCH:,} readings: "
                "lower the rate, or send batches more often."
            )
        for address in self.source_addresses:
            _check_address(address)

    def source_of(self, number: int) -> str | None:
        """Return the address from which device ``number`` speaks, or None: any."""
        addresses = self.source_addresses
        return addresses[number % len(addresses)] if addresses else None

    def rng_of(self, number: int) -> random.Random:
        """Return what decides the weather and the whims of device ``number``."""
        seed = None if self.seed is None else f"{self.seed} {number}"
        return random.Random(seed)  # noqa: S311 - weather, not a secret

    @property
    def buffer(self) -> int:
        """How many records a device keeps: a batch, and what piles up while it is on its way."""
        return 2 * max(1, round(self.rate * self.batch_seconds)) + 1


@dataclass(slots=True)
class FleetTotals:
    """What all devices did so far.

    ``batches`` counts those that were sent, broken-off ones included; ``lost`` the records that
    were measured and never handed over. ``last_failure`` says why the last of the ``failures``
    happened.
    """

    batches: int = 0
    connections: int = 0
    failures: int = 0
    lost: int = 0
    last_failure: str = ""


async def send_batches(
    options: FleetOptions, rng: random.Random, send: Callable[[float], Awaitable[bool]]
) -> None:
    """Let one device send until ``options.duration`` is over, or for ever.

    ``send`` sends what was measured until its argument, seconds from now, and tells whether that
    went well; after a failure the next batch waits longer each time.
    """
    began = time.monotonic()
    end = float("inf") if options.duration is None else options.duration
    # Devices were not all switched on in the same second.
    due = rng.random() * options.batch_seconds
    pause = FIRST_PAUSE
    now = 0.0
    # Not until the clock says so: a batch that took long must not cost the last one.
    while now < end:
        await asyncio.sleep(min(due, end) - (time.monotonic() - began))
        now = min(time.monotonic() - began, end)
        if await send(now):
            pause = FIRST_PAUSE
            due = max(due + options.batch_seconds, now)
        else:
            wait = pause * rng.uniform(0.75, 1.25)
            due = max(due + options.batch_seconds, now + wait)
            pause = min(2 * pause, LONGEST_PAUSE)


def _check_address(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with closing(socket.socket(family)) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            raise OwnerError(
                f"Devices can't connect from {address}: it is no address of this machine."
            ) from error
