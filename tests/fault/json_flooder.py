"""Clients of the JSON socket that send as fast as the kernel takes it, all in this process.

``python -m tests.fault.json_flooder ORDER`` with the order in JSON. It connects, prints a line,
waits for a line, floods, waits until every object is answered or the hub is gone, and prints
what it did in JSON (:class:`Report`). Object s of connection c has the value ``c * SPAN + s``,
so no two have the same.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import sys
import time
from typing import Final

import msgspec

SPAN: Final = 10_000_000
"""Most objects of one connection."""

DEVICES: Final = 50
"""Connection c speaks for device ``flood-<c modulo this>``: several share a series."""

_CHUNK_BYTES: Final = 16_000
_TURN: Final = 16
_SEND_BUFFER: Final = 16_384
_ANSWER_SECONDS: Final = 60.0


class Order(msgspec.Struct, frozen=True):
    """What to send: ``size`` is the length of an object, filled up with spaces, in bytes.

    ``first`` is the number of the first connection.
    """

    port: int
    ca: str
    certificate: str
    key: str
    connections: int
    seconds: float
    size: int = 0
    first: int = 0


class Report(msgspec.Struct, frozen=True):
    """What became of it, by connection: objects that were sent, and that were acknowledged.

    ``refused`` are bad answers; ``blocked`` counts how often the kernel took nothing more;
    ``gone`` are connections that the hub has ended.
    """

    sent: list[int]
    acknowledged: list[int]
    refused: list[str]
    blocked: int
    gone: int


class _Connection:
    """One flooding client: what it has sent, what was answered."""

    def __init__(self, order: Order, context: ssl.SSLContext, number: int) -> None:
        plain = socket.create_connection(("127.0.0.1", order.port), timeout=60)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self.socket = context.wrap_socket(plain, server_hostname="127.0.0.1")
        self.socket.setblocking(False)
        self.sent = self.acknowledged = self.blocked = 0
        self.refused: list[bytes] = []
        self.gone = False
        self._key = b"flood-%02d" % (number % DEVICES)
        self._base = number * SPAN
        self._size = order.size
        self._waiting = b""
        self._waiting_objects = 0
        self._rest = b""

    @property
    def finished(self) -> bool:
        """Whether all is answered that was sent, or nothing more can be."""
        if self.gone:
            return True
        return not self._waiting and self.acknowledged + len(self.refused) == self.sent

    def write(self, *, more: bool) -> None:
        """Send what waits, and with ``more`` new chunks until the kernel takes nothing more."""
        for _ in range(_TURN):
            if not self._waiting and more:
                self._waiting = self._chunk()
            if not self._waiting:
                return
            try:
                self.socket.send(self._waiting)
            except ssl.SSLWantWriteError:
                # OpenSSL has encrypted the chunk and wants the same one offered again.
                self.blocked += 1
                return
            except OSError:
                self.gone = True
                return
            self.sent += self._waiting_objects
            self._waiting = b""

    def read(self) -> None:
        """Take the answers that are there."""
        try:
            while data := self.socket.recv(65_536):
                *lines, self._rest = (self._rest + data).split(b"\n")
                good = lines.count(b'{"ok":true,"stored":1}')
                self.acknowledged += good
                if good < len(lines):
                    self.refused += [one for one in lines if not one.startswith(b'{"ok":true')]
            self.gone = True
        except ssl.SSLWantReadError:
            pass
        except OSError:
            self.gone = True

    def started(self) -> int:
        """Return how many objects may have reached the hub: also those of a half-sent chunk."""
        return self.sent + (self._waiting_objects if self._waiting else 0)

    def _chunk(self) -> bytes:
        objects: list[bytes] = []
        size = 0
        first = self._base + self.sent
        while size < _CHUNK_BYTES:
            one = b'{"%b": {"n": %d}}' % (self._key, first + len(objects))
            objects.append(one.ljust(self._size))
            size += len(objects[-1])
        self._waiting_objects = len(objects)
        return b"".join(objects)


def main() -> None:
    """Carry out the order on the command line."""
    order = msgspec.json.decode(sys.argv[1], type=Order)
    context = ssl.create_default_context(cafile=order.ca)
    context.load_cert_chain(order.certificate, order.key)
    context.set_alpn_protocols(["motehub-ack/1"])
    numbers = range(order.first, order.first + order.connections)
    connections = [_Connection(order, context, number) for number in numbers]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    _flood(connections, order.seconds)
    report = Report(
        [connection.started() for connection in connections],
        [connection.acknowledged for connection in connections],
        [one.decode() for connection in connections for one in connection.refused][:10],
        sum(connection.blocked for connection in connections),
        sum(connection.gone for connection in connections),
    )
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")


def _flood(connections: list[_Connection], seconds: float) -> None:
    end = time.monotonic() + seconds
    give_up = end + _ANSWER_SECONDS
    both = selectors.EVENT_READ | selectors.EVENT_WRITE
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection.socket, both, connection)
        while selector.get_map() and (now := time.monotonic()) < give_up:
            more = now < end
            for key, events in selector.select(1.0):
                connection = key.data
                # A client that reads no answers would be read no further either.
                connection.read()
                if events & selectors.EVENT_WRITE and not connection.gone:
                    connection.write(more=more)
                if connection.gone or (not more and connection.finished):
                    selector.unregister(key.fileobj)
                elif not more and not connection.started() > connection.sent:
                    selector.modify(key.fileobj, selectors.EVENT_READ, connection)


if __name__ == "__main__":
    main()
