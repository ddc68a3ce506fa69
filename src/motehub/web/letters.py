"""What mails to people say, in their language; plain text, with a link on a line of its own."""

from __future__ import annotations

import msgspec

from motehub.languages import Words


class Note(msgspec.Struct, frozen=True):
    """A mail to one person."""

    address: str
    subject: str
    text: str


def note(what: str, language: str, address: str, **values: str) -> Note:
    """Return a mail of one kind: ``password``, ``changed``, ``moved`` or ``invitation``.

    ``language`` is one of the pages'. ``values`` are ``hub``, ``name`` and, where one is in it,
    ``link``.
    """
    words = Words(language)
    subject, text = (
        words(f"letter.{what}_subject", **values),
        words(f"letter.{what}_text", **values),
    )
    return Note(address, subject, text)
