"""What only the PostgreSQL history has: addresses, partitions, rights, and errors in words."""

from __future__ import annotations

import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from tests.servers import PASSWORD, PostgresServer

from motehub import parts
from motehub.errors import NewerSchema, OwnerError, StorageError
from motehub.frames import DeviceChanged, Entry, SeriesAdded
from motehub.history_contract import Fold, HistoryStore
from motehub.model import MICROSECONDS, Admission, Device, Series
from motehub.stores import _postgres_connection as connection
from motehub.stores._postgres_errors import plain_error
from motehub.stores.postgres import PART, without_password

HERE = Path()


@pytest.fixture
def store(database: str) -> Iterator[HistoryStore]:
    """A new, empty store."""
    opened = PART.open(HERE, database, False)
    yield opened
    opened.close()


def fold_at(store: HistoryStore, *moments: datetime) -> None:
    """Store a reading at each moment."""
    times = array("q", (int(moment.timestamp()) * MICROSECONDS for moment in sorted(moments)))
    device = Device(1, "a", "dht_stream", (), Admission.ACCEPTED, 5)
    entries: list[Entry] = [DeviceChanged(device), SeriesAdded(Series(1, 1, "temperature", "°C"))]
    start, values = store.position(), array("d", [1.0] * len(times))
    store.fold(Fold(start, start + 1, {1: (times, values)}, {}, {}, {}, {1: 1}, entries, {}))


def partitions(url: str) -> dict[str, int]:
    """Return the rows of each partition that has any."""
    with psycopg.connect(url) as db:
        found = db.execute("SELECT tableoid::regclass::text, count(*) FROM reading GROUP BY 1")
        return dict(found.fetchall())


def test_each_month_has_a_partition(store: HistoryStore, database: str) -> None:
    """Months are those of UTC; old times get theirs when they come; odd ones share two."""
    last = datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC)
    first = datetime(2026, 3, 1, tzinfo=UTC)
    fold_at(
        store, last, first, datetime(2026, 12, 31, tzinfo=UTC), datetime(2099, 12, 31, tzinfo=UTC)
    )
    fold_at(store, datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
    fold_at(store, datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC))
    assert partitions(database) == {
        "reading_2026_02": 1,
        "reading_2026_03": 1,
        "reading_2026_12": 1,
        "reading_2099_12": 1,
        "reading_2000_01": 1,
        "reading_from_2100": 1,
        "reading_before_2000": 1,
    }


def test_a_new_partition_keeps_no_reader_waiting(store: HistoryStore, database: str) -> None:
    """Somebody reads the table in an open transaction, a back-up for instance."""
    fold_at(store, datetime(2026, 1, 1, tzinfo=UTC))
    with psycopg.connect(database) as reader:
        reader.execute("SELECT count(*) FROM reading").fetchall()
        fold_at(store, datetime(2026, 2, 1, tzinfo=UTC))
    assert len(partitions(database)) == 2


