"""Old readings are deleted while new ones come, processes are killed, and disks are small."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from array import array
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.fault.disks import small_disk
from tests.fault.load import FIRST, Sender
from tests.harness import OPEN, HubProcess, environment, recent, records, send

from motehub.clock_watch import FileNotes, Noted
from motehub.core.history import make_fold
from motehub.core.retention import Plan, Retention, Rule
from motehub.errors import StorageError
from motehub.frames import Columns, DeviceChanged, Entry, Frame, SeriesAdded
from motehub.model import MICROSECONDS, Admission, Device, Series
from motehub.rollups import NEVER
from motehub.stores.sqlite import SqliteHistory
from motehub.thinning import Thinning
from motehub.upkeep import Upkeep

ROOT = Path(__file__).parents[2]
DAY = 86_400
FOREVER = Rule(*["forever"] * 4)


def test_readings_go_while_others_come_and_the_writer_is_killed(folder: Path) -> None:
    """Every reading is summed up once, and stays itself if it is young enough."""
    settings = {**OPEN, "retention": {"raw": "30d", "minute": "forever"}}
    with HubProcess(folder, settings) as hub:
        with Sender(hub.port, hub.ca, most=120_000) as old:
            hub.wait_until(lambda: old.sent >= 120_000, "it is sent")
            sent = old.finish()
        hub.wait_folded()
        for number in range(4):
            with Sender(hub.port, hub.ca, "127.0.0.2", most=(number + 1) * 5_000) as young:
                hub.kill_writer()
                hub.wait_until(
                    lambda: hub.status()["writer"]["restarts"] > number,  # noqa: B023
                    "it is replaced",
                )
                young.finish()

        def begun() -> bool:
            with closing(SqliteHistory(folder, read_only=True)) as store:
                return any(store.kept(one.id).raw > NEVER for one in store.registry()[1])

        hub.wait_until(begun, "something is deleted")
        hub.wait_folded()
        rows = {row["name"]: row for row in hub.json("devices", "list")}
        assert rows["dht-127.0.0.1"]["stored"] == 2 * sent
    with closing(SqliteHistory(folder)) as store:
        thinned(store, Rule("30d"))
        _, series = store.registry()
        (device,) = (one.device.id for one in store.devices() if one.device.name[-1] == "1")
        for one in (one for one in series if one.device == device):
            (times,) = (times for times, _ in store.readings(one.id, 0, 2**62))
            assert list(times) == [(FIRST + sent - 1) * MICROSECONDS]
            minutes = [row for page in store.dump("reading_minute") for row in page]
            assert sum(row[2] for row in minutes if row[0] == one.id) == sent


def test_a_hub_whose_clock_has_jumped_deletes_nothing_before_it_is_told(folder: Path) -> None:
    """By what it knows it is five years earlier: it says so, and goes by that until confirmed."""
    now = time.time_ns() // 1000
    folder.mkdir(exist_ok=True)
    FileNotes(folder).save(Noted(now - 5 * 365 * DAY * MICROSECONDS, now))
    with HubProcess(folder, {**OPEN, "retention": {"raw": "30d"}}) as hub:
        send(hub.port, hub.ca, records(recent(0) - 365 * DAY, 100))
        hub.wait_stored("dht-127.0.0.1", "temperature", 100)
        # Another one looks at once what is old.
        hub.kill_writer()

        def doubt() -> dict[str, Any] | None:
            # One that has just begun has looked at nothing yet.
            found: dict[str, Any] | None = hub.status()["writer"]["retention"].get("clock", {})
            return found

        def doubted() -> bool:
            return hub.status()["writer"]["restarts"] == 1 and (doubt() or {}).get("hours") == 24

        def left() -> int:
            with closing(SqliteHistory(folder, read_only=True)) as store:
                return sum(
                    len(times)
                    for one in store.registry()[1]
                    for times, _ in store.readings(one.id, 0, 2**62)
                )

        hub.wait_until(doubted, "it doubts its clock")
        assert left() == 200
        told = hub.cli("retention", "confirm-clock")
        assert told.returncode == 0, told.stderr
        hub.wait_until(lambda: left() == 2, "what is old is deleted")
        hub.wait_until(lambda: doubt() is None, "it doubts nothing")
        assert "the clock is doubted" in hub.log
        assert hub.stop() == 0
    noted = FileNotes(folder).load()
    assert noted is not None
    assert noted.doubted is None
    assert noted.believed >= now


def test_a_hub_on_a_small_disk_keeps_to_its_budget_at_full_speed(tmp_path: Path) -> None:
    """Nothing that was acknowledged is lost to the sums, and the newest readings are all there."""
    isolated = ["unshare", "--map-root-user", "--mount"]
    if sys.platform != "linux":
        pytest.skip("namespaces of mounts are Linux's")
    assert shutil.which("unshare"), "unshare is missing: install util-linux"
    (tmp_path / "try").mkdir()
    try_ = [*isolated, "mount", "-t", "tmpfs", "motehub-test", str(tmp_path / "try")]
    done = subprocess.run(try_, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        # Some containers forbid it, to root too, and nothing can be installed against that.
        pytest.skip(f"this machine does not let us mount a disk: {done.stderr.strip()}")
    done = subprocess.run(
        [*isolated, sys.executable, "-m", "tests.fault.budget_run", str(tmp_path)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def thinned(store: SqliteHistory, rule: Rule) -> None:
    """Do what the writer does until there is nothing left to do."""
    retention = Retention(Plan(rule), {})
    thinning = Thinning(store, lambda: retention, lambda: time.time_ns() // 1000)
    upkeep = Upkeep(store, thinning)
    while upkeep.step():
        pass


@pytest.mark.parametrize("budget", [None, 16_000_000])
def test_a_small_disk_lasts_when_there_is_a_budget(tmp_path: Path, budget: int | None) -> None:
    """Far more comes than there is room for: the oldest readings go, what they come to stays."""
    with small_disk(tmp_path / "disk", 110_000_000) as disk:
        store = SqliteHistory(disk.folder)
        retention = Retention(Plan(FOREVER, budget), {})
        begin = recent(0) // DAY * DAY - 70 * DAY
        now = begin
        thinning = Thinning(store, lambda: retention, lambda: now * MICROSECONDS)
        device = Device(1, "a", "x", ("i",), Admission.ACCEPTED, 5)
        entries: list[Entry] = [DeviceChanged(device), SeriesAdded(Series(1, 1, "t", ""))]
        days = 0
        try:
            for _ in range(60):
                times = array("q", range(now * MICROSECONDS, (now + DAY) * MICROSECONDS, 10**6))
                made = Columns()
                made.add(1, times, array("d", [1.5]) * len(times))
                frame = Frame(1, made, Columns(), entries)
                store.fold(make_fold([(store.position() + 1, frame)], {1: 1}))
                entries, now, days = [], now + DAY, days + 1
                while store.settle_some(now * MICROSECONDS):
                    pass
                thinning.begin()
                thinning.measure()
                while thinning.step():
                    pass
        except StorageError:
            if budget is not None and disk.mounted:
                raise
        if not disk.mounted:
            pytest.skip("a disk of its own needs root")
        assert (days == 60) == (budget is not None)
        if budget is not None:
            assert store.used_bytes() <= budget
            assert thinning.report["trouble"] is None
            assert store.kept(1).raw > begin * MICROSECONDS
            (rows,) = store.dump("reading_day")
            assert [row[2] for row in rows] == [DAY] * 60
            last = sum(len(one) for one, _ in store.readings(1, (now - DAY) * MICROSECONDS, 2**62))
            assert last == DAY
        store.close()
