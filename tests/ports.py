"""Free ports for servers that can't choose one themselves, or that come back to theirs."""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import Final

_PORTS: Final = range(20_000, 32_000)
"""Below the ports that the kernel gives away, to outgoing connections and for port 0."""

_TRIES: Final = 1_000
_TAKEN: Final = Path(tempfile.gettempdir()) / f"motehub-test-ports-{os.geteuid()}"
"""A byte for each port: whoever has locked it has the port, until its process ends."""

# Never closed, which would give up what is locked; a file object would warn of that at the end.
_taken = os.open(_TAKEN, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
_mine: set[int] = set()


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free, and is not given to another run of the tests."""
    for _ in range(_TRIES):
        port = random.choice(_PORTS)
        if _lock(port) and _is_free(port):
            return port
    raise AssertionError(f"No port of {_PORTS} is free.")


def _lock(port: int) -> bool:
    if port in _mine:
        return False
    try:
        fcntl.lockf(_taken, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _mine.add(port)
    return True


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
