"""Charts of reports as PNG pictures, with matplotlib. Only the process of a report imports this."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import matplotlib as mpl
import numpy as np
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import ScalarFormatter

from motehub.model import MICROSECONDS
from motehub.reports.contents import Band, Chart, Line
from motehub.reports.words import Phrases

WIDTH: Final = 6.08
HEIGHT: Final = 2.3
"""Size of a chart of lines in inches; one of bands is as high as it has bands."""

RESOLUTION: Final = 200
"""Pixels to an inch: two for each of the HTML's, so that it is sharp on good displays."""

# Okabe and Ito's palette without its yellow, which is lost on white, strongest contrast first.
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_DASHES: Final = ("-", "--")
# As on the pages: the first of two states, mostly off or shut, is pale.
_STATES: Final = ("#c3cad1", "#0b6e5f", "#5b7fbf", "#c9822b", "#9a5fa8", "#b04a4a", "#4f9a9a")
_OTHERS: Final = "#6e7781"
_BAND_HEIGHT: Final = 0.36
_BAND_ROOM: Final = 0.75
_BAND: Final = 0.8
_LABEL: Final = 22
_LARGEST: Final = 1e300


_FORMATS: Final = ("%Y", "%m/%Y", "%d/%m", "%H:%M", "%H:%M", "%S.%f")
_OFFSETS: Final = ("", "%Y", "%m/%Y", "%d/%m/%Y", "%d/%m/%Y", "%d/%m/%Y %H:%M")


class _Decimals(ScalarFormatter):
    """Writes numbers with the decimal mark of a language."""

    def __init__(self, say: Phrases) -> None:
        super().__init__(useOffset=False)
        self._say = say

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return what stands at a line of the grid."""
        return self._say.decimal(super().__call__(x, pos))


def draw_all(
    charts: tuple[Chart, ...], since: int, until: int, zone: ZoneInfo, say: Phrases
) -> list[bytes]:
    """Return charts as PNG files; ``since`` and ``until`` (µs) are the ends of their axes."""
    # What matplotlib says about its fonts is nothing that the owner could mend.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    with mpl.rc_context(
        {"font.size": 9.5, "text.parse_math": False, "axes.formatter.useoffset": False}
    ):
        return [_draw(one, since, until, zone, say) for one in charts]


def _draw(chart: Chart, since: int, until: int, zone: ZoneInfo, say: Phrases) -> bytes:
    height = _BAND_ROOM + _BAND_HEIGHT * len(chart.bands) if chart.bands else HEIGHT
    sheet = Figure(figsize=(WIDTH, height), dpi=RESOLUTION, layout="constrained")
    FigureCanvasAgg(sheet)
    axes = sheet.add_subplot()
    axes.set_xlim(_day(since), _day(until))
    locator = dates.AutoDateLocator(tz=zone, minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = dates.ConciseDateFormatter(locator, tz=zone)  # type: ignore[no-untyped-call]
    if say.words.language != "en":
        # The library's months are English.
        formatter.formats = list(_FORMATS)
        formatter.zero_formats = ["", *_FORMATS[:-1]]
        formatter.offset_formats = list(_OFFSETS)
    axes.xaxis.set_major_formatter(formatter)
    if chart.bands:
        _draw_bands(sheet, axes, chart, say)
    else:
        _draw_lines(sheet, axes, chart)
        axes.yaxis.set_major_formatter(_Decimals(say))
    picture = io.BytesIO()
    sheet.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()


def _draw_lines(sheet: Figure, axes: Axes, chart: Chart) -> None:
    for number, line in enumerate(chart.lines):
        _draw_line(axes, line, number, only=len(chart.lines) == 1)
    for limit in chart.limits:
        if abs(limit) < _LARGEST:
            axes.axhline(limit, color="#b3261e", linewidth=0.8, linestyle=":")
    axes.grid(color="#e4e8ec", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylabel(chart.unit)
    if len(chart.lines) > 1:
        sheet.legend(loc="outside upper left", ncols=4, frameon=False, fontsize=8.5)


def _draw_bands(sheet: Figure, axes: Axes, chart: Chart, say: Phrases) -> None:
    """Draw a row for each band, in which each state is as high as its share of the time."""
    rows = len(chart.bands)
    colours = [_STATES[number % len(_STATES)] for number in range(len(chart.states))]
    if chart.states[-1] is None:
        colours[-1] = _OTHERS
    for row, band in enumerate(chart.bands):
        _draw_band(axes, band, rows - 1 - row, colours)
    axes.set_ylim(-0.05, rows)
    axes.set_yticks([rows - 1 - row + _BAND / 2 for row in range(rows)])
    axes.set_yticklabels([_short(band.label) for band in chart.bands])
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    handles = [Patch(color=colour) for colour in colours]
    # One metric may be numbers of one device and texts of another.
    numbers = all(band.are_numbers for band in chart.bands)
    names = [_short(say.state(one, chart.metric, are_numbers=numbers)) for one in chart.states]
    sheet.legend(handles, names, loc="outside upper left", ncols=4, frameon=False, fontsize=8.5)


def _draw_band(axes: Axes, band: Band, row: int, colours: Sequence[str]) -> None:
    edges = np.column_stack((band.starts, band.ends)).astype(np.float64)
    days = edges.ravel() / (86_400 * MICROSECONDS)
    # Where nothing is known there is no band.
    breaks = 2 * (np.flatnonzero(edges[1:, 0] > edges[:-1, 1]) + 1)
    days = np.insert(days, breaks, np.nan)
    below = np.zeros(len(band.starts))
    for colour, shares in zip(colours, band.shares, strict=True):
        above = below + np.asarray(shares)
        low, high = (np.insert(np.repeat(one, 2), breaks, np.nan) for one in (below, above))
        low, high = row + low * _BAND, row + high * _BAND
        axes.fill_between(days, low, high, color=colour, linewidth=0)
        below = above


def _draw_line(axes: Axes, line: Line, number: int, *, only: bool) -> None:
    colour = _COLOURS[number % len(_COLOURS)]
    starts = np.asarray(line.starts, dtype=np.float64)
    columns = [np.asarray(one, dtype=np.float64) for one in (line.mean, line.low, line.high)]
    for column in columns:
        column[np.abs(column) > _LARGEST] = np.nan
    usual = (
        max(float(line.width), 3 * float(np.median(np.diff(starts)))) if len(starts) > 1 else 0.0
    )
    # A line ends where nothing came.
    breaks = np.flatnonzero(np.diff(starts) > usual) + 1
    days = np.insert(starts / (86_400 * MICROSECONDS), breaks, np.nan)
    mean, low, high = (np.insert(one, breaks, np.nan) for one in columns)
    if only:
        axes.fill_between(days, low, high, color=colour, alpha=0.2, linewidth=0)
    alone = len(starts) == 1 or bool(len(breaks))
    axes.plot(
        days,
        mean,
        color=colour,
        linewidth=1.0,
        linestyle=_DASHES[number // len(_COLOURS) % len(_DASHES)],
        marker="." if alone else "",
        markersize=6 if len(starts) == 1 else 2,
        label=_short(line.label),
    )


def _short(label: str) -> str:
    return label if len(label) <= _LABEL else f"{label[: _LABEL - 1]}…"


def _day(moment: int) -> float:
    """Return a time (UTC µs) as the drawing library counts it."""
    return datetime.fromtimestamp(moment / MICROSECONDS, UTC).timestamp() / 86_400
