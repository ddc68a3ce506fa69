"""The reports that there are, who has left them, and which are to be sent at once.

In memory; changes are state of the journal, which whoever sends reports looks at.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from motehub.core.definitions import (
    ADDED,
    CONFIGURATION,
    Definitions,
    Door,
    Sayings,
    pieces,
)
from motehub.errors import InvalidReport, UnknownReport
from motehub.frames import Batch
from motehub.logs import Logger, OccasionalLogger
from motehub.schedules.report import Report, decode, encode, report_of

MOST_REPORTS: Final = 200
"""How many reports there may be."""

STATE_PREFIX: Final = "report"
"""How the keys begin under which the journal keeps all of this."""

_REPORT: Final = "report/"
_LEFT: Final = "report-left/"
_ORDER: Final = "report-order/"
_KEY: Final = "report-key"
_KEY_BYTES: Final = 32
_TOKEN_BYTES: Final = 18

_logger = Logger("motehub.reports")
_occasional = OccasionalLogger(_logger)


class KeptReport(msgspec.Struct, frozen=True):
    """A report and who has said it: ``configuration``, or ``added`` meanwhile."""

    report: Report
    origin: str

    @property
    def definition(self) -> Report:
        """The report itself."""
        return self.report


class ReportBook:
    """Reports by name, and for each who has left it when (µs) and when it was ordered (µs).

    ``key`` is what makes the tokens with which recipients leave; nobody else can make one.
    """

    def __init__(
        self,
        reports: Iterable[KeptReport] = (),
        left: Mapping[str, dict[str, int]] | None = None,
        orders: Mapping[str, int] | None = None,
        key: bytes = b"",
    ) -> None:
        self.reports = {one.report.name: one for one in reports}
        self.left = dict(left or {})
        self.orders = dict(orders or {})
        self.key = key

    @classmethod
    def from_state(cls, state: Mapping[str, bytes]) -> ReportBook:
        """Build it from what a journal keeps for good."""
        return cls(
            _decoded(pieces(state, _REPORT).values()),
            {
                name: msgspec.json.decode(value, type=dict[str, int])
                for name, value in pieces(state, _LEFT).items()
            },
            {name: int(value) for name, value in pieces(state, _ORDER).items()},
            state.get(_KEY, b""),
        )

    def recipients(self, report: Report) -> list[str]:
        """Return to whom a report goes: those who have not left it."""
        left = self.left.get(report.name, {})
        return [one for one in report.recipients if one not in left]

    def token(self, report: str, recipient: str) -> str:
        """Return with what a recipient leaves a report; it tells nothing of either."""
        said = msgspec.json.encode([report, recipient])
        digest = hmac.digest(self.key, said, "sha256")[:_TOKEN_BYTES]
        return urlsafe_b64encode(digest).decode("ascii")


class Reports(Definitions[KeptReport]):
    """Changes ``book``; each change is durable when it is done. ``clock`` returns UTC µs.

    ``needed`` is set as soon as there is a report.
    """

    sayings = Sayings(
        unknown="There is no report called {}. Known reports: {}.",
        there="There is a report called {} already.",
        full="There are {} reports already. Remove some.",
        renamed="A report keeps its name: remove it and add another one.",
        configured="The report {} is of the configuration: change it there, and start the hub "
        "again.",
    )
    most = MOST_REPORTS
    unknown = UnknownReport
    invalid = InvalidReport
    make = KeptReport

    def __init__(
        self, book: ReportBook, journal: Door, clock: Callable[[], int], needed: asyncio.Event
    ) -> None:
        super().__init__(book.reports, journal)
        self.book = book
        self._clock = clock
        self._needed = needed
        self._tokens: dict[str, tuple[str, str]] | None = None
        if book.reports:
            needed.set()

    def configure(self, reports: Sequence[Report]) -> None:
        """Let the reports of the configuration be there, and those not that it had before."""
        self._reconcile(KeptReport(one, CONFIGURATION) for one in reports)

    async def add(self, report: Report) -> KeptReport:
        """Send ``report`` from now on.

        Raises:
            InvalidReport: there is one of that name, or there are too many.
        """
        self._check_room(report.name)
        return await self._keep(KeptReport(report, ADDED))

    async def change(self, name: str, fields: Mapping[str, Any]) -> KeptReport:
        """Change ``fields`` of a report.

        Raises:
            UnknownReport: there is none of that name.
            InvalidReport: it can't be so, or the configuration has said it.
        """
        kept = self.get(name)
        self._check_own(kept)
        report = report_of(fields, kept.report)
        self._check_same(name, report.name)
        return await self._keep(KeptReport(report, ADDED))

    async def remove(self, name: str) -> None:
        """Send a report no more, and forget who has left it.

        Raises:
            UnknownReport: there is none of that name.
            InvalidReport: the configuration has said it.
        """
        self._check_own(self.get(name))
        batch = Batch()
        self._drop(batch, name)
        await self._journal.append(batch)
        _logger.info("report removed", name=name)

    async def order(self, name: str) -> int:
        """Send a report once, at once; return when that was ordered (µs), by which it is known.

        Raises:
            UnknownReport: there is none of that name.
            InvalidReport: there is nobody to whom it could be sent.
        """
        report = self.get(name).report
        if not self.book.recipients(report):
            raise InvalidReport(f"Nobody is left to whom {name!r} could be sent.")
        batch = Batch()
        now = max(self._clock(), self.book.orders.get(name, 0) + 1)
        self.book.orders[name] = now
        batch.state[_ORDER + name] = str(now).encode()
        await self._journal.append(batch)
        return now

    def whose(self, token: str) -> tuple[str, str]:
        """Return of which report and which recipient a token is.

        Raises:
            UnknownReport: of none.
        """
        if self._tokens is None:
            self._tokens = {
                self.book.token(name, one): (name, one)
                for name, kept in self.book.reports.items()
                for one in kept.report.recipients
            }
        found = self._tokens.get(token)
        if found is None:
            raise UnknownReport(
                "This link is of no report that is sent any more: there is nothing to leave."
            )
        return found

    async def leave(self, token: str) -> tuple[str, str]:
        """Send a report no more to whose ``token`` it is; return report and recipient.

        Raises:
            UnknownReport: it is nobody's.
        """
        name, recipient = self.whose(token)
        left = self.book.left.setdefault(name, {})
        if recipient not in left:
            left[recipient] = self._clock()
            await self._keep_left(name, left)
            _logger.info("a recipient has left a report", report=name)
        return name, recipient

    async def bring_back(self, name: str, recipient: str) -> None:
        """Send a report again to somebody who has left it.

        Raises:
            UnknownReport: there is no such report, or nobody of that address has left it.
        """
        self.get(name)
        left = self.book.left.get(name, {})
        if left.pop(recipient, None) is None:
            raise UnknownReport(f"{recipient[:80]!r} has not left the report {name!r}.")
        await self._keep_left(name, left)

    async def _keep_left(self, name: str, left: dict[str, int]) -> None:
        batch = Batch()
        batch.state[_LEFT + name] = msgspec.json.encode(left) if left else None
        await self._journal.append(batch)

    def _put(self, batch: Batch, kept: KeptReport) -> None:
        book, name = self.book, kept.report.name
        if not book.key:
            book.key = secrets.token_bytes(_KEY_BYTES)
            batch.state[_KEY] = book.key
        book.reports[name] = kept
        self._tokens = None
        batch.state[_REPORT + name] = kept.origin.encode() + b" " + encode(kept.report)
        self._needed.set()

    def _drop(self, batch: Batch, name: str) -> None:
        del self.book.reports[name]
        self._tokens = None
        for prefix, known in ((_LEFT, self.book.left), (_ORDER, self.book.orders)):
            if known.pop(name, None) is not None:
                batch.state[prefix + name] = None
        batch.state[_REPORT + name] = None


def _decoded(values: Iterable[bytes]) -> Iterator[KeptReport]:
    for value in values:
        origin, _, report = value.partition(b" ")
        try:
            yield KeptReport(decode(report), origin.decode())
        except InvalidReport as error:
            # Its time zone may be one that the machine does not know any more. It stays in the
            # journal, and no hub refuses to start because of it.
            _occasional.warning("a report that is kept can't be", reason=str(error))
