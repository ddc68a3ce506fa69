"""Numbers, times and durations as people read them in reports."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, tzinfo
from typing import Final

from motehub.model import MICROSECONDS
from motehub.reports.contents import Beyond, Contents, DevicePart, SeriesPart

_LONGEST_TEXT: Final = 40


def number(value: float | str | None) -> str:
    """Return a number in a few digits, or a text cut short; a dash for nothing."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, str):
        seen = "".join(one if one.isprintable() else " " for one in value)
        return seen if len(seen) <= _LONGEST_TEXT else f"{seen[: _LONGEST_TEXT - 1]}…"
    size = abs(value)
    if size != 0 and not 0.001 <= size < 1e7:
        return f"{value:.4g}"
    digits = 0 if size >= 10_000 else 1 if size >= 1_000 else 2 if size >= 1 else 4
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def title(metric: str) -> str:
    """Return what people call a metric."""
    return metric.replace("_", " ")


def whole(count: int) -> str:
    """Return a count with its thousands apart."""
    return f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def lasting(seconds: float) -> str:
    """Return a duration in its two largest units: ``2 d 3 h``, ``10 min``."""
    left = round(seconds)
    parts = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts) or "0 s"


def share(value: float) -> str:
    """Return a share as a percentage; only what is all of it is 100 %."""
    percent = value * 100
    shown = f"{percent:.1f}" if percent < 99.95 or value >= 1 else "99.9"
    return f"{shown.removesuffix('.0')} %"


def moment(time: int, zone: tzinfo) -> str:
    """Return a time (UTC µs) on the clock of ``zone``: ``2026-03-29 03:00``."""
    found = datetime.fromtimestamp(time // MICROSECONDS, UTC).astimezone(zone)
    return found.strftime("%Y-%m-%d %H:%M")


def span(contents: Contents, zone: tzinfo) -> str:
    """Return what time a report is about."""
    return f"{moment(contents.since, zone)} to {moment(contents.until, zone)} ({contents.zone})"


def counts(contents: Contents) -> str:
    """Return in a line how much there is in a report."""
    devices, alerts = len(contents.devices), contents.alert_count
    readings = sum(one.count for device in contents.devices for one in device.series)
    return ", ".join(
        (
            f"{devices} device{'s' * (devices != 1)}",
            f"{whole(readings)} reading{'s' * (readings != 1)}",
            f"{alerts or 'no'} alert{'s' * (alerts != 1)}",
        )
    )


def expected(device: DevicePart) -> str:
    """Return how much came of what was expected of a device, "" where nothing was."""
    if device.availability is None:
        return ""
    missing = f", {whole(device.missing)} missing" if device.missing else ""
    return f"{share(device.availability)} of expected readings{missing}"


def notes(series: SeriesPart) -> list[str]:
    """Return what there is to say of a series beside its numbers."""
    found = [beyond(one, series.unit) for one in series.beyond]
    found += [
        f"{number(one.name)} for {lasting(one.seconds)}, {share(one.share)} of the time"
        for one in series.states
    ]
    if series.changes:
        found.append("1 change" if series.changes == 1 else f"{whole(series.changes)} changes")
    if series.gaps:
        longest = lasting(series.longest_gap)
        found.append(f"1 gap of {longest}" if series.gaps == 1 else _gaps(series.gaps, longest))
    return found


def beyond(one: Beyond, unit: str) -> str:
    """Return how long readings were beyond a limit."""
    limit = one.limit
    where = (
        f"{'above' if limit.above else 'below'} {number(limit.value)}{f' {unit}' if unit else ''}"
    )
    rule = f" (rule {limit.rule})" if limit.rule else ""
    if not one.seconds:
        return f"never {where}{rule}"
    return f"{where} for {lasting(one.seconds)}, {share(one.share)} of the time{rule}"


def width(text: str) -> int:
    """Return how many columns a text takes where all letters are as wide."""
    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in text)
    return len(text) + wide - sum(unicodedata.combining(one) > 0 for one in text)


def _gaps(count: int, longest: str) -> str:
    return f"{count} gaps, the longest {longest}"
