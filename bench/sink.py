"""A TLS server that reads and discards: shows what the load generator can send alone.

Started as ``python -m bench.sink FOLDER [acknowledge]`` with the certificates in FOLDER; prints
its port. With ``acknowledge`` it answers each JSON object as the hub does, without looking at it.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import sys
from pathlib import Path
from typing import Final

from motehub.security.tls import ServerTls

_OBJECT_END: Final = b"}}"
_ANSWER: Final = b'{"ok":true,"stored":2}\n'
_ANSWER_SECONDS: Final = 10.0


def main() -> None:
    """Serve until the process is ended."""
    certificates = Path(sys.argv[1]) / "certificates"
    answers = sys.argv[2:] == ["acknowledge"]
    context = ServerTls(
        certificates / "server.crt",
        certificates / "server.key",
        protocols=("motehub-ack/1",) if answers else (),
    ).context()
    buffer = bytearray(256 * 1024)
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as door:
        print(door.getsockname()[1], flush=True)
        with selectors.DefaultSelector() as selector:
            selector.register(door, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is door:
                        secured = context.wrap_socket(door.accept()[0], server_side=True)
                        secured.setblocking(False)
                        selector.register(secured, selectors.EVENT_READ)
                    elif isinstance(key.fileobj, ssl.SSLSocket) and _ended(
                        key.fileobj, buffer, answers=answers
                    ):
                        selector.unregister(key.fileobj)
                        _close(key.fileobj)


def _ended(connection: ssl.SSLSocket, buffer: bytearray, *, answers: bool) -> bool:
    """Read all that is there; tell whether the peer said goodbye."""
    objects = 0
    try:
        while size := connection.recv_into(buffer):
            if answers:
                objects += buffer.count(_OBJECT_END, 0, size)
    except ssl.SSLWantReadError:
        if objects:
            connection.settimeout(_ANSWER_SECONDS)
            connection.sendall(_ANSWER * objects)
            connection.setblocking(False)
        return False
    except OSError:
        pass
    return True


def _close(connection: ssl.SSLSocket) -> None:
    with contextlib.suppress(OSError):
        connection.unwrap()
    connection.close()


if __name__ == "__main__":
    main()
