"""A report as plain text, in lines of at most 78 columns where names are not longer."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from motehub.languages import Words
from motehub.reports.contents import AlertPart, Contents, DevicePart
from motehub.reports.words import Phrases, width

_COLUMNS: Final = 78


def text_of(contents: Contents, say: Phrases) -> str:
    """Return a report as text, up to its end, which ``ending`` is."""
    lines = [
        contents.name,
        "=" * width(contents.name),
        say.span(contents),
        say.counts(contents),
        "",
    ]
    for remark in contents.remarks:
        lines += [*textwrap.wrap(say.remark(remark), _COLUMNS), ""]
    if contents.alert_count:
        heading = say.words("report.alerts")
        lines += [heading, "-" * width(heading)]
        for alert in contents.alerts:
            lines += _alert(alert, say)
        if more := say.more_alerts(contents):
            lines.append(f"  {more}")
        lines.append("")
    for device in contents.devices:
        lines += [*_device(device, say), ""]
    if not contents.devices:
        lines += [say.words("report.no_device"), ""]
    return "\n".join(lines)


def ending(words: Words, hub: str, link: str, leave: str) -> str:
    """Return the end of the text; ``leave`` is where its reader leaves the report, or ""."""
    where = f"{link}\n" if link else ""
    last = words("report.leave_at", link=leave) + "\n" if leave else ""
    return f"\n{where}{last}-- \n{words('report.sent_by', hub=hub)}\n"


def _alert(one: AlertPart, say: Phrases) -> Iterator[str]:
    severity, text, when = say.alert(one)
    yield f"  {severity.upper()}  {text}"
    yield f"    {when}"


def _device(device: DevicePart, say: Phrases) -> Iterator[str]:
    came = say.expected(device)
    yield device.name + (f" ({came})" if came else "")
    yield from textwrap.wrap(
        say.days(device), _COLUMNS, initial_indent="  ", subsequent_indent="  "
    )
    if not device.series:
        yield f"  {say.words('report.no_metric')}"
        return
    rows: list[Sequence[str]] = [("", *(one.lower() for one in say.columns()[1:]))]
    for one in device.series:
        name = say.title(one.metric) + (f" {one.unit}" if one.unit else "")
        rows.append((name, *say.cells(one)))
    widths = [max(width(row[column]) for row in rows) for column in range(len(rows[0]))]
    yield _row(rows[0], widths)
    for one, row in zip(device.series, rows[1:], strict=True):
        yield _row(row, widths)
        for note in say.notes(one):
            yield f"    {note}"


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0] + " " * (widths[0] - width(cells[0]))
    rest = (
        " " * (most - width(cell)) + cell for cell, most in zip(cells[1:], widths[1:], strict=True)
    )
    return "  ".join((f"  {first}", *rest)).rstrip()
