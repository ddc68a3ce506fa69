"""Reports as HTML, text and PDF."""

from __future__ import annotations

import io
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest
from pypdf import PdfReader

from motehub.model import MICROSECONDS, Kind
from motehub.reports import page, plain
from motehub.reports.contents import (
    AlertPart,
    Beyond,
    Chart,
    Contents,
    DevicePart,
    Limit,
    Line,
    SeriesPart,
)
from motehub.reports.pdf import pages
from motehub.reports.words import lasting, number, share

PARIS = ZoneInfo("Europe/Paris")
HOUR = 3_600 * MICROSECONDS
SPRING = 1_774_738_800 * MICROSECONDS  # 29 March 2026, 0:00 in Paris
EVIL = "<img src=x onerror=alert(1)>\"'&\u202e\U0001f600"

SERIES = SeriesPart(
    "temperature",
    "°C",
    Kind.GAUGE,
    8_640,
    -21.25,
    4.0,
    -19.8,
    -20.0,
    (Beyond(Limit(-15.0, True, "warm"), 4_200.0, 0.05),),
    gaps=2,
    longest_gap=1_800.0,
)


def contents(name: str = "freezer", devices: int = 1) -> Contents:
    text = SeriesPart(name, name, Kind.TEXT, 1, last=name)
    some = tuple(DevicePart(name, (SERIES, text), 0.99991, 12) for _ in range(devices))
    alert = AlertPart(name, f"{name} is warm", "warning", SPRING + HOUR, SPRING + 4 * HOUR)
    line = Line(name, [SPRING], [1.0], [2.0], [1.5], HOUR)
    chart = Chart(name, name, (line,), (3.0,))
    until = SPRING + 23 * HOUR
    return Contents(name, name, SPRING, until, "Europe/Paris", some, (alert,), 1, (chart,), (name,))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def tags(html: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(html)
    return parser.tags


def test_what_devices_are_called_is_no_markup() -> None:
    """The same elements with the same attributes are there, whatever names hold."""
    link, leave = "https://h", "https://h/leave"
    good, bad = (
        page.opening(contents(name), PARIS, ["cid:chart0"], link) + page.closing(name, link, leave)
        for name in ("freezer", EVIL)
    )
    shape = [(tag, sorted(attributes)) for tag, attributes in tags(good)]
    assert [(tag, sorted(attributes)) for tag, attributes in tags(bad)] == shape
    assert {tag for tag, _ in shape}.isdisjoint({"script", "style", "link", "iframe", "form"})
    sources = [attributes["src"] for tag, attributes in tags(bad) if tag == "img"]
    assert sources == ["cid:chart0"]
    links = [attributes["href"] or "" for tag, attributes in tags(bad) if tag == "a"]
    assert all(one.startswith("https://h") for one in links)


def test_a_report_says_what_there_is_to_say() -> None:
    """In the text as in the HTML; a day on which clocks change has the times of both."""
    text = plain.text_of(contents(), PARIS) + plain.ending("home", "https://h", "https://h/leave")
    assert "2026-03-29 00:00 to 2026-03-30 00:00 (Europe/Paris)" in text
    assert "2026-03-29 01:00, for 3 h" in text
    assert "freezer (99.9 % of expected readings, 12 missing)" in text
    assert "above -15 °C for 1 h 10 min, 5 % of the time (rule warm)" in text
    assert "2 gaps, the longest 30 min" in text
    assert "Send me this report no more: https://h/leave" in text
    assert max(map(len, text.splitlines())) < 80
    html = page.opening(contents(), PARIS, [], "") + page.closing("home", "", "")
    for part in ("99.9 % of expected readings", "1 h 10 min", "2 gaps", "-21.25", "-19.8"):
        assert part in html
    assert "no more" not in html


def test_pages_are_filled_one_after_the_other() -> None:
    """With the foot on each, and any letters."""
    reader = PdfReader(io.BytesIO(pages(contents(EVIL, devices=30), [], PARIS)))
    assert len(reader.pages) > 3
    words = [one.extract_text() for one in reader.pages]
    assert f"{len(words)}/{len(words)}" in words[-1]
    assert "<img src=x onerror=alert(1)>" in words[0]
    assert "12 missing" in words[-1]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (21.5, "21.5"),
        (-15.25, "-15.25"),
        (1013.25, "1013.2"),
        (123456.0, "123456"),
        (0.00012, "0.00012"),
        (1e9, "1e+09"),
        (None, "\N{EN DASH}"),
        ("a\nb", "a b"),
    ],
)
def test_numbers_are_short(value: float | str | None, text: str) -> None:
    """But never wrong by more than people see."""
    assert number(value) == text


def test_durations_and_shares() -> None:
    """Two units are enough, and all is only all."""
    assert [lasting(one) for one in (0.2, 61, 3600, 90_061, 59.6)] == [
        "0 s",
        "1 min 1 s",
        "1 h",
        "1 d 1 h",
        "1 min",
    ]
    assert [share(one) for one in (1.0, 0.9999, 0.5, 0.123)] == [
        "100 %",
        "99.9 %",
        "50 %",
        "12.3 %",
    ]
