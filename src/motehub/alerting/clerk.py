"""Makes reports that are due, in a thread of its own, and leaves their letters to the postman."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Mapping
from datetime import tzinfo
from pathlib import Path
from typing import Final

import msgspec

from motehub.alerting.letter_book import Document, LetterBook, Schedule
from motehub.alerting.plan import Plan
from motehub.core.reports import ReportBook
from motehub.errors import MotehubError, StorageError
from motehub.logs import Logger, OccasionalLogger
from motehub.model import MICROSECONDS
from motehub.reports.order import Made, Order, make
from motehub.schedules.report import Report, encode
from motehub.schedules.times import next_due, period_of, previous_due, usual_period
from motehub.zones import zone_of

LookUp = Callable[[], Mapping[str, bytes]]
"""Returns what the journal keeps of reports for good. Raises StorageError."""

_LOOK_SECONDS: Final = 1.0
_FIRST_REST: Final = 2.0
_LONGEST_REST: Final = 600.0
_DAY: Final = 86_400 * MICROSECONDS
_NOBODY: Final = "there is nobody to whom it could be sent"
_NO_MAIL: Final = "there is no mail server: write [mail] in the configuration"

_logger = Logger("motehub.reports")
_occasional = OccasionalLogger(_logger)


class Clerk(threading.Thread):
    """Looks which reports are due, until it is stopped; ``clock`` returns UTC microseconds.

    What was missed while nobody looked is made up for once. ``environment`` has the address of
    the store; ``on_letters`` is called when there are letters.
    """

    def __init__(
        self,
        letters: LetterBook,
        folder: Path,
        plan: Plan,
        environment: Mapping[str, str],
        look_up: LookUp,
        clock: Callable[[], int],
        on_letters: Callable[[], None],
    ) -> None:
        super().__init__(name="reports", daemon=True)
        self._letters = letters
        self._folder = folder
        self._plan = plan
        self._environment = environment
        self._look_up = look_up
        self._clock = clock
        self._on_letters = on_letters
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        # When it was looked at and when to look again (µs), as long as a report is as it was.
        self._next: dict[str, tuple[str, int, int]] = {}
        self._rests: dict[str, float] = {}

    def wake(self) -> None:
        """Do nothing: what is due is due by the clock."""

    def stop(self) -> None:
        """Make no more; one that is being made is made at the next start."""
        self._stopping.set()
        if (process := self._process) is not None:
            process.kill()

    def run(self) -> None:
        """Look and make."""
        while not self._stopping.is_set():
            try:
                self.look()
            except StorageError as error:
                _occasional.warning("reports wait for storage", reason=str(error))
            self._stopping.wait(_LOOK_SECONDS)

    def look(self) -> None:
        """Make what is due.

        Raises:
            StorageError: the journal or ``alerts.db`` can't be used now.
        """
        book = ReportBook.from_state(self._look_up())
        known = self._letters.schedules()
        if known.keys() - book.reports.keys():
            self._letters.forget_reports(list(book.reports))
        for name, kept in book.reports.items():
            if self._stopping.is_set():
                return
            try:
                self._look_at(book, kept.report, known.get(name), book.orders.get(name, 0))
            except StorageError:
                raise
            except Exception as error:
                # The others are made all the same, and alerts are told; this one is tried again.
                _logger.error("fault in a report", name=name, fault=repr(error)[:500])
                self._rests[name] = _LONGEST_REST
                rest, now = round(_LONGEST_REST * MICROSECONDS), self._clock()
                self._next[name] = self._timing(kept.report), now, now + rest

    def _look_at(
        self, book: ReportBook, report: Report, schedule: Schedule | None, ordered: int
    ) -> None:
        now, timing = self._clock(), self._timing(report)
        ahead = schedule is not None and schedule.mark > now + _DAY
        if schedule is None or schedule.timing != timing or ahead:
            # What was due before anybody wanted it so is not made up for; nor is anything sent
            # for years where the clock was wrong once.
            schedule = self._begin(report, timing, schedule, now)
        known, looked, when = self._next.get(report.name, ("", 0, 0))
        waits = known == timing and looked <= now < when
        if ordered > schedule.ordered and not (waits and report.name in self._rests):
            span = usual_period(report.period, report.schedule, self._zone_of(report), now)
            self._make(book, report, msgspec.structs.replace(schedule, ordered=ordered), span)
            return
        if not report.enabled or waits:
            return
        zone = self._zone_of(report)
        due = previous_due(report.schedule, zone, now)
        if due is not None and due > schedule.mark:
            span = period_of(report.period, report.schedule, zone, due, schedule.until)
            done = msgspec.structs.replace(schedule, mark=due, until=span[1])
            if not self._make(book, report, done, span):
                return
        after = next_due(report.schedule, zone, now)
        self._next[report.name] = timing, now, 2**62 if after is None else after

    @staticmethod
    def _timing(report: Report) -> str:
        return f"{report.schedule} {report.time_zone} {report.enabled}"

    def _begin(self, report: Report, timing: str, known: Schedule | None, now: int) -> Schedule:
        if known is None:
            schedule = Schedule(report.name, timing, now)
        else:
            until = None if known.until is None else min(known.until, now)
            schedule = msgspec.structs.replace(known, timing=timing, mark=now, until=until)
        self._letters.put(schedule)
        return schedule

    def _make(
        self, book: ReportBook, report: Report, done: Schedule, span: tuple[int, int]
    ) -> bool:
        """Make a report and add its letters; tell whether it is done with."""
        recipients = book.recipients(report)
        done = msgspec.structs.replace(done, ran=self._clock(), ok=True)
        if self._plan.mail is None or not recipients:
            why = _NO_MAIL if self._plan.mail is None else _NOBODY
            self._letters.put(msgspec.structs.replace(done, result=why, ok=False))
            _logger.warning("report not sent", name=report.name, reason=why)
            return True
        try:
            made = self._made(report, span)
        except (MotehubError, OSError) as error:
            self._put_off(report, str(error))
            return False
        self._rests.pop(report.name, None)
        count = len(recipients)
        result = f"{count} letter{'s' * (count != 1)}"
        file = f"{report.name}.csv" if made.sheet is not None else ""
        document = Document(made.subject, made.text, made.html, made.pictures, made.sheet, file)
        self._letters.add(
            msgspec.structs.replace(done, result=result), document, recipients, self._clock()
        )
        _logger.info("report made", name=report.name, recipients=count)
        self._on_letters()
        return True

    def _made(self, report: Report, span: tuple[int, int]) -> Made:
        plan = self._plan
        order = Order(
            folder=str(self._folder),
            store=plan.store,
            report=encode(report),
            since=span[0],
            until=span[1],
            zone=report.time_zone or plan.zone,
            hub=plan.hub,
            link=plan.link,
            language=plan.language,
            mail=True,
        )

        def started(process: subprocess.Popen[bytes]) -> None:
            self._process = process
            if self._stopping.is_set():
                process.kill()

        try:
            return make(order, self._environment, started)
        finally:
            self._process = None

    def _put_off(self, report: Report, reason: str) -> None:
        """Try again later; what is due meanwhile is in the same report."""
        if self._stopping.is_set():
            return
        rest = min(_LONGEST_REST, self._rests.get(report.name, _FIRST_REST / 2) * 2)
        self._rests[report.name] = rest
        now = self._clock()
        _logger.warning("report can't be made", name=report.name, reason=reason, again_after=rest)
        schedule = self._letters.schedules()[report.name]
        self._letters.put(msgspec.structs.replace(schedule, ran=now, result=reason, ok=False))
        timing = schedule.timing
        self._next[report.name] = timing, now, now + round(rest * MICROSECONDS)

    def _zone_of(self, report: Report) -> tzinfo:
        return zone_of(report.time_zone or self._plan.zone)
