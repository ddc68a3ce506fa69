"""Reports as HTML, text and PDF."""

from __future__ import annotations

import io
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import msgspec
import pytest
from pypdf import PdfReader

from motehub.languages import Words
from motehub.model import MICROSECONDS, Kind
from motehub.reports import page, plain
from motehub.reports.contents import (
    AlertPart,
    Beyond,
    Chart,
    Contents,
    DayPart,
    DevicePart,
    Limit,
    Line,
    Remark,
    SeriesPart,
    StatePart,
)
from motehub.reports.pdf import pages
from motehub.reports.words import Phrases

PARIS = ZoneInfo("Europe/Paris")
EN, FR = Words("en"), Words("fr")
SAY = Phrases(EN, PARIS)
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
    return Contents(
        name, name, SPRING, until, "Europe/Paris", some, (alert,), 1, (chart,), (Remark("newest"),)
    )


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
        page.opening(contents(name), SAY, ["cid:chart0"], link)
        + page.closing(EN, name, link, leave)
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
    text = plain.text_of(contents(), SAY) + plain.ending(EN, "home", "https://h", "https://h/leave")
    assert "29 Mar 2026, 00:00 to 30 Mar 2026, 00:00 (Europe/Paris)" in text
    assert "29 Mar 2026, 01:00, for 3 h" in text
    assert "freezer (99.9 % of expected readings, 12 missing)" in text
    assert "above -15 °C for 1 h 10 min, 5 % of the time (rule warm)" in text
    assert "2 gaps, the longest 30 min" in text
    assert "Send me this report no more: https://h/leave" in text
    assert max(map(len, text.splitlines())) < 80
    html = page.opening(contents(), SAY, [], "") + page.closing(EN, "home", "", "")
    for part in ("99.9 % of expected readings", "1 h 10 min", "2 gaps", "-21.25", "-19.8"):
        assert part in html
    assert "no more" not in html


def test_a_report_is_written_in_french() -> None:
    """Its sentences, dates, numbers, metrics and what alerts say; names are what they are."""
    say = Phrases(FR, PARIS)
    told = contents()
    alert = AlertPart("c", "c: nothing comes any more", "critical", SPRING, None)
    days = (DayPart("2026-03-29", 0.5), DayPart("2026-03-30", 1.0))
    device = msgspec.structs.replace(told.devices[0], days=days)
    own = AlertPart("c", "pending", "info", SPRING, None, own=True)
    told = msgspec.structs.replace(told, alerts=(alert, own), devices=(device,))
    text = plain.text_of(told, say) + plain.ending(FR, "home", "", "https://h/leave")
    assert "du 29 mars 2026, 00:00 au 30 mars 2026, 00:00 (Europe/Paris)" in text
    assert "CRITIQUE  c : plus rien n’arrive" in text
    assert "pending" in text
    assert "29 mars 2026, 00:00, pas finie" in text
    assert "température °C" in text
    assert "-21,25" in text
    assert "au-dessus de -15 °C pendant 1 h 10 min, 5 % du temps (règle warm)" in text
    assert "par jour : 29 mars 50 %, 30 mars 100 %" in text.replace("\xa0", " ")
    assert "Les mesures les plus récentes n’y sont pas encore." in text
    assert "Ne plus m’envoyer ce rapport : https://h/leave" in text
    html = page.opening(told, say, [], "") + page.closing(FR, "home", "", "")
    assert '<html lang="fr">' in html
    assert "99,9 % des mesures attendues, 12 manquent<br>par jour" in html
    reader = PdfReader(io.BytesIO(pages(told, [], say)))
    assert "par jour : 29 mars 50 %" in reader.pages[0].extract_text().replace("\xa0", " ")
    assert say.subject(told).startswith("[freezer] freezer : du 29 mars 2026")


def test_of_very_many_days_the_worst_are_told() -> None:
    """Of few all, and none where nothing was missing."""
    days = [DayPart(f"2026-{1 + n // 28:02}-{1 + n % 28:02}", n / 100) for n in range(60)]
    device = DevicePart("x", (), 0.5, 12, tuple(days))
    said = SAY.days(device).replace("\xa0", " ")
    assert said.startswith("least on: 1 Jan 0 %, 2 Jan 1 %")
    assert said.count("%") == 10
    whole = msgspec.structs.replace(device, days=(DayPart("2026-01-01", 1.0),) * 2)
    assert SAY.days(whole) == ""


def test_states_are_called_as_on_the_pages() -> None:
    """0 and 1 are off and on, of a button released and pressed; a text is what was said."""
    states = tuple(StatePart(name, 60.0, 0.5) for name in ("0", "1"))
    part = SeriesPart("light", "", Kind.GAUGE, 2, last="1", states=states, changes=1)
    assert SAY.notes(part) == [
        "off for 1 min, 50 % of the time",
        "on for 1 min, 50 % of the time",
        "1 change",
    ]
    assert SAY.cells(part)[3] == "on"
    button = msgspec.structs.replace(part, metric="button")
    assert SAY.notes(button)[1] == "pressed for 1 min, 50 % of the time"
    text = msgspec.structs.replace(part, kind=Kind.TEXT)
    assert SAY.notes(text)[1] == "1 for 1 min, 50 % of the time"
    others = msgspec.structs.replace(part, states=(StatePart(None, 60.0, 1.0),))
    assert SAY.notes(others)[0] == "others for 1 min, 100 % of the time"


def test_pages_are_filled_one_after_the_other() -> None:
    """With the foot on each, and any letters."""
    reader = PdfReader(io.BytesIO(pages(contents(EVIL, devices=30), [], SAY)))
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
    assert SAY.number(value) == text


def test_durations_and_shares() -> None:
    """Two units are enough, and all is only all."""
    assert [SAY.lasting(one) for one in (0.2, 61, 3600, 90_061, 59.6)] == [
        "0 s",
        "1 min 1 s",
        "1 h",
        "1 d 1 h",
        "1 min",
    ]
    assert [SAY.share(one) for one in (1.0, 0.9999, 0.5, 0.123)] == [
        "100 %",
        "99.9 %",
        "50 %",
        "12.3 %",
    ]


@pytest.mark.parametrize(("seconds", "said"), [(59.0, ""), (10_800.0, ", the hub was off for 3 h")])
def test_what_the_hub_itself_was_off_for_is_told(seconds: float, said: str) -> None:
    """Beside what is missing of the device, unless the hub was only updated."""
    device = DevicePart("x", (), 1.0, 0, hub_down=seconds)
    assert SAY.expected(device) == f"{SAY.share(1.0)} of expected readings{said}"
