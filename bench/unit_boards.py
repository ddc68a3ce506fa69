"""The boards of the bench: a thousand units that listen, all of them in one process.

Started as ``python -m bench.unit_boards ORDER`` with the order in JSON. It listens, prints a
line, waits for a line, waits until every board has its connection, sends, and prints what it did
in JSON (:class:`Outcome`). Then it keeps the connections until it is killed.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import selectors
import socket
import sys
import time
from ipaddress import IPv4Address
from typing import Final

FIRST: Final = "127.20.0.1"
"""Address of the first board; the others follow."""

_BACKLOG: Final = 5
_CONNECT_SECONDS: Final = 60.0
_TICK: Final = 0.002
_KNOWN: Final = 1024


@dataclasses.dataclass(frozen=True)
class Order:
    """What to send: ``rate`` lines a second from each board, each on its own, spread evenly."""

    port: int
    boards: int
    rate: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What was sent, the seconds it took, the CPU of the boards, boards that were held back.

    ``connected`` is how long it took until all had their connections.
    """

    readings: int
    seconds: float
    cpu: float
    held_back: int
    connected: float


def address_of(board: int) -> str:
    """Return where a board listens."""
    return str(IPv4Address(FIRST) + board)


def main() -> None:
    """Carry out the order on the command line."""
    order = Order(**json.loads(sys.argv[1]))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listeners = [_listen(address_of(board), order.port) for board in range(order.boards)]
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    connections = _accept(listeners)
    connected = time.monotonic() - began
    lines = [b"%d\n" % number for number in range(_KNOWN)]
    began, cpu = time.monotonic(), time.process_time()
    sent = [0] * order.boards
    held_back = 0
    offsets = [board / order.boards for board in range(order.boards)]
    while (passed := time.monotonic() - began) < order.seconds:
        due = passed * order.rate
        for board, connection in enumerate(connections):
            while sent[board] + offsets[board] < due:
                try:
                    connection.send(lines[(sent[board] * 7 + board) % _KNOWN])
                except BlockingIOError:
                    held_back += 1
                    break
                sent[board] += 1
        time.sleep(_TICK)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    outcome = Outcome(sum(sent), seconds, cpu, held_back, connected)
    print(json.dumps(dataclasses.asdict(outcome)), flush=True)
    sys.stdin.read()


def _listen(address: str, port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener


def _accept(listeners: list[socket.socket]) -> list[socket.socket]:
    """Return one connection of each."""
    found: dict[int, socket.socket] = {}
    end = time.monotonic() + _CONNECT_SECONDS
    with selectors.DefaultSelector() as selector:
        for number, listener in enumerate(listeners):
            selector.register(listener, selectors.EVENT_READ, number)
        while len(found) < len(listeners):
            if time.monotonic() > end:
                sys.exit(f"only {len(found)} of {len(listeners)} boards were connected to")
            for key, _ in selector.select(1):
                connection, _ = listeners[key.data].accept()
                connection.setblocking(False)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                found[key.data] = connection
                selector.unregister(listeners[key.data])
    return [found[number] for number in range(len(listeners))]


if __name__ == "__main__":
    main()