def test_a_lock_of_another_program_is_named(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fold gives up after a while, says why, and works when the lock is gone."""
    usual, short = "('lock_timeout', '10s'", "('lock_timeout', '300ms'"
    assert usual in connection._SETTINGS
    monkeypatch.setattr(connection, "_SETTINGS", connection._SETTINGS.replace(usual, short))
    store = PART.open(HERE, database, False)
    fold_at(store, datetime(2026, 1, 1, tzinfo=UTC))
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE device")
        with pytest.raises(StorageError, match="locked by another program"):
            fold_at(store, datetime(2026, 2, 1, tzinfo=UTC))
    fold_at(store, datetime(2026, 2, 1, tzinfo=UTC))
    assert store.position() == 2
    store.close()


def test_long_work_is_not_broken_off(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement may take longer than the wait for an answer, as long as the server is there."""
    monkeypatch.setattr(connection, "PATIENCE", 0.1)
    opened = connection.Database(database, prepare=lambda _db, _where: None)
    with opened.use() as db:
        assert db.execute("SELECT pg_sleep(1), 7").fetchall()[0][1] == 7
    opened.close()


def test_a_server_that_stands_still_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call ends soon after the server stops answering, and the next one works again."""
    monkeypatch.setattr(connection, "PATIENCE", 0.1)
    monkeypatch.setitem(connection._DEFAULTS, "connect_timeout", 2)
    with PostgresServer() as server:
        opened = PART.open(HERE, server.new_database(), False)
        server.pause()
        started = time.monotonic()
        with pytest.raises(StorageError, match="does not answer"):
            opened.position()
        # Much sooner than the kernel gives up.
        assert time.monotonic() - started < 30
        server.resume()
        assert opened.position() == 0
        opened.close()


def test_a_later_schema_is_refused(store: HistoryStore, database: str) -> None:
    """Neither a writer nor a reader touches what a later motehub has written."""
    store.close()
    with psycopg.connect(database) as db:
        db.execute("UPDATE motehub_schema SET version = 1000")
    for read_only in (False, True):
        with pytest.raises(NewerSchema, match="schema version 1000"):
            PART.open(HERE, database, read_only)


def test_a_reader_writes_nothing(store: HistoryStore, database: str) -> None:
    """What is opened for reading has no right to fold."""
    reader = PART.open(HERE, database, True)
    with pytest.raises(StorageError, match="read-only"):
        fold_at(reader, datetime(2026, 1, 1, tzinfo=UTC))
    reader.close()
    assert store.position() == 0


def test_a_reader_of_an_empty_database(database: str) -> None:
    """A command that comes before the hub's first start makes no tables."""
    with pytest.raises(StorageError, match="no history yet"):
        PART.open(HERE, database, True)


def test_tables_of_another_program_are_left_alone(database: str) -> None:
    """A table of the same name is not taken for ours; nothing is made beside it."""
    with psycopg.connect(database) as db:
        db.execute("CREATE TABLE series (season int)")
    with pytest.raises(StorageError, match="tables of another program"):
        PART.open(HERE, database, False)
    with psycopg.connect(database) as db:
        tables = db.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        assert tables.fetchall() == [("series",)]


def test_another_encoding_is_refused(postgres: PostgresServer) -> None:
    """A database that can't hold every character would stop the writer some day."""
    with postgres.connect("postgres") as db:
        db.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        with pytest.raises(OwnerError, match="LATIN1"):
            PART.open(HERE, postgres.url("latin"), False)
    finally:
        postgres.drop(postgres.url("latin"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("pass%20word", "wrong"), "refuses the password"),
        (("/test_", "/nothing_"), "does not exist. Make it, or mend"),
        (("127.0.0.1", "nowhere.invalid"), "host of the PostgreSQL database"),
        (("127.0.0.1:", "127.0.0.1:1"), "invalid port number"),
        (("/test_", "/nothing?colour=red&x="), "no PostgreSQL address"),
    ],
)
def test_what_is_wrong_with_the_address(database: str, change: tuple[str, str], words: str) -> None:
    """One sentence that says what to mend, without the password."""
    with pytest.raises((StorageError, OwnerError)) as caught:
        PART.open(HERE, database.replace(*change), False)
    message = str(caught.value)
    assert words in message
    assert "[store] url" in message
    assert "pass" not in message.replace("password", "").replace("PASSWORD", "")
    assert PASSWORD not in message


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            errors.DiskFull("could not extend file"),
            "The disk of the store is full. Free some space",
        ),
        (errors.AdminShutdown("terminating"), "The store was stopped. Start it again."),
        (errors.InsufficientPrivilege("denied for table x"), "lacks a right: denied for table x"),
        (errors.DataCorrupted("bad page"), "The store is damaged: bad page. Restore it"),
        (psycopg.OperationalError("server closed it\nmore"), "broke off: server closed it. It is"),
        (errors.DivisionByZero("what else"), "The store: what else."),
    ],
)
def test_errors_of_the_server_are_sentences(error: psycopg.Error, words: str) -> None:
    """They say what happened to what, and what to do; only the first line is repeated."""
    message = str(plain_error(error, "the store"))
    assert words in message
    assert "\n" not in message


def test_passwords_are_masked_wherever_they_stand() -> None:
    """In the user part, in a parameter, and in an address that is none."""
    shown = {
        "postgresql://a:s3cret@h:5432/d": "postgresql://a:***@h:5432/d",
        "postgresql://a@h/d?password=s3cret&sslmode=require": (
            "postgresql://a@h/d?password=***&sslmode=require"
        ),
        "postgresql://a:s3@cret@h/d": "postgresql://a:***@h/d",
        "postgresql://h/d": "postgresql://h/d",
        "postgresql://a:s3cret@[::/d": "***",
    }
    assert {url: without_password(HERE, url) for url in shown} == shown


def test_a_missing_driver_is_a_sentence(tmp_path: Path) -> None:
    """Without the extra, the owner is told how to install it."""
    (tmp_path / "psycopg.py").write_text("raise ImportError('no such driver')")
    code = (
        "from pathlib import Path; from motehub import parts; from motehub.errors import *\n"
        "try: parts.store('postgres').open(Path(), 'postgresql://h/d', False)\n"
        "except OwnerError as error: print(error)"
    )
    path = f"{tmp_path}:{Path(parts.__file__).parent.parent}"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert "pip install 'motehub[postgres]'" in done.stdout, done.stderr
