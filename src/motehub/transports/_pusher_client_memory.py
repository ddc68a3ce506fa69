"""Which requests of the dashboard have been carried out: kept in the journal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from motehub.protocols.pusher.requests import Answer

KEPT: Final = 2_000
"""How many are remembered, the newest: twice what can be under way at a dashboard."""

_KEY: Final = "pusher_client/request/"

Changes = dict[str, bytes | None]


class Memory:
    """Ids in the order in which they came; changes go into the commit of the command.

    What became of a request is known while the program runs, and asked anew when it starts. One
    of which it is not known yet is not forgotten: its dashboard may ask again.
    """

    def __init__(self, state: Mapping[str, bytes]) -> None:
        found = [
            (int(number), key.removeprefix(_KEY), command)
            for key, value in state.items()
            if key.startswith(_KEY)
            # Before requests were answered there was no command.
            for number, _, command in [value.decode().partition(" ")]
        ]
        self._known = {request: command for _, request, command in sorted(found)}
        self._last = max((number for number, _, _ in found), default=0)
        self._answers: dict[str, Answer] = {}

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield all requests with the ids of their commands; "" where that is not known."""
        return iter(list(self._known.items()))

    def knows(self, request: str) -> bool:
        """Tell whether a request with that id has come before."""
        return request in self._known

    def add(self, request: str, command: str) -> Changes:
        """Remember a request; return what has to be durable with its command."""
        self._last += 1
        self._known[request] = command
        changes: Changes = {_KEY + request: f"{self._last} {command}".encode()}
        while len(self._known) > KEPT:
            over = (one for one in self._known if one in self._answers)
            oldest = next(over, next(iter(self._known)))
            self.forget(oldest)
            changes[_KEY + oldest] = None
        return changes

    def forget(self, request: str) -> None:
        """Let a request be new again, such as one whose command could not be given."""
        self._known.pop(request, None)
        self._answers.pop(request, None)

    def settle(self, answer: Answer) -> None:
        """Know what became of a request."""
        if answer.id in self._known:
            self._answers[answer.id] = answer

    def answer_to(self, request: str) -> Answer | None:
        """Return what became of a request, None while that is open."""
        return self._answers.get(request)
