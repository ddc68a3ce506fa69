"""The load generator of the JSON socket: mutual-TLS connections that send objects.

Started as ``python -m bench.json_load ORDER``; it talks with the harness as ``bench.load`` does.
Every object has one key and two fields; what an object is worth is known to who reads it: the
hub answers each one, the original's way answers nothing.
"""

from __future__ import annotations

import dataclasses
import json
import selectors
import socket
import ssl
import sys
import time
from typing import Final

from bench.records import client_context

READINGS_PER_OBJECT: Final = 2
"""Fields of the one key."""

ACKNOWLEDGED: Final = "motehub-ack/1"
"""What a client offers in ALPN to be answered."""

_TURN: Final = 4
_PAUSE_SECONDS: Final = 0.0005
_ANSWER_SECONDS: Final = 60.0
_SEND_BUFFER: Final = 64 * 1024


@dataclasses.dataclass(frozen=True)
class Order:
    """What to send, ``chunk`` objects a write.

    ``window`` is how many objects of a connection may wait for their answers; None asks for none.
    ``pause`` is the time between two writes of a connection in seconds; None: none.
    """

    port: int
    ca: str
    certificate: str
    key: str
    seconds: float
    connections: int
    chunk: int = 100
    window: int | None = None
    pause: float | None = None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What was done: objects sent and answered, those answered within ``seconds``.

    ``cpu`` is the generator's own in seconds, ``refused`` bad answers, ``broken`` connections that
    the server has ended; the generator makes a new one then.
    """

    objects: int
    answered: int
    answered_in_time: int
    refused: int
    broken: int
    seconds: float
    cpu: float


class _Connection:
    """One client: its socket and what it has sent and heard."""

    def __init__(self, order: Order, context: ssl.SSLContext, number: int) -> None:
        self._order = order
        self._context = context
        self._chunk = _objects(number, order.chunk)
        self._window = order.window
        self.sent = self.answered = self.refused = self.broken = 0
        self.waiting = False
        self.connect()

    def connect(self) -> None:
        """Make the connection, which may be one more."""
        plain = socket.create_connection(("127.0.0.1", self._order.port), timeout=30)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self.socket = self._context.wrap_socket(plain, server_hostname="127.0.0.1")
        self.socket.setblocking(False)
        self.waiting = False

    @property
    def may_send(self) -> bool:
        """Whether the window has room for another chunk."""
        return self._window is None or self.sent - self.answered < self._window

    def send(self) -> bool:
        """Send chunks: a few, or until the window is full; False when the kernel takes no more."""
        for _ in range(_TURN):
            if not self.waiting and not self.may_send:
                return True
            if not self.send_one():
                return False
        return True

    def send_one(self) -> bool:
        """Send one chunk; False when the kernel takes no more."""
        try:
            self.socket.send(self._chunk)
        except ssl.SSLWantWriteError:
            # OpenSSL has encrypted the chunk and wants the same one offered again.
            self.waiting = True
            return False
        self.waiting = False
        self.sent += self._order.chunk
        return True

    def hear(self) -> None:
        """Count the answers that are there.

        Raises:
            OSError: the server has ended the connection.
        """
        try:
            while data := self.socket.recv(262_144):
                self.answered += data.count(b"\n")
                self.refused += data.count(b"false")
        except ssl.SSLWantReadError:
            return
        raise ConnectionResetError("the server has ended the connection")

    def reconnect(self) -> None:
        """Begin again after the server has ended the connection."""
        self.broken += 1
        self.socket.close()
        self.connect()

    def close(self) -> None:
        """End the connection."""
        self.socket.close()


def main() -> None:
    """Carry out the order on the command line."""
    order = Order(**json.loads(sys.argv[1]))
    context = client_context(order.ca)
    context.load_cert_chain(order.certificate, order.key)
    if order.window is not None:
        context.set_alpn_protocols([ACKNOWLEDGED])
    connections = [_Connection(order, context, number) for number in range(order.connections)]
    print("ready", flush=True)
    sys.stdin.readline()
    began, cpu = time.monotonic(), time.process_time()
    if order.pause is not None:
        _send_paced(connections, order.pause, began + order.seconds)
    else:
        _send_unpaced(connections, began + order.seconds)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    answered_in_time = sum(connection.answered for connection in connections)
    if order.window is not None:
        _finish(connections)
    outcome = Outcome(
        sum(connection.sent for connection in connections),
        sum(connection.answered for connection in connections),
        answered_in_time,
        sum(connection.refused for connection in connections),
        sum(connection.broken for connection in connections),
        seconds,
        cpu,
    )
    for connection in connections:
        connection.close()
    print(json.dumps(dataclasses.asdict(outcome)), flush=True)


def _send_unpaced(connections: list[_Connection], end: float) -> None:
    """Keep every window full; wait for room in the kernel only where there is none."""
    both = selectors.EVENT_READ | selectors.EVENT_WRITE
    with selectors.DefaultSelector() as selector:

        def work(connection: _Connection, events: int) -> None:
            before = connection.socket
            try:
                if events & selectors.EVENT_READ:
                    connection.hear()
                taken = connection.send()
            except OSError:
                selector.unregister(before)
                connection.reconnect()
                selector.register(connection.socket, both, connection)
                return
            wanted = both if not taken or connection.may_send else selectors.EVENT_READ
            if selector.get_key(before).events != wanted:
                selector.modify(before, wanted, connection)

        for connection in connections:
            selector.register(connection.socket, both, connection)
        while (left := end - time.monotonic()) > 0:
            for key, events in selector.select(left):
                work(key.data, events)


def _send_paced(connections: list[_Connection], pause: float, end: float) -> None:
    """Have each connection write once in ``pause`` seconds, spread evenly; catch up with nothing.

    A write that comes late pushes the later ones back: two must not come closer than the pause.
    """
    now = time.monotonic()
    due = [now + pause * number / len(connections) for number in range(len(connections))]
    while (now := time.monotonic()) < end:
        for number, connection in enumerate(connections):
            if now >= due[number]:
                try:
                    connection.send_one()
                except OSError:
                    connection.reconnect()
                due[number] = time.monotonic() + pause
        time.sleep(_PAUSE_SECONDS)


def _finish(connections: list[_Connection]) -> None:
    """Send chunks that are half sent and wait for all answers."""
    give_up = time.monotonic() + _ANSWER_SECONDS
    for connection in connections:
        connection.socket.settimeout(_ANSWER_SECONDS)
        while connection.waiting:
            connection.send_one()
        while connection.answered < connection.sent and time.monotonic() < give_up:
            data = connection.socket.recv(262_144)
            if not data:
                break
            connection.answered += data.count(b"\n")
            connection.refused += data.count(b"false")


def _objects(number: int, count: int) -> bytes:
    """Return ``count`` objects of connection ``number``, as ``json.dumps`` writes them."""
    return b"".join(
        json.dumps({f"key_{number}": {"field_1": 12.5 + n % 100 / 10, "field_2": n % 50}}).encode()
        for n in range(count)
    )


if __name__ == "__main__":
    main()
