"""The languages of the pages, and which of them a reader prefers; see :mod:`motehub.languages`."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Final

import msgspec

from motehub.languages import LANGUAGES, catalogue, said

asked_in: Final[ContextVar[str]] = ContextVar("asked_in", default="")
"""The language that a browser prefers whose request is being answered; "" where none is."""

_RANGE: Final = re.compile(
    r"\s*([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9-]*)?\s*(?:;\s*q=([01](?:\.\d*)?))?"
)
_MOST_RANGES: Final = 20
# {{area.message}}, {{> part}} and {{language}}.
_PLACE: Final = re.compile(r"\{\{(>?)\s*([a-z0-9_.]+)\s*\}\}")


def seldom_said(language: str, about: str) -> bytes:
    """Return a module whose default export is what ``said`` returns about one of ``SELDOM``."""
    return b"export default %b;\n" % msgspec.json.encode(said(language, about))


def script(language: str, keys: Callable[[str], bool] = lambda _: True) -> bytes:
    """Return a module: its default export has the messages with these keys, beside it ``said``."""
    messages = {key: message for key, message in catalogue(language).items() if keys(key)}
    return b"export default %b;\nexport const said = %b;\n" % (
        msgspec.json.encode(messages),
        msgspec.json.encode(said(language)),
    )


def asked_for(scripts: Iterable[str]) -> Callable[[str], bool]:
    """Return what tells of a message's key whether any of these scripts asks for it."""
    areas = "|".join({key.partition(".")[0] for key in catalogue(LANGUAGES[0])})
    # "area.name" and `area.name_${what}`.
    key = re.compile(rf"[\"`]((?:{areas})\.[a-z0-9_]*)(\$\{{)?")
    found = [pair for text in scripts for pair in key.findall(text)]
    whole = {name for name, more in found if not more}
    beginnings = tuple({name for name, more in found if more})
    return lambda key: key in whole or key.startswith(beginnings)


def preferred(accept: bytes) -> str:
    """Return the language that fits ``Accept-Language`` (RFC 9110 § 12.5.4) best."""
    wanted: dict[str, float] = {}
    for text in accept.decode("latin-1").split(",")[:_MOST_RANGES]:
        if match := _RANGE.fullmatch(text):
            quality = float(match[2]) if match[2] else 1.0
            name = match[1].lower()
            wanted[name] = max(quality, wanted.get(name, 0.0))
    known = [one for one in LANGUAGES if wanted.get(one, 0.0) > 0]
    return max(known, key=lambda one: wanted[one]) if known else LANGUAGES[0]


def rendered(page: str, language: str, parts: Mapping[str, str]) -> str:
    """Return the HTML of a page whose places are filled with parts and messages.

    Raises:
        KeyError: there is no such part or message.
    """

    def fill(place: re.Match[str]) -> str:
        if place[1]:
            return rendered(parts[place[2]], language, parts).rstrip()
        if place[2] == "language":
            return language
        message = catalogue(language)[place[2]]
        assert isinstance(message, str), place[2]
        return html.escape(message)

    return _PLACE.sub(fill, page)


def keys_of(page: str) -> Iterable[str]:
    """Return the messages that a page asks for."""
    return [place[2] for place in _PLACE.finditer(page) if not place[1] and "." in place[2]]
