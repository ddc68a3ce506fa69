"""Webhooks of a real hub, at a real receiver, verified by the specification's own library."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook
from tests.ports import free_port
from tests.receivers import Received, Receiver
from tests.webhook_hub import SECRET, WebhookHub, verified

READING = {"device": "kitchen", "metric": "temperature", "value": 21.5, "unit": "°C"}


class Pair:
    """A hub, a receiver of everything and one that wants only presence and commands of lamps."""

    def __init__(self, hub: WebhookHub, all_: Receiver, lamps: Receiver) -> None:
        self.hub, self.all, self.lamps = hub, all_, lamps
        self.token = hub.token("writer")

    def wait_for(self, receiver: Receiver, kind: str) -> dict[str, Any]:
        """Return the data of the first message of a type, once it has come."""

        def of_kind() -> list[Received]:
            return [one for one in receiver.received if json.loads(one.body)["type"] == kind]

        self.hub.wait_until(lambda: bool(of_kind()), f"{kind} comes")
        said: dict[str, Any] = verified(of_kind()[0])
        return dict(said["data"])


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with Receiver() as all_, Receiver() as lamps:
        webhooks: dict[str, dict[str, object]] = {
            "all": {"url": f"{all_.url}/hooks?id=1", "interval": "50ms"},
            "lamps": {
                "url": lamps.url,
                "events": ["presence", "commands"],
                "devices": ["lamp*"],
            },
        }
        data = tmp_path_factory.mktemp("webhooks") / "data"
        with WebhookHub(data, webhooks) as hub:
            yield Pair(hub, all_, lamps)


def test_readings_are_told(pair: Pair) -> None:
    """Numbers and texts of accepted devices, with the headers that receivers expect."""
    text = {"device": "kitchen", "metric": "mode", "value": "on"}
    assert pair.hub.send([READING, text], token=pair.token)[0] == 200
    data = pair.wait_for(pair.all, "readings.stored")
    shown = [{key: one[key] for key in (*READING,)} for one in data["readings"][:2]]
    assert shown == [READING, {**text, "unit": ""}]
    assert data["readings"][0]["time"].endswith("Z")
    request = pair.all.received[0]
    assert (request.method, request.path) == ("POST", "/hooks?id=1")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"].startswith("msg_")


def test_commands_are_told_to_those_who_want_them(pair: Pair) -> None:
    """Each step of a command of a device whose name fits, and nothing else."""
    reading = {"device": "lamp-1", "metric": "on", "value": 0}
    assert pair.hub.send(reading, token=pair.token)[0] == 200
    control = pair.hub.token("control", "control")
    for device in ("kitchen", "lamp-1"):
        status, _, _ = pair.hub.curl(
            f"/api/v1/devices/{device}/commands",
            "-H",
            "Content-Type: application/json",
            body=b'{"payload":"red"}',
            token=control,
        )
        assert status == 202
    data = pair.wait_for(pair.lamps, "command.queued")
    assert (data["device"], data["payload"], data["state"]) == ("lamp-1", "red", "queued")
    assert {verified(one)["type"] for one in pair.lamps.received} == {"command.queued"}


def test_the_owner_sees_and_repeats(pair: Pair) -> None:
    """A test arrives, the log has it, and it can be sent again under the same id."""
    hub = pair.hub
    done = hub.cli("webhooks", "test", "all")
    assert done.returncode == 0, done.stderr
    assert "204" in done.stdout
    row = hub.json("webhooks", "log", "all")[0]
    assert (row["type"], row["status"], row["outcome"]) == ("webhook.test", 204, "delivered")
    assert hub.cli("webhooks", "resend", "all", row["message"]).returncode == 0

    def same() -> list[Received]:
        return [one for one in pair.all.received if one.headers["webhook-id"] == row["message"]]

    hub.wait_until(lambda: len(same()) == 2, "it comes again")
    assert same()[0].body == same()[1].body
    listed = hub.webhook("all")
    assert listed["address"] == pair.all.url
    assert listed["waiting"] == 0
    assert SECRET not in hub.cli("webhooks", "list", "--format", "json").stdout


def test_the_api_says_and_does_the_same(pair: Pair) -> None:
    """List, log, test and sending again, for the owner alone."""
    hub, admin = pair.hub, pair.hub.token("admin", "admin")

    def get(path: str, *options: str) -> tuple[int, Any]:
        status, _, body = hub.curl(f"/api/v1/webhooks{path}", *options, token=admin)
        return status, json.loads(body)

    assert {one["name"] for one in get("")[1]} == {"all", "lamps"}
    status, made = get("/all/test", "-X", "POST")
    assert status == 202
    hub.wait_until(
        lambda: get("/all/log?limit=1")[1][0]["message"] == made["message"], "the log has it"
    )
    assert get(f"/all/resend?message={made['message']}", "-X", "POST") == (202, {"count": 1})
    assert get("/nothing/log")[0] == 404
    assert get("/all/resend?message=none", "-X", "POST")[0] == 404
    assert hub.curl("/api/v1/webhooks", token=pair.token)[0] == 403


def test_mistakes_are_told(pair: Pair, tmp_path: Path) -> None:
    """An unknown name, a hub that does not run, and a secret that is none."""
    done = pair.hub.cli("webhooks", "test", "lamp")
    assert done.returncode == 1
    assert "Known: all, lamps" in done.stderr
    made = pair.hub.cli("webhooks", "secret").stdout.strip()
    config = tmp_path / "c.toml"
    config.write_text(f'[[webhook]]\nname = "a"\nurl = "https://x/"\nsecret = "{made}"\n')
    assert pair.hub.cli("check-config", "--config", str(config)).returncode == 0
    shown = pair.hub.cli("check-config", "--config", str(config)).stdout
    assert made not in shown
    config.write_text('[[webhook]]\nname = "a"\nurl = "https://x/"\nsecret = "hidden"\n')
    done = pair.hub.cli("check-config", "--config", str(config))
    assert done.returncode == 2
    assert "motehub webhooks secret" in done.stderr
    assert "hidden" not in done.stderr


def test_the_receiver_of_the_guide_works(tmp_path: Path) -> None:
    """It prints what the hub sends, and refuses what another secret has signed."""
    guide = Path(__file__).parents[2] / "docs" / "guides" / "webhooks.md"
    code = guide.read_text("utf-8").split("```python\n")[1].split("```")[0]
    port = free_port()
    hooks = {"guide": {"url": f"http://127.0.0.1:{port}/", "retries": ["100ms"] * 50}}
    output = tmp_path / "output"
    with WebhookHub(tmp_path / "data", hooks) as hub, output.open("wb") as file:
        command = [sys.executable, "-c", code, SECRET, str(port)]
        with subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL) as receiver:
            try:
                reading = {"device": "d", "metric": "m", "value": 1}
                assert hub.send(reading, token=hub.token("w"))[0] == 200
                hub.wait_until(lambda: b"readings.stored" in output.read_bytes(), "it prints")
                made = hub.cli("webhooks", "secret").stdout.strip()
                with pytest.raises(urllib.error.HTTPError, match="401"):
                    urllib.request.urlopen(forged(port, made), timeout=30)
            finally:
                receiver.kill()


def forged(port: int, secret: str) -> urllib.request.Request:
    """Return a message that another secret has signed."""
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", now, "{}"),
    }
    return urllib.request.Request(f"http://127.0.0.1:{port}/", b"{}", headers)
