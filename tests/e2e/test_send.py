"""Commands to the devices of the running program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness import OPEN
from tests.web_hub import WEB, WebHub


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[WebHub]:
    """A hub that knows a device called lamp, which nothing can reach."""
    with WebHub(tmp_path / "data", {**OPEN, **WEB}) as running:
        token = running.token("lamp", "write")
        assert running.send({"device": "lamp", "metric": "led", "value": 0}, token=token)[0] == 200
        yield running


def test_a_command_that_nobody_takes_expires(hub: WebHub) -> None:
    """The command line waits until the command's time is over, and exits 1 with the reason."""
    done = hub.cli("send", "lamp", "red", "--timeout", "1s", "--wait")
    assert done.returncode == 1, done.stderr
    assert done.stdout.endswith("expired, the device could not be reached in time\n")
    texts = [row["text"] for row in hub.json("events", "lamp") if row["kind"] == "command"]
    assert texts[1] == "payload 'red': queued"
    assert texts[0].startswith("payload 'red': expired")


def test_a_command_survives_a_power_cut(hub: WebHub) -> None:
    """What was answered 202 is queued after kill -9 and a start, and expires in its time."""
    token = hub.token("phone", "control")
    status, _, body = hub.curl(
        "/api/v1/devices/lamp/commands",
        *("-H", "Content-Type: application/json"),
        body=b'{"name": "led", "value": 1, "timeout": 3600}',
        token=token,
    )
    assert status == 202, body
    command = json.loads(body)
    assert command["state"] == "queued"
    hub.kill()
    hub.start()
    assert _found(hub, command["id"], token) == command
    assert hub.cli("devices", "block", "lamp").returncode == 0
    assert _found(hub, command["id"], token)["state"] == "failed"


def test_without_a_running_hub(hub: WebHub) -> None:
    """A command is refused while no hub runs, since its time would pass unused."""
    assert hub.stop() == 0
    done = hub.cli("send", "lamp", "red")
    assert done.returncode == 1
    assert "No hub runs on" in done.stderr


def _found(hub: WebHub, id_: str, token: str) -> dict[str, Any]:
    status, _, body = hub.curl(f"/api/v1/commands/{id_}", token=token)
    assert status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found
