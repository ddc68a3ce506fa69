"""Has readings archived before they are deleted: the writer's side of the archiver's process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Final, Protocol

import msgspec

from motehub.archive.making import Made
from motehub.archiver import Outcome
from motehub.errors import StorageError
from motehub.following import STORE_URL
from motehub.frames import DeviceChanged
from motehub.history_contract import Expiring, Fold, HistoryStore
from motehub.logs import Logger
from motehub.rollups import NEVER, Kept

_END_SECONDS: Final = 5.0

_logger = Logger("motehub.archive")


class Task(Protocol):
    """An archiver at work."""

    def outcome(self) -> Outcome | None:
        """Return what came of it, None while it works."""
        ...

    def stop(self) -> None:
        """End it; harmless when it has ended."""
        ...


Start = Callable[[Sequence[Expiring]], Task]


class Cleared(msgspec.Struct, frozen=True):
    """What came of a run: what may be deleted now, and what is to be archived next.

    Of all series readings before ``until`` (µs) are in the archive, or of all that were asked
    for (None). Of a run that ``failed`` nothing may be deleted, and nothing follows.
    """

    todo: list[Expiring]
    rest: list[Expiring]
    until: int | None = None
    failed: bool = False


class ArchiverProcess:
    """One run of ``motehub.archiver``.

    Raises:
        StorageError: it can't be started.
    """

    def __init__(self, folder: Path, store: str, url: str, todo: Sequence[Expiring]) -> None:
        command = [sys.executable, "-m", "motehub.archiver", str(folder), store]
        try:
            with tempfile.TemporaryFile() as order, ExitStack() as stack:
                order.write(msgspec.msgpack.encode(list(todo)))
                order.seek(0)
                self._answer: IO[bytes] = stack.enter_context(tempfile.TemporaryFile())
                self._process = subprocess.Popen(  # noqa: S603 - our own program
                    command, stdin=order, stdout=self._answer, env=os.environ | {STORE_URL: url}
                )
                stack.pop_all()
        except OSError as error:
            raise StorageError(f"The archiver can't be started: {error.strerror}.") from error

    def outcome(self) -> Outcome | None:
        """Return what came of it, None while it works."""
        if (status := self._process.poll()) is None:
            return None
        with self._answer:
            self._answer.seek(0)
            data = self._answer.read()
        if status:
            return Outcome(trouble=f"The archiver died with status {status}; it is tried again.")
        return msgspec.msgpack.decode(data, type=Outcome)

    def stop(self) -> None:
        """End it; harmless when it has ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(_END_SECONDS)
        self._answer.close()


class Archiving:
    """Sees that what is to be deleted is in the archive: a month at a time.

    What is folded meanwhile and would be deleted with the rest is not: its series wait for
    another run. ``start`` starts an archiver.
    """

    def __init__(self, store: HistoryStore, start: Start) -> None:
        self._store = store
        self._start = start
        self._task: Task | None = None
        self._todo: list[Expiring] = []
        self._failed: list[Expiring] = []
        self._late: set[int] = set()
        self._until: dict[int, int] = {}
        self._latest = NEVER
        self.report: dict[str, Any] = self._size() | {"trouble": None}
        """What the owner may want to know: files, readings and bytes, and troubles."""
        if find_spec("duckdb") is None:
            # It may be a month until the first file is due.
            self._tell("DuckDB is missing. Install it with: pip install 'motehub[parquet]'.")

    @property
    def at_work(self) -> bool:
        """Whether an archiver is at work."""
        return self._task is not None

    def begin(self, todo: Sequence[Expiring]) -> None:
        """Have the oldest month of ``todo`` archived."""
        self._todo = list(todo)
        self._late = set()
        self._until = {one.series: one.until.raw for one in todo}
        self._latest = max(self._until.values(), default=NEVER)
        self._task = self._start(self._todo)

    def finished(self) -> Cleared | None:
        """Return what came of a run, once it is over.

        Raises:
            StorageError: the store can't be written now.
        """
        if self._task is None or (outcome := self._task.outcome()) is None:
            return None
        self._task = None
        if (made := outcome.made) is None:
            self._failed = self._todo
            self._tell(outcome.trouble)
            return Cleared([], [], failed=True)
        if made.file is not None:
            self._store.note_archived(made.file, made.parts)
            _logger.info("readings archived", file=made.file.name, readings=made.file.rows)
            self.report = self._size() | {"trouble": None}
        elif self._todo == self._failed:
            self._tell(None)
        rest = [] if made.until is None else self._todo
        return Cleared(self._cleared(made), rest, made.until)

    def hear(self, fold: Fold) -> None:
        """Take notice of what is folded, before anything more is deleted."""
        if not self._until:
            return
        for columns in (fold.readings, fold.texts):
            for series, (times, _) in columns.items():
                if times[0] < self._until.get(series, self._latest):
                    self._late.add(series)
        changed = {one.device.id for one in fold.entries if isinstance(one, DeviceChanged)}
        if changed:
            # What was held of a device, for however long, is released when it is accepted.
            self._late |= {one.id for one in self._store.registry()[1] if one.device in changed}

    @property
    def late(self) -> frozenset[int]:
        """The series of which readings may have come that are not in the archive."""
        return frozenset(self._late)

    def stop(self) -> None:
        """End an archiver that is at work."""
        if self._task is not None:
            self._task.stop()
            self._task = None

    def _cleared(self, made: Made) -> list[Expiring]:
        return [
            Expiring(one.series, _before(one.until, made.until), one.texts)
            for one in self._todo
            if one.series not in self._late
        ]

    def _tell(self, trouble: str | None) -> None:
        if trouble and trouble != self.report["trouble"]:
            _logger.error("old readings can't be archived, so none are deleted", reason=trouble)
        self.report = self.report | {"trouble": trouble}

    def _size(self) -> dict[str, Any]:
        files = self._store.archive_files()
        return {
            "files": len(files),
            "readings": sum(one.rows for one in files),
            "bytes": sum(one.size for one in files),
        }


def _before(until: Kept, end: int | None) -> Kept:
    """Return ``until``, or the end of what is archived where that is earlier."""
    if end is None:
        return until
    return Kept(*(min(one, end) for one in (until.raw, until.minute, until.hour, until.day)))


def starter(folder: Path, store: str, url: str) -> Start:
    """Return what starts archivers for a data folder."""
    return lambda todo: ArchiverProcess(folder, store, url, todo)
