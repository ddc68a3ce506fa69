"""Pictures in mails about alerts, and mails that go without."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from zoneinfo import ZoneInfo

import msgspec
import pytest
from PIL import Image

from motehub.alerting.chart import HEIGHT, WIDTH
from motehub.alerting.pictures import MOST_PICTURES, LookBack, Pictures
from motehub.alerting.wording import BEGINS, OVER, Told, compose
from motehub.languages import Words
from motehub.rollups import RollupColumns, columns_of

NOW = 1_763_000_000_000_000
MINUTE = 60_000_000
PARIS = ZoneInfo("Europe/Paris")
LONG = 30.0
TOLD = Told(
    7,
    BEGINS,
    "warm",
    "critical",
    "freezer",
    "temperature",
    "freezer: temperature is -12 °C",
    "temperature above -15",
    NOW,
    NOW - 20 * MINUTE,
    5,
    -12.0,
    "°C",
    (-15.0,),
)


def look_back(series: int, since: int, until: int) -> Iterator[RollupColumns]:
    """A freezer of which nothing came for an hour."""
    assert series == 5
    rows = []
    for start in range(since // MINUTE * MINUTE, until, MINUTE):
        if not NOW - 360 * MINUTE < start < NOW - 300 * MINUTE:
            value = -18 + math.sin((NOW - start) / 3.6e9)
            rows.append((start, 1, value, value + 0.5, value, value, start))
    yield columns_of(rows)


def picture(told: Told = TOLD, back: LookBack = look_back) -> bytes:
    (found,) = Pictures(back, PARIS).of([told], NOW, LONG).values()
    return found.content


def colours(content: bytes) -> set[tuple[int, ...]]:
    """The colours of which there is much."""
    image = Image.open(BytesIO(content)).convert("RGB")
    found = image.getcolors(1_000_000) or []
    return {colour for count, colour in found if count > 100 and isinstance(colour, tuple)}


def test_a_series_with_its_limit_is_drawn() -> None:
    """Twice as large as it is shown, in few bytes; the limit is red, the alert light red."""
    content = picture()
    image = Image.open(BytesIO(content))
    assert (image.format, image.size) == ("PNG", (2 * WIDTH, 2 * HEIGHT))
    assert len(content) < 30_000
    plain = picture(msgspec.structs.replace(TOLD, lines=(), began=NOW))
    assert len(colours(content)) > len(colours(plain))


@pytest.mark.parametrize(
    "values", [(1.0, 1.0), (1e300, -1e300), (0.0, 1e-300)], ids=["flat", "large", "small"]
)
def test_any_numbers_can_be_drawn(values: tuple[float, float]) -> None:
    """Flat series, and numbers of any size."""

    def back(_series: int, _since: int, until: int) -> Iterator[RollupColumns]:
        times = (until - 2 * MINUTE, until - MINUTE)
        yield columns_of(
            [(time, 1, one, one, one, one, time) for time, one in zip(times, values, strict=True)]
        )

    told = msgspec.structs.replace(TOLD, value=values[0], lines=())
    assert picture(told, back)


def test_what_can_not_be_drawn_costs_no_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A history that is away, one that knows nothing, texts, and no Pillow."""

    def away(_series: int, _since: int, _until: int) -> Iterator[RollupColumns]:
        raise OSError("the disk is gone")

    def empty(_series: int, _since: int, _until: int) -> Iterator[RollupColumns]:
        return iter(())

    for back in (away, empty):
        assert Pictures(back, PARIS).of([TOLD], NOW, LONG) == {}
    of_device = msgspec.structs.replace(TOLD, series=0)
    assert Pictures(look_back, PARIS).of([of_device], NOW, LONG) == {}
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert Pictures(look_back, PARIS).of([TOLD], NOW, LONG) == {}


def test_one_that_can_not_be_drawn_keeps_no_other_back() -> None:
    """Numbers beyond all arithmetic of one device cost the pictures of that device alone."""
    first = [
        msgspec.structs.replace(TOLD, alert=1, severity="critical", lines=(1e308, -1e308)),
        msgspec.structs.replace(TOLD, alert=2, severity="info"),
    ]
    assert set(Pictures(look_back, PARIS).of(first, NOW, LONG)) == {2}


def test_nobody_waits_for_a_picture() -> None:
    """A history that hangs holds up one mail for a moment, and others not at all."""
    go_on = threading.Event()
    asked = 0

    def hangs(series: int, since: int, until: int) -> Iterator[RollupColumns]:
        nonlocal asked
        asked += 1
        assert go_on.wait(LONG)
        yield from look_back(series, since, until)

    pictures = Pictures(hangs, PARIS)
    assert pictures.of([TOLD], NOW, 0.01) == {}
    assert pictures.of([TOLD], NOW, LONG) == {}
    assert asked == 1
    go_on.set()


def test_a_mail_of_many_shows_the_worst() -> None:
    """Pictures of a few; all are told of, and an alert that is over is drawn once."""
    severities = ("info", "critical", "warning", "critical", "info")
    told = [
        msgspec.structs.replace(TOLD, alert=number, severity=severity)
        for number, severity in enumerate(severities, 1)
    ]
    told.append(msgspec.structs.replace(told[1], kind=OVER))
    found = Pictures(look_back, PARIS).of(told, NOW, LONG)
    assert set(found) == {2, 3, 4}
    assert len(found) == MOST_PICTURES
    names = {alert: one.name for alert, one in found.items()}
    wording = compose(told, "garden", "https://hub.example", PARIS, Words("en"), names)
    assert wording.html.count("<img ") == MOST_PICTURES + 1
    assert wording.text.count("· alert ") == len(told)
    assert 'alt="temperature of freezer' in wording.html
