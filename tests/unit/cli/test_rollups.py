"""``motehub rollups``."""

from __future__ import annotations

from array import array
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from motehub.cli import app
from motehub.core.history import make_fold
from motehub.errors import StorageError
from motehub.frames import Columns, DeviceChanged, Entry, Frame, SeriesAdded
from motehub.history_contract import HistoryStore
from motehub.journals.sqlite import SqliteLog
from motehub.model import Admission, Device, Series
from motehub.stores.sqlite import SqliteHistory

DAY = 86_400_000_000


@pytest.fixture
def store(tmp_path: Path) -> HistoryStore:
    """A history of four days, a reading an hour."""
    SqliteLog(tmp_path).close()
    made = Columns()
    made.add(1, array("q", range(0, 4 * DAY, DAY // 24)), array("d", range(96)))
    device = Device(1, "a", "x", ("i",), Admission.ACCEPTED, 5)
    entries: list[Entry] = [DeviceChanged(device), SeriesAdded(Series(1, 1, "t", "°C"))]
    store = SqliteHistory(tmp_path)
    store.fold(make_fold([(1, Frame(1, made, Columns(), entries))], {}))
    return store


def test_rebuild_makes_the_same_again(store: HistoryStore, tmp_path: Path) -> None:
    """All readings are summed up anew, and the outcome is told."""
    with closing(store):
        before = list(store.dump("reading_hour"))
        done = CliRunner().invoke(app, ["rollups", "rebuild", "--data", str(tmp_path)])
        assert (done.exit_code, done.output) == (
            0,
            "Summed up 96 readings by minute, hour and day.\n",
        )
        assert list(store.dump("reading_hour")) == before
        assert store.unrolled() == set()


def test_an_interrupted_rebuild_says_how_it_goes_on(
    store: HistoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left is made by the next one."""
    monkeypatch.setattr("motehub.rolling.READINGS_AT_ONCE", 30)
    calls = iter([False, True])
    whole = SqliteHistory.rebuild_some

    def broken(self: SqliteHistory) -> int:
        if next(calls, False):
            raise StorageError("the disk failed")
        return whole(self)

    monkeypatch.setattr(SqliteHistory, "rebuild_some", broken)
    with closing(store):
        done = CliRunner().invoke(app, ["rollups", "rebuild", "--data", str(tmp_path)])
        assert done.exit_code == 1
        assert "start it again" in done.output
        assert store.unrolled() == {1}
        done = CliRunner().invoke(app, ["rollups", "rebuild", "--data", str(tmp_path)])
        assert done.output == "Summed up 48 readings by minute, hour and day.\n"
