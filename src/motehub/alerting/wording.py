"""What people read of alerts: sentences, subjects, mails as text and as HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec

from motehub.alerting.book import Alert
from motehub.alerting.chart import WIDTH
from motehub.alerts.rule import UNCHANGED, WORDS, Kind, Rule, describe, held, spoken
from motehub.alerts.watch import State, Value
from motehub.languages import Words
from motehub.model import MICROSECONDS, Device, Series
from motehub.reports.words import moment
from motehub.zones import abbreviation

BEGINS: Final = "begins"
REMINDS: Final = "reminds"
OVER: Final = "over"
NOTICE: Final = "notice"
"""It is no alert of a device, but of the hub itself."""

TITLES: Final = 3
"""So many alerts are named in the subject of a message that tells of several."""

LINES: Final = 50
"""Alerts that one message describes; of more it says how many there are."""

_FIELD: Final = re.compile(rf"\{{({'|'.join(WORDS)})\}}")
_COLOURS: Final = {"critical": "#b3261e", "warning": "#9a6700", "info": "#0b57d0", OVER: "#1a7f37"}
_RANKS: Final = ("critical", "warning", "info")


class Told(msgspec.Struct, frozen=True):
    """What one message says of one alert; times in UTC µs.

    ``kind`` is begins, reminds or over, or notice: then it is no alert, and of no device.

    ``series`` is of what it is, 0 where that is no series of numbers; ``value`` what was read, in
    ``unit``, and ``lines`` are the limits of the rule. What an owner has written (``own``) is told
    as it is, in any language.
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
    own: bool = False

    def said(self, words: Words) -> str:
        """Return the text in the language of ``words``."""
        return self.text if self.own else words.told(self.text)


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


def sentence(
    rule: Rule, device: Device, series: Series | None, value: Value, estimated: int = 0
) -> str:
    """Return what is told of an alert that begins; ``estimated`` as in ``Transition``."""
    metric = series.metric if series is not None else rule.metric
    unit = series.unit if series is not None else ""
    said = shown(value, unit)
    if rule.message:
        words = {
            "device": device.name,
            "metric": metric,
            "value": "" if value is None else shown(value, ""),
            "unit": unit,
            "limit": limits(rule, estimated),
            "rule": rule.name,
            "severity": rule.severity.value,
        }
        return _FIELD.sub(lambda match: words[match[1]], rule.message)
    if rule.silent:
        about = f" of {metric}" if metric else ""
        about += f", for {_estimate(estimated)}" if estimated else ""
        return f"{device.name}: nothing comes any more{about}"
    if rule.offline:
        return f"{device.name} is offline"
    if rule.kind is Kind.STUCK:
        return f"{device.name}: {metric} is always {said}, for {spoken(rule.stuck)}"
    if rule.kind is Kind.EQUAL:
        # What it is says already why.
        return f"{device.name}: {metric} is {said}" + held(rule)
    return f"{device.name}: {metric} is {said} ({describe(rule)})"


def limits(rule: Rule, estimated: int) -> str:
    """Return when a rule fires; ``estimated`` as in ``Transition``."""
    return f"no data for {_estimate(estimated)}" if estimated else describe(rule)


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
    words: Words,
    pictures: Mapping[int, str] | None = None,
) -> Wording:
    """Return the message that tells all of this in the language of ``words``, the worst first.

    ``pictures`` are the names of pictures that go along in the HTML, by alert.
    """
    order = by_urgency(told)
    say = _Sayer(words, zone, link)
    lines = [say.line(one) for one in order[:LINES]]
    more = len(order) - LINES
    rest = [words("alert.more", count=more)] if more > 0 else []
    where = [f"{link.rstrip('/')}/"] if link else []
    if link and len({one.device for one in order}) == 1:
        where = [say.address(order[0])]
    sent_by = words("alert.sent_by", hub=hub)
    text = "\n\n".join([*lines, *rest, *where, f"-- \n{sent_by}"]) + "\n"
    return Wording(
        _subject(order, hub, words), text, _html(order[:LINES], rest, sent_by, say, pictures or {})
    )


def trial(hub: str, words: Words) -> Wording:
    """Return a message with which a channel is tried."""
    text = words("alert.test", hub=hub)
    return Wording(
        _one_line(words("alert.test_subject", hub=hub)), f"{text}\n", f"<p>{escape(text)}</p>"
    )


def clock(time: int, zone: ZoneInfo, words: Words) -> str:
    """Return a time (UTC µs) on the clock of ``zone``, which is named: ``… 21:30:05 CET``."""
    return f"{moment(words, time, zone, seconds=True)} {abbreviation(time, zone)}"


def _estimate(time: int) -> str:
    return f"{spoken(time / MICROSECONDS)} (estimated)"


