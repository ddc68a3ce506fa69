"""Exports as Parquet, written by DuckDB: readings stream into it through a pipe."""

from __future__ import annotations

import csv
import errno
import os
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from importlib import import_module
from itertools import repeat
from pathlib import Path
from typing import Any, Final, Self

from motehub.errors import OwnerError, StorageError
from motehub.model import Kind
from motehub.transfer.export import Part, Progress

try:
    duckdb: Any = import_module("duckdb")
except ImportError as error:
    raise OwnerError(
        f"Parquet is written by DuckDB, which can't be loaded ({error}). Install it with: "
        "pip install 'motehub[parquet]'; or export as csv or jsonl."
    ) from error

_GROUP_ROWS: Final = 122_880
"""Rows that DuckDB gathers before it writes them."""

_MEMORY: Final = 32 * 1024 * 1024
"""Bytes that it may use for such a group of numbers, however long their names are."""

_TIMES: Final = 8
"""How often it may have the texts of a group in memory: as CSV, unpacked, as pages."""

# A Parquet column is of one type, so numbers and texts have one each. A text is up to
# 1 MiB, and in CSV twice that if it is all quotes.
_COPY: Final = """
COPY (
    SELECT device, metric, unit, make_timestamptz(time) AS time,
        CASE is_text WHEN 0 THEN value END AS value, CASE is_text WHEN 1 THEN text END AS text{}
    FROM read_csv(?, header = false, auto_detect = false, delim = ',', quote = '"', escape = '"',
        new_line = '\\n', nullstr = '', allow_quoted_nulls = false, parallel = false,
        max_line_size = 4194304, buffer_size = 4194304, columns = {{
            'device': 'VARCHAR', 'metric': 'VARCHAR', 'unit': 'VARCHAR', 'time': 'BIGINT',
            'value': 'DOUBLE', 'is_text': 'UTINYINT', 'text': 'VARCHAR', 'series': 'BIGINT'}})
) TO '{}' (FORMAT parquet, COMPRESSION zstd)
"""


def write_parquet(
    parts: Iterator[Part], path: Path, progress: Progress, *, with_series: bool = False
) -> int:
    """Write the readings to ``path`` and return how many there are.

    Columns: device, metric, unit, time (with time zone, µs), value (float64) and text, one of
    the last two being null; ``with_series`` also the number of the series (int64).

    Raises:
        StorageError: DuckDB can't write it, or the disk is full.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = {"threads": 1, "memory_limit": f"{_MEMORY}B", "temp_directory": folder}
        try:
            with (
                duckdb.connect(config=settings) as connection,
                _Feeder(parts, Path(folder) / "readings", progress, _Room(connection)) as feeder,
            ):
                # Whatever goes to standard output is ours.
                connection.execute("SET enable_progress_bar = false")
                statement = _COPY.format(
                    ", series" if with_series else "", str(path).replace("'", "''")
                )
                connection.execute(statement, [str(feeder.pipe)])
        except duckdb.Error as error:
            detail = " ".join(str(error).split())[:300]
            if os.strerror(errno.ENOSPC) in detail:
                full = f"The disk is full: {path} can't be written. Free some space."
                raise StorageError(full) from error
            raise StorageError(f"DuckDB can't write Parquet: {detail}.") from error
    return feeder.done


class _Room:
    """Gives DuckDB more memory before it is given texts that need it: it can't stop at them."""

    def __init__(self, connection: Any) -> None:
        # The connection itself is busy then.
        self._cursor = connection.cursor()
        self._most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 5 * 4
        self._given = _MEMORY
        self._group: deque[tuple[int, int]] = deque()
        self._rows = 0
        self._size = 0

    def make(self, part: Part) -> None:
        """Make room for a part, together with those that are in one group with it."""
        if part.series.kind is not Kind.TEXT:
            return
        rows, size = len(part.times), sum(len(str(text).encode()) for text in part.values)
        self._group.append((rows, size))
        self._rows += rows
        self._size += size
        while self._rows - self._group[0][0] > _GROUP_ROWS:
            rows, size = self._group.popleft()
            self._rows -= rows
            self._size -= size
        needed = min(_MEMORY + _TIMES * self._size, self._most)
        if needed > self._given:
            self._cursor.execute(f"SET memory_limit = '{needed}B'")
            self._given = needed


class _Feeder:
    """Writes the readings as CSV into ``pipe``, in a thread, as fast as they are taken out."""

    def __init__(self, parts: Iterator[Part], pipe: Path, progress: Progress, room: _Room) -> None:
        self.pipe = pipe
        self.done = 0
        self._parts = parts
        self._progress = progress
        self._room = room
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="parquet", daemon=True)
        os.mkfifo(pipe)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """End the thread; raise what it ended with, unless there is another error already."""
        # Were there no reader, it would wait for one.
        os.close(os.open(self.pipe, os.O_RDONLY | os.O_NONBLOCK))
        self._thread.join()
        if self._error is not None and kind is None:
            raise self._error

    def _run(self) -> None:
        try:
            with open(self.pipe, "w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
                for part in self._parts:
                    self._room.make(part)
                    writer.writerows(_rows(part))
                    self.done += len(part.times)
                    self._progress(self.done)
        except Exception as error:
            # Whoever waits for the other end of the pipe raises it.
            self._error = error


def _rows(part: Part) -> Iterator[tuple[object, ...]]:
    series = part.series
    fixed = (repeat(part.device), repeat(series.metric), repeat(series.unit))
    number = repeat(series.id)
    if series.kind is Kind.TEXT:
        return zip(*fixed, part.times, repeat(0.0), repeat(1), part.values, number, strict=False)
    return zip(*fixed, part.times, part.values, repeat(0), repeat(""), number, strict=False)
