"""Why a port can't be listened on, and what the owner can do about it."""

from __future__ import annotations

import errno
import socket


def why_not_bound(error: OSError | UnicodeError, host: str, port: int) -> tuple[str, str]:
    """Return the reason for ``error``, of listening on ``host`` and ``port``, and the mend."""
    own = "Write an address of this machine, or 0.0.0.0 for all of them."
    if isinstance(error, UnicodeError):
        return f"{host[:80]!r} is no host name", own
    if isinstance(error, socket.gaierror):
        return f"the host {host!r} is not known", own
    # asyncio leaves the number out when no address of the host is this machine's.
    if error.errno in {errno.EADDRNOTAVAIL, None}:
        return f"{host} is no address of this machine", own
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"this user may not listen on port {port}", "Set a port from 1024 on."
    if error.errno == errno.EADDRINUSE:
        return "the port is in use", "Stop the program that uses the port, or set another one."
    return error.strerror or str(error), "Set another host or port."
