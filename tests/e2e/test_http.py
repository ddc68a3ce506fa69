"""The web port of the running program, and clients that are not ours."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import influxdb
import pytest
import zstandard
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from tests.harness import PATIENCE, HubProcess, stored
from tests.web_hub import WEB, WebHub


def values(hub: HubProcess, device: str, metric: str) -> list[float]:
    """Return the stored values of a series, once everything is folded."""
    hub.wait_folded()
    return [value for _, value in stored(hub.data).get((device, metric), [])]


def reading(value: object, **more: object) -> dict[str, object]:
    return {"device": "greenhouse", "metric": "temperature", "value": value} | more


def test_readings_of_every_form_are_stored(tmp_path: Path) -> None:
    """An object, an array, lines; gzip and zstd; long, chunked and streamed bodies."""
    with WebHub(tmp_path / "hub", WEB) as hub:
        token = hub.token("writer")
        assert hub.send(reading(1), token=token) == (
            200,
            {"stored": 1, "rejected": 0, "errors": []},
        )
        assert (
            hub.send([reading(2), reading(3, time="2026-05-01T10:00:00Z")], token=token)[0] == 200
        )
        lines = b"".join(json.dumps(reading(n)).encode() + b"\n" for n in (4, 5))
        ndjson = ("-H", "Content-Type: application/x-ndjson")
        assert hub.send(lines, *ndjson, token=token)[1]["stored"] == 2
        packed = gzip.compress(json.dumps([reading(6)]).encode())
        assert hub.send(packed, "-H", "Content-Encoding: gzip", token=token)[0] == 200
        packed = zstandard.ZstdCompressor().compress(json.dumps([reading(7)]).encode())
        assert hub.send(packed, "-H", "Content-Encoding: zstd", token=token)[0] == 200
        chunked = ("-H", "Transfer-Encoding: chunked")
        assert hub.send([reading(8)], *chunked, token=token)[0] == 200
        many = [reading(100 + n, time=1_700_000_000 + n) for n in range(30_000)]
        assert hub.send(many, token=token)[1]["stored"] == 30_000
        stream = b"".join(json.dumps(one | {"device": "other"}).encode() + b"\n" for one in many)
        packed = gzip.compress(stream * 5)
        options = (*ndjson, *chunked, "-H", "Content-Encoding: gzip")
        assert hub.send(packed, *options, token=token)[1]["stored"] == 150_000
        found = values(hub, "greenhouse", "temperature")
        assert sorted(one for one in found if one < 100) == [1, 2, 3, 4, 5, 6, 7, 8]
        assert len(found) == 30_008
        assert len(values(hub, "other", "temperature")) == 30_000
        assert hub.device("other")["duplicate"] == 120_000


def test_what_can_not_be_stored_is_named(tmp_path: Path) -> None:
    """207 names the bad lines, 400 says that nothing was stored; the owner sees both."""
    with WebHub(tmp_path / "hub", WEB) as hub:
        token = hub.token("writer")
        body = [reading(1), reading(None), reading("open"), {"metric": "m", "value": 1}]
        status, document = hub.send(body, token=token)
        assert status == 207
        assert (document["stored"], document["rejected"]) == (2, 2)
        assert [error["line"] for error in document["errors"]] == [2, 4]
        status, document = hub.send(b"{not json", token=token)
        assert status == 400
        assert document["stored"] == 0
        assert "byte" in document["detail"]
        hub.wait_folded()
        assert len(hub.json("rejected")) == 3


def test_values_out_of_range_are_named_line_by_line(tmp_path: Path) -> None:
    """What the owner does not hold for valid is rejected by itself; the rest is calibrated."""
    with WebHub(tmp_path / "hub", WEB) as hub:
        token = hub.token("writer")
        hub.send(reading(1), token=token)
        done = hub.cli(
            *("devices", "calibrate", "greenhouse", "temperature"),
            *("--offset=0.5", "--low=-40", "--high=80"),
        )
        assert "temperature of greenhouse is taken from now on: plus 0.5, at least" in done.stdout
        body = [reading(one, time=1_700_000_000 + n) for n, one in enumerate((20, 85, 21, -127))]
        status, answer = hub.send(body, token=token)
        assert (status, answer["stored"], answer["rejected"]) == (207, 2, 2)
        assert [(one["line"], one["reason"]) for one in answer["errors"]] == [
            (2, "temperature is above 80, the most that is valid"),
            (4, "temperature is below -40, the least that is valid"),
        ]
        assert sorted(values(hub, "greenhouse", "temperature")) == [1, 20.5, 21.5]
        (row,) = [one for one in hub.json("rejected") if "above" in one["reason"]]
        assert row["payload"] == "temperature 85.0"


def test_the_token_decides_who_may_write_what(tmp_path: Path) -> None:
    """No token, a wrong, revoked or read-only one: refused; a bound one names its device."""
    with WebHub(tmp_path / "hub", WEB) as hub:
        writer = hub.token("writer")
        for wrong in ("", "mh_wrong", hub.token("reader", "read")):
            status, headers, _ = hub.curl("/api/v1/readings", body=b"{}", token=wrong)
            assert status == (403 if len(wrong) > 20 else 401)
            assert ("www-authenticate" in headers) == (status == 401)
        bound = hub.token("board", "write", "--device", "greenhouse")
        assert hub.send({"metric": "temperature", "value": 1}, token=bound)[0] == 200
        status, document = hub.send(reading(2, device="cellar"), token=bound)
        assert (status, document["stored"]) == (403, 0)
        assert hub.cli("devices", "rename", "greenhouse", "glasshouse").returncode == 0
        assert hub.send(reading(3), token=bound)[0] == 200
        assert hub.send({"metric": "temperature", "value": 4}, token=bound)[0] == 200
        assert values(hub, "glasshouse", "temperature") == [1, 3, 4]
        assert hub.cli("token", "revoke", "writer").returncode == 0
        assert hub.send(reading(1), token=writer)[0] == 401
        hub.cli("devices", "block", "glasshouse")
        status, document = hub.send(reading(5), token=bound)
        assert (status, document["errors"][0]["reason"]) == (400, "the device is blocked")


def test_a_key_makes_a_request_safe_to_send_again(tmp_path: Path) -> None:
    """Sent again after a kill -9 in between, it is answered the same and stored once."""
    hub = WebHub(tmp_path / "hub", WEB)
    with hub:
        token = hub.token("writer")
        key = ("-H", "Idempotency-Key: 8e03978e-40d5-43dd-bc93-6894a57f9324")
        body = [reading(1), reading(None)]
        first = hub.send(body, *key, token=token)
        assert first[0] == 207
        assert hub.send(body, *key, token=token) == first
        hub.kill()
        hub.start()
        assert hub.send(body, *key, token=token) == first
        assert hub.send([reading(2)], *key, token=token)[0] == 422
        assert values(hub, "greenhouse", "temperature") == [1]


def test_bodies_are_bounded(tmp_path: Path) -> None:
    """Too long, unpacking to too much, cut off, not what it says: 4xx, and the hub goes on."""
    settings = {"web": {**WEB["web"], "body_limit": "100 KiB"}}
    with WebHub(tmp_path / "hub", settings) as hub:
        token = hub.token("writer")
        assert hub.send(b"[" + b" " * 200_000 + b"]", token=token)[0] == 413
        chunked = ("-H", "Transfer-Encoding: chunked")
        assert hub.send(b"[" + b" " * 200_000 + b"]", *chunked, token=token)[0] == 413
        bomb = gzip.compress(b" " * 10_000_000)
        packed = ("-H", "Content-Encoding: gzip")
        assert hub.send(bomb, *packed, token=token)[0] == 413
        assert hub.send(bomb[:1000], *packed, token=token)[0] in {400, 413}
        assert hub.send(b"plain", *packed, token=token)[0] == 400
        assert hub.send(b"x", "-H", "Content-Encoding: br", token=token)[0] == 415
        with socket.create_connection(("127.0.0.1", hub.web_port), PATIENCE) as cut:
            cut.sendall(b"POST /api/v1/readings HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\n{")
        with socket.create_connection(("127.0.0.1", hub.web_port), PATIENCE) as odd:
            odd.sendall(b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 600_000)
            assert odd.recv(100).startswith(b"HTTP/1.1 431")
        assert hub.send(reading(1), token=token)[0] == 200
        assert values(hub, "greenhouse", "temperature") == [1]


def test_a_client_may_close_its_side_first(tmp_path: Path) -> None:
    """A half-closed connection still gets its answer."""
    with WebHub(tmp_path / "hub", WEB) as hub:
        token = hub.token("writer")
        body = json.dumps(reading(1)).encode()
        head = f"POST /api/v1/readings HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n"
        for connection in ("keep-alive", "close"):
            with socket.create_connection(("127.0.0.1", hub.web_port), PATIENCE) as client:
                more = f"Connection: {connection}\r\nContent-Length: {len(body)}\r\n\r\n"
                client.sendall((head + more).encode() + body)
                client.shutdown(socket.SHUT_WR)
                assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_full_journal_is_answered_with_503(tmp_path: Path) -> None:
    """While nothing can be stored, senders are told so at once; afterwards they may go on."""
    settings = {**WEB, "journal": {"size": "64 KiB"}}
    with WebHub(tmp_path / "hub", settings) as hub:
        token = hub.token("writer")
        os.kill(hub.writer_pid, signal.SIGSTOP)
        try:
            lines = [reading(n) for n in range(10_000)]
            assert hub.send(lines, token=token)[0] == 200
            # The one that finds the journal full has to wait; it is not answered yet.
            command = ["curl", "-sS", "--noproxy", "*", f"{hub.url}/api/v1/readings", "-d", "@-"]
            waiting = subprocess.Popen(
                [*command, "-H", f"Authorization: Bearer {token}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            assert waiting.stdin is not None
            waiting.stdin.write(json.dumps(reading(1)).encode())
            waiting.stdin.close()
            hub.wait_until(lambda: hub.status()["journal"]["held_back"] is not None, "it is full")
            status, headers, _ = hub.curl(
                "/api/v1/readings", body=json.dumps(reading(2)).encode(), token=token
            )
            assert (status, headers["retry-after"]) == (503, "5")
            status, headers, _ = hub.curl("/write", body=b"m value=1", token=token)
            assert (status, headers["retry-after"]) == (503, "5")
            assert hub.curl("/readyz")[0] == 503
        finally:
            os.kill(hub.writer_pid, signal.SIGCONT)
        assert waiting.stdout is not None
        assert json.loads(waiting.stdout.read())["stored"] == 1
        assert waiting.wait(PATIENCE) == 0
        waiting.stdout.close()
        assert hub.send(reading(3), token=token)[0] == 200
        assert len(values(hub, "greenhouse", "temperature")) == 10_002


def test_tls_with_the_hubs_own_certificate(tmp_path: Path) -> None:
    """With tls = "auto" curl checks the certificate against ca.crt; plain HTTP is refused."""
    settings = {"web": {**WEB["web"], "tls": "auto"}}
    with WebHub(tmp_path / "hub", settings) as hub:
        token = hub.token("writer")
        ca = ("--cacert", str(hub.ca))
        assert hub.send(reading(1), *ca, token=token)[0] == 200
        assert hub.curl("/healthz", *ca)[0] == 200
        plain = ["curl", "-sS", "--noproxy", "*", f"http://127.0.0.1:{hub.web_port}/healthz"]
        assert subprocess.run(plain, capture_output=True, check=False).returncode != 0


def pimonitor(hub: WebHub, document: object, *options: str) -> tuple[int, str]:
    """Post as the Raspberry Pi's program does; return status and text."""
    accept = ("-H", "Content-type: application/json", "-H", "Accept: text/plain")
    status, headers, text = hub.curl("/", *accept, *options, body=json.dumps(document).encode())
    assert headers["content-type"] == "text/plain; charset=utf-8"
    return status, text.decode()


