"""Moments as programs write and read them: ISO 8601 with a zone, or a time ago such as ``-24h``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from motehub.errors import OwnerError
from motehub.model import MICROSECONDS
from motehub.quantities import Duration

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_EARLIEST: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LATEST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
# In a query a bare "+" stands for a space, and few people write %2B.
_LOST_PLUS: Final = re.compile(r"(?<=\d) (?=\d\d(:?\d\d)?$)")
_LONGEST: Final = 64


def iso(moment: int) -> str:
    """Return UTC microseconds as ISO 8601 with ``Z``; what no calendar holds, as its first or last.

    Microseconds are shown where there are any.
    """
    moment = min(max(moment, _EARLIEST), _LATEST)
    return (_EPOCH + timedelta(microseconds=moment)).isoformat().removesuffix("+00:00") + "Z"


def parse_moment(text: str, now: int) -> int:
    """Return the UTC microseconds that an ISO 8601 time with a zone, or ``-24h`` at ``now``, mean.

    Raises:
        OwnerError: it is neither of them, or before the year 1 or after the year 9999.
    """
    if len(text) <= _LONGEST:
        if text.startswith("-"):
            return _ago(text, now)
        try:
            # As a date alone, the text would have no zone either.
            moment = datetime.fromisoformat(_LOST_PLUS.sub("+", text))
            if moment.tzinfo is None:
                raise OwnerError(
                    f"{text!r} has no time zone. Write one, as in 2026-05-01T12:00:00Z "
                    "or 2026-05-01T14:00:00+02:00."
                )
            return (moment - _EPOCH) // _MICROSECOND
        except (ValueError, OverflowError):
            pass
    raise OwnerError(
        f"{text[:_LONGEST]!r} is not a time. Write an ISO 8601 time with a zone, as in "
        "2026-05-01T12:00:00Z, or a time ago, as in -24h."
    )


def _ago(text: str, now: int) -> int:
    moment = now - round(Duration.parse(text[1:]) * MICROSECONDS)
    if moment < _EARLIEST:
        raise OwnerError(f"{text!r} is before the year 1. Write a shorter time, as in -24h.")
    return moment
