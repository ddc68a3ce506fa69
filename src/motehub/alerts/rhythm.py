"""How regularly something comes of a device, learnt from when it came: after what it is silent.

Times are those of arrival, in whole minutes, so late and backdated readings count as what they
are: signs of life. What comes within a minute counts once, whatever a device splits it into.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from statistics import median_low
from typing import Final

import msgspec

from motehub.model import MICROSECONDS

MINUTE: Final = 60 * MICROSECONDS

DAY_MINUTES: Final = 1440
"""A device is judged after so long, which has a night in it, and then each time anew."""

DAYS: Final = 14
"""So many days are remembered."""

FORGIVING: Final = 7
"""Of so many days the one with the longest silence does not count: that was an outage."""

FEWEST: Final = 20
"""Of fewer times between arrivals nothing is concluded."""

REGULAR: Final = 0.75
"""So much of them must be within half of the usual one, or a minute, and so many days regular."""

CALM: Final = 30
RATIO: Final = 10
"""A silence is part of the rhythm up to CALM minutes, or so many times the usual one."""

NIGHT: Final = 360
"""And only if it is shorter: people sleep longer, and what they touch says nothing meanwhile."""

TIMES: Final = 3
"""After so many times the longest silence of its rhythm a device is silent."""

FLOOR: Final = 10
"""And not before so many minutes: the pages say so then, of which nothing is known."""


class Day(msgspec.Struct, frozen=True, array_like=True):
    """A day of a device: how many times between arrivals, the usual one, and the longest.

    In minutes; ``usual`` is 0 where there is none.
    """

    count: int
    usual: int
    longest: int


class Rhythm(msgspec.Struct, array_like=True):
    """What is known of one device.

    ``begun`` is when the day began that goes on (µs), 0 before anything came, ``last`` when
    something came last, 0 where that is not known, ``mark`` when something came that counted,
    ``steps`` how often there were so many minutes between two such, ``longest`` the longest silence
    (minutes). ``silence_before`` and ``step_before`` are what was before ``mark`` (µs): it counts
    once something else has come, since it may be told late that no hub was there. All of it
    follows from frames alone, whenever they are judged.
    """

    begun: int = 0
    last: int = 0
    mark: int = 0
    longest: int = 0
    steps: dict[int, int] = {}
    days: tuple[Day, ...] = ()
    silence_before: int = 0
    step_before: int = 0

    def copy(self) -> Rhythm:
        """Return another one that does not change with it."""
        return msgspec.structs.replace(self, steps=dict(self.steps))

    def hear(self, now: int) -> bool:
        """Take in that something came at ``now`` (µs); tell whether a day is over."""
        if not self.last:
            self.begun = self.begun or now
            self.last = self.mark = now
            self.silence_before = self.step_before = 0
            return False
        gap, self.last = now - self.last, max(now, self.last)
        if now - self.mark < MINUTE:
            # Whatever is between two such is no silence to speak of.
            return False
        is_over = self._count()
        self.silence_before, self.step_before, self.mark = gap, now - self.mark, now
        return is_over

    def _count(self) -> bool:
        if not self.step_before:
            return False
        self.longest = max(self.longest, ceil(self.silence_before / MINUTE))
        step = round(self.step_before / MINUTE)
        self.steps[step] = self.steps.get(step, 0) + 1
        if self.mark - self.begun < DAY_MINUTES * MINUTE:
            return False
        day = Day(sum(self.steps.values()), _usual(self.steps), self.longest)
        self.days = (*self.days, day)[-DAYS:]
        self.begun, self.longest, self.steps = self.mark, 0, {}
        return True

    def miss(self, since: int, until: int) -> None:
        """Take in that no hub was there from ``since`` to ``until`` (µs), if need be late."""
        if max(since, self.mark - self.silence_before) < min(until, self.mark):
            # A clock that leaps is noticed in a while, and something may have come before.
            self.begun += self.step_before
            self.silence_before = self.step_before = 0
        if self.last:
            away = max(0, until - max(since, self.last))
            self.begun += away
            self.last += away
            self.mark += away

    def doubt(self) -> None:
        """Take in that it is not known what came of late."""
        self.last = 0

    def go_back(self, now: int) -> None:
        """Go on after the clock was set back to ``now`` (µs)."""
        self.begun, self.mark = min(self.begun, now), min(self.mark, now)
        self.last = min(self.last, now)

    def silence(self) -> int:
        """Return after how many µs without anything it is silent; 0 where it has no rhythm."""
        if sum(day.count for day in self.days) < FEWEST:
            return 0
        regular = [day.usual for day in self.days if day.usual]
        if len(regular) < REGULAR * len(self.days):
            return 0
        longest = sorted(day.longest for day in self.days)
        calm = longest[-2 if len(longest) >= FORGIVING else -1]
        if calm > min(NIGHT, max(CALM, RATIO * median_low(regular))):
            return 0
        return max(FLOOR, TIMES * calm) * MINUTE


def _usual(steps: dict[int, int]) -> int:
    """Return the usual time between arrivals, 0 where most are otherwise."""
    usual = median_low(_each(steps))
    near = sum(count for step, count in steps.items() if abs(step - usual) <= max(1, usual / 2))
    return usual if near >= REGULAR * sum(steps.values()) else 0


def _each(steps: dict[int, int]) -> Iterable[int]:
    return [step for step, count in steps.items() for _ in range(count)]
