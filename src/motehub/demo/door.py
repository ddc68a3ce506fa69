"""The link that signs its reader in at once: a page of the demonstration, not of the hub.

Browsers send a cookie to all ports of a host. So this port logs in as anybody would, with name
and password, hands the cookie on, and leads to the hub.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import secrets
from collections.abc import Mapping
from contextlib import closing, suppress
from email.message import Message
from http import HTTPStatus
from typing import Any, Final

_HEAD_BYTES: Final = 16_384
_SECONDS: Final = 10.0
_RANDOM_BYTES: Final = 12


class Account:
    """Somebody who may log in to the hub at ``port`` of 127.0.0.1. Its methods block."""

    def __init__(self, port: int, name: str, password: str) -> None:
        self.port = port
        self._body = json.dumps({"name": name, "password": password}).encode()

    def log_in(self) -> str:
        """Return the cookie that the hub sets, with what it says of it.

        Raises:
            OSError: the hub does not answer, or does not let this account in.
        """
        head, _ = self._ask("POST", "/api/v1/session", self._body, {})
        if (cookie := head.get("Set-Cookie")) is None:
            raise ConnectionRefusedError("the hub does not let its demonstration in")
        return cookie

    def get(self, path: str, cookie: str) -> Any:
        """Return the document at ``path`` of the API.

        Raises:
            OSError: the hub does not answer.
        """
        pair = cookie.partition(";")[0]
        return json.loads(self._ask("GET", f"/api/v1/{path}", None, {"Cookie": pair})[1])

    def describe(self, device: str, label: str, units: Mapping[str, str], cookie: str) -> None:
        """Say of a device what its owner would.

        Raises:
            OSError: the hub does not answer, or takes it ill.
        """
        headers = {
            "Cookie": cookie.partition(";")[0],
            "X-CSRF-Token": self.get("session", cookie)["csrf"],
        }
        body = json.dumps({"labels": [label], "units": units}).encode()
        self._ask("PATCH", f"/api/v1/devices/{device}", body, headers)

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[Message, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_SECONDS)
        headers = {"Content-Type": "application/json", **headers}
        with closing(connection):
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                content = answer.read()
            except http.client.HTTPException as error:
                raise ConnectionError(str(error)) from error
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise ConnectionRefusedError(f"{method} {path}: {answer.status} {content[:200]!r}")
        return answer.headers, content


class Door:
    """Listens on 127.0.0.1 within ``async with``; whoever follows ``link`` is ``account``."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._path = f"/{secrets.token_urlsafe(_RANDOM_BYTES)}"
        self._server: asyncio.Server | None = None
        self.link = ""

    async def __aenter__(self) -> Door:
        """Open the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_HEAD_BYTES)
        port = self._server.sockets[0].getsockname()[1]
        self.link = f"http://127.0.0.1:{port}{self._path}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._answer(head))
                await writer.drain()
        writer.close()

    async def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].decode("latin-1")
        if method != b"GET" or not secrets.compare_digest(path.encode(), self._path.encode()):
            return _response("404 Not Found", [], "There is nothing here.\n")
        try:
            cookie = await asyncio.to_thread(self._account.log_in)
        except OSError:
            return _response("503 Service Unavailable", [], "The hub does not answer.\n")
        location = f"http://127.0.0.1:{self._account.port}/"
        lines = [f"Location: {location}", f"Set-Cookie: {cookie}", "Referrer-Policy: no-referrer"]
        return _response("303 See Other", lines, "")


def _response(status: str, headers: list[str], body: str) -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        *headers,
        "Cache-Control: no-store",
        "Connection: close",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body.encode())}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
