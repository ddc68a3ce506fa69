"""One event of a program to many subscribers of a channel of Pusher Channels."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import resource
import selectors
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from bench.harness import Case, Sample, Settings
from bench.processes import ProcessFailed, cpu_seconds, memory
from bench.servers import Hub

SUBSCRIBERS: Final = (1_000, 5_000)
DELIVERIES: Final = 100_000
QUICK_DELIVERIES: Final = 10_000

_APP: Final = ("1001", "bench-key", "bench-secret")
_CHANNEL: Final = "news"
_DATA: Final = json.dumps({"text": "x" * 100})
_SECONDS: Final = 30.0
_SECTIONS: Final = f"""\
[web]
host = "127.0.0.1"
port = 0
tls = "off"
connections = 12000
connections_per_address = 12000
[[pusher.app]]
app_id = "{_APP[0]}"
key = "{_APP[1]}"
secret = "{_APP[2]}"
connections = 10000
"""
_UPGRADE: Final = (
    f"GET /app/{_APP[1]}?protocol=7&client=bench&version=1&flash=false HTTP/1.1\r\n"
    "Host: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()


def cases(settings: Settings) -> Sequence[Case]:
    """One event after the other; each is sent when the last has arrived everywhere."""
    return [
        Case(f"Pusher, one event to {count:,} subscribers", {"motehub": partial(_measure, count)})
        for count in SUBSCRIBERS
    ]


class _Crowd:
    """Subscribers on raw sockets; ``came`` gets the moment of each event that one has whole."""

    def __init__(self, port: int, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._sockets = [self._subscribed(port) for _ in range(count)]
        self.came: list[float] = []
        self.size = 0
        self._is_over = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hang up."""
        self._is_over = True
        self._thread.join()
        for one in self._sockets:
            one.close()

    def _subscribed(self, port: int) -> socket.socket:
        one = socket.create_connection(("127.0.0.1", port), timeout=_SECONDS)
        one.sendall(_UPGRADE)
        _until(one, b"connection_established")
        one.sendall(_masked({"event": "pusher:subscribe", "data": {"channel": _CHANNEL}}))
        _until(one, b"subscription_succeeded")
        one.setblocking(False)
        self._selector.register(one, selectors.EVENT_READ)
        return one

    def _listen(self) -> None:
        # All frames of a run are equally long; one that comes in two parts counts with the second.
        parts: dict[int, int] = {}
        while not self._is_over:
            for key, _ in self._selector.select(0.1):
                heard = key.fileobj.recv(65_536)  # type: ignore[union-attr]
                if not heard:
                    raise ProcessFailed("A subscriber was sent away.")
                self.size = self.size or 2 + (2 if heard[1] == 126 else 0) + _length(heard)
                whole, parts[key.fd] = divmod(parts.get(key.fd, 0) + len(heard), self.size)
                self.came += [time.perf_counter()] * whole


def _measure(count: int, settings: Settings) -> Sample:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    events = (QUICK_DELIVERIES if settings.quick else DELIVERIES) // count
    with settings.fresh_folder() as folder:
        hub = Hub(folder, settings.certificates, sections=_SECTIONS, listener="web")
        with hub:
            before = memory(hub.process_id)
            with _crowd(hub.port, count) as crowd:
                held = (memory(hub.process_id).pss - before.pss) / count
                connection = http.client.HTTPConnection("127.0.0.1", hub.port)
                _tell(connection, crowd, count)
                cpu, began = cpu_seconds(hub.process_id), time.perf_counter()
                times = [one for _ in range(events) for one in _tell(connection, crowd, count)]
                seconds = time.perf_counter() - began
                cpu = cpu_seconds(hub.process_id) - cpu
                connection.close()
    times.sort()
    return {
        "deliveries/s": len(times) / seconds,
        "p50, ms": 1e3 * times[len(times) // 2],
        "p99, ms": 1e3 * times[round(0.99 * (len(times) - 1))],
        "CPU µs per delivery": 1e6 * cpu / len(times),
        "PSS per connection, kB": held / 1e3,
        "connections per GB": 1e9 / held,
    }


@contextmanager
def _crowd(port: int, count: int) -> Iterator[_Crowd]:
    crowd = _Crowd(port, count)
    try:
        yield crowd
    finally:
        crowd.close()


def _tell(connection: http.client.HTTPConnection, crowd: _Crowd, count: int) -> list[float]:
    """Publish an event, and return for each subscriber the seconds until it had it."""
    crowd.came = []
    began = time.perf_counter()
    body = json.dumps({"name": "told", "channel": _CHANNEL, "data": _DATA})
    connection.request("POST", _signed(body), body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    response.read()
    if response.status != 200:
        raise ProcessFailed(f"The hub answers {response.status}.")
    while len(crowd.came) < count:
        if time.perf_counter() - began > _SECONDS:
            raise ProcessFailed(f"{len(crowd.came)} of {count} subscribers have the event.")
        time.sleep(0.0005)
    return [moment - began for moment in crowd.came]


def _signed(body: str) -> str:
    number, key, secret = _APP
    path = f"/apps/{number}/events"
    query = (
        f"auth_key={key}&auth_timestamp={int(time.time())}&auth_version=1.0"
        f"&body_md5={hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()}"
    )
    signature = hmac.digest(secret.encode(), f"POST\n{path}\n{query}".encode(), "sha256").hex()
    return f"{path}?{query}&auth_signature={signature}"


def _masked(message: object) -> bytes:
    text = json.dumps(message).encode()
    assert len(text) < 126
    return bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text


def _length(frame: bytes) -> int:
    return int.from_bytes(frame[2:4], "big") if frame[1] == 126 else frame[1]


def _until(one: socket.socket, text: bytes) -> None:
    heard = b""
    while text not in heard or not heard.endswith(b"}"):
        more = one.recv(4096)
        if not more:
            raise ProcessFailed(f"The hub has hung up: {heard[-200:]!r}")
        heard += more
