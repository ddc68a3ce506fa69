"""When a report is due, and what time it is about, on the clock of a zone.

Where clocks change it is as with Debian's cron: what is due in the hour that is left out is due
right after it, what is due in the hour that comes twice is due once.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING, Final

from motehub.model import MICROSECONDS

if TYPE_CHECKING:
    from cronsim import CronSim

    from motehub.schedules.report import Period

_FIELDS: Final = 5
_CHARACTERS: Final = 100
# What is right where cronsim says that something is bad.
_MEANT: Final = {
    "bad minute": "a minute is 0 to 59",
    "bad hour": "an hour is 0 to 23",
    "bad day-of-month": "a day of the month is 1 to 31, or L",
    "bad month": "a month is 1 to 12, or JAN to DEC",
    "bad day-of-week": "a day of the week is 0 to 7, or MON to SUN",
}
_LONGEST: Final = 366 * 86_400 * MICROSECONDS
_DAY: Final = 86_400 * MICROSECONDS
# Longer than any change of a clock.
_BACK: Final = timedelta(hours=26)
_LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)


def check_schedule(schedule: str) -> None:
    """See that it is a schedule at which something is due some day.

    Raises:
        ValueError: it is not.
    """
    if len(schedule) > _CHARACTERS or len(schedule.split()) != _FIELDS:
        raise ValueError(f'schedule must have {_FIELDS} fields, as in "0 7 * * 1"')
    from cronsim import CronSimError

    try:
        found = next(_simulation(schedule, datetime(2024, 1, 1, tzinfo=UTC)), None)
    except CronSimError as error:
        said = str(error).lower()
        raise ValueError(f"schedule {schedule!r}: {_MEANT.get(said, said)}") from error
    if found is None:
        raise ValueError(f"schedule {schedule!r}: there is no such day")


def next_due(schedule: str, zone: tzinfo, after: int) -> int | None:
    """Return when it is due first after that moment (UTC µs); None: never any more."""
    for found in _simulation(schedule, _local(after, zone)):
        # In the hour that comes twice its first half may be meant.
        if (due := _moment(found)) > after:
            return due
        if found.replace(tzinfo=UTC) > _LATEST:
            break
    return None


def previous_due(schedule: str, zone: tzinfo, at: int) -> int | None:
    """Return when it was due last at that moment (UTC µs); None: never before."""
    candidate = next(_simulation(schedule, _local(at, zone), reverse=True), None)
    if candidate is None:
        return None
    start = candidate.astimezone(UTC) - _BACK
    due = next_due(schedule, zone, _moment(start))
    found = None
    while due is not None and due <= at:
        found = due
        due = next_due(schedule, zone, due)
    return found


def period_of(
    period: Period, schedule: str, zone: tzinfo, due: int, last: int | None
) -> tuple[int, int]:
    """Return from when to when (UTC µs) the report is about that is due then.

    ``last`` is until when the one before was about, None where there was none.
    """
    match period.value:
        case "day" | "week" | "month" as length:
            return _calendar(length, zone, due)
        case _:
            before = last if last is not None and last < due else None
            since = previous_due(schedule, zone, due - 1) if before is None else before
            return max(due - _DAY if since is None else since, due - _LONGEST), due


def usual_period(period: Period, schedule: str, zone: tzinfo, now: int) -> tuple[int, int]:
    """Return what the report would be about if it were due now: as long as usual."""
    if period.value != "previous":
        return _calendar(period.value, zone, now)
    before, after = previous_due(schedule, zone, now), next_due(schedule, zone, now)
    length = _DAY if before is None or after is None else min(after - before, _LONGEST)
    return now - length, now


def _calendar(length: str, zone: tzinfo, due: int) -> tuple[int, int]:
    day = _local(due, zone).date()
    if length == "week":
        day -= timedelta(days=day.weekday())
        before = day - timedelta(days=7)
    elif length == "month":
        day = day.replace(day=1)
        before = (day - timedelta(days=1)).replace(day=1)
    else:
        before = day - timedelta(days=1)
    return (
        _moment(datetime.combine(before, time(), tzinfo=zone)),
        _moment(datetime.combine(day, time(), tzinfo=zone)),
    )


def _simulation(schedule: str, start: datetime, *, reverse: bool = False) -> CronSim:
    # Only who has reports needs it.
    from cronsim import CronSim

    return CronSim(schedule, start, reverse=reverse)


def _local(moment: int, zone: tzinfo) -> datetime:
    # Backwards, what is due at this very second counts too.
    found = datetime.fromtimestamp(moment // MICROSECONDS, UTC).astimezone(zone)
    return found.replace(microsecond=0)


def _moment(local: datetime) -> int:
    return round(local.timestamp()) * MICROSECONDS
