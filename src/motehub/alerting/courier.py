"""Takes what people are told to one channel, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from motehub.alerting.book import AlertBook
from motehub.alerting.mail import NotDelivered
from motehub.alerting.outbox import Waiting
from motehub.alerting.wording import Told
from motehub.errors import StorageError
from motehub.logs import Logger, OccasionalLogger
from motehub.model import MICROSECONDS
from motehub.webhooks.gate import Gate

TOGETHER: Final = 500
"""Alerts of which one message tells at most."""

GATHER_SECONDS: Final = 0.2
"""How long after the first alert others may come that go out with it."""

GIVE_UP_SECONDS: Final = 3 * 86_400
"""How old a message may be that does not arrive; then it is given up."""

HANGS_SECONDS: Final = 600.0
"""How long one message may take; nobody waits longer for a server or a plug-in."""

_LOOK_SECONDS: Final = 1.0
_FORGET_SECONDS: Final = 60.0
_HOUR: Final = 3_600.0
_FIRST_REST: Final = 5.0
_LONGEST_REST: Final = 3_600.0

_decode = msgspec.json.Decoder(Told).decode
_logger = Logger("motehub.alerts")
_occasional = OccasionalLogger(_logger)


class Send(Protocol):
    """Sends one message that tells of all this, under ``key``; returns a trouble, "" for none.

    Raises:
        NotDelivered: it has not arrived.
    """

    def __call__(self, told: list[Told], key: str, now: int) -> str:
        """Send it."""
        ...


class Allowance:
    """At most ``rate`` messages in an hour, of which as many at once as come in ten minutes."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._most = max(1.0, rate / 6)
        self._left = self._most
        self._counted = clock()

    def wait(self) -> float:
        """Return in how many seconds a message may go out."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._counted) * self._rate / _HOUR)
        self._counted = now
        return 0.0 if self._left >= 1 else (1 - self._left) * _HOUR / self._rate

    def take(self) -> None:
        """Note that one goes out."""
        self._left -= 1


class Courier(threading.Thread):
    """Delivers until it is stopped; ``clock`` returns UTC microseconds.

    ``aging`` returns those by which messages are old, where these may be others.

    What can't go out now is told later in one message, however many alerts that are. One that is
    refused waits by itself, and is halved, so that what it is refused for holds up nothing else.
    """

    def __init__(
        self,
        book: AlertBook,
        channel: str,
        send: Send,
        clock: Callable[[], int],
        rate: float,
        aging: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(name=f"alerts {channel}", daemon=True)
        self._book = book
        self._channel = channel
        self._send = send
        self._clock = clock
        self._rate = rate
        self._aging = aging or clock
        self._under_way: tuple[float, list[Waiting]] | None = None
        self._gate = Gate()
        self._allowance = Allowance(rate)
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._forgotten = 0.0

    def wake(self) -> None:
        """Say that there may be a message."""
        self._woken.set()

    def stop(self) -> None:
        """Begin no more; what is under way is finished or sent again at the next start."""
        self._stopping.set()
        self._woken.set()

    @property
    def hangs(self) -> bool:
        """Whether what is under way has taken so long that it may never end."""
        under_way = self._under_way
        return under_way is not None and time.monotonic() - under_way[0] > HANGS_SECONDS

    def replaced(self) -> Courier:
        """Leave a thread that hangs to itself, and return who does its work from now on.

        Raises:
            StorageError: what hangs can't be put off now.
        """
        if (under_way := self._under_way) is not None:
            reason = f"no answer within {HANGS_SECONDS / 60:g} min"
            self._note_failure(under_way[1], NotDelivered(reason, about_all=False))
        self.stop()
        return Courier(self._book, self._channel, self._send, self._clock, self._rate, self._aging)

    def run(self) -> None:
        """Deliver."""
        while not self._stopping.is_set():
            try:
                self._deliver_next()
            except StorageError as error:
                self._gate.leave()
                _occasional.warning("messages about alerts wait", reason=str(error))
                self._stopping.wait(_LOOK_SECONDS)

    def _deliver_next(self) -> None:
        self._forget()
        if not self._gate.enter(_LOOK_SECONDS):
            return
        batch = self._next()
        if batch is None:
            self._gate.leave()
            return
        self._under_way = time.monotonic(), batch
        try:
            self._deliver(batch)
        finally:
            self._under_way = None

    def _next(self) -> list[Waiting] | None:
        """Return what goes out now, or None after a while."""
        if (wait := self._allowance.wait()) > 0:
            self._stopping.wait(min(wait, _LOOK_SECONDS))
            return None
        waiting = self._book.waits(self._channel)
        now = self._clock()
        if waiting is None or waiting > now:
            seconds = _LOOK_SECONDS
            if waiting is not None:
                seconds = min(seconds, (waiting - now) / MICROSECONDS)
            self._woken.wait(max(0.0, seconds))
            self._woken.clear()
            return None
        if self._stopping.wait(GATHER_SECONDS):
            return None
        return self._book.next_batch(self._channel, self._clock(), TOGETHER) or None

    def _deliver(self, batch: list[Waiting]) -> None:
        key, now = batch[0].batch, self._clock()
        try:
            trouble = self._send([_decode(one.body) for one in batch], key, now)
        except NotDelivered as error:
            self._note_failure(batch, error)
            return
        except Exception as error:
            # A fault of ours: the others are told all the same, and the owner sees this one.
            self._note_failure(batch, NotDelivered(f"fault: {error!r}", about_all=False))
            return
        self._allowance.take()
        self._gate.succeeded()
        self._book.delivered(self._channel, key, self._clock(), trouble or None)

    def _note_failure(self, batch: list[Waiting], error: NotDelivered) -> None:
        now = self._clock()
        # Whoever has waited for so long knows by other means, or never will.
        give_up = self._aging() - batch[0].created > GIVE_UP_SECONDS * MICROSECONDS
        due: int | None = None
        if error.about_all and not error.forever:
            self._gate.failed()
        else:
            # Others may pass: this one waits by itself.
            self._gate.succeeded()
            rest = min(_LONGEST_REST, _FIRST_REST * 2.0 ** min(batch[0].attempts, 10))
            due = now + round(rest * MICROSECONDS)
        _occasional.warning(
            "alert not told",
            channel=self._channel,
            reason=str(error),
            attempt=batch[0].attempts + 1,
        )
        if give_up:
            _logger.error("alerts never told", channel=self._channel, count=len(batch))
        key = batch[0].batch
        self._book.failed(self._channel, key, now, str(error), give_up=give_up, due=due)

    def _forget(self) -> None:
        now = time.monotonic()
        if now - self._forgotten >= _FORGET_SECONDS:
            self._forgotten = now
            self._book.forget()
