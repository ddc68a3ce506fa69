"""What mails say in each language."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.web.test_languages import places

import motehub
from motehub.languages import LANGUAGES, Words, mail_catalogue, put_into

PACKAGE: Final = Path(motehub.__file__).parent
EN, FR = Words("en"), Words("fr")


def test_each_language_has_every_message_of_mails() -> None:
    """The catalogues have the same keys, with the same places to fill, in the order of names."""
    first = mail_catalogue(LANGUAGES[0])
    assert len(first) > 50
    for language in LANGUAGES[1:]:
        other = mail_catalogue(language)
        assert set(first) == set(other), set(first) ^ set(other)
        for key, message in first.items():
            assert type(message) is type(other[key]), key
            assert places(message) == places(other[key]), key
    for file in (PACKAGE / "mail_words").rglob("*.json"):
        names = list(json.loads(file.read_text("utf-8")))
        assert names == sorted(names), file


def test_no_message_is_there_for_nobody() -> None:
    """Each is asked for somewhere, by its key or by the beginning of it."""
    source = "".join(
        file.read_text("utf-8")
        for folder in ("reports", "alerting", "web", "cli")
        for file in (PACKAGE / folder).glob("*.py")
    )
    asked = re.findall(r'["\']((?:alert|letter|report|when)\.[a-z0-9_]*)(\{)?', source)
    whole = {key for key, more in asked if not more}
    begun = {key for key, more in asked if more}
    areas = {"letter."} | begun
    for key in mail_catalogue(LANGUAGES[0]):
        assert key in whole or any(key.startswith(one) for one in areas), key
    for key in whole:
        assert key in mail_catalogue(LANGUAGES[0]), key


def test_a_number_chooses_the_form() -> None:
    """And has its thousands apart; French has none of nothing in the singular."""
    assert [EN("report.changes", count=n) for n in (0, 1, 2)] == [
        "0 changes",
        "1 change",
        "2 changes",
    ]
    assert FR("report.changes", count=0) == "0 changement"
    assert FR("report.changes", count=1_234) == "1\u202f234 changements"
    assert Words("de")("report.alerts") == "Alerts"


@pytest.mark.parametrize(
    ("text", "french"),
    [
        ("c is offline", "c est hors ligne"),
        ("c is offline.", "c est hors ligne."),
        (
            "c: t is 21.5 °C (t above 20 for 5 min)",
            "c : t vaut 21.5 °C (t au-dessus de 20 pendant 5 min)",
        ),
        (
            "There is no rule called 'x'. Known rules: y.",
            "Il n’y a pas de règle nommée x. Règles connues : y.",
        ),
        ("c: nothing comes any more of t", "c : plus rien n’arrive pour t"),
        ("c: door is open for 5 min", "c : door vaut open pendant 5 min"),
        (
            "c: t is 21.5 °C (t rises by more than 3 within 10 min)",
            "c : t vaut 21.5 °C (t monte de plus de 3 en 10 min)",
        ),
        ("nothing of the sort", "nothing of the sort"),
        ("c is offline" + " " * 1_000, "c is offline" + " " * 1_000),
    ],
)
def test_what_the_hub_says_is_said_in_french(text: str, french: str) -> None:
    """As the pages do it: the same sentences, and what is unknown stays as it is."""
    assert FR.told(text) == french
    assert EN.told(text) == text


SHAPES: Final = (
    "{}: {}",
    "{} is {} ({} above {} or below {} for {})",
    "a{}{}b",
    "{}.",
    "ab",
    "a{}a",
)


@given(st.sampled_from(SHAPES), st.text("ab.: (is", max_size=30) | st.sampled_from(SHAPES))
def test_what_is_put_in_is_as_short_as_it_can_be(shape: str, text: str) -> None:
    """What is found between the words of a sentence is what a lazy regular expression finds."""
    lazy = "(.*?)".join(map(re.escape, shape.split("{}"))) + r"(\.?)"
    found = re.fullmatch(lazy, text, re.DOTALL)
    assert put_into(shape.split("{}"), text) == (None if found is None else list(found.groups()))


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_keeps_anybody_busy(language: str) -> None:
    """A device may say something in which the words of sentences come again and again."""
    words = Words(language)
    for part in (": ", " is ", ": is ( above or below for )", "It has no "):
        text = (part * 500)[:999] + "#"
        assert words.told(text).endswith("#")
    assert FR.told("no " * 300 + "x").startswith("plus de plus de ")
