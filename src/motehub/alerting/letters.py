"""Letters: what a mail says, and the message of RFC 5322 that it is on its way.

Nothing in a letter can add a line to its headers: line breaks and other characters that can't be
seen are spaces there, and an address that has any is no address.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime, parseaddr
from typing import Final

import msgspec

from motehub.mail_addresses import is_address, sent_as
from motehub.model import MICROSECONDS

__all__ = ["Attachment", "Letter", "Picture", "bare_address", "compose_message", "is_address"]

_MOST_SUBJECT: Final = 200
_MOST_HEADER: Final = 2_000
_HEADER_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,75}")
_TOKEN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MOST_UNFOLDED: Final = 900
# Headers that the message is made of: a letter says these in its other fields.
_TAKEN: Final = frozenset(
    {"from", "to", "cc", "bcc", "subject", "date", "message-id", "mime-version", "sender"}
)


class _Lines(EmailPolicy):
    """Writes headers as the standard library does, but long addresses of pages in one piece.

    It would write those as encoded words, which are not read there (RFC 2369 § 2).
    """

    def fold(self, name: str, value: str) -> str:
        """Return the lines of a header."""
        line = f"{name}: {value}{self.linesep}"
        if name.lower().startswith("list-") and line.isascii() and len(line) <= _MOST_UNFOLDED:
            return line
        return str(super().fold(name, value))

    def fold_binary(self, name: str, value: str) -> bytes:
        """Return the same as bytes."""
        return self.fold(name, value).encode("utf-8" if self.utf8 else "ascii", "surrogateescape")


# Seven bits: not every server takes eight.
_POLICY: Final = _Lines(linesep="\r\n", cte_type="7bit")


class Picture(msgspec.Struct, frozen=True):
    """A picture within the HTML, which shows it as ``<img src="cid:NAME">``."""

    name: str
    content: bytes
    kind: str = "png"


class Attachment(msgspec.Struct, frozen=True):
    """A file that comes along; ``kind`` is its media type, ``text/csv``."""

    name: str
    content: bytes
    kind: str


class Letter(msgspec.Struct, frozen=True):
    """What a mail says to all ``recipients``, as text and as HTML.

    ``headers`` are further ones, such as ``List-Unsubscribe``. Each recipient sees the others.
    """

    recipients: tuple[str, ...]
    subject: str
    text: str
    html: str = ""
    pictures: tuple[Picture, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


def compose_message(letter: Letter, sender: str, name: str, key: str, now: int) -> EmailMessage:
    """Return the message of a letter from ``sender``, who is called ``name`` if it says no name.

    ``key`` is the same whenever it is sent again, so that receivers can tell (RFC 5322 § 3.6.4).
    ``now`` is UTC µs. The message is multipart/mixed with attachments, within it
    multipart/alternative, whose HTML is multipart/related with its pictures.

    Raises:
        ValueError: an address, or the name of a header or picture, can't be one.
    """
    own = _address(sender, name)
    message = EmailMessage(policy=_POLICY)
    message["From"] = own
    message["To"] = [_address(one, "") for one in letter.recipients]
    message["Subject"] = one_line(letter.subject, _MOST_SUBJECT)
    message["Date"] = format_datetime(datetime.fromtimestamp(now // MICROSECONDS, UTC))
    message["Message-ID"] = f"<{_checked(_TOKEN, key)}@{own.domain}>"
    # RFC 3834: no holiday notice comes back.
    message["Auto-Submitted"] = "auto-generated"
    for header, value in letter.headers:
        if header.lower() in _TAKEN or header.lower().startswith("content-"):
            raise ValueError(f"{header} is not for the letter to say")
        message[_checked(_HEADER_NAME, header)] = one_line(value, _MOST_HEADER)
    message.set_content(letter.text)
    if letter.html:
        message.add_alternative(letter.html, subtype="html")
        _add_pictures(message, letter)
    for one in letter.attachments:
        main, _, sub = one.kind.partition("/")
        message.add_attachment(
            one.content,
            _checked(_TOKEN, main),
            _checked(_TOKEN, sub),
            filename=one_line(one.name, 100).replace("/", "-"),
        )
    return message


def one_line(text: str, most: int) -> str:
    """Return ``text`` as one line of at most ``most`` characters that can all be seen."""
    plain = "".join(one if one.isprintable() else " " for one in text).strip()
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def bare_address(text: str) -> str:
    """Return the address in ``text`` without a name, as servers get it.

    Raises:
        ValueError: it is none.
    """
    address = sent_as(parseaddr(text)[1]) if is_address(text) else None
    if address is None:
        raise ValueError(f"{text[:80]!r} is no mail address")
    return address


def _add_pictures(message: EmailMessage, letter: Letter) -> None:
    html = message.get_body(("html",))
    assert isinstance(html, EmailMessage)
    for one in letter.pictures:
        name = _checked(_TOKEN, one.name)
        html.add_related(
            one.content,
            "image",
            _checked(_TOKEN, one.kind),
            cid=f"<{name}>",
            filename=f"{name}.{one.kind}",
            disposition="inline",
        )


def _address(text: str, name: str) -> Address:
    return Address(one_line(parseaddr(text)[0] or name, 100), addr_spec=bare_address(text))


def _checked(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"{text[:80]!r} can't stand there")
    return text
