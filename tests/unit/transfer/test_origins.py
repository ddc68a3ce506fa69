"""Files of the original systems, as they are read for an import."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from motehub.errors import OwnerError
from motehub.model import Samples
from motehub.transfer.origins import Choice, open_origin
from motehub.transfer.pieces import Origin, Piece, Place

START = 1_750_000_000
Readings = dict[tuple[str, str, str], list[tuple[int, float]]]


def sensor_data(path: Path, rows: list[tuple[object, ...]], shape: str = "") -> Path:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"CREATE TABLE sensor_data (timestamp, temperature, humidity{shape})")
        db.executemany("INSERT INTO sensor_data VALUES (?, ?, ?)", rows)
    return path


def home_data(path: Path, rows: list[tuple[object, ...]]) -> Path:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE home_data (location, timestamp, temperature, humidity)")
        db.executemany("INSERT INTO home_data VALUES (?, ?, ?, ?)", rows)
    return path


def read(origin: Origin, after: Place | None = None) -> tuple[Readings, list[Piece]]:
    found: Readings = {}
    pieces = list(origin.pieces(after))
    for piece in pieces:
        for device in piece.readings:
            for record in device.records:
                assert isinstance(record, Samples)
                key = (device.device, record.metric, record.unit)
                pairs = zip(record.times, record.values, strict=True)
                found.setdefault(key, []).extend(pairs)
    return found, pieces


def test_a_board_comes_by_position_with_the_metrics_of_its_stream(tmp_path: Path) -> None:
    """The second column is humidity whatever its name is; the file names the device."""
    path = sensor_data(tmp_path / "attic;1.db", [(START, 57, 24.1), (START + 2, 58.5, -3)])
    found, _ = read(open_origin(Choice(str(path)), 0))
    (name,) = {key[0] for key in found}
    assert name.startswith("attic_1-")
    assert found == {
        (name, "relative_humidity", "%"): [
            (START * 1_000_000, 57.0),
            ((START + 2) * 1_000_000, 58.5),
        ],
        (name, "temperature", "°C"): [(START * 1_000_000, 24.1), ((START + 2) * 1_000_000, -3.0)],
    }


def test_fahrenheit_can_be_said(tmp_path: Path) -> None:
    """Degrees are converted as those of posts are."""
    path = sensor_data(tmp_path / "x.db", [(START, 57, 71.96)])
    found, _ = read(open_origin(Choice(str(path), device="a", celsius=False), 0))
    assert found["a", "temperature", "°C"] == [(START * 1_000_000, 22.2)]


def test_rows_that_can_not_be_read_are_counted_with_reasons(tmp_path: Path) -> None:
    """The rest of the page comes in; of a row with one value that one."""
    rows: list[tuple[object, ...]] = [
        (START, 57, 24.1),
        ("2025-06-15T15:06:41", "58", None),
        ("yesterday", 1, 2),
        (START, "wet", 2),
        (None, 1, 2),
        (START, None, None),
        (START, float("inf"), 1),
        (START * 1000, 1, 2),
        (START + 3, 59, 24.3),
    ]
    origin = open_origin(Choice(str(sensor_data(tmp_path / "x.db", rows)), device="a"), 0)
    found, pieces = read(origin)
    assert [value for _, value in found["a", "relative_humidity", "%"]] == [57, 58, 59]
    assert [value for _, value in found["a", "temperature", "°C"]] == [24.1, 24.3]
    assert sum(piece.rows for piece in pieces) == len(rows)
    assert origin.rejections.count == 6
    assert len(origin.rejections.reasons) == 5
    assert "yesterday" in origin.rejections.reasons[0]


def test_reading_goes_on_after_a_place(tmp_path: Path) -> None:
    """Where the row there is still the same; otherwise everything is read again."""
    rows: list[tuple[object, ...]] = [(START + n, n % 100, n / 10) for n in range(25_000)]
    path = sensor_data(tmp_path / "x.db", rows)
    choice = Choice(str(path), device="a")
    whole, pieces = read(open_origin(choice, 0))
    assert len(pieces) == 3
    rest, _ = read(open_origin(choice, 0), pieces[0].after)
    key = ("a", "temperature", "°C")
    assert rest[key] == whole[key][10_000:]
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE sensor_data SET humidity = 1 WHERE rowid = 10000")
    again, _ = read(open_origin(choice, 0), pieces[0].after)
    assert len(again[key]) == 25_000


def test_a_view_and_a_table_without_row_numbers_are_read_too(tmp_path: Path) -> None:
    """From the beginning each time."""
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE own (at PRIMARY KEY, h, t) WITHOUT ROWID")
        db.executemany("INSERT INTO own VALUES (?, 1, 2)", [(START + n,) for n in range(25_000)])
        db.execute("CREATE VIEW sensor_data AS SELECT * FROM own")
    found, pieces = read(open_origin(Choice(str(path), device="a"), 0))
    assert len(found["a", "temperature", "°C"]) == 25_000
    assert {piece.after for piece in pieces} == {None}


def test_homes_are_devices(tmp_path: Path) -> None:
    """°F become °C; local times are of the zone, and times that it skips are rejected."""
    rows: list[tuple[object, ...]] = [
        ("attic", "11/20/2026 18:05:09", 71.96, 40.5),
        ("cellar", "2026-11-20 18:05:09", "50", None),
        ("attic", "03/08/2026 02:30:00", 71.96, 40.5),
        (None, "11/20/2026 18:05:09", 1, 1),
        ("attic", "11/20/2026 18:05:09", None, None),
    ]
    path = home_data(tmp_path / "x.db", rows)
    origin = open_origin(Choice(str(path), zone="US/Eastern"), 0)
    found, _ = read(origin)
    time = int(datetime.fromisoformat("2026-11-20T18:05:09-05:00").timestamp()) * 1_000_000
    assert found == {
        ("attic", "temperature", "°C"): [(time, 22.2)],
        ("attic", "relative_humidity", "%"): [(time, 40.5)],
        ("cellar", "temperature", "°C"): [(time, 10.0)],
    }
    assert origin.rejections.count == 3
    assert "skip" in origin.rejections.reasons[0]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice("nothing.db"), "There is no file nothing.db"),
        (Choice("mysql://x/y"), "Nothing can be imported from mysql://"),
        (Choice("{both}"), "choose with --as"),
        (Choice("{text}"), "not an SQLite database"),
        (Choice("{other}"), "no table or view sensor_data"),
        (Choice("{both}", kind="sensor_data", zone="UTC"), "--zone does not go with"),
        (Choice("{both}", kind="home_data", device="a"), "--device does not go with"),
        (Choice("{both}", kind="home_data", zone="Europe/Nowhere"), "not a time zone"),
        (Choice("redis://h", celsius=True), "--celsius and --fahrenheit do not go"),
        (Choice("{both}", kind="sensor_data", device="a/b"), "can't contain '/'"),
    ],
)
def test_what_can_not_be_imported_is_told(tmp_path: Path, choice: Choice, message: str) -> None:
    """With the way out."""
    both = sensor_data(tmp_path / "both.db", [])
    home_data(both, [])
    (tmp_path / "text").write_text("no database" * 100, "utf-8")
    sqlite3.connect(tmp_path / "other").execute("CREATE TABLE x (y)").connection.close()
    source = choice.source.format(both=both, text=tmp_path / "text", other=tmp_path / "other")
    with pytest.raises(OwnerError, match=message):
        open_origin(Choice(source, choice.kind, choice.device, choice.zone, choice.celsius), 0)
