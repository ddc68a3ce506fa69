"""What mails to people say, in their language; plain text, with a link on a line of its own."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import msgspec


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
    words = _words(language)
    subject, text = words[f"{what}_subject"], words[f"{what}_text"]
    return Note(address, subject.format(**values), text.format(**values))


@cache
def _words(language: str) -> dict[str, str]:
    file = files("motehub.web").joinpath("letter_files", f"{language}.json")
    return msgspec.json.decode(file.read_bytes(), type=dict[str, str])
