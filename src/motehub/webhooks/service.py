"""The consumer that fills the outbox and the threads that empty it, as one thing to run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Final, Protocol

from motehub.contracts import LogReader
from motehub.core.consumer import Consumer
from motehub.errors import StorageError
from motehub.http_client import place_of
from motehub.model import MICROSECONDS
from motehub.webhooks.courier import Courier
from motehub.webhooks.dashboard import DashboardCouriers
from motehub.webhooks.effects import TellDashboard, TellEndpoints
from motehub.webhooks.endpoints import BASE, Dashboard, Endpoint, Plan
from motehub.webhooks.outbox import BASE_FILE_NAME, FILE_NAME, Outbox

TOLD_OF: Final = 86_400 * MICROSECONDS
"""How long it is told that something did not arrive (µs), though nothing waits any more."""

_REPORT_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 1.0
_LONGEST_REST: Final = 0.05
_STOP_SECONDS: Final = 2.0
_COUNT_SECONDS: Final = 0.5


class Hub(Protocol):
    """How the hub is heard: :class:`motehub.following.Hub`, or the same within one process."""

    lives: bool

    def pause(self, seconds: float) -> None:
        """Wait for so long, or until the hub is gone."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait for at most so long; tell whether there is news, or the hub is gone."""
        ...

    def news(self) -> list[tuple[int, bytes]] | None:
        """Return the frames of which it told since; None when the journal has to be read."""
        ...


Undelivered = list[tuple[str, str, str]]
"""What does not arrive: of which kind it is, its name, and why."""

Tell = Callable[[int, dict[str, int], str | None, Undelivered], None]
"""Reports position, counts, what keeps the consumer from going on, and what does not arrive."""


def clock() -> int:
    """Return the present time in UTC microseconds since 1970."""
    return time.time_ns() // 1000


class WebhookService:
    """Follows the journal of ``folder`` and sends what ``plan`` says, until the hub is gone.

    ``journal`` is the mark of the journal that ``reader`` reads.

    Raises:
        StorageError: the outbox can't be opened.
        ConfigurationError: a certificate file can't be used.
    """

    def __init__(self, folder: Path, plan: Plan, reader: LogReader, journal: str) -> None:
        name = FILE_NAME if plan.dashboard is None else BASE_FILE_NAME
        self._outbox = Outbox(folder / name)
        self._effect: TellEndpoints | TellDashboard
        self._start: Callable[[], None]
        self._wake: Callable[[], None]
        self._stop: Callable[[], None]
        self._count_more: Callable[[], dict[str, int]] = dict
        if plan.dashboard is None:
            self._prepare_endpoints(plan.endpoints, reader, journal)
        else:
            self._prepare_dashboard(plan.dashboard, reader, journal)
        self._counts: dict[str, int] = {}
        self._undelivered: Undelivered = []
        self._counted = 0.0
        self.consumer = Consumer("webhooks", reader, self._effect, may_miss=True)

    def _prepare_endpoints(
        self, endpoints: Sequence[Endpoint], reader: LogReader, journal: str
    ) -> None:
        outbox = self._outbox
        numbers = outbox.register(
            (one.name, place_of(one.url).shown, "pusher" if one.app_key else "standard")
            for one in endpoints
        )
        couriers = [Courier(outbox, numbers[one.name], one, clock) for one in endpoints]
        self._effect = TellEndpoints(outbox, reader, journal, clock, endpoints, numbers)
        self._threads: Sequence[Thread] = couriers
        self._start = lambda: _each(one.start for one in couriers)
        self._wake = lambda: _each(one.wake for one in couriers)
        self._stop = lambda: _each(one.stop for one in couriers)

    def _prepare_dashboard(self, dashboard: Dashboard, reader: LogReader, journal: str) -> None:
        outbox = self._outbox
        number = outbox.register([(BASE, place_of(dashboard.url).shown, BASE)])[BASE]
        couriers = DashboardCouriers(outbox, number, dashboard, journal, clock)
        effect = self._effect = TellDashboard(
            outbox, reader, journal, clock, dashboard, number, couriers.throttle.arrived
        )
        self._threads = couriers.threads
        self._start, self._stop = couriers.start, couriers.stop
        self._count_more = couriers.counts
        self._wake = lambda: couriers.wake(effect.take_lanes())

    def run(self, hub: Hub, tell: Tell) -> bool:
        """Follow and deliver; tell at the end whether all was taken over from the journal."""
        self._start()
        try:
            return self._follow(hub, tell)
        finally:
            self._stop()
            deadline = time.monotonic() + _STOP_SECONDS
            for thread in self._threads:
                thread.join(max(0.0, deadline - time.monotonic()))
            self._outbox.close()

    def _follow(self, hub: Hub, tell: Tell) -> bool:
        consumer = self.consumer
        reported = 0.0

        def report(seconds: float = _REPORT_SECONDS) -> None:
            nonlocal reported
            if time.monotonic() - reported >= seconds:
                reported = time.monotonic()
                counts = self._count()
                tell(consumer.position, counts, consumer.trouble, self._undelivered)

        def after_bite() -> None:
            # Where a bite takes longer than the next one needs to come, there is no end of them.
            self._wake()
            report()

        woken = False
        while all(one.is_alive() for one in self._threads):
            began = time.process_time()
            told = hub.news() if woken else None
            done = consumer.catch_up(after_bite=after_bite, look=not woken, told=told)
            self._wake()
            if not hub.lives:
                report(0)
                return done
            if done:
                # Under load it rests as long as it works: what comes meanwhile goes in one bite.
                hub.pause(min(time.process_time() - began, _LONGEST_REST))
                woken = hub.wait(_REPORT_SECONDS)
                if not woken:
                    report(0)
                    woken = hub.wait(_LOOK_SECONDS)
            else:
                report(0)
                hub.pause(consumer.pause)
                woken = False
        return False

    def _count(self) -> dict[str, int]:
        """Return what was done so far, as it was a moment ago."""
        if time.monotonic() - self._counted >= _COUNT_SECONDS:
            self._counted = time.monotonic()
            with suppress(StorageError):
                self._counts = {**self._outbox.counts(), "missed": self._effect.missed}
                self._undelivered = self._outbox.undelivered(clock() - TOLD_OF)
        return self._counts | self._count_more()


def _each(calls: Iterable[Callable[[], None]]) -> None:
    for call in calls:
        call()
