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


def test_rules_are_set_and_shown_without_a_hub(tmp_path: Path) -> None:
    """They are there when the next one starts; what is wrong is said."""

    async def fill() -> None:
        clock = FakeClock()
        # What waits for the history must not be old, or the journal takes nothing more.
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
