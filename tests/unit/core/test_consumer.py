"""Following the journal: once each, through failures, and never past damage in silence."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path

import apsw
import pytest

from motehub.core.consumer import Consumer
from motehub.core.history import FoldIntoHistory
from motehub.errors import StaleJournal, StorageError
from motehub.frames import Batch, Frame, encode_frame
from motehub.journals.sqlite import FILE_NAME, SqliteLog, SqliteLogReader
from motehub.stores.sqlite import SqliteHistory


class Effect:
    """Collects frames, and fails as often as it is told."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.failures = 0

    def position(self) -> int:
        return self.taken[-1] if self.taken else 0

    def apply(self, frames: Sequence[tuple[int, Frame]]) -> None:
        if self.failures:
            self.failures -= 1
            raise StorageError("The store is away.")
        self.taken += [position for position, _ in frames]


def write(log: SqliteLog, count: int) -> None:
    for n in range(count):
        batch = Batch()
        batch.readings.add(1, array("q", [n]), array("d", [n]))
        log.append(encode_frame([batch], n), n, {})


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    return SqliteLog(tmp_path)


def test_each_frame_is_applied_once_in_order(log: SqliteLog, tmp_path: Path) -> None:
    """A consumer takes what is there, and later what has come since."""
    effect = Effect()
    consumer = Consumer("test", SqliteLogReader(tmp_path), effect)
    write(log, 3)
    assert consumer.catch_up()
    write(log, 2)
    assert consumer.catch_up()
    assert consumer.catch_up()
    assert effect.taken == [1, 2, 3, 4, 5]


def test_what_could_not_be_stored_is_tried_again(log: SqliteLog, tmp_path: Path) -> None:
    """A failing store leaves frames in the journal; the pause before a retry grows."""
    effect = Effect()
    consumer = Consumer("test", SqliteLogReader(tmp_path), effect)
    write(log, 3)
    effect.failures = 3
    pauses = []
    while not consumer.catch_up():
        assert consumer.trouble == "The store is away."
        pauses.append(consumer.pause)
    assert pauses == sorted(pauses)
    assert len(set(pauses)) == 3
    assert consumer.trouble is None
    assert effect.taken == [1, 2, 3]


def test_a_consumer_may_know_what_to_do_about_a_gap(
    log: SqliteLog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Missing frames are a fault of the history's, and in order where the effect sees to them."""
    write(log, 10)
    log.trim(5, 100)
    for may_miss in (True, False):
        effect = Effect()
        assert Consumer("test", SqliteLogReader(tmp_path), effect, may_miss=may_miss).catch_up()
        assert effect.taken == [6, 7, 8, 9, 10]
        assert ("frames are missing" in caplog.text) is not may_miss


def test_an_effect_that_fell_back_is_brought_up(log: SqliteLog, tmp_path: Path) -> None:
    """A look at its cursor shows that its storage is older than it was."""
    effect = Effect()
    consumer = Consumer("test", SqliteLogReader(tmp_path), effect)
    write(log, 3)
    assert consumer.catch_up()
    effect.taken = [1]
    assert consumer.catch_up()
    assert effect.taken == [1]
    assert consumer.catch_up(look=True)
    assert effect.taken == [1, 2, 3]


def test_a_consumer_ahead_of_the_journal_is_refused(log: SqliteLog, tmp_path: Path) -> None:
    """A history and a journal of different back-ups are not mixed."""
    write(log, 2)
    effect = Effect()
    effect.taken = [7]
    with pytest.raises(StaleJournal, match="position 7, but the journal ends at 2"):
        Consumer("test", SqliteLogReader(tmp_path), effect)


def test_a_damaged_frame_is_reported_and_the_others_are_stored(
    log: SqliteLog, tmp_path: Path
) -> None:
    """A frame that the disk has damaged ends in the list of rejected payloads, whole."""
    write(log, 1)
    log.close()
    broken = bytes(range(100))
    connection = apsw.Connection(str(tmp_path / FILE_NAME))
    connection.execute("INSERT INTO frame VALUES (2, 5, ?)", (broken,))
    connection.close()
    store = SqliteHistory(tmp_path)
    store.close()
    effect = Effect()
    consumer = Consumer("test", SqliteLogReader(tmp_path), effect)
    assert consumer.catch_up()
    assert effect.taken == [1, 2]

    store = SqliteHistory(tmp_path)
    connection = apsw.Connection(str(tmp_path / FILE_NAME))
    connection.execute("DELETE FROM frame WHERE position = 1")
    connection.close()
    assert Consumer(
        "history", SqliteLogReader(tmp_path), FoldIntoHistory(store, SqliteLogReader(tmp_path))
    ).catch_up()
    (row,) = store.rejected(10)
    assert row.payload == broken
    assert row.reason == "frame 2 of the journal is damaged"
    store.close()
