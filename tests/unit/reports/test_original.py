"""Files of the original system are read by position, whatever form their times have."""

import time
from datetime import UTC, datetime
from pathlib import Path

import apsw
import pytest

from motehub.errors import DamagedDatabase, OwnerError, StorageError
from motehub.reports.original import read_original

SECOND = 1_000_000
START = 1_746_119_310


def make(path: Path, rows: list[tuple[object, ...]], columns: str = "") -> Path:
    """Make a database whose columns are called as the original called them."""
    names = columns or "timestamp, temperature, humidity"
    connection = apsw.Connection(str(path))
    connection.execute(f"CREATE TABLE sensor_data ({names})")
    for row in rows:
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO sensor_data VALUES ({marks})", row)
    connection.close()
    return path


def test_columns_count_by_position_and_not_by_name(tmp_path: Path) -> None:
    """The original's column ``temperature`` holds humidity, and lands as humidity."""
    path = make(tmp_path / "sensor_data.db", [(START, 57, 24.1), (START + 2, 58, 24.4)])
    data = read_original(path)
    assert data.humidity.values.tolist() == [57, 58]
    assert data.temperature.values.tolist() == [24.1, 24.4]
    assert data.humidity.times.tolist() == [START * SECOND, (START + 2) * SECOND]
    assert data.temperature.times == data.humidity.times
    assert (data.humidity.metric, data.humidity.unit) == ("relative_humidity", "%")
    assert (data.temperature.metric, data.temperature.unit) == ("temperature", "°C")
    assert data.unreadable == 0


def test_a_view_is_read_like_a_table(tmp_path: Path) -> None:
    """The hub's own database has the same name as a view."""
    path = tmp_path / "hub.db"
    connection = apsw.Connection(str(path))
    connection.execute(
        "CREATE TABLE own (at, celsius, percent); INSERT INTO own VALUES (?, 21.5, 40);"
        "CREATE VIEW sensor_data (timestamp, humidity, temperature) AS"
        " SELECT at, percent, celsius FROM own",
        (START,),
    )
    connection.close()
    data = read_original(path)
    assert data.humidity.values.tolist() == [40]
    assert data.temperature.values.tolist() == [21.5]


@pytest.mark.parametrize(
    ("cell", "microseconds"),
    [
        (START, START * SECOND),
        (START + 0.25, START * SECOND + 250_000),
        (str(START), START * SECOND),
        (f" {START}.5 ", START * SECOND + 500_000),
        ("2025-05-01 17:08:30", START * SECOND),
        ("2025-05-01T17:08:30Z", START * SECOND),
        ("2025-05-01T19:08:30+02:00", START * SECOND),
        ("2025-05-01 17:08:30.000001", START * SECOND + 1),
        (0, 0),
        ("1969-12-31 23:59:59.5", -500_000),
    ],
)
def test_forms_of_time(tmp_path: Path, cell: object, microseconds: int) -> None:
    """Numbers, numbers as text and ISO 8601 are understood; without a zone it is UTC."""
    data = read_original(make(tmp_path / "a.db", [(cell, 50, 20)]))
    assert data.temperature.times.tolist() == [microseconds]


@pytest.mark.parametrize(
    "row",
    [
        (None, 50, 20),
        ("yesterday", 50, 20),
        ("", 50, 20),
        (b"\x00", 50, 20),
        (START * 1000, 50, 20),
        (float("inf"), 50, 20),
        ("9" * 400, 50, 20),
        (START, "wet", 20),
        (START, 50, "nan"),
        (START, 50, "1_0"),
        (START, 50, b"20"),
        (START, 50, float("inf")),
        (START, None, None),
    ],
)
def test_rows_that_cant_be_read_are_skipped_and_counted(
    tmp_path: Path, row: tuple[object, ...]
) -> None:
    """A bad row costs itself and nothing else."""
    path = make(tmp_path / "a.db", [(START, 50, 20), row, (START + 2, "51", "20.5")])
    data = read_original(path)
    assert data.humidity.values.tolist() == [50, 51]
    assert data.temperature.values.tolist() == [20, 20.5]
    assert data.unreadable == 1


