"""The query process from within: several queries in turn, and nothing left of those that end."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from motehub import parts
from motehub.core.history import make_fold
from motehub.core.queries import (
    WINDOW,
    Devices,
    Failed,
    Frames,
    Mark,
    Query,
    Question,
    Readings,
    frame,
)
from motehub.frames import Columns, DeviceChanged, Entry, Frame, SeriesAdded
from motehub.model import Admission, Device, Series
from motehub.reader import Reader

COUNT = 50_000
EVERYTHING = Readings("x", (), 0, COUNT, COUNT)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A query process on a history with many readings of one device."""
    store = parts.store("sqlite").open(tmp_path, "", False)
    device = Device(1, "x", "test", ("test:x",), Admission.ACCEPTED, 5)
    columns = Columns()
    columns.add(1, array("q", range(COUNT)), array("d", range(COUNT)))
    entries: list[Entry] = [DeviceChanged(device), SeriesAdded(Series(1, 1, "temperature", "°C"))]
    store.fold(make_fold([(1, Frame(5, columns, Columns(), entries))], {}))
    store.close()
    made = Reader(tmp_path, "sqlite", "")
    yield made
    made.close()


def ask(reader: Reader, number: int, question: Question, position: int = 1) -> None:
    query = Query(question, position, seconds=30.0, fold_seconds=30.0)
    say(reader, frame(number, Mark.QUERY, query))


def say(reader: Reader, data: bytes) -> None:
    for one in Frames().feed(data):
        reader.take(*one)


def work(reader: Reader) -> list[tuple[int, Mark, bytes]]:
    """Let the process work until it waits for the hub; return what it says."""
    frames = Frames()
    found = []
    while reader.pause == 0.0:
        for data in reader.work():
            found += frames.feed(data)
    return found


def test_an_answer_stops_at_its_window(reader: Reader) -> None:
    """No more than the window is sent until the hub asks for more, a piece for each time."""
    ask(reader, 7, EVERYTHING)
    assert [mark for _, mark, _ in work(reader)] == [Mark.HEAD] + [Mark.PIECE] * WINDOW
    assert reader.pause is None
    say(reader, frame(7, Mark.MORE))
    assert [mark for _, mark, _ in work(reader)] == [Mark.PIECE]


def test_a_query_that_waits_for_its_client_holds_up_nobody(reader: Reader) -> None:
    """Another query is answered whole while the first one's window is used up."""
    ask(reader, 1, EVERYTHING)
    work(reader)
    ask(reader, 2, Devices())
    answered = work(reader)
    assert [(number, mark) for number, mark, _ in answered] == [
        (2, Mark.HEAD),
        (2, Mark.PIECE),
        (2, Mark.END),
    ]


def test_nothing_is_left_of_a_query_that_is_cancelled(reader: Reader) -> None:
    """A query that the hub has given up sends nothing more, whatever is said of it then."""
    ask(reader, 1, EVERYTHING)
    work(reader)
    say(reader, frame(1, Mark.CANCEL) + frame(1, Mark.MORE) + frame(1, Mark.CANCEL))
    assert work(reader) == []
    assert reader.pause is None


def test_waiting_for_the_history_is_no_work(reader: Reader) -> None:
    """A query that waits for the history is looked at now and then; others go on meanwhile."""
    ask(reader, 1, Devices(), position=2)
    assert work(reader) == []
    reader.work()
    assert reader.pause is not None
    assert reader.pause > 0
    ask(reader, 2, Devices())
    assert {number for number, _, _ in work(reader)} == {2}


def test_a_failing_query_harms_no_other(reader: Reader) -> None:
    """A query that fails says why, and the next one is answered."""
    ask(reader, 1, Readings("x", ("light",), 0, 1, 1))
    ((number, mark, body),) = work(reader)
    failed = msgspec.msgpack.decode(body, type=Failed)
    assert (number, mark, failed.status) == (1, Mark.FAILED, 404)
    assert "temperature" in failed.detail
    ask(reader, 2, Devices())
    assert [mark for _, mark, _ in work(reader)][-1] is Mark.END


def test_a_history_that_is_not_there_yet(tmp_path: Path) -> None:
    """Without a history a query fails, and is answered once there is one."""
    reader = Reader(tmp_path, "sqlite", "")
    ask(reader, 1, Devices(), position=0)
    ((_, mark, body),) = work(reader)
    assert mark is Mark.FAILED
    assert msgspec.msgpack.decode(body, type=Failed).status == 503
    parts.store("sqlite").open(tmp_path, "", False).close()
    ask(reader, 2, Devices(), position=0)
    assert [mark for _, mark, _ in work(reader)] == [Mark.HEAD, Mark.PIECE, Mark.END]
    reader.close()
