"""Readings are archived while others come, and archivers and writers are killed."""

from __future__ import annotations

import csv
import io
import time
from array import array
from contextlib import closing
from pathlib import Path

import pytest
from tests.fault.disks import small_disk
from tests.fault.load import Sender
from tests.harness import OPEN, PATIENCE, HubProcess

from motehub.archive.checking import trouble_of, unknown_files
from motehub.archive.history import WholeHistory
from motehub.archived import FOLDER
from motehub.archiving import Archiving, starter
from motehub.core.history import make_fold
from motehub.core.retention import Plan, Retention, Rule
from motehub.frames import Columns, DeviceChanged, Entry, Frame, SeriesAdded
from motehub.model import MICROSECONDS, Admission, Device, Series
from motehub.rollups import NEVER
from motehub.stores.sqlite import SqliteHistory
from motehub.thinning import Thinning

DAY = 86_400 * MICROSECONDS
START = 20_000 * DAY
DAYS = 70
RULE = Rule("1d", "1d", "forever", "forever")


def test_archivers_that_are_killed_lose_nothing(tmp_path: Path) -> None:
    """Wherever it was: what it left behind is removed, and the month is written again."""
    with closing(SqliteHistory(tmp_path)) as store:
        times = fill(store)
        now = START + (DAYS + 40) * DAY
        whole = WholeHistory(store, tmp_path)
        folder = tmp_path / FOLDER
        for kills in (3, 0):
            archiving = Archiving(store, starter(tmp_path, "sqlite", ""))
            thinning = Thinning(
                store,
                lambda: Retention(Plan(RULE), {}),
                lambda: now,
                archiving,
            )
            killed = 0
            thinning.begin()
            while thinning.step() or archiving.at_work:
                # Archivers are of low priority: what only waits must not take their time.
                time.sleep(0.002)
                if killed < kills and list(folder.glob("*.new")):
                    archiving.stop()
                    killed += 1
                    thinning.begin()
            thinning.stop()
            found = [one for some, _ in whole.readings(1, 0, 2**62) for one in some]
            assert found == list(times)
        files = store.archive_files()
        assert sum(one.rows for one in files) == len(times)
        assert sorted(one.name for one in files) == sorted(one.name for one in folder.iterdir())
        assert sum(len(some) for some, _ in store.readings(1, 0, 2**62)) == 1


def test_a_full_disk_stops_the_archive_and_loses_nothing(tmp_path: Path) -> None:
    """Nothing is deleted and no part of a file stays; the owner is told, and later it goes on."""
    folder = tmp_path / FOLDER
    with small_disk(folder) as disk, closing(SqliteHistory(tmp_path)) as store:
        if not disk.mounted:
            pytest.skip("no small file system can be mounted here")
        times = fill(store)
        now = [START + (DAYS + 40) * DAY]
        archiving = Archiving(store, starter(tmp_path, "sqlite", ""))
        thinning = Thinning(
            store,
            lambda: Retention(Plan(RULE), {}),
            lambda: now[0],
            archiving,
            steady=lambda: now[0] / MICROSECONDS,
        )
        # Room for a part of the first file, and then for nothing at all.
        for room in (200_000, 0):
            disk.fill(leave=room)
            thin(thinning, archiving)
            assert "The disk is full" in thinning.report["archive"]["trouble"]
            assert [one.name for one in folder.iterdir()] == ["filler"]
            assert store.archive_files() == []
            assert store.kept(1).raw == NEVER
            assert [one for some, _ in store.readings(1, 0, 2**62) for one in some] == list(times)
            disk.free()
            now[0] += 61 * MICROSECONDS
        thin(thinning, archiving)
        assert thinning.report["archive"]["trouble"] is None
        files = store.archive_files()
        assert sum(one.rows for one in files) == len(times)
        assert [trouble_of(one, tmp_path) for one in files] == [None] * len(files)
        assert unknown_files(files, tmp_path) == []
        assert sum(len(some) for some, _ in store.readings(1, 0, 2**62)) == 1
        whole = WholeHistory(store, tmp_path).readings(1, 0, 2**62)
        assert [one for some, _ in whole for one in some] == list(times)


def fill(store: SqliteHistory) -> array[int]:
    """Fold a series of ``DAYS``, and return its times."""
    device = Device(1, "a", "x", ("i",), Admission.ACCEPTED, 5)
    entries: list[Entry] = [DeviceChanged(device), SeriesAdded(Series(1, 1, "t", ""))]
    times = array("q", range(START, START + DAYS * DAY, DAY // 2_000))
    made = Columns()
    made.add(1, times, array("d", range(len(times))))
    store.fold(make_fold([(1, Frame(1, made, Columns(), entries))], {}))
    return times


def thin(thinning: Thinning, archiving: Archiving) -> None:
    """Archive and delete all that is due."""
    deadline = time.monotonic() + PATIENCE
    thinning.begin()
    while thinning.step() or archiving.at_work:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    thinning.stop()


def test_readings_are_archived_while_others_come_and_the_writer_is_killed(folder: Path) -> None:
    """Each is found once by commands, in the history or in the archive; the hub says how much."""
    settings = {**OPEN, "retention": {"raw": "30d", "minute": "forever", "archive": True}}
    with HubProcess(folder, settings) as hub:
        with Sender(hub.port, hub.ca, most=60_000) as old:
            hub.wait_until(lambda: old.sent >= 60_000, "it is sent")
            sent = old.finish()
        hub.wait_folded()
        others = 0
        for number in range(3):
            with Sender(hub.port, hub.ca, "127.0.0.2", most=(number + 1) * 2_000) as other:
                hub.kill_writer()
                hub.wait_until(
                    lambda: hub.status()["writer"]["restarts"] > number,  # noqa: B023
                    "it is replaced",
                )
                others = max(others, other.finish())

        def archived() -> int:
            retention = hub.status()["writer"]["retention"]
            return int(retention.get("archive", {}).get("readings", 0))

        hub.wait_until(lambda: archived() >= 2 * sent, "they are archived")
        hub.wait_folded()
        exported = hub.cli("export")
        rows = [
            (device, metric, at)
            for device, metric, _, at, _ in csv.reader(io.StringIO(exported.stdout))
        ][1:]
        assert len(rows) == len(set(rows))
        of_old = [row for row in rows if row[0] == "dht-127.0.0.1"]
        assert len(of_old) == 2 * sent
        assert len(rows) - len(of_old) == 2 * others
        name, metric, _ = of_old[0]
        shown = hub.cli("readings", name, metric, "--since", "2020-09-13", "--format", "csv")
        assert len(shown.stdout.splitlines()) == sent + 1
        files = hub.json("archive", "list")
        assert {one["month"] for one in files} == {"2020-09"}
        assert sum(one["readings"] for one in files) >= 2 * sent
        verified = hub.cli("archive", "verify")
        assert verified.returncode == 0, verified.stderr
        (folder / FOLDER / files[0]["file"]).write_bytes(b"spoilt")
        verified = hub.cli("archive", "verify")
        assert verified.returncode == 1
        assert f"{files[0]['file']} has 6 bytes" in verified.stdout
