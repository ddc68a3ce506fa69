"""The languages of the pages, and that nothing is said in only one of them."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import motehub.web
from motehub import errors
from motehub.http_exchange import Request
from motehub.web import pages
from motehub.web.languages import LANGUAGES, catalogue, keys_of, preferred, said

PACKAGE: Final = Path(motehub.web.__file__).parents[1]
# These have words of their own on the pages to which they lead.
LED_ELSEWHERE: Final = ("The set-up link", "The invitation")
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


def templates(path: Path) -> Iterator[str]:
    """The texts in a module, with {} where something is put in; neighbours are one already."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        yield from templates_of(node)


def templates_of(node: ast.AST) -> Iterator[str]:
    """The text of an expression, if it is one."""
    match node:
        case ast.Constant(str(text)):
            yield text
        case ast.JoinedStr(values):
            parts = (str(one.value) if isinstance(one, ast.Constant) else "{}" for one in values)
            yield "".join(parts)


def test_what_the_hub_says_is_still_said_so() -> None:
    """No translation is of a text that the hub does not say any more, and each has its places."""
    there = {text for path in PACKAGE.rglob("*.py") for text in templates(path)}
    # Put together of two texts.
    there |= {
        "There is no device called {}. GET /api/v1/devices lists the names.",
        "{} announced itself as this device, which is online from {}",
        *(
            f"{said} yet.{near}"
            for said in (
                "There is no device called {}",
                "No device has the label {}",
                "No {} has come from the device",
                "No {} has come from a device that it looks at",
            )
            for near in ("", " Did you mean {}?", " There is {}.")
        ),
        *(
            shape.format(f"{{}} {limit}{held}")
            for shape in ("{}", "{{}}: {{}} is {{}} ({})")
            for limit in ("above {}", "below {}", "above {} or below {}")
            for held in ("", " for {}")
        ),
        "{} does not change for {}",
        "no data",
        "no data for {}",
        "{}: stored when it changes by {}",
        "{}: stored every {} s at most",
        "{} is below {}, the least that is valid",
        "{} is above {}, the most that is valid",
        "{} is too large a number when it is calibrated",
        *(
            f"{{}}: {state}"
            for state in ("queued", "sent", "confirmed", "failed: {}", "expired: {}")
        ),
    }
    for language in LANGUAGES[1:]:
        for english, other in said(language).items():
            assert english in there, english
            places = {int(one) for one in re.findall(r"\{(\d)\}", other)}
            assert max(places, default=0) <= english.count("{}"), english


def test_errors_of_forms_are_translated() -> None:
    """What people may have done wrong on a page is told them in each language."""
    files = (
        "accounts",
        "calibrations",
        "command_book",
        "passwords",
        "people",
        "profiles",
        "registry",
        "reports",
        "retention",
    )
    own = {
        name
        for name, one in vars(errors).items()
        if isinstance(one, type) and issubclass(one, errors.OwnerError)
    }
    asked = set()
    for name in files:
        path = PACKAGE / "core" / f"{name}.py"
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in own
            ):
                asked |= {
                    text
                    for text in templates_of(node.args[0])
                    if not text.startswith(LED_ELSEWHERE)
                }
    assert len(asked) > 20
    for language in LANGUAGES[1:]:
        assert asked <= set(said(language)), asked - set(said(language))


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
