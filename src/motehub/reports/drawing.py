"""Draws a figure with matplotlib. Only the drawing process imports this module."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Final
from zoneinfo import ZoneInfo

import matplotlib as mpl
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Sheet

from motehub.errors import OwnerError
from motehub.model import MICROSECONDS
from motehub.reports.figure import Curve, Figure
from motehub.reports.lines import DAY, Points, clean, make_line
from motehub.zones import describe_zone

WIDTH: Final = 11.0
"""Width of the picture in inches."""

PANEL_HEIGHT: Final = 2.9
"""Lowest height of a panel in inches; title and time axis come on top."""

LEGEND_LINE: Final = 0.21
"""Height of a line of the legend in inches."""

LEGEND_LINES: Final = 40
"""More curves than this in a panel are counted in its legend, not named."""

RESOLUTION: Final = 150
"""Pixels to an inch."""

MOST_PANELS: Final = 24
"""More than this is no picture that anybody could look at (and 10,000 pixels high)."""

SHORTEST_SPAN: Final = 10 * MICROSECONDS
"""A time axis is never shorter than this (µs)."""

# Okabe and Ito's palette without its yellow, which is lost on white, strongest contrast first.
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
DASHES: Final = ("solid", "dashed", "dotted", "dashdot")

# Any, as the type stubs list all keys and differ from one version to the next.
SETTINGS: Final[Any] = {
    "font.size": 11,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-6, 12),
    # A device may be called $x$; that is a name and no formula.
    "text.parse_math": False,
    # The same readings make the same file.
    "svg.hashsalt": "motehub",
    # A line that fills a panel has more cells than the rasteriser takes at once.
    "agg.path.chunksize": 5000,
}


def save(figure: Figure, target: BinaryIO, kind: str, zone: ZoneInfo) -> None:
    """Draw ``figure`` into ``target`` as ``kind`` (``png``, ``svg`` or ``pdf``).

    Raises:
        OwnerError: the figure has too many panels.
        OSError: ``target`` can't be written.

    """
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with _style():
        sheet = Sheet()
        FigureCanvasAgg(sheet)
        _fill(sheet, figure, zone)
        # The type stubs know no None, with which a date is left out.
        metadata: dict[str, Any] = {"Title": figure.title, **undated.get(kind, {})}
        sheet.savefig(target, format=kind, dpi=RESOLUTION, metadata=metadata)


def show(figure: Figure, zone: ZoneInfo) -> None:
    """Draw ``figure`` in a window and return when it is closed.

    Raises:
        OwnerError: no window can be opened here, or the figure has too many panels.

    """
    # Choosing a window system is a side effect of this import; files don't need one.
    from matplotlib import pyplot as plt

    with _style():
        try:
            sheet = plt.figure()
        except (ImportError, RuntimeError) as error:
            raise _no_window() from error
        if plt.get_backend().lower() in {"agg", "svg", "pdf", "ps", "cairo", "template"}:
            raise _no_window()
        _fill(sheet, figure, zone)
        if sheet.canvas.manager is not None:
            sheet.canvas.manager.set_window_title(figure.title or "motehub")
        plt.show()


def _no_window() -> OwnerError:
    return OwnerError(
        "No window can be opened here: name a picture file with -o, as in -o plot.png."
    )


@contextmanager
def _style() -> Iterator[None]:
    with mpl.rc_context(SETTINGS), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; the plot is still right.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def _fill(sheet: Sheet, figure: Figure, zone: ZoneInfo) -> None:
    """Lay out one panel for every unit, above one another, with one time axis."""
    panels = _panels(figure.curves)
    if len(panels) > MOST_PANELS:
        raise OwnerError(
            f"This plot would have {len(panels)} panels, one for every unit, and "
            f"{MOST_PANELS} is the most: name fewer metrics or devices."
        )
    sheet.set_layout_engine("constrained")
    heights = [_panel_height(curves) for curves in panels]
    sheet.set_size_inches(WIDTH, sum(heights) + 0.9)
    if figure.title:
        sheet.suptitle("\n".join(textwrap.wrap(figure.title, 90)))
    points = {id(curve): clean(curve, figure.since, figure.until) for curve in figure.curves}
    axis = _time_range(figure, list(points.values()))
    names = _legend_names(panels)
    styles = {name: number for number, name in enumerate(dict.fromkeys(names.values()))}
    grid = sheet.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)
    for axes, curves in zip(grid[:, 0], panels, strict=True):
        axes.set_ylabel(_value_label(curves))
        if axis is not None:
            for curve in curves:
                name = names[id(curve)]
                _draw_line(axes, points[id(curve)], axis, name, styles[name])
        _finish_panel(axes, any(len(points[id(curve)].times) for curve in curves))
    _draw_time_axis(grid[-1, 0], axis, zone)


def _panels(curves: Sequence[Curve]) -> list[list[Curve]]:
    """Return the curves by unit, at least one panel; metrics without a unit share none."""
    panels: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        panels.setdefault((curve.unit, "" if curve.unit else curve.metric), []).append(curve)
    return list(panels.values()) or [[]]


def _panel_height(curves: list[Curve]) -> float:
    """Return the height in inches at which the panel's legend fits beside it."""
    return max(PANEL_HEIGHT, LEGEND_LINE * (min(len(curves), LEGEND_LINES) + 2))


