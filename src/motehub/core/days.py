"""Days as people count them: from midnight to midnight in a zone, whatever its clocks do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

import msgspec

from motehub.errors import OwnerError
from motehub.model import MICROSECONDS

MOST_DAYS: Final = 366
"""Most days that are looked at together."""

_ONE: Final = timedelta(days=1)
_HOUR: Final = 3_600 * MICROSECONDS


class Day(msgspec.Struct, frozen=True):
    """A day: its date in ISO 8601, and ``[start, end)`` in UTC µs."""

    date: str
    start: int
    end: int


def days_of(since: int, until: int, zone: tzinfo) -> tuple[Day, ...]:
    """Return the days in ``zone`` of which something is in ``[since, until)`` (UTC µs).

    Each is whole, and there is one at least. A day is 23 or 25 hours long where clocks are changed.

    Raises:
        OwnerError: there are too many, or no calendar has them.
    """
    try:
        date, last = _date(since, zone), _date(max(since, until - 1), zone)
        if (last - date).days >= MOST_DAYS:
            raise OwnerError(f"These are more than {MOST_DAYS} days: ask for a shorter time.")
        found = []
        while date <= last:
            begin, date = date, date + _ONE
            found.append(Day(f"{begin:%Y-%m-%d}", _midnight(begin, zone), _midnight(date, zone)))
    except (OverflowError, ValueError) as error:
        raise OwnerError("These days are in no calendar: ask for others.") from error
    return tuple(found)


def hour_of(moment: int, zone: tzinfo) -> int:
    """Return when the hour of ``zone`` began in which ``moment`` is (both UTC µs)."""
    try:
        offset = datetime.fromtimestamp(moment // MICROSECONDS, UTC).astimezone(zone).utcoffset()
    except (OverflowError, ValueError, OSError):
        # In no calendar: an hour like any other.
        offset = None
    shift = 0 if offset is None else round(offset.total_seconds()) * MICROSECONDS
    return (moment + shift) // _HOUR * _HOUR - shift


def _date(moment: int, zone: tzinfo) -> datetime:
    local = datetime.fromtimestamp(moment // MICROSECONDS, UTC).astimezone(zone)
    return datetime(local.year, local.month, local.day)  # noqa: DTZ001 - a date, of no zone yet


def _midnight(date: datetime, zone: tzinfo) -> int:
    return int(date.replace(tzinfo=zone).timestamp()) * MICROSECONDS
