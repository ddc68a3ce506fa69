"""Queries over the edge between the store and its archive."""

from __future__ import annotations

from array import array
from contextlib import closing
from pathlib import Path

import msgspec

from motehub.archive.making import make_month
from motehub.core.answers import answer
from motehub.core.history import make_fold
from motehub.core.queries import Mark, Query, Readings
from motehub.frames import Columns, DeviceChanged, Entry, Frame, SeriesAdded
from motehub.history_contract import Expiring
from motehub.model import Admission, Device, Series
from motehub.reader import Reader
from motehub.rollups import Kept
from motehub.stores.sqlite import SqliteHistory

DAY = 86_400_000_000
START = 20_089 * DAY
"""The first of January 2025."""

HOUR = DAY // 24


def test_the_query_process_reads_the_archive_too(tmp_path: Path) -> None:
    """Readings themselves are all there, a page at a time; without the archive they are not."""
    times = array("q", range(START, START + 60 * DAY, HOUR))
    with closing(SqliteHistory(tmp_path)) as store:
        entries: list[Entry] = [
            DeviceChanged(Device(1, "x", "x", ("i",), Admission.ACCEPTED, 5)),
            SeriesAdded(Series(1, 1, "t", "°C")),
        ]
        made = Columns()
        made.add(1, times, array("d", range(len(times))))
        store.fold(make_fold([(1, Frame(1, made, Columns(), entries))], {}))
        todo = [Expiring(1, Kept(raw=START + 31 * DAY))]
        month = make_month(store, tmp_path, todo)
        assert month.file is not None
        store.note_archived(month.file, month.parts)
        store.note_archived(month.file, month.parts)
        assert store.expire_some(todo, 10_000) == (1, 31 * 24)
        question = Readings("x", (), START, START + 60 * DAY, 10_000)
        query = Query(question, 1, seconds=30.0, fold_seconds=1.0)
        content = b"".join(one for one in answer(store, query) if isinstance(one, bytes))
        assert len(msgspec.json.decode(content)["series"][0]["times"]) == 29 * 24

    reader = Reader(tmp_path, "sqlite", "")
    found: list[float] = []
    since = START
    while since <= times[-1]:
        part = msgspec.structs.replace(question, since=since, limit=500)
        reader.take(
            1, Mark.QUERY, msgspec.msgpack.encode(msgspec.structs.replace(query, question=part))
        )
        frames = []
        while reader.pause == 0.0:
            frames += reader.work()
        content = b"".join(one[9:] for one in frames if one[8] == Mark.PIECE)
        found += msgspec.json.decode(content)["series"][0]["times"]
        since = round(found[-1] * 1e6) + 1
    reader.close()
    assert found == [time / 1e6 for time in times]
