"""The languages of the pages: catalogues of messages, and which of them a reader prefers.

A catalogue is a folder of JSON files, one for each area of the pages. The message ``rename`` in
``device.json`` is ``device.rename``. Numbers and names are put in for ``{name}``; a message that
depends on a number is an object of its forms by plural category (CLDR), and ``count`` chooses.
What the hub itself says, in errors and events, is English; pages look it up in ``fr.said.json``,
and what few of them tell in files of its own.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

LANGUAGES: Final = ("en", "fr")
"""What the pages are written in; the first one is for readers of all others."""

asked_in: Final[ContextVar[str]] = ContextVar("asked_in", default=LANGUAGES[0])
"""The language that a browser prefers whose request is being answered."""

SELDOM: Final = ("reasons", "rules")
"""What few pages tell: why payloads are rejected, and when rules fire."""

Message = str | dict[str, str]

_RANGE: Final = re.compile(
    r"\s*([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9-]*)?\s*(?:;\s*q=([01](?:\.\d*)?))?"
)
_MOST_RANGES: Final = 20
# {{area.message}}, {{> part}} and {{language}}.
_PLACE: Final = re.compile(r"\{\{(>?)\s*([a-z0-9_.]+)\s*\}\}")


@cache
def catalogue(language: str) -> Mapping[str, Message]:
    """Return the messages of one of ``LANGUAGES`` by their keys."""
    folder = files("motehub.web").joinpath("static", "languages", language)
    found: dict[str, Message] = {}
    for file in sorted(folder.iterdir(), key=lambda one: one.name):
        area = file.name.removesuffix(".json")
        messages = msgspec.json.decode(file.read_bytes(), type=dict[str, Message])
        found |= {f"{area}.{name}": message for name, message in messages.items()}
    return found


def said(language: str, about: str = "said") -> Mapping[str, str]:
    """Return what the hub says in English, each with what it is in one of ``LANGUAGES``.

    Where the hub puts something in, the English has ``{}``, the other ``{1}``, ``{2}`` and so on.
    ``about`` may also be one of ``SELDOM``.
    """
    folder = files("motehub.web").joinpath("static", "languages")
    file = folder.joinpath(f"{language}.{about}.json")
    return msgspec.json.decode(file.read_bytes(), type=dict[str, str]) if file.is_file() else {}


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
