"""What the writer does to the history when it has folded everything that there is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from motehub.errors import StorageError
from motehub.history_contract import HistoryStore
from motehub.logs import Logger
from motehub.rollups import TIERS

GRACE_SECONDS: Final = 300
"""How long after an hour it is summed up: most of what is late has come by then."""

_RETRY_SECONDS: Final = 60.0
_HOUR_SECONDS: Final = 3600

_logger = Logger("motehub.upkeep")


class Upkeep:
    """Does what is to be done in small steps, between which new readings are folded.

    ``clock`` returns seconds since 1970, ``monotonic`` those of some clock that is never set.
    """

    def __init__(
        self,
        store: HistoryStore,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._clock = clock
        self._monotonic = monotonic
        self._not_before = -_RETRY_SECONDS
        self._unrolled = True
        self._settled = 0

    def step(self) -> bool:
        """Do a little; tell whether there may be more to do at once."""
        if self._monotonic() < self._not_before:
            return False
        try:
            return self._roll_up() or self._settle()
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
        if hour <= self._settled:
            return False
        if self._store.settle_some(hour * TIERS["hour"]):
            return True
        self._settled = hour
        return False
