"""The languages of the pages, and that nothing is said in only one of them."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import motehub.web
from motehub import errors
from motehub.http_exchange import Request
from motehub.languages import LANGUAGES, SELDOM, catalogue, said
from motehub.web import pages
from motehub.web.languages import keys_of, preferred, script, seldom_said

PACKAGE: Final = Path(motehub.web.__file__).parents[1]
# These have words of their own on the pages to which they lead.
LED_ELSEWHERE: Final = ("The set-up link", "The invitation")
STATIC: Final = Path(motehub.web.__file__).parent / "static"
PLURALS: Final = {"zero", "one", "two", "few", "many", "other"}

AREAS: Final = "|".join(file.stem for file in (STATIC / "languages" / "en").iterdir())
# "area.name" and `area.name_${what}`.
_KEY: Final = re.compile(rf"[\"`]((?:{AREAS})\.[a-z0-9_]*)(\$\{{)?")

_WORDS: Final = re.compile(r"[a-z{}'’]+,? [a-z{]|; [a-z]")
# These tell the hub's owner of configuration and discovery, in its log and on the command line.
NO_REASONS: Final = {
    "mqtt_meaning/discovery.py",
    "mqtt_meaning/settings.py",
    "mqtt_meaning/templates.py",
}
# What is no reason, or is one only with what is put in, which is looked up by itself.
NOT_SAID: Final = {
    "not plain",
    "{} {}",
    "there are {} configurations already",
    "{} is left out: {}",
    "{} is no path such as sensors[0].temperature",
}
TOLD: Final = {
    "reasons": {
        "not JSON: ',' or ']' expected at byte 12": (
            "pas du JSON : « , » ou « ] » attendu à l’octet 12"
        ),
        "'humidity' is a boolean, which is no reading": (
            "« humidity » est un booléen, ce qui n’est pas une mesure"
        ),
        "the field 't' has no value at byte 7 (line 3)": (
            "le champ « t » n’a pas de valeur, à l’octet 7 (ligne 3)"
        ),
        "sensor 2 is an array where an object is expected": (
            "capteur 2 est un tableau au lieu d’un objet"
        ),
        "The body is not JSON: a value expected at byte 0.": (
            "Le contenu : pas du JSON : une valeur attendu à l’octet 0."
        ),
        "sensors[0].t: there is no 't' in it": "sensors[0].t : il n’y a pas de « t » dedans",
        "the value, 300 °C, is not within -40 to 80": "la valeur, 300 °C, n’est pas dans -40 à 80",
        "what no decoder says": "what no decoder says",
    },
    "rules": {
        "oven: state is on fire": "oven : state vaut on fire",
        "oven: t is 9 (t rises by more than 2 within 10 min)": (
            "oven : t vaut 9 (t monte de plus de 2 en 10 min)"
        ),
        "no humidity for 2 h": "plus de humidity pendant 2 h",
    },
}
PUT_TOGETHER: Final = {
    " (line {})",
    "message: {} stands for nothing. Did you mean {}?",
    "message: {} stands for nothing. Known: {}",
    "no {} for {}",
    "offline for {}",
    *(
        f"{{}} {change} within {{}}{held}"
        for change in (
            *(f"{how} by more than {{}}" for how in ("rises", "falls", "changes")),
            "rises by more than {} or falls by more than {}",
        )
        for held in ("", " for {}")
    ),
    *(f"{what}{{}} is {{}}{held}" for what in ("", "{}: ") for held in ("", " for {}")),
    "not JSON: {} expected at byte {}",
    "null",
    "sensor {} {}",
    "the value, {}, is not within {}",
    "{} has a 'sensorType' that is no name",
    "{} has a name of more than {} bytes",
    "{} has no values",
    "{} has the key {} twice",
    "{} is not a finite number",
    "{} is text longer than {} bytes",
    "{} is text with half of a surrogate pair",
    "{} is the second value for the metric {} in this post",
    "{} is {} where a number is expected",
    "{} is {} where an object is expected",
    "{} is {}, which is no reading",
    "{} makes no metric name of 1 to 128 printable bytes",
}


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
        "message: {} stands for nothing. Did you mean {}?",
        "message: {} stands for nothing. Known: {}",
        *(
            f"{said} yet.{near}"
            for said in (
                "There is no device called {}",
                "No device has the label {}",
                "No {} has come from the device",
                "No {} has come from a device that it looks at",
            )
            for near in ("", " Did you mean {}?", " Known: {}.")
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
    # Pages look for a sentence without its full stop, too.
    there |= {text.removesuffix(".") for text in there}
    for language in LANGUAGES[1:]:
        for english, other in all_said(language):
            assert english in there | PUT_TOGETHER, english
            places = {int(one) for one in re.findall(r"\{(\d)\}", other)}
            assert max(places, default=0) <= english.count("{}"), english
            assert 0 not in places, english


def all_said(language: str) -> Iterator[tuple[str, str]]:
    """What the hub says in English, and what it is in the language."""
    for about in ("said", *SELDOM):
        yield from said(language, about).items()


def test_reasons_for_rejecting_payloads_are_translated() -> None:
    """Whatever a decoder may say of a payload is said in each language."""
    found: set[str] = set()
    for folder in ("protocols", "mqtt_meaning"):
        for path in (PACKAGE / folder).glob("*.py"):
            if f"{folder}/{path.name}" not in NO_REASONS:
                found |= set(reasons_in(path))
    for name in ("exact_json", "json_times"):
        found |= set(reasons_in(PACKAGE / f"{name}.py"))
    assert len(found) > 150
    for language in LANGUAGES[1:]:
        known = set(said(language)) | set(said(language, "reasons"))
        assert found <= known | NOT_SAID, found - known - NOT_SAID


@pytest.mark.parametrize("about", SELDOM)
def test_the_hub_is_told_as_it_speaks(tmp_path: Path, about: str) -> None:
    """What is put in is looked up too: a reason within a reason, a kind of value, a line."""
    (tmp_path / "languages").mkdir()
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "words.js").write_text((STATIC / "words.js").read_text("utf-8"))
    (tmp_path / "languages" / "fr.js").write_bytes(script("fr"))
    (tmp_path / "languages" / f"fr.{about}.js").write_bytes(seldom_said("fr", about))
    (tmp_path / "main.js").write_text(
        'globalThis.document = { documentElement: { lang: "fr" } };\n'
        'Object.defineProperty(globalThis, "navigator", { value: { languages: ["fr"] } });\n'
        'const { telling } = await import("./words.js");\n'
        "const told = JSON.parse(process.argv[3]).map(await telling(process.argv[2]));\n"
        "console.log(JSON.stringify(told));\n"
    )
    # A regular expression would look for the words of sentences in it for many seconds.
    texts = [*TOLD[about], "".join(one * 35 for one in (": ", " is ", " (", " above ", "#"))]
    command = ["node", str(tmp_path / "main.js"), about, json.dumps(texts)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *found, busy = json.loads(done.stdout)
    assert dict(zip(TOLD[about], found, strict=True)) == TOLD[about]
    assert busy.endswith("#")


def test_a_time_has_three_digits(tmp_path: Path) -> None:
    """However short it was: nobody reads 0.0123456 seconds."""
    (tmp_path / "languages").mkdir()
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "words.js").write_text((STATIC / "words.js").read_text("utf-8"))
    (tmp_path / "languages" / "en.js").write_bytes(script("en"))
    (tmp_path / "main.js").write_text(
        'globalThis.document = { documentElement: { lang: "en" } };\n'
        'Object.defineProperty(globalThis, "navigator", { value: { languages: ["en"] } });\n'
        'const { spoken } = await import("./words.js");\n'
        "const times = JSON.parse(process.argv[2]);\n"
        'console.log(JSON.stringify(times.map((one) => spoken(one, "short"))));\n'
    )
    said = {
        0: "0 ms",
        0.000123456: "0.123 ms",
        0.0123456: "12.3 ms",
        0.999: "999 ms",
        1.23456: "1.23 sec",
        119: "119 sec",
        150: "2.5 min",
        7200: "2 hr",
        200_000: "2.31 days",
    }
    command = ["node", str(tmp_path / "main.js"), json.dumps(list(said))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == list(said.values())


def reasons_in(path: Path) -> Iterator[str]:
    """The texts of words in a module that are no docstrings, and not parts of other texts."""
    tree = ast.parse(path.read_text("utf-8"))
    other: set[int] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Expr(ast.Constant() as text):
                other.add(id(text))
            case ast.JoinedStr(values):
                other |= {id(one) for one in values}
            case ast.Call(ast.Attribute(attr="compile")):
                other |= {id(one) for one in ast.walk(node)}
            case _:
                pass
    for node in ast.walk(tree):
        if id(node) not in other:
            yield from (text for text in templates_of(node) if _WORDS.search(text))


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
