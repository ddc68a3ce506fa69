"""Numbers, times, durations and sentences of reports, as people read them in their language."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, tzinfo
from typing import Final

from motehub.languages import Words, whole
from motehub.model import MICROSECONDS
from motehub.reports.contents import (
    AlertPart,
    Beyond,
    Chart,
    Contents,
    DayPart,
    DevicePart,
    Limit,
    Remark,
    SeriesPart,
)

_MOST_DAYS: Final = 31
_WORTH_SAYING: Final = 60.0
"""Seconds: for a shorter time the hub was only updated."""
_WORST_DAYS: Final = 10
_LONGEST_TEXT: Final = 40
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


class Phrases:
    """What a report says in the language of ``words``, on the clock of ``zone``."""

    def __init__(self, words: Words, zone: tzinfo) -> None:
        self.words = words
        self._zone = zone
        self._mark = words("when.decimal_mark")

    def number(self, value: float | str | None) -> str:
        """Return a number in a few digits, or a text cut short; a dash for nothing."""
        if value is None:
            return "\N{EN DASH}"
        if isinstance(value, str):
            seen = "".join(one if one.isprintable() else " " for one in value)
            return seen if len(seen) <= _LONGEST_TEXT else f"{seen[: _LONGEST_TEXT - 1]}…"
        return self.decimal(_digits(value))

    def decimal(self, text: str) -> str:
        """Return a number that is written with a point, with the language's own mark."""
        return text.replace(".", self._mark)

    def title(self, metric: str, unit: str = "") -> str:
        """Return what people call a metric."""
        name = self.words.known(f"metric.{metric}", metric.replace("_", " "))
        return self.words("report.in_unit", metric=name, unit=unit) if unit else name

    def lasting(self, seconds: float) -> str:
        """Return a duration in its two largest units: ``2 d 3 h``, ``10 min``."""
        left = round(seconds)
        parts = []
        for unit, length in _UNITS:
            count, left = divmod(left, length)
            if count:
                parts.append(f"{count} {self.words(f'when.unit_{unit}')}")
            elif parts:
                break
            if len(parts) == 2:
                break
        return " ".join(parts) or f"0 {self.words('when.unit_s')}"

    def share(self, value: float) -> str:
        """Return a share as a percentage; only what is all of it is 100 %."""
        percent = value * 100
        shown = f"{percent:.1f}" if percent < 99.95 or value >= 1 else "99.9"
        return f"{self.decimal(shown.removesuffix('.0'))} %"

    def moment(self, time: int) -> str:
        """Return a time (UTC µs) on the clock of the zone: ``29 Mar 2026, 03:00``."""
        return moment(self.words, time, self._zone)

    def span(self, contents: Contents) -> str:
        """Return what time a report is about."""
        since, until = self.moment(contents.since), self.moment(contents.until)
        zone = contents.zone or self.words("report.local_time")
        return self.words("report.span", since=since, until=until, zone=zone)

    def subject(self, contents: Contents) -> str:
        """Return the subject of a mail."""
        return self.words(
            "report.subject",
            hub=contents.hub,
            name=contents.name,
            since=self.moment(contents.since),
            until=self.moment(contents.until),
        )

    def counts(self, contents: Contents) -> str:
        """Return in a line how much there is in a report."""
        readings = sum(one.count for device in contents.devices for one in device.series)
        alerts = contents.alert_count
        said = self.words("report.count_alerts", count=alerts)
        return ", ".join(
            (
                self.words("report.count_devices", count=len(contents.devices)),
                self.words("report.count_readings", count=readings),
                said if alerts else self.words("report.no_alerts"),
            )
        )

    def remark(self, one: Remark) -> str:
        """Return a sentence about what a report does not have."""
        values: dict[str, str | int] = {"count": one.count}
        if one.time is not None:
            values["time"] = self.moment(one.time)
        if one.rows:
            values["what"] = self.words(f"report.rows_{one.rows}")
        return self.words(f"report.remark_{one.what}", **values)

    def alert(self, one: AlertPart) -> tuple[str, str, str]:
        """Return what is told of an alert: its severity, what it says, and when it was."""
        severity = self.words.known(f"alerts.severity_{one.severity}", one.severity)
        began = self.moment(one.began)
        if one.ended is None:
            when = self.words("report.not_over", began=began)
        else:
            lasted = self.lasting((one.ended - one.began) / MICROSECONDS)
            when = self.words("report.for", began=began, time=lasted)
        return severity, one.text if one.own else self.words.told(one.text), when

    def more_alerts(self, contents: Contents) -> str:
        """Return how many alerts are not named, "" where all are."""
        more = contents.alert_count - len(contents.alerts)
        return self.words("report.more", count=more) if more else ""

    def not_shown(self, chart: Chart) -> str:
        """Return how many devices a chart does not have, "" where it has all."""
        left_out = chart.left_out
        return self.words("report.not_shown", count=left_out) if left_out else ""

    def columns(self) -> tuple[str, ...]:
        """Return what the columns of a device's numbers are called; the metric comes first."""
        names = ("metric", "min", "mean", "max", "last", "readings")
        return tuple(self.words(f"report.column_{one}") for one in names)

    def cells(self, one: SeriesPart) -> tuple[str, ...]:
        """Return what stands in these columns behind the metric."""
        last = one.last
        if one.states and isinstance(last, str):
            last = self.state(last, one.metric, are_numbers=one.kind.value != "text")
        return (*map(self.number, (one.low, one.mean, one.high, last)), whole(one.count))

    def expected(self, device: DevicePart) -> str:
        """Return how much came of what was expected of a device, "" where nothing was."""
        if device.availability is None:
            return ""
        said = self.words("report.expected", share=self.share(device.availability))
        if device.missing:
            said += ", " + self.words("report.missing", count=device.missing)
        if device.hub_down >= _WORTH_SAYING:
            said += ", " + self.words("report.hub_down", time=self.lasting(device.hub_down))
        return said

    def days(self, device: DevicePart) -> str:
        """Return how much came on each day, or on the worst of many; "" if all came on all."""
        days, key = device.days, "report.by_day"
        if all(one.share >= 1 for one in days):
            return ""
        if len(days) > _MOST_DAYS:
            worst = sorted(days, key=lambda one: one.share)[:_WORST_DAYS]
            days, key = tuple(sorted(worst, key=lambda one: one.date)), "report.worst_days"
        return self.words(key, days=", ".join(map(self._day, days)))

    def _day(self, one: DayPart) -> str:
        _, month, day = one.date.split("-")
        month = self.words(f"when.month_{month}")
        date = self.words("when.date", day=str(int(day)), month=month)
        # A day is not parted from its share where lines end.
        return f"{date} {self.share(one.share)}".replace(" ", "\N{NO-BREAK SPACE}")

    def notes(self, series: SeriesPart) -> list[str]:
        """Return what there is to say of a series beside its numbers."""
        found = [self.beyond(one, series.unit) for one in series.beyond]
        for one in series.states:
            name = self.state(one.name, series.metric, are_numbers=series.kind.value != "text")
            time, share = self.lasting(one.seconds), self.share(one.share)
            found.append(self.words("report.state", state=name, time=time, share=share))
        if series.changes:
            found.append(self.words("report.changes", count=series.changes))
        if series.gaps:
            longest = self.lasting(series.longest_gap)
            found.append(self.words("report.gaps", count=series.gaps, longest=longest))
        return found

    def state(self, name: str | None, metric: str, *, are_numbers: bool) -> str:
        """Return what a state is called, as on the pages; None is all others."""
        if name is None:
            return self.words("bands.others")
        if not are_numbers:
            return self.number(name) or "\N{EN DASH}"
        if metric == "button":
            return self.words("common.released" if name == "0" else "common.pressed")
        return self.words.known(f"bands.state_{name}", name)

    def beyond(self, one: Beyond, unit: str) -> str:
        """Return how long readings were beyond a limit."""
        where = self._where(one.limit, unit)
        said = self.words("report.never", where=where)
        if one.seconds:
            time, share = self.lasting(one.seconds), self.share(one.share)
            said = self.words("report.beyond", where=where, time=time, share=share)
        rule = one.limit.rule
        return self.words("report.rule", text=said, name=rule) if rule else said

    def _where(self, limit: Limit, unit: str) -> str:
        shown = self.number(limit.value) + (f" {unit}" if unit else "")
        return self.words("report.above" if limit.above else "report.below", limit=shown)


def moment(words: Words, time: int, zone: tzinfo, *, seconds: bool = False) -> str:
    """Return a time (UTC µs) on the clock of ``zone``: ``29 Mar 2026, 03:00``."""
    local = datetime.fromtimestamp(time // MICROSECONDS, UTC).astimezone(zone)
    return words(
        "when.moment",
        day=str(local.day),
        month=words(f"when.month_{local.month:02}"),
        year=str(local.year),
        time=f"{local:%H:%M:%S}" if seconds else f"{local:%H:%M}",
    )


def width(text: str) -> int:
    """Return how many columns a text takes where all letters are as wide."""
    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in text)
    return len(text) + wide - sum(unicodedata.combining(one) > 0 for one in text)


def _digits(value: float) -> str:
    size = abs(value)
    if size != 0 and not 0.001 <= size < 1e7:
        return f"{value:.4g}"
    digits = 0 if size >= 10_000 else 1 if size >= 1_000 else 2 if size >= 1 else 4
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text
