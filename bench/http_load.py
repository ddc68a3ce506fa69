"""The load generator of HTTP: connections that post, each the next one after its answer.

Started as ``python -m bench.http_load ORDER``; it talks with the harness as ``bench.load`` does.
A request is made ready beforehand but for its time, which is different in each.
"""

from __future__ import annotations

import dataclasses
import json
import re
import select
import socket
import sys
import time
from typing import Final

from bench.records import FIRST_SECOND

CONNECTION: Final = "@CONNECTION@"
"""Stands in a body for the number of the connection."""

TIME: Final = "@TIME@"
"""Stands in a body for the time, as often as needed."""

US_TIME: Final = "%m/%d/%Y %H:%M:%S"

_NO_CONTENT: Final = b"HTTP/1.1 204"
_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_CLOSE: Final = re.compile(rb"connection: *close", re.IGNORECASE)
_ANSWER_SECONDS: Final = 60.0
_BOTH: Final = select.EPOLLIN | select.EPOLLOUT
_READ_BYTES: Final = 65_536


@dataclasses.dataclass(frozen=True)
class Order:
    """What to post: ``body`` to ``target``, with further ``headers`` (name: value).

    The time in a body is in seconds since 1970, cut to a multiple of ``span``: a body that has
    further digits of its own holds so many times. With ``us_time`` it is month, day, year and time
    of day. With ``shared`` all connections write the same series, each at times of its own.
    """

    port: int
    seconds: float
    connections: int
    target: str
    headers: dict[str, str]
    body: str
    us_time: bool = False
    shared: bool = False
    span: int = 1


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What was done: posts that were answered 2xx, all in time and later ones, and others.

    ``connects`` counts connections that were made; ``cpu`` is the generator's own in seconds.
    """

    accepted: int
    accepted_in_time: int
    refused: int
    failed: int
    connects: int
    seconds: float
    cpu: float
    first_refusal: str


class _Connection:
    """One client: posts, waits for the answer, posts again."""

    def __init__(self, order: Order, number: int) -> None:
        self._order = order
        body = order.body.replace(CONNECTION, str(number))
        self._parts = body.encode().split(TIME.encode())
        self._second = FIRST_SECOND // order.span + (number if order.shared else 0)
        self._step = order.connections if order.shared else 1
        length = len(self._body())
        headers = {"Host": "127.0.0.1", **order.headers, "Content-Length": str(length)}
        lines = [f"POST {order.target} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        self._head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self._rest = b""
        self._heard = b""
        self.accepted = self.refused = self.failed = self.connects = 0
        self.first_refusal = b""
        self.connect()

    def connect(self) -> None:
        """Make the connection, which may be one more."""
        self.socket = socket.create_connection(("127.0.0.1", self._order.port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.connects += 1

    def post(self) -> None:
        """Send the next post, as much of it as the kernel takes."""
        self._rest = self._head + self._body()
        self._heard = b""
        self._second += self._step
        self.write()

    @property
    def unsent(self) -> bool:
        """Whether a part of the post is still to be sent."""
        return bool(self._rest)

    def renew(self) -> None:
        """Close the connection and make another."""
        self.socket.close()
        self.connect()

    def write(self) -> bool:
        """Send what is left of the post; False when the kernel takes no more."""
        try:
            sent = self.socket.send(self._rest)
        except BlockingIOError:
            return False
        self._rest = self._rest[sent:]
        return not self._rest

    def read(self) -> bool:
        """Read the answer; True when it is complete, and the connection is ready for more.

        Raises:
            OSError: the server has ended the connection without an answer.
        """
        data = self.socket.recv(_READ_BYTES)
        if data.startswith(_NO_CONTENT) and data.endswith(b"\r\n\r\n") and b"lose" not in data:
            self.accepted += 1
            return True
        if not data:
            raise ConnectionResetError("the server has ended the connection")
        self._heard = self._heard + data if self._heard else data
        head, found, body = self._heard.partition(b"\r\n\r\n")
        if not found:
            return False
        length = _LENGTH.search(head)
        if length is not None and len(body) < int(length[1]):
            return False
        if head.startswith(b"HTTP/1.1 2"):
            self.accepted += 1
        else:
            self.refused += 1
            self.first_refusal = self.first_refusal or self._heard[:500]
        if _CLOSE.search(head):
            self.renew()
        return True

    def _body(self) -> bytes:
        if self._order.us_time:
            stamp = time.strftime(US_TIME, time.gmtime(self._second)).encode()
        else:
            stamp = b"%d" % self._second
        return stamp.join(self._parts)


def main() -> None:
    """Carry out the order on the command line."""
    order = Order(**json.loads(sys.argv[1]))
    connections = [_Connection(order, number) for number in range(order.connections)]
    print("ready", flush=True)
    sys.stdin.readline()
    began, cpu = time.monotonic(), time.process_time()
    in_time = _post(connections, began + order.seconds)
    cpu = time.process_time() - cpu
    refusals = [connection.first_refusal for connection in connections if connection.refused]
    outcome = Outcome(
        sum(connection.accepted for connection in connections),
        in_time,
        sum(connection.refused for connection in connections),
        sum(connection.failed for connection in connections),
        sum(connection.connects for connection in connections),
        order.seconds,
        cpu,
        refusals[0].decode("utf-8", "replace") if refusals else "",
    )
    print(json.dumps(dataclasses.asdict(outcome)), flush=True)


def _post(connections: list[_Connection], end: float) -> int:
    """Post until ``end``, then wait for the last answers; return what was accepted until then."""
    in_time: int | None = None
    by_file: dict[int, _Connection] = {}
    with select.epoll() as poll:

        def watch(connection: _Connection) -> None:
            by_file[connection.socket.fileno()] = connection
            connection.post()
            poll.register(connection.socket, _BOTH if connection.unsent else select.EPOLLIN)

        def answered(connection: _Connection, file: int) -> None:
            before = connection.socket
            try:
                if not connection.read():
                    return
            except OSError:
                connection.failed += 1
                connection.renew()
            if connection.socket is not before or not more:
                # One that was closed has left the poll by itself; its number may be back already.
                if connection.socket is before:
                    poll.unregister(file)
                del by_file[file]
                if more:
                    watch(connection)
                return
            connection.post()
            if connection.unsent:
                poll.modify(file, _BOTH)

        for connection in connections:
            watch(connection)
        while by_file and (now := time.monotonic()) < end + _ANSWER_SECONDS:
            more = now < end
            if not more and in_time is None:
                in_time = sum(connection.accepted for connection in connections)
            for file, events in poll.poll(max(0.01, end - now)):
                if events & select.EPOLLOUT and by_file[file].write():
                    poll.modify(file, select.EPOLLIN)
                if events & ~select.EPOLLOUT and file in by_file:
                    answered(by_file[file], file)
    return sum(connection.accepted for connection in connections) if in_time is None else in_time


if __name__ == "__main__":
    main()
