"""Charts of reports as PNG pictures, with matplotlib. Only the process of a report imports this."""

from __future__ import annotations

import io
import logging
import warnings
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import matplotlib as mpl
import numpy as np
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from motehub.model import MICROSECONDS
from motehub.reports.contents import Chart, Line

WIDTH: Final = 6.08
HEIGHT: Final = 2.3
"""Size of a chart in inches."""

RESOLUTION: Final = 200
"""Pixels to an inch: two for each of the HTML's, so that it is sharp on good displays."""

# Okabe and Ito's palette without its yellow, which is lost on white, strongest contrast first.
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_DASHES: Final = ("-", "--")
_LABEL: Final = 22
_LARGEST: Final = 1e300


def draw_all(charts: tuple[Chart, ...], since: int, until: int, zone: ZoneInfo) -> list[bytes]:
    """Return charts as PNG files; ``since`` and ``until`` (µs) are the ends of their axes."""
    # What matplotlib says about its fonts is nothing that the owner could mend.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    with mpl.rc_context(
        {"font.size": 9.5, "text.parse_math": False, "axes.formatter.useoffset": False}
    ):
        return [_draw(one, since, until, zone) for one in charts]


def _draw(chart: Chart, since: int, until: int, zone: ZoneInfo) -> bytes:
    sheet = Figure(figsize=(WIDTH, HEIGHT), dpi=RESOLUTION, layout="constrained")
    FigureCanvasAgg(sheet)
    axes = sheet.add_subplot()
    for number, line in enumerate(chart.lines):
        _draw_line(axes, line, number, only=len(chart.lines) == 1)
    for limit in chart.limits:
        if abs(limit) < _LARGEST:
            axes.axhline(limit, color="#b3261e", linewidth=0.8, linestyle=":")
    axes.set_xlim(_day(since), _day(until))
    axes.grid(color="#e4e8ec", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylabel(chart.unit)
    locator = dates.AutoDateLocator(tz=zone, minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = dates.ConciseDateFormatter(locator, tz=zone)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(formatter)
    if len(chart.lines) > 1:
        sheet.legend(loc="outside upper left", ncols=4, frameon=False, fontsize=8.5)
    picture = io.BytesIO()
    sheet.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()


def _draw_line(axes: Axes, line: Line, number: int, *, only: bool) -> None:
    colour = _COLOURS[number % len(_COLOURS)]
    label = line.label if len(line.label) <= _LABEL else f"{line.label[: _LABEL - 1]}…"
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
        label=label,
    )


def _day(moment: int) -> float:
    """Return a time (UTC µs) as the drawing library counts it."""
    return datetime.fromtimestamp(moment / MICROSECONDS, UTC).timestamp() / 86_400
