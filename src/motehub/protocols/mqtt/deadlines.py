"""When something is over, for many: what is not yet due costs nothing."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

# Entries that mean nothing any more, beyond as many as there are others.
_SPARE: Final = 64


class Deadlines(Generic[K]):
    """Times in UTC µs by key; ``take`` returns the keys whose time has come."""

    def __init__(self) -> None:
        self._due: dict[K, int] = {}
        # With a number, since keys have no order. One that was set anew has older entries too.
        self._heap: list[tuple[int, int, K]] = []
        self._number = 0

    def __len__(self) -> int:
        return len(self._due)

    def __iter__(self) -> Iterator[K]:
        return iter(self._due)

    def set(self, key: K, due: int) -> None:
        """Let the time of ``key`` come at ``due``, instead of another perhaps."""
        self._due[key] = due
        self._number += 1
        heapq.heappush(self._heap, (due, self._number, key))
        self._compact()

    def discard(self, key: K) -> None:
        """Forget ``key``, if it is known."""
        if self._due.pop(key, None) is not None:
            self._compact()

    @property
    def next(self) -> int | None:
        """When the first time comes, or None."""
        heap = self._heap
        while heap and self._due.get(heap[0][2]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def take(self, now: int) -> list[K]:
        """Forget and return the keys whose time has come, the earliest first."""
        taken = []
        while (due := self.next) is not None and due <= now:
            key = heapq.heappop(self._heap)[2]
            del self._due[key]
            taken.append(key)
        return taken

    def _compact(self) -> None:
        if len(self._heap) > 2 * len(self._due) + _SPARE:
            self._heap = [(due, number, key) for number, (key, due) in enumerate(self._due.items())]
            self._number = len(self._heap)
            heapq.heapify(self._heap)
