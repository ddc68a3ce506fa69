"""Many bad tokens cost whoever shows them time, and nobody else anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness import OPEN
from tests.mqtt_hub import BROKER, MqttHub
from tests.web_hub import WEB, WebHub

from motehub.guessing import FREE
from motehub.web.attempts import ACCOUNT_SECONDS
from motehub.web.attempts import FREE as WRONG

READING = json.dumps({"device": "desk", "metric": "temperature", "value": 1}).encode()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[MqttHub]:
    """An open hub with a broker and a web port."""
    with MqttHub(tmp_path / "data", {**OPEN, **WEB, **BROKER}) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "options", "body"),
    [
        pytest.param("/api/v1/devices", (), None, id="the API"),
        pytest.param("/api/v1/readings", (), READING, id="readings"),
        pytest.param(
            "/api/v1/readings", ("-H", "Transfer-Encoding: chunked"), READING, id="piecemeal"
        ),
        pytest.param("/write", (), b"desk temperature=1", id="line protocol"),
        pytest.param("/metrics", (), None, id="metrics"),
    ],
)
def test_bad_tokens_are_told_to_wait(
    hub: MqttHub, path: str, options: tuple[str, ...], body: bytes | None
) -> None:
    """Beyond the first few the answer is 429 and says when; a good token has its answer at once."""
    good = hub.token("good", "admin")
    for _ in range(FREE):
        assert hub.curl(path, *options, body=body, token="mh_guessed")[0] == 401
    for _ in range(2):
        status = 401
        while status == 401:
            # Who is slow has had some forgotten.
            status, headers, answer = hub.curl(path, *options, body=body, token="mh_guessed")
        assert status == 429
        assert 1 <= int(headers["retry-after"]) <= 8
        assert json.loads(answer)["status"] == 429
        assert hub.curl(path, *options, body=body, token=good)[0] not in {401, 429}
    assert "many failed attempts" in hub.log


def test_bad_passwords_wait_at_the_broker(hub: MqttHub) -> None:
    """Each is refused as before, later and later; a good token is let in at once."""
    good = hub.token("good")

    def guess(version: str) -> None:
        done = hub.publish("readings/desk/light", "1", "-P", "guessed", "-u", "u", version=version)
        assert done.returncode != 0
        assert "not authori" in done.stderr.lower() or "bad user" in done.stderr.lower()

    for version in ("5", "311"):
        for _ in range(FREE // 2 + 1):
            guess(version)
        while version == "311" and "many failed attempts" not in hub.log:
            # Who is slow has had some forgotten.
            guess(version)
        done = hub.publish("readings/desk/light", "1", "-P", good, "-u", "u", version=version)
        assert done.returncode == 0, done.stderr


def test_behind_a_proxy_each_has_its_own_count(tmp_path: Path) -> None:
    """Who asks is who the trusted proxy has heard, on both ways in; over TLS if that says so."""
    settings = {**OPEN, "web": {**WEB["web"], "trusted_proxies": ["127.0.0.1"]}}
    with WebHub(tmp_path / "data", settings) as hub:
        guesser = ("-H", "X-Forwarded-For: 198.51.100.7, 203.0.113.1")
        other = ("-H", "X-Forwarded-For: 203.0.113.2")
        for _ in range(FREE):
            for path, body in (("/api/v1/devices", None), ("/api/v1/readings", READING)):
                hub.curl(path, *guesser, body=body, token="mh_guessed")
        for path, body in (("/api/v1/devices", None), ("/api/v1/readings", READING)):
            assert hub.curl(path, *guesser, body=body, token="mh_guessed")[0] == 429
            assert hub.curl(path, *other, body=body, token="mh_guessed")[0] == 401
            assert hub.curl(path, body=body, token="mh_guessed")[0] == 401
        assert "203.0.113.1" in hub.log
        assert hub.cli("user", "add", "marie", given="three damp seedlings").returncode == 0
        said = b'{"name": "marie", "password": "three damp seedlings"}'
        options = ("-H", "X-Forwarded-Proto: https", "-H", "Content-Type: application/json")
        status, headers, _ = hub.curl("/api/v1/session", *other, *options, body=said)
        assert status == 200
        assert "secure" in headers["set-cookie"]

        def guess(number: int, forwarded: str) -> int:
            body = json.dumps({"name": f"name{number}", "password": "guessed it, surely"}).encode()
            through = ("-H", f"X-Forwarded-For: {forwarded}")
            return hub.curl("/api/v1/session", *through, *options, body=body)[0]

        # To compare one takes a while, in which some are forgotten.
        found = [guess(number, f"192.0.2.{number}, 203.0.113.5") for number in range(5 * WRONG)]
        assert found[:WRONG] == [401] * WRONG
        assert 429 in found
        assert guess(0, "203.0.113.6") == 401
        assert hub.curl("/api/v1/session", *other, *options, body=said)[0] == 200


def test_passwords_are_not_guessed(tmp_path: Path) -> None:
    """After so many wrong ones even the right one has to wait, and the answer says how long."""
    with WebHub(tmp_path / "data", {**OPEN, **WEB}) as hub:
        for name in ("marie", "pierre"):
            assert hub.cli("user", "add", name, given="three damp seedlings").returncode == 0

        def log_in(name: str, password: str) -> tuple[int, dict[str, str], bytes]:
            said = json.dumps({"name": name, "password": password}).encode()
            kind = ("-H", "Content-Type: application/json")
            return hub.curl("/api/v1/session", *kind, body=said)

        for _ in range(WRONG):
            assert log_in("marie", "guessed it, surely")[0] == 401
        status, headers, _ = log_in("marie", "three damp seedlings")
        while status != 429:
            # Who is slow has had some forgotten.
            assert log_in("marie", "guessed it, surely")[0] in {401, 429}
            status, headers, _ = log_in("marie", "three damp seedlings")
        assert 1 <= int(headers["retry-after"]) <= ACCOUNT_SECONDS
        assert "many wrong passwords" in hub.log
        assert "three damp" not in hub.log
