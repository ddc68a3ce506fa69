"""The token of a base unit, made and tried as the pages in docs say: with curl and openssl."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest
from tests.web_hub import WEB, WebHub

SOCKET = "1234.5678"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebHub]:
    with WebHub(tmp_path_factory.mktemp("dashboard") / "data", WEB) as hub:
        yield hub


def authorised(hub: WebHub, token: str, channel: str) -> tuple[int, dict[str, str]]:
    """Ask for a channel as a base unit does."""
    form = ("-d", f"socket_id={SOCKET}", "-d", f"channel_name={channel}")
    status, _, answer = hub.curl("/api/broadcasting/auth", *form, token=token)
    found: dict[str, str] = json.loads(answer)
    return status, found


def test_it_writes_readings_and_hears_commands(hub: WebHub) -> None:
    """Both scopes are enough; the signature is that of the hub's application."""
    token = hub.token("base", "write,control")
    path = "/webhook/update-unit/192.168.1.31/512"
    assert hub.curl(path, "-X", "PUT", token=token)[0] == 204
    status, answer = authorised(hub, token, "private-requests")
    assert status == 200
    keys = json.loads(hub.cli("pusher", "show", "--json").stdout)
    command = ["openssl", "dgst", "-sha256", "-hmac", keys["secret"]]
    done = subprocess.run(
        command, input=f"{SOCKET}:private-requests".encode(), capture_output=True, check=True
    )
    assert answer["auth"] == f"{keys['key']}:{done.stdout.decode().split()[-1]}"


def test_who_lacks_a_scope_is_told_which(hub: WebHub) -> None:
    """For the channel as for readings, and for the hub's other channels."""
    writer, controller = hub.token("writer"), hub.token("controller", "control")
    bound = hub.token("bound", "write,control", "--device", "lamp")
    for token in (writer, bound):
        status, answer = authorised(hub, token, "private-requests")
        assert status == 403
        assert "takes one with the scope control, bound to no devices" in answer["error"]
    path = "/webhook/update-unit/192.168.1.31/512"
    status, _, body = hub.curl(path, "-X", "PUT", token=controller)
    assert (status, "no scope write" in json.loads(body)["detail"]) == (403, True)
    for channel, words in (
        ("private-device.x", "the scope read, for this device"),
        ("private-devices", "the scope read, bound to no devices"),
        ("private-chat", "the scope admin"),
    ):
        status, answer = authorised(hub, writer, channel)
        assert (status, words in answer["error"]) == (403, True)
