"""Pictures for mails about alerts: made in a moment, or the mail goes without."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from motehub.alerting.chart import Curve, draw
from motehub.alerting.letters import Picture
from motehub.alerting.wording import OVER, Told, by_urgency
from motehub.logs import Logger, OccasionalLogger
from motehub.model import MICROSECONDS
from motehub.rollups import RollupColumns

MOST_PICTURES: Final = 3
"""Alerts of one mail that have a picture: the worst."""

SECONDS: Final = 0.6
"""How long a mail waits for its pictures."""

SPAN: Final = 24 * 3_600 * MICROSECONDS
"""What a picture shows (µs); of an alert that is older, from a while before it began."""

LONGEST: Final = 7 * SPAN

_BEFORE: Final = 2 * 3_600 * MICROSECONDS

LookBack = Callable[[int, int, int], Iterator[RollupColumns]]
"""Returns the minutes of a series between two times (µs); from the history, which may be late."""

_occasional = OccasionalLogger(Logger("motehub.alerts"))


class Pictures:
    """Makes pictures in a thread of their own, for which nobody waits long."""

    def __init__(self, look_back: LookBack, zone: ZoneInfo) -> None:
        self._look_back = look_back
        self._zone = zone
        self._busy = threading.Lock()

    def of(self, told: Sequence[Told], now: int, seconds: float = SECONDS) -> dict[int, Picture]:
        """Return pictures by alert, as many as there are after ``seconds``; never an error."""
        # An alert that began and ended is told of twice, and drawn once.
        known: dict[int, Told] = {}
        for one in by_urgency(told):
            if one.series:
                known.setdefault(one.alert, one)
        wanted = list(known.values())[:MOST_PICTURES]
        if not wanted or not self._busy.acquire(blocking=False):
            # A thread of another mail hangs: a disk, or a server of the history.
            return {}
        made: dict[int, Picture] = {}
        done = threading.Event()

        def work() -> None:
            try:
                for one in wanted:
                    self._add(made, one, now)
            finally:
                self._busy.release()
                done.set()

        threading.Thread(target=work, name="pictures", daemon=True).start()
        done.wait(seconds)
        return dict(made)

    def _add(self, made: dict[int, Picture], one: Told, now: int) -> None:
        try:
            if (content := self._draw(one, now)) is not None:
                made[one.alert] = Picture(f"alert-{one.alert}", content)
        # Whatever it is, a mail without a picture says the same.
        except Exception as error:
            _occasional.info("mail goes without a picture", reason=repr(error)[:200])

    def _draw(self, one: Told, now: int) -> bytes | None:
        until = max(now, one.time)
        since = max(min(until - SPAN, one.began - _BEFORE), until - LONGEST)
        times: list[int] = []
        low: list[float] = []
        high: list[float] = []
        last: list[float] = []
        for piece in self._look_back(one.series, since, until):
            times += piece.starts
            low += piece.low
            high += piece.high
            last += piece.last
        if one.value is not None and math.isfinite(one.value):
            # The reading itself may not be in the history yet.
            for column in (low, high, last):
                column.append(one.value)
            times.append(max(one.time, times[-1] if times else one.time))
        if len(times) < 2:
            return None
        ended = one.time if one.kind == OVER else until
        curve = Curve(times, low, high, last, one.unit, one.lines, since, until, one.began, ended)
        return draw(curve, self._zone)
