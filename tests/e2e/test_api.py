"""The API of the running program: over HTTP, as its own OpenAPI document describes it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from schemathesis.core.result import Ok
from schemathesis.openapi.checks import IgnoredAuth
from schemathesis.specs.openapi import checks as openapi_checks
from tests.harness import OPEN, PATIENCE, FreshHub, HubProcess, memory

WEB: Final = {"web": {"host": "127.0.0.1", "port": 0, "tls": "off"}}

EXAMPLES: Final = 12
"""Requests for each operation: enough to try every parameter, few enough for every test run."""

ENDLESS: Final = frozenset({"/api/v1/stream"})
"""Routes whose answer has no end; tests/e2e/test_stream.py is about them."""


def auth_is_needed(ctx: Any, response: Any, case: Any) -> bool | None:
    """Check that nobody is served without a token: 429 is as good as 401."""
    try:
        return openapi_checks.ignored_auth(ctx, response, case)
    except IgnoredAuth as error:
        if "got `429 " not in str(error):
            raise
        return None


CHECKS: Final = [
    schemathesis.checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.unsupported_method,
    auth_is_needed,
]


class Api:
    """A running hub and tokens for it."""

    def __init__(self, hub: HubProcess) -> None:
        self.hub = hub
        self.base = f"http://127.0.0.1:{hub.run_file['listeners']['web']['port']}"
        self.owner = self.token("owner", "admin")
        self.client = httpx.Client(
            base_url=f"{self.base}/api/v1", headers=self.headers, timeout=30, trust_env=False
        )

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.owner}"}

    def token(self, name: str, scopes: str) -> str:
        done = self.hub.cli("token", "create", name, "--scope", scopes)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def send(self, *readings: dict[str, Any]) -> None:
        answer = self.client.post("/readings", json=list(readings))
        assert answer.status_code == 200, answer.text

    def send_many(self, readings: list[dict[str, Any]]) -> None:
        for start in range(0, len(readings), 10_000):
            self.send(*readings[start : start + 10_000])


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A hub that accepts every device at once, with its web port open."""
    folder = tmp_path_factory.mktemp("api") / "data"
    with FreshHub(folder, {**OPEN, **WEB}) as hub:
        made = Api(hub)
        yield made
        made.client.close()


def readings_of(device: str, count: int, metric: str = "temperature") -> list[dict[str, Any]]:
    """Return ``count`` readings, one a second, that end now."""
    first = int(time.time()) - count
    return [
        {
            "device": device,
            "metric": metric,
            "value": 20 + number % 10,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(first + number)),
        }
        for number in range(count)
    ]


def test_what_was_acknowledged_is_read(api: Api) -> None:
    """Each reading is in the answer to a request that follows its acknowledgement."""
    for number in range(20):
        api.send({"device": "echo", "metric": "count", "value": number})
        answer = api.client.get("/readings", params={"device": "echo"}).json()
        assert answer["complete"] is True
        assert answer["series"][0]["values"] == [float(n) for n in range(number + 1)]


