"""The consumer that judges, the threads that tell people, and the one that tells the hub."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from motehub.alerting.apprise_notifier import Notifier
from motehub.alerting.book import AlertBook
from motehub.alerting.clerk import Clerk, LookUp
from motehub.alerting.courier import Courier, Send
from motehub.alerting.effect import JudgeFrames
from motehub.alerting.letter_book import LetterBook
from motehub.alerting.mail import send_mail
from motehub.alerting.pictures import LookBack, Pictures
from motehub.alerting.plan import MAIL, Plan
from motehub.alerting.postman import Postman
from motehub.alerting.wording import OVER, Told, by_urgency, compose
from motehub.contracts import LogReader
from motehub.core.consumer import Consumer
from motehub.core.rules import AlertNews
from motehub.errors import MotehubError, StorageError
from motehub.languages import Words
from motehub.logs import Logger, OccasionalLogger
from motehub.model import MICROSECONDS
from motehub.webhooks.service import TOLD_OF, Hub, Tell, Undelivered, clock
from motehub.zones import zone_of

TellHub = Callable[[str, Sequence[AlertNews]], None]
"""Tells the hub what is new of alerts (who says so, what), so that it is durable there.

Raises MotehubError when that can't be now.
"""

_REPORT_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 1.0
_LONGEST_REST: Final = 0.05
_STOP_SECONDS: Final = 2.0
_COUNT_SECONDS: Final = 0.5
_JUMP_SECONDS: Final = 5.0
_NEWS: Final = 500
_MOST_HANGING: Final = 20

_logger = Logger("motehub.alerts")
_occasional = OccasionalLogger(_logger)


class ReportSource(msgspec.Struct, frozen=True):
    """What reports are made of: ``environment`` has the address of the store."""

    environment: Mapping[str, str]
    look_up: LookUp


class AlertService:
    """Follows the journal of ``folder`` and tells people as ``plan`` says, until the hub is gone.

    ``journal`` is the mark of the journal that ``reader`` reads. ``first`` is where it begins if it
    has not followed that yet, None for its end. ``reports`` is for what reports are made of,
    ``look_back`` for pictures in mails. ``aging`` returns the UTC microseconds by which messages
    are old.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        reader: LogReader,
        journal: str,
        tell_hub: TellHub,
        first: int | None = None,
        reports: ReportSource | None = None,
        look_back: LookBack | None = None,
        aging: Callable[[], int] = clock,
    ) -> None:
        self._aging = aging
        self._book = AlertBook(folder)
        self._book.register(plan.channels)
        self._zone = zone_of(plan.zone)
        self._plan = plan
        self._pictures = Pictures(look_back, self._zone) if look_back is not None else None
        self._effect = JudgeFrames(
            self._book, reader, journal, clock, list(plan.channels), self._zone, first
        )
        self._couriers = list(self._make_couriers(plan))
        self._reporter = _Reporter(self._book, tell_hub)
        self._others = list(self._make_reporters(folder, plan, reports))
        self._hanging = 0
        self._counts: dict[str, int] = {}
        self._undelivered: Undelivered = []
        self._counted = 0.0
        self.consumer = Consumer("alerts", reader, self._effect, may_miss=True)

    def run(self, hub: Hub, tell: Tell) -> bool:
        """Follow and tell; return at the end whether all was taken over from the journal."""
        for thread in self._threads:
            thread.start()
        try:
            return self._follow(hub, tell)
        finally:
            with suppress(StorageError):
                self._effect.flush()
            for thread in self._threads:
                thread.stop()
            deadline = time.monotonic() + _STOP_SECONDS
            for thread in self._threads:
                thread.join(max(0.0, deadline - time.monotonic()))
            self._book.close()

    @property
    def _threads(self) -> list[Courier | Postman | Clerk | _Reporter]:
        return [*self._couriers, self._reporter, *self._others]

    def _replace_hanging(self) -> bool:
        """Let others do what threads do that hang; False when these have become too many."""
        for place, courier in enumerate(self._couriers):
            if courier.hangs:
                with suppress(StorageError):
                    self._couriers[place] = courier.replaced()
                    self._couriers[place].start()
                    self._hanging += 1
                    _logger.warning("a channel hangs: its message is put off", channel=courier.name)
        return self._hanging < _MOST_HANGING

    def _make_couriers(self, plan: Plan) -> list[Courier]:
        senders: dict[str, Send] = {}
        if MAIL in plan.channels:
            senders[MAIL] = self._send_mail
        for one in plan.apprise:
            senders[one.name] = partial(self._send_by_apprise, Notifier(one))
        return [
            Courier(self._book, name, send, clock, plan.rate, self._aging)
            for name, send in senders.items()
        ]

    def _make_reporters(
        self, folder: Path, plan: Plan, reports: ReportSource | None
    ) -> Iterator[Clerk | Postman]:
        if reports is None:
            return
        letters = LetterBook(self._book)
        woken: Callable[[], None] = _nothing
        if plan.mail is not None:
            postman = Postman(letters, plan.mail, plan, reports.look_up, clock, self._aging)
            woken = postman.wake
            yield postman
        yield Clerk(letters, folder, plan, reports.environment, reports.look_up, clock, woken)

    def _send_mail(self, told: list[Told], key: str, now: int) -> str:
        plan = self._plan
        assert plan.mail is not None
        pictures = self._pictures.of(told, now) if self._pictures is not None else {}
        names = {alert: one.name for alert, one in pictures.items()}
        wording = compose(told, plan.hub, plan.link, self._zone, Words(plan.language), names)
        return send_mail(plan.mail, wording, key, now, plan.hub, pictures.values())

    def _send_by_apprise(self, notifier: Notifier, told: list[Told], key: str, now: int) -> str:
        plan = self._plan
        words = Words(notifier.language or plan.language)
        worst = by_urgency(told)[0]
        severity = OVER if worst.kind == OVER else worst.severity
        notifier.send(compose(told, plan.hub, plan.link, self._zone, words), severity)
        return ""

    def _follow(self, hub: Hub, tell: Tell) -> bool:
        consumer, effect = self.consumer, self._effect
        reported = 0.0
        steady = _Steadiness()

        def report(seconds: float = _REPORT_SECONDS) -> None:
            nonlocal reported
            if time.monotonic() - reported >= seconds:
                reported = time.monotonic()
                counts = self._count()
                tell(effect.committed, counts, consumer.trouble, self._undelivered)

        woken = False
        while self._replace_hanging() and all(one.is_alive() for one in self._threads):
            began = time.process_time()
            # Before anything is judged, which would pass the time that never was.
            if jump := steady.jump():
                _logger.warning("the clock has jumped: that is no silence", seconds=round(jump))
                effect.begin_silence(round(jump * MICROSECONDS))
            told = hub.news() if woken else None
            done = consumer.catch_up(after_bite=report, look=not woken, told=told)
            if done:
                done = self._pass_time()
            for courier in self._couriers:
                courier.wake()
            self._reporter.wake()
            if not hub.lives:
                with suppress(StorageError):
                    effect.flush()
                report(0)
                return done
            if done:
                # Under load it rests as long as it works: what comes meanwhile goes in one bite.
                hub.pause(min(time.process_time() - began, _LONGEST_REST))
                woken = hub.wait(min(_REPORT_SECONDS, self._rest()))
                if not woken:
                    report(0)
                    woken = hub.wait(min(_LOOK_SECONDS, self._rest()))
            else:
                report(0)
                hub.pause(max(consumer.pause, _REPORT_SECONDS))
                woken = False
        return False

    def _pass_time(self) -> bool:
        try:
            self._effect.pass_time()
        except StorageError as error:
            _occasional.warning("alerts wait for their file", reason=str(error))
            return False
        return True

    def _rest(self) -> float:
        """Return in how many seconds the clock alone may bring something about."""
        due = self._effect.due
        return _LOOK_SECONDS if due is None else max(0.0, (due - clock()) / MICROSECONDS)

    def _count(self) -> dict[str, int]:
        """Return what was done so far, as it was a moment ago."""
        if time.monotonic() - self._counted >= _COUNT_SECONDS:
            self._counted = time.monotonic()
            with suppress(StorageError):
                self._counts = {**self._book.counts(), "missed": self._effect.missed}
                self._undelivered = self._book.undelivered(clock() - TOLD_OF)
        return self._counts


