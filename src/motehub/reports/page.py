"""A report as HTML that mail programs show as it is meant.

Tables and styles on the elements themselves, no scripts, nothing from elsewhere; every colour goes
with a background, so that a dark theme leaves it readable. What devices say is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final
from urllib.parse import quote

from motehub.languages import Words
from motehub.reports.contents import AlertPart, Chart, Contents, DevicePart, SeriesPart
from motehub.reports.words import Phrases

WIDTH: Final = 640
"""Width in pixels."""

_FONT: Final = "font-family:Arial,Helvetica,sans-serif"
_INK: Final = "color:#1f2328"
_QUIET: Final = "color:#59636e"
# Put in for what is markup already.
_HUB: Final = "\0"
_COLOURS: Final = {"critical": "#b3261e", "warning": "#9a6700", "info": "#0b57d0"}


def opening(contents: Contents, say: Phrases, pictures: Sequence[str], link: str) -> str:
    """Return the HTML of a report up to its end, which ``closing`` is.

    ``pictures`` are the addresses of its charts, as many as there are or none. ``link`` is the
    address of the hub's pages, or "".
    """
    parts = [_head(contents, say)]
    parts += [_paragraph(escape(say.remark(one))) for one in contents.remarks]
    if contents.alert_count:
        parts.append(_alerts(contents, say))
    for chart, address in zip(contents.charts, pictures, strict=False):
        parts.append(_chart(chart, address, say))
    parts += [_device(one, link, say) for one in contents.devices]
    if not contents.devices:
        parts.append(_paragraph(escape(say.words("report.no_device"))))
    return (
        f'<!doctype html><html lang="{say.words.language}"><head><meta charset="utf-8">'
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


def closing(words: Words, hub: str, link: str, leave: str) -> str:
    """Return the end of the HTML; ``leave`` is where its reader leaves the report, or ""."""
    own = escape(hub)
    if link:
        own = f'<a href="{escape(link)}" style="{_QUIET}">{own}</a>'
    sent_by = escape(words("report.sent_by", hub=_HUB)).replace(_HUB, own)
    end = ""
    if leave:
        said = escape(words("report.leave"))
        end = f' · <a href="{escape(leave)}" style="{_QUIET}">{said}</a>'
    return (
        '<tr><td style="height:16px;font-size:1px">&nbsp;</td></tr>'
        f'<tr><td style="padding:16px;{_QUIET};font-size:12px;border-top:1px solid #d1d9e0">'
        f"{sent_by}{end}</td></tr></table></td></tr></table></body></html>"
    )


def _head(contents: Contents, say: Phrases) -> str:
    return (
        '<tr><td bgcolor="#10463c" style="padding:16px;background:#10463c;color:#ffffff">'
        f'<div style="font-size:12px;color:#cfe6df">{escape(contents.hub)}</div>'
        f'<div style="font-size:20px;font-weight:bold;color:#ffffff">{escape(contents.name)}</div>'
        f'<div style="font-size:13px;color:#cfe6df">{escape(say.span(contents))}</div></td></tr>'
        f'<tr><td style="padding:12px 16px 0;{_INK}">{escape(say.counts(contents))}</td></tr>'
    )


def _paragraph(html: str) -> str:
    return f'<tr><td style="padding:12px 16px 0;{_QUIET}">{html}</td></tr>'


def _title(html: str) -> str:
    return f'<h2 style="margin:0 0 6px;font-size:16px;{_INK}">{html}</h2>'


def _alerts(contents: Contents, say: Phrases) -> str:
    rows = "".join(_alert(one, say) for one in contents.alerts)
    if more := say.more_alerts(contents):
        rows += f'<tr><td style="padding:4px 0;{_QUIET}">{escape(more)}</td></tr>'
    return (
        f'<tr><td style="padding:16px 16px 0">{_title(escape(say.words("report.alerts")))}'
        '<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0">'
        f"{rows}</table></td></tr>"
    )


def _alert(one: AlertPart, say: Phrases) -> str:
    colour = _COLOURS.get(one.severity, _COLOURS["info"])
    severity, text, when = say.alert(one)
    return (
        f'<tr><td style="border-left:4px solid {colour};padding:2px 0 2px 10px;{_INK}">'
        f'{escape(text)}<div style="font-size:12px;{_QUIET}">{escape(severity)} · '
        f"{escape(when)}</div></td></tr>"
        '<tr><td style="height:6px;line-height:6px;font-size:1px">&nbsp;</td></tr>'
    )


def _chart(chart: Chart, address: str, say: Phrases) -> str:
    name = say.title(chart.metric, chart.unit)
    more = ""
    if said := say.not_shown(chart):
        more = f'<div style="font-size:12px;{_QUIET}">{escape(said)}</div>'
    alternative = escape(say.words("report.chart", name=name))
    return (
        f'<tr><td style="padding:16px 16px 0">{_title(escape(name))}'
        f'<img src="{escape(address)}" width="{WIDTH - 32}" alt="{alternative}" '
        f'style="display:block;width:100%;max-width:{WIDTH - 32}px;height:auto;border:0;'
        f'background:#ffffff">{more}</td></tr>'
    )


def _device(device: DevicePart, link: str, say: Phrases) -> str:
    name = escape(device.name)
    if link:
        address = f"{link.rstrip('/')}/device#{quote(device.name, safe='')}"
        name = f'<a href="{escape(address)}" style="{_INK}">{name}</a>'
    came = "<br>".join(escape(one) for one in (say.expected(device), say.days(device)) if one)
    note = f'<div style="font-size:12px;{_QUIET};margin:-4px 0 6px">{came}</div>' if came else ""
    if not device.series:
        body = f'<div style="{_QUIET}">{escape(say.words("report.no_metric"))}</div>'
    else:
        first, *others = map(escape, say.columns())
        head = "".join(
            f'<th width="13%" align="right" style="{_cell()}{_QUIET};font-weight:normal">{one}</th>'
            for one in others
        )
        rows = "".join(_series(one, say) for one in device.series)
        body = (
            '<table width="100%" cellpadding="0" cellspacing="0" border="0" '
            'style="border-collapse:collapse;font-size:13px">'
            f'<tr><th align="left" style="{_cell()}{_QUIET};font-weight:normal">{first}</th>{head}'
            f"</tr>{rows}</table>"
        )
    return f'<tr><td style="padding:16px 16px 0">{_title(name)}{note}{body}</td></tr>'


def _series(one: SeriesPart, say: Phrases) -> str:
    unit = f' <span style="{_QUIET}">{escape(one.unit)}</span>' if one.unit else ""
    cells = "".join(
        f'<td align="right" style="{_cell()}{_INK}">{escape(text)}</td>' for text in say.cells(one)
    )
    said = say.notes(one)
    more = ""
    if said:
        more = (
            f'<tr><td colspan="6" style="padding:0 0 4px 10px;font-size:12px;{_QUIET}">'
            f"{'<br>'.join(map(escape, said))}</td></tr>"
        )
    name = f"{escape(say.title(one.metric))}{unit}"
    return f'<tr><td style="{_cell()}{_INK};word-break:break-word">{name}</td>{cells}</tr>{more}'


def _cell() -> str:
    return "padding:3px 0 3px 6px;border-top:1px solid #e4e8ec;vertical-align:top;"
