"""An HTTP server that discards posts and answers each: shows what the load generator can do alone.

Started as ``python -m bench.http_sink``; prints its port. It takes a read that ends a body for one
post, which is what the generator sends.
"""

from __future__ import annotations

import re
import selectors
import socket
from typing import Final

_ANSWER: Final = b"HTTP/1.1 204 No Content\r\n\r\n"
_LENGTH: Final = re.compile(rb"Content-Length: (\d+)\r\n\r\n")
_READ_BYTES: Final = 262_144


class _Client:
    """One connection: how much of a post is still to come."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._left = 0

    def read(self) -> bool:
        """Read once and answer a post that is complete; False when the client is gone."""
        data = self._connection.recv(_READ_BYTES)
        if not data:
            return False
        if not self._left:
            head = _LENGTH.search(data)
            assert head is not None
            self._left = int(head[1]) + head.end()
        self._left -= len(data)
        if not self._left:
            self._connection.sendall(_ANSWER)
        return True


def main() -> None:
    """Serve until the process is ended."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=1024) as door,
        selectors.DefaultSelector() as selector,
    ):
        print(door.getsockname()[1], flush=True)
        selector.register(door, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is door:
                    connection = door.accept()[0]
                    selector.register(connection, selectors.EVENT_READ, _Client(connection))
                elif not key.data.read():
                    selector.unregister(key.fileobj)


if __name__ == "__main__":
    main()
