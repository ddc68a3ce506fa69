"""What the books of rules and of reports have in common: who says what, and that it is durable."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from motehub.errors import OwnerError
from motehub.frames import Batch
from motehub.logs import Logger

CONFIGURATION: Final = "configuration"
ADDED: Final = "added"
"""Who has said a definition: the configuration, or somebody meanwhile."""

_NAMED: Final = 10
_SHOWN: Final = 64

_logger = Logger("motehub.definitions")


class Door(Protocol):
    """The part of the journal that makes batches durable."""

    def append(self, batch: Batch) -> Awaitable[int]:
        """Return once the batch is durable."""
        ...

    def put(self, batch: Batch) -> asyncio.Future[int]:
        """Do the same for one who can't wait."""
        ...


class Definition(Protocol):
    """The part of a definition that all have."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def devices(self) -> list[str]:
        """Names and patterns of the devices that it is about; of all if there are none."""
        ...


class Kept(Protocol):
    """A definition and who has said it."""

    @property
    def definition(self) -> Definition:
        """What is kept."""
        ...

    @property
    def origin(self) -> str:
        """Who has said it."""
        ...


class Sayings(msgspec.Struct, frozen=True):
    """What owners are told; ``{}`` is a name, or a number in ``full``."""

    unknown: str
    """With a second ``{}`` for the names that there are."""
    there: str
    full: str
    renamed: str
    configured: str


_Kept = TypeVar("_Kept", bound=Kept)


class Definitions(ABC, Generic[_Kept]):
    """Definitions by name, at most ``most``; each change is durable when it is done.

    ``there`` is the book's own, which changes. ``unknown`` and ``invalid`` are what is raised,
    ``make`` makes one of a definition and who has said it.
    """

    make: Callable[[Any, str], _Kept]
    sayings: Sayings
    most: int
    unknown: type[OwnerError]
    invalid: type[OwnerError]

    def __init__(self, there: dict[str, _Kept], journal: Door) -> None:
        self._there = there
        self._journal = journal

    def all(self) -> list[_Kept]:
        """Return all, by name."""
        return sorted(self._there.values(), key=lambda one: one.definition.name)

    def get(self, name: str) -> _Kept:
        """Return the one called ``name``; it raises what is ``unknown``."""
        found = self._there.get(name)
        if found is None:
            known = ", ".join(sorted(self._there)[:_NAMED]) or "none yet"
            raise self.unknown(self.sayings.unknown.format(repr(name[:_SHOWN]), known))
        return found

    def follow(self, batch: Batch, old: str, new: str) -> None:
        """Let what names a device that is renamed be about it under its new name.

        What is of the configuration can't: that is the owner's to change.
        """
        for kept in self.all():
            found: Any = kept.definition
            if old not in found.devices:
                continue
            kind = type(found).__name__.lower()
            if kept.origin == CONFIGURATION:
                _logger.warning(
                    f"a {kind} of the configuration names a device that was renamed",
                    name=found.name,
                    device=old,
                    renamed=new,
                )
                continue
            devices = [new if one == old else one for one in found.devices]
            changed = msgspec.structs.replace(found, devices=devices)
            self._put(batch, self.make(changed, kept.origin))

    @abstractmethod
    def _put(self, batch: Batch, kept: _Kept) -> None:
        """Keep one, in memory and in the batch."""

    @abstractmethod
    def _drop(self, batch: Batch, name: str) -> None:
        """Forget one, in memory and in the batch."""

    def _reconcile(self, wanted: Iterable[_Kept]) -> None:
        """Let what nobody has added be what is ``wanted``."""
        by_name = {one.definition.name: one for one in wanted}
        batch = Batch()
        for name, kept in list(self._there.items()):
            if kept.origin != ADDED and name not in by_name:
                self._drop(batch, name)
        for name, kept in by_name.items():
            if self._there.get(name) != kept:
                self._put(batch, kept)
        if batch:
            # Not waited for: a hub also starts while its journal takes nothing.
            self._journal.put(batch).add_done_callback(_look_at)

    async def _keep(self, kept: _Kept) -> _Kept:
        batch = Batch()
        self._put(batch, kept)
        await self._journal.append(batch)
        _logger.info("definition kept", kind=type(kept).__name__, name=kept.definition.name)
        return kept

    def _check_room(self, name: str) -> None:
        if name in self._there:
            raise self.invalid(self.sayings.there.format(repr(name)))
        if len(self._there) >= self.most:
            raise self.invalid(self.sayings.full.format(self.most))

    def _check_same(self, name: str, new: str) -> None:
        if new != name:
            raise self.invalid(self.sayings.renamed)

    def _check_own(self, kept: _Kept) -> None:
        """See that it is not the configuration's."""
        if kept.origin == CONFIGURATION:
            raise self.invalid(self.sayings.configured.format(repr(kept.definition.name)))


def pieces(state: Mapping[str, bytes], prefix: str) -> dict[str, bytes]:
    """Return what a journal keeps under keys that begin so, by the rest of the keys."""
    length = len(prefix)
    return {key[length:]: value for key, value in state.items() if key.startswith(prefix)}


def _look_at(commit: asyncio.Future[int]) -> None:
    if not commit.cancelled() and (error := commit.exception()):
        # The next start does the same again.
        _logger.warning("what the configuration says is not noted", reason=str(error))
