"""A report as plain text, in lines of at most 78 columns where names are not longer."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from datetime import tzinfo
from typing import Final

from motehub.model import MICROSECONDS
from motehub.reports.contents import AlertPart, Contents, DevicePart
from motehub.reports.words import (
    counts,
    expected,
    lasting,
    moment,
    notes,
    number,
    span,
    title,
    whole,
    width,
)

_COLUMNS: Final = 78
_NUMBERS: Final = ("min", "mean", "max", "last", "readings")


def text_of(contents: Contents, zone: tzinfo) -> str:
    """Return a report as text, up to its end, which ``ending`` is."""
    lines = [contents.name, "=" * width(contents.name), span(contents, zone), counts(contents), ""]
    for remark in contents.remarks:
        lines += [*textwrap.wrap(remark, _COLUMNS), ""]
    if contents.alert_count:
        lines += ["Alerts", "------"]
        for alert in contents.alerts:
            lines += _alert(alert, zone)
        if more := contents.alert_count - len(contents.alerts):
            lines.append(f"  … and {more} more.")
        lines.append("")
    for device in contents.devices:
        lines += [*_device(device), ""]
    if not contents.devices:
        lines += ["There is no device that this report is about.", ""]
    return "\n".join(lines)


def ending(hub: str, link: str, leave: str) -> str:
    """Return the end of the text; ``leave`` is where its reader leaves the report, or ""."""
    where = f"{link}\n" if link else ""
    last = f"Send me this report no more: {leave}\n" if leave else ""
    return f"\n{where}{last}-- \nSent by the hub {hub}\n"


def _alert(one: AlertPart, zone: tzinfo) -> Iterator[str]:
    yield f"  {one.severity.upper()}  {one.text}"
    over = "not over"
    if one.ended is not None:
        over = f"for {lasting((one.ended - one.began) / MICROSECONDS)}"
    yield f"    {moment(one.began, zone)}, {over}"


def _device(device: DevicePart) -> Iterator[str]:
    came = expected(device)
    yield device.name + (f" ({came})" if came else "")
    if not device.series:
        yield "  It has no such metric."
        return
    rows: list[Sequence[str]] = [("", *_NUMBERS)]
    for one in device.series:
        name = title(one.metric) + (f" {one.unit}" if one.unit else "")
        numbers = map(number, (one.low, one.mean, one.high, one.last))
        rows.append((name, *numbers, whole(one.count)))
    widths = [max(width(row[column]) for row in rows) for column in range(len(rows[0]))]
    yield _row(rows[0], widths)
    for one, row in zip(device.series, rows[1:], strict=True):
        yield _row(row, widths)
        for note in notes(one):
            yield f"    {note}"


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0] + " " * (widths[0] - width(cells[0]))
    rest = (
        " " * (most - width(cell)) + cell for cell, most in zip(cells[1:], widths[1:], strict=True)
    )
    return "  ".join((f"  {first}", *rest)).rstrip()
