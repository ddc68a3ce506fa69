"""Many bad tokens cost whoever shows them time, and nobody else anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness import OPEN
from tests.mqtt_hub import BROKER, MqttHub
from tests.web_hub import WEB

from motehub.guessing import FREE

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
        status, headers, answer = hub.curl(path, *options, body=body, token="mh_guessed")
        assert status == 429
        assert 1 <= int(headers["retry-after"]) <= 8
        assert json.loads(answer)["status"] == 429
        assert hub.curl(path, *options, body=body, token=good)[0] not in {401, 429}
    assert hub.log.count("many failed attempts") == 1


def test_bad_passwords_wait_at_the_broker(hub: MqttHub) -> None:
    """Each is refused as before, later and later; a good token is let in at once."""
    good = hub.token("good")
    for version in ("5", "311"):
        for _ in range(FREE // 2 + 1):
            done = hub.publish(
                "readings/desk/light", "1", "-P", "guessed", "-u", "u", version=version
            )
            assert done.returncode != 0
            assert "not authori" in done.stderr.lower() or "bad user" in done.stderr.lower()
        done = hub.publish("readings/desk/light", "1", "-P", good, "-u", "u", version=version)
        assert done.returncode == 0, done.stderr
    assert hub.log.count("many failed attempts") == 1
