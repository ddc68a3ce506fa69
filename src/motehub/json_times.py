"""Times in JSON: ISO 8601 with an offset, or seconds since 1970."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from motehub import exact_json
from motehub.model import MICROSECONDS

LAST_SECOND: Final = int(datetime(2262, 1, 1, tzinfo=UTC).timestamp())
"""Times are before this, in seconds: the year 2262."""

END: Final = LAST_SECOND * MICROSECONDS
"""Times are from 1970 on and before this, in µs."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BEYOND_ALL_UNITS: Final = 1e20
"""What is no time, whichever unit was meant."""


class NoTime(Exception):
    """Why something is no time."""


def time_of(value: Any) -> int:
    """Return UTC µs of a time.

    Raises:
        NoTime: it is none, has no zone, or is not between 1970 and 2261.
    """
    if isinstance(value, str):
        time = parse(value)
    elif isinstance(value, bool) or not isinstance(value, float | int):
        raise NoTime(f"'time' is {exact_json.kind_of(value)} where a time is expected")
    elif isinstance(value, int):
        time = value * MICROSECONDS
    elif not abs(value) < _BEYOND_ALL_UNITS:
        raise NoTime("'time' is not between 1970 and 2261")
    else:
        time = round_seconds(value)
    if not 0 <= time < END:
        raise NoTime(f"'time' is not between 1970 and 2261{hint(time)}")
    return time


def parse(text: str) -> int:
    """Return UTC µs of an ISO 8601 time with an offset.

    Raises:
        NoTime: it is none, or has no offset.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise NoTime(f"'time' is not an ISO 8601 time: {text[:40]!r}") from None
    if time.tzinfo is None:
        raise NoTime(f"'time' has no zone: {text[:40]!r}; add Z or an offset such as +01:00")
    passed = time - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * MICROSECONDS + passed.microseconds


def round_seconds(seconds: float) -> int:
    """Return µs of seconds.

    Raises:
        OverflowError: they are too many for a double.
    """
    return round(seconds * MICROSECONDS)


def hint(time: int) -> str:
    """Return what may be meant by a time, in µs, that lies after the last year."""
    for unit, divisor in (("milliseconds", 1_000), ("microseconds", 10**6), ("nanoseconds", 10**9)):
        if time >= END and time // divisor < END:
            return f"; it looks like {unit}, where seconds are expected"
    return ""
