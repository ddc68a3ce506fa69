"""The load generator of short connections: connect, handshake, one batch, goodbye.

Started as ``python -m bench.visits ORDER``; it talks with the harness as ``bench.load`` does.
"""

from __future__ import annotations

import dataclasses
import json
import selectors
import socket
import ssl
import sys
import time
from collections.abc import Iterator

from bench.load import Outcome
from bench.records import FIRST_SECOND, batch, client_context, device_address


@dataclasses.dataclass(frozen=True)
class Order:
    """How many connections, how many at a time, records of each; ``resume`` TLS sessions."""

    port: int
    ca: str
    visits: int
    at_a_time: int = 50
    records: int = 10
    resume: bool = False
    newline: bool = False


class _Visitor:
    """One device that comes again and again; ``session`` is what it keeps between visits."""

    def __init__(self, number: int) -> None:
        self.address = device_address(number)
        self.session: ssl.SSLSession | None = None
        self.visits = 0
        self.resumed = 0

    def visit(self, order: Order, context: ssl.SSLContext) -> Iterator[tuple[ssl.SSLSocket, int]]:
        """Make one visit; yield whenever the socket has to become readable or writable."""
        plain = socket.create_connection(
            ("127.0.0.1", order.port), timeout=30, source_address=(self.address, 0)
        )
        plain.setblocking(False)
        with context.wrap_socket(
            plain,
            server_hostname="127.0.0.1",
            do_handshake_on_connect=False,
            session=self.session,
        ) as secured:
            while True:
                try:
                    secured.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    yield secured, selectors.EVENT_READ
                except ssl.SSLWantWriteError:
                    yield secured, selectors.EVENT_WRITE
            self.resumed += bool(secured.session_reused)
            if order.resume:
                self.session = secured.session
            first = FIRST_SECOND + self.visits * order.records
            # Far less than a send buffer: the kernel takes it at once.
            secured.send(batch(first, order.records, newline=order.newline))
            self.visits += 1
            try:
                secured.unwrap()
            except ssl.SSLWantReadError:
                yield secured, selectors.EVENT_READ


def main() -> None:
    """Carry out the order on the command line."""
    order = Order(**json.loads(sys.argv[1]))
    context = client_context(order.ca)
    # What the boards speak, and where a session can be resumed without reading a ticket later.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    visitors = [_Visitor(number) for number in range(order.at_a_time)]
    print("ready", flush=True)
    sys.stdin.readline()
    began, cpu = time.monotonic(), time.process_time()
    _visit(order, context, visitors)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    visits = sum(visitor.visits for visitor in visitors)
    outcome = dataclasses.asdict(Outcome(visits * order.records, seconds, cpu))
    resumed = sum(visitor.resumed for visitor in visitors)
    print(json.dumps(outcome | {"visits": visits, "resumed": resumed}), flush=True)


def _visit(order: Order, context: ssl.SSLContext, visitors: list[_Visitor]) -> None:
    """Keep every visitor busy until there were ``order.visits`` visits."""
    left = order.visits
    with selectors.DefaultSelector() as selector:

        def go_on(visitor: _Visitor, steps: Iterator[tuple[ssl.SSLSocket, int]] | None) -> None:
            nonlocal left
            while True:
                if steps is None:
                    if not left:
                        return
                    left -= 1
                    steps = visitor.visit(order, context)
                if (awaited := next(steps, None)) is not None:
                    selector.register(*awaited, (visitor, steps))
                    return
                steps = None

        for visitor in visitors:
            go_on(visitor, None)
        while selector.get_map():
            for key, _ in selector.select():
                selector.unregister(key.fileobj)
                go_on(*key.data)


if __name__ == "__main__":
    main()
