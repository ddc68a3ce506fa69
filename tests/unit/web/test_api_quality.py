"""What is missing of a device's readings, over the API and on the command line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from tests.unit.core.support import START
from tests.unit.web.stand import SECOND, Stand, numbers, open_stand

from motehub.cli import app
from motehub.model import Scope


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    """A hub with a device that sends every minute, but left out some."""
    async with open_stand(tmp_path) as made:
        record = numbers(*[1.0] * 60, step=60)
        kept = [n for n in range(60) if n not in {20, 21, 22}]
        times = [record.times[n] for n in kept]
        lost = msgspec.structs.replace(
            record, times=record.times.__class__("q", times), values=record.values[: len(kept)]
        )
        await made.say("x", lost)
        yield made


async def test_what_is_missing_is_told_with_what_it_is_measured_by(stand: Stand) -> None:
    """The interval is the owner's where there is one, else an estimate that says so."""
    found = (await stand.get("/devices/x/quality")).json()
    assert (found["basis"], found["interval"], found["missing"]) == ("estimated", 60, 3)
    assert [day["date"] for day in found["days"]][-1] == "2023-11-14"
    assert len(found["days"]) == 7
    (gap,) = found["gaps"]
    assert (gap["missing"], gap["from"], gap["to"]) == (
        3,
        "2023-11-14T21:33:20Z",
        "2023-11-14T21:37:20Z",
    )
    await stand.hub.describe_device("x", (), 30.0, {})
    stand.fold()
    found = (await stand.get("/devices/x/quality", **{"from": "-1h"})).json()
    assert (found["basis"], found["interval"]) == ("given", 30)
    assert found["share"] < 50
    assert len(found["days"]) == 1


async def test_who_may_not_ask_and_for_what(stand: Stand) -> None:
    """A token of another device, an unknown device, too many days."""
    bound = await stand.token(Scope.READ, devices=("y",))
    assert (await stand.get("/devices/x/quality", bound)).status_code == 403
    assert (await stand.get("/devices/z/quality")).status_code == 404
    answer = await stand.get("/devices/x/quality", **{"from": "-2y"})
    assert (answer.status_code, "366 days" in answer.json()["detail"]) == (400, True)


async def test_the_command_on_readings_of_today(tmp_path: Path) -> None:
    """As a table with a sentence for people, and as JSON for programs."""
    import time

    async with open_stand(tmp_path) as stand:
        now = int(time.time()) * SECOND
        stand.clock.now = now
        record = numbers(*[1.0] * 30, step=60)
        shift = now - START
        times = record.times.__class__("q", [one + shift for one in record.times])
        await stand.say("x", msgspec.structs.replace(record, times=times))
    words = ["devices", "quality", "x", "--since", "1d", "--time-zone", "UTC"]
    done = CliRunner().invoke(app, [*words, "--data", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "temperature comes every 60 s: estimated" in done.output
    assert "100 % of" in done.output
    done = CliRunner().invoke(app, [*words, "--data", str(tmp_path), "--format", "json"])
    found = json.loads(done.output)
    assert (found["basis"], found["received"], found["missing"]) == ("estimated", 30, 0)
