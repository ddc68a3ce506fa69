"""The load generator: long TLS connections that send records, all of them in one process.

Started as ``python -m bench.load ORDER`` with the order in JSON. It connects, prints a line,
waits for a line, sends, closes, and prints what it did in JSON (:class:`Outcome`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import selectors
import socket
import ssl
import sys
import time
from typing import Final

from bench.records import CHUNK_RECORDS, Chunks, client_context, device_address

_READY: Final = 200_000
"""Records of each connection that are encoded before the clock starts."""

_TICK: Final = 0.005
_TURN: Final = 4
_CLOSE_SECONDS: Final = 60.0
_SEND_BUFFER: Final = 64 * 1024


@dataclasses.dataclass(frozen=True)
class Order:
    """What to send, ``chunk`` records at a time.

    ``rate`` is in records per second over all connections, or None: unpaced.
    """

    port: int
    ca: str
    seconds: float
    connections: int = 50
    chunk: int = CHUNK_RECORDS
    rate: float | None = None
    newline: bool = False


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What was sent: records, the seconds it took, CPU seconds of the generator meanwhile."""

    records: int
    seconds: float
    cpu: float


class _Connection:
    """One device: its socket and the number of the chunk that it sends next."""

    def __init__(self, order: Order, context: ssl.SSLContext, number: int) -> None:
        plain = socket.create_connection(
            ("127.0.0.1", order.port), timeout=30, source_address=(device_address(number), 0)
        )
        # A small buffer keeps what waits in the kernel small: it would have to be read later.
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self.socket = context.wrap_socket(plain, server_hostname="127.0.0.1")
        self.socket.setblocking(False)
        self.sent = 0
        self._waiting = False

    def send(self, chunks: Chunks, upto: float) -> None:
        """Send chunks until ``upto`` of them are sent, a few, or the kernel takes no more."""
        for _ in range(_TURN):
            if self.sent >= upto:
                return
            try:
                self.socket.send(chunks[self.sent])
            except ssl.SSLWantWriteError:
                # OpenSSL has encrypted the chunk and wants the same one offered again.
                self._waiting = True
                return
            self._waiting = False
            self.sent += 1

    def close(self, chunks: Chunks) -> None:
        """Finish the chunk that is half sent, say goodbye and wait for the answer."""
        self.socket.settimeout(_CLOSE_SECONDS)
        if self._waiting:
            self.socket.sendall(chunks[self.sent])
            self.sent += 1
        with contextlib.suppress(OSError):
            self.socket.unwrap()
        self.socket.close()


def main() -> None:
    """Carry out the order on the command line."""
    order = Order(**json.loads(sys.argv[1]))
    context = client_context(order.ca)
    chunks = Chunks(order.chunk, _READY // order.chunk, newline=order.newline)
    connections = [_Connection(order, context, number) for number in range(order.connections)]
    print("ready", flush=True)
    sys.stdin.readline()
    began, cpu = time.monotonic(), time.process_time()
    if order.rate is None:
        _send_unpaced(connections, chunks, began + order.seconds)
    else:
        chunk_rate = order.rate / order.chunk / len(connections)
        _send_paced(connections, chunks, chunk_rate, began, order.seconds)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    for connection in connections:
        connection.close(chunks)
    records = sum(connection.sent for connection in connections) * order.chunk
    print(json.dumps(dataclasses.asdict(Outcome(records, seconds, cpu))), flush=True)


def _send_unpaced(connections: list[_Connection], chunks: Chunks, end: float) -> None:
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_WRITE, connection)
        while (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                key.data.send(chunks, float("inf"))


def _send_paced(
    connections: list[_Connection], chunks: Chunks, chunk_rate: float, began: float, seconds: float
) -> None:
    """Send in turn, each at ``chunk_rate`` a second; one that was held back catches up."""
    while (passed := time.monotonic() - began) < seconds:
        for number, connection in enumerate(connections):
            connection.send(chunks, passed * chunk_rate - number / len(connections))
        time.sleep(_TICK)


if __name__ == "__main__":
    main()
