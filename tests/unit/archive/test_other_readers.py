"""Files of the archive in another program than the one that writes them: hyparquet, under Node."""

from __future__ import annotations

import json
import subprocess
from array import array
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.harness import PATIENCE

from motehub.archive.making import make_month
from motehub.archived import FOLDER
from motehub.core.history import make_fold
from motehub.frames import Columns, DeviceChanged, Entry, Frame, SeriesAdded, TextReadings
from motehub.history_contract import Expiring
from motehub.model import MICROSECONDS, Admission, Device, Kind, Series
from motehub.rollups import Kept
from motehub.stores.sqlite import SqliteHistory

ALWAYS = 2**62
START = 20_500 * 86_400 * MICROSECONDS
MANY = 150_000
"""Readings of a series: more than DuckDB puts into one group of rows."""

NUMBERS = [(START + 1, 1.5), (START + 2, -1e308), (START + 1_000_003, 5e-324)]
EARLY = [(-62, 20.25), (-1, 0.1)]
TEXTS = [(START, ""), (START + 7, 'a "b",\n ü 🙂'), (START + 8, "\\N")]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What another reader finds in the files of a store: of all times before 1970, and a month."""
    folder = tmp_path_factory.mktemp("data")
    with closing(SqliteHistory(folder)) as store:
        series = (
            Series(1, 1, "temperature", "°C"),
            Series(2, 1, "tür", "", Kind.TEXT),
            Series(300, 1, "count", ""),
        )
        device = Device(1, 'Küche, "oben"', "x", ("i",), Admission.ACCEPTED, 5)
        entries: list[Entry] = [DeviceChanged(device), *map(SeriesAdded, series)]
        columns = Columns()
        for number, rows in ((1, EARLY + NUMBERS), (300, many())):
            times, values = zip(*rows, strict=True)
            columns.add(number, array("q", times), array("d", values))
        moments, texts = zip(*TEXTS, strict=True)
        entries.append(TextReadings(2, list(moments), list(texts)))
        store.fold(make_fold([(1, Frame(1, columns, Columns(), entries))], {}))
        todo = [Expiring(one.id, Kept(raw=ALWAYS), one.kind is Kind.TEXT) for one in series]
        files = []
        while (made := make_month(store, folder, todo)).file is not None:
            store.note_archived(made.file, made.parts)
            files.append(str(folder / FOLDER / made.file.name))
    script = Path(__file__).parents[2] / "parquet_js" / "read.mjs"
    command = ["node", str(script), json.dumps({"files": files})]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    read: list[dict[str, Any]] = json.loads(done.stdout)
    return read


def many() -> list[tuple[int, float]]:
    return [(START + number * 1_000, number / 8) for number in range(MANY)]


def test_columns_say_what_they_are(found: list[dict[str, Any]]) -> None:
    """Names are UTF-8, a time is in µs and of UTC, a value a double; the compression is zstd."""
    for one in found:
        assert one["columns"] == [
            ["device", "BYTE_ARRAY", "UTF8"],
            ["metric", "BYTE_ARRAY", "UTF8"],
            ["unit", "BYTE_ARRAY", "UTF8"],
            ["time", "INT64", "TIMESTAMP, MICROS, UTC"],
            ["value", "DOUBLE", None],
            ["text", "BYTE_ARRAY", "UTF8"],
            ["series", "INT64", "INT_64"],
        ]
        assert one["codecs"] == ["ZSTD"]


def test_every_reading_is_read_as_it_was_stored(found: list[dict[str, Any]]) -> None:
    """To the microsecond and the last digit, with unit and names, by series and time."""
    early, month = (one["rows"] for one in found)
    assert {row["device"] for row in [*early, *month]} == {'Küche, "oben"'}
    assert [(int(row["time"]), row["value"]) for row in early] == EARLY
    assert {(row["metric"], row["unit"], row["text"], row["series"]) for row in early} == {
        ("temperature", "°C", None, "1")
    }
    assert [(row["series"], row["metric"], row["unit"]) for row in month[3:]] == [
        *[("2", "tür", "")] * len(TEXTS),
        *[("300", "count", "")] * MANY,
    ]
    numbers = [(int(row["time"]), row["value"]) for row in month if row["text"] is None]
    assert numbers == [*NUMBERS, *many()]
    texts = [(int(row["time"]), row["text"]) for row in month if row["value"] is None]
    assert texts == TEXTS
