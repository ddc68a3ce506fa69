"""Takes letters of reports to the mail server, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final

from motehub.alerting.courier import GIVE_UP_SECONDS
from motehub.alerting.letter_book import Document, LetterBook, WaitingLetter
from motehub.alerting.letters import Attachment, Letter, Picture
from motehub.alerting.mail import NotDelivered, send_letter
from motehub.alerting.plan import Mail, Plan
from motehub.core.reports import ReportBook
from motehub.errors import StorageError
from motehub.languages import Words
from motehub.logs import Logger, OccasionalLogger
from motehub.model import MICROSECONDS
from motehub.reports import page, plain
from motehub.webhooks.gate import Gate

LEAVE_PATH: Final = "/api/v1/unsubscribe/"
"""Where recipients leave a report, with their token behind it."""

_LOOK_SECONDS: Final = 1.0
_FIRST_REST: Final = 60.0
_LONGEST_REST: Final = 3_600.0

_logger = Logger("motehub.reports")
_occasional = OccasionalLogger(_logger)


class Postman(threading.Thread):
    """Delivers until it is stopped; ``clock`` returns UTC microseconds.

    ``look_up`` returns what the journal keeps of reports: whoever has left meanwhile gets nothing.
    A server that is away is tried again after a while, and so is a letter that it refuses for now.
    """

    def __init__(
        self,
        letters: LetterBook,
        mail: Mail,
        plan: Plan,
        look_up: Callable[[], Mapping[str, bytes]],
        clock: Callable[[], int],
        aging: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(name="letters", daemon=True)
        self._letters = letters
        self._mail = mail
        self._plan = plan
        self._look_up = look_up
        self._clock = clock
        self._aging = aging or clock
        self._gate = Gate()
        self._woken = threading.Event()
        self._stopping = threading.Event()

    def wake(self) -> None:
        """Say that there may be a letter."""
        self._woken.set()

    def stop(self) -> None:
        """Begin no more; what is under way is finished or sent again at the next start."""
        self._stopping.set()
        self._woken.set()

    def run(self) -> None:
        """Deliver."""
        while not self._stopping.is_set():
            try:
                if self._deliver_next():
                    continue
            except StorageError as error:
                self._gate.leave()
                _occasional.warning("letters wait for storage", reason=str(error))
            self._woken.wait(_LOOK_SECONDS)
            self._woken.clear()

    def _deliver_next(self) -> bool:
        """Deliver a letter, if one is due and the server may be asked; tell whether."""
        due = self._letters.waits()
        if due is None or due > self._clock() or not self._gate.enter(0):
            return False
        found = self._letters.next(self._clock())
        if found is None:
            self._gate.leave()
            return False
        self._deliver(*found)
        return True

    def _deliver(self, letter: WaitingLetter, document: Document) -> None:
        book = ReportBook.from_state(self._look_up())
        if letter.recipient in book.left.get(letter.report, {}):
            self._gate.leave()
            self._letters.give_up(letter, self._clock(), "the recipient has left the report")
            return
        leave = ""
        if self._plan.link and book.key:
            token = book.token(letter.report, letter.recipient)
            leave = f"{self._plan.link.rstrip('/')}{LEAVE_PATH}{token}"
        try:
            send_letter(
                self._mail,
                written(letter, document, self._plan, leave, self._words_of(book, letter.report)),
                letter.key,
                letter.created,
                self._plan.hub,
            )
        except NotDelivered as error:
            self._note_failure(letter, error)
            return
        except Exception as error:
            # A fault of ours: the others go out all the same, and this one is in the list.
            self._note_failure(letter, NotDelivered(f"fault: {error!r}", forever=True))
            return
        self._gate.succeeded()
        self._letters.delivered(letter, self._clock())

    def _words_of(self, book: ReportBook, report: str) -> Words:
        kept = book.reports.get(report)
        return Words((kept.report.language if kept else "") or self._plan.language)

    def _note_failure(self, letter: WaitingLetter, error: NotDelivered) -> None:
        now = self._clock()
        if error.about_all and not error.forever:
            self._gate.failed()
        else:
            self._gate.succeeded()
        late = self._aging() - letter.created > GIVE_UP_SECONDS * MICROSECONDS
        _occasional.warning(
            "letter not delivered",
            report=letter.report,
            reason=str(error),
            attempt=letter.attempts + 1,
        )
        if error.forever or late:
            _logger.error("letter never delivered", report=letter.report, reason=str(error))
            self._letters.give_up(letter, now, str(error))
            return
        # One that is about the server itself waits for that; the others for their turn.
        rest = min(_LONGEST_REST, _FIRST_REST * 2.0 ** min(letter.attempts, 10))
        due = now if error.about_all else now + round(rest * MICROSECONDS)
        self._letters.put_off(letter, due, str(error))


def written(
    letter: WaitingLetter, document: Document, plan: Plan, leave: str, words: Words
) -> Letter:
    """Return the letter as it goes to its recipient, who leaves the report at ``leave``."""
    link = plan.link
    # RFC 2369 and RFC 8058: mail programs show a button that does it at once.
    headers = [("List-Id", f"<{_list_of(letter.report)}.reports.motehub.invalid>")]
    if leave:
        headers.append(("List-Unsubscribe", f"<{leave}>"))
        if leave.startswith("https:"):
            headers.append(("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
    attachments: tuple[Attachment, ...] = ()
    if document.sheet is not None:
        attachments = (Attachment(document.file, document.sheet, "text/csv"),)
    return Letter(
        recipients=(letter.recipient,),
        subject=document.subject,
        text=document.text + plain.ending(words, plan.hub, link, leave),
        html=document.html + page.closing(words, plan.hub, link, leave),
        pictures=tuple(Picture(*one) for one in document.pictures),
        attachments=attachments,
        headers=tuple(headers),
    )


def _list_of(report: str) -> str:
    """Return a report's name as a part of a List-Id (RFC 2919)."""
    plain_name = "".join(one if one.isascii() and one.isalnum() else "-" for one in report)
    return plain_name.strip("-").lower() or "report"
