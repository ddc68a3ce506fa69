"""What the writer does to the history when it has folded everything that there is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from motehub.errors import StorageError
from motehub.history_contract import HistoryStore
from motehub.logs import Logger
from motehub.rollups import TIERS
from motehub.thinning import BUDGET_SECONDS, LOOK_SECONDS, Thinning

GRACE_SECONDS: Final = 300
"""How long after an hour it is summed up: most of what is late has come by then."""

_RETRY_SECONDS: Final = 60.0
# A writer that always has something to fold still gives it a turn.
_BUSY_SECONDS: Final = 5.0
_STEPS_WHILE_BUSY: Final = 10
# More rows than a bite of the journal has: what comes must not be faster than what goes.
_STEPS_OVER_BUDGET: Final = 40
_HOUR_SECONDS: Final = 3600

_logger = Logger("motehub.upkeep")


class Upkeep:
    """Does what is to be done in small steps, between which new readings are folded.

    ``thinning`` deletes what is too old. ``clock`` returns seconds since 1970, ``monotonic`` those
    of some clock that is never set.
    """

    def __init__(
        self,
        store: HistoryStore,
        thinning: Thinning | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._thinning = thinning
        self._looked = -LOOK_SECONDS
        self._measured = -BUDGET_SECONDS
        self._clock = clock
        self._monotonic = monotonic
        self._last_turn = monotonic()
        self._not_before = self._last_turn - _RETRY_SECONDS
        self._unrolled = True
        self._settled = 0

    def beside_folds(self) -> None:
        """Do some steps when there was no time for any for seconds, or too much has come."""
        thinning = self._thinning
        hurried = thinning is not None and (thinning.has_grown or thinning.is_over_budget)
        if hurried or self._monotonic() >= self._last_turn + _BUSY_SECONDS:
            for _ in range(_STEPS_OVER_BUDGET if hurried else _STEPS_WHILE_BUSY):
                if not self.step():
                    return
            # There is more to do: the next turn is soon.
            self._last_turn = self._monotonic() - _BUSY_SECONDS

    def step(self) -> bool:
        """Do a little; tell whether there may be more to do at once."""
        self._last_turn = self._monotonic()
        if self._monotonic() < self._not_before:
            return False
        try:
            return self._roll_up() or self._settle() or self._thin()
        except StorageError as error:
            _logger.error("upkeep of the history waits", reason=str(error))
            self._not_before = self._monotonic() + _RETRY_SECONDS
            return False

    def _roll_up(self) -> bool:
        """Make rollups of readings that an earlier motehub has stored."""
        self._unrolled = self._unrolled and self._store.rebuild_some() > 0
        return self._unrolled

    def _settle(self) -> bool:
        """Make the hours and days that are over."""
        hour = int(self._clock() - GRACE_SECONDS) // _HOUR_SECONDS
        if hour == self._settled:
            return False
        if self._store.settle_some(hour * TIERS["hour"]):
            return True
        self._settled = hour
        return False

    def _thin(self) -> bool:
        """Delete what is too old, or too much."""
        if self._thinning is None:
            return False
        now = self._monotonic()
        if now >= self._looked + LOOK_SECONDS:
            self._looked = now
            self._thinning.begin()
        if now >= self._measured + BUDGET_SECONDS or self._thinning.has_grown:
            self._measured = now
            self._thinning.measure()
        return self._thinning.step()
