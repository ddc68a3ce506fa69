"""Whether the clock of this machine may be believed when something is given up by age.

A clock that is years ahead (an empty battery, a wrong hand) would make everything old at once.
So the time by which things are deleted goes on no faster than time does: what the clock says
beyond that is believed when the hub has run under it for a day, or when the owner says so.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from motehub.core.moments import iso
from motehub.logs import Logger
from motehub.model import MICROSECONDS

FILE_NAME: Final = "clock.json"

MOST_RUNNING: Final = 86_400.0
"""Seconds by which the clock may be set while the hub runs, without a doubt."""

MOST_AWAY: Final = 8 * 86_400.0
"""Seconds for which the hub may have been away, without a doubt: a week's holiday."""

DOUBT_SECONDS: Final = 86_400.0
"""For how long the hub runs under a clock that it doubts; then it believes it."""

_NOTE_SECONDS: Final = 600.0
_LOOK_SECONDS: Final = 60.0
_HOUR: Final = 3_600.0

_logger = Logger("motehub.retention")


class Noted(msgspec.Struct, frozen=True):
    """What is known after a restart: ``believed`` and ``clock``, what that said then, in UTC µs.

    ``doubted`` is for how many seconds the hub has run under a clock that it doubts, None: it
    doubts nothing; ``since`` is what it believed when it began to.
    """

    believed: int
    clock: int
    doubted: float | None = None
    since: int = 0


class Notes(Protocol):
    """Where that is kept."""

    def load(self) -> Noted | None:
        """Return what was kept last; None when nothing was, or it can't be read."""
        ...

    def save(self, noted: Noted) -> None:
        """Keep it, if that can be done now."""
        ...


