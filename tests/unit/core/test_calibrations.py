"""What becomes of numbers whose series the owner has calibrated."""

from __future__ import annotations

import math
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.core.support import SOURCE, START, FakeClock, frames, open_hub, say, temperature

from motehub.core.admission import Policy, RegistryLimits
from motehub.core.calibrations import (
    Calibration,
    calibrate,
    checked_calibration,
)
from motehub.core.hub import Hub
from motehub.errors import InvalidProfile
from motehub.frames import Rejected, Written
from motehub.model import Clock, Samples, WrittenSamples

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
BOUNDS = st.none() | st.floats(-10, 10)


async def stored(hub: Hub, folder: Path, *values: float) -> list[float]:
    """Return what the journal has of ``values`` when they come now."""
    before = len(frames(folder))
    await say(hub, SOURCE, [temperature(*values)])
    return [value for _, frame in frames(folder)[before:] for value in frame.readings.values]


async def test_values_are_what_is_made_of_numbers(tmp_path: Path) -> None:
    """Scale and offset apply from now on, outlive a restart, and can be taken back."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        assert await stored(hub, tmp_path, 10.0) == [10.0]
        await hub.calibrate("dht-192.0.2.1", "temperature", Calibration(-1.0, 2.0))
        assert await stored(hub, tmp_path, 10.0, 11.0) == [19.0, 21.0]
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        assert await stored(hub, tmp_path, 10.0) == [19.0]
        await hub.calibrate("dht-192.0.2.1", "temperature", Calibration())
        assert await stored(hub, tmp_path, 10.0) == [10.0]
        await hub.calibrate("dht-192.0.2.1", "temperature", Calibration(5.0))
        await hub.remove_device("dht-192.0.2.1")
        assert await stored(hub, tmp_path, 10.0) == [10.0]
        assert hub.registry.calibrations.all() == {}


async def test_what_is_out_of_range_is_rejected(tmp_path: Path) -> None:
    """Counted and shown as it was sent, with the reason; the others are stored."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await say(hub, SOURCE, [temperature(1.0)])
        await hub.calibrate("dht-192.0.2.1", "temperature", Calibration(0.5, low=0.0, high=50.0))
        before = len(frames(tmp_path))
        record = temperature(-3.0, 20.0, 85.0, -4.0, -5.0, 49.5)
        receipt = await say(hub, SOURCE, [record])
        assert (receipt.taken, receipt.rejected) == (2, 4)
        below = "temperature is below 0, the least that is valid"
        above = "temperature is above 50, the most that is valid"
        assert [(one.record, one.start, one.stop, one.reason) for one in receipt.refused] == [
            (0, 0, 1, below),
            (0, 2, 3, above),
            (0, 3, 5, below),
        ]
        (frame,) = [frame for _, frame in frames(tmp_path)[before:]]
        assert list(frame.readings.values) == [20.5, 50.0]
        assert list(frame.readings.times) == [record.times[1], record.times[5]]
        entries = [one for one in frame.entries if isinstance(one, Rejected)]
        assert [(one.count, one.reason, one.payload) for one in entries] == [
            (3, below, b"temperature -3.0"),
            (1, above, b"temperature 85.0"),
        ]


async def test_a_full_quarantine_is_told_apart(tmp_path: Path) -> None:
    """Of a device that waits the valid values are held, as long as there is room."""
    limits = RegistryLimits(held=3)
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE, limits) as (hub, _):
        await say(hub, SOURCE, [temperature(1.0)])
        await hub.calibrate("dht-192.0.2.1", "temperature", Calibration(high=10.0))
        receipt = await say(hub, SOURCE, [temperature(2.0, 99.0, 3.0, 4.0, 5.0)])
        assert (receipt.taken, receipt.rejected) == (2, 3)
        assert [(one.start, one.stop) for one in receipt.refused] == [(1, 2), (3, 5)]
        held = [value for _, frame in frames(tmp_path) for value in frame.held.values]
        assert held == [1.0, 2.0, 3.0]


async def test_moments_of_arrival_stay_distinct(tmp_path: Path) -> None:
    """Parts of a read that the hub stamps follow one another."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await say(hub, SOURCE, [temperature(1.0, time=START - 1)])
        await hub.calibrate("dht-192.0.2.1", "temperature", Calibration(high=10.0))
        times = array("q", [START]) * 4
        values = array("d", [1.0, 99.0, 2.0, 3.0])
        await say(hub, SOURCE, [Samples("temperature", "°C", times, values, Clock.HUB)])
        assert list(frames(tmp_path)[-1][1].readings.times) == [START, START + 1, START + 2]


async def test_what_a_unit_wrote_stays_with_its_value(tmp_path: Path) -> None:
    """A base passes on what was written, and nothing of what was rejected."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await say(hub, SOURCE, [temperature(1.0)])
        await hub.calibrate("dht-192.0.2.1", "temperature", Calibration(1.0, high=10.0))
        times, values = array("q", range(START, START + 3)), array("d", [1.0, 99.0, 2.0])
        written = WrittenSamples("temperature", "°C", times, values, written=("1", "99", "2"))
        await say(hub, SOURCE, [written])
        frame = frames(tmp_path)[-1][1]
        assert list(frame.readings.values) == [2.0, 3.0]
        kept = [text for one in frame.entries if isinstance(one, Written) for text in one.texts]
        assert kept == ["1", "2"]


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"scale": 0.0}, "scale of 0"),
        ({"low": 5.0, "high": 5.0}, "begins at 5"),
        ({"offset": math.nan}, "finite"),
        ({"high": math.inf}, "finite"),
    ],
)
async def test_what_is_no_calibration(tmp_path: Path, keys: Any, reason: str) -> None:
    """It is refused with a reason, and so is one of a metric that the device has not."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await say(hub, SOURCE, [temperature(1.0)])
        with pytest.raises(InvalidProfile, match=reason):
            await hub.calibrate("dht-192.0.2.1", "temperature", Calibration(**keys))
        with pytest.raises(InvalidProfile, match="no numbers called 'wind'"):
            await hub.calibrate("dht-192.0.2.1", "wind", Calibration(1.0))
        assert await stored(hub, tmp_path, 10.0) == [10.0]


@given(st.lists(NUMBERS, min_size=1), NUMBERS, NUMBERS.filter(bool), BOUNDS, BOUNDS)
def test_every_reading_is_in_one_run(
    numbers: list[float], offset: float, scale: float, low: float | None, high: float | None
) -> None:
    """Runs follow each other; what is valid is scaled and finite, the rest is as it was sent."""
    calibration = Calibration(offset, scale, low, high)
    samples = temperature(*numbers)
    end = 0
    for run in calibrate(samples, calibration):
        assert run.start == end < run.stop
        end = run.stop
        assert run.samples.times == samples.times[run.start : run.stop]
        sent = numbers[run.start : run.stop]
        if run.fault:
            assert list(run.samples.values) == sent
            continue
        assert list(run.samples.values) == [scale * number + offset for number in sent]
        for value in run.samples.values:
            assert math.isfinite(value)
            assert low is None or value >= low
            assert high is None or value <= high
    assert end == len(numbers)


@given(st.builds(Calibration, NUMBERS, NUMBERS, BOUNDS, BOUNDS))
def test_what_is_checked_can_be_used(calibration: Calibration) -> None:
    """A calibration either is refused or lets some value through."""
    try:
        checked_calibration(calibration)
    except InvalidProfile:
        return
    middle = calibration.low if calibration.low is not None else calibration.high or 0.0
    assert calibration.fault(middle) == ""
