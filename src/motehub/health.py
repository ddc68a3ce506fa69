"""The condition of a running hub, for the health page and ``motehub status``."""

from __future__ import annotations

import logging
import platform
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from motehub.core.pace import Pace
from motehub.journals.sqlite import FILE_NAME as JOURNAL_FILE
from motehub.logs import fields_of

MOST_TROUBLES: Final = 50
"""Warnings and errors of the log that are remembered."""

_LONGEST: Final = 500
_DAY: Final = 86_400
# So often a size is remembered; over less, growth would be that of SQLite's steps.
_SAMPLE_SECONDS: Final = 600
_FILES: Final = ("", "-wal", "-shm")


class Trouble(msgspec.Struct, frozen=True):
    """A warning or an error in the log; ``level`` is its word, ``part`` of what it tells."""

    time: str
    level: str
    event: str
    detail: str
    part: str


class Troubles(logging.Handler):
    """Remembers the newest warnings and errors of the log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._rows: deque[Trouble] = deque(maxlen=MOST_TROUBLES)

    def emit(self, record: logging.LogRecord) -> None:
        """Remember a line."""
        fields = fields_of(record)
        detail = ", ".join(f"{key}: {value}" for key, value in fields.items())
        part = str(fields.get("listener") or record.name.removeprefix("motehub."))
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="seconds")
        level = record.levelname.lower()
        row = Trouble(when, level, record.getMessage()[:_LONGEST], detail[:_LONGEST], part)
        self._rows.append(row)

    def newest(self) -> list[Trouble]:
        """Return them, the newest first."""
        return list(self._rows)[::-1]


class Growth:
    """How fast a size grows, over the last day or since it is looked at.

    ``clock`` returns seconds that go on evenly. It remembers a size each ten minutes, when asked.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque(maxlen=_DAY // _SAMPLE_SECONDS + 1)

    @property
    def is_due(self) -> bool:
        """Whether a size is to be remembered that is known now."""
        return not self._samples or self._clock() - self._samples[-1][0] >= _SAMPLE_SECONDS

    def per_day(self, size: int | None) -> int | None:
        """Return bytes per day up to the present ``size``; None while that is not known."""
        if size is None:
            return None
        now = self._clock()
        if self.is_due:
            self._samples.append((now, size))
        while len(self._samples) > 1 and now - self._samples[1][0] >= _DAY:
            self._samples.popleft()
        began, first = self._samples[0]
        if now - began < _SAMPLE_SECONDS:
            return None
        return round((size - first) * _DAY / (now - began))


class HistorySize:
    """How large the history is, and how fast it grows.

    Of a file in ``folder`` it sees that itself, of a server (``where`` is its address then) only
    what the writer reports. ``clock`` is that of :class:`Growth`.
    """

    def __init__(
        self, folder: Path, where: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._where = where
        self._growth = Growth(clock)
        self._reported: int | None = None

    def hear(self, retention: Mapping[str, Any]) -> None:
        """Take what the writer reports of the bytes that are used."""
        self._reported = retention.get("used", self._reported)
        # Nobody may look at the health for days.
        if self._growth.is_due:
            self.sizes_and_growth()

    def sizes_and_growth(self) -> tuple[dict[str, int | None], int | None]:
        """Return what ``sizes`` does, with the history's, and bytes per day; None if unknown."""
        found = sizes(self._folder, self._where)
        if found["history"] is None:
            found["history"] = self._reported
        return found, self._growth.per_day(found["history"])


@contextmanager
def remembering() -> Iterator[Troubles]:
    """Remember what is logged in the block."""
    troubles = Troubles()
    logger = logging.getLogger()
    logger.addHandler(troubles)
    try:
        yield troubles
    finally:
        logger.removeHandler(troubles)


def speed(pace: Pace) -> dict[str, Any]:
    """Return readings per second, and median and longest time of commits in seconds."""
    median, longest = pace.commit_seconds or (None, None)
    return {
        "readings_per_second": round(pace.readings_per_second, 1),
        "commit_median": median,
        "commit_longest": longest,
    }


def sizes(folder: Path, history: str) -> dict[str, int | None]:
    """Return bytes of the journal and the history, and what is free on the disk.

    The size of a history on a server is None: its writer reports it, see :class:`HistorySize`.
    """
    return {
        "journal": _size(folder / JOURNAL_FILE),
        "history": _size(Path(history)) if "://" not in history else None,
        "free": shutil.disk_usage(folder).free,
    }


def versions() -> dict[str, str]:
    """Return the versions of what the hub runs on."""
    return {
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def connections(transports: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return how many connections each transport has at the moment."""
    return {name: counters["open"] for name, counters in transports.items() if "open" in counters}


def _size(file: Path) -> int | None:
    found = [Path(f"{file}{ending}") for ending in _FILES]
    try:
        return sum(one.stat().st_size for one in found if one.exists())
    except OSError:
        return None
