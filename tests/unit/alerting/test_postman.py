"""The thread that takes letters to the mail server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.harness import PATIENCE
from tests.mail_server import MailServer, html, plain

from motehub.alerting import report_desk
from motehub.alerting.book import AlertBook
from motehub.alerting.letter_book import Document, LetterBook, Schedule
from motehub.alerting.plan import Mail, Plan
from motehub.alerting.postman import Postman
from motehub.errors import StorageError

DOCUMENT = Document("Subject", "Text", "<p>Text", (("chart0", b"PNG"),), None, "")


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def clock() -> int:
    return time.time_ns() // 1000


@contextmanager
def postman(
    folder: Path,
    server: MailServer,
    plan: Plan,
    look_up: Callable[[], Mapping[str, bytes]] = dict,
) -> Iterator[LetterBook]:
    """Deliver to ``server``, which has half a second for each answer."""
    mail = Mail("127.0.0.1", server.port, "none", "", "", "hub@example.org", (), timeout=0.5)
    book = AlertBook(folder)
    letters = LetterBook(book)
    thread = Postman(letters, mail, plan, look_up, clock)
    thread.start()
    try:
        yield letters
    finally:
        thread.stop()
        thread.join()
        book.close()


def test_a_server_that_is_slow_gets_the_letter_again(tmp_path: Path) -> None:
    """As the same message; what was the matter is there for the owner meanwhile."""
    with MailServer() as server, postman(tmp_path, server, Plan()) as letters:
        server.hanging.set()
        letters.add(Schedule("R", "t", 1), DOCUMENT, ["a@example.org"], clock())
        wait_until(lambda: any(one.trouble for one in report_desk.letters(tmp_path, 9)))
        (letter,) = report_desk.letters(tmp_path, 9)
        assert letter.state == "waiting"
        assert "no answer within 0.5 s" in str(letter.trouble)
        server.hanging.clear()
        wait_until(lambda: report_desk.letters(tmp_path, 9)[0].state == "delivered")
    assert len({str(one["Message-ID"]) for one in server.mails}) == 1


@pytest.mark.parametrize(("language", "said"), [("en", "Sent by the hub"), ("fr", "Envoyé par le")])
def test_the_end_of_a_letter_is_in_the_language_of_the_hub(
    tmp_path: Path, language: str, said: str
) -> None:
    """Where the report names none; the picture goes along."""
    plan = Plan(language=language)
    with MailServer() as server, postman(tmp_path, server, plan) as letters:
        letters.add(Schedule("R", "t", 1), DOCUMENT, ["a@example.org"], clock())
        mail = server.wait(1)[0]
    assert said in plain(mail)
    assert said in html(mail)
    assert [one["Content-ID"] for one in mail.walk() if one["Content-ID"]] == ["<chart0>"]


def test_a_fault_of_the_disk_while_the_server_is_tried_again_is_no_end(tmp_path: Path) -> None:
    """Whoever could not look up what to say comes again."""
    troubles: list[StorageError] = []

    def look_up() -> Mapping[str, bytes]:
        if troubles:
            raise troubles.pop()
        return {}

    with MailServer() as server, postman(tmp_path, server, Plan(), look_up) as letters:
        server.hanging.set()
        letters.add(Schedule("R", "t", 1), DOCUMENT, ["a@example.org"], clock())
        wait_until(lambda: any(one.trouble for one in report_desk.letters(tmp_path, 9)))
        troubles.append(StorageError("the disk failed"))
        server.hanging.clear()
        wait_until(lambda: report_desk.letters(tmp_path, 9)[0].state == "delivered")
        assert not troubles
