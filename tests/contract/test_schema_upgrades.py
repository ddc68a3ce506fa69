"""Histories that an earlier motehub has written: each past version of each store's schema."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest
from tests.servers import PostgresServer

from motehub import parts
from motehub.core.history import make_fold
from motehub.errors import StorageError
from motehub.frames import Columns, Entry, Frame, PresenceChanged, Rejected
from motehub.history_contract import HistoryStore
from motehub.model import Admission, Device, Kind, Series
from motehub.sqlite_files import schema_scripts

# What the first version could hold; ids and times are small numbers, the cursor is at 5.
CONTENT = """
INSERT INTO device VALUES (1, 'kitchen', 'dht_stream', 'accepted', 10, 20, 6, 2, 1, 2);
INSERT INTO identity VALUES ('address:192.0.2.1', 1);
INSERT INTO series VALUES (3, 1, 'temperature', '°C', 'gauge');
INSERT INTO reading VALUES (3, 10, 20.5), (3, 20, 21.5);
INSERT INTO held_reading VALUES (3, 30, 22.5);
INSERT INTO event (device, time, kind, text) VALUES (1, 10, 'accepted', 'accepted as kitchen');
INSERT INTO rejected (device, source, time, reason, payload, count)
    VALUES (1, '192.0.2.1', 10, 'bad', 'x', 2);
UPDATE cursor SET position = 5;
"""

DAY = 86_400_000_000

FAR = 200_000 * DAY

# What version 3 had of every reading: a row of each tier, also of days that are not over.
ROLLED = "DELETE FROM reading_unrolled;" + "".join(
    f"INSERT INTO reading_{tier} VALUES (3, 0, 2, 20.5, 21.5, 42.0, 20, 21.5), "
    f"(3, {FAR}, 1, 7.5, 7.5, 7.5, {FAR}, 7.5);"
    for tier in ("minute", "hour", "day")
)

VERSIONS = [
    pytest.param((kind, version), id=f"{kind} {version}")
    for kind in parts.store_names()
    for version in range(1, max(schema_scripts(f"motehub.stores.schema.{kind}")))
]

Open = Callable[[bool], HistoryStore]


@pytest.fixture
def old(request: pytest.FixtureRequest, tmp_path: Path, postgres: PostgresServer) -> Iterator[Open]:
    """Opens a history as a motehub of that version left it, for reading only or not."""
    kind, version, *further = request.param
    scripts = schema_scripts(f"motehub.stores.schema.{kind}")
    script = scripts[1] + CONTENT + "".join(scripts[number] for number in range(2, version + 1))
    script += "".join(further)
    url = ""
    if kind == "sqlite":
        with closing(sqlite3.connect(tmp_path / "motehub.db")) as file:
            file.executescript(f"PRAGMA journal_mode=WAL; {script} PRAGMA user_version={version};")
    else:
        url = postgres.new_database()
        with psycopg.connect(url) as db:
            db.execute("CREATE TABLE motehub_schema (version integer NOT NULL)")
            db.execute(f"INSERT INTO motehub_schema VALUES ({version})".encode())
            db.execute(script.encode())
    yield lambda read_only: parts.store(kind).open(tmp_path, url, read_only)
    if url:
        postgres.drop(url)


@pytest.mark.parametrize("old", VERSIONS, indirect=True)
def test_a_history_of_every_past_version_goes_on(old: Open) -> None:
    """Nothing is lost, counters go on from where they were, and what is new begins empty."""
    with closing(old(False)) as store:
        assert store.position() == 5
        ((row,), (series,)) = store.devices(), store.registry()[1]
        expected = Device(
            1, "kitchen", "dht_stream", ("address:192.0.2.1",), Admission.ACCEPTED, 10, held=1
        )
        assert row.device == expected
        assert (row.last_seen, row.received, row.stored) == (20, 6, 2)
        assert (row.duplicate, row.rejected, row.discarded) == (1, 2, 0)
        assert series == Series(3, 1, "temperature", "°C", Kind.GAUGE)
        assert [list(v) for _, v in store.readings(3, 0, 1000)] == [[20.5, 21.5]]
        assert [event.text for event in store.events(1, 10)] == ["accepted as kitchen"]
        assert [one.count for one in store.rejected(10)] == [2]

        readings = Columns()
        readings.add(3, array("q", [40]), array("d", [23.5]))
        entries: list[Entry] = [Rejected(1, "x", 40, b"", "over", 3, True)]
        entries.append(PresenceChanged(1, True))
        store.fold(make_fold([(6, Frame(40, readings, Columns(), entries))], {3: 1}))
        (row,) = store.devices()
        assert (row.received, row.stored, row.discarded, row.device.online) == (10, 3, 3, True)

        assert store.unrolled() <= {3}
        while store.rebuild_some():
            pass
        assert store.unrolled() == set()
        while store.settle_some(DAY):
            pass
        (days,) = store.dump("reading_day")
        assert days == [(3, 0, 3, 20.5, 23.5, 65.5, 40, 23.5)]
    with closing(old(True)) as reader:
        assert reader.position() == 6


@pytest.mark.parametrize(
    "old", [(kind, 3, ROLLED) for kind in parts.store_names()], ids=str, indirect=True
)
def test_hours_of_days_that_are_not_over_are_made_once_they_are(old: Open) -> None:
    """They were kept up with each reading before; those of the past stay as they are."""
    with closing(old(False)) as store:
        assert [row[1] for page in store.dump("reading_hour") for row in page] == [0]
        assert store.settled().before("day", 3) > DAY
        while store.settle_some(FAR + DAY):
            pass
        for tier in ("hour", "day"):
            (rows,) = store.dump(f"reading_{tier}")
            assert rows[0] == (3, 0, 2, 20.5, 21.5, 42.0, 20, 21.5)
            assert rows[1][1:4] == (FAR, 1, 7.5)


@pytest.mark.parametrize("old", VERSIONS, indirect=True)
def test_a_reader_waits_until_the_history_is_brought_up_to_date(old: Open) -> None:
    """It says what to do, and changes nothing itself."""
    with pytest.raises(StorageError, match=r"earlier motehub .* Start the hub once"):
        old(True)
    with closing(old(False)), closing(old(True)) as reader:
        assert reader.position() == 5


@pytest.mark.parametrize("kind", parts.store_names())
def test_each_version_has_one_script(kind: str) -> None:
    """Of two with the same number one would never be carried out."""
    package = f"motehub.stores.schema.{kind}"
    names = [one.name for one in files(package).iterdir() if one.name.endswith(".sql")]
    assert sorted(int(name[:4]) for name in names) == list(range(1, len(names) + 1))
