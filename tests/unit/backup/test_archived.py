"""Back-ups of data folders with an archive of old readings."""

from __future__ import annotations

from array import array
from contextlib import closing
from pathlib import Path

from motehub.archive.checking import trouble_of, unknown_files
from motehub.archive.history import WholeHistory
from motehub.archive.making import make_month
from motehub.archived import month_after, month_of
from motehub.backup.making import back_up
from motehub.backup.restoring import restore
from motehub.core.history import make_fold
from motehub.frames import Columns, DeviceChanged, Entry, Frame, SeriesAdded
from motehub.history_contract import Expiring
from motehub.journals.sqlite import SqliteLog, SqliteLogReader
from motehub.model import MICROSECONDS, Admission, Device, Series
from motehub.rollups import NEVER, Kept
from motehub.stores.sqlite import SqliteHistory

DAY = 86_400 * MICROSECONDS
START = month_of(20_000 * DAY)


def test_the_archive_is_in_a_backup(tmp_path: Path) -> None:
    """What is in its files alone is found again after a restore, and the files are whole."""
    folder, again = tmp_path / "data", tmp_path / "again"
    folder.mkdir()
    SqliteLog(folder).close()
    times = array("q", range(START, START + 50 * DAY, DAY // 3))
    with closing(SqliteHistory(folder)) as store, closing(SqliteLogReader(folder)) as reader:
        fold_one_series(store, times)
        until = month_after(START)
        todo = [Expiring(1, Kept(until, NEVER, NEVER, NEVER))]
        made = make_month(store, folder, todo)
        assert made.file is not None
        store.note_archived(made.file, made.parts)
        while store.expire_some(todo, 1_000)[0] < 1:
            pass
        store.bind(reader.journal())
        assert next(store.readings(1, 0, 2**62))[0][0] == until
    assert back_up(folder, tmp_path / "b.tar.zst").links == ()
    restore(tmp_path / "b.tar.zst", again)
    with closing(SqliteHistory(again, read_only=True)) as store:
        (file,) = store.archive_files()
        assert trouble_of(file, again) is None
        assert unknown_files([file], again) == []
        found = WholeHistory(store, again).readings(1, 0, 2**62)
        rows = [row for columns in found for row in zip(*columns, strict=True)]
    assert rows == [(time, float(number)) for number, time in enumerate(times)]


def fold_one_series(store: SqliteHistory, times: array[int]) -> None:
    device = Device(1, "a", "x", ("i",), Admission.ACCEPTED, 5)
    columns = Columns()
    columns.add(1, times, array("d", map(float, range(len(times)))))
    entries: list[Entry] = [DeviceChanged(device), SeriesAdded(Series(1, 1, "t", "°C"))]
    store.fold(make_fold([(1, Frame(1, columns, Columns(), entries))], {}))
