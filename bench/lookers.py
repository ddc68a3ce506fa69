"""Open dashboards: connections that follow the hub's stream and throw away what comes.

Started as ``python -m bench.lookers ORDER``; it talks with the harness as ``bench.load`` does, and
reads until the next line on standard input.
"""

from __future__ import annotations

import dataclasses
import json
import select
import socket
import sys
import time
from typing import Final

_READ_BYTES: Final = 1 << 18
_ID: Final = b"\nid: "


@dataclasses.dataclass(frozen=True)
class Order:
    """How many look on, at the hub on ``port``, with a ``token`` that may read."""

    port: int
    token: str
    count: int


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came: bytes and pieces of news of all together, and the CPU seconds that took here."""

    bytes: int
    news: int
    lost: int
    seconds: float
    cpu: float


def main() -> None:
    """Carry out the order on the command line."""
    order = Order(**json.loads(sys.argv[1]))
    sockets = [_open(order) for _ in range(order.count)]
    print("ready", flush=True)
    sys.stdin.readline()
    # What came until now is not counted, but read.
    for one in sockets:
        one.setblocking(False)
    outcome = _read(sockets)
    print(json.dumps(dataclasses.asdict(outcome)), flush=True)


def _open(order: Order) -> socket.socket:
    one = socket.create_connection(("127.0.0.1", order.port), timeout=30)
    one.sendall(
        f"GET /api/v1/stream HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {order.token}\r\n"
        "Accept: text/event-stream\r\n\r\n".encode()
    )
    heard = b""
    while b"event: hello" not in heard:
        more = one.recv(4096)
        if not more or b" 200 " not in (heard + more)[:20]:
            raise SystemExit(f"The hub does not let a dashboard look on: {(heard + more)[:300]!r}")
        heard += more
    return one


def _read(sockets: list[socket.socket]) -> Outcome:
    by_file = {one.fileno(): one for one in sockets}
    size = news = lost = 0
    began, cpu = time.monotonic(), time.process_time()
    with select.epoll() as poll:
        poll.register(sys.stdin.fileno(), select.EPOLLIN)
        for file in by_file:
            poll.register(file, select.EPOLLIN)
        while True:
            for file, _ in poll.poll():
                if file not in by_file:
                    sys.stdin.readline()
                    spent = time.process_time() - cpu
                    return Outcome(size, news, lost, time.monotonic() - began, spent)
                data = by_file[file].recv(_READ_BYTES)
                if not data:
                    raise SystemExit("The hub has closed a stream.")
                size += len(data)
                news += data.count(_ID)
                lost += data.count(b"event: missed")


if __name__ == "__main__":
    main()
