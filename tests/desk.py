"""A command desk for tests of transports: it notes what they tell it."""

from __future__ import annotations

from motehub.command import Carrier


class Desk:
    """See :class:`motehub.command.CommandDesk`; ``carriers`` are for the test to give commands."""

    def __init__(self) -> None:
        self.carriers: dict[str, Carrier] = {}
        self.told: list[tuple[str, ...]] = []
        self.over: set[str] = set()

    def attach(self, dialect: str, carrier: Carrier) -> None:
        self.carriers[dialect] = carrier

    def reachable(self, name: str | None = None) -> None:
        self.told.append(("reachable", name or "any"))

    def is_wanted(self, command: str) -> bool:
        return command not in self.over

    def sent(self, command: str, *, unheard: bool = False) -> None:
        self.told.append(("unheard" if unheard else "sent", command))
        self.over.add(command)

    def failed(self, command: str, reason: str) -> None:
        self.told.append(("failed", command, reason))
        self.over.add(command)
