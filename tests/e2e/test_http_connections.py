"""What else a connection to the web port may do: pipelining, odd framing, silence, floods."""

from __future__ import annotations

import gzip
import itertools
import random
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import pytest
from tests.harness import PATIENCE, connect, memory
from tests.web_hub import WEB, WebHub

READING: Final = b'{"device": "d", "metric": "m", "value": 1}'


@pytest.fixture(scope="module", params=["off", "auto"])
def hub(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WebHub]:
    """A hub that speaks plain HTTP, and one with TLS."""
    settings = {"web": {**WEB["web"], "tls": request.param}}
    hub = WebHub(tmp_path_factory.mktemp("web") / "data", settings)
    hub.fresh = True
    with hub:
        yield hub


@pytest.fixture(scope="module")
def token(hub: WebHub) -> str:
    return hub.token("writer")


def dial(hub: WebHub) -> socket.socket | ssl.SSLSocket:
    if hub.run_file["listeners"]["web"]["tls"]:
        return connect(hub.web_port, hub.ca)
    return socket.create_connection(("127.0.0.1", hub.web_port), PATIENCE)


def answers(connection: socket.socket, count: int) -> list[tuple[int, bytes]]:
    """Read ``count`` answers: status and body of each."""
    found: list[tuple[int, bytes]] = []
    with connection.makefile("rb") as lines:
        for _ in range(count):
            status = lines.readline().split()
            assert status, f"only {len(found)} answers"
            length = 0
            while (line := lines.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            found.append((int(status[1]), lines.read(length)))
    return found


def post(token: str, *headers: str, body: bytes | None = None) -> bytes:
    body = READING if body is None else body
    lines = ["POST /api/v1/readings HTTP/1.1", "Host: h", f"Authorization: Bearer {token}"]
    lines += headers
    if "Transfer-Encoding: chunked" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(body: bytes) -> bytes:
    parts = [body[i : i + 9] for i in range(0, len(body), 9)]
    framed = b"".join(b"%x;e=1\r\n%b\r\n" % (len(part), part) for part in parts)
    return framed + b"0\r\nTrailer: GET / HTTP/1.1\r\n\r\n"


def requests(token: str) -> dict[str, tuple[bytes, int]]:
    """Return requests of every kind with the status that each gets."""
    long = b"[" + b",".join([READING] * 2000) + b"]"
    return {
        "fast": (post(token), 200),
        "keyed": (post(token, "Idempotency-Key: 1"), 200),
        "chunked": (post(token, "Transfer-Encoding: chunked", body=chunked(READING)), 200),
        "long": (post(token, body=long), 200),
        "bad": (post(token, body=b"GET / HTTP/1.1\r\n\r\n"), 400),
        "stranger": (post("wrong"), 401),
        "upgrading": (post(token, "Connection: Upgrade", "Upgrade: h2c"), 200),
        "get": (b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", 200),
        "none": (b"GET /none HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", 404),
    }


def test_pipelined_requests_of_every_kind_are_answered_in_order(hub: WebHub, token: str) -> None:
    """In one piece, in random pieces and byte by byte, whichever side of the server has them."""
    known = requests(token)
    choose = random.Random(1)
    names = [name for pair in itertools.permutations(known, 2) for name in pair]
    for start in range(0, len(names), 12):
        some = names[start : start + 12]
        data = b"".join(known[name][0] for name in some)
        with dial(hub) as connection:
            position = 0
            while position < len(data):
                size = len(data) if start % 24 else choose.randrange(1, 9000)
                connection.sendall(data[position : position + size])
                position += size
            got = [status for status, _ in answers(connection, len(some))]
        assert got == [known[name][1] for name in some], some


def test_requests_come_byte_by_byte(hub: WebHub, token: str) -> None:
    """The smallest pieces, over the seams from the front to the server behind it."""
    known = requests(token)
    some = ["fast", "chunked", "get", "keyed", "upgrading", "none"]
    with dial(hub) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"".join(known[name][0] for name in some):
            connection.sendall(bytes([byte]))
        got = [status for status, _ in answers(connection, len(some))]
    assert got == [known[name][1] for name in some]


@pytest.mark.parametrize("path", ["/api/v1/readings", "/none"])
@pytest.mark.parametrize(
    "rest",
    [b"0\r\n" + b"a: b\r\n" * 10_000, b"0\r\na: " + b"b" * 200_000, b"1;" + b"e" * 200_000],
    ids=["trailers", "a trailer", "an extension"],
)
def test_what_frames_a_body_is_bounded(hub: WebHub, token: str, path: str, rest: bytes) -> None:
    """Endless trailers and extensions end the connection."""
    lines = [f"POST {path} HTTP/1.1", "Host: h", "Transfer-Encoding: chunked"]
    head = "\r\n".join([*lines, f"Authorization: Bearer {token}", "", ""]).encode()
    with dial(hub) as connection, suppress(ConnectionError, ssl.SSLError):
        connection.sendall(head + rest)
        while connection.recv(65_536):
            pass


def test_a_client_that_reads_nothing_costs_little(hub: WebHub) -> None:
    """Thousands of pipelined requests wait in the client's kernel, not in the hub's memory."""
    before = memory(hub.pid)
    with dial(hub) as connection:
        connection.settimeout(2)
        sent = 0
        with suppress(TimeoutError):
            while sent < 60_000_000:
                sent += connection.send(b"GET /api/openapi.json HTTP/1.1\r\nHost: h\r\n\r\n" * 1000)
        assert sent < 60_000_000
        # Each answer is 30 kB: a thousand of them would be 30 MB.
        assert memory(hub.pid) - before < 25_000_000
        assert hub.curl("/healthz", *(["--cacert", str(hub.ca)]))[0] == 200


def test_a_packed_body_does_not_stop_the_hub(hub: WebHub, token: str) -> None:
    """While 8 MiB of broken lines are decoded, others are answered."""
    body = gzip.compress(b"x\n" * 4_000_000)
    ca = ("--cacert", str(hub.ca))
    with dial(hub) as connection:
        packed = ("Content-Encoding: gzip", "Content-Type: application/x-ndjson")
        connection.sendall(post(token, *packed, body=body))
        with dial(hub) as other:
            other.sendall(requests(token)["get"][0])
            assert answers(other, 1)[0][0] == 200
        assert answers(connection, 1)[0][0] == 400
    assert hub.curl("/healthz", *ca)[0] == 200