def test_a_row_with_one_value_keeps_it(tmp_path: Path) -> None:
    """A device may have only one of the two sensors."""
    data = read_original(make(tmp_path / "a.db", [(START, None, 20), (START + 2, 50, None)]))
    assert data.temperature.times.tolist() == [START * SECOND]
    assert data.humidity.times.tolist() == [(START + 2) * SECOND]
    assert data.unreadable == 0


def test_since_leaves_out_what_is_older(tmp_path: Path) -> None:
    """The very moment is inside, and all forms of time are compared as times."""
    moment = datetime.fromtimestamp(START, UTC).isoformat()
    path = make(tmp_path / "a.db", [(START - 1, 1, 1), (moment, 2, 2), (str(START + 1), 3, 3)])
    assert read_original(path, since=START * SECOND).humidity.values.tolist() == [2, 3]


def test_further_columns_are_ignored(tmp_path: Path) -> None:
    """A table that somebody extended is still read."""
    path = make(tmp_path / "a.db", [(START, 50, 20, "note")], "timestamp, t, h, note")
    assert read_original(path).temperature.values.tolist() == [20]


def test_the_file_is_not_touched(tmp_path: Path) -> None:
    """Reading needs no right to write, and leaves every byte as it was."""
    path = make(tmp_path / "a.db", [(START, 50, 20)])
    before = path.read_bytes()
    path.chmod(0o444)
    read_original(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_use_is_read(tmp_path: Path) -> None:
    """The original program may be connected, with the write-ahead log of a modern SQLite too."""
    path = make(tmp_path / "a.db", [(START, 50, 20)])
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    connection.execute("INSERT INTO sensor_data VALUES (?, 51, 21)", (START + 2,))
    assert read_original(path).humidity.values.tolist() == [50, 51]
    connection.close()


def test_a_missing_file_is_a_sentence_and_makes_none(tmp_path: Path) -> None:
    """Opening must not create an empty database."""
    with pytest.raises(OwnerError, match=r"There is no file .*nothing\.db"):
        read_original(tmp_path / "nothing.db")
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_refused_with_a_sentence(tmp_path: Path) -> None:
    """Text, an empty file, another program's database, too few columns: each says what it is."""
    text = tmp_path / "text.db"
    text.write_text("time,humidity,temperature\n" * 100)
    with pytest.raises(OwnerError, match="is not an SQLite database"):
        read_original(text)
    empty = tmp_path / "empty.db"
    empty.touch()
    with pytest.raises(OwnerError, match="no table or view called sensor_data"):
        read_original(empty)
    with pytest.raises(OwnerError, match="has 2 columns"):
        read_original(make(tmp_path / "two.db", [], "timestamp, temperature"))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    """Pages of rubbish in the middle of a database are damage, not a wrong file."""
    path = make(tmp_path / "a.db", [(START + n, 50, 20) for n in range(2000)])
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xa5" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(DamagedDatabase, match=r"a\.db is damaged"):
        read_original(path)


def test_a_locked_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that never lets go is told from a damaged file."""
    monkeypatch.setattr("motehub.reports.original.BUSY_TIMEOUT", 50)
    path = make(tmp_path / "a.db", [(START, 50, 20)])
    owner = apsw.Connection(str(path))
    owner.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StorageError, match=r"keeps .* locked"):
        read_original(path)
    owner.close()


def make_view(path: Path, query: str) -> Path:
    """Make a database whose sensor_data is a view."""
    connection = apsw.Connection(str(path))
    connection.execute(f"CREATE VIEW sensor_data (a, b, c) AS {query}")
    connection.close()
    return path


@pytest.mark.parametrize("condition", ["1", "n < 0"])
def test_a_view_without_an_end_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, condition: str
) -> None:
    """Whether it has rows without end or computes for ever, the time is bounded."""
    monkeypatch.setattr("motehub.reports.original.LONGEST_READ", 0.3)
    endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) "
    path = make_view(tmp_path / "a.db", f"{endless} SELECT n, 1, 1 FROM t WHERE {condition}")
    began = time.monotonic()
    with pytest.raises(OwnerError, match=r"longer than 0\.3 s"):
        read_original(path)
    assert time.monotonic() - began < 30


def test_a_gigantic_cell_is_refused(tmp_path: Path) -> None:
    """A cell that would fill the memory is an error of a sentence."""
    path = make_view(tmp_path / "a.db", f"SELECT {START}, hex(zeroblob(400000000)), 1")
    with pytest.raises(StorageError, match="too big"):
        read_original(path)
