"""SQLite's own limit on this machine: rows into the history's kind of table, nothing else."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import apsw

SERIES: Final = 100
BATCH_ROWS: Final = 10_000

_CHECKPOINT_PAGES: Final = 8_000
_CACHE_KIB: Final = 16_000


def insert_rate(folder: Path, seconds: float) -> float:
    """Return rows per second of batches of 10,000 prepared tuples, each batch committed.

    The rows of a batch are in the order of the table's key. Only inserting and committing is
    timed, for ``seconds`` in all; the tuples are made between.
    """
    database = apsw.Connection(str(folder / "table.db"))
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    database.wal_autocheckpoint(_CHECKPOINT_PAGES)
    database.execute(
        "CREATE TABLE reading (series INTEGER NOT NULL, time INTEGER NOT NULL, "
        "value REAL NOT NULL, PRIMARY KEY (series, time)) WITHOUT ROWID"
    )
    spent, batches = 0.0, 0
    while spent < seconds:
        rows = _batch(batches)
        began = time.monotonic()
        with database:
            database.executemany("INSERT INTO reading VALUES (?, ?, ?)", rows)
        spent += time.monotonic() - began
        batches += 1
    database.close()
    return batches * BATCH_ROWS / spent


def _batch(number: int) -> list[tuple[int, int, float]]:
    each = BATCH_ROWS // SERIES
    first = number * each
    return [
        (series, (first + n) * 1_000_000, 20.0 + n / 10)
        for series in range(SERIES)
        for n in range(each)
    ]