def test_a_pimonitor_device_is_served_unchanged(tmp_path: Path) -> None:
    """With its key's hash its post is stored, in °C and UTC; the answer is the original's."""
    with WebHub(tmp_path / "hub", WEB) as hub:
        key = "key-of-the-owner"
        made = hub.cli("token", "create", "pis", "--existing-key", given=f"{key}\n")
        assert (made.returncode, made.stdout) == (0, "")
        local = datetime.now(ZoneInfo("US/Eastern")).replace(microsecond=0)
        stamp = local.strftime("%m/%d/%Y %H:%M:%S")
        post = {
            "api_hash": hashlib.sha256(key.encode()).hexdigest(),
            "location": "my-pimonitor",
            "timestamp": stamp,
            "sensors": [
                {"sensorType": "DHT22", "temperature": 71.96, "humidity": 40.5},
                {"sensorType": "DHT22", "temperature": 32, "humidity": 50},
            ],
        }
        expected = f"[{stamp}] Successfully received and inserted into database."
        assert pimonitor(hub, post) == (200, expected)
        assert values(hub, "my-pimonitor", "temperature") == [pytest.approx(22.2)]
        assert values(hub, "my-pimonitor", "temperature_2") == [0]
        ((moment, _),) = stored(hub.data)["my-pimonitor", "relative_humidity"]
        assert moment == round(local.timestamp() * 1_000_000)
        # The same post again is the same readings.
        assert pimonitor(hub, post)[0] == 200
        assert values(hub, "my-pimonitor", "temperature") == [pytest.approx(22.2)]
        wrong = post | {"api_hash": "0" * 64}
        status, text = pimonitor(hub, wrong)
        assert status == 401
        assert "api_hash" in text
        assert any("api_hash" in row["reason"] for row in hub.json("rejected"))


