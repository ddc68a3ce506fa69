"""``motehub retention``."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from click.testing import CliRunner
from tests.unit.core.support import FakeClock, open_hub, temperature

from motehub.cli import app
from motehub.core.retention import Plan, Retention
from motehub.journals.sqlite import SqliteLogReader
from motehub.model import Delivery, Source
from motehub.storage import utc_microseconds

DAY = 86_400_000_000


def test_rules_are_set_and_shown_without_a_hub(tmp_path: Path) -> None:
    """They are there when the next one starts; what is wrong is said."""

    async def fill() -> None:
        clock = FakeClock()
        clock.now = utc_microseconds()
        async with open_hub(tmp_path, clock) as (hub, _):
            source = Source("test", "test:x", "x", "192.0.2.1")
            await hub.accept([Delivery(source, [temperature(1.0)])])

    asyncio.run(fill())

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["retention", *arguments, "--data", str(tmp_path)])
        return done.exit_code, f"{done.output}{done.exception or ''}"

    assert run("set", "x", "--raw", "30d")[0] == 0
    assert run("set", "x", "temperature", "--raw", "forever")[0] == 0
    status, text = run("show", "--format", "json")
    assert status == 0
    assert [(row["device"], row["metric"], row["raw"]) for row in json.loads(text)] == [
        (None, None, "90d"),
        ("x", None, "30d"),
        ("x", "temperature", "forever"),
    ]
    assert "no rule of its own" in run("set", "x")[1]
    assert "Set over" in run("set-all", "--raw", "60d", "--disk-budget", "10 GB")[1]
    shown = run("show")[1]
    assert "60d" in shown
    assert "10,000,000,000 bytes" in shown
    assert "by owner of the data folder at" in shown
    assert "raw 60d, disk_budget 10 GB" in shown
    status, text = run("set-all", "--disk-budget", "big")
    assert status == 1
    assert "big" in text
    assert "as the configuration says" in run("set-all")[1]
    assert "60d" not in run("show")[1]
    assert run("set", "y", "--raw", "1d")[0] == 1
    status, text = run("set", "x", "--raw", "soon")
    assert status == 1
    assert "soon" in text
    assert "is old by that" in run("confirm-clock")[1]
    reader = SqliteLogReader(tmp_path)
    confirmed = Retention.from_state(Plan(), reader.state()).clock_confirmed
    reader.close()
    assert confirmed is not None
    assert 0 <= utc_microseconds() - confirmed < 600_000_000


def test_what_goes_is_told_before_it_does(tmp_path: Path) -> None:
    """A choice that deletes something is asked about, unless --yes says that all is well."""

    async def fill() -> None:
        clock = FakeClock()
        clock.now = utc_microseconds() - 3 * DAY
        async with open_hub(tmp_path, clock) as (hub, _):
            source = Source("test", "test:x", "x", "192.0.2.1")
            await hub.accept([Delivery(source, [temperature(1.0, time=clock.now - 3 * DAY)])])

    asyncio.run(fill())

    def run(*arguments: str, given: str = "") -> tuple[int, str]:
        everything = ["retention", *arguments, "--data", str(tmp_path)]
        done = CliRunner().invoke(app, everything, input=given)
        return done.exit_code, f"{done.output}{done.exception or ''}"

    for given in ("n\n", ""):
        status, text = run("set", "x", "temperature", "--raw", "1d", given=given)
        assert status == 1
        assert "are deleted, about 1. Go on?" in text
    assert "1d" not in run("show")[1]
    assert run("set", "x", "temperature", "--raw", "1d", given="y\n")[0] == 0
    assert "1d" in run("show")[1]
    assert "Go on?" not in run("set", "x", "temperature")[1]
    assert "Go on?" not in run("set", "x", "--raw", "1d", "--yes")[1]
    assert "Go on?" not in run("set", "x", "--raw", "30d")[1]
    assert run("set", "x")[0] == 0
    status, text = run("set-all", "--raw", "1d", given="n\n")
    assert status == 1
    assert "are deleted, about 1. Go on?" in text
    assert "1d" not in run("show")[1]
    assert run("set-all", "--raw", "1d", given="y\n")[0] == 0
    assert "1d" in run("show")[1]
    assert run("set-all")[0] == 0
    assert run("set-all", "--raw", "2d", "--yes")[0] == 0
    status, text = run("set-all", "--raw", "2d", "--disk-budget", "1 kB", given="n\n")
    assert status == 1
    assert "bytes are too much. Go on?" in text
