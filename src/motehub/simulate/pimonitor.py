"""Simulated Raspberry Pis with a DHT22 that post to the hub; ``docs/protocols/pimonitor.md``.

Each post is a request of its own, as of the program that cron starts, and none is sent again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from motehub.errors import OwnerError
from motehub.simulate.fleet import CONNECT_TIMEOUT, FleetOptions, FleetTotals, send_batches
from motehub.simulate.tls_client import reason_of
from motehub.simulate.weather import Room

_STAMP: Final = "%m/%d/%Y %H:%M:%S"


class PimonitorOptions(FleetOptions, frozen=True, kw_only=True):
    """What the posts say beyond :class:`FleetOptions`: a post every ``batch_seconds``.

    Pi n is at number n of ``locations``; its clock shows UTC. ``key`` is the token that all know.
    """

    port: int = 8080
    locations: tuple[str, ...]
    key: str | None = None

    def check(self) -> None:
        """Look at the options before anything connects.

        Raises:
            OwnerError: one is out of range, or a source address is not of this machine.
        """
        FleetOptions.check(self)
        if len(self.locations) != self.devices:
            raise OwnerError(f"{self.devices} Pis need as many locations.")


@dataclass(slots=True)
class Totals(FleetTotals):
    """What all Pis did so far: ``refused`` counts posts that the hub has not taken."""

    refused: int = 0


Progress = Callable[[Totals], None]


async def run(options: PimonitorOptions, progress: Progress | None = None) -> Totals:
    """Run the Pis until ``options.duration`` is over, or for ever, and return the totals.

    ``progress`` hears a copy of the totals after every post. A hub that is away is no error here.

    Raises:
        OwnerError: an option is out of range, or a source address is not of this machine.
    """
    options.check()
    totals = Totals()

    def changed() -> None:
        if progress is not None:
            progress(replace(totals))

    async with asyncio.TaskGroup() as group:
        for number in range(options.devices):
            group.create_task(_Pi(options, number, totals, changed).run())
    return totals


class _Pi:
    def __init__(
        self,
        options: PimonitorOptions,
        number: int,
        totals: Totals,
        changed: Callable[[], None],
    ) -> None:
        self._options = options
        self._location = options.locations[number]
        self._rng = options.rng_of(number)
        self._room = Room(self._rng)
        self._totals = totals
        self._changed = changed

    async def run(self) -> None:
        await send_batches(self._options, self._rng, self._send)

    async def _send(self, _: float) -> bool:
        """Measure and post; what does not get through is lost."""
        totals = self._totals
        try:
            status = await asyncio.to_thread(self._post, self._measure(time.time()))
        except OSError as error:
            totals.failures += 1
            totals.lost += 1
            totals.last_failure = reason_of(error)
        else:
            totals.batches += 1
            totals.connections += 1
            totals.refused += status != 200
        self._changed()
        # Cron comes again at its time, whatever has become of the last post.
        return True

    def _measure(self, stamp: float) -> bytes:
        humidity, celsius = self._room.measure(stamp)
        post: dict[str, object] = {
            "location": self._location,
            "timestamp": datetime.fromtimestamp(stamp, UTC).strftime(_STAMP),
            "sensors": [
                {
                    "sensorType": "DHT22",
                    "temperature": round(celsius * 1.8 + 32, 2),
                    "humidity": humidity,
                }
            ],
        }
        if self._options.key is not None:
            post["api_hash"] = hashlib.sha256(self._options.key.encode()).hexdigest()
        return json.dumps(post).encode("ascii")

    def _post(self, body: bytes) -> int:
        options = self._options
        host = f"[{options.host}]" if ":" in options.host else options.host
        request = urllib.request.Request(
            f"http://{host}:{options.port}/", body, {"Content-type": "application/json"}
        )
        try:
            with _opener.open(request, timeout=CONNECT_TIMEOUT) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code


# Without the proxies of the environment: the hub is near.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
