"""Mails to people: how many at a time, in which language, and who may have one."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from tests.mail_server import MailServer, plain

from motehub.alerting.plan import Mail
from motehub.core.people import Role, User
from motehub.languages import LANGUAGES
from motehub.web.attempts import FROM_ADDRESS, LINKS, LinkRequests
from motehub.web.languages import asked_in
from motehub.web.letters import Note, note
from motehub.web.notices import Notices
from motehub.web.post import AT_ONCE, MOST_WAITING, TO_ONE, TO_ONE_SECONDS, Post

NOW = 1_763_000_000_000_000
NOTE = Note("anna@example.org", "Hello", "A text.\n")


def mail_of(server: MailServer, timeout: float = 30.0) -> Mail:
    sender = "hub@example.org"
    return Mail("127.0.0.1", server.port, "none", "", "", sender, (sender,), timeout=timeout)


def office(mail: Mail | None) -> Post:
    return Post(mail, "garden", lambda: "https://hub.example/", lambda: NOW)


async def test_a_mail_goes_to_one_person() -> None:
    """Not to those who are told of alerts; what became of it is counted."""
    with MailServer() as server:
        post = office(mail_of(server))
        assert await post.send(NOTE) is None
        (mail,) = server.wait(1)
    assert (mail["To"], mail["Subject"]) == ("anna@example.org", "Hello")
    assert plain(mail).strip() == "A text."
    assert (post.shape.sent, post.shape.last_success, post.shape.trouble) == (1, NOW, None)


async def test_a_server_that_fails_is_told_of() -> None:
    """And so is a hub that has none."""
    with MailServer() as server:
        server.answer = "554 no"
        post = office(mail_of(server))
        assert "answers 554" in str(await post.send(NOTE))
    assert (post.shape.failed, post.shape.last_failure) == (1, NOW)
    assert "can't be reached" in str(await post.send(NOTE))
    assert "no mail server" in str(await office(None).send(NOTE))
    assert not office(None).is_open


async def test_nobody_gets_mails_without_end() -> None:
    """Whoever has them sent, and however the address is written; others get theirs."""
    now = 0.0
    with MailServer() as server:
        post = Post(mail_of(server), "garden", lambda: "", lambda: NOW, lambda: now)
        for _ in range(TO_ONE):
            assert await post.send(NOTE) is None
        same = Note("Anna@example.org", "Hello", "A text.\n")
        assert "many mails went to this address" in str(await post.send(same))
        assert await post.send(Note("bert@example.org", "Hello", "A text.\n")) is None
        now = TO_ONE_SECONDS
        assert await post.send(same) is None
        assert len(server.mails) == TO_ONE + 2


async def test_few_are_on_their_way_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others wait, and of too many the last are not sent; nobody else waits with them."""
    under_way = most = 0
    go_on = asyncio.Event()

    async def send(*_: object) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await go_on.wait()
        under_way -= 1

    monkeypatch.setattr(Post, "_send_in_thread", send)
    with MailServer() as server:
        post = office(mail_of(server))
    tasks = [asyncio.create_task(post.send(NOTE)) for _ in range(MOST_WAITING)]
    await asyncio.sleep(0)
    assert await post.send(NOTE) == "too many mails wait already"
    go_on.set()
    assert await asyncio.gather(*tasks) == [None] * MOST_WAITING
    assert most == AT_ONCE


async def test_a_server_that_says_nothing_does_not_hold_up_a_stop() -> None:
    """What is on its way is left."""
    with MailServer() as server:
        server.hanging.set()
        post = office(mail_of(server))

        async def work() -> None:
            await post.send(NOTE)

        post.soon(work())
        await asyncio.sleep(0)
        await post.close()
    assert post.shape.sent == 0


@pytest.mark.parametrize("what", ["password", "changed", "moved", "invitation"])
def test_each_mail_is_there_in_each_language(what: str) -> None:
    """With the name of who it is for, and the link on a line of its own."""
    values = {"hub": "garden", "name": "anna", "link": "https://hub.example/reset#code"}
    found = [note(what, language, "a@example.org", **values) for language in LANGUAGES]
    assert len({one.text for one in found}) == len(LANGUAGES)
    for one in found:
        assert one.subject.startswith("[garden] ")
        assert " anna," in one.text
        assert (f"\n{values['link']}\n" in one.text) == (what in {"password", "invitation"})
        assert "{" not in one.text


def test_links_can_not_be_asked_for_without_end() -> None:
    """Neither for an account, whatever it is called, nor from an address; later again."""
    seconds = 0.0
    requests = LinkRequests(lambda: seconds)
    for number in range(LINKS):
        assert not requests.begin("Anna", f"192.0.2.{number}")
    assert requests.begin("anna", "192.0.2.9") > 0
    for number in range(FROM_ADDRESS):
        assert not requests.begin(f"nobody {number}", "198.51.100.1")
    assert requests.begin("bert", "198.51.100.1") > 0
    assert [requests.take("anna") for _ in range(LINKS + 1)] == [True] * LINKS + [False]
    seconds = 3_600.0
    assert not requests.begin("anna", "192.0.2.9")
    assert requests.take("anna")


async def test_a_notice_that_is_put_off_is_sent_again() -> None:
    """A server that takes mails of strangers only the second time, for instance."""
    before = User("anna", Role.ADMIN, NOW, password="a", email="anna@example.org")
    after = User("anna", Role.ADMIN, NOW, password="b", email="anna@example.org")
    with MailServer() as server:
        server.answer = "451 try later"
        post = office(mail_of(server))
        Notices(post, pauses=(0.0,) * 1_000).changed(before, after)
        while post.shape.failed == 0:
            await asyncio.sleep(0.01)
        server.answer = "250 OK"
        while post.shape.sent == 0:
            await asyncio.sleep(0.01)
        (mail,) = server.wait(1)
        await post.close()
    assert mail["Subject"] == "[garden] Your password was changed"


async def test_who_is_told_of_what() -> None:
    """The address before of another one, nobody of a first password or of nothing.

    Who has chosen no language is told in that of the browser or, without one, of the hub.
    """
    told: list[tuple[str, str]] = []

    class Office(Post):
        async def send(self, note: Note) -> str | None:
            told.append((note.address, note.subject.partition("] ")[2]))
            return None

    async def changed(before: User, after: User) -> None:
        notices.changed(before, after)
        for _ in range(3):
            await asyncio.sleep(0)

    mail = Mail("127.0.0.1", 9, "none", "", "", "hub@example.org", ())
    notices = Notices(Office(mail, "garden", lambda: "", lambda: NOW), language="fr")
    new = User("anna", Role.VIEWER, NOW, email="anna@example.org", language="fr")
    chosen = msgspec.structs.replace(new, password="a")
    other = msgspec.structs.replace(chosen, password="b")
    await changed(new, chosen)
    await changed(chosen, chosen)
    assert told == []
    await changed(chosen, other)
    other = msgspec.structs.replace(other, language="")
    await changed(other, msgspec.structs.replace(other, email="anna@example.net"))
    asked_in.set("en")
    await changed(chosen, other)
    await changed(msgspec.structs.replace(other, email=""), other)
    assert told == [
        ("anna@example.org", "Votre mot de passe a été changé"),
        ("anna@example.org", "Votre adresse électronique a été changée"),
        ("anna@example.org", "Your password was changed"),
    ]
