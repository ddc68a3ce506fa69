"""The log in an SQLite file: positions, trimming, faults in the middle of a commit."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motehub.errors import DamagedDatabase, NewerSchema, StorageError
from motehub.journals.sqlite import FILE_NAME, SqliteLog, SqliteLogReader


def all_frames(folder: Path) -> list[tuple[int, bytes]]:
    reader = SqliteLogReader(folder)
    try:
        return reader.read(0, 10**9)
    finally:
        reader.close()


def test_positions_go_on_after_reopening(tmp_path: Path) -> None:
    """Positions begin at 1, have no gaps, and survive closing and trimming."""
    log = SqliteLog(tmp_path)
    assert [log.append(b"x", 1, {}) for _ in range(3)] == [1, 2, 3]
    assert log.trim(3, 100) == 2
    log.close()
    log = SqliteLog(tmp_path)
    assert (log.head, log.size) == (3, 1)
    assert log.append(b"yy", 2, {}) == 4
    assert log.size == 3
    log.close()
    assert all_frames(tmp_path) == [(3, b"x"), (4, b"yy")]


def test_a_new_log_may_go_on_after_a_history(tmp_path: Path) -> None:
    """The first position of a new log can be chosen; of an existing one it can't."""
    log = SqliteLog(tmp_path, first=42)
    assert [log.append(b"x", 1, {}) for _ in range(2)] == [42, 43]
    log.close()
    log = SqliteLog(tmp_path, first=7)
    assert log.append(b"x", 1, {}) == 44
    log.close()


def test_age_is_counted_from_the_first_frame_after_a_cursor(tmp_path: Path) -> None:
    """When a frame was committed is known to the log and to those who read beside it."""
    log = SqliteLog(tmp_path)
    for time in (10, 20, 30):
        log.append(b"x", time, {})
    reader = SqliteLogReader(tmp_path)
    for position, moment in enumerate((10, 20, 30, None)):
        assert log.time_after(position) == reader.time_after(position) == moment
    log.trim(2, 100)
    assert log.time_after(0) == 30
    reader.close()
    log.close()


def test_a_journal_is_told_from_another(tmp_path: Path) -> None:
    """Its mark stays when it is opened again; one that is begun anew has another."""
    marks = []
    for _ in range(2):
        for _ in range(2):
            log = SqliteLog(tmp_path)
            reader = SqliteLogReader(tmp_path)
            marks.append(reader.journal())
            reader.close()
            log.close()
        (tmp_path / FILE_NAME).unlink()
    assert marks[0] == marks[1] != marks[2] == marks[3]


def test_a_reader_takes_about_as_much_as_it_asked_for(tmp_path: Path) -> None:
    """At least one frame comes, and no more once the wanted size is reached."""
    log = SqliteLog(tmp_path)
    for n in range(5):
        log.append(bytes(100), n, {})
    reader = SqliteLogReader(tmp_path)
    assert [p for p, _ in reader.read(0, 1)] == [1]
    assert [p for p, _ in reader.read(1, 250)] == [2, 3, 4]
    assert reader.read(5, 100) == []
    assert (reader.head(), reader.newest()) == (5, 4)
    reader.close()
    log.close()


def test_a_failed_commit_leaves_nothing_and_can_be_tried_again(tmp_path: Path) -> None:
    """A full disk during a commit with state loses neither the frame nor the state."""
    log = SqliteLog(tmp_path)
    log.append(b"first", 1, {})
    assert log._connection is not None
    pages = log._connection.execute("PRAGMA page_count").get
    log._connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StorageError, match="full"):
        log.append(bytes(100_000), 2, {"key": b"value"})
    # The next try opens the file anew, where the limit is gone: the disk has room again.
    assert log.append(bytes(100_000), 2, {"key": b"value"}) == 2
    assert log.state() == {"key": b"value"}
    log.close()
    assert [len(body) for _, body in all_frames(tmp_path)] == [5, 100_000]


