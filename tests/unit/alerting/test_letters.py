"""Letters: which parts their messages have, and what can't get into their headers."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Sequence
from email.message import EmailMessage
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub.alerting.letters import Attachment, Letter, Picture, compose_message, is_address
from motehub.alerting.mail import NotDelivered, send_letter
from motehub.alerting.plan import Mail
from motehub.model import MICROSECONDS

NOW = 1_767_225_600 * MICROSECONDS
LONG = f"https://hub.example.org:8443/{'path/' * 20}unsubscribe/{'a' * 60}"


def letter(**fields: object) -> Letter:
    said: dict[str, object] = {
        "recipients": ("Zoë <zoe@example.org>",),
        "subject": "Über alles",
        "text": "plain ä\n",
        "html": '<p>ä <img src="cid:one">',
        "pictures": (Picture("one", b"\x89PNG one"),),
        "attachments": (Attachment("a.csv", b"1,2\r\n", "text/csv"),),
        "headers": (("List-Unsubscribe", f"<{LONG}>"),),
    }
    return Letter(**(said | fields))  # type: ignore[arg-type]


def parsed(one: Letter, key: str = "k1") -> EmailMessage:
    raw = compose_message(one, "hub@example.org", "Hüb", key, NOW).as_bytes()
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) < 998
    assert b"\n" not in raw.replace(b"\r\n", b"")
    return email.message_from_bytes(raw, policy=email.policy.default)


def kinds(message: EmailMessage) -> list[object]:
    """Return the tree of media types."""
    parts = cast("Sequence[EmailMessage]", message.get_payload()) if message.is_multipart() else []
    own = message.get_content_type()
    return [own, *(kinds(one) for one in parts)] if parts else [own]


def test_a_letter_has_its_parts_where_mail_programs_look_for_them() -> None:
    """Attachments outside, text before HTML, pictures beside the HTML that shows them."""
    message = parsed(letter())
    assert kinds(message) == [
        "multipart/mixed",
        [
            "multipart/alternative",
            ["text/plain"],
            ["multipart/related", ["text/html"], ["image/png"]],
        ],
        ["text/csv"],
    ]
    html = message.get_body(("html",))
    assert html is not None
    assert "ä" in html.get_content()
    picture = next(one for one in message.walk() if one.get_content_type() == "image/png")
    assert picture["Content-ID"] == "<one>"
    assert picture.get_content_disposition() == "inline"
    assert picture.get_content() == b"\x89PNG one"
    (attached,) = message.iter_attachments()
    assert attached.get_filename() == "a.csv"


def test_a_plain_letter_is_plain() -> None:
    """Without HTML, pictures and attachments there are no parts."""
    assert kinds(parsed(letter(html="", pictures=(), attachments=()))) == ["text/plain"]
    both = parsed(letter(pictures=(), attachments=()))
    assert kinds(both) == ["multipart/alternative", ["text/plain"], ["text/html"]]


def test_headers_say_who_writes_and_how_to_leave() -> None:
    """A long address of a page stays in one piece, and names may have any letters."""
    raw = compose_message(letter(), "hub@example.org", "Hüb", "k1", NOW).as_bytes()
    assert f"\r\nList-Unsubscribe: <{LONG}>\r\n".encode() in raw
    message = parsed(letter())
    assert message["From"] == "Hüb <hub@example.org>"
    assert message["To"] == "Zoë <zoe@example.org>"
    assert message["Subject"] == "Über alles"
    assert message["Message-ID"] == "<k1@example.org>"
    assert message["Date"].startswith("Thu, 01 Jan 2026 00:00:00")


ODD = st.text(
    st.one_of(st.sampled_from("\r\n\t\0\x0b\x85\u2028 :<>=?\"',;@"), st.characters()), max_size=60
)


@given(subject=ODD, name=ODD, file=ODD, value=ODD)
def test_nothing_adds_a_header(subject: str, name: str, file: str, value: str) -> None:
    """Whatever a subject, a hub's name, a file or a header holds, the headers are the same."""
    one = letter(
        subject=subject,
        attachments=(Attachment(file, b"x", "text/csv"),),
        headers=(("List-Id", value),),
    )
    try:
        raw = compose_message(one, "hub@example.org", name, "k1", NOW).as_bytes()
    except ValueError:
        return
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert [key.lower() for key in message.keys()] == [  # noqa: SIM118 - keys that occur twice
        "from",
        "to",
        "subject",
        "date",
        "message-id",
        "auto-submitted",
        "list-id",
        "mime-version",
        "content-type",
    ]
    assert len(message["To"].addresses) == len(message["From"].addresses) == 1


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "nobody",
        "a@",
        "@b",
        "a b@c",
        "a@b c",
        "a@b,c@d",
        "<a@b> c",
        "a@b>",
        "a@b\r\nBcc: c@d",
        "a@b\n",
        "N\r\nBcc: c@d <a@b>",
        "<c@d> <a@b>",
        f"{'a' * 250}@example.org",
    ],
)
def test_what_is_no_address_is_none(bad: str) -> None:
    """Nor can a letter go there."""
    assert not is_address(bad)
    with pytest.raises(ValueError, match="no mail address"):
        compose_message(letter(recipients=(bad,)), "hub@example.org", "h", "k", NOW)
    server = Mail("127.0.0.1", 9, "none", "", "", "hub@example.org", ())
    with pytest.raises(NotDelivered) as caught:
        send_letter(server, letter(recipients=(bad,)), "k", NOW, "h")
    assert caught.value.forever


@pytest.mark.parametrize("good", ["a@b", "Zoë <zoe@example.org>", '"Doe, Jo" <jo@x.org>', "a@ü.de"])
def test_addresses_may_have_names(good: str) -> None:
    """With or without quotes."""
    assert is_address(good)


@pytest.mark.parametrize(
    "headers",
    [(("Bcc", "x@y"),), (("X:Y", "z"),), (("X\r\nBcc", "z"),), (("Content-Type", "text/html"),)],
)
def test_a_letter_has_no_say_in_the_headers_of_the_message(
    headers: tuple[tuple[str, str], ...],
) -> None:
    """Neither those that the message is made of, nor names that are none."""
    with pytest.raises(ValueError, match=r"can't stand there|not for the letter"):
        compose_message(letter(headers=headers), "hub@example.org", "h", "k", NOW)
