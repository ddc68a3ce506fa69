"""Readings of the store together with those that were moved to the archive."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

from motehub.archived import FOLDER, ArchivePart
from motehub.history_contract import HistoryStore, NumberColumns, TextColumns

_ROWS: Final = 20_000

_Columns = tuple["array[int]", Sequence[Any]]


class WholeHistory:
    """Reads what is in ``store`` and in the archive of ``folder``, each reading once.

    Whatever the writer moves meanwhile is found: the store is read first, and a reading leaves
    it after its file is noted there.
    """

    def __init__(self, store: HistoryStore, folder: Path) -> None:
        self._store = store
        self._folder = folder / FOLDER

    def readings(self, series: int, since: int, until: int) -> Iterator[NumberColumns]:
        """Yield columns (times, values) of one series in ``[since, until)``, oldest first.

        Raises:
            OwnerError: a file of the archive can't be read.
            StorageError: the store can't be read now.
        """
        stored = self._store.readings(series, since, until)
        for times, values in self._all(stored, "value", series, since, until):
            yield times, values if isinstance(values, array) else array("d", values)

    def texts(self, series: int, since: int, until: int) -> Iterator[TextColumns]:
        """Yield columns (times, values) of one text series, as ``readings`` does."""
        stored = self._store.texts(series, since, until)
        for times, values in self._all(stored, "text", series, since, until):
            yield times, list(values)

    def _all(
        self, stored: Iterable[_Columns], column: str, series: int, since: int, until: int
    ) -> Iterator[_Columns]:
        for times, values in stored:
            end = times[-1] + 1
            yield from self._joined((times, values), column, series, since, end)
            since = end
        yield from self._joined((array("q"), ()), column, series, since, until)

    def _joined(
        self, stored: _Columns, column: str, series: int, since: int, until: int
    ) -> Iterator[_Columns]:
        """Add to what the store has in ``[since, until)`` what the archive has."""
        parts = self._store.archive_parts(series, since, until) if since < until else []
        if not parts:
            if stored[0]:
                yield stored
            return

        def read(part: ArchivePart) -> Iterator[_Columns]:
            from motehub.archive.parquet import readings_in

            return readings_in(part, self._folder / part.file, since, until, column)

        archived = _in_turn(parts, read)
        # What is in the archive was there first: a text may have come again after it was deleted.
        yield from _merged([archived, iter([stored])]) if stored[0] else archived


def _in_turn(
    parts: list[ArchivePart], read: Callable[[ArchivePart], Iterator[_Columns]]
) -> Iterator[_Columns]:
    """Read parts, by where they begin, one after the other; together only those that overlap."""
    together: list[ArchivePart] = []
    for part in parts:
        if together and part.since >= max(one.until for one in together):
            yield from _merged([read(one) for one in together])
            together = []
        together.append(part)
    yield from _merged([read(one) for one in together])


def _merged(sources: list[Iterator[_Columns]]) -> Iterator[_Columns]:
    """Merge columns by time; of equal times the first source's reading counts."""
    if len(sources) == 1:
        yield from sources[0]
        return
    rows = _without_repeated(heapq.merge(*map(_rows, sources), key=lambda row: row[0]))
    while some := list(islice(rows, _ROWS)):
        times, values = zip(*some, strict=True)
        yield array("q", times), values


def _rows(source: Iterator[_Columns]) -> Iterator[tuple[int, Any]]:
    for times, values in source:
        yield from zip(times, values, strict=True)


def _without_repeated(rows: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    last = None
    for row in rows:
        if row[0] != last:
            yield row
            last = row[0]
