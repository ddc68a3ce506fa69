"""Every dialect at once into one hub, and all of it read back; on both stores."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
import redis
from tests.harness import (
    PATIENCE,
    FreshHub,
    HubProcess,
    Settings,
    connect,
    openssl_send,
    recent,
    records,
)
from tests.servers import PostgresServer, RedisServer

LISTEN: Final = {"host": "127.0.0.1", "port": 0}


@pytest.fixture(params=["sqlite", "postgres"])
def hub(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HubProcess]:
    """A hub with all its listeners; beside SQLite with a Redis mirror."""
    settings: Settings = {
        "hub": {"admission": "open"},
        "web": LISTEN,
        "pimonitor": {"time_zone": "UTC"},
        "transport.dht_stream": LISTEN,
        "transport.json_socket": LISTEN,
    }
    if request.param == "sqlite":
        with FreshHub(tmp_path / "data", settings) as hub:
            yield hub
        return
    with PostgresServer() as server:
        store = {"store": {"type": "postgres", "url": server.new_database()}}
        with FreshHub(tmp_path / "data", {**settings, **store}) as hub:
            yield hub


def ask(
    hub: HubProcess, path: str, token: str, body: bytes | None = None, kind: str = ""
) -> tuple[int, bytes]:
    """Send a request with Python's own client; return status and answer."""
    port = hub.run_file["listeners"]["web"]["port"]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": kind or "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.status, answer.read()


def write_in_every_dialect(hub: HubProcess, token: str) -> None:
    """One temperature from each, of a device that is named after its dialect."""
    sent = openssl_send(hub.port, records(recent(1), 1), source="127.0.0.1", ca=hub.ca)
    assert sent.returncode == 0, sent.stderr
    assert hub.cli("certs", "client", "program").returncode == 0
    clients = hub.data / "certificates" / "clients"
    certificate = (clients / "program.crt", clients / "program.key")
    port = int(hub.run_file["listeners"]["json_socket"]["port"])
    with connect(port, hub.ca, certificate=certificate) as connection:
        connection.sendall(b'{"json": {"temperature": 2, "door": "open"}}')
    reading = {"device": "http", "metric": "temperature", "value": 3, "unit": "°C"}
    status, answer = ask(hub, "/api/v1/readings", token, json.dumps(reading).encode())
    assert (status, json.loads(answer)["stored"]) == (200, 1)
    points = b"temperature,device=influx value=4"
    assert ask(hub, "/write?db=lab", token, points, "text/plain")[0] == 204
    post = {
        "location": "pimonitor",
        "timestamp": datetime.now(UTC).strftime("%m/%d/%Y %H:%M:%S"),
        "sensors": [{"sensorType": "DHT22", "temperature": 41, "humidity": 50}],
    }
    status, answer = ask(hub, "/", "", json.dumps(post).encode())
    assert (status, b"Successfully received" in answer) == (200, True)


EXPECTED: Final = {
    "dht-127.0.0.1": 20.0,
    "json": 2.0,
    "http": 3.0,
    "influx": 4.0,
    "pimonitor": 5.0,
}


def test_one_hub_serves_them_all(hub: HubProcess) -> None:
    """What was written in each dialect is read back over HTTP and by command."""
    token = hub.cli("token", "create", "all", "--scope", "write,read").stdout.strip()
    write_in_every_dialect(hub, token)
    found: dict[str, Any] = {}
    for device in EXPECTED:
        hub.wait_until(lambda name=device: knows(hub, name), f"{device} is known")  # type: ignore[misc]
        path = f"/api/v1/readings?device={device}&metric=temperature&from=-1h"
        series = json.loads(ask(hub, path, token)[1])["series"]
        found[device] = series[0]["values"][0]
    assert found == pytest.approx(EXPECTED)
    rows = hub.json("readings", "json", "door", "--since", "1h")
    assert [row["value"] for row in rows] == ["open"]
    assert {row["name"] for row in hub.json("devices", "list")} == set(EXPECTED)
    assert hub.stop() == 0


def knows(hub: HubProcess, device: str) -> bool:
    return device in {row["name"] for row in hub.json("devices", "list")}


def test_they_all_reach_a_mirror(tmp_path: Path) -> None:
    """Programs that read the original's Redis find every device there."""
    with RedisServer() as server:
        settings: Settings = {
            "hub": {"admission": "open"},
            "web": LISTEN,
            "pimonitor": {"time_zone": "UTC"},
            "transport.json_socket": LISTEN,
        }
        hub = FreshHub(tmp_path / "data", settings)
        with hub.config.open("a") as file:
            file.write(f'[[mirror]]\ntype = "redis"\nurl = "{server.url}"\n')
        with hub:
            token = hub.cli("token", "create", "all", "--scope", "write").stdout.strip()
            write_in_every_dialect(hub, token)
            with server.connect() as client:
                for device, value in EXPECTED.items():
                    assert wait_for(client, device) == pytest.approx(value)
                assert client.hget("json", "door") == "open"


def wait_for(client: redis.Redis, device: str) -> float:
    """Return the temperature of a device once it is in Redis."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if (value := client.hget(device, "temperature")) is not None:
            return float(value)
        time.sleep(0.01)
    raise AssertionError(f"{device} does not come")
