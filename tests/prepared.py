"""Commands of motehub without what starting one costs: forks of a process that is ready to run.

The process (``python -m tests.prepared``) has imported what hubs and commands need, and has one
thread. Each command is a fork of it, with arguments, environment, folder, input and output of
its own, and ends as ``python -m motehub`` does; what a hub starts are forks too
(:mod:`tests.nursery`). What depends on how Python starts (what is imported when, how much memory
that takes, what other users see of a command) needs the real thing: :func:`start_fresh`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, Final, NoReturn, Protocol

from motehub import parts
from tests import nursery

_MODULES: Final = (
    *("attrs", "cryptography.hazmat.backends.openssl.backend", "uvicorn.lifespan.off"),
    *("motehub.app", "motehub.cli", "motehub.cli.opening", "motehub.cli.printing"),
    *("motehub.mirrors._redis_mirror", "motehub.stores._postgres_history"),
    *("motehub.stores.sqlite", "motehub.web.pusher", "motehub.web.server"),
    *nursery.PROGRAMS.values(),
)
"""What hubs, commands and consumers import when they need it, besides all transports."""

_OF_HUBS: Final = frozenset({"certs", "serve"})
"""Commands that start processes."""

_FOLDER: Final = Path(__file__).parents[1]
_NUMBER: Final = struct.Struct("=i")
_STREAMS: Final = (0, 1, 2)
_LONGEST: Final = 1 << 17
"""An order in bytes; beyond that a datagram of a Unix socket is refused."""

_one_at_a_time = threading.Lock()


class Running(Protocol):
    """A command that runs; :class:`subprocess.Popen` is one."""

    pid: int

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status once it has ended; a signal's number is negative.

        Raises:
            subprocess.TimeoutExpired: it runs on.
        """

    def send_signal(self, sig: int) -> None:
        """Signal it, unless it has ended."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it as a power cut would."""


def start(
    arguments: Sequence[str],
    files: tuple[int, int, int],
    environment: Mapping[str, str],
    *,
    new_session: bool = False,
) -> Running:
    """Run ``motehub …`` with open files as input, output and errors; return at once.

    It is fresh if ``environment`` wants a Python that starts in another way.
    """
    if nursery.start_of_python(environment) != _started:
        return start_fresh(arguments, files, environment, new_session=new_session)
    order = nursery.order_for(["motehub", *arguments], environment) | {"new_session": new_session}
    ours, theirs = socket.socketpair()
    with theirs:
        fds = [theirs.fileno(), *files]
        with _one_at_a_time:
            socket.send_fds(_prepared(), [json.dumps(order).encode()], fds)
    return _Fork(arguments, ours)


def start_fresh(
    arguments: Sequence[str],
    files: tuple[int, int, int],
    environment: Mapping[str, str],
    *,
    new_session: bool = False,
) -> Running:
    """Do the same as its owner would: with a new Python."""
    stdin, stdout, stderr = files
    return subprocess.Popen(
        [sys.executable, "-m", "motehub", *arguments],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=environment,
        start_new_session=new_session,
    )


def run(
    arguments: Sequence[str], environment: Mapping[str, str], given: str, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run ``motehub …`` to its end, with ``given`` as its input; see :func:`subprocess.run`."""
    with (
        tempfile.TemporaryFile() as put,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as errors,
    ):
        put.write(given.encode())
        put.seek(0)
        files = (put.fileno(), out.fileno(), errors.fileno())
        running = start(arguments, files, environment)
        try:
            status = running.wait(timeout)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
            raise
        texts = [_text(file) for file in (out, errors)]
    return subprocess.CompletedProcess(list(arguments), status, *texts)


class _Fork:
    """See :class:`Running`; ``told`` is where the process that keeps it tells of it."""

    def __init__(self, arguments: Sequence[str], told: socket.socket) -> None:
        self._arguments = arguments
        self._told = told
        self._status: int | None = None
        self.pid = self._next(None)

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        if self._status is None:
            self._status = self._next(timeout)
            self._told.close()
        return self._status

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _next(self, timeout: float | None) -> int:
        if not select.select([self._told], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(self._arguments, timeout or 0.0)
        number = self._told.recv(_NUMBER.size)
        assert number, "the prepared process has ended"
        return int(_NUMBER.unpack(number)[0])


_started: Final = nursery.start_of_python(os.environ)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return io.TextIOWrapper(io.BytesIO(file.read()), "utf-8").read()


@cache
def _prepared() -> socket.socket:
    """Start the process, once for each process of the tests; return where it takes orders."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.prepared", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=_FOLDER,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _take_orders(orders: socket.socket) -> Callable[[], object]:
    """Fork for each order; return in the forks with what they are to run, and else not at all."""
    # What keeps a command needs no burial.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        text, fds, _, _ = socket.recv_fds(orders, _LONGEST, 1 + len(_STREAMS))
        if not text:
            sys.exit()
        if not os.fork():
            orders.close()
            return _keep(json.loads(text), socket.socket(fileno=fds[0]), fds[1:])
        for fd in fds:
            os.close(fd)


def _keep(order: dict[str, Any], told: socket.socket, files: list[int]) -> Callable[[], object]:
    """Return in the command, and in what that starts; in what keeps it, tell how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if command := os.fork():
        for file in files:
            os.close(file)
        _, status = os.waitpid(command, 0)
        # Nobody may be there any more who wants to know.
        with suppress(OSError):
            told.send(_NUMBER.pack(os.waitstatus_to_exitcode(status)))
        os._exit(0)
    if order["new_session"]:
        os.setsid()
    nursery.take_on(order, files)
    told.send(_NUMBER.pack(os.getpid()))
    told.close()
    born = nursery.open_nursery() if _OF_HUBS.intersection(sys.argv[1:2]) else None
    return born or _command


def _command() -> None:
    from motehub.cli import main

    main()


def _main() -> NoReturn:
    for name in _MODULES:
        importlib.import_module(name)
    parts.transports()
    gc.freeze()
    nursery.run(_take_orders(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    _main()
