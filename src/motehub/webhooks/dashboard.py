"""Takes the readings of units to a dashboard: one request for each, as base units always did.

``PUT {url}/webhook/update-unit/{unit}/{value}`` with a bearer token and without a body. Two
headers are motehub's own: ``Motehub-Time`` is when the reading was made (UTC µs), so that
another motehub knows one that comes twice; ``Motehub-Hub`` says which hub sends it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final
from urllib.parse import quote

from motehub.errors import StorageError
from motehub.http_client import Answer, HttpClient, NoAnswer, place_of, tls_context
from motehub.logs import Logger, OccasionalLogger
from motehub.model import MICROSECONDS
from motehub.webhooks.courier import AGENT, KEPT, retry_after, with_excerpt
from motehub.webhooks.effects import LATE_SECONDS
from motehub.webhooks.endpoints import Dashboard
from motehub.webhooks.gate import Gate, Throttle
from motehub.webhooks.lanes import Lanes
from motehub.webhooks.outbox import Attempt, Message, Outbox

PATH: Final = "/webhook/update-unit"
TIME_HEADER: Final = "Motehub-Time"
HUB_HEADER: Final = "Motehub-Hub"

_LOOK_SECONDS: Final = 1.0
_FORGET_SECONDS: Final = 60.0
_GIVEN_UP_DAYS: Final = 7
_AWAY: Final = 3
# The dashboard has understood, and will never take this reading.
_REFUSED: Final = frozenset({400, 413, 414, 422})
# It takes nothing at the moment, whatever the unit.
_CLOSED: Final = frozenset({401, 402, 403, 407, 408, 421, 425, 426, 429})

_logger = Logger("motehub.webhooks")
_occasional = OccasionalLogger(_logger)


class DashboardCouriers:
    """Several connections over which readings go, those of one unit in order.

    ``hub`` is what tells this hub from others; ``clock`` returns UTC microseconds.
    """

    def __init__(
        self,
        outbox: Outbox,
        number: int,
        dashboard: Dashboard,
        hub: str,
        clock: Callable[[], int],
    ) -> None:
        self._outbox = outbox
        self._number = number
        self._dashboard = dashboard
        self._clock = clock
        self._place = place_of(dashboard.url)
        self._tls = tls_context(dashboard.ca) if self._place.is_https else None
        self._path = self._place.target.rstrip("/") + PATH
        self._headers = [
            ("Authorization", f"Bearer {dashboard.token}"),
            ("User-Agent", AGENT),
            (HUB_HEADER, hub),
        ]
        self._gate = Gate()
        self._stopping = threading.Event()
        self.throttle = Throttle(dashboard.rate)
        load = partial(outbox.in_lane, number)
        self._lanes = Lanes(load, fresh_only=dashboard.latest_only)
        self.threads = [
            threading.Thread(target=self._work, name=f"base {one}", daemon=True)
            for one in range(dashboard.connections)
        ]
        self._forgotten = 0.0

    def start(self) -> None:
        """Begin to deliver, what waited before too."""
        self._lanes.announce(self._outbox.lanes(self._number))
        for thread in self.threads:
            thread.start()

    def wake(self, lanes: Iterable[str]) -> None:
        """Say that readings of these units wait."""
        self._lanes.announce(lanes)

    def stop(self) -> None:
        """Begin no more; what is under way is finished or sent again at the next start."""
        self._stopping.set()

    def _work(self) -> None:
        client = HttpClient(self._place, self._tls)
        while not self._stopping.is_set():
            if not self._gate.enter(_LOOK_SECONDS):
                continue
            try:
                self._forget()
                message = self._lanes.take(_LOOK_SECONDS)
            except StorageError as error:
                self._gate.leave()
                _occasional.warning("readings wait for the outbox", reason=str(error))
                self._stopping.wait(_LOOK_SECONDS)
                continue
            if message is None:
                self._gate.leave()
            else:
                self._deliver(client, message)
        client.close()

    def _deliver(self, client: HttpClient, message: Message) -> None:
        late = self._clock() - message.created > LATE_SECONDS * MICROSECONDS
        if late and self._stopping.wait(self.throttle.turn()):
            self._gate.leave()
            return
        target = f"{self._path}/{quote(message.lane)}/{quote(message.body, safe='')}"
        headers = [*self._headers, (TIME_HEADER, str(message.created))]
        began = time.monotonic()
        answer = client.request("PUT", target, headers, None, self._dashboard.timeout)
        milliseconds = round((time.monotonic() - began) * 1000)
        now = self._clock()
        if isinstance(answer, NoAnswer):
            self._note_failure(message, answer, Attempt(now, None, answer.reason, milliseconds))
        elif answer.is_success:
            attempt = Attempt(now, answer.status, "delivered", milliseconds)
            self._note(partial(self._outbox.delivered, self._number, message, attempt, keep=False))
            self._lanes.done(message)
            if self._gate.succeeded() >= _AWAY:
                _logger.info("the dashboard is back", url=self._place.shown)
                self._lanes.hasten()
        else:
            attempt = Attempt(now, answer.status, with_excerpt(answer), milliseconds)
            self._note_failure(message, answer, attempt)

    def _note_failure(self, message: Message, answer: Answer | NoAnswer, attempt: Attempt) -> None:
        status = attempt.status
        is_refused = status in _REFUSED
        is_closed = status is None or status < 400 or status >= 500 or status in _CLOSED
        patience = attempt.time - round(self._dashboard.patience * MICROSECONDS)
        # While the dashboard takes nothing at all, nothing is given up.
        is_hopeless = message.created < patience and self._gate.failures == 0
        due = None if is_refused or is_hopeless else attempt.time
        self._note(partial(self._outbox.failed, self._number, message, attempt, due))
        if is_hopeless and not is_refused:
            give_up = partial(
                self._outbox.give_up_lane, self._number, message.lane, patience, attempt.time
            )
            self._note(give_up)
        if due is None:
            _occasional.warning("reading given up", unit=message.lane, reason=attempt.outcome)
        else:
            _occasional.warning("reading not delivered", unit=message.lane, reason=attempt.outcome)
        if is_closed:
            self._gate.failed(retry_after(answer, time.time()))
        else:
            self._gate.leave()
        if is_refused:
            self._lanes.done(message)
        else:
            self._lanes.failed(message)

    def _note(self, note: Callable[[], object]) -> None:
        """Write down what came of an attempt; the lane waits for that, or its order would end."""
        while not self._stopping.is_set():
            try:
                note()
            except StorageError as error:
                _occasional.warning("readings wait for the outbox", reason=str(error))
                self._stopping.wait(_LOOK_SECONDS)
            else:
                return

    def _forget(self) -> None:
        now = time.monotonic()
        if now - self._forgotten >= _FORGET_SECONDS:
            self._forgotten = now
            before = self._clock() - _GIVEN_UP_DAYS * 86_400 * MICROSECONDS
            self._outbox.forget(self._number, before, KEPT)
