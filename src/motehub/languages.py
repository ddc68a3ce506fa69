"""The languages of pages and mails: catalogues of messages, and sentences made of them.

A catalogue is a folder of JSON files, one for each area. The message ``rename`` in ``device.json``
is ``device.rename``. Numbers and names are put in for ``{name}``; a message that depends on a
number is an object of its forms by plural category (CLDR), and ``count`` chooses. What the hub
itself says, in errors, events and alerts, is English; ``fr.said.json`` has it in French.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

import msgspec


class Language(enum.Enum):
    """What pages and mails are written in; the first one is for readers of all others."""

    ENGLISH = "en"
    FRENCH = "fr"


LANGUAGES: Final = tuple(one.value for one in Language)
"""The same by their names."""

SELDOM: Final = ("reasons", "rules")
"""What few pages tell: why payloads are rejected, and when rules fire."""

Message = str | dict[str, str]

_PLACE: Final = re.compile(r"\{(\w+)\}")
_QUOTED: Final = re.compile(r"(['\"])(.*)\1", re.DOTALL)
# Longer texts are not looked up, nor are parts of parts of parts without end: what a device has
# said may be in them.
_LONGEST: Final = 1_000
_DEEPEST: Final = 6


@cache
def catalogue(language: str) -> Mapping[str, Message]:
    """Return the messages of the pages in one of ``LANGUAGES``, by their keys."""
    return _messages(_pages().joinpath(language))


def said(language: str, about: str = "said") -> Mapping[str, str]:
    """Return what the hub says in English, each with what it is in one of ``LANGUAGES``.

    Where the hub puts something in, the English has ``{}``, the other ``{1}``, ``{2}`` and so on.
    ``about`` may also be one of ``SELDOM``.
    """
    file = _pages().joinpath(f"{language}.{about}.json")
    return msgspec.json.decode(file.read_bytes(), type=dict[str, str]) if file.is_file() else {}


@cache
def mail_catalogue(language: str) -> Mapping[str, Message]:
    """Return the messages that only mails and reports have."""
    return _messages(files("motehub").joinpath("mail_words", language))


def check_language(language: str) -> None:
    """See that there is a language of that name, or none is named.

    Raises:
        ValueError: there is none.
    """
    if language and language not in LANGUAGES:
        raise ValueError(f"language {language[:20]!r}: known are {', '.join(LANGUAGES)}")


class Words:
    """Messages in one language; in one that is unknown they are those of the first."""

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else LANGUAGES[0]
        self._messages = {**catalogue(self.language), **mail_catalogue(self.language)}

    def __call__(self, key: str, **values: str | int) -> str:
        """Return a message with ``values`` put in; ``count`` chooses among its forms.

        Raises:
            KeyError: there is no such message.
        """
        message = self._messages[key]
        if isinstance(message, dict):
            count = values["count"]
            assert isinstance(count, int), key
            message = message.get(self._plural(count), message["other"])
        shown = {name: whole(one) if isinstance(one, int) else one for name, one in values.items()}
        return _PLACE.sub(lambda place: shown[place[1]], message)

    def known(self, key: str, text: str) -> str:
        """Return a message if there is one, or else ``text``: for words from elsewhere."""
        return self(key) if key in self._messages else text

    def told(self, text: str) -> str:
        """Return what the hub says in English in this language, as far as it is known there."""
        return self._told(text, _DEEPEST)

    def _told(self, text: str, depth: int) -> str:
        sayings = _sayings(self.language)
        if text in sayings.whole or len(text) > _LONGEST:
            return sayings.whole.get(text, text)
        for shape, other in sayings.shapes if depth else ():
            if (found := put_into(shape, text)) is not None:
                *parts, stop = found
                return self._put_in(other, parts, depth - 1) + stop
        return text

    def _put_in(self, other: str, parts: Sequence[str], depth: int) -> str:
        def fill(place: re.Match[str]) -> str:
            part = parts[int(place[1]) - 1]
            quoted = _QUOTED.fullmatch(part)
            return self._told(quoted[2] if quoted else part, depth)

        return _PLACE.sub(fill, other)

    def _plural(self, count: int) -> str:
        # The categories of CLDR for whole numbers that reports have: French has none for zero.
        return "one" if count == 1 or (count == 0 and self.language == "fr") else "other"


def whole(count: int) -> str:
    """Return a count with its thousands apart."""
    return f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def put_into(shape: Sequence[str], text: str) -> list[str] | None:
    """Return what stands in ``text`` between the parts of ``shape``, and the full stop behind.

    Some texts are said as sentences of their own, with a full stop. None if it is another text. A
    regular expression would do the same, but what a device says could keep it busy for minutes.
    """
    first, *others = shape
    found: list[str] = []
    if not others:
        return [text[len(first) :]] if text in (first, f"{first}.") else None
    if not text.startswith(first):
        return None
    begin = len(first)
    for part in others[:-1]:
        end = text.find(part, begin)
        if end < 0:
            return None
        found.append(text[begin:end])
        begin = end + len(part)
    for ending, stop in ((f"{others[-1]}.", "."), (others[-1], "")):
        end = len(text) - len(ending)
        if begin <= end and text.endswith(ending):
            return [*found, text[begin:end], stop]
    return None


class _Sayings(msgspec.Struct, frozen=True):
    """What the hub says as a whole, and cut at each ``{}``: what leaves least open comes first."""

    whole: Mapping[str, str]
    shapes: list[tuple[list[str], str]]


@cache
def _sayings(language: str) -> _Sayings:
    # Mails tell of alerts, and so of rules.
    all_said = {**said(language), **said(language, "rules")}
    order = sorted(all_said, key=lambda one: -len(one.replace("{}", "")))
    return _Sayings(all_said, [(english.split("{}"), all_said[english]) for english in order])


def _pages() -> Traversable:
    return files("motehub.web").joinpath("static", "languages")


def _messages(folder: Traversable) -> dict[str, Message]:
    found: dict[str, Message] = {}
    for file in sorted(folder.iterdir(), key=lambda one: one.name):
        area = file.name.removesuffix(".json")
        messages = msgspec.json.decode(file.read_bytes(), type=dict[str, Message])
        found |= {f"{area}.{name}": message for name, message in messages.items()}
    return found