def test_curl_reads_csv(api: Api) -> None:
    """The example of the documentation works: curl writes a CSV file."""
    api.send(*readings_of("curled", 5))
    done = subprocess.run(
        [
            *("curl", "-sS", "-G", "-H", f"Authorization: Bearer {api.owner}"),
            *("--data-urlencode", "device=curled", "-d", "format=csv"),
            f"{api.base}/api/v1/readings",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "time,device,metric,value,unit"
    assert [line.split(",")[3] for line in lines[1:]] == ["20.0", "21.0", "22.0", "23.0", "24.0"]


def test_a_large_answer_comes_whole(api: Api) -> None:
    """Fifty thousand readings come in one answer over a real connection."""
    api.send_many(readings_of("large", 50_000))
    answer = api.client.get("/readings", params={"device": "large", "limit": 100_000}).json()
    assert len(answer["series"][0]["values"]) == 50_000


def test_a_client_that_reads_slowly(api: Api) -> None:
    """A client that takes nothing for a while has its answer whole, and holds up nobody."""
    api.send_many(readings_of("slow", 100_000))
    request = "GET /api/v1/readings?device=slow&from=-48h&limit=100000&format=csv HTTP/1.1"
    head = f"{request}\r\nHost: hub\r\nAuthorization: Bearer {api.owner}\r\nConnection: close\r\n"
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(PATIENCE)
        slow.connect(("127.0.0.1", httpx.URL(api.base).port))
        slow.sendall(f"{head}\r\n".encode())
        answer = bytearray(slow.recv(1000))
        before = memory(api.hub.pid)
        for _ in range(20):
            answered = api.client.get("/readings", params={"device": "slow", "points": 100})
            assert len(answered.json()["series"][0]["times"]) > 0
        grown = memory(api.hub.pid) - before
        while data := slow.recv(1 << 20):
            answer += data
    assert grown < 3_000_000
    assert bytes(answer).count(b"temperature") == 100_000
    assert answer.endswith(b"0\r\n\r\n")


def test_the_query_process_is_replaced_when_it_dies(api: Api) -> None:
    """A query process that was killed is replaced, and the hub goes on."""
    api.client.get("/devices").raise_for_status()
    (reader,) = _readers(api.hub.data)
    os.kill(reader, signal.SIGKILL)
    api.client.get("/devices").raise_for_status()


def test_the_hub_takes_its_query_process_with_it(tmp_path: Path) -> None:
    """A hub that is stopped, or killed, leaves no query process behind."""
    with FreshHub(tmp_path / "data", {**OPEN, **WEB}) as hub:
        made = Api(hub)
        made.client.get("/devices").raise_for_status()
        made.client.close()
        assert hub.stop() == 0
        assert not _readers(hub.data)
        hub.start()
        again = httpx.get(
            f"http://127.0.0.1:{hub.run_file['listeners']['web']['port']}/api/v1/devices",
            headers=made.headers,
            trust_env=False,
        )
        again.raise_for_status()
        assert _readers(hub.data)
        hub.kill()
        hub.wait_until(lambda: not _readers(hub.data), "the query process has ended")


def test_a_page_starts_the_query_process(tmp_path: Path) -> None:
    """It is on its way when the scripts of a page ask; a page for nobody starts nothing."""
    with FreshHub(tmp_path / "data", {**OPEN, **WEB}) as hub:
        word = "three damp seedlings"
        assert hub.cli("user", "add", "marie", "--role", "viewer", given=word).returncode == 0
        url = f"http://127.0.0.1:{hub.run_file['listeners']['web']['port']}"
        with httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False) as browser:
            browser.get("/history").raise_for_status()
            login = {"name": "marie", "password": word}
            browser.post("/api/v1/session", json=login).raise_for_status()
            assert not _readers(hub.data)
            browser.get("/history").raise_for_status()
            hub.wait_until(lambda: bool(_readers(hub.data)), "the query process runs")


def test_the_document_describes_the_api(api: Api) -> None:
    """Every route answers as the OpenAPI document says, whatever is sent to it."""
    api.send(*readings_of("known", 10), {"device": "known", "metric": "state", "value": "on"})
    schema = schemathesis.openapi.from_url(f"{api.base}/api/openapi.json")
    tried = []
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        tried.append(f"{operation.method.upper()} {operation.path}")
        if operation.path in ENDLESS:
            continue

        @given(case=operation.as_strategy())
        @settings(
            derandomize=True,
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            verbosity=Verbosity.quiet,
            suppress_health_check=list(HealthCheck),
        )
        def answers_as_described(case: Any) -> None:
            case.call_and_validate(headers=api.headers, checks=CHECKS)

        answers_as_described()
    described = httpx.get(f"{api.base}/api/openapi.json", trust_env=False).json()["paths"]
    assert len(tried) == sum(len(operations) for operations in described.values()), tried
    assert "GET /api/v1/readings" in tried


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/devices", {}),
        ("/devices/known", {}),
        ("/devices/known/series", {}),
        ("/readings", {"device": "known"}),
        ("/readings", {"device": "known", "points": 5}),
        ("/readings", {"device": "known", "format": "csv"}),
        ("/readings", {"device": "known", "limit": 2}),
        ("/events", {}),
        ("/rejected", {}),
        ("/health", {}),
        ("/tokens", {}),
    ],
)
def test_good_answers_are_as_described(api: Api, path: str, params: dict[str, str]) -> None:
    """Answers that hold something have the shape that the document gives them."""
    api.send(*readings_of("known", 10), {"device": "known", "metric": "state", "value": "on"})
    api.client.post("/readings", json={"device": "known", "metric": "state", "value": None})
    schema = schemathesis.openapi.from_url(f"{api.base}/api/openapi.json")
    route = f"/api/v1{path.replace('known', '{name}')}"
    answer = api.client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    schema[route]["GET"].validate_response(answer)


def test_every_route_of_the_document_is_explained(api: Api) -> None:
    """docs/api.md names every route that the OpenAPI document has."""
    document = json.loads(httpx.get(f"{api.base}/api/openapi.json", trust_env=False).content)
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")
    for path, operations in document["paths"].items():
        for method in operations:
            route = f"{method.upper()} {path.removeprefix('/api/v1')}"
            assert f"`{route}" in text, f"{route} is not in docs/api.md"


def _readers(data: Path) -> list[int]:
    """Return the ids of the query processes of a hub."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            command = process.cmdline()
            if "motehub.reader" in command and str(data) in command:
                found.append(process.pid)
    return found
