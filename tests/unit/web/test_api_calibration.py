"""Calibrations over the API: who may give them, and where they are shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.web.stand import Stand, numbers, open_stand

from motehub.model import Scope


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    """A hub with its API on SQLite, which knows a device called x."""
    async with open_stand(tmp_path) as made:
        await made.say("x", numbers(1, 2, step=10))
        yield made


async def calibrate(stand: Stand, scope: Scope, **body: Any) -> tuple[int, Any]:
    """Ask for a calibration of x; return status and answer."""
    async with stand.client(await stand.token(scope)) as client:
        answer = await client.put("/devices/x/calibration", json=body)
    stand.fold()
    return answer.status_code, answer.json()


async def test_a_calibration_is_shown_with_its_series(stand: Stand) -> None:
    """Values are calibrated from then on, none that is stored; an event says what was changed."""
    given = {"metric": "temperature", "offset": -0.5, "scale": 1.0, "low": -40.0, "high": None}
    given |= {"deadband": 0.0, "spacing": 0.0}
    assert await calibrate(stand, Scope.ADMIN, **given) == (200, given)
    await stand.say("x", numbers(20, 2))
    ((series,), (newest, *_)) = [
        (await stand.get(f"/devices/x/{what}")).json() for what in ("series", "newest")
    ]
    assert series["calibration"] == {key: given[key] for key in given if key != "metric"}
    assert (series["latest"], newest["values"]) == (2.0, [1.0, 19.5, 2.0])
    (event, *_) = (await stand.get("/events", device="x")).json()
    assert event["kind"] == "calibrated"
    assert event["text"] == "temperature: plus -0.5 °C, at least -40 °C"


async def test_who_may_not_and_what_can_not_be(stand: Stand) -> None:
    """Only who may change devices calibrates; what is wrong is named."""
    for scope in (Scope.READ, Scope.WRITE, Scope.CONTROL):
        assert (await calibrate(stand, scope, metric="temperature"))[0] == 403
    status, problem = await calibrate(stand, Scope.ADMIN, metric="temperature", scale=0)
    assert status == 400
    assert "scale of 0" in problem["detail"]
    status, problem = await calibrate(stand, Scope.ADMIN, metric="wind")
    assert status == 400
    assert "no numbers called 'wind'" in problem["detail"]
