"""A hub with a web port, and curl as its client."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from tests.harness import PATIENCE, HubProcess, Settings

WEB: Settings = {
    "web": {"host": "127.0.0.1", "port": 0},
    "pimonitor": {"time_zone": "US/Eastern"},
}


class WebHub(HubProcess):
    """A hub with a web port, and tokens for it."""

    @property
    def web_port(self) -> int:
        return int(self.run_file["listeners"]["web"]["port"])

    @property
    def url(self) -> str:
        scheme = "https" if self.run_file["listeners"]["web"]["tls"] else "http"
        return f"{scheme}://127.0.0.1:{self.web_port}"

    def token(self, name: str, scope: str = "write", *options: str) -> str:
        done = self.cli("token", "create", name, "--scope", scope, *options)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def add_person(self, who: Mapping[str, str], role: str = "viewer", *options: str) -> None:
        """Let somebody log in, whose ``name`` and ``password`` are told."""
        given = who["password"]
        done = self.cli("user", "add", who["name"], "--role", role, *options, given=given)
        assert done.returncode == 0, done.stderr

    def curl(
        self, path: str, *options: str, body: bytes | None = None, token: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of what curl gets."""
        command = ["curl", "-sS", "--noproxy", "*", "-D", "-", *options, self.url + path]
        if token:
            command += ["-H", f"Authorization: Bearer {token}"]
        if body is not None:
            command += ["--data-binary", "@-"]
        done = subprocess.run(
            command, input=body, capture_output=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 100"):
            head, _, rest = rest.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return int(first.split()[1]), headers, rest

    def send(self, body: Any, *options: str, token: str) -> tuple[int, dict[str, Any]]:
        """Post readings with curl; return status and document."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, _, answer = self.curl("/api/v1/readings", *options, body=raw, token=token)
        document: dict[str, Any] = json.loads(answer)
        return status, document
