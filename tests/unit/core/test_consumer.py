"""Following the journal: once each, through failures, and never past damage in silence."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
        self.damaged = 0
        self.failures = 0

    def position(self) -> int:
        return self.taken[-1] if self.taken else 0

    def apply(self, frames: Sequence[tuple[int, Frame]]) -> None:
        if self.failures:
            self.failures -= 1
            raise StorageError("The store is away.")
        self.taken += [position for position, _ in frames]
        self.damaged += sum(frame.damaged for _, frame in frames)


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


class CountingReader(SqliteLogReader):
    """Counts how often the journal is read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reads = 0

    def read(self, after: int, size: int) -> list[tuple[int, bytes]]:
        self.reads += 1
        return super().read(after, size)


def test_frames_that_follow_are_taken_without_the_journal(log: SqliteLog, tmp_path: Path) -> None:
    """So are those among them that it has not taken yet."""
    effect, reader = Effect(), CountingReader(tmp_path)
    consumer = Consumer("test", reader, effect)
    write(log, 5)
    sent = reader.read(0, 10**6)
    reader.reads = 0
    assert consumer.catch_up(told=sent[:2])
    assert consumer.catch_up(told=[])
    assert consumer.catch_up(told=sent[1:5])
    assert consumer.catch_up(told=sent[3:5])
    assert effect.taken == [1, 2, 3, 4, 5]
    assert consumer.position == 5
    assert consumer.from_memory == 5
    assert reader.reads == 0


@pytest.mark.parametrize(
    "places",
    [[1], [0, 2], [1, 0], [0, 0], [0, 1, 3]],
    ids=["late", "gap", "order", "twice", "gap at the end"],
)
def test_frames_that_do_not_follow_are_read(
    log: SqliteLog, tmp_path: Path, places: list[int]
) -> None:
    """What was sent with a gap or out of order is no reason to leave anything out."""
    effect, reader = Effect(), CountingReader(tmp_path)
    consumer = Consumer("test", reader, effect)
    write(log, 4)
    sent = reader.read(0, 10**6)
    assert consumer.catch_up(told=[sent[place] for place in places])
    assert effect.taken == [1, 2, 3, 4]
    assert consumer.from_memory == 0


def test_a_frame_that_came_damaged_is_read_from_the_journal(log: SqliteLog, tmp_path: Path) -> None:
    """It is whole there, so nothing is rejected."""
    effect, reader = Effect(), SqliteLogReader(tmp_path)
    consumer = Consumer("test", reader, effect)
    write(log, 1)
    ((_, body),) = reader.read(0, 1)
    assert consumer.catch_up(told=[(1, body[:-1] + b"\0")])
    assert effect.taken == [1]
    assert not effect.damaged


def test_after_a_failure_frames_that_follow_are_not_trusted(log: SqliteLog, tmp_path: Path) -> None:
    """The effect's storage may have moved meanwhile: its cursor is asked for first."""
    effect, reader = Effect(), SqliteLogReader(tmp_path)
    consumer = Consumer("test", reader, effect)
    write(log, 5)
    sent = reader.read(0, 10**6)
    assert consumer.catch_up(told=sent[:2])
    effect.failures = 1
    assert not consumer.catch_up(told=sent[2:3])
    effect.taken = [1]
    assert consumer.catch_up(told=sent[3:5])
    assert effect.taken == [1, 2, 3, 4, 5]
    write(log, 2)
    effect.failures = 1
    assert not consumer.catch_up(told=reader.read(5, 1))
    assert consumer.catch_up(told=reader.read(5, 1))
    assert consumer.trouble is None
    assert effect.taken == [1, 2, 3, 4, 5, 6, 7]


_notices = st.lists(st.integers(-6, 0), max_size=8)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.integers(1, 4)),
        st.tuples(st.just("in order"), st.integers(1, 6)),
        st.tuples(st.just("told"), _notices),
        st.tuples(st.sampled_from(["read", "look", "fail", "fall back", "die"]), st.just(0)),
    ),
    max_size=30,
)


@settings(deadline=None)
@given(_steps)
def test_whatever_is_sent_each_frame_is_applied_once(
    steps: list[tuple[str, int | list[int]]],
) -> None:
    """Frames sent with gaps, repeats, out of order or not at all, among failures and deaths."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        log, reader, effect = SqliteLog(folder), SqliteLogReader(folder), Effect()
        consumer = Consumer("test", reader, effect)
        for step, value in steps:
            told: list[tuple[int, bytes]] | None = None
            if step == "commit":
                assert isinstance(value, int)
                write(log, value)
                continue
            everything = reader.read(0, 10**9)
            if step == "in order":
                # As a hub does that sends each frame.
                assert isinstance(value, int)
                told = everything[len(effect.taken) :][:value]
            elif step == "told":
                assert isinstance(value, list)
                # Places are counted from the newest frame.
                told = [everything[place - 1] for place in value if place - 1 >= -len(everything)]
            elif step == "fail":
                effect.failures = 1
            elif step == "fall back":
                del effect.taken[len(effect.taken) // 2 :]
            elif step == "die":
                consumer = Consumer("test", reader, effect)
            done = consumer.catch_up(told=told, look=step in ("look", "fall back"))
            assert done or step == "fail"
            # One that found nothing to do has not met it.
            effect.failures = 0
            assert effect.taken == list(range(1, len(effect.taken) + 1))
            assert not done or consumer.position == effect.position()
            if done and told is None:
                assert effect.position() == log.head
        assert consumer.catch_up()
        assert effect.taken == list(range(1, log.head + 1))
        assert not effect.damaged
        reader.close()
        log.close()


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
    reader = SqliteLogReader(tmp_path)
    fold = FoldIntoHistory(store, reader, reader.journal())
    assert Consumer("history", reader, fold).catch_up()
    (row,) = store.rejected(10)
    assert row.payload == broken
    assert row.reason == "frame 2 of the journal is damaged"
    store.close()
