"""What of a series need not be stored, and that nothing goes uncounted."""

from __future__ import annotations

from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.contract.test_rollups import table
from tests.unit.core.support import SOURCE, START, FakeClock, frames, open_hub, say, temperature

from motehub.core.calibrations import Calibration
from motehub.core.history import make_fold
from motehub.core.sparing import STORED_EVERY, Sparing
from motehub.errors import InvalidProfile
from motehub.history_contract import DeviceRow
from motehub.stores.sqlite import SqliteHistory

SECOND = 1_000_000
DEVICE = "dht-192.0.2.1"


def kept(calibration: Calibration, readings: list[tuple[int, float]]) -> dict[int, float]:
    """What is stored of ``readings`` (seconds, value) that come one by one."""
    sparing, found = Sparing(), {}
    for second, value in readings:
        found[second] = value
        entry = sparing.judge(1, calibration, [second * SECOND], [value])
        if entry is not None:
            for time in entry.times:
                del found[time // SECOND]
            for time, was in zip(entry.recalled, entry.values, strict=True):
                found[time // SECOND] = was
    return found


def test_small_changes_are_spared_up_to_the_last_before_a_large_one() -> None:
    """A line through what is stored is where the values were."""
    readings = [(0, 20.0), (10, 20.1), (20, 20.2), (30, 20.1), (40, 25.0), (50, 25.1), (60, 25.5)]
    found = kept(Calibration(deadband=0.5), readings)
    assert found == {0: 20.0, 30: 20.1, 40: 25.0, 50: 25.1, 60: 25.5}
    assert kept(Calibration(spacing=30), readings) == {0: 20.0, 30: 20.1, 60: 25.5}


def test_what_never_changes_is_stored_now_and_then() -> None:
    """So it can be told from silence; a longer spacing has its way."""
    readings = [(n * 600, 20.0) for n in range(20)]
    assert list(kept(Calibration(deadband=1), readings)) == [
        0,
        STORED_EVERY,
        2 * STORED_EVERY,
        10_800,
    ]
    assert list(kept(Calibration(deadband=1, spacing=7200), readings)) == [0, 7200]


VALUES = st.integers(-20, 20).map(lambda n: n / 4)
STEPS = st.lists(st.tuples(st.integers(1, 1200), VALUES), min_size=1, max_size=60)


@given(STEPS, st.sampled_from([0.0, 0.5, 1.0, 3.0]), st.sampled_from([0.0, 60.0, 900.0]))
def test_every_value_is_near_one_that_is_stored(
    steps: list[tuple[int, float]], deadband: float, spacing: float
) -> None:
    """Within the deadband of the last one stored, or within the spacing of it."""
    second, readings = 0, []
    for step, value in steps:
        second += step
        readings.append((second, value))
    found = kept(Calibration(deadband=deadband, spacing=spacing), readings)
    assert readings[0][0] in found
    for time, value in readings:
        before = max(one for one in found if one <= time)
        near = [found[one] for one in found if one <= time and abs(found[one] - value) < deadband]
        assert time == before or time - before < spacing or near


@given(STEPS)
def test_the_changes_stay_where_they_were(steps: list[tuple[int, float]]) -> None:
    """Between two readings that differ by the deadband, none that was spared is missing."""
    second, readings = 0, []
    for step, value in steps:
        second += step
        readings.append((second, value))
    found = kept(Calibration(deadband=1), readings)
    last = readings[0]
    for before, now in pairwise(readings):
        if now[0] in found and abs(now[1] - last[1]) >= 1:
            assert before[0] in found
        if now[0] in found:
            last = now


def test_what_is_late_is_stored() -> None:
    """What is around it is not known."""
    sparing = Sparing()
    wide = Calibration(deadband=100)
    assert sparing.judge(1, wide, [START], [1.0]) is None
    assert sparing.judge(1, wide, [START - 5, START], [1.0, 2.0]) is None
    entry = sparing.judge(1, wide, [START + 5], [3.0])
    assert entry is not None
    assert entry.times == [START + 5]


async def test_spared_readings_are_heard_counted_and_not_stored(tmp_path: Path) -> None:
    """The receipt takes them, the journal has them, the history counts them; the sum is right."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await say(hub, SOURCE, [temperature(20.0)])
        await hub.calibrate(DEVICE, "temperature", Calibration(deadband=1.0))
        receipt = await say(hub, SOURCE, [temperature(20.0, 20.1, 20.2, time=START + SECOND)])
        assert (receipt.taken, receipt.rejected) == (3, 0)
        assert counts(tmp_path) == (4, 2, 0, 0, 2)
        assert newest(tmp_path) == [(1, START + 3 * SECOND, 20.2)]
        await say(hub, SOURCE, [temperature(30.0, time=START + 4 * SECOND)])
        assert counts(tmp_path) == (5, 4, 0, 0, 1)
        assert newest(tmp_path) == [(1, START + 4 * SECOND, 30.0)]
        await say(hub, SOURCE, [temperature(30.0, time=START + 4 * SECOND)])
        assert counts(tmp_path) == (6, 4, 1, 0, 1)
        assert sum(len(frame.readings) for _, frame in frames(tmp_path)) == 6
        with pytest.raises(InvalidProfile, match="deadband"):
            await hub.calibrate(DEVICE, "temperature", Calibration(deadband=-1.0))
        with pytest.raises(InvalidProfile, match="spacing"):
            await hub.calibrate(DEVICE, "temperature", Calibration(spacing=90_000.0))


def newest(folder: Path) -> list[tuple[int, int, float | str]]:
    """Fold the whole journal; return series, time and value of what was received last."""
    name = folder / f"store{len(list(folder.iterdir()))}"
    name.mkdir()
    with closing(SqliteHistory(name)) as store:
        store.fold(make_fold(frames(folder), {}))
        return store.latest()


def counts(folder: Path) -> tuple[int, int, int, int, int]:
    """Fold the whole journal, frame by frame and at once; return the device's counters."""
    found = []
    for together in (False, True):
        name = folder / f"store{len(list(folder.iterdir()))}"
        name.mkdir()
        with closing(SqliteHistory(name)) as store:
            known: dict[int, int] = {}
            all_frames = frames(folder)
            for part in [all_frames] if together else [[one] for one in all_frames]:
                store.fold(make_fold(part, known))
            row: DeviceRow = store.devices()[0]
            rows = table(store, "reading")
        assert len(rows) == row.stored
        found.append((row.received, row.stored, row.duplicate, row.rejected, row.discarded))
    assert found[0] == found[1]
    assert found[0][0] == sum(found[0][1:])
    return found[0]
