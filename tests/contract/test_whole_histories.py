"""A whole history out of one store and into another: what ``motehub migrate-store`` stands on."""

from __future__ import annotations

import random
import sqlite3
from array import array
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.servers import PostgresServer

from motehub import parts
from motehub.archived import ArchiveFile, ArchivePart
from motehub.core.consumer import Consumer
from motehub.core.history import FoldIntoHistory, make_fold
from motehub.errors import OwnerError, StaleJournal, StorageError
from motehub.frames import (
    Columns,
    DeviceChanged,
    Entry,
    EventOccurred,
    Frame,
    HubAway,
    PresenceChanged,
    Rejected,
    SeriesAdded,
    Spared,
    TextReadings,
)
from motehub.history_contract import UNFINISHED, Expiring, HistoryStore
from motehub.model import Admission, Device, Kind, Series
from motehub.rollups import Kept
from motehub.tables import PAGE, TABLES
from motehub.transfer.migrate import check_target, copy, finish, verify

FOREVER = 2**62
START = 1_750_000_000_000_000

Opener = Callable[[str], HistoryStore]


@pytest.fixture
def new(postgres: PostgresServer, tmp_path: Path) -> Iterator[Opener]:
    """Makes a new, empty store of the kind that is named."""
    stores: list[HistoryStore] = []
    urls: list[str] = []

    def make(kind: str) -> HistoryStore:
        folder = tmp_path / str(len(stores))
        folder.mkdir()
        if parts.store(kind).schemes:
            urls.append(postgres.new_database())
        stores.append(parts.store(kind).open(folder, urls[-1] if urls else "", False))
        return stores[-1]

    yield make
    for store in stores:
        store.close()
    for url in urls:
        postgres.drop(url)


DAY = 86_400_000_000


def quiet(_what: str, _done: int, _total: int) -> None:
    pass


