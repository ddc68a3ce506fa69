"""Which counts by hour the writer deletes: those older than the sums by hour may be."""

from __future__ import annotations

from typing import Final

from motehub.history_contract import HistoryStore
from motehub.rollups import NEVER, TIERS

DEVICES_AT_ONCE: Final = 500
"""Of so many devices one step deletes: other writers wait for it."""


class Forgetting:
    """Deletes them in small steps, once a day."""

    def __init__(self, store: HistoryStore) -> None:
        self._store = store
        self._until = NEVER
        self._todo: list[int] = []

    def begin(self, until: int) -> None:
        """Let those go that begin before the midnight (of UTC) before ``until`` (µs)."""
        until = until // TIERS["day"] * TIERS["day"]
        if until > self._until:
            self._until = until
            self._todo = [device.id for device in self._store.registry()[0]]

    def step(self) -> bool:
        """Delete some; tell whether there were any to look at."""
        some, self._todo = self._todo[:DEVICES_AT_ONCE], self._todo[DEVICES_AT_ONCE:]
        if some:
            self._store.counted.forget_counts(some, self._until)
        return bool(some)
