"""Takes the messages of one endpoint to it, in a thread of its own."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from motehub import __version__
from motehub.errors import StorageError
from motehub.http_client import Answer, HttpClient, NoAnswer, place_of, tls_context
from motehub.logs import Logger, OccasionalLogger
from motehub.model import MICROSECONDS
from motehub.webhooks import signing
from motehub.webhooks.endpoints import Endpoint
from motehub.webhooks.gate import LONGEST_ASKED, Gate
from motehub.webhooks.messages import TEST
from motehub.webhooks.outbox import Attempt, Message, Outbox

AGENT: Final = f"motehub/{__version__}"
"""What the header User-Agent says."""

KEPT: Final = 10_000
"""Messages that are over which an endpoint has at most, delivered and given up."""

# How often an idle courier looks whether another process wants something sent again.
_LOOK_SECONDS: Final = 1.0
_FORGET_SECONDS: Final = 30.0
_STORAGE_SECONDS: Final = 1.0
_EXCERPT: Final = 200
# After so many failures in a row the endpoint was away, and not only one message bad.
_AWAY: Final = 3
_GONE: Final = 410

_logger = Logger("motehub.webhooks")
_occasional = OccasionalLogger(_logger)


class _Problem(msgspec.Struct):
    detail: str


class Courier(threading.Thread):
    """Delivers until it is stopped; ``clock`` returns UTC microseconds.

    A message that fails is due again after the times of the endpoint's schedule; meanwhile others
    go on. When everything fails the endpoint is asked less and less often, up to once a minute.
    """

    def __init__(
        self, outbox: Outbox, number: int, endpoint: Endpoint, clock: Callable[[], int]
    ) -> None:
        super().__init__(name=f"webhook {endpoint.name}", daemon=True)
        self._outbox = outbox
        self._number = number
        self._endpoint = endpoint
        self._clock = clock
        self._gate = Gate()
        self._woken = threading.Event()
        self._is_stopping = False
        place = place_of(endpoint.url)
        self._target = place.target
        tls = tls_context(endpoint.ca) if place.is_https else None
        self._client = HttpClient(place, tls)
        # The application's own secret is no key of Standard Webhooks.
        self._keys = [] if endpoint.app_key else [signing.key_of(one) for one in endpoint.secrets]
        self._forgotten = 0.0

    def wake(self) -> None:
        """Say that there may be a message."""
        self._woken.set()

    def stop(self) -> None:
        """Begin no more; what is under way is finished or sent again at the next start."""
        self._is_stopping = True
        self._woken.set()

    def run(self) -> None:
        """Deliver."""
        while not self._is_stopping:
            try:
                self._deliver_next()
            except StorageError as error:
                self._gate.leave()
                _occasional.warning("webhooks wait for the outbox", reason=str(error))
                self._rest(_STORAGE_SECONDS)
        self._client.close()

    def _deliver_next(self) -> None:
        self._forget()
        if not self._gate.enter(_LOOK_SECONDS):
            # Who has mended the receiver does not want to wait for it to be asked again.
            if test := self._outbox.waiting_test(self._number):
                self._deliver(test)
            return
        found = self._outbox.next_due(self._number, self._clock())
        if not isinstance(found, Message):
            self._gate.leave()
            wait = _LOOK_SECONDS
            if found is not None:
                wait = min(wait, (found - self._clock()) / MICROSECONDS)
            self._rest(wait)
            return
        self._deliver(found)

    def _deliver(self, message: Message) -> None:
        began = time.monotonic()
        answer = self._send(message)
        milliseconds = round((time.monotonic() - began) * 1000)
        if isinstance(answer, Answer):
            outcome = "delivered" if answer.is_success else with_excerpt(answer)
            attempt = Attempt(self._clock(), answer.status, outcome, milliseconds)
        else:
            attempt = Attempt(self._clock(), None, answer.reason, milliseconds)
        if isinstance(answer, Answer) and answer.is_success:
            self._outbox.delivered(self._number, message, attempt)
            was_away = self._gate.succeeded() >= _AWAY
            if was_away:
                _logger.info("webhook endpoint is back", endpoint=self._endpoint.name)
            if was_away or message.type == TEST:
                self._outbox.hasten(self._number, self._clock())
        else:
            self._note_failure(message, answer, attempt)

    def _note_failure(self, message: Message, answer: Answer | NoAnswer, attempt: Attempt) -> None:
        due = self._next_due(message, answer)
        self._gate.failed(retry_after(answer, time.time()))
        _occasional.warning(
            "webhook not delivered",
            endpoint=self._endpoint.name,
            reason=attempt.outcome,
            attempt=message.attempts + 1,
        )
        if due is None:
            _logger.error(
                "webhook given up",
                endpoint=self._endpoint.name,
                message=message.key,
                type=message.type,
                reason=attempt.outcome,
            )
        self._outbox.failed(self._number, message, attempt, due)

    def _next_due(self, message: Message, answer: Answer | NoAnswer) -> int | None:
        """Return when the message is tried again (µs); None: it is given up."""
        retries = self._endpoint.retries
        is_gone = isinstance(answer, Answer) and answer.status == _GONE
        if is_gone or message.attempts >= len(retries):
            return None
        # A tenth more or less: what failed together need not come together.
        wait = retries[message.attempts] * random.uniform(0.9, 1.1)  # noqa: S311
        wait = max(wait, retry_after(answer, time.time()) or 0.0)
        return self._clock() + round(wait * MICROSECONDS)

    def _send(self, message: Message) -> Answer | NoAnswer:
        endpoint = self._endpoint
        if endpoint.app_key:
            signed = signing.pusher(endpoint.app_key, endpoint.secrets[0], message.body)
        else:
            seconds = self._clock() // MICROSECONDS
            signed = signing.standard(self._keys, message.key, seconds, message.body)
        headers = [
            ("Content-Type", "application/json"),
            ("User-Agent", AGENT),
            *endpoint.headers.items(),
            *signed,
        ]
        return self._client.request("POST", self._target, headers, message.body, endpoint.timeout)

    def _forget(self) -> None:
        """Delete a part of what has been over for long."""
        now = time.monotonic()
        if now - self._forgotten >= _FORGET_SECONDS:
            self._forgotten = now
            before = self._clock() - round(self._endpoint.keep * MICROSECONDS)
            self._outbox.forget(self._number, before, KEPT)

    def _rest(self, seconds: float) -> None:
        self._woken.wait(max(0.0, seconds))
        self._woken.clear()


def with_excerpt(answer: Answer) -> str:
    """Return an answer in words, with the beginning of what it says."""
    text = _detail(answer) or answer.body[: 4 * _EXCERPT].decode("utf-8", "replace")
    text = " ".join(text.split())[:_EXCERPT]
    return f"{answer.reason}: {text}" if text else answer.reason


def _detail(answer: Answer) -> str | None:
    """Return what an answer says for people, if it has RFC 9457's form."""
    if answer.headers.get("content-type", "").partition(";")[0] != "application/problem+json":
        return None
    try:
        return msgspec.json.decode(answer.body, type=_Problem).detail
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def retry_after(answer: Answer | NoAnswer, now: float) -> float | None:
    """Return the pause in seconds that an answer asks for (RFC 9110 § 10.2.3), if it does.

    ``now`` is in UTC seconds. It is an hour at most: nobody can put a message off for years.
    """
    text = answer.headers.get("retry-after", "") if isinstance(answer, Answer) else ""
    if text.isascii() and text.isdecimal():
        return min(float(text[:9]), LONGEST_ASKED)
    try:
        asked = parsedate_to_datetime(text).timestamp() - now if text else None
    except (ValueError, OverflowError):
        return None
    return None if asked is None else min(max(0.0, asked), LONGEST_ASKED)
