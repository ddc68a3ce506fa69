"""The languages of the pages, and that nothing is said in only one of them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import motehub.web
from motehub.http_exchange import Request
from motehub.web import pages
from motehub.web.languages import LANGUAGES, catalogue, keys_of, preferred

STATIC: Final = Path(motehub.web.__file__).parent / "static"
PLURALS: Final = {"zero", "one", "two", "few", "many", "other"}

AREAS: Final = "|".join(file.stem for file in (STATIC / "languages" / "en").iterdir())
# "area.name" and `area.name_${what}`.
_KEY: Final = re.compile(rf"[\"`]((?:{AREAS})\.[a-z0-9_]*)(\$\{{)?")


def asked_for() -> Iterator[tuple[str, str]]:
    """What the pages and scripts ask for; a key that ends in "*" stands for all that begin so."""
    for page in STATIC.rglob("*.html"):
        for key in keys_of(page.read_text("utf-8")):
            yield page.name, key
    for one in STATIC.glob("*.js"):
        for key, more in _KEY.findall(one.read_text("utf-8")):
            yield one.name, f"{key}*" if more else key


def test_each_language_has_every_message() -> None:
    """The catalogues have the same keys, with the same places to fill."""
    first = catalogue(LANGUAGES[0])
    assert len(first) > 50
    for language in LANGUAGES[1:]:
        other = catalogue(language)
        assert set(first) == set(other), set(first) ^ set(other)
        for key, message in first.items():
            assert type(message) is type(other[key]), key
            assert places(message) == places(other[key]), key


def places(message: object) -> Counter[str]:
    """The names of what is put into a message, or into each form of it."""
    if isinstance(message, dict):
        assert set(message) <= PLURALS
        assert "other" in message
        found = {frozenset(places(one)) for one in message.values()}
        return Counter(frozenset.union(*found))
    return Counter(re.findall(r"\{(\w+)\}", str(message)))


def test_what_pages_ask_for_is_there() -> None:
    """No page or script asks for a message that no catalogue has, and none is there for nobody."""
    there = set(catalogue(LANGUAGES[0]))
    used: set[str] = set()
    for name, key in asked_for():
        found = {one for one in there if one.startswith(key[:-1])} if key[-1] == "*" else {key}
        assert found, f"{name} asks for {key}"
        assert found <= there, f"{name} asks for {key}"
        used |= found
    assert used == there, there - used


def test_catalogues_are_in_order() -> None:
    """Messages stand by name in their files: so additions seldom meet."""
    for file in (STATIC / "languages").rglob("*.json"):
        names = list(json.loads(file.read_text("utf-8")))
        assert names == sorted(names), file


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("", "en"),
        ("fr", "fr"),
        ("fr-CH, fr;q=0.9, en;q=0.8", "fr"),
        ("de-DE, en;q=0.4, fr;q=0.6", "fr"),
        ("de, *;q=0.5", "en"),
        ("en;q=0.1, fr;q=0", "en"),
        ("FR", "fr"),
        ("fr;q=x, ;;, \xff", "en"),
    ],
)
def test_what_a_browser_prefers(accept: str, language: str) -> None:
    """The best that there is of what a browser would take, else English."""
    assert preferred(accept.encode("latin-1")) == language


def test_pages_are_written_in_the_language_of_their_reader() -> None:
    """What somebody has chosen comes before what the browser prefers; caches can tell."""
    for chosen, accept, word in (
        (None, b"fr", "Se connecter"),
        (None, b"de", "Log in"),
        ("en", b"fr", "Log in"),
        ("", b"fr", "Se connecter"),
    ):
        answer = pages.answers(lambda _, chosen=chosen: chosen)["GET", "/login"]  # type: ignore[misc]
        page = answer(Request("GET", "/login", b"", {b"accept-language": accept}, b"", ""))
        assert f">{word}</button>" in page.body.decode()
        assert f'<html lang="{"fr" if accept == b"fr" and chosen != "en" else "en"}">' in (
            page.body.decode()
        )
        assert (b"vary", b"accept-language, cookie") in page.headers
        assert b"{{" not in page.body
