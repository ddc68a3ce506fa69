"""How what is summed up is read from a store, part by part: the same in every one.

Each part is a query of its own, so a slow reader holds no snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final, Generic, Protocol, TypeVar

from motehub.model import Series
from motehub.rollups import TIERS, Grid, RollupColumns
from motehub.states import StateRow, name_of, names_of_numbers

ROWS_AT_ONCE: Final = 20_000
"""Rollups that one query reads at most."""

_Db = TypeVar("_Db")

Storage = Callable[[], AbstractContextManager[_Db]]
"""Gives a store's connection."""


class SumTables(Protocol):
    """The tables of rollups of a store, for whoever reads them."""

    def columns(
        self, tier: str, series: int, since: int, until: int, limit: int
    ) -> RollupColumns | None:
        """Return the first rollups that begin in ``[since, until)``, if there are any."""
        ...

    def sums(
        self, tier: str, series: int, since: int, until: int, grid: Grid
    ) -> RollupColumns | None:
        """Return what the rollups that begin in ``[since, until)`` come to, if there are any."""
        ...

    def start_after(
        self, tier: str, series: int, since: int, until: int, number: int
    ) -> int | None:
        """Return where the rollup begins that follows ``number`` others from ``since``."""
        ...


class StateSumTables(Protocol):
    """The tables of states of a store, for whoever reads them."""

    def numbers(self) -> set[int]:
        """Return the series of numbers that have never been anything but states."""
        ...

    def rows(self, tier: str, series: int, since: int, until: int, limit: int) -> list[StateRow]:
        """Return the first ``limit`` rollups that begin in ``[since, until)``."""
        ...

    def value_before(self, series: Series, time: int) -> tuple[int, float | str] | None:
        """Return time and value of the last reading before ``time``."""
        ...

    def last_before(self, tier: str, series: int, time: int) -> tuple[int, str] | None:
        """Return time and name of the last state of the last rollup that ends before ``time``."""
        ...


def rollups_in_parts(
    storage: Storage[_Db],
    tables: Callable[[_Db], SumTables],
    tier: str,
    series: int,
    since: int,
    until: int,
) -> Iterator[RollupColumns]:
    """Yield the rollups of a tier that begin in ``[since, until)``, oldest first."""
    while True:
        with storage() as db:
            columns = tables(db).columns(tier, series, since, until, ROWS_AT_ONCE)
        if columns is None:
            return
        yield columns
        since = columns.starts[-1] + 1


def sums_in_parts(
    storage: Storage[_Db],
    tables: Callable[[_Db], SumTables],
    tier: str,
    series: int,
    since: int,
    until: int,
    grid: Grid,
) -> Iterator[RollupColumns]:
    """Yield what the rollups that begin in ``[since, until)`` come to by buckets of a grid."""
    while since < until:
        end: int | None = None
        with storage() as db:
            if until - since > ROWS_AT_ONCE * TIERS[tier]:
                end = tables(db).start_after(tier, series, since, until, ROWS_AT_ONCE)
            end = until if end is None else end
            columns = tables(db).sums(tier, series, since, end, grid)
        if columns is not None:
            yield columns
        since = end


class StatesOfStore(Generic[_Db]):
    """See :class:`motehub.history_contract.StateReader`."""

    def __init__(self, storage: Storage[_Db], tables: Callable[[_Db], StateSumTables]) -> None:
        self._storage = storage
        self._tables = tables

    def numbers(self) -> set[int]:
        """Return the series of numbers that have never been anything but states."""
        with self._storage() as db:
            return self._tables(db).numbers()

    def rows(self, series: int, tier: str, since: int, until: int) -> Iterator[list[StateRow]]:
        """Yield the rollups of a tier that begin in ``[since, until)``, oldest first."""
        while True:
            with self._storage() as db:
                rows = self._tables(db).rows(tier, series, since, until, ROWS_AT_ONCE)
            if not rows:
                return
            yield rows
            since = rows[-1][1] + 1

    def before(self, series: Series, time: int) -> tuple[int, str] | None:
        """Return time and name of the last state before ``time``."""
        with self._storage() as db:
            tables = self._tables(db)
            stored = tables.value_before(series, time)
            summed = [tables.last_before(tier, series.id, time) for tier in TIERS]
        found = [one for one in summed if one is not None]
        if stored is not None:
            found.append((stored[0], _name(stored[1])))
        return max(found, default=None)


def _name(value: float | str) -> str:
    return name_of(value) if isinstance(value, str) else names_of_numbers([value])[0]
