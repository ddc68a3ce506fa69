"""A server of another make that tests start, end, kill and stop for a while."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self

from tests.ports import free_port

START_SECONDS: Final = 120.0
"""Longest time until a server answers, or has ended."""


class ServerProcess:
    """A server in a temporary folder of its own, on ``port`` or a free one of 127.0.0.1."""

    def __init__(self, name: str, port: int = 0) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix=f"motehub-{name}-"))
        self._started: subprocess.Popen[bytes] | None = None
        self.port = port or free_port()

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the server and remove its files."""
        self.kill()
        shutil.rmtree(self._folder)

    @property
    def process_id(self) -> int:
        """The server's first process; all others are its children."""
        return self._process.pid

    @property
    def log(self) -> str:
        """What the server has printed."""
        return (self._folder / "log").read_text("utf-8", "replace")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        raise AssertionError("Each server says how it is started.")

    def kill(self) -> None:
        """End all its processes as a power cut would."""
        self._signal(signal.SIGKILL)
        self._process.wait()

    def pause(self) -> None:
        """Make all its processes stand still, connections open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    @property
    def _process(self) -> subprocess.Popen[bytes]:
        assert self._started is not None
        return self._started

    def _start(
        self, command: Sequence[str | Path], answers: Callable[[], bool], user: str | None = None
    ) -> None:
        """Start ``command`` as ``user`` and wait until it ``answers``."""
        with open(self._folder / "log", "ab") as log:
            self._started = subprocess.Popen(
                command,
                user=user,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not answers():
            assert self._started.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)

    def _end(self, number: signal.Signals) -> None:
        """Ask it to end, and wait until it has."""
        self._process.send_signal(number)
        self._process.wait(START_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)
