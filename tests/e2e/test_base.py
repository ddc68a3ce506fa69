"""Base and dashboard: two processes that only HTTP and WebSocket join."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.base_stand import BaseProcess, Loop, base_settings, commanded
from tests.pusher_hub import PUSHER, PusherHub


@pytest.fixture
def loop() -> Iterator[Loop]:
    """Where the boards live."""
    with Loop() as made:
        yield made


def key_of(board: object) -> str:
    return f"{board.host}:{board.port}"  # type: ignore[attr-defined]


def test_colours_go_there_and_readings_come_back(tmp_path: Path, loop: Loop) -> None:
    """A command of the dashboard's API reaches the lamp, the reading of a unit its history."""
    lamp, reader = loop.lamp("127.0.8.1"), loop.reader("127.0.8.2", 20)
    remote = PUSHER | {"pusher": {"remote_units": [key_of(lamp)]}}
    units = {
        "unit": [
            {"address": lamp.host, "port": lamp.port, "kind": "updatable"},
            {"address": reader.host, "port": reader.port},
        ]
    }
    with PusherHub(tmp_path / "dashboard", remote) as dashboard:
        settings = base_settings(dashboard, dashboard.web_port, units)
        with BaseProcess(tmp_path / "base", settings) as base:
            base.wait_subscribed()
            control = dashboard.token("control", "control")
            commanded(dashboard, control, key_of(lamp), "#ff8800")
            assert loop.run(lamp.told(1)) == ["#ff8800"]
            dashboard.wait_stored(key_of(reader), "value", 20)
            assert base.counters["requests_taken"] == 1
            print(base.status())
            print(base.log)
            assert base.stop() == 0
