"""Free ports for servers that can't choose one themselves, or that come back to theirs."""

import os
import socket
from itertools import count
from typing import Final

_FIRST: Final = 20_000
"""Below the ports that the kernel gives away, to outgoing connections and for port 0."""

_COUNT: Final = 12_000
_EACH: Final = 1_500
"""Ports of one worker of pytest-xdist: two never take the same one."""

_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_start = _FIRST + _worker * _EACH % _COUNT
# Runs that happen at the same time, of two checkouts, begin at different places.
_numbers = count(os.getpid() * 7)


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free, and stays it until its server takes it."""
    for _ in range(_EACH):
        port = _start + next(_numbers) % _EACH
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
    raise AssertionError(f"No port from {_start} on is free.")
