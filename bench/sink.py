"""A TLS server that reads and discards: shows what the load generator can send alone.

Started as ``python -m bench.sink FOLDER`` with the certificates in FOLDER; prints its port.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import sys
from pathlib import Path

from motehub.security.tls import ServerTls


def main() -> None:
    """Serve until the process is ended."""
    certificates = Path(sys.argv[1]) / "certificates"
    context = ServerTls(certificates / "server.crt", certificates / "server.key").context()
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
                    elif isinstance(key.fileobj, ssl.SSLSocket) and _ended(key.fileobj, buffer):
                        selector.unregister(key.fileobj)
                        _close(key.fileobj)


def _ended(connection: ssl.SSLSocket, buffer: bytearray) -> bool:
    """Read all that is there; tell whether the peer said goodbye."""
    try:
        while connection.recv_into(buffer):
            pass
    except ssl.SSLWantReadError:
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