def _nothing() -> None:
    """Wake nobody: there is no mail server."""


class _Steadiness:
    """Notices when the clock of the wall goes otherwise than time does: it was set, or slept."""

    def __init__(self) -> None:
        self._difference = time.time() - time.monotonic()

    def jump(self) -> float:
        """Return by how many seconds it has since this was last called, 0 where it has not."""
        before, self._difference = self._difference, time.time() - time.monotonic()
        jump = self._difference - before
        return jump if abs(jump) > _JUMP_SECONDS else 0.0


class _Reporter(threading.Thread):
    """Tells the hub of alerts, until it knows of all; whoever tells people does not wait for it."""

    def __init__(self, book: AlertBook, tell_hub: TellHub) -> None:
        super().__init__(name="alerts to the hub", daemon=True)
        self._book = book
        self._tell_hub = tell_hub
        self._source = book.source()
        self._woken = threading.Event()
        self._stopping = threading.Event()

    def wake(self) -> None:
        """Say that there may be something."""
        self._woken.set()

    def stop(self) -> None:
        """Tell no more; the rest at the next start."""
        self._stopping.set()
        self._woken.set()

    def run(self) -> None:
        """Tell."""
        while not self._stopping.is_set():
            try:
                news = self._book.news(_NEWS)
                if news:
                    self._tell_hub(self._source, news)
                    self._book.forget_news(news[-1].number)
                    continue
            except MotehubError as error:
                _occasional.info("alerts are not in the journal yet", reason=str(error))
                self._stopping.wait(_LOOK_SECONDS)
                continue
            self._woken.wait(_LOOK_SECONDS)
            self._woken.clear()
