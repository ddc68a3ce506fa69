"""How far reports have been sent, and letters that wait: tables of ``alerts.db``.

The letters of a report are added in one transaction with the mark that says that it was sent, so
a process that is killed sends each once. A letter is noted as delivered after the server has taken
it: one that is killed between the two sends it again, under the same Message-ID.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Final

import apsw
import msgspec

from motehub.alerting.book import AlertBook
from motehub.alerting.outbox import DELIVERED, GIVEN_UP
from motehub.sqlite_files import transaction

MOST_LETTERS: Final = 10_000
"""Letters that wait: of more, the oldest are given up."""

MOST_LETTERS_KEPT: Final = 10_000
"""Letters that are over which are kept in the list: the newest."""

_TOO_MANY: Final = "too many letters wait"


class Document(msgspec.Struct, frozen=True):
    """What a letter says, but for its ends, which have the recipient's link in them."""

    subject: str
    text: str
    html: str
    pictures: tuple[tuple[str, bytes], ...] = ()
    sheet: bytes | None = None
    file: str = ""


class Schedule(msgspec.Struct, frozen=True):
    """How far a report has been sent; see the table."""

    report: str
    timing: str
    mark: int
    until: int | None = None
    ordered: int = 0
    ran: int | None = None
    result: str = ""
    ok: bool = True


class WaitingLetter(msgspec.Struct, frozen=True):
    """A letter that waits."""

    id: int
    document: int
    report: str
    recipient: str
    key: str
    created: int
    attempts: int


class LetterBook:
    """The tables of one process, whose threads may all use them.

    Every method raises StorageError when the file can't be used.
    """

    def __init__(self, book: AlertBook) -> None:
        self._book = book

    def schedules(self) -> dict[str, Schedule]:
        """Return how far reports have been sent, by name."""
        with self._book.storage() as db:
            return {one.report: one for one in _schedules(db)}

    def put(self, schedule: Schedule) -> None:
        """Keep how far a report has been sent."""
        with self._book.storage() as db:
            db.execute("PRAGMA synchronous=FULL")
            with transaction(db):
                _put(db, schedule)

    def forget_reports(self, known: Sequence[str]) -> None:
        """Forget how far reports were sent that are there no more, and what waits of them."""
        with self._book.storage() as db, transaction(db):
            gone = [one.report for one in _schedules(db) if one.report not in known]
            for name in gone:
                db.execute("DELETE FROM schedule WHERE report = ?", (name,))
                db.execute("DELETE FROM letter WHERE report = ?", (name,))
                db.execute("DELETE FROM document WHERE report = ?", (name,))

    def add(
        self, schedule: Schedule, document: Document, recipients: Sequence[str], now: int
    ) -> None:
        """Add a letter for each recipient, and keep with them how far the report was sent."""
        with self._book.storage() as db:
            db.execute("PRAGMA synchronous=FULL")
            with transaction(db):
                body = msgspec.msgpack.encode(document)
                db.execute(
                    "INSERT INTO document (report, body) VALUES (?, ?)", (schedule.report, body)
                )
                number = db.last_insert_rowid()
                db.executemany(
                    "INSERT INTO letter (document, report, recipient, key, created, due) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        (number, schedule.report, one, secrets.token_hex(12), now, now)
                        for one in recipients
                    ),
                )
                _put(db, schedule)
                _bound(db, now)

    def waits(self) -> int | None:
        """Return when the first letter is due (UTC µs); None: none waits."""
        with self._book.storage() as db:
            due: int | None = db.execute("SELECT min(due) FROM letter WHERE state = 0").get
            return due

    def next(self, now: int) -> tuple[WaitingLetter, Document] | None:
        """Return the letter that has been due for longest, if one is."""
        with self._book.storage() as db:
            row = db.execute(
                "SELECT id, document, report, recipient, key, created, attempts FROM letter "
                "WHERE state = 0 AND due <= ? ORDER BY due, id LIMIT 1",
                (now,),
            ).fetchone()
            if row is None:
                return None
            letter = WaitingLetter(*row)
            body = db.execute("SELECT body FROM document WHERE id = ?", (letter.document,)).get
            return letter, msgspec.msgpack.decode(body, type=Document)

    def delivered(self, letter: WaitingLetter, now: int) -> None:
        """Note that a letter has arrived."""
        self._end(letter, now, DELIVERED, None)

    def give_up(self, letter: WaitingLetter, now: int, trouble: str) -> None:
        """Note that a letter never will arrive, and why."""
        self._end(letter, now, GIVEN_UP, trouble)

    def put_off(self, letter: WaitingLetter, due: int, trouble: str) -> None:
        """Let a letter wait until ``due`` (µs), since it has not arrived."""
        with self._book.storage() as db, transaction(db):
            db.execute(
                "UPDATE letter SET attempts = attempts + 1, due = ?, trouble = ? WHERE id = ?",
                (due, trouble, letter.id),
            )

    def _end(self, letter: WaitingLetter, now: int, state: int, trouble: str | None) -> None:
        with self._book.storage() as db, transaction(db):
            db.execute(
                "UPDATE letter SET attempts = attempts + 1, state = ?, ended = ?, trouble = ? "
                "WHERE id = ?",
                (state, now, trouble, letter.id),
            )
            _tidy(db)


def _schedules(db: apsw.Connection) -> Iterator[Schedule]:
    rows = list(
        db.execute("SELECT report, timing, mark, until, ordered, ran, result, ok FROM schedule")
    )
    for *fields, ok in rows:
        report, timing, mark, until, ordered, ran, result = fields
        yield Schedule(report, timing, mark, until, ordered, ran, result, bool(ok))


def _put(db: apsw.Connection, one: Schedule) -> None:
    db.execute(
        "INSERT OR REPLACE INTO schedule "
        "(report, timing, mark, until, ordered, ran, result, ok) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (one.report, one.timing, one.mark, one.until, one.ordered, one.ran, one.result, one.ok),
    )


def _bound(db: apsw.Connection, now: int) -> None:
    count = int(db.execute("SELECT count(*) FROM letter WHERE state = 0").get)
    if count > MOST_LETTERS:
        db.execute(
            "UPDATE letter SET state = ?, ended = ?, trouble = ? WHERE id IN "
            "(SELECT id FROM letter WHERE state = 0 ORDER BY id LIMIT ?)",
            (GIVEN_UP, now, _TOO_MANY, count - MOST_LETTERS),
        )
        _tidy(db)


def _tidy(db: apsw.Connection) -> None:
    """Delete documents of which no letter waits, and the oldest of what is over."""
    db.execute(
        "DELETE FROM document WHERE NOT EXISTS "
        "(SELECT 1 FROM letter WHERE letter.document = document.id AND state = 0)"
    )
    db.execute(
        "DELETE FROM letter WHERE state > 0 AND id <= (SELECT max(id) FROM letter) - ?",
        (MOST_LETTERS_KEPT,),
    )
