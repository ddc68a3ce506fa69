"""A report as HTML that mail programs show as it is meant.

Tables and styles on the elements themselves, no scripts, nothing from elsewhere; every colour goes
with a background, so that a dark theme leaves it readable. What devices say is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from html import escape
from typing import Final
from urllib.parse import quote

from motehub.model import MICROSECONDS
from motehub.reports.contents import AlertPart, Chart, Contents, DevicePart, SeriesPart
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
)

WIDTH: Final = 640
"""Width in pixels."""

_FONT: Final = "font-family:Arial,Helvetica,sans-serif"
_INK: Final = "color:#1f2328"
_QUIET: Final = "color:#59636e"
_COLOURS: Final = {"critical": "#b3261e", "warning": "#9a6700", "info": "#0b57d0"}
_NUMBERS: Final = ("Min", "Mean", "Max", "Last", "Readings")


def opening(contents: Contents, zone: tzinfo, pictures: Sequence[str], link: str) -> str:
    """Return the HTML of a report up to its end, which ``closing`` is.

    ``pictures`` are the addresses of its charts, as many as there are or none. ``link`` is the
    address of the hub's pages, or "".
    """
    parts = [_head(contents, zone)]
    parts += [_paragraph(escape(one)) for one in contents.remarks]
    if contents.alert_count:
        parts.append(_alerts(contents, zone))
    for chart, address in zip(contents.charts, pictures, strict=False):
        parts.append(_chart(chart, address))
    parts += [_device(one, link) for one in contents.devices]
    if not contents.devices:
        parts.append(_paragraph("There is no device that this report is about."))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        '<meta name="color-scheme" content="light"><meta name="supported-color-schemes" '
        f'content="light"><title>{escape(contents.name)}</title></head>'
        '<body style="margin:0;padding:0;background:#f3f4f6" bgcolor="#f3f4f6">'
        '<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" '
        'bgcolor="#f3f4f6" style="background:#f3f4f6"><tr><td align="center" '
        'style="padding:12px 4px">'
        f'<table role="presentation" width="{WIDTH}" cellpadding="0" cellspacing="0" border="0" '
        f'bgcolor="#ffffff" style="width:100%;max-width:{WIDTH}px;background:#ffffff;{_INK};'
        f'{_FONT};font-size:14px;line-height:1.4;border-collapse:collapse">{"".join(parts)}'
    )


def closing(hub: str, link: str, leave: str) -> str:
    """Return the end of the HTML; ``leave`` is where its reader leaves the report, or ""."""
    own = escape(hub)
    if link:
        own = f'<a href="{escape(link)}" style="{_QUIET}">{own}</a>'
    end = ""
    if leave:
        end = f' · <a href="{escape(leave)}" style="{_QUIET}">Send me this report no more</a>'
    return (
        '<tr><td style="height:16px;font-size:1px">&nbsp;</td></tr>'
        f'<tr><td style="padding:16px;{_QUIET};font-size:12px;border-top:1px solid #d1d9e0">'
        f"Sent by the hub {own}{end}</td></tr></table></td></tr></table></body></html>"
    )


def _head(contents: Contents, zone: tzinfo) -> str:
    return (
        '<tr><td bgcolor="#10463c" style="padding:16px;background:#10463c;color:#ffffff">'
        f'<div style="font-size:12px;color:#cfe6df">{escape(contents.hub)}</div>'
        f'<div style="font-size:20px;font-weight:bold;color:#ffffff">{escape(contents.name)}</div>'
        f'<div style="font-size:13px;color:#cfe6df">{escape(span(contents, zone))}</div></td></tr>'
        f'<tr><td style="padding:12px 16px 0;{_INK}">{escape(counts(contents))}</td></tr>'
    )


def _paragraph(html: str) -> str:
    return f'<tr><td style="padding:12px 16px 0;{_QUIET}">{html}</td></tr>'


def _title(html: str) -> str:
    return f'<h2 style="margin:0 0 6px;font-size:16px;{_INK}">{html}</h2>'


def _alerts(contents: Contents, zone: tzinfo) -> str:
    rows = "".join(_alert(one, zone) for one in contents.alerts)
    more = contents.alert_count - len(contents.alerts)
    if more:
        rows += f'<tr><td style="padding:4px 0;{_QUIET}">… and {more} more.</td></tr>'
    return (
        f'<tr><td style="padding:16px 16px 0">{_title("Alerts")}'
        '<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0">'
        f"{rows}</table></td></tr>"
    )


def _alert(one: AlertPart, zone: tzinfo) -> str:
    colour = _COLOURS.get(one.severity, _COLOURS["info"])
    when = f"{moment(one.began, zone)}, not over"
    if one.ended is not None:
        when = f"{moment(one.began, zone)}, for {lasting((one.ended - one.began) / MICROSECONDS)}"
    return (
        f'<tr><td style="border-left:4px solid {colour};padding:2px 0 2px 10px;{_INK}">'
        f'{escape(one.text)}<div style="font-size:12px;{_QUIET}">{escape(one.severity)} · '
        f"{escape(when)}</div></td></tr>"
        '<tr><td style="height:6px;line-height:6px;font-size:1px">&nbsp;</td></tr>'
    )


def _chart(chart: Chart, address: str) -> str:
    name = title(chart.metric) + (f" in {chart.unit}" if chart.unit else "")
    more = ""
    if chart.left_out:
        more = f'<div style="font-size:12px;{_QUIET}">{chart.left_out} more are not shown.</div>'
    return (
        f'<tr><td style="padding:16px 16px 0">{_title(escape(name))}'
        f'<img src="{escape(address)}" width="{WIDTH - 32}" alt="Chart of {escape(name)}" '
        f'style="display:block;width:100%;max-width:{WIDTH - 32}px;height:auto;border:0;'
        f'background:#ffffff">{more}</td></tr>'
    )


def _device(device: DevicePart, link: str) -> str:
    name = escape(device.name)
    if link:
        address = f"{link.rstrip('/')}/device#{quote(device.name, safe='')}"
        name = f'<a href="{escape(address)}" style="{_INK}">{name}</a>'
    came = expected(device)
    note = f'<div style="font-size:12px;{_QUIET};margin:-4px 0 6px">{came}</div>' if came else ""
    if not device.series:
        body = f'<div style="{_QUIET}">It has no such metric.</div>'
    else:
        head = "".join(
            f'<th width="13%" align="right" style="{_cell()}{_QUIET};font-weight:normal">{one}</th>'
            for one in _NUMBERS
        )
        rows = "".join(_series(one) for one in device.series)
        body = (
            '<table width="100%" cellpadding="0" cellspacing="0" border="0" '
            'style="border-collapse:collapse;font-size:13px">'
            f'<tr><th align="left" style="{_cell()}{_QUIET};font-weight:normal">Metric</th>{head}'
            f"</tr>{rows}</table>"
        )
    return f'<tr><td style="padding:16px 16px 0">{_title(name)}{note}{body}</td></tr>'


def _series(one: SeriesPart) -> str:
    unit = f' <span style="{_QUIET}">{escape(one.unit)}</span>' if one.unit else ""
    cells = "".join(
        f'<td align="right" style="{_cell()}{_INK}">{escape(text)}</td>'
        for text in (*map(number, (one.low, one.mean, one.high, one.last)), whole(one.count))
    )
    said = notes(one)
    more = ""
    if said:
        more = (
            f'<tr><td colspan="6" style="padding:0 0 4px 10px;font-size:12px;{_QUIET}">'
            f"{'<br>'.join(map(escape, said))}</td></tr>"
        )
    name = f"{escape(title(one.metric))}{unit}"
    return f'<tr><td style="{_cell()}{_INK};word-break:break-word">{name}</td>{cells}</tr>{more}'


def _cell() -> str:
    return "padding:3px 0 3px 6px;border-top:1px solid #e4e8ec;vertical-align:top;"