def test_a_commit_that_reported_an_error_but_took_place_is_not_done_twice(tmp_path: Path) -> None:
    """When the error came after the commit, the retry recognises its own frame."""
    log = SqliteLog(tmp_path)
    log.append(b"first", 1, {})
    assert log._connection is not None
    real: apsw.Connection = log._connection

    class FailsAfterwards:
        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def execute(self, sql: str, bindings: object = None) -> object:
            real.execute(sql, bindings)  # type: ignore[arg-type]
            raise apsw.IOError("the answer was lost")

    log._connection = FailsAfterwards()  # type: ignore[assignment]
    with pytest.raises(StorageError):
        log.append(b"second", 2, {})
    assert log.append(b"second", 2, {}) == 2
    assert log.append(b"second", 3, {}) == 3
    log.close()
    assert all_frames(tmp_path) == [(1, b"first"), (2, b"second"), (3, b"second")]


def test_a_locked_file_is_an_error_that_passes(tmp_path: Path) -> None:
    """Another program's lock is reported in words, and the log goes on when it is gone."""
    log = SqliteLog(tmp_path)
    log.append(b"x", 1, {})
    assert log._connection is not None
    log._connection.set_busy_timeout(10)
    other = apsw.Connection(str(tmp_path / FILE_NAME))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="locked by another program"):
        log.append(b"y", 2, {})
    other.execute("ROLLBACK")
    other.close()
    assert log.append(b"y", 2, {}) == 2
    log.close()


def test_a_read_only_disk_is_an_error_that_passes(tmp_path: Path) -> None:
    """While the file can't be written the error says so; afterwards the same frame goes in."""
    log = SqliteLog(tmp_path)
    log.append(b"x", 1, {})
    assert log._connection is not None
    log._connection.close()
    log._connection = apsw.Connection(str(tmp_path / FILE_NAME), flags=apsw.SQLITE_OPEN_READONLY)
    with pytest.raises(StorageError, match="read-only"):
        log.append(b"y", 2, {"key": b"value"})
    assert log.append(b"y", 2, {"key": b"value"}) == 2
    log.close()
    assert all_frames(tmp_path) == [(1, b"x"), (2, b"y")]


def test_garbage_is_not_taken_for_a_journal(tmp_path: Path) -> None:
    """A file that is no database is refused with its name and is left as it was."""
    path = tmp_path / FILE_NAME
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(DamagedDatabase, match=FILE_NAME):
        SqliteLog(tmp_path)
    assert path.read_bytes() == b"not a database" * 1000


def test_a_later_schema_is_refused(tmp_path: Path) -> None:
    """The file of a later motehub is refused with a sentence that says what to do."""
    SqliteLog(tmp_path).close()
    connection = apsw.Connection(str(tmp_path / FILE_NAME))
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(NewerSchema, match="version 99"):
        SqliteLog(tmp_path)


def test_a_read_only_folder_is_an_error_in_words(tmp_path: Path) -> None:
    """A journal that can't be opened names the file and what to check."""
    missing = tmp_path / "missing"
    with pytest.raises(StorageError, match="can't be opened"):
        SqliteLog(missing)
    assert not missing.exists()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(min_size=1, max_size=9000),
            st.integers(0, 30),
            st.just("reopen"),
        ),
        max_size=30,
    )
)
def test_any_order_of_appends_trims_and_reopenings(steps: list[bytes | int | str]) -> None:
    """The log holds exactly what was appended and not trimmed, and knows its size."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = SqliteLog(folder)
        kept: dict[int, bytes] = {}
        head = 0
        for step in steps:
            if isinstance(step, bytes):
                head += 1
                assert log.append(step, head, {}) == head
                kept[head] = step
            elif isinstance(step, int):
                log.trim(step, 1000)
                kept = {p: b for p, b in kept.items() if p > step or p == head}
            else:
                log.close()
                log = SqliteLog(folder)
            assert log.size == sum(map(len, kept.values()))
        log.close()
        assert dict(all_frames(folder)) == kept