def test_an_older_pimonitor_device_waits_for_approval(tmp_path: Path) -> None:
    """Without a key its posts are held, even under the name of a device that has one."""
    with WebHub(tmp_path / "hub", WEB) as hub:
        stamp = datetime.now(ZoneInfo("US/Eastern")).strftime("%m/%d/%Y %H:%M:%S")
        sensors = [{"sensorType": "DHT22", "temperature": 71.96, "humidity": 40.5}]
        post = {"location": "shed", "timestamp": stamp, "sensors": sensors}
        status, text = pimonitor(hub, post)
        assert status == 202
        assert text.startswith(f"[{stamp}]")
        assert hub.cli("devices", "accept", "shed").returncode == 0
        assert values(hub, "shed", "temperature") == [pytest.approx(22.2)]
        assert pimonitor(hub, post)[0] == 200
        assert pimonitor(hub, post | {"timestamp": "soon"})[0] == 400
        status, headers, problem = hub.curl(
            "/", "-H", "Accept: application/problem+json", body=b"{}"
        )
        assert (status, headers["content-type"]) == (400, "application/problem+json")
        assert json.loads(problem)["status"] == 400


def test_the_client_of_influxdb_1_writes_unchanged(tmp_path: Path) -> None:
    """Points, precision, an error that the client understands; the token is the password."""
    with WebHub(tmp_path / "hub", WEB) as hub:
        token = hub.token("influx")
        client = influxdb.InfluxDBClient(
            "127.0.0.1", hub.web_port, "anybody", token, "lab", retries=1
        )
        assert client.ping()
        client.create_database("lab")
        point = {
            "measurement": "weather",
            "tags": {"device": "roof", "side": "north"},
            "time": 1_700_000_000,
            "fields": {"temperature": 21.5, "count": 3, "open": True, "note": 'a "b" c'},
        }
        assert client.write_points([point], time_precision="s")
        with pytest.raises(influxdb.exceptions.InfluxDBClientError) as caught:
            client.write("weather temperature=", params={"db": "lab"}, protocol="line")
        assert caught.value.code == 400
        client.close()
        found = values(hub, "roof", "weather_temperature,side=north")
        assert found == [21.5]
        assert stored(hub.data)["roof", "weather_open,side=north"] == [(1_700_000_000_000_000, 1)]
        refused = influxdb.InfluxDBClient("127.0.0.1", hub.web_port, "a", "wrong", "lab", retries=1)
        with pytest.raises(influxdb.exceptions.InfluxDBClientError) as caught:
            refused.write_points([point])
        assert caught.value.code == 401
        refused.close()


