"""Following the journal: each consumer has a cursor of its own and takes every frame once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from motehub.contracts import Effect, LogReader
from motehub.errors import DamagedDatabase, StaleJournal, StorageError
from motehub.frames import Columns, Frame, Rejected, decode_frame
from motehub.history_contract import UNFINISHED
from motehub.logs import Logger

BITE: Final = 4_000_000
"""Bytes of frames that a consumer takes at a time: about 200,000 readings."""

_DAMAGED_BYTES: Final = 65_536
_RETRY_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 5.0)

_Bodies = Sequence[tuple[int, bytes]]

_logger = Logger("motehub.consumer")


class Consumer:
    """Brings one effect up to the journal's head, again and again.

    The effect stores its cursor with its result, so a frame that was applied before a crash is
    not applied after it. When the effect's storage fails the frames wait in the journal. With
    ``may_miss`` the effect itself knows what to do about frames that the journal has no more.

    Raises:
        StaleJournal: the effect is ahead of the journal, so they don't belong together.
        StorageError: either can't be read now.
    """

    def __init__(
        self, name: str, reader: LogReader, effect: Effect, *, may_miss: bool = False
    ) -> None:
        self.name = name
        self._may_miss = may_miss
        self._reader = reader
        self._effect = effect
        self.position = effect.position()
        check_finished(self.position)
        if self.position > (head := reader.head()):
            raise StaleJournal(
                f"The {name} has everything up to position {self.position}, but the journal ends "
                f"at {head}: it is older. Restore both from the same back-up, or move journal.db "
                "away to begin a new one after the history."
            )
        self.trouble: str | None = None
        self.from_memory = 0
        """How many frames it was sent, so that it did not read them from the journal."""
        self._attempt = 0

    def catch_up(
        self,
        *,
        after_bite: Callable[[], None] = lambda: None,
        look: bool = False,
        told: _Bodies | None = None,
    ) -> bool:
        """Apply frames until the head is reached (True) or the storage fails (False).

        ``after_bite`` is called whenever the cursor has moved. With ``look`` the effect is asked
        for it first, whether or not there is a reason to doubt it. ``told`` are frames that are
        durable, all that there is to do according to whoever sends them: if they follow the
        cursor without a gap, the journal is not read.
        """
        try:
            if look or self.trouble is not None:
                # The writer of a hub that was killed may have moved the cursor meanwhile.
                self.position = self._effect.position()
            elif told is not None and (given := self._following(told)) is not None:
                if given:
                    self.from_memory += len(given)
                    self._take(given, after_bite)
                return True
            while frames := self._reader.read(self.position, BITE):
                self._check_gap(frames[0][0])
                self._take([(at, _decoded(at, body)) for at, body in frames], after_bite)
        except StorageError as error:
            if self.trouble != str(error):
                _logger.error("consumer waits", consumer=self.name, reason=str(error))
            self.trouble = str(error)
            self._attempt += 1
            return False
        if self.trouble is not None:
            _logger.info("consumer goes on", consumer=self.name, after=self.trouble)
        self.trouble = None
        self._attempt = 0
        return True

    @property
    def pause(self) -> float:
        """Seconds to wait before ``catch_up`` is tried again after a failure."""
        return _RETRY_SECONDS[min(self._attempt, len(_RETRY_SECONDS)) - 1]

    def _take(self, frames: Sequence[tuple[int, Frame]], after_bite: Callable[[], None]) -> None:
        self._effect.apply(frames)
        self.position = frames[-1][0]
        after_bite()

    def _following(self, told: _Bodies) -> list[tuple[int, Frame]] | None:
        """Return those of ``told`` that are new; None if they don't follow, or can't be read."""
        frames: list[tuple[int, Frame]] = []
        for position, body in told:
            if position <= self.position:
                continue
            if position != self.position + len(frames) + 1:
                return None
            try:
                frames.append((position, decode_frame(body)))
            except DamagedDatabase:
                return None
        return frames

    def _check_gap(self, first: int) -> None:
        if first != self.position + 1 and not self._may_miss:
            _logger.error(
                "frames are missing from the journal",
                consumer=self.name,
                wanted=self.position + 1,
                found=first,
            )


def check_finished(position: int) -> None:
    """See that a history at this position is not one that is still being copied.

    Raises:
        StaleJournal: it is.
    """
    if position == UNFINISHED:
        raise StaleJournal(
            "The history is an unfinished copy. Run the 'motehub migrate-store' that made it once "
            "more, or go on with the store that was used before."
        )


def _decoded(position: int, body: bytes) -> Frame:
    """Decode a frame; one that the disk has damaged goes to the list of rejected payloads."""
    try:
        return decode_frame(body)
    except DamagedDatabase as error:
        reason = f"frame {position} of the journal is damaged"
        _logger.error(reason, detail=str(error), bytes=len(body))
        now = time.time_ns() // 1000
        lost = Rejected(None, "journal", now, body[:_DAMAGED_BYTES], reason)
        return Frame(now, Columns(), Columns(), [lost], damaged=True)
