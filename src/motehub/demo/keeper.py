"""Runs a program on a folder for as long as somebody holds its standard input open.

``python -m motehub.demo.keeper FOLDER PROGRAM …``. When that somebody ends, however it ends, the
program is stopped and the folder removed. Nothing else is on this process's mind, so that it is
still there when the others are not.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

LOG: Final = "hub.log"
"""What the program prints, in the folder."""

_STOP_SECONDS: Final = 10.0
_TRIES: Final = 50
_PAUSE: Final = 0.1


def main(folder: Path, command: Sequence[str]) -> None:
    """Run ``command`` until standard input ends; say ``ended`` when it has ended before that."""
    # Of a session of its own: whoever stops the demonstration at a terminal stops not this one.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.close(sys.stdin.fileno()))
    try:
        with open(folder / LOG, "ab") as log:
            program = subprocess.Popen(  # noqa: S603 - the demonstration says what
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        threading.Thread(target=_tell_end, args=[program], daemon=True).start()
        with suppress(OSError, ValueError):
            while os.read(sys.stdin.fileno(), 1024):
                pass
        _stop(program)
    finally:
        _remove(folder)


def _tell_end(program: subprocess.Popen[bytes]) -> None:
    program.wait()
    with suppress(OSError):
        os.write(1, b"ended\n")


def _stop(program: subprocess.Popen[bytes]) -> None:
    """Stop the program, and whatever it has started."""
    program.terminate()
    with suppress(subprocess.TimeoutExpired):
        program.wait(_STOP_SECONDS)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, signal.SIGKILL)
    program.wait()


def _remove(folder: Path) -> None:
    """Remove the folder; a process that has just been killed may still be in it."""
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_PAUSE)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
