"""What the API offers as a first program does what it says, over TLS too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness import stored
from tests.mqtt_hub import BROKER, MqttHub
from tests.snippet_runs import RUNNABLE, running
from tests.web_hub import WEB

from motehub.model import Samples
from motehub.protocols.dht_stream import DhtStreamDecoder


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MqttHub]:
    """A hub that shows its own certificate on the web port."""
    settings = {**WEB, **BROKER, "web": {**WEB["web"], "tls": "auto"}}
    with MqttHub(tmp_path_factory.mktemp("connect") / "data", settings) as started:
        yield started


def connecting(hub: MqttHub, token: str, query: str = "") -> tuple[int, dict[str, Any]]:
    options = ("--cacert", str(hub.ca))
    status, _, answer = hub.curl(f"/api/v1/connect{query}", *options, token=token)
    document: dict[str, Any] = json.loads(answer)
    return status, document


@pytest.mark.parametrize("way", RUNNABLE)
def test_first_programs_trust_the_hub(hub: MqttHub, tmp_path: Path, way: str) -> None:
    """Each finds the hub, verifies its certificate and has a reading stored or held."""
    status, found = connecting(hub, hub.token(f"ask {way}", "control"), f"?device={way}")
    assert status == 200
    (snippet,) = [one for one in found["snippets"] if one["id"] == way]
    code = snippet["code"]
    if way != "mosquitto_pub":
        assert found["ca"].splitlines()[1] in code or "a2b_base64" in code
    if snippet["needs_token"]:
        code = code.replace("PUT-THE-TOKEN-HERE", hub.token(way, "write", "--device", way))
        with running(way, code, tmp_path):
            hub.wait_until(lambda: (way, "temperature") in stored(hub.data), "it is stored")
        assert stored(hub.data)[(way, "temperature")][0][1] == 21.5
        return
    with running(way, code, tmp_path):
        pass

    def waiting() -> list[int]:
        rows = hub.json("devices", "list")
        return [row["waiting"] for row in rows if row["name"] == "dht-127.0.0.1"]

    hub.wait_until(lambda: waiting() == [2], "it waits")


def test_the_sketch_of_an_esp32_speaks_the_dialect(hub: MqttHub) -> None:
    """The format of the sketch's record is the one that the hub reads."""
    _, found = connecting(hub, hub.token("sketch", "control"))
    (sketch,) = [one["code"] for one in found["snippets"] if one["id"] == "esp32_records"]
    form = sketch.partition('hub.printf("')[2].partition('"')[0].replace("%ld", "%d")
    record = form % (1_790_000_000, 57.0, 24.1, 75.38)
    records = DhtStreamDecoder().feed(record.encode(), 1_790_000_000_000_000)
    values = {one.metric: one.values[0] for one in records if isinstance(one, Samples)}
    assert values == {"relative_humidity": 57.0, "temperature": 24.1}


def test_only_who_may_control_is_told(hub: MqttHub) -> None:
    """A reader, a token of one device and nobody at all are told nothing."""
    assert connecting(hub, hub.token("reader", "read"))[0] == 403
    assert connecting(hub, hub.token("bound", "control", "--device", "x"))[0] == 403
    assert connecting(hub, "")[0] == 401


def test_names_and_origins_that_cannot_be_are_refused(hub: MqttHub) -> None:
    """The answer says why."""
    token = hub.token("odd", "control")
    status, problem = connecting(hub, token, "?device=a/b")
    assert (status, "can't contain" in problem["detail"]) == (400, True)
    status, problem = connecting(hub, token, "?origin=javascript:alert(1)")
    assert (status, "http:// or https://" in problem["detail"]) == (400, True)