def _subject(order: Sequence[Told], hub: str, words: Words) -> str:
    first = order[0]
    if len(order) == 1:
        key = f"begins_{first.severity}" if first.kind in (BEGINS, NOTICE) else first.kind
        what, text = words(f"alert.{key}"), first.said(words)
    else:
        new = [one for one in order if one.kind != OVER]
        over = len(order) - len(new)
        worst = [words("alert.begins_critical")] if new and new[0].severity == "critical" else []
        counts = [*worst, words("alert.count", count=len(new))] if new else []
        counts += [words("alert.over_count", count=over)] if over else []
        names = list(dict.fromkeys(one.device or words("alert.the_hub") for one in order))
        more = ", …" if len(names) > TITLES else ""
        what, text = ", ".join(counts), f"{', '.join(names[:TITLES])}{more}"
    return _one_line(words("alert.subject", hub=hub, what=what, text=text))


def _one_line(text: str) -> str:
    plain = "".join(one if one.isprintable() else " " for one in text)
    return plain if len(plain) <= 200 else f"{plain[:199]}…"


class _Sayer:
    """Says what is told of one alert, as text and as HTML."""

    def __init__(self, words: Words, zone: ZoneInfo, link: str) -> None:
        self.words = words
        self._zone = zone
        self._link = link

    def line(self, one: Told) -> str:
        """Return it as text."""
        text = one.said(self.words)
        said = f"{self._when(one)} · {self._about(one)}"
        return f"{self._word(one).upper()}  {text}\n  {said}"

    def row(self, one: Told, picture: str) -> str:
        """Return it as a row of a table."""
        colour = _COLOURS[OVER if one.kind == OVER else one.severity]
        subject = escape(one.device or self.words("alert.the_hub"))
        if self._link:
            subject = f'<a href="{escape(self.address(one))}">{subject}</a>'
        about = "" if one.kind == NOTICE else f"<br>{escape(self._about(one))}"
        return (
            f'<tr><td style="border-left:4px solid {colour};padding:8px 12px 12px">'
            f'<div style="color:{colour};font-size:13px;font-weight:bold">'
            f"{escape(self._word(one).lower())}</div>"
            f'<div style="font-size:16px">{escape(one.said(self.words))}</div>'
            f'<div style="color:#59636e;font-size:13px">{subject} · {escape(self._when(one))}'
            f"{about}</div>"
            f"{self._image(one, picture)}</td></tr>"
        )

    def address(self, one: Told) -> str:
        """Return where the page is that says more."""
        page = "status" if one.kind == NOTICE else f"device#{quote(one.device, safe='')}"
        return f"{self._link.rstrip('/')}/{page}"

    def _word(self, one: Told) -> str:
        if one.kind in (BEGINS, NOTICE):
            return self.words(f"alert.begins_{one.severity}")
        return self.words(f"alert.{one.kind}")

    def _when(self, one: Told) -> str:
        time = clock(one.time, self._zone, self.words)
        if one.kind in (BEGINS, NOTICE):
            return time
        return self.words("alert.since", time=time, began=clock(one.began, self._zone, self.words))

    def _about(self, one: Told) -> str:
        if one.kind == NOTICE:
            return self.words("alert.the_hub")
        return f"{self._rule(one)} · {self.words('alert.alert', number=str(one.alert))}"

    def _rule(self, one: Told) -> str:
        # Of a reading that is a certain one, the sentence says it already.
        if not one.limits or one.text == f"{one.device}: {one.limits}":
            return self.words("alert.rule", name=one.rule)
        return self.words("alert.rule_limits", name=one.rule, limits=self.words.told(one.limits))

    def _image(self, one: Told, picture: str) -> str:
        if not picture:
            return ""
        text = one.said(self.words)
        metric = self.words.known(f"metric.{one.metric}", one.metric)
        said = self.words("alert.picture", metric=metric, device=one.device, text=text)
        return (
            f'<img src="cid:{escape(picture)}" alt="{escape(said)}" width="{WIDTH}" '
            'style="display:block;max-width:100%;height:auto;margin-top:8px">'
        )


def _html(
    order: Sequence[Told],
    rest: Sequence[str],
    sent_by: str,
    say: _Sayer,
    pictures: Mapping[int, str],
) -> str:
    rows = "".join(say.row(one, pictures.get(one.alert, "")) for one in order)
    more = "".join(f"<p>{escape(one)}</p>" for one in rest)
    return (
        f'<!doctype html><html lang="{say.words.language}"><head><meta charset="utf-8">'
        "<title>motehub</title></head>"
        '<body style="margin:0;padding:16px;font-family:sans-serif;color:#1f2328">'
        '<table role="presentation" bgcolor="#ffffff" cellpadding="0" cellspacing="0" '
        f'style="width:100%;max-width:640px;border-collapse:collapse">{rows}</table>{more}'
        f'<p style="color:#59636e;font-size:13px">{escape(sent_by)}</p></body></html>'
    )
