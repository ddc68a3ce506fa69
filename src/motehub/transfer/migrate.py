"""Copying a whole history from one store to another, and proving that both hold the same."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, repeat, zip_longest
from operator import add, itemgetter
from typing import Final

import msgspec

from motehub.errors import OwnerError, StorageError
from motehub.history_contract import UNFINISHED, HistoryStore
from motehub.tables import TABLES, Row

Progress = Callable[[str, int, int], None]
"""Gets what is being done, how much of it is done, and how much there is."""

_BY_SERIES: Final = frozenset({"reading", "text", "held_reading", "held_text"})

_NUMBERS: Final = frozenset({"reading", "held_reading"})

_encode = msgspec.msgpack.Encoder().encode


class _Digest(msgspec.Struct, frozen=True):
    """What a part of a table comes to; ``series`` is 0 where a table is not parted by series."""

    series: int
    rows: int
    digest: bytes


def check_target(source: HistoryStore, target: HistoryStore, progress: Progress) -> bool:
    """Return whether ``target`` must be filled; it need not where it has everything already.

    That is so when a copy was complete, and what was to come after it did not happen.

    Raises:
        OwnerError: it holds something else.
    """
    if target.position() == UNFINISHED:
        return True
    if not target.position() and not any(map(target.count_rows, TABLES)):
        return True
    if target.position() == source.position():
        try:
            verify(source, target, progress)
        except StorageError:
            pass
        else:
            return False
    raise OwnerError(
        "The store to which the history is to move holds a history already, and it is another "
        "one. Name an empty database, or move that history away."
    )


def copy(source: HistoryStore, target: HistoryStore, progress: Progress) -> dict[str, int]:
    """Fill ``target``, whatever it holds; return the number of rows of each table.

    Until :func:`finish` no hub takes the target for a history. Nobody writes either meanwhile.

    Raises:
        StorageError: one of them can't be read or written now.
    """
    counts = {table: source.count_rows(table) for table in TABLES}
    target.clear(UNFINISHED)
    done, total = 0, sum(counts.values())
    progress("Copying", done, total)
    for table in TABLES:
        for rows in source.dump(table):
            target.load(table, rows)
            done += len(rows)
            progress("Copying", done, total)
    return counts


def verify(source: HistoryStore, target: HistoryStore, progress: Progress) -> dict[str, int]:
    """Compare counts and checksums, each made from what its store gives; return rows by table.

    Raises:
        StorageError: they differ, or one of them can't be read now.
    """
    counts = {table: source.count_rows(table) for table in TABLES}
    done, total = 0, sum(counts.values())
    for table, count in counts.items():
        if (found := target.count_rows(table)) != count:
            raise _differs(table, f"{found} rows are there instead of {count}")
        rows = 0
        for ours, theirs in zip_longest(_digests(source, table), _digests(target, table)):
            if ours != theirs:
                first = ours or theirs
                whose = f" of series {first.series}" if first.series else ""
                raise _differs(table, f"the checksum{whose} is another one")
            rows += ours.rows
            progress("Comparing", done + rows, total)
        if rows != count:
            raise _differs(table, f"{rows} of {count} rows could be read")
        done += rows
    return counts


def finish(source: HistoryStore, target: HistoryStore) -> None:
    """Let the target be the history: it goes on where the source stands in the journal."""
    target.set_position(source.position())


def _digests(store: HistoryStore, table: str) -> Iterator[_Digest]:
    """Yield the checksums of a table: of each series in turn, or of all that it has."""
    key = itemgetter(0) if table in _BY_SERIES else _all_the_same
    series, rows, digest = 0, 0, hashlib.blake2b(digest_size=16)
    for page in store.dump(table):
        for one, group in groupby(page, key):
            if one != series and rows:
                yield _Digest(series, rows, digest.digest())
                rows, digest = 0, hashlib.blake2b(digest_size=16)
            series, some = one, list(group)
            rows += len(some)
            for content in _comparable(some, numbers=table in _NUMBERS):
                digest.update(content)
    if rows:
        yield _Digest(series, rows, digest.digest())


def _all_the_same(row: Row) -> int:
    return 0


def _comparable(rows: Sequence[Row], *, numbers: bool) -> Iterator[bytes]:
    """Yield the bytes of rows, without what stores may keep in different ways.

    SQLite has one zero, not two of different sign. PostgreSQL has no U+0000 in texts, and
    U+2400 instead. Either form has every float64 bit by bit.
    """
    if numbers:
        _, times, values = zip(*rows, strict=True)
        yield array("q", times).tobytes()
        yield array("d", map(add, values, repeat(0.0))).tobytes()
    else:
        for row in rows:
            yield _encode([_plain(cell) for cell in row])


def _plain(cell: object) -> object:
    if isinstance(cell, float):
        return cell + 0.0
    return cell.replace("\0", "\N{SYMBOL FOR NULL}") if isinstance(cell, str) else cell


def _differs(table: str, how: str) -> StorageError:
    return StorageError(
        f"The copy is not like the original: in the table {table} {how}. The hub's store is "
        "still the old one; begin again, and report this if it comes again."
    )
