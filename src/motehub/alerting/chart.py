"""A small picture of what a series was when its alert began; Pillow is imported only to draw it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import msgspec

from motehub.model import MICROSECONDS

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

WIDTH: Final = 560
HEIGHT: Final = 170
"""Size in which mails show it; it is drawn twice as large, for screens that can show that."""

_SCALE: Final = 2
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 14, 12, 26
_TEXT: Final = 12
_LINE: Final = "#0b57d0"
_BAND: Final = "#c9dbfa"
_LIMIT: Final = "#b3261e"
_ALARM: Final = "#fbeae9"
_INK: Final = "#59636e"
_GRID: Final = "#d0d7de"
_MARGIN: Final = 0.08
# A gap is where so many times as long as usual nothing came.
_GAP: Final = 5


class Curve(msgspec.Struct, frozen=True):
    """What is drawn: lowest, highest and last number of each piece of time, oldest first.

    ``times`` are UTC µs, ascending. ``limits`` are lines that the rule draws, ``began`` and
    ``ended`` are when the alert did, ``until`` is where the picture ends.
    """

    times: Sequence[int]
    low: Sequence[float]
    high: Sequence[float]
    last: Sequence[float]
    unit: str
    limits: tuple[float, ...]
    since: int
    until: int
    began: int
    ended: int


def draw(curve: Curve, zone: ZoneInfo) -> bytes:
    """Return a PNG of ``curve``, with its times on the clock of ``zone``.

    Raises:
        ImportError: Pillow is not installed.
    """
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (WIDTH * _SCALE, HEIGHT * _SCALE), "white")
    pen = _Pen(ImageDraw.Draw(picture), ImageFont.load_default(_TEXT * _SCALE), curve)
    pen.background(zone)
    pen.curve()
    pen.limits()
    content = BytesIO()
    picture.quantize(32).save(content, "PNG", optimize=True)
    return content.getvalue()


class _Pen:
    """Draws on a picture in the numbers and times of a curve."""

    def __init__(self, draw: ImageDraw, font: Any, curve: Curve) -> None:
        self._draw = draw
        self._font = font
        self._curve = curve
        self._left, self._top = _LEFT * _SCALE, _TOP * _SCALE
        self._right = (WIDTH - _RIGHT) * _SCALE
        self._bottom = (HEIGHT - _BOTTOM) * _SCALE
        low = min((*curve.low, *curve.limits))
        high = max((*curve.high, *curve.limits))
        room = (high - low) * _MARGIN or max(abs(high) * _MARGIN, 1.0)
        self._low, self._high = low - room, high + room

    def background(self, zone: ZoneInfo) -> None:
        """Draw the time of the alert, the least and the greatest number, and some times."""
        curve, draw = self._curve, self._draw
        began = max(self._left, self._x(curve.began))
        ended = max(began, min(self._right, self._x(curve.ended)))
        draw.rectangle((began, self._top, ended, self._bottom), fill=_ALARM)
        least, greatest = min(curve.low), max(curve.high)
        room = self._y(least) - self._y(greatest)
        for number in (least, greatest):
            y = self._y(number)
            draw.line((self._left, y, self._right, y), fill=_GRID, width=_SCALE)
            if number < greatest and room < (_TEXT + 2) * _SCALE:
                # Its number would stand on that of the greatest.
                continue
            text = f"{number:.4g}" + (f" {curve.unit}" if len(curve.unit) <= 3 else "")
            draw.text((self._left - 6 * _SCALE, y), text, fill=_INK, font=self._font, anchor="rm")
        days = curve.until - curve.since > 36 * 3_600 * MICROSECONDS
        for part, anchor in ((0.0, "la"), (0.5, "ma"), (1.0, "ra")):
            time = curve.since + round((curve.until - curve.since) * part)
            local = datetime.fromtimestamp(time // MICROSECONDS, UTC).astimezone(zone)
            at = self._left + (self._right - self._left) * part, self._bottom + 6 * _SCALE
            text = f"{local:%d.%m. %H:%M}" if days else f"{local:%H:%M}"
            draw.text(at, text, fill=_INK, font=self._font, anchor=anchor)

    def curve(self) -> None:
        """Draw the band between lowest and highest, and the line of the last; gaps stay."""
        curve, draw = self._curve, self._draw
        for first, end in _pieces(curve.times):
            xs = [self._x(one) for one in curve.times[first:end]]
            high = [self._y(one) for one in curve.high[first:end]]
            low = [self._y(one) for one in curve.low[first:end]]
            points = list(zip(xs, [self._y(one) for one in curve.last[first:end]], strict=True))
            if len(points) > 1:
                band = [*zip(xs, high, strict=True), *zip(reversed(xs), reversed(low), strict=True)]
                draw.polygon(band, fill=_BAND)
                draw.line(points, fill=_LINE, width=_SCALE + 1, joint="curve")
            self._dot(*points[-1], radius=1.5)
        self._dot(self._x(curve.times[-1]), self._y(curve.last[-1]), radius=4)

    def limits(self) -> None:
        """Draw the limits of the rule as broken lines."""
        dash = 6 * _SCALE
        for limit in self._curve.limits:
            y = self._y(limit)
            for x in range(self._left, self._right, 2 * dash):
                end = min(x + dash, self._right)
                self._draw.line((x, y, end, y), fill=_LIMIT, width=_SCALE)
            at = self._left + 2 * _SCALE, y - 2 * _SCALE
            self._draw.text(at, f"{limit:g}", fill=_LIMIT, font=self._font, anchor="lb")

    def _dot(self, x: float, y: float, radius: float) -> None:
        size = radius * _SCALE
        self._draw.ellipse((x - size, y - size, x + size, y + size), fill=_LINE)

    def _x(self, time: int) -> float:
        part = (time - self._curve.since) / max(1, self._curve.until - self._curve.since)
        return self._left + (self._right - self._left) * part

    def _y(self, number: float) -> float:
        part = (number - self._low) / (self._high - self._low)
        return self._bottom - (self._bottom - self._top) * part


def _pieces(times: Sequence[int]) -> list[tuple[int, int]]:
    """Return where pieces without a gap begin and end."""
    steps = sorted(later - time for time, later in pairwise(times))
    longest = _GAP * steps[len(steps) // 2] if steps else 0
    starts = [0]
    starts += [at + 1 for at in range(len(times) - 1) if times[at + 1] - times[at] > longest]
    return list(zip(starts, [*starts[1:], len(times)], strict=True))
