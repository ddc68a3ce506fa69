"""What people read of alerts: sentences, subjects, mails as text and as HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec

from motehub.alerting.book import Alert
from motehub.alerting.chart import WIDTH
from motehub.alerts.rule import UNCHANGED, WORDS, Kind, Rule, describe, held, spoken
from motehub.alerts.watch import State, Value
from motehub.model import MICROSECONDS, Device, Series

BEGINS: Final = "begins"
REMINDS: Final = "reminds"
OVER: Final = "over"

TITLES: Final = 3
"""So many alerts are named in the subject of a message that tells of several."""

LINES: Final = 50
"""Alerts that one message describes; of more it says how many there are."""

_FIELD: Final = re.compile(rf"\{{({'|'.join(WORDS)})\}}")
_COLOURS: Final = {"critical": "#b3261e", "warning": "#9a6700", "info": "#0b57d0", OVER: "#1a7f37"}
_RANKS: Final = ("critical", "warning", "info")


class Told(msgspec.Struct, frozen=True):
    """What one message says of one alert; times in UTC µs. ``kind`` is begins, reminds or over.

    ``series`` is of what it is, 0 where that is no series of numbers; ``value`` what was read, in
    ``unit``, and ``lines`` are the limits of the rule.
    """

    alert: int
    kind: str
    rule: str
    severity: str
    device: str
    metric: str
    text: str
    limits: str
    time: int
    began: int
    series: int = 0
    value: float | None = None
    unit: str = ""
    lines: tuple[float, ...] = ()


class Wording(msgspec.Struct, frozen=True):
    """A message as it goes out."""

    subject: str
    text: str
    html: str


def shown(value: Value, unit: str) -> str:
    """Return a value as people read it, at most 100 characters that can all be seen."""
    if value is None:
        return ""
    if isinstance(value, str):
        # What a device says must not add lines of its own to a mail.
        text = "".join(one if one.isprintable() else " " for one in value[:100])
    else:
        text = f"{value:.6g}"
    return f"{text} {unit}" if unit else text


def sentence(rule: Rule, device: Device, series: Series | None, value: Value) -> str:
    """Return what is told of an alert that begins."""
    metric = series.metric if series is not None else rule.metric
    unit = series.unit if series is not None else ""
    said = shown(value, unit)
    if rule.message:
        words = {
            "device": device.name,
            "metric": metric,
            "value": "" if value is None else shown(value, ""),
            "unit": unit,
            "limit": describe(rule),
            "rule": rule.name,
            "severity": rule.severity.value,
        }
        return _FIELD.sub(lambda match: words[match[1]], rule.message)
    if rule.silent:
        return f"{device.name}: nothing comes any more{f' of {metric}' if metric else ''}"
    if rule.offline:
        return f"{device.name} is offline"
    if rule.kind is Kind.STUCK:
        return f"{device.name}: {metric} is always {said}, for {spoken(rule.stuck)}"
    if rule.kind is Kind.EQUAL:
        # What it is says already why.
        return f"{device.name}: {metric} is {said}" + held(rule)
    return f"{device.name}: {metric} is {said} ({describe(rule)})"


def end_sentence(alert: Alert, value: Value) -> str:
    """Return what is told of an alert that is over."""
    lasted = spoken(max(1, round(((alert.ended or alert.began) - alert.began) / MICROSECONDS)))
    if alert.state == State.NO_DATA.value:
        return f"{alert.device} sends again, after {lasted}"
    if not alert.metric:
        return f"{alert.device} is online again, after {lasted}"
    said = shown(value, alert.unit)
    if alert.limits.startswith(f"{alert.metric} {UNCHANGED} "):
        return f"{alert.device}: {alert.metric} changes again, to {said}, after {lasted}"
    return f"{alert.device}: {alert.metric} is {said} again, after {lasted}"


def by_urgency(told: Sequence[Told]) -> list[Told]:
    """Return what is told, the worst first."""
    return sorted(told, key=lambda one: (one.kind == OVER, _RANKS.index(one.severity), one.time))


def compose(
    told: Sequence[Told],
    hub: str,
    link: str,
    zone: ZoneInfo,
    pictures: Mapping[int, str] | None = None,
) -> Wording:
    """Return the message that tells all of this, the worst first.

    ``pictures`` are the names of pictures that go along in the HTML, by alert.
    """
    order = by_urgency(told)
    lines = [_line(one, zone) for one in order[:LINES]]
    rest = [f"… and {len(order) - LINES} more."] if len(order) > LINES else []
    where = [f"{link.rstrip('/')}/"] if link else []
    if link and len({one.device for one in order}) == 1:
        where = [_address(link, order[0].device)]
    text = "\n\n".join([*lines, *rest, *where, f"-- \nSent by the hub {hub}"]) + "\n"
    return Wording(
        _subject(order, hub), text, _html(order[:LINES], rest, hub, link, zone, pictures or {})
    )


def _subject(order: Sequence[Told], hub: str) -> str:
    first = order[0]
    if len(order) == 1:
        words = {BEGINS: first.severity.capitalize(), REMINDS: "Still", OVER: "Over"}[first.kind]
        return _one_line(f"[{hub}] {words}: {first.text}")
    new = [one for one in order if one.kind != OVER]
    over = len(order) - len(new)
    counts = [f"{len(new)} alert{'s' * (len(new) > 1)}"] if new else []
    counts += [f"{over} over"] if over else []
    names = list(dict.fromkeys(one.device for one in order))
    more = ", …" if len(names) > TITLES else ""
    return _one_line(f"[{hub}] {', '.join(counts)}: {', '.join(names[:TITLES])}{more}")


def _one_line(text: str) -> str:
    plain = "".join(one if one.isprintable() else " " for one in text)
    return plain if len(plain) <= 200 else f"{plain[:199]}…"


def _line(one: Told, zone: ZoneInfo) -> str:
    word = {BEGINS: one.severity.upper(), REMINDS: "STILL", OVER: "OVER"}[one.kind]
    since = f", since {clock(one.began, zone)}" if one.kind != BEGINS else ""
    rule = f"rule {one.rule}" + (f": {one.limits}" if one.limits else "")
    return f"{word}  {one.text}\n  {clock(one.time, zone)}{since} · {rule} · alert {one.alert}"


def clock(time: int, zone: ZoneInfo) -> str:
    """Return a time (UTC µs) on the clock of ``zone``, with its offset."""
    return datetime.fromtimestamp(time // MICROSECONDS, UTC).astimezone(zone).isoformat(" ")


def _address(link: str, device: str) -> str:
    return f"{link.rstrip('/')}/device#{quote(device, safe='')}"


def _html(
    order: Sequence[Told],
    rest: Sequence[str],
    hub: str,
    link: str,
    zone: ZoneInfo,
    pictures: Mapping[int, str],
) -> str:
    rows = "".join(_row(one, link, zone, pictures.get(one.alert, "")) for one in order)
    more = "".join(f"<p>{escape(one)}</p>" for one in rest)
    return (
        '<!doctype html><html><head><meta charset="utf-8"><title>motehub</title></head>'
        '<body style="margin:0;padding:16px;font-family:sans-serif;color:#1f2328">'
        '<table role="presentation" bgcolor="#ffffff" cellpadding="0" cellspacing="0" '
        f'style="width:100%;max-width:640px;border-collapse:collapse">{rows}</table>{more}'
        f'<p style="color:#59636e;font-size:13px">Sent by the hub {escape(hub)}</p></body></html>'
    )


def _row(one: Told, link: str, zone: ZoneInfo, picture: str) -> str:
    colour = _COLOURS[OVER if one.kind == OVER else one.severity]
    word = {BEGINS: one.severity, REMINDS: "still", OVER: "over"}[one.kind]
    since = f", since {clock(one.began, zone)}" if one.kind != BEGINS else ""
    device = escape(one.device)
    if link:
        device = f'<a href="{escape(_address(link, one.device))}">{device}</a>'
    return (
        f'<tr><td style="border-left:4px solid {colour};padding:8px 12px 12px">'
        f'<div style="color:{colour};font-size:13px;font-weight:bold">{escape(word)}</div>'
        f'<div style="font-size:16px">{escape(one.text)}</div>'
        f'<div style="color:#59636e;font-size:13px">{device} · {clock(one.time, zone)}{since}'
        f"<br>rule {escape(one.rule)}: {escape(one.limits)} · alert {one.alert}</div>"
        f"{_image(one, picture)}</td></tr>"
    )


def _image(one: Told, picture: str) -> str:
    if not picture:
        return ""
    alternative = escape(f"{one.metric} of {one.device}, until {one.text}")
    return (
        f'<img src="cid:{escape(picture)}" alt="{alternative}" width="{WIDTH}" '
        'style="display:block;max-width:100%;height:auto;margin-top:8px">'
    )
