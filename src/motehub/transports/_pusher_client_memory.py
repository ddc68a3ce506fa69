"""Which requests of the dashboard have been carried out: kept in the journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

KEPT: Final = 2_000
"""How many are remembered, the newest: twice what can be under way at a dashboard."""

_KEY: Final = "pusher_client/request/"

Changes = dict[str, bytes | None]


class Memory:
    """Ids in the order in which they came; changes go into the commit of the command."""

    def __init__(self, state: Mapping[str, bytes]) -> None:
        found = [
            (int(value), key.removeprefix(_KEY))
            for key, value in state.items()
            if key.startswith(_KEY)
        ]
        self._known = {request: number for number, request in sorted(found)}
        self._last = max(self._known.values(), default=0)

    def knows(self, request: str) -> bool:
        """Tell whether a request with that id has come before."""
        return request in self._known

    def add(self, request: str) -> Changes:
        """Remember a request; return what has to be durable with its command."""
        self._last += 1
        self._known[request] = self._last
        changes: Changes = {_KEY + request: str(self._last).encode()}
        while len(self._known) > KEPT:
            oldest = next(iter(self._known))
            del self._known[oldest]
            changes[_KEY + oldest] = None
        return changes

    def forget(self, request: str) -> None:
        """Let a request be new again whose command could not be given."""
        self._known.pop(request, None)