class FileNotes:
    """Keeps it in the data folder, whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME

    def load(self) -> Noted | None:
        """See :class:`Notes`."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Noted)
        except (OSError, msgspec.MsgspecError):
            return None

    def save(self, noted: Noted) -> None:
        """See :class:`Notes`."""
        new: str | None = None
        try:
            with tempfile.NamedTemporaryFile(
                dir=self._path.parent, prefix=FILE_NAME, delete=False
            ) as file:
                new = file.name
                file.write(msgspec.json.encode(noted) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            Path(new).replace(self._path)
        except OSError as error:
            # Without it a hub that starts again doubts a little more.
            _logger.warning("the time is not noted", file=str(self._path), reason=str(error))
            if new is not None:
                Path(new).unlink(missing_ok=True)


class Read:
    """What another process has noted: it is read, and never changed."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def load(self) -> Noted | None:
        """See :class:`Notes`."""
        return self._notes.load()

    def save(self, noted: Noted) -> None:
        """Leave that to the other."""


class ClockWatch:
    """Knows which time may be believed.

    ``clock`` returns the UTC microseconds of the machine's clock, ``steady`` seconds of one that
    is never set. ``newest`` returns when something last came; asked where there are no ``notes``.
    One that is ``quiet`` leaves it to another to tell the owner.
    """

    def __init__(
        self,
        notes: Notes,
        newest: Callable[[], int | None] = lambda: None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
        steady: Callable[[], float] = lambda: time.clock_gettime(_STEADY),
        *,
        quiet: bool = False,
    ) -> None:
        self._notes = notes
        self._quiet = quiet
        self._clock = clock
        self._steady = steady
        noted = notes.load()
        self._seen_at = steady()
        self._seen = noted.clock if noted is not None else clock()
        self._doubted = noted.doubted if noted is not None else None
        self._since = noted.since if noted is not None else 0
        if noted is not None:
            self._believed = noted.believed
        else:
            last = newest()
            self._believed = clock() if last is None else last
        self._noted_at = self._seen_at - _NOTE_SECONDS
        self._report: dict[str, Any] | None = None
        self._begin()

    @property
    def believed(self) -> int:
        """The time (UTC µs) that it can hardly be later than: it goes on as time does."""
        return self._believed + round((self._steady() - self._seen_at) * MICROSECONDS)

    def moment(self) -> int:
        """Return the time (UTC µs) to delete by: a clock that was set back counts as well."""
        return min(self._clock(), self.believed)

    @property
    def report(self) -> dict[str, Any] | None:
        """What the owner should know; None where there is no doubt.

        What the ``clock`` says, which time is ``believed``, and after how many more ``hours`` the
        clock is, all as of a moment in this hour: so it is news once an hour. ``since`` is when
        the doubt began, by the time that is believed.
        """
        if self._doubted is None:
            return None
        hours = max(1, ceil((DOUBT_SECONDS - self._doubted) / _HOUR))
        if self._report is None or self._report["hours"] != hours:
            self._report = {
                "clock": iso(self._seen),
                "believed": iso(self._believed),
                "hours": hours,
                "since": iso(self._since),
            }
        return self._report

    def look(self, confirmed: int | None = None) -> None:
        """Compare the clocks; ``confirmed`` is when the owner said last that the clock is right.

        That is by the clock itself: when it has been set since, it says nothing.
        """
        now, clock, believed = self._steady(), self._clock(), self.believed
        passed = now - self._seen_at
        set_by = (clock - self._seen) / MICROSECONDS - passed
        ahead = (clock - believed) / MICROSECONDS
        self._seen, self._seen_at, self._believed = clock, now, believed
        if abs(ahead) <= MOST_RUNNING:
            self._believe("the clock is right again")
        elif confirmed is not None and 0 <= clock - confirmed <= MOST_RUNNING * MICROSECONDS:
            self._believe("the owner says that the clock is right")
        elif self._doubted is None or abs(set_by) > MOST_RUNNING:
            self._doubt(ahead)
        else:
            self._doubted += passed
            if self._doubted >= DOUBT_SECONDS:
                self._believe("the clock has gone evenly for a day, and is believed")
        if now - self._noted_at >= _NOTE_SECONDS:
            self.note()

    def note(self) -> None:
        """Keep what is known."""
        self._noted_at = self._steady()
        self._notes.save(Noted(self.believed, self._clock(), self._doubted, self._since))

    def _begin(self) -> None:
        """See what the clock says after a while of which nothing is known."""
        clock = self._clock()
        away = (clock - self._seen) / MICROSECONDS
        ahead = (clock - self._believed) / MICROSECONDS
        self._seen = clock
        if -MOST_RUNNING <= ahead <= MOST_AWAY:
            self._believe("the clock is right again")
        elif self._doubted is None or not -MOST_RUNNING <= away <= MOST_AWAY:
            self._doubt(ahead)

    def _believe(self, why: str) -> None:
        self._believed = self._seen
        if self._doubted is not None:
            self._doubted = None
            if not self._quiet:
                _logger.info("old readings are deleted again", why=why, clock=iso(self._seen))
            self.note()

    def _doubt(self, ahead: float) -> None:
        self._doubted = 0.0
        self._since = self._believed
        self._report = None
        if not self._quiet:
            _logger.warning(
                "the clock is doubted, and old readings stay for now",
                clock=iso(self._seen),
                believed=iso(self._believed),
                days=round(ahead / 86_400, 1),
                mend="set the clock right; if it is right: motehub retention confirm-clock",
            )
        self.note()


class AgeClock:
    """The time by which things are old, for those that delete nothing of the history.

    The journal and the process of alerts give something up by age as well. They doubt the clock as
    the writer of the history does, whose notes they read, and leave it to that to tell the owner.
    ``confirmed`` returns when the owner said last that the clock is right (UTC µs). It may be
    asked from any thread.
    """

    def __init__(
        self, watch: ClockWatch, confirmed: Callable[[], int | None], steady: Callable[[], float]
    ) -> None:
        self._watch = watch
        self._confirmed = confirmed
        self._steady = steady
        self._lock = threading.Lock()
        self._looked = steady()

    @classmethod
    def beside(
        cls, folder: Path, newest: Callable[[], int | None], confirmed: Callable[[], int | None]
    ) -> AgeClock:
        """Return one of a hub's processes on ``folder``; for ``newest`` see ClockWatch."""
        watch = ClockWatch(Read(FileNotes(folder)), newest, quiet=True)
        return cls(watch, confirmed, time.monotonic)

    def __call__(self) -> int:
        """Return the time (UTC µs) to go by."""
        with self._lock:
            if self._steady() - self._looked >= _LOOK_SECONDS:
                self._looked = self._steady()
                self._watch.look(self._confirmed())
            return self._watch.moment()


# On Linux this one goes on while the machine sleeps.
_STEADY: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
