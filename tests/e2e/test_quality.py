"""The quality of data through a real hub: what is stuck, not valid, spared or lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.alert_hub import AlertHub
from tests.mail_server import MailServer, plain
from tests.web_hub import WEB, WebHub

RULES: list[dict[str, object]] = [
    {"name": "hangs", "metric": "temperature", "devices": ["loose"], "stuck": "10m"},
]


class Stand:
    """A hub that tells of sensors which are stuck, its mail server, and tokens."""

    def __init__(self, hub: AlertHub, server: MailServer) -> None:
        self.hub, self.server = hub, server
        self.token = hub.token("w")
        self.admin = hub.token("a", "admin")

    def ask(self, path: str) -> Any:
        return asked(self.hub, path, self.admin)


def asked(hub: WebHub, path: str, token: str) -> Any:
    status, _, answer = hub.curl(f"/api/v1{path}", token=token)
    assert status == 200, answer
    return json.loads(answer)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    data = tmp_path_factory.mktemp("quality") / "data"
    with MailServer() as server:
        hub = AlertHub(data, server, RULES, {**WEB, "alerts": {"rate": 3600}})
        with hub:
            yield Stand(hub, server)


def readings(device: str, *rows: tuple[float, float], metric: str = "temperature") -> list[Any]:
    """Return readings (seconds ago, value) as the API takes them."""
    now = time.time()
    return [
        {"device": device, "metric": metric, "value": value, "time": now - ago}
        for ago, value in rows
    ]


def test_a_sensor_that_is_stuck_is_told_of_and_so_is_its_end(stand: Stand) -> None:
    """It sends on, but always the same: a mail says so, and another one when it moves again."""
    rows = [(900 - n * 30, 21.5) for n in range(30)]
    assert stand.hub.send(readings("loose", *rows[:5]), token=stand.token)[0] == 200
    stand.hub.wait_stored("loose", "temperature", 5)
    assert stand.ask("/alerts?all=true") == []
    assert stand.hub.send(readings("loose", *rows[5:]), token=stand.token)[0] == 200

    def mails() -> list[str]:
        return [f"{one['Subject']} {plain(one)}" for one in list(stand.server.mails)]

    stand.hub.wait_until(lambda: any("hangs" in one for one in mails()), "a mail tells of it")
    (alert,) = stand.ask("/alerts")
    assert (alert["device"], alert["rule"], alert["ended"]) == ("loose", "hangs", None)
    assert "temperature" in alert["text"]
    told = len(mails())
    assert stand.hub.send(readings("loose", (0, 21.6)), token=stand.token)[0] == 200
    stand.hub.wait_until(lambda: stand.ask("/alerts") == [], "it is over")
    stand.hub.wait_until(lambda: len(mails()) > told, "a mail tells of its end")
    assert "loose" in mails()[-1]


def test_what_is_not_valid_is_rejected_with_its_reason(stand: Stand) -> None:
    """The sender hears it, the owner sees it with the device, and it is counted on its day."""
    hub = stand.hub
    assert hub.send(readings("pond", (60, 12.0)), token=stand.token)[0] == 200
    done = hub.cli("devices", "calibrate", "pond", "temperature", "--low", "-5", "--high", "40")
    assert done.returncode == 0, done.stderr
    status, answer = hub.send(readings("pond", (50, 85.0), (40, 12.5)), token=stand.token)
    reason = "temperature is above 40, the most that is valid"
    assert reason in json.dumps(answer), status
    hub.wait_stored("pond", "temperature", 2)
    refused = stand.ask("/rejected?device=pond")
    assert [one["reason"] for one in refused] == [reason]
    found = stand.ask("/devices/pond/quality")["arrived"]
    row = stand.ask("/devices/pond")
    for name in ("received", "stored", "duplicate", "rejected", "discarded"):
        assert found[name] == row[name]
    assert (row["stored"], row["rejected"]) == (2, 1)
    done = hub.cli("devices", "quality", "pond")
    assert done.returncode == 0, done.stderr
    assert "3 readings came in these days: 2 were stored, 0 were there already, 1 rejected" in (
        done.stdout
    )


def test_a_rule_about_what_nobody_knows_is_kept_with_a_hint(stand: Stand) -> None:
    """By command and over the API."""
    assert stand.hub.send(readings("attic", (5, 1.0)), token=stand.token)[0] == 200
    words = ("rules", "add", "typo", "--device", "attik", "--metric", "temperature", "--above", "1")
    done = stand.hub.cli(*words)
    assert done.returncode == 0, done.stderr
    assert "Did you mean 'attic'?" in done.stdout
    rule = {"name": "typo 2", "devices": ["attic"], "metric": "temprature", "above": 1}
    options = ["-X", "POST", "-H", "Content-Type: application/json"]
    raw = json.dumps(rule).encode()
    status, _, answer = stand.hub.curl("/api/v1/rules", *options, body=raw, token=stand.admin)
    assert status == 201
    assert json.loads(answer)["hint"].endswith("Did you mean 'temperature'?")


def test_a_hub_that_was_killed_knows_its_own_loss(tmp_path: Path) -> None:
    """Counts are neither lost nor doubled, the last value is still the last that came."""
    hub = WebHub(tmp_path / "data", {**WEB, "hub": {"admission": "open"}})
    with hub:
        token, admin = hub.token("w"), hub.token("a", "admin")
        rows = [(600 - n, 20.0 + n % 2 / 100) for n in range(500)]
        assert hub.send(readings("tank", *rows[:1]), token=token)[0] == 200
        done = hub.cli("devices", "calibrate", "tank", "temperature", "--deadband", "5")
        assert done.returncode == 0, done.stderr
        assert hub.send(readings("tank", *rows[1:]), token=token)[0] == 200
        doubled = readings("level", *[(600 - n, float(n)) for n in range(200)], metric="level")
        assert hub.send(doubled, token=token)[0] == 200
        hub.kill_writer()
        assert hub.send(doubled, token=token)[0] == 200
        hub.kill()
        hub.wait()
        # No hub is there now; what a command writes is none.
        killed = time.time()
        assert hub.cli("devices", "rename", "level", "level-2").returncode == 0
        report = json.loads(hub.cli("devices", "quality", "tank", "--format", "json").stdout)
        assert report["hub_down"] > 0
        hub.wait_until(lambda: time.time() > killed + 2, "some time has passed")
        hub.start()
        latest = asked(hub, "/overview", admin)
        by_name = {one["name"]: one["series"][0] for one in latest}
        assert by_name["tank"]["latest"] == rows[-1][1]
        found = asked(hub, "/devices/level-2/quality", admin)
        arrived = found["arrived"]
        assert (arrived["received"], arrived["stored"], arrived["duplicate"]) == (400, 200, 200)
        assert 2 <= found["hub_down"] < 600
