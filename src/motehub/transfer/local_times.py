"""Local times without a zone, as the original HTTP system stored them, and changed clocks."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from motehub.errors import OwnerError
from motehub.model import MICROSECONDS

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001
_AMERICAN: Final = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}) (\d{1,2}):(\d{2}):(\d{2})", re.ASCII)
_SECONDS: Final = re.compile(r"\d+(\.\d*)?", re.ASCII)

DISORDER: Final = 120 * MICROSECONDS
"""How far rows that come one after another may lie back, in µs, and still be merely unordered."""


class LocalTimes:
    """Turns times of ``zone`` into UTC; the rows of each location come in their order.

    Of the hour that comes twice when the clocks are set back, a time is the second one when it
    would otherwise lie before the row above it, and else the first one.
    """

    def __init__(self, zone: ZoneInfo | None) -> None:
        self._zone = zone
        self._last: dict[str, int] = {}

    def utc(self, location: str, text: str) -> int:
        """Return the UTC microseconds of a time: ISO 8601, month/day/year, or unix seconds.

        Raises:
            ValueError: it is no time, or the clocks skip it.
            OwnerError: it has no zone, and none is known.
        """
        moment = _parse(text)
        if isinstance(moment, int):
            time = moment
        elif moment.tzinfo is not None:
            time = _utc(moment)
        else:
            time = self._of_zone(location, text, moment)
        self._last[location] = time
        return time

    def _of_zone(self, location: str, text: str, moment: datetime) -> int:
        if self._zone is None:
            raise OwnerError(
                f"{text[:40]!r} has no time zone. Name the one in which the devices lived, as in "
                "--zone Europe/Paris."
            )
        first = _utc(moment.replace(tzinfo=self._zone))
        second = _utc(moment.replace(tzinfo=self._zone, fold=1))
        # PEP 495: fold=0 takes the offset before a change of the clock, fold=1 the one after it.
        if first > second:
            raise ValueError(f"there is no such time in {self._zone}: the clocks skip it")
        last = self._last.get(location)
        return second if last is not None and first < last - DISORDER else first


def _parse(text: str) -> datetime | int:
    text = text.strip()
    if fields := _AMERICAN.fullmatch(text):
        month, day, year, hour, minute, second = map(int, fields.groups())
        return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001
    if _SECONDS.fullmatch(text):
        return _utc(datetime.fromtimestamp(float(text), UTC))
    return datetime.fromisoformat(text)


def _utc(moment: datetime) -> int:
    offset = moment.utcoffset()
    passed = moment.replace(tzinfo=None) - _EPOCH
    if offset:
        passed -= offset
    return (passed.days * 86_400 + passed.seconds) * MICROSECONDS + passed.microseconds