def _legend_names(panels: list[list[Curve]]) -> dict[int, str]:
    """Return every curve's legend text, by the curve's ``id``.

    It is the curve's label, so that a device has one colour in all panels; where a label
    occurs twice in a panel, the metric is added.
    """
    clash = any(len({curve.label for curve in curves}) < len(curves) for curves in panels)
    return {
        id(curve): f"{curve.label}, {_words(curve.metric).lower()}" if clash else curve.label
        for curves in panels
        for curve in curves
    }


def _words(metric: str) -> str:
    words = metric.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _value_label(curves: list[Curve]) -> str:
    """Return the metrics in words and the unit: ``Temperature, dew point (°C)``."""
    if not curves:
        return ""
    metrics = list(dict.fromkeys(curve.metric for curve in curves))
    words = _words(", ".join(metrics[:3]) + (" …" if len(metrics) > 3 else ""))
    unit = curves[0].unit
    return textwrap.fill(f"{words} ({unit})" if unit else words, 26)


def _time_range(figure: Figure, points: list[Points]) -> tuple[int, int] | None:
    """Return where the time axis begins and ends (UTC µs); ``None`` if nothing says so."""
    filled = [times for times, _ in points if len(times)]
    if not filled and (figure.since is None or figure.until is None):
        return None
    start = figure.since if figure.since is not None else min(int(times[0]) for times in filled)
    end = figure.until if figure.until is not None else max(int(times[-1]) for times in filled)
    margin = max((end - start) // 100, (SHORTEST_SPAN - (end - start)) // 2, 0)
    short = end - start < SHORTEST_SPAN
    return (
        start - margin if figure.since is None or short else start,
        end + margin if figure.until is None or short else end,
    )


def _draw_line(axes: Axes, points: Points, axis: tuple[int, int], name: str, style: int) -> None:
    line = make_line(points, *axis, columns=round(WIDTH * RESOLUTION))
    axes.plot(
        line.days,
        line.values,
        color=COLOURS[style % len(COLOURS)],
        linestyle=DASHES[style // len(COLOURS) % len(DASHES)],
        linewidth=1.3,
        marker="o" if len(line.dots) else "",
        markersize=3.5,
        markevery=line.dots.tolist() if len(line.dots) else None,
        label=name if len(line.days) else f"{name} (no readings)",
    )


def _finish_panel(axes: Axes, has_readings: bool) -> None:
    """Put the legend beside the panel, or say in it that there is nothing to see."""
    if not has_readings:
        axes.set_yticks([])
        axes.text(
            0.5, 0.5, "no readings in this time", transform=axes.transAxes, ha="center", va="center"
        )
    handles = axes.get_lines()
    if not handles:
        return
    names = [textwrap.fill(str(handle.get_label()), 30) for handle in handles[:LEGEND_LINES]]
    if len(handles) > LEGEND_LINES:
        names[-1] += f"\n… and {len(handles) - LEGEND_LINES} more"
    legend = axes.legend(
        handles[:LEGEND_LINES],
        names,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        fontsize="small",
        frameon=False,
    )
    for line in legend.get_lines():
        line.set_marker("")


def _draw_time_axis(axes: Axes, axis: tuple[int, int] | None, zone: ZoneInfo) -> None:
    if axis is None:
        axes.set_xticks([])
        axes.set_xlabel("Time")
        return
    locator = dates.AutoDateLocator(tz=zone, minticks=4, maxticks=10)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = dates.ConciseDateFormatter(locator, tz=zone)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(formatter)
    axes.set_xlim(axis[0] / DAY, axis[1] / DAY)
    axes.set_xlabel(f"Time ({describe_zone(zone, *axis)})")
