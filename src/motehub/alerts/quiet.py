"""Quiet hours: when nobody is told, on the clock of the wall."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from motehub.model import MICROSECONDS

_HOURS: Final = re.compile(r"\s*(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})\s*")


def parse_quiet(text: str) -> tuple[time, time] | None:
    """Return begin and end of quiet hours such as ``22:00-07:00``; None for "".

    Raises:
        ValueError: it is not two different times of a day.
    """
    if not text:
        return None
    match = _HOURS.fullmatch(text)
    hours = list(map(int, match.groups())) if match is not None else [99, 0, 0, 0]
    if hours[2:] == [24, 0]:
        hours[2] = 0
    if max(hours[::2]) > 23 or max(hours[1::2]) > 59 or hours[:2] == hours[2:]:
        raise ValueError(f"quiet is {text[:40]!r}, and must be as in 22:00-07:00")
    return time(hours[0], hours[1]), time(hours[2], hours[3])


def quiet_until(text: str, now: int, zone: ZoneInfo) -> int | None:
    """Return when the quiet hours end in which ``now`` (UTC µs) is; None outside of them.

    An end that the clocks skip is when they have been put forward; of two, it is the next.
    """
    hours = parse_quiet(text)
    if hours is None:
        return None
    begin, end = hours
    local = datetime.fromtimestamp(now / MICROSECONDS, UTC).astimezone(zone)
    clock = local.time()
    if begin < end:
        is_quiet, days = begin <= clock < end, 0
    else:
        is_quiet, days = clock >= begin or clock < end, int(clock >= begin)
    if not is_quiet:
        return None
    ends = datetime.combine(local.date() + timedelta(days), end, zone)
    moments = (round(ends.replace(fold=fold).timestamp() * MICROSECONDS) for fold in (0, 1))
    return next((moment for moment in moments if moment > now), now + 3_600 * MICROSECONDS)
