"""Processes that a prepared hub starts itself: forks like the hub (see :mod:`tests.prepared`).

A hub starts its writer, other consumers and whoever makes certificates as ``python -m motehub.…``,
most of which is imports. It has threads, so a fork of its own might wait for locks that nobody
holds any more. What forks is therefore a child of it with one thread, from before there were
others: the nursery. The hub adopts what is born there (Linux: a "child subreaper"), and starts,
signals, waits for and outlives it as any process of its own.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import resource
import runpy
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

PROGRAMS: Final = {
    name: f"{name}.__main__" if name == "motehub.security" else name
    for name in (
        *("motehub.alert", "motehub.mirror", "motehub.reader"),
        *("motehub.security", "motehub.webhook", "motehub.writer"),
    )
}
"""What may be born here, by what stands behind ``-m``: modules that are to be imported before."""

_NUMBER: Final = struct.Struct("=i")
_LONGEST: Final = 1 << 17
_STREAMS: Final = (0, 1, 2)
_SET_CHILD_SUBREAPER: Final = 36
# What subprocess says of group, owner and mask of a process where nobody asked for others.
_USUAL: Final = (-1, None, None, None, -1, None)

_one_at_a_time = threading.Lock()


def order_for(arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what a fork has to be told to become a command that this process starts."""
    return {
        "arguments": list(arguments),
        "environment": dict(environment),
        "folder": str(Path.cwd()),
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE),
    }


def take_on(order: dict[str, Any], files: Sequence[int]) -> None:
    """Become what was ordered, with ``files`` as input, output and errors."""
    for file, stream in zip(files, _STREAMS, strict=True):
        os.dup2(file, stream)
        os.close(file)
    resource.setrlimit(resource.RLIMIT_NOFILE, order["open_files"])
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    os.chdir(order["folder"])
    sys.argv[:] = order["arguments"]


def start_of_python(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what Python looks at when it starts; a fork has begun with what is here."""
    heads = ("PYTHON", "LANG", "LC_", "LD_")
    return {key: text for key, text in environment.items() if key.startswith(heads)}


def run(program: Callable[[], object]) -> NoReturn:
    """Run a program to its end, and end as Python does, but leave it to the system to clean up.

    Python would look at all that is in memory, and so have it copied first: most of what a short
    command would cost.
    """
    status = 0
    try:
        program()
    except SystemExit as end:
        status = _status(end.code)
    except Exception:
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def open_nursery() -> Callable[[], object] | None:
    """Have what this process starts born in a child of its own, which ends with it.

    Returns None here, and in each process that is born the program that it has to run. Call it
    while there is one thread.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        return None  # no such thing in this kernel: processes start as they do for an owner
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if not os.fork():
        ours.close()
        return _bear(theirs)
    theirs.close()
    exec_real = vars(subprocess)["_fork_exec"]

    def start(*how: Any) -> int:
        order = _understood(*how)
        born = order and _born(ours, *order)
        return born or int(exec_real(*how))

    vars(subprocess)["_fork_exec"] = start
    return None


def _status(code: object) -> int:
    """Return the exit status for what :func:`sys.exit` was given; a text is said."""
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    sys.stdout.flush()
    sys.stderr.write(f"{code}\n")
    return 1


def _understood(*how: Any) -> tuple[bytes, list[int]] | None:
    """Return what to tell the nursery, and the three files; None for what it can't do.

    ``how`` is what :mod:`subprocess` has the C function of its own do.
    """
    command, _, _, kept, folder, environment = how[:6]
    read, _, _, write, _, errors, _, report, _, new_session = how[6:16]
    if command[:2] != [sys.executable, "-m"] or command[2] not in PROGRAMS:
        return None
    if folder is not None or kept != (report,) or new_session or how[16:22] != _USUAL:
        return None
    given = dict(os.environ)
    if environment is not None:
        given = dict(os.fsdecode(pair).split("=", 1) for pair in environment)
    if start_of_python(given) != start_of_python(os.environ):
        return None
    order = order_for(command[2:], given) | {"mask": _mask()}
    files = [
        stream if file < 0 else file
        for file, stream in zip((read, write, errors), _STREAMS, strict=True)
    ]
    text = json.dumps(order).encode()
    return (text, files) if len(text) <= _LONGEST else None


def _born(nursery: socket.socket, order: bytes, files: list[int]) -> int:
    with _one_at_a_time:
        socket.send_fds(nursery, [order], files)
        return int(_NUMBER.unpack(nursery.recv(_NUMBER.size))[0])


def _bear(orders: socket.socket) -> Callable[[], object]:
    """Fork for each order; return in the forks with what they are to run, and else not at all."""
    while True:
        text, files, _, _ = socket.recv_fds(orders, _LONGEST, len(_STREAMS))
        if not text:
            os._exit(0)
        if midwife := os.fork():
            os.waitpid(midwife, 0)
            for file in files:
                os.close(file)
            continue
        midwife = os.getpid()
        if os.fork():
            os._exit(0)
        # An orphan is adopted by the hub, which may wait for it only then.
        while os.getppid() == midwife:
            time.sleep(0.001)
        try:
            orders.send(_NUMBER.pack(os.getpid()))
        except BrokenPipeError:
            os._exit(0)  # The hub was killed meanwhile, and with it who would have had a child.
        orders.close()
        return _grown(json.loads(text), files)


def _grown(order: dict[str, Any], files: list[int]) -> Callable[[], object]:
    take_on(order, files)
    os.umask(order["mask"])
    program = PROGRAMS[sys.argv[0]]
    # It was imported as a module; now it is the program.
    module = sys.modules.pop(program)
    assert module.__file__ is not None
    sys.argv[0] = module.__file__
    return lambda: runpy.run_module(program, run_name="__main__", alter_sys=True)


def _mask() -> int:
    """Return the mask of new files; to ask the system for it is to change it."""
    status = Path("/proc/self/status").read_text("ascii")
    return next(int(line.split()[1], 8) for line in status.splitlines() if line[:6] == "Umask:")