def test_the_client_of_influxdb_2_writes_unchanged(tmp_path: Path) -> None:
    """Gzip on, the bucket is the device of points that name none."""
    with WebHub(tmp_path / "hub", WEB) as hub:
        token = hub.token("influx")
        with InfluxDBClient(hub.url, token=token, org="home", enable_gzip=True) as client:
            assert client.ping()
            point = {"measurement": "temperature", "fields": {"value": 21.5}, "time": 1_700_000_000}
            writer = client.write_api(write_options=SYNCHRONOUS)
            writer.write("kitchen", record=[point], write_precision="s")
            with pytest.raises(ApiException) as caught:
                writer.write("kitchen", record="temperature value=")
            assert caught.value.status == 400
            assert json.loads(caught.value.body)["code"] == "invalid"
        assert values(hub, "kitchen", "temperature") == [21.5]


def test_metrics_are_for_those_who_may_read(tmp_path: Path) -> None:
    """Prometheus gets numbers with a token, nothing without one."""
    with WebHub(tmp_path / "hub", WEB) as hub:
        assert hub.curl("/metrics")[0] == 401
        status, headers, text = hub.curl("/metrics", token=hub.token("prometheus", "read"))
        assert (status, headers["content-type"].split(";")[0]) == (200, "text/plain")
        assert b'motehub_consumer_behind_frames{consumer="history"} ' in text
        assert re.search(rb"motehub_journal_commits_total [1-9]", text)
