"""Takes the readings of units to a dashboard: one request for each, as base units always did.

``PUT {url}/webhook/update-unit/{unit}/{value}`` with a bearer token and without a body. Two
headers are motehub's own: ``Motehub-Time`` is when the reading was made (UTC µs), so that
another motehub knows one that comes twice; ``Motehub-Hub`` says which hub sends it. With
``Motehub-Refused: unit`` another motehub says that it would take other units' readings.
"""

from __future__ import annotations

import enum
import math
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
from motehub.webhooks.gate import LONGEST_REST, Gate, Throttle
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
_BAD_VALUE: Final = frozenset({400, 413, 414, 422})
# It takes nothing at the moment, whatever the unit.
_CLOSED: Final = frozenset({401, 402, 403, 407, 408, 421, 425, 426, 429})
# A token without rights, or a unit that is blocked.
_FORBIDDEN: Final = 403

_logger = Logger("motehub.webhooks")
_occasional = OccasionalLogger(_logger)


class _Refusal(enum.Enum):
    """What a dashboard does not take."""

    VALUE = "value"
    UNIT = "unit"
    ALL = "all"


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
        self._refused: dict[str, float] = {}
        self._taken_last = -math.inf
        self.threads = [
            threading.Thread(target=self._work, name=f"base {one}", daemon=True)
            for one in range(dashboard.connections)
        ]
        self._forgotten = 0.0

    def counts(self) -> dict[str, int]:
        """Return how many units the dashboard refuses while it takes others."""
        return {"units_refused": len(self._refused)}

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
            self._taken_last = time.monotonic()
            self._note_refusal(message.lane, None)
            if self._gate.succeeded() >= _AWAY:
                _logger.info("the dashboard is back", url=self._place.shown)
                self._lanes.hasten()
        else:
            attempt = Attempt(now, answer.status, with_excerpt(answer), milliseconds)
            self._note_failure(message, answer, attempt)

    def _note_failure(self, message: Message, answer: Answer | NoAnswer, attempt: Attempt) -> None:
        what = self._refusal(answer)
        before = attempt.time - round(self._dashboard.patience * MICROSECONDS)
        is_hopeless = message.created < before and self._is_hopeless(what, message.lane, answer)
        due = None if what is _Refusal.VALUE or is_hopeless else attempt.time
        self._note(partial(self._outbox.failed, self._number, message, attempt, due))
        if is_hopeless:
            end = partial(self._outbox.give_up_lane, self._number, message.lane, before)
            self._note(partial(end, attempt.time))
        event = "reading given up" if due is None else "reading not delivered"
        _occasional.warning(event, unit=message.lane, reason=attempt.outcome)
        if what is _Refusal.ALL:
            self._gate.failed(retry_after(answer, time.time()))
        else:
            self._gate.leave()
            self._note_refusal(message.lane, attempt.outcome if what is _Refusal.UNIT else None)
        if what is _Refusal.VALUE:
            self._lanes.done(message)
        else:
            self._lanes.failed(message)

    def _refusal(self, answer: Answer | NoAnswer) -> _Refusal:
        """Return what is refused; a 403 is for the unit when that is said, or others are taken."""
        if isinstance(answer, NoAnswer) or not 400 <= answer.status < 500:
            return _Refusal.ALL
        if answer.status in _BAD_VALUE:
            return _Refusal.VALUE
        if answer.status == _FORBIDDEN:
            takes_others = time.monotonic() - self._taken_last < LONGEST_REST
            return _Refusal.UNIT if _says_unit(answer) or takes_others else _Refusal.ALL
        return _Refusal.ALL if answer.status in _CLOSED else _Refusal.UNIT

    def _is_hopeless(self, what: _Refusal, lane: str, answer: Answer | NoAnswer) -> bool:
        """Tell whether old readings of a unit are given up, as none is when all are refused."""
        if what is not _Refusal.UNIT or _says_unit(answer):
            return what is _Refusal.UNIT
        if isinstance(answer, Answer) and answer.status == _FORBIDDEN:
            # Not when the token has just lost its rights: others have been taken since.
            return self._taken_last > self._refused.get(lane, math.inf) + LONGEST_REST
        return self._gate.failures == 0

    def _note_refusal(self, lane: str, reason: str | None) -> None:
        """Count the units that are refused, for a ``reason``, and say when one is or is no more."""
        if reason is None:
            if self._refused.pop(lane, None) is not None:
                _logger.info("the dashboard takes the unit again", unit=lane)
        elif lane not in self._refused:
            self._refused[lane] = time.monotonic()
            _logger.warning("the dashboard refuses the unit", unit=lane, reason=reason)

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


def _says_unit(answer: Answer | NoAnswer) -> bool:
    return isinstance(answer, Answer) and answer.headers.get("motehub-refused") == "unit"