def fill(store: HistoryStore) -> None:
    """Store something of everything, more than a page of readings among it."""
    entries: list[Entry] = [
        DeviceChanged(
            Device(7, "b", "dht_stream", ("address:b", "x:é", "a:Z"), Admission.ACCEPTED, 5)
        ),
        DeviceChanged(Device(2, "Ä", "json_socket", ("k:1",), Admission.PENDING, 6)),
        DeviceChanged(Device(3, "gone", "json_socket", (), Admission.BLOCKED, 6)),
        SeriesAdded(Series(11, 7, "temperature", "°C")),
        SeriesAdded(Series(4, 7, "state", "", Kind.TEXT)),
        SeriesAdded(Series(5, 2, "temperature", "°C")),
        SeriesAdded(Series(12, 7, "led", "")),
        SeriesAdded(Series(6, 2, "state", "", Kind.TEXT)),
        TextReadings(4, [START, START + 1], ["a\tb\\N\nc", "\N{SYMBOL FOR NULL}"]),
        TextReadings(4, [-5, FOREVER - 1], ["", "x" * 100_000]),
        TextReadings(6, [START], ["held"], held=True),
        *(EventOccurred(7, START + n, "kind", f"text {n}") for n in range(3)),
        Rejected(7, "192.0.2.1", START, b"\xff\0|", "not a record", 3),
        Rejected(None, "192.0.2.2", START, b"", "nobody", 1),
        Rejected(7, "192.0.2.1", START, b"left", "over", 2, discarded=True),
        PresenceChanged(7, online=True),
        PresenceChanged(2, online=False),
        HubAway(START - 5, START),
    ]
    rng = random.Random(1)
    readings, held = Columns(), Columns()
    times = array("q", sorted(START + n * 7_000_000_000 for n in range(PAGE + 10)))
    readings.add(11, times, array("d", (rng.uniform(-1e9, 1e9) for _ in times)))
    odd = [-(2**62), -1, 0, FOREVER - 1]
    readings.add(11, array("q", odd), array("d", [5e-324, -0.1, 1e308, 3.0]))
    readings.add(12, array("q", [START, START + 1]), array("d", [0.0, 1.0]))
    held.add(5, array("q", [START, START + 1]), array("d", [1.5, 2.5]))
    again = Columns()
    again.extend(readings)
    again.add(12, array("q", [START + 2]), array("d", [1.0]))
    frames = [
        (1, Frame(START, readings, held, entries)),
        (2, Frame(START, again, Columns(), [Spared(12, [START + 2], [], [])])),
    ]
    assert store.fold(make_fold(frames, {})).duplicate == PAGE + 16
    while store.settle_some(START // DAY * DAY + DAY):
        pass
    assert store.expire_some([Expiring(11, Kept(raw=-DAY))], 10) == (1, 1)
    name = "2001-01-0123456789ab.parquet"
    part = ArchivePart(name, 11, -5, 6, 2)
    store.note_archived(ArchiveFile(name, -5, 6, 2, 800, "0" * 64), [part])


def everything(store: HistoryStore) -> dict[str, Any]:
    """Return all that a store gives of its tables, and its position."""
    found: dict[str, Any] = {
        table: [row for page in store.dump(table) for row in page] for table in TABLES
    }
    return found | {"position": store.position(), "devices": store.devices()}


def move(source: HistoryStore, target: HistoryStore) -> None:
    assert check_target(source, target, quiet)
    counts = copy(source, target, quiet)
    assert verify(source, target, quiet) == counts
    finish(source, target)


@pytest.mark.parametrize("first", parts.store_names())
@pytest.mark.parametrize("second", parts.store_names())
def test_a_history_comes_back_from_another_store_as_it_was(
    new: Opener, first: str, second: str
) -> None:
    """All tables, in order and bit for bit, and what the store makes of them."""
    one, two, three = new(first), new(second), new(first)
    fill(one)
    one.begin_rebuild()
    before = everything(one)
    assert all(before[table] for table in TABLES)
    move(one, two)
    move(two, three)
    assert everything(two) == before
    assert everything(three) == before


@pytest.mark.parametrize("kind", parts.store_names())
def test_a_copy_goes_on_like_the_original(new: Opener, kind: str) -> None:
    """New events come after the old ones, readings that are there already are duplicates."""
    one, two = new("sqlite"), new(kind)
    fill(one)
    move(one, two)
    entries: list[Entry] = [EventOccurred(7, 1, "new", ""), Rejected(7, "x", 1, b"", "new")]
    columns = Columns()
    columns.add(11, array("q", [START, 1, START + 1]), array("d", [0.0, 1.0, 2.0]))
    known = {series.id: series.device for series in two.registry()[1]}
    result = two.fold(make_fold([(3, Frame(START, columns, Columns(), entries))], known))
    assert (result.stored, result.duplicate) == (2, 1)
    assert two.events(None, 1)[0].kind == two.rejected(1)[0].reason == "new"
    assert two.position() == 3


@pytest.mark.parametrize("kind", parts.store_names())
def test_a_copy_that_broke_off_begins_again(new: Opener, kind: str) -> None:
    """However far it came; until it is finished no hub takes it for a history."""
    one, two = new("sqlite"), new(kind)
    fill(one)

    def break_off(_what: str, done: int, _total: int) -> None:
        if done > PAGE:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(one, two, break_off)
    assert two.position() == UNFINISHED
    with pytest.raises(StaleJournal, match="unfinished copy"):
        Consumer("history", NoJournal(), FoldIntoHistory(two, NoJournal(), "journal"))
    move(one, two)
    assert everything(two) == everything(one)


@pytest.mark.parametrize("kind", parts.store_names())
def test_a_store_with_another_history_is_left_alone(new: Opener, kind: str) -> None:
    """What is not the beginning of a copy is nothing that may be deleted."""
    one, two = new("sqlite"), new(kind)
    fill(one)
    device: list[Entry] = [DeviceChanged(Device(1, "a", "x", ("i",), Admission.ACCEPTED, 5))]
    two.fold(make_fold([(1, Frame(1, Columns(), Columns(), device))], {}))
    before = everything(two)
    with pytest.raises(OwnerError, match="holds a history already"):
        check_target(one, two, quiet)
    assert everything(two) == before


@pytest.mark.parametrize("kind", parts.store_names())
def test_a_complete_copy_need_not_be_made_again(new: Opener, kind: str) -> None:
    """The same content at the same position is found to be one."""
    one, two = new("sqlite"), new(kind)
    fill(one)
    move(one, two)
    assert not check_target(one, two, quiet)


SPOILT = [
    ("UPDATE reading SET value = value * 1.0000000000000002 WHERE time = 0", "reading.*series 11"),
    ("DELETE FROM reading WHERE time = 0", "reading.*instead of"),
    ("UPDATE text SET value = 'b' WHERE time = -5", "text.*series 4"),
    ("UPDATE held_reading SET value = 9", "held_reading.*series 5"),
    ("UPDATE rejected SET payload = payload || 'x' WHERE device IS NULL", "rejected.*checksum"),
    ("UPDATE device SET stored = stored + 1", "device.*checksum"),
]


@pytest.mark.parametrize(("statement", "message"), SPOILT)
def test_a_copy_that_differs_is_found(
    new: Opener, tmp_path: Path, statement: str, message: str
) -> None:
    """A single bit, row or counter is enough, and the table is named."""
    one, two = new("sqlite"), new("sqlite")
    fill(one)
    copy(one, two, quiet)
    with closing(sqlite3.connect(tmp_path / "1" / "motehub.db")) as db, db:
        db.execute(statement)
    with pytest.raises(StorageError, match=f"(?s)in the table {message}"):
        verify(one, two, quiet)


def test_the_null_character_may_be_its_symbol(new: Opener) -> None:
    """PostgreSQL has no U+0000 in texts; that is no difference."""
    one, two = new("sqlite"), new("postgres")
    entries: list[Entry] = [
        DeviceChanged(Device(1, "a", "x", ("i",), Admission.ACCEPTED, 5)),
        SeriesAdded(Series(1, 1, "state", "", Kind.TEXT)),
        TextReadings(1, [5], ["a\0b"]),
    ]
    one.fold(make_fold([(1, Frame(1, Columns(), Columns(), entries))], {}))
    move(one, two)
    assert [values for _, values in two.texts(1, 0, 10)] == [["a\N{SYMBOL FOR NULL}b"]]


def test_every_table_of_the_schemas_moves(
    new: Opener, tmp_path: Path, postgres: PostgresServer
) -> None:
    """A table that a schema gets later must be entered in ``motehub.tables``, with all columns."""
    new("sqlite").close()
    with closing(sqlite3.connect(tmp_path / "0" / "motehub.db")) as db:
        found = {
            name: tuple(row[1] for row in db.execute(f"PRAGMA table_info({name})"))
            for (name,) in db.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
        }
    expected = {name: table.columns for name, table in TABLES.items()}
    assert found == expected | {"cursor": ("consumer", "position", "journal")}
    url = postgres.new_database()
    parts.store("postgres").open(tmp_path, url, False).close()
    with psycopg.connect(url) as connection:
        tables: dict[str, tuple[str, ...]] = {}
        for table, column in connection.execute(
            "SELECT relname, attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid "
            "WHERE relkind IN ('r', 'p') AND NOT relispartition AND attnum > 0 "
            "AND relnamespace = 'public'::regnamespace ORDER BY relname, attnum"
        ):
            tables[str(table)] = (*tables.get(str(table), ()), str(column))
    del tables["motehub_schema"]
    tables["text"] = tables.pop("text_reading")
    assert tables == expected | {"cursor": ("consumer", "position", "journal")}
    postgres.drop(url)


@pytest.mark.parametrize("kind", parts.store_names())
def test_a_snapshot_does_not_see_what_is_folded_meanwhile(
    kind: str, tmp_path: Path, postgres: PostgresServer
) -> None:
    """Neither late nor new readings; afterwards they are there."""
    url = postgres.new_database() if parts.store(kind).schemes else ""
    writer = parts.store(kind).open(tmp_path, url, False)
    fill(writer)
    with closing(parts.store(kind).open(tmp_path, url, True)) as reader:
        with reader.snapshot():
            columns = Columns()
            columns.add(11, array("q", [START + 1, FOREVER - 2]), array("d", [0.0, 1.0]))
            writer.fold(make_fold([(3, Frame(START, columns, Columns(), []))], {11: 7}))
            seen = sum(len(times) for times, _ in reader.readings(11, -FOREVER, FOREVER))
            assert (seen, reader.position()) == (PAGE + 13, 2)
        seen = sum(len(times) for times, _ in reader.readings(11, -FOREVER, FOREVER))
        assert (seen, reader.position()) == (PAGE + 15, 3)
    writer.close()
    if url:
        postgres.drop(url)


class NoJournal:
    """A journal that is empty."""

    def head(self) -> int:
        return 0

    def state(self) -> dict[str, bytes]:
        return {}

    def read(self, after: int, size: int) -> list[tuple[int, bytes]]:
        return []
